//! The errors both stores raise, in the same words.

use engine::name::Scope;
use engine::ticket::{Change, StoreError};
use protocol::{Guid, Text};

/// A scope as people call it.
pub(crate) fn scope(scope: &Scope) -> String {
    match scope {
        Scope::User(user) => format!("user {user}"),
        Scope::Shared => "the shared mailboxes".to_owned(),
    }
}

pub(crate) fn locked(held: &Scope) -> StoreError {
    StoreError::Locked { what: scope(held) }
}

pub(crate) fn no_mailbox(uniqueid: &Text) -> StoreError {
    StoreError::NotFound {
        what: format!("mailbox with unique id {uniqueid}"),
    }
}

pub(crate) fn no_message(guid: &Guid) -> StoreError {
    StoreError::NotFound {
        what: format!("message {guid}"),
    }
}

pub(crate) fn no_script(name: &Text) -> StoreError {
    StoreError::NotFound {
        what: format!("sieve script {name}"),
    }
}

pub(crate) fn name_taken(name: &Text) -> StoreError {
    StoreError::Conflict {
        what: format!("mailbox name {name}"),
    }
}

pub(crate) fn misuse(what: &'static str) -> StoreError {
    StoreError::Misuse { what }
}

pub(crate) const BEGIN_WITHIN_WRITE: &str = "Begin within a transaction";
pub(crate) const BEGIN_WITHIN_READ: &str = "Begin in a scope that BeginRead holds";
pub(crate) const READ_WITHIN_READ: &str = "BeginRead in a scope that is held already";
pub(crate) const READ_WITHIN_WRITE: &str = "BeginRead in the scope of the open transaction";
pub(crate) const NO_WRITE: &str = "a change outside a transaction";
pub(crate) const NO_SAVEPOINT: &str = "RollbackToSavepoint without Savepoint";
pub(crate) const FAILED_WRITE: &str = "Commit, Savepoint or Write after a failed Write";
pub(crate) const MOVE_WITHIN: &str = "MoveMailbox within a transaction";
pub(crate) const MOVE_IDENTITY: &str = "MoveMailbox within a scope to another identity";
pub(crate) const OTHER_TOMBSTONE: &str = "RemoveMailbox with another mailbox's tombstone";
pub(crate) const WRONG_SCOPE: &str = "a change that does not belong into the transaction's scope";

/// Whether a change may be made in a transaction of `scope`.
pub(crate) fn belongs(scope: &Scope, change: &Change) -> bool {
    match change {
        Change::PutMailbox(mailbox) => Scope::of(&mailbox.name) == *scope,
        Change::PutSeen(_)
        | Change::Subscribe { .. }
        | Change::Unsubscribe { .. }
        | Change::PutScript(_)
        | Change::RemoveScript { .. }
        | Change::ActivateScript { .. }
        | Change::RemoveUser { .. } => *scope != Scope::Shared,
        Change::PutServerAnnotation(_) | Change::RemoveServerAnnotation { .. } => *scope == Scope::Shared,
        Change::RemoveMailbox { .. }
        | Change::ClearRecords { .. }
        | Change::PutRecords { .. }
        | Change::PutQuota(_)
        | Change::RemoveQuota { .. } => true,
    }
}
