//! Message records and annotations, as `RECORD` lists carry them.

use crate::{Flags, Guid, SystemFlags, Text};

/// One annotation of a message or a mailbox.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Annotation {
    /// Entry name, such as `/comment`.
    pub entry: Text,
    /// Owner; empty means shared.
    pub userid: Text,
    /// Modseq of the annotation's last change; 0 for virtual ones.
    pub modseq: u64,
    /// Raw bytes; may hold CRLF and NUL.
    pub value: Text,
}

impl Annotation {
    /// Virtual annotation: thread id, 16 hex digits on the wire.
    pub const THRID: &'static [u8] = b"/vendor/cmu/cyrus-imapd/thrid";
    /// Virtual annotation: when the message was saved, decimal seconds.
    pub const SAVEDATE: &'static [u8] = b"/vendor/cmu/cyrus-imapd/savedate";
    /// Virtual annotation: modseq at creation, decimal.
    pub const CREATEDMODSEQ: &'static [u8] = b"/vendor/cmu/cyrus-imapd/createdmodseq";
    /// Virtual annotation of newer index versions: nanoseconds of the internal date.
    pub const INTERNALDATE_NSEC: &'static [u8] = b"/vendor/cmu/cyrus-imapd/internaldate.nsec";
    /// Virtual annotation of newer index versions: base thread id.
    pub const BASETHRID: &'static [u8] = b"/vendor/cmu/cyrus-imapd/basethrid";
}

/// One message of a mailbox, live or expunged.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// UID, never 0.
    pub uid: u32,
    /// Modseq of the last change.
    pub modseq: u64,
    /// Seconds since the epoch of the last change.
    pub last_updated: i64,
    /// System flags and keywords.
    pub flags: Flags,
    /// Seconds since the epoch.
    pub internaldate: i64,
    /// Bytes of the message.
    pub size: u64,
    /// SHA-1 of the message's bytes.
    pub guid: Guid,
    /// Annotations in the order sent, virtual ones among them.
    pub annotations: Vec<Annotation>,
}

impl Record {
    /// Whether the record is a tombstone.
    pub fn is_expunged(&self) -> bool {
        self.flags.system.contains(SystemFlags::EXPUNGED)
    }
}
