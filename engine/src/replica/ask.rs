//! Questions to the store, with the answer's kind checked.

use protocol::command::FileHead;
use protocol::{Guid, Record, Text};

use super::session::Conn;
use crate::model::{Mailbox, MailboxKey, QuotaLimits, ServerAnnotation, Tombstone, UserMeta, UserSummary};
use crate::name::Scope;
use crate::ticket::{Reply, Request, Select, StoreError, UidSelect};

/// An answer that does not belong to its question.
const MISMATCH: StoreError = StoreError::Misuse {
    what: "the answer does not fit the question",
};

/// The records of an answer.
pub(super) fn records_of(reply: Reply) -> Result<Vec<Record>, StoreError> {
    match reply {
        Reply::Records(records) => Ok(records),
        _ => Err(MISMATCH),
    }
}

/// Size and bytes of an answer.
pub(super) fn bytes_of(reply: Reply) -> Result<(u64, bytes::Bytes), StoreError> {
    match reply {
        Reply::Bytes { size, data } => Ok((size, data)),
        _ => Err(MISMATCH),
    }
}

impl Conn {
    /// Mailboxes and placeholders.
    pub(super) async fn mailboxes(&self, select: Select) -> Result<Vec<Mailbox>, StoreError> {
        match self.port.store(Request::Mailboxes(select)).await? {
            Reply::Mailboxes(mailboxes) => Ok(mailboxes),
            _ => Err(MISMATCH),
        }
    }

    /// The mailbox or placeholder of this name.
    pub(super) async fn mailbox(&self, name: &Text) -> Result<Option<Mailbox>, StoreError> {
        let found = self.mailboxes(Select::Names(vec![name.clone()])).await?;
        Ok(found.into_iter().find(|mailbox| mailbox.name == *name))
    }

    /// Records, ascending by UID.
    pub(super) async fn records(
        &self,
        mailbox: &MailboxKey,
        uids: UidSelect,
    ) -> Result<Vec<Record>, StoreError> {
        records_of(
            self.port
                .store(Request::Records {
                    mailbox: mailbox.clone(),
                    uids,
                })
                .await?,
        )
    }

    /// Deleted mailboxes still remembered.
    pub(super) async fn tombstones(&self, scope: &Scope) -> Result<Vec<Tombstone>, StoreError> {
        let request = Request::Tombstones { scope: scope.clone() };
        match self.port.store(request).await? {
            Reply::Tombstones(tombstones) => Ok(tombstones),
            _ => Err(MISMATCH),
        }
    }

    /// Seen, subscriptions and scripts of a user.
    pub(super) async fn user_meta(&self, user: &Text) -> Result<UserMeta, StoreError> {
        match self.port.store(Request::UserMeta { user: user.clone() }).await? {
            Reply::UserMeta(meta) => Ok(meta),
            _ => Err(MISMATCH),
        }
    }

    /// All that is told of a user, as of one moment.
    pub(super) async fn summary(&self, user: &Text) -> Result<UserSummary, StoreError> {
        match self.port.store(Request::Summary { user: user.clone() }).await? {
            Reply::Summary(summary) => Ok(*summary),
            _ => Err(MISMATCH),
        }
    }

    /// Quota roots of a scope.
    pub(super) async fn quotas(&self, scope: &Scope) -> Result<Vec<QuotaLimits>, StoreError> {
        match self.port.store(Request::Quotas { scope: scope.clone() }).await? {
            Reply::Quotas(quotas) => Ok(quotas),
            _ => Err(MISMATCH),
        }
    }

    /// Annotations of the server.
    pub(super) async fn server_annotations(&self) -> Result<Vec<ServerAnnotation>, StoreError> {
        match self.port.store(Request::ServerAnnotations).await? {
            Reply::ServerAnnotations(annotations) => Ok(annotations),
            _ => Err(MISMATCH),
        }
    }

    /// A part of a message.
    pub(super) async fn message_part(
        &self,
        scope: &Scope,
        guid: Guid,
        offset: u64,
        len_max: u32,
    ) -> Result<(u64, bytes::Bytes), StoreError> {
        bytes_of(
            self.port
                .store(Request::ReadMessage {
                    scope: scope.clone(),
                    guid,
                    offset,
                    len_max,
                })
                .await?,
        )
    }

    /// Which of these messages are nowhere to be had.
    pub(super) async fn reserve(
        &self,
        partition: Text,
        mailboxes: Vec<Text>,
        guids: Vec<Guid>,
    ) -> Result<Vec<Guid>, StoreError> {
        match self
            .port
            .store(Request::Reserve {
                partition,
                mailboxes,
                guids,
            })
            .await?
        {
            Reply::Missing(missing) => Ok(missing),
            _ => Err(MISMATCH),
        }
    }

    /// Whether this partition may be used here.
    pub(super) fn knows_partition(&self, partition: &Text) -> bool {
        self.config.partitions.is_empty() || self.config.partitions.contains(partition)
    }

    /// Whether a file may be staged where it wants to be.
    pub(super) fn takes_file(&self, head: &FileHead) -> bool {
        self.knows_partition(&head.partition)
    }
}
