//! What a master says: command lines as typed values.
//!
//! String arguments are `Option<Text>`: `None` is NIL, an absent key, or a value of another kind. Whether that is an
//! error, and which, is the replica's rule.

use crate::{Guid, MailboxLine, Text};

/// One complete command without a streaming list.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields are named by what the protocol calls them")]
pub enum Command {
    /// `NOOP`.
    Noop,
    /// `EXIT`.
    Exit,
    /// `RESTART`: forget what is staged.
    Restart,
    /// `STARTTLS`.
    StartTls,
    /// `AUTHENTICATE mechanism [initial-response]`; the response is still base64.
    Authenticate { mechanism: Text, initial: Option<Text> },
    /// `COMPRESS algorithm`, as typed.
    Compress { algorithm: Text },
    /// `GET ...`.
    Get(Get),
    /// `APPLY ...` of the kinds that do not stream.
    Apply(Apply),
    /// `RESTORE` of anything but a mailbox.
    RestoreUnknown(Text),
    /// An IMAP client's probe: a tagged line such as `C01 CAPABILITY`; the tag.
    TaggedProbe { tag: Text },
}

/// `GET` commands.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub enum Get {
    /// Everything about a user.
    User(Option<Text>),
    /// A user's seen, subscriptions and sieve.
    Meta(Option<Text>),
    /// Mailboxes by name; `None` when the argument is not a list; NIL items are dropped.
    Mailboxes(Option<Vec<Text>>),
    /// Mailboxes by unique id.
    Uniqueids(Option<Vec<Text>>),
    /// One mailbox with all its records.
    FullMailbox(Option<Text>),
    /// A quota root.
    Quota(Option<Text>),
    /// Annotations of a mailbox; the empty name is the server.
    Annotation(Option<Text>),
    /// One message's bytes.
    Fetch(Fetch),
    /// One sieve script.
    FetchSieve {
        userid: Option<Text>,
        filename: Option<Text>,
    },
    /// A keyword this version does not know.
    Unknown(Text),
}

/// Arguments of `GET FETCH`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub struct Fetch {
    pub mboxname: Option<Text>,
    pub partition: Option<Text>,
    pub uniqueid: Option<Text>,
    pub guid: Option<Guid>,
    pub uid: Option<u32>,
}

/// `APPLY` commands that come as one line; `MESSAGE` and `MAILBOX` stream and have events of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub enum Apply {
    Reserve(Reserve),
    Expunge {
        mboxname: Option<Text>,
        uniqueid: Option<Text>,
        uids: Option<Vec<u32>>,
    },
    Rename {
        oldmboxname: Option<Text>,
        newmboxname: Option<Text>,
        partition: Option<Text>,
        uidvalidity: Option<u32>,
        local: bool,
    },
    Unmailbox {
        mboxname: Option<Text>,
        local: bool,
    },
    Unuser {
        userid: Option<Text>,
        local: bool,
    },
    Sub {
        mboxname: Option<Text>,
        userid: Option<Text>,
    },
    Unsub {
        mboxname: Option<Text>,
        userid: Option<Text>,
    },
    Seen(Seen),
    Quota(Quota),
    Unquota {
        root: Option<Text>,
    },
    Sieve {
        userid: Option<Text>,
        filename: Option<Text>,
        last_update: Option<i64>,
        content: Option<Text>,
    },
    Unsieve {
        userid: Option<Text>,
        filename: Option<Text>,
    },
    ActivateSieve {
        userid: Option<Text>,
        filename: Option<Text>,
    },
    UnactivateSieve {
        userid: Option<Text>,
    },
    Annotation {
        mboxname: Option<Text>,
        entry: Option<Text>,
        userid: Option<Text>,
        value: Option<Text>,
    },
    Unannotation {
        mboxname: Option<Text>,
        entry: Option<Text>,
        userid: Option<Text>,
    },
    Force,
    Capabilities(Option<Vec<Text>>),
    Unknown(Text),
}

/// Arguments of `APPLY RESERVE`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reserve {
    /// Partition the messages will be appended on.
    pub partition: Option<Text>,
    /// Mailboxes worth searching.
    pub mboxnames: Option<Vec<Text>>,
    /// Wanted messages; `None` when absent or when one of them is not a GUID.
    pub guids: Option<Vec<Guid>>,
}

/// A reader's seen state of one mailbox (`APPLY SEEN`; without the user id in `GET` answers).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub struct Seen {
    pub userid: Option<Text>,
    pub uniqueid: Option<Text>,
    pub lastread: Option<i64>,
    pub lastuid: Option<u32>,
    pub lastchange: Option<i64>,
    pub seenuids: Option<Text>,
}

/// A quota root and its limits; `None` is unlimited.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quota {
    /// Root name.
    pub root: Option<Text>,
    /// `LIMIT`: the storage limit in KiB in its old spelling; 4294967295 is unlimited.
    pub limit: Option<u32>,
    /// `STORAGE`, KiB.
    pub storage: Option<u32>,
    /// `MESSAGE`, messages.
    pub message: Option<u32>,
    /// `ANNOTATION-STORAGE` or `X-ANNOTATION-STORAGE`, KiB; the first spelling wins.
    pub annotation_storage: Option<u32>,
    /// `MAILBOX` or `X-NUM-FOLDERS`, folders; the first spelling wins.
    pub num_folders: Option<u32>,
    /// Modseq of the last change.
    pub modseq: Option<u64>,
}

/// A list that streams: what its line began with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(
    missing_docs,
    reason = "`line` holds the keys before RECORD; `local` is the LOCAL_ form of the keyword"
)]
pub enum Streaming {
    /// `APPLY MESSAGE (`: files follow.
    Message,
    /// `APPLY MAILBOX` or `APPLY LOCAL_MAILBOX`: records follow.
    Mailbox { line: Box<MailboxLine>, local: bool },
    /// `RESTORE MAILBOX` or `RESTORE LOCAL_MAILBOX`: records follow.
    Restore { line: Box<MailboxLine>, local: bool },
}

/// Head of a file literal `%{partition guid size}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileHead {
    /// Partition to stage on.
    pub partition: Text,
    /// Announced identity; verified by whoever keeps the bytes.
    pub guid: Guid,
    /// Bytes that follow.
    pub size: u64,
}
