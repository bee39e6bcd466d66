//! Changes beside mail, its flags and the names of mailboxes.

use serde::{Deserialize, Serialize};

/// What a client changes of what is seldom changed. What cannot be done does nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are described by their variant's text")]
pub enum Wide {
    /// The owner has read a mailbox up to a UID.
    Seen { folder: usize, upto: u32 },
    /// A script gets a text; with 0 it goes.
    Script { nth: u8, value: u8 },
    /// A script becomes the active one, or none is.
    Activate { nth: Option<u8> },
    /// A quota root gets a limit in KiB, or goes.
    Quota { folder: usize, storage: Option<u32> },
    /// A mailbox gets other rights.
    Acl { folder: usize, value: u8 },
    /// A mailbox gets a note, or a special use; with 0 it goes.
    Note { folder: usize, value: u8, special: bool },
    /// The n-th live message is copied or moved to another mailbox.
    Copy {
        from: usize,
        nth: usize,
        to: usize,
        moves: bool,
    },
    /// All of the INBOX moves to a new mailbox, as IMAP's RENAME of an INBOX has it.
    RenameInbox { to: usize },
    /// A mailbox gets another UIDVALIDITY.
    Uidvalidity { folder: usize },
    /// A mailbox moves to another partition.
    Partition { folder: usize, nth: u8 },
    /// The server gets a note; with 0 it goes.
    Server { value: u8 },
    /// The user goes, with all mail.
    RemoveUser,
}

impl Wide {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Wide::Seen { .. } => "seen",
            Wide::Script { value: 0, .. } => "script removed",
            Wide::Script { .. } => "script",
            Wide::Activate { .. } => "script activated",
            Wide::Quota { storage: None, .. } => "quota removed",
            Wide::Quota { .. } => "quota",
            Wide::Acl { .. } => "acl",
            Wide::Note { special: false, .. } => "mailbox annotation",
            Wide::Note { special: true, .. } => "special use",
            Wide::Copy { moves: false, .. } => "copy",
            Wide::Copy { moves: true, .. } => "move",
            Wide::RenameInbox { .. } => "rename of an INBOX",
            Wide::Uidvalidity { .. } => "another UIDVALIDITY",
            Wide::Partition { .. } => "another partition",
            Wide::Server { .. } => "server annotation",
            Wide::RemoveUser => "user removed",
        }
    }
}
