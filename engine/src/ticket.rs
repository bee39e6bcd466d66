//! Storage tickets: what the machines ask of a store, and its answers.
//!
//! A store session belongs to one connection and answers requests strictly in order. Reads see the session's own
//! uncommitted changes. A write transaction covers one [`Scope`]; between [`Request::Begin`] and [`Request::Commit`]
//! nobody else sees any of it, and after a crash it is there as a whole or not at all.

use bytes::Bytes;
use protocol::{Guid, Record, Text};

use crate::model::{
    Mailbox, MailboxKey, QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone, UserMeta,
    UserSummary,
};
use crate::name::Scope;

/// Names a request so that its answer finds it; counts up within a machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TicketId(pub u64);

/// What a machine asks of its store session.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "fields are described by their variant's text")]
pub enum Request {
    /// Users who have an INBOX, sorted, whose id starts with the prefix. Answer: [`Reply::Names`].
    Users { prefix: Text },
    /// Mailboxes, placeholders included, tombstones not. Answer: [`Reply::Mailboxes`].
    Mailboxes(Select),
    /// Deleted mailboxes still remembered. Answer: [`Reply::Tombstones`].
    Tombstones { scope: Scope },
    /// What a deleted mailbox held when it was deleted: UIDs with their messages' GUIDs, ascending from above `above_uid`,
    /// at most `limit`, expunged ones included; none for a mailbox that no tombstone remembers. [CS-SPLIT-12]
    /// Answer: [`Reply::Deleted`].
    Deleted {
        scope: Scope,
        uniqueid: Text,
        above_uid: u32,
        limit: u32,
    },
    /// Seen, subscriptions, scripts; empty for an unknown user. Answer: [`Reply::UserMeta`].
    UserMeta { user: Text },
    /// Quota roots of a scope, sorted by name; none for an unknown one. Answer: [`Reply::Quotas`].
    Quotas { scope: Scope },
    /// Annotations of the server. Answer: [`Reply::ServerAnnotations`].
    ServerAnnotations,
    /// UIDs of records with a modseq above the given one, ascending; 0 asks for all. Answer: [`Reply::Uids`].
    ChangedUids { mailbox: MailboxKey, since_modseq: u64 },
    /// Records by UID, ascending; those that do not exist are left out. Answer: [`Reply::Records`].
    Records { mailbox: MailboxKey, uids: UidSelect },
    /// A part of a message's bytes, staged or stored, from `offset`, at most `len_max` bytes; empty at the end.
    /// Answer: [`Reply::Bytes`]; [`StoreError::NotFound`] when the scope has no such message.
    ReadMessage {
        scope: Scope,
        guid: Guid,
        offset: u64,
        len_max: u32,
    },
    /// Whole messages in one go, for small ones: from the front of the list as many as fit into `bytes_max`, at least
    /// one. Answer: [`Reply::Messages`], in request order; a missing message is `None`.
    ReadMessages {
        scope: Scope,
        guids: Vec<Guid>,
        bytes_max: u32,
    },
    /// All that is compared of a user, as of one moment: cheaper than asking one by one. Answer: [`Reply::Summary`], empty
    /// for an unknown user.
    Summary { user: Text },
    /// Holds the scope's present state for the reads that follow, until [`Request::EndRead`]. Several scopes may be held
    /// at once, each once; a held scope cannot be written to by the same session. Answer: [`Reply::Done`].
    BeginRead { scope: Scope },
    /// Lets go of what [`Request::BeginRead`] held. Answer: [`Reply::Done`].
    EndRead { scope: Scope },

    /// Finds messages in the scopes of the named mailboxes and keeps them staged. Answer: [`Reply::Missing`].
    Reserve {
        partition: Text,
        mailboxes: Vec<Text>,
        guids: Vec<Guid>,
    },
    /// Message bytes as they arrive, in order; a message may span requests. Each is hashed; one whose SHA-1 or size is
    /// not as announced is dropped and reported. Staged messages live until [`Request::ForgetStaged`] or the
    /// session's end, and are not durable. Answer: [`Reply::Staged`].
    Stage(Vec<StagePart>),
    /// Drops all that is staged. Answer: [`Reply::Done`].
    ForgetStaged,

    /// Opens a write transaction; [`StoreError::Locked`] when another session holds the scope for too long.
    /// Creates the scope's database when there is none. Answer: [`Reply::Done`].
    Begin { scope: Scope },
    /// Marks a point in the open transaction to return to; replaces the mark before. Answer: [`Reply::Done`].
    Savepoint,
    /// Undoes everything since the mark; the transaction stays open. Answer: [`Reply::Done`].
    RollbackToSavepoint,
    /// Applies changes in order within the open transaction; the first that fails ends the list, and the machine rolls
    /// back. Answer: [`Reply::Done`].
    Write(Vec<Change>),
    /// Makes the transaction durable; the answer comes after the bytes are on the disk. Answer: [`Reply::Done`].
    Commit,
    /// Drops, within the open transaction, the messages of expunged records last updated before this time (seconds since
    /// the epoch), and forgets the tombstones of mailboxes deleted before it. The records stay, and so does every message
    /// that another record holds. Answer: [`Reply::Expired`].
    Expire { before: i64 },
    /// Undoes the transaction. Answer: [`Reply::Done`].
    Rollback,
    /// Moves a mailbox with records and messages to another scope, under `to`'s name and values. Durable in the target
    /// before it is gone from the source. Outside any transaction. Answer: [`Reply::Done`].
    MoveMailbox { from: MailboxKey, to: Box<Mailbox> },
}

/// Which mailboxes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Select {
    /// A user's: INBOX and its tree in byte order of names, then `DELETED.user.<id>.*`.
    User(Text),
    /// By name, in the order asked, missing ones left out.
    Names(Vec<Text>),
    /// By identity anywhere, in the order asked, missing ones left out.
    Uniqueids(Vec<Text>),
    /// Those of nobody, in byte order of names.
    Shared,
}

/// Which records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UidSelect {
    /// These, ascending.
    List(Vec<u32>),
    /// From this UID on, at most `limit` records.
    From {
        /// First UID wanted.
        uid: u32,
        /// Most records wanted.
        limit: u32,
    },
}

/// A piece of the stream of staged messages.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields are described by their variant's text")]
pub enum StagePart {
    /// A message begins.
    Open { partition: Text, guid: Guid, size: u64 },
    /// Its bytes go on.
    Data(Bytes),
    /// It is complete.
    Close,
    /// It will not be completed; what came of it is dropped.
    Abort,
}

/// One change within a transaction, in the transaction's scope.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "fields are described by their variant's text")]
pub enum Change {
    /// Creates or replaces a mailbox by its identity: values, annotations, keyword table and CRCs as given; records
    /// untouched. A placeholder of the same name and another identity gives way; a mailbox does not
    /// ([`StoreError::Conflict`]). A tombstone of the identity is dropped.
    PutMailbox(Box<Mailbox>),
    /// Removes a mailbox with its records and leaves a tombstone when one is given, with UIDs and GUIDs of the records
    /// for [`Request::Deleted`]; messages that nothing names any more go with it.
    RemoveMailbox {
        uniqueid: Text,
        tombstone: Option<Tombstone>,
    },
    /// Removes all records of a mailbox, not the mailbox.
    ClearRecords { uniqueid: Text },
    /// Creates or replaces records by UID. A record whose message the scope does not hold yet takes it from the staged
    /// ones of `partition`; a live record without any is [`StoreError::NotStaged`], an expunged one is stored without.
    PutRecords {
        uniqueid: Text,
        partition: Text,
        records: Vec<Record>,
    },
    /// Creates or replaces a seen state of the scope's user.
    PutSeen(SeenState),
    /// Adds a subscription of the scope's user.
    Subscribe { mailbox: Text },
    /// Removes one; absent is fine.
    Unsubscribe { mailbox: Text },
    /// Creates or replaces a quota root.
    PutQuota(QuotaLimits),
    /// Removes one; absent is fine.
    RemoveQuota { root: Text },
    /// Creates or replaces a script.
    PutScript(SieveScript),
    /// Removes one, and its activation; absent is fine.
    RemoveScript { name: Text },
    /// Makes a script the active one, or none.
    ActivateScript { name: Option<Text> },
    /// Sets an annotation of the server ([`Scope::Shared`] only).
    PutServerAnnotation(ServerAnnotation),
    /// Removes one; absent is fine.
    RemoveServerAnnotation { entry: Text, userid: Text },
    /// Removes everything of the scope's user but tombstones and mailboxes below `DELETED.`; each removed mailbox
    /// leaves a tombstone dated `deleted_at` (seconds since the epoch).
    RemoveUser { deleted_at: i64 },
}

/// A store's answer.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "each variant is described at the request it answers")]
pub enum Reply {
    Done,
    Names(Vec<Text>),
    Mailboxes(Vec<Mailbox>),
    Tombstones(Vec<Tombstone>),
    Deleted(Vec<(u32, Guid)>),
    UserMeta(UserMeta),
    Quotas(Vec<QuotaLimits>),
    ServerAnnotations(Vec<ServerAnnotation>),
    Summary(Box<UserSummary>),
    Expired(Expired),
    Uids(Vec<u32>),
    Records(Vec<Record>),
    /// `size` is that of the whole message.
    Bytes {
        size: u64,
        data: Bytes,
    },
    Messages(Vec<Option<Bytes>>),
    Missing(Vec<Guid>),
    /// Messages completed in this request whose bytes were not what was announced.
    Staged {
        refused: Vec<RefusedMessage>,
    },
}

/// What [`Request::Expire`] dropped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Expired {
    /// Expunged records that held a message until now.
    pub records: u64,
    /// Messages that nothing holds any more.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Tombstones of mailboxes.
    pub tombstones: u64,
}

/// A message that was not what it claimed to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedMessage {
    /// What was announced.
    pub announced: Guid,
    /// What its bytes hash to.
    pub actual: Guid,
}

/// Why a store could not do what was asked. After an error inside a transaction the machine rolls back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another session holds the scope.
    #[error("{what} is in use by another connection; try again later")]
    Locked {
        /// What is held.
        what: String,
    },
    /// No such mailbox, record or message.
    #[error("{what} does not exist")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// A live record names a message that is neither stored nor staged.
    #[error("message {guid} of UID {uid} was never uploaded")]
    NotStaged {
        /// The record.
        uid: u32,
        /// The message.
        guid: Guid,
    },
    /// The name or identity is taken.
    #[error("{what} is taken by another mailbox")]
    Conflict {
        /// The name or unique id.
        what: String,
    },
    /// No room.
    #[error("no space left on the device that holds {path}; free some and try again")]
    Full {
        /// The file.
        path: String,
    },
    /// The file or its file system cannot be written.
    #[error("{path} is read-only; check its permissions and its file system")]
    ReadOnly {
        /// The file.
        path: String,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({detail}); run `mailtwin verify`, and restore the file or replicate the user again"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// What was found.
        detail: String,
    },
    /// Written by a newer program.
    #[error("{path} has schema version {found}, this program knows {known}; use a newer mailtwin")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Anything else the operating system or the database said.
    #[error("{path}: {detail}")]
    Io {
        /// The file.
        path: String,
        /// What was said.
        detail: String,
    },
    /// The machine asked for something out of order; a bug.
    #[error("storage request out of order: {what}")]
    Misuse {
        /// The request.
        what: &'static str,
    },
}

/// Answers tickets in order; one a connection. Implemented by the stores, driven by whoever drives the machine.
pub trait Session: Send {
    /// Does one request, however long it takes.
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError>;

    /// Nothing is asked for a while: gives back what can be had again, such as open files and caches. Nothing that
    /// answers depend on is touched: open transactions, held reads and staged messages stay. May take as long as a request.
    fn rest(&mut self) -> Resting {
        Resting::Free
    }
}

/// What a session that rests still holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resting {
    /// Nothing that another session may wait for.
    Free,
    /// An open transaction. Whoever limits how many sessions work at a time lets this one go on at once, for the others
    /// may be waiting for it.
    Holding,
}
