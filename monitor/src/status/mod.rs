//! The state of one channel: what its daemon publishes, and what people and monitoring read.

mod file;
mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use file::{FILE_NAME, Publisher, SIZE_BYTES_MAX, StatusError, StatusFile};
pub use history::{HISTORY_SAMPLES_MAX, SAMPLE_INTERVAL_MS, Sample};

/// Version of the file's format. Fields may come without a new one; a reader refuses a higher one.
pub const FORMAT: u32 = 1;

/// Most quarantined entries a status holds; [`Queue::quarantined`] counts all of them.
pub const QUARANTINE_LISTED_MAX: usize = 100;

/// Longest text of an error, a reason or an action, characters; what is longer is cut.
pub const TEXT_CHARS_MAX: usize = 500;

/// Most different codes counted in [`Totals::errors`]; what comes after them is counted as `other`.
pub const ERROR_CODES_MAX: usize = 64;

/// A daemon that has not published for this long, milliseconds, is taken for hung or gone.
pub const STALE_MS: u64 = 60_000;

/// All about one channel. Times are milliseconds since the epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// [`FORMAT`].
    pub version: u32,
    /// Name of the channel; `None` is the default channel.
    pub channel: Option<String>,
    /// The replica as an operator would write it, `host:port` or a path.
    pub replica: String,
    /// The program and its version.
    #[serde(default)]
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at_ms: u64,
    /// When this was published.
    pub updated_at_ms: u64,
    /// What it is doing.
    pub state: State,
    /// Connections and what they do.
    #[serde(default)]
    pub workers: Workers,
    /// What waits.
    #[serde(default)]
    pub queue: Queue,
    /// Entries that failed again and again and were put aside, oldest first; at most [`QUARANTINE_LISTED_MAX`].
    #[serde(default)]
    pub quarantine: Vec<Quarantined>,
    /// When a change was last replicated.
    #[serde(default)]
    pub last_success_at_ms: Option<u64>,
    /// The last thing that went wrong, even when all is well since.
    #[serde(default)]
    pub last_error: Option<LastError>,
    /// Counts since the start.
    #[serde(default)]
    pub totals: Totals,
    /// The last hour, oldest first.
    #[serde(default)]
    pub history: Vec<Sample>,
}

/// What a daemon is doing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum State {
    /// Connecting, or logging in.
    Connecting,
    /// Logged in at the replica.
    Connected,
    /// Could not connect, or lost the connection; tries again later.
    Waiting {
        /// When.
        until_ms: u64,
    },
    /// Asked to stop; finishes what is under way.
    Stopping,
    /// Ended.
    Stopped {
        /// Why it had to, for people; `None` when it was asked to.
        reason: Option<String>,
    },
}

/// Connections of one channel.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Workers {
    /// Connected and with a change in hand.
    pub busy: u32,
    /// Connected and logged in.
    pub connected: u32,
    /// Wanted (`-j`).
    pub total: u32,
}

/// Changes that are not replicated yet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Waiting for their turn; those in the log file that were not read yet are not counted.
    pub queued: u64,
    /// Being replicated now.
    pub in_flight: u64,
    /// Put off, because somebody else holds the user or because they failed; tried again later.
    pub deferred: u64,
    /// Put aside until an operator says what becomes of them.
    pub quarantined: u64,
    /// When the oldest of the first three was logged; quarantined ones do not count.
    pub oldest_logged_at_ms: Option<u64>,
}

impl Queue {
    /// All that will be replicated without anybody's help.
    pub fn waiting(&self) -> u64 {
        self.queued
            .saturating_add(self.in_flight)
            .saturating_add(self.deferred)
    }

    /// Age of the oldest change not yet replicated, milliseconds; 0 when there is none.
    pub fn lag_ms(&self, now_ms: u64) -> u64 {
        self.oldest_logged_at_ms
            .map_or(0, |since| now_ms.saturating_sub(since))
    }
}

/// An entry that was put aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quarantined {
    /// The line of the log, `MAILBOX user.jane`.
    pub action: String,
    /// When it was logged.
    pub logged_at_ms: u64,
    /// When it was put aside.
    pub since_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed the last time, and what to do.
    pub reason: String,
}

/// What went wrong last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastError {
    /// When.
    pub at_ms: u64,
    /// The replica's code (`IMAP_MAILBOX_LOCKED`), or a word of ours such as `connect`; see [`Totals::errors`].
    pub code: String,
    /// What happened and what to do, for people.
    pub text: String,
}

/// Counts since the start of the daemon.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Totals {
    /// Entries of the log that are done.
    pub changes: u64,
    /// Messages sent.
    pub messages: u64,
    /// Bytes sent, as they went over the wire.
    pub bytes_sent: u64,
    /// Bytes received, as they came over the wire.
    pub bytes_received: u64,
    /// Failures by code: the replica's (`IMAP_MAILBOX_LOCKED`), or `connect`, `lost`, `login`, `locked`, `local`.
    pub errors: BTreeMap<String, u64>,
    /// Connections made after the first one.
    pub reconnects: u64,
}

impl ChannelStatus {
    /// A daemon that has just started and tries to connect.
    pub fn starting(channel: Option<&str>, replica: impl Into<String>, now_ms: u64) -> Self {
        ChannelStatus {
            version: FORMAT,
            channel: channel.map(str::to_owned),
            replica: replica.into(),
            program: String::new(),
            pid: std::process::id(),
            started_at_ms: now_ms,
            updated_at_ms: now_ms,
            state: State::Connecting,
            workers: Workers::default(),
            queue: Queue::default(),
            quarantine: Vec::new(),
            last_success_at_ms: None,
            last_error: None,
            totals: Totals::default(),
            history: Vec::new(),
        }
    }

    /// Counts a failure under its code and keeps it as the last error.
    pub fn failed(&mut self, now_ms: u64, code: &str, text: &str) {
        let errors = &mut self.totals.errors;
        let known = errors.len() < ERROR_CODES_MAX || errors.contains_key(code);
        let counted = if known { code } else { "other" };
        *errors.entry(shortened(counted)).or_default() += 1;
        self.last_error = Some(LastError {
            at_ms: now_ms,
            code: shortened(code),
            text: shortened(text),
        });
    }

    /// Counts changes that are done.
    pub fn succeeded(&mut self, now_ms: u64, changes: u64) {
        self.totals.changes += changes;
        self.last_success_at_ms = Some(now_ms);
    }

    /// Takes over what is in quarantine now, oldest first; no more than [`QUARANTINE_LISTED_MAX`] are listed.
    pub fn set_quarantine(&mut self, entries: impl IntoIterator<Item = Quarantined>) {
        self.quarantine.clear();
        let mut count = 0;
        for mut entry in entries {
            count += 1;
            if self.quarantine.len() < QUARANTINE_LISTED_MAX {
                entry.action = shortened(&entry.action);
                entry.reason = shortened(&entry.reason);
                self.quarantine.push(entry);
            }
        }
        self.queue.quarantined = count;
    }

    /// Whether the daemon has ended, or has been silent for so long that it has to be taken for that.
    pub fn is_over(&self, now_ms: u64) -> bool {
        matches!(self.state, State::Stopped { .. }) || now_ms.saturating_sub(self.updated_at_ms) > STALE_MS
    }
}

/// The text, cut to [`TEXT_CHARS_MAX`].
fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}
