//! What goes into the queue and what can be seen of it.

use protocol::synclog::Action;

/// One line of a log, with its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What changed.
    pub action: Action,
    /// When it was written down, or an earlier time when that is not known exactly; milliseconds.
    pub logged_at_ms: u64,
}

/// How the queue groups, retries and gives up for the time being. Times are milliseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueConfig {
    /// Most mailboxes in one task; at least 1.
    pub mailboxes_max: usize,
    /// So many seen states and subscriptions of one user are synced as one META.
    pub meta_from: usize,
    /// Pause after the first failure; doubled with each further one.
    pub retry_first_ms: u64,
    /// Longest pause between tries.
    pub retry_max_ms: u64,
    /// Pause after the first lock met; doubled with each further one.
    pub locked_first_ms: u64,
    /// Longest pause of a locked scope.
    pub locked_max_ms: u64,
    /// An entry is quarantined after so many failed tries...
    pub attempts_max: u32,
    /// ... when the first was so long ago.
    pub quarantine_after_ms: u64,
    /// Pause between tries of a quarantined entry.
    pub quarantine_retry_ms: u64,
    /// How long a mailbox waits that was deleted and is there again for the second time; doubled with each further time.
    pub comeback_first_ms: u64,
    /// Longest such pause; a name to which neither happened for twice as long begins anew.
    pub comeback_max_ms: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            mailboxes_max: 256,
            meta_from: 8,
            retry_first_ms: 5_000,
            retry_max_ms: 15 * 60_000,
            locked_first_ms: 500,
            locked_max_ms: 15_000,
            attempts_max: 6,
            quarantine_after_ms: 5 * 60_000,
            quarantine_retry_ms: 60 * 60_000,
            comeback_first_ms: 1_000,
            comeback_max_ms: 2 * 60_000,
        }
    }
}

/// Counts of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueState {
    /// Entries that wait for their turn.
    pub queued: usize,
    /// Tries of quarantined entries that wait for their turn: work for a connection, as what is queued is.
    pub probes: usize,
    /// Entries in tasks under way.
    pub in_flight: usize,
    /// Tasks under way.
    pub tasks: usize,
    /// Entries that failed, or whose scope is locked, and wait for their time.
    pub deferred: usize,
    /// Entries out of the others' way, tried again seldom.
    pub quarantined: usize,
    /// The oldest entry not yet done, quarantined ones left out.
    pub oldest_logged_at_ms: Option<u64>,
}

/// An entry that failed again and again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// What cannot be synced.
    pub action: Action,
    /// When it was written down.
    pub logged_at_ms: u64,
    /// When it came into quarantine.
    pub since_ms: u64,
    /// Failed tries so far.
    pub attempts: u32,
    /// What was said the last time.
    pub reason: String,
    /// When it is tried again.
    pub next_try_ms: u64,
}
