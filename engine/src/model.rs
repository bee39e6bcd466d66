//! What a store holds, as the machines see it.

use protocol::{Annotation, Guid, MailboxOptions, Text};

use crate::crc::SyncCrc;
use crate::name::Scope;

/// A mailbox without its records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mailbox {
    /// Internal name; an attribute, not the identity.
    pub name: Text,
    /// The identity.
    pub uniqueid: Text,
    /// Id for JMAP (newest peers only).
    pub jmapid: Option<Text>,
    /// Type letters; empty for a plain mail folder. A letter `i` makes it a placeholder without records.
    pub mbtype: Text,
    /// Partition label; the store keeps it for the way back.
    pub partition: Text,
    /// `id TAB rights TAB ...`.
    pub acl: Text,
    /// Option letters.
    pub options: MailboxOptions,
    /// Quota root the peer reported, if any.
    pub quotaroot: Option<Text>,
    /// Never goes back.
    pub uidvalidity: u32,
    /// Highest UID ever given out; never goes back.
    pub last_uid: u32,
    /// Never goes back.
    pub highestmodseq: u64,
    /// Highest UID that was not `\Recent` any more.
    pub recentuid: u32,
    /// Seconds since the epoch.
    pub recenttime: i64,
    /// Seconds since the epoch.
    pub last_appenddate: i64,
    /// Seconds since the epoch.
    pub pop3_last_login: i64,
    /// Seconds since the epoch.
    pub pop3_show_after: i64,
    /// Modseq of conversations; `None` when the peer has none.
    pub xconvmodseq: Option<u64>,
    /// Modseq of reverse ACLs; 0 when unused.
    pub raclmodseq: u64,
    /// Modseq at creation.
    pub createdmodseq: u64,
    /// Modseq of the last change to the mailbox itself.
    pub foldermodseq: u64,
    /// Modseq below which tombstones of records may be gone.
    pub deletedmodseq: u64,
    /// Group memberships of the owner, TAB-joined (newer peers).
    pub usergroups: Option<Text>,
    /// Whether email ids are in the compact form (newest peers).
    pub compact_emailids: Option<u32>,
    /// Index version to create with (newest peers).
    pub version: Option<u32>,
    /// Annotations of the mailbox itself.
    pub annotations: Vec<Annotation>,
    /// Keyword names in slot order.
    pub userflags: Vec<Text>,
    /// Kept with every change, never recomputed on the way.
    pub crc: SyncCrc,
}

impl Mailbox {
    /// Whether this is an intermediate: a place in the name space without records.
    pub fn is_placeholder(&self) -> bool {
        self.mbtype.contains(&b'i')
    }

    /// Where it lives.
    pub fn key(&self) -> MailboxKey {
        MailboxKey {
            scope: Scope::of(&self.name),
            uniqueid: self.uniqueid.clone(),
        }
    }
}

/// What addresses a mailbox in a store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MailboxKey {
    /// The database.
    pub scope: Scope,
    /// The mailbox in it.
    pub uniqueid: Text,
}

/// What is remembered of a mailbox that was deleted, so that the delete can travel on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tombstone {
    /// Its identity.
    pub uniqueid: Text,
    /// Its last name.
    pub name: Text,
    /// Its last HIGHESTMODSEQ.
    pub highestmodseq: u64,
    /// Its last UIDVALIDITY; 0 where that was not remembered.
    pub uidvalidity: u32,
    /// Seconds since the epoch of the delete.
    pub deleted_at: i64,
    /// Whether nobody deleted it: it was never used, and gave its name to another mailbox. [CS-SPLIT-43]
    pub gave_way: bool,
}

/// A reader's seen state of one mailbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenState {
    /// The mailbox, by its identity.
    pub uniqueid: Text,
    /// Seconds since the epoch.
    pub lastread: i64,
    /// Highest UID seen as not recent.
    pub lastuid: u32,
    /// Seconds since the epoch.
    pub lastchange: i64,
    /// IMAP sequence such as `1:3,5`; may be empty.
    pub seenuids: Text,
}

/// A sieve script that travels by the SIEVE commands (not as a message of a `#sieve` mailbox).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SieveScript {
    /// Name without extension.
    pub name: Text,
    /// Seconds since the epoch.
    pub last_update: i64,
    /// SHA-1 of the content.
    pub guid: Guid,
    /// The script.
    pub content: Text,
}

/// What belongs to a user beside the mailboxes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserMeta {
    /// The user's seen states, by unique id.
    pub seen: Vec<SeenState>,
    /// Subscribed mailbox names, sorted.
    pub subscriptions: Vec<Text>,
    /// Scripts by name.
    pub scripts: Vec<SieveScript>,
    /// Name of the active script.
    pub active_script: Option<Text>,
}

/// A user without records and messages: what a master compares before it looks further.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserSummary {
    /// Mailboxes, placeholders included: INBOX and its tree in byte order of names, then `DELETED.user.<id>.*`.
    pub mailboxes: Vec<Mailbox>,
    /// Deleted mailboxes still remembered, by identity.
    pub tombstones: Vec<Tombstone>,
    /// Quota roots by name.
    pub quotas: Vec<QuotaLimits>,
    /// Seen, subscriptions, scripts.
    pub meta: UserMeta,
}

/// A quota root; `None` is unlimited.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuotaLimits {
    /// Root name.
    pub root: Text,
    /// KiB.
    pub storage: Option<u32>,
    /// Messages.
    pub message: Option<u32>,
    /// KiB.
    pub annotation_storage: Option<u32>,
    /// Folders.
    pub num_folders: Option<u32>,
    /// Modseq of the last change.
    pub modseq: u64,
}

/// An annotation of the server itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerAnnotation {
    /// Entry name.
    pub entry: Text,
    /// Owner; empty means shared.
    pub userid: Text,
    /// Raw bytes.
    pub value: Text,
}
