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
