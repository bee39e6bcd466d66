//! Changes made here and not by a peer: what a delivery, an import or an operator does to a store's own mailboxes.
//!
//! Everything is planned and nothing is done: each function takes what was loaded and answers with the
//! [`Change`](crate::ticket::Change)s of one transaction. UIDs, modseqs, `last_updated` and both CRCs come out as a
//! Cyrus master keeps them, so that a replica of any version accepts the result and a delta sees exactly what changed.
//! Clock and identities are arguments.

mod edit;
mod mailbox;
mod user;

#[cfg(test)]
mod tests;

pub use edit::{Incoming, MailboxEdit, canonical_keyword};
pub use mailbox::{NewMailbox, annotate, create, default_acl, delete, rename, set_acl};
pub use user::{activate_script, put_quota, put_script, remove_quota, remove_script, remove_user, subscribe};

use crate::flow::Now;
use crate::model::{Mailbox, Tombstone};

/// Keyword names a mailbox can hold; Cyrus has 128 slots and refuses the 129th.
pub const KEYWORDS_MAX: usize = 128;

/// When a change happens, and the modseq it has to be above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Wall-clock time of the change.
    pub now: Now,
    /// The highest modseq given out so far in the user's mailboxes; every change gets one above it.
    pub modseq_after: u64,
}

impl Moment {
    /// The moment behind everything that happened to these mailboxes and tombstones, which are those of one scope:
    /// modseqs count per user, so that a mailbox that moves or comes back never repeats one.
    pub fn behind(now: Now, mailboxes: &[Mailbox], tombstones: &[Tombstone]) -> Self {
        let live = mailboxes.iter().map(|m| m.highestmodseq.max(m.foldermodseq));
        let gone = tombstones.iter().map(|t| t.highestmodseq);
        Moment {
            now,
            modseq_after: live.chain(gone).max().unwrap_or(0),
        }
    }

    /// The modseq of a change to a mailbox whose own is `highest`.
    fn modseq_above(self, highest: u64) -> Result<u64, LocalError> {
        self.modseq_after
            .max(highest)
            .checked_add(1)
            .filter(|&m| m <= MODSEQ_MAX)
            .ok_or(LocalError::ModseqsUsedUp)
    }
}

/// Highest modseq; IMAP has them in 63 bits.
const MODSEQ_MAX: u64 = i64::MAX as u64;

/// Why a local change was not planned.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LocalError {
    /// The name cannot be a mailbox's.
    #[error(
        "{name:?} cannot be the name of a mailbox: parts must not be empty, and all bytes printable ASCII"
    )]
    BadName {
        /// As asked.
        name: String,
    },
    /// Another mailbox has the name.
    #[error("mailbox {name} exists already")]
    NameTaken {
        /// Internal name.
        name: String,
    },
    /// A mailbox below a user's INBOX needs the INBOX.
    #[error("mailbox {name} needs its user's INBOX, which does not exist")]
    NoInbox {
        /// Internal name.
        name: String,
    },
    /// A user's INBOX stays where it is.
    #[error("{name} is an INBOX; it can be neither renamed nor deleted, only go with its user")]
    IsInbox {
        /// Internal name.
        name: String,
    },
    /// The new name belongs to another user, or lies below the old one.
    #[error("{from} cannot become {to}: {reason}")]
    BadRename {
        /// Old internal name.
        from: String,
        /// New internal name.
        to: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A placeholder holds no messages.
    #[error("{name} is only a place in the hierarchy and holds no messages")]
    Placeholder {
        /// Internal name.
        name: String,
    },
    /// Not an IMAP keyword.
    #[error("{keyword:?} cannot be a keyword: it must be an atom and not begin with a backslash")]
    BadKeyword {
        /// As asked.
        keyword: String,
    },
    /// All keyword slots are taken.
    #[error("mailbox {name} has {KEYWORDS_MAX} keywords already, {keyword:?} would be one too many")]
    TooManyKeywords {
        /// Internal name.
        name: String,
        /// The one that did not fit.
        keyword: String,
    },
    /// The record is a tombstone.
    #[error("message {uid} of {name} is expunged")]
    Expunged {
        /// Internal name.
        name: String,
        /// The record.
        uid: u32,
    },
    /// UIDs end at 2^32 - 1.
    #[error("mailbox {name} has used up its UIDs")]
    UidsUsedUp {
        /// Internal name.
        name: String,
    },
    /// Modseqs end at 2^63 - 1.
    #[error("the modseqs of this user are used up")]
    ModseqsUsedUp,
}
