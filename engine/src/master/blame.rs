//! What kind of trouble an item met, for whoever decides how to go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::response::Code;

use super::task::FailureKind;
use crate::ticket::StoreError;

/// What was met so far; clones are the same item's.
#[derive(Clone, Default)]
pub(super) struct Blame {
    met: Arc<Mutex<Met>>,
}

#[derive(Clone, Copy, Default)]
struct Met {
    locked: bool,
    local: bool,
}

impl Blame {
    fn lock(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The replica refused something.
    pub(super) fn note_refusal(&self, code: &Code) {
        if *code == Code::MailboxLocked {
            self.lock().locked = true;
        }
    }

    /// Somebody else may do it within a short while.
    pub(super) fn note_waiting(&self) {
        self.lock().locked = true;
    }

    /// The store here could not do something.
    pub(super) fn note_store(&self, error: &StoreError) {
        match error {
            StoreError::Locked { .. } => self.lock().locked = true,
            StoreError::NotFound { .. } => {}
            _ => self.lock().local = true,
        }
    }

    /// The kind to name for an item that failed.
    pub(super) fn kind(&self) -> FailureKind {
        let met = *self.lock();
        match met {
            Met { locked: true, .. } => FailureKind::Locked,
            Met { local: true, .. } => FailureKind::Local,
            Met { .. } => FailureKind::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: StoreError) -> FailureKind {
        let blame = Blame::default();
        blame.note_store(&error);
        blame.kind()
    }

    #[test]
    fn what_the_store_says_decides_the_kind() {
        assert_eq!(
            kind(StoreError::Locked { what: "jane".into() }),
            FailureKind::Locked
        );
        assert_eq!(
            kind(StoreError::NotFound { what: "jane".into() }),
            FailureKind::Refused
        );
        assert_eq!(kind(StoreError::Misuse { what: "a test" }), FailureKind::Local);
    }

    #[test]
    fn a_lock_counts_more_than_trouble_here() {
        let blame = Blame::default();
        blame.note_store(&StoreError::Misuse { what: "a test" });
        blame.note_refusal(&Code::MailboxNonexistent);
        assert_eq!(blame.kind(), FailureKind::Local);
        blame.note_refusal(&Code::MailboxLocked);
        assert_eq!(blame.kind(), FailureKind::Locked);
    }
}
