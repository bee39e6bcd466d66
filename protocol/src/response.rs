//! What a replica says: data lines and final lines as typed values.

use crate::command::{FileHead, Quota, Seen};
use crate::{Guid, MailboxLine, Text};

/// The code of a `NO` reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Code {
    /// `IMAP_INVALID_USER`.
    InvalidUser,
    /// `IMAP_MAILBOX_NONEXISTENT`.
    MailboxNonexistent,
    /// `IMAP_MAILBOX_LOCKED`.
    MailboxLocked,
    /// `IMAP_MAILBOX_MOVED`.
    MailboxMoved,
    /// `IMAP_MAILBOX_NOTSUPPORTED`.
    MailboxNotSupported,
    /// `IMAP_PERMISSION_DENIED`.
    PermissionDenied,
    /// `IMAP_SYNC_CHECKSUM`.
    SyncChecksum,
    /// `IMAP_SYNC_CHANGED`.
    SyncChanged,
    /// `IMAP_SYNC_BADSIEVE`.
    SyncBadSieve,
    /// `IMAP_PROTOCOL_ERROR`.
    ProtocolError,
    /// `IMAP_PROTOCOL_BAD_PARAMETERS`.
    BadParameters,
    /// No code, or one this version does not know.
    Other,
}

impl Code {
    /// Every code with its wire word and Cyrus's text for it (`BadParameters` has none).
    pub const WORDS: [(Code, &'static str, &'static str); 11] = [
        (Code::InvalidUser, "IMAP_INVALID_USER", "No Such User"),
        (
            Code::MailboxNonexistent,
            "IMAP_MAILBOX_NONEXISTENT",
            "No Such Mailbox",
        ),
        (Code::MailboxLocked, "IMAP_MAILBOX_LOCKED", "Mailbox locked"),
        (
            Code::MailboxMoved,
            "IMAP_MAILBOX_MOVED",
            "Mailbox exists with another name or uniqueid",
        ),
        (
            Code::MailboxNotSupported,
            "IMAP_MAILBOX_NOTSUPPORTED",
            "Operation is not supported on mailbox",
        ),
        (
            Code::PermissionDenied,
            "IMAP_PERMISSION_DENIED",
            "Permission denied",
        ),
        (Code::SyncChecksum, "IMAP_SYNC_CHECKSUM", "Checksum Failure"),
        (Code::SyncChanged, "IMAP_SYNC_CHANGED", "Changed since last sync"),
        (
            Code::SyncBadSieve,
            "IMAP_SYNC_BADSIEVE",
            "Sieve script compilation failure",
        ),
        (Code::ProtocolError, "IMAP_PROTOCOL_ERROR", "Protocol error"),
        (Code::BadParameters, "IMAP_PROTOCOL_BAD_PARAMETERS", ""),
    ];
}

/// The line that ends a command's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Final {
    /// `OK text`.
    Ok(Text),
    /// `NO [code] text`.
    No(Code, Text),
    /// `BAD text`.
    Bad(Text),
    /// `BYE text`: the peer is going away.
    Bye(Text),
    /// `+ text`: a SASL challenge (base64).
    Continue(Text),
}

/// One complete data line without a streaming list.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub enum Data {
    /// A banner line such as `* SASL PLAIN`: name and arguments. `* OK ...` is [`Data::Banner`].
    Capability {
        name: Text,
        arguments: Vec<Text>,
    },
    /// `* OK ...`: the banner's last line.
    Banner(Text),
    /// `* ENABLED (...)`.
    Enabled(Vec<Text>),
    /// `* MAILBOX %(...)` without a `RECORD` list.
    Mailbox(Box<MailboxLine>),
    Quota(Quota),
    Seen(Seen),
    Lsub(Vec<Text>),
    Sieve(Sieve),
    Annotation {
        mboxname: Option<Text>,
        entry: Option<Text>,
        userid: Option<Text>,
        value: Option<Text>,
    },
    Missing(Vec<Guid>),
    /// `* MESSAGE NIL`: the peer's copy is damaged or gone.
    MessageNil,
    /// A well-formed data line of a name this version does not know.
    Unknown(Text),
}

/// A sieve script in a listing or, with content, as fetched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub struct Sieve {
    pub userid: Option<Text>,
    pub filename: Option<Text>,
    pub last_update: Option<i64>,
    pub guid: Option<Guid>,
    pub isactive: bool,
    pub content: Option<Text>,
}

/// A data line that streams: what it began with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StreamingData {
    /// `* MAILBOX %(... RECORD (`: records follow.
    Mailbox(Box<MailboxLine>),
    /// `* MESSAGE %{...}`: one file follows.
    Message(FileHead),
}
