//! What a running `sync_server` tells of itself.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::metrics;

/// A server's numbers since it started. Counters go up only.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct ServerStatus {
    /// Program and version.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// When it started, milliseconds since the epoch.
    pub started_at_ms: u64,
    /// Where it listens.
    pub listens: Vec<String>,
    /// Connections that are open.
    pub open: u64,
    /// Connections that may be open.
    pub open_max: u64,
    /// Connections at work: those that have a thread and open databases.
    pub busy: u64,
    /// Connections that may be at work.
    pub busy_max: u64,
    /// Connections taken.
    pub connections: u64,
    /// Logins by mechanism.
    pub logins: BTreeMap<String, Logins>,
    /// Commands answered, by kind.
    pub commands: BTreeMap<&'static str, u64>,
    /// Of these, refused ones, by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Messages received.
    pub messages: u64,
    /// Their bytes.
    pub message_bytes: u64,
    /// Records written.
    pub records: u64,
    /// Bytes received, as they came over the wire.
    pub bytes_received: u64,
    /// Bytes sent, as they went over the wire.
    pub bytes_sent: u64,
    /// When a command was last answered, milliseconds since the epoch.
    pub last_command_at_ms: Option<u64>,
    /// The last refusal.
    pub last_error: Option<ServerError>,
}

/// Logins by one mechanism.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Logins {
    /// That were right.
    pub accepted: u64,
    /// That were not.
    pub refused: u64,
}

/// A command that was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ServerError {
    /// When, milliseconds since the epoch.
    pub at_ms: u64,
    /// The code of the answer.
    pub code: &'static str,
    /// What the peer was told.
    pub text: String,
    /// The mailbox or user it was about, where it is known.
    pub about: Option<String>,
}

/// Commands that were answered together.
#[derive(Clone, Default, Debug)]
pub struct Answered {
    /// Commands by kind.
    pub commands: BTreeMap<&'static str, u64>,
    /// Of these, refused ones, by code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Messages received.
    pub messages: u64,
    /// Their bytes.
    pub message_bytes: u64,
    /// Records written.
    pub records: u64,
    /// The last refusal among them.
    pub last_error: Option<ServerError>,
}

/// A server's numbers, counted from many threads.
#[derive(Debug, Default)]
pub struct Serving {
    status: Mutex<ServerStatus>,
}

impl Serving {
    /// Begins with what is known at the start.
    pub fn new(status: ServerStatus) -> Self {
        Serving {
            status: Mutex::new(status),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ServerStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers as they are now.
    pub fn status(&self) -> ServerStatus {
        self.lock().clone()
    }

    /// A connection was taken.
    pub fn connected(&self) {
        let mut status = self.lock();
        status.open += 1;
        status.connections += 1;
    }

    /// One is over.
    pub fn disconnected(&self) {
        let mut status = self.lock();
        status.open = status.open.saturating_sub(1);
    }

    /// A connection begins to work.
    pub fn work_began(&self) {
        self.lock().busy += 1;
    }

    /// It works no more.
    pub fn work_ended(&self) {
        let mut status = self.lock();
        status.busy = status.busy.saturating_sub(1);
    }

    /// Somebody tried to log in.
    pub fn login(&self, mechanism: &str, accepted: bool) {
        let mut status = self.lock();
        let logins = match status.logins.get_mut(mechanism) {
            Some(logins) => logins,
            None => status.logins.entry(mechanism.to_owned()).or_default(),
        };
        *(if accepted {
            &mut logins.accepted
        } else {
            &mut logins.refused
        }) += 1;
    }

    /// Commands were answered.
    pub fn answered(&self, answered: Answered, now_ms: u64) {
        let mut status = self.lock();
        for (kind, count) in answered.commands {
            *status.commands.entry(kind).or_default() += count;
        }
        for (code, count) in answered.errors {
            *status.errors.entry(code).or_default() += count;
        }
        status.messages += answered.messages;
        status.message_bytes += answered.message_bytes;
        status.records += answered.records;
        status.last_command_at_ms = Some(now_ms);
        if answered.last_error.is_some() {
            status.last_error = answered.last_error;
        }
    }

    /// What was sent together is answered.
    pub fn turn(&self, took: Duration) {
        metrics::server_turn(took);
    }

    /// The store did something of this kind.
    pub fn stored(&self, kind: &'static str, took: Duration) {
        metrics::server_stored(kind, took);
    }
}
