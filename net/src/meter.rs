//! What a server counts, told to whoever counts it.

use std::sync::Arc;
use std::time::Duration;

use engine::replica::Answers;
use engine::ticket::Request;

/// Takes note of what happens in a server; called often, from many threads, so it must be quick.
pub trait Meter: Send + Sync {
    /// Something happened.
    fn note(&self, event: Event<'_>);
}

/// What happens in a server.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A connection was taken.
    Connected,
    /// One is over.
    Disconnected,
    /// A store session begins to work.
    WorkBegan,
    /// It rests, or is over.
    WorkEnded,
    /// Somebody tried to log in.
    Login {
        /// How, one of the names that are offered or `other`.
        mechanism: &'a str,
        /// Whether that was right.
        accepted: bool,
    },
    /// Commands were answered.
    Answered(&'a Answers),
    /// All that a peer sent together is answered.
    Turn {
        /// From its first byte.
        took: Duration,
    },
    /// The store did something.
    Stored {
        /// `read`, `stage`, `write` or `commit`.
        kind: &'static str,
        /// How long it took, waiting for locks included.
        took: Duration,
    },
}

/// The kind of a storage request, for [`Event::Stored`].
pub(crate) fn kind(request: &Request) -> &'static str {
    match request {
        Request::Stage(_) | Request::ForgetStaged | Request::Reserve { .. } => "stage",
        Request::Begin { .. }
        | Request::Savepoint
        | Request::RollbackToSavepoint
        | Request::Write(_)
        | Request::Expire { .. }
        | Request::Rollback => "write",
        Request::Commit | Request::MoveMailbox { .. } => "commit",
        _ => "read",
    }
}

/// The name of a SASL mechanism, for [`Event::Login`]: what peers make up themselves is all one.
pub(crate) fn mechanism(asked: &str) -> &'static str {
    ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "EXTERNAL"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(asked))
        .unwrap_or("other")
}

/// Says that a session works, for as long as it exists.
pub(crate) struct AtWork(Arc<dyn Meter>);

impl AtWork {
    pub(crate) fn new(meter: Arc<dyn Meter>) -> Self {
        meter.note(Event::WorkBegan);
        AtWork(meter)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.note(Event::WorkEnded);
    }
}
