//! The master's questions to its store, with their answers as typed values.

use std::collections::VecDeque;

use protocol::decode::ReplyDecoder;
use protocol::{Record, Text};

use super::run::Run;
use super::turn::Turn;
use crate::flow::{Port, StoreCall};
use crate::model::{Mailbox, MailboxKey, QuotaLimits, ServerAnnotation, Tombstone, UserMeta};
use crate::name::Scope;
use crate::ticket::{Change, Reply, Request, Select, StoreError, UidSelect};

/// Records read at once.
pub(super) const RECORDS_AT_ONCE: usize = 1000;

pub(super) type Stored<T> = Result<T, StoreError>;

fn odd<T>() -> Stored<T> {
    Err(StoreError::Misuse {
        what: "an answer of another kind than asked for",
    })
}

/// Declares one typed question for each kind of answer.
macro_rules! answers {
    ($($name:ident: $variant:ident => $type:ty;)*) => {
        $(
            async fn $name(&self, request: Request) -> Stored<$type> {
                match self.ask(request).await? {
                    Reply::$variant(value) => Ok(value),
                    _ => odd(),
                }
            }
        )*
    };
}

impl Run {
    answers! {
        ask_names: Names => Vec<Text>;
        ask_mailboxes: Mailboxes => Vec<Mailbox>;
        ask_tombstones: Tombstones => Vec<Tombstone>;
        ask_meta: UserMeta => UserMeta;
        ask_quotas: Quotas => Vec<QuotaLimits>;
        ask_server: ServerAnnotations => Vec<ServerAnnotation>;
        ask_uids: Uids => Vec<u32>;
    }

    pub(super) async fn local_users(&self, prefix: Text) -> Stored<Vec<Text>> {
        self.ask_names(Request::Users { prefix }).await
    }

    pub(super) async fn local_mailboxes(&self, select: Select) -> Stored<Vec<Mailbox>> {
        self.ask_mailboxes(Request::Mailboxes(select)).await
    }

    /// One mailbox as it is now; `None` when it is gone.
    pub(super) async fn local_mailbox(&self, key: &MailboxKey) -> Stored<Option<Mailbox>> {
        let found = self
            .local_mailboxes(Select::Uniqueids(vec![key.uniqueid.clone()]))
            .await?;
        Ok(found.into_iter().find(|mailbox| mailbox.key() == *key))
    }

    pub(super) async fn local_tombstones(&self, scope: &Scope) -> Stored<Vec<Tombstone>> {
        self.ask_tombstones(Request::Tombstones { scope: scope.clone() })
            .await
    }

    pub(super) async fn local_meta(&self, user: &Text) -> Stored<UserMeta> {
        self.ask_meta(Request::UserMeta { user: user.clone() }).await
    }

    pub(super) async fn local_quotas(&self, scope: &Scope) -> Stored<Vec<QuotaLimits>> {
        self.ask_quotas(Request::Quotas { scope: scope.clone() }).await
    }

    pub(super) async fn local_server_annotations(&self) -> Stored<Vec<ServerAnnotation>> {
        self.ask_server(Request::ServerAnnotations).await
    }

    pub(super) async fn changed_uids(&self, mailbox: &MailboxKey, since_modseq: u64) -> Stored<Vec<u32>> {
        self.ask_uids(Request::ChangedUids {
            mailbox: mailbox.clone(),
            since_modseq,
        })
        .await
    }

    /// A request whose answer is only that it is done. One item at a time has a transaction open.
    pub(super) async fn done(&self, request: Request) -> Stored<()> {
        let begins = matches!(request, Request::Begin { .. });
        let ends = matches!(request, Request::Commit | Request::Rollback);
        if begins {
            let turn = self.transactions.take().await;
            *self.transaction() = Some(turn);
        }
        let answer = self.ask(request).await;
        if ends || (begins && answer.is_err()) {
            *self.transaction() = None;
        }
        match answer? {
            Reply::Done => Ok(()),
            _ => odd(),
        }
    }

    fn transaction(&self) -> std::sync::MutexGuard<'_, Option<Turn>> {
        self.transaction
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn ask(&self, request: Request) -> Stored<Reply> {
        let answer = self.port.store(request).await;
        if let Err(error) = &answer {
            self.blame.note_store(error);
        }
        answer
    }

    /// Holds the state of the item's scope for its reads.
    pub(super) async fn begin_read(&self, scope: &Scope) -> Stored<()> {
        self.done(Request::BeginRead { scope: scope.clone() }).await?;
        *self.held_read() = Some(scope.clone());
        Ok(())
    }

    /// Lets it go; nothing when none is held.
    pub(super) async fn end_read(&self) -> Stored<()> {
        let held = self.held_read().take();
        match held {
            Some(scope) => self.done(Request::EndRead { scope }).await,
            None => Ok(()),
        }
    }

    fn held_read(&self) -> std::sync::MutexGuard<'_, Option<Scope>> {
        self.held_read
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) async fn write(&self, changes: Vec<Change>) -> Stored<()> {
        self.done(Request::Write(changes)).await
    }
}

/// Reads the records of a UID list, one request ahead of its user.
pub(super) struct RecordReader {
    mailbox: MailboxKey,
    uids: VecDeque<Vec<u32>>,
    ahead: Option<StoreCall<ReplyDecoder>>,
}

impl RecordReader {
    /// Reads these UIDs (ascending).
    pub(super) fn new(mailbox: &MailboxKey, uids: &[u32]) -> Self {
        let uids = uids.chunks(RECORDS_AT_ONCE).map(<[u32]>::to_vec).collect();
        RecordReader {
            mailbox: mailbox.clone(),
            uids,
            ahead: None,
        }
    }

    /// Reads nothing.
    pub(super) fn empty() -> Self {
        let nobody = MailboxKey {
            scope: Scope::Shared,
            uniqueid: Text::EMPTY,
        };
        RecordReader::new(&nobody, &[])
    }

    fn ask(&mut self, port: &Port<ReplyDecoder>) {
        if self.ahead.is_none()
            && let Some(uids) = self.uids.pop_front()
        {
            let mailbox = self.mailbox.clone();
            self.ahead = Some(port.store(Request::Records {
                mailbox,
                uids: UidSelect::List(uids),
            }));
        }
    }

    /// The next records, at most [`RECORDS_AT_ONCE`]; empty only when none of a part exists any more. `None` at the end.
    pub(super) async fn next(&mut self, port: &Port<ReplyDecoder>) -> Stored<Option<Vec<Record>>> {
        self.ask(port);
        let Some(call) = self.ahead.take() else {
            return Ok(None);
        };
        let reply = call.await?;
        self.ask(port);
        match reply {
            Reply::Records(records) => Ok(Some(records)),
            _ => odd(),
        }
    }
}

/// Walks through all records of a mailbox by UID.
pub(super) struct RecordCursor {
    mailbox: MailboxKey,
    from: Option<u32>,
    held: VecDeque<Record>,
}

impl RecordCursor {
    /// From the lowest UID on.
    pub(super) fn new(mailbox: &MailboxKey) -> Self {
        RecordCursor {
            mailbox: mailbox.clone(),
            from: Some(1),
            held: VecDeque::new(),
        }
    }

    /// The next record without taking it.
    pub(super) async fn peek(&mut self, port: &Port<ReplyDecoder>) -> Stored<Option<&Record>> {
        if self.held.is_empty()
            && let Some(uid) = self.from
        {
            let limit = RECORDS_AT_ONCE as u32;
            let request = Request::Records {
                mailbox: self.mailbox.clone(),
                uids: UidSelect::From { uid, limit },
            };
            let Reply::Records(records) = port.store(request).await? else {
                return odd();
            };
            self.from = match records.last() {
                Some(last) if records.len() >= RECORDS_AT_ONCE => last.uid.checked_add(1),
                _ => None,
            };
            self.held = records.into();
        }
        Ok(self.held.front())
    }

    /// Takes all that was read and not taken.
    pub(super) fn take_all(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.held).into()
    }

    /// Takes what [`RecordCursor::peek`] showed.
    pub(super) fn take(&mut self) -> Option<Record> {
        self.held.pop_front()
    }
}
