//! Typed questions to a store session.

use bytes::Bytes;
use engine::model::{Mailbox, MailboxKey, QuotaLimits, ServerAnnotation, Tombstone, UserMeta};
use engine::name::Scope;
use engine::ticket::{Change, Expired, Reply, Request, Select, Session, StagePart, StoreError, UidSelect};
use protocol::{Guid, Record, Text};

use crate::failure::{Exit, Failure, Result};

/// Records asked for at once: some hundred bytes each.
const RECORDS_PAGE: u32 = 4096;

/// Bytes of a message asked for at once.
const MESSAGE_PAGE_BYTES: u32 = 1 << 20;

/// A store session that answers in types.
pub struct Access {
    session: Box<dyn Session>,
}

impl Access {
    /// Over this session.
    pub fn new(session: impl Session + 'static) -> Self {
        Access {
            session: Box::new(session),
        }
    }

    /// All users, sorted.
    pub fn users(&mut self) -> Result<Vec<Text>> {
        match self.ask(Request::Users { prefix: Text::EMPTY })? {
            Reply::Names(users) => Ok(users),
            other => Err(out_of_step(&other)),
        }
    }

    /// Mailboxes; for a user also those in the `DELETED` hierarchy.
    pub fn mailboxes(&mut self, select: Select) -> Result<Vec<Mailbox>> {
        match self.ask(Request::Mailboxes(select))? {
            Reply::Mailboxes(mailboxes) => Ok(mailboxes),
            other => Err(out_of_step(&other)),
        }
    }

    /// The mailboxes of a user who exists.
    pub fn mailboxes_of(&mut self, user: &Text) -> Result<Vec<Mailbox>> {
        let mailboxes = self.mailboxes(Select::User(user.clone()))?;
        if mailboxes.is_empty() {
            let hint = "`mailtwin list` shows who has mail here";
            return Err(Failure::new(
                Exit::NoInput,
                format!("there is no user {user}; {hint}"),
            ));
        }
        Ok(mailboxes)
    }

    /// What is remembered of deleted mailboxes.
    pub fn tombstones(&mut self, scope: Scope) -> Result<Vec<Tombstone>> {
        match self.ask(Request::Tombstones { scope })? {
            Reply::Tombstones(tombstones) => Ok(tombstones),
            other => Err(out_of_step(&other)),
        }
    }

    /// Seen states, subscriptions and scripts.
    pub fn user_meta(&mut self, user: &Text) -> Result<UserMeta> {
        match self.ask(Request::UserMeta { user: user.clone() })? {
            Reply::UserMeta(meta) => Ok(meta),
            other => Err(out_of_step(&other)),
        }
    }

    /// Quota roots, sorted by name.
    pub fn quotas(&mut self, scope: Scope) -> Result<Vec<QuotaLimits>> {
        match self.ask(Request::Quotas { scope })? {
            Reply::Quotas(quotas) => Ok(quotas),
            other => Err(out_of_step(&other)),
        }
    }

    /// Annotations of the server.
    pub fn server_annotations(&mut self) -> Result<Vec<ServerAnnotation>> {
        match self.ask(Request::ServerAnnotations)? {
            Reply::ServerAnnotations(annotations) => Ok(annotations),
            other => Err(out_of_step(&other)),
        }
    }

    /// Drops what was deleted before this time, seconds since the epoch; with `dry_run` only finds out.
    pub fn expire(&mut self, scope: Scope, before: i64, dry_run: bool) -> Result<Expired> {
        self.ask(Request::Begin { scope })?;
        let expired = match self.ask(Request::Expire { before }) {
            Ok(Reply::Expired(expired)) => Ok(expired),
            Ok(other) => Err(out_of_step(&other)),
            Err(error) => Err(error.into()),
        };
        let end = if dry_run || expired.is_err() {
            Request::Rollback
        } else {
            Request::Commit
        };
        let ended = self.ask(end);
        let expired = expired?;
        ended?;
        Ok(expired)
    }

    /// One record, if there is one.
    pub fn record(&mut self, mailbox: &MailboxKey, uid: u32) -> Result<Option<Record>> {
        Ok(self.records(mailbox, UidSelect::List(vec![uid]))?.pop())
    }

    /// Calls `work` with every record of a mailbox, by ascending UID, expunged ones included.
    pub fn for_each_record(
        &mut self,
        mailbox: &MailboxKey,
        mut work: impl FnMut(&mut Self, Record) -> Result<()>,
    ) -> Result<()> {
        let mut from = Some(1);
        while let Some(uid) = from {
            let page = self.records(
                mailbox,
                UidSelect::From {
                    uid,
                    limit: RECORDS_PAGE,
                },
            )?;
            from = page.last().and_then(|last| last.uid.checked_add(1));
            for record in page {
                work(self, record)?;
            }
        }
        Ok(())
    }

    /// Calls `work` with the bytes of a message, piece by piece; answers with their number.
    pub fn read_message(
        &mut self,
        scope: &Scope,
        guid: Guid,
        mut work: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut offset = 0u64;
        loop {
            let (size, data) = self.message_piece(scope, guid, offset)?;
            if data.is_empty() {
                return Ok(offset);
            }
            work(&data)?;
            offset += data.len() as u64;
            if offset >= size {
                return Ok(offset);
            }
        }
    }

    /// The size of a message, and a piece of it from `offset`; an empty one at its end.
    pub fn message_piece(&mut self, scope: &Scope, guid: Guid, offset: u64) -> Result<(u64, Bytes)> {
        let request = Request::ReadMessage {
            scope: scope.clone(),
            guid,
            offset,
            len_max: MESSAGE_PAGE_BYTES,
        };
        match self.ask(request)? {
            Reply::Bytes { size, data } => Ok((size, data)),
            other => Err(out_of_step(&other)),
        }
    }

    /// Writes within the open transaction, ahead of what its plan answers with.
    pub fn write(&mut self, changes: Vec<Change>) -> Result<()> {
        self.ask(Request::Write(changes))?;
        Ok(())
    }

    /// Holds the present state for `work`, however long it takes.
    pub fn snapshot<T>(&mut self, scope: Scope, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.ask(Request::BeginRead { scope: scope.clone() })?;
        let result = work(self);
        let ended = self.ask(Request::EndRead { scope });
        let value = result?;
        ended?;
        Ok(value)
    }

    /// One transaction: what `plan` answers with is written and durable, or nothing is.
    pub fn transaction<T>(
        &mut self,
        scope: Scope,
        plan: impl FnOnce(&mut Self) -> Result<(Vec<Change>, T)>,
    ) -> Result<T> {
        self.ask(Request::Begin { scope })?;
        let done = plan(self).and_then(|(changes, value)| {
            self.ask(Request::Write(changes))?;
            self.ask(Request::Commit)?;
            Ok(value)
        });
        if done.is_err() {
            // The first failure is the one to tell.
            let _ = self.session.execute(Request::Rollback);
        }
        done
    }

    /// Hands in a message for the next transaction.
    pub fn stage(&mut self, parts: Vec<StagePart>) -> Result<()> {
        match self.ask(Request::Stage(parts))? {
            Reply::Staged { refused } => match refused.first() {
                None => Ok(()),
                Some(m) => {
                    let text = format!(
                        "a message changed while it was read: {} became {}",
                        m.announced, m.actual
                    );
                    Err(Failure::new(Exit::Data, text))
                }
            },
            other => Err(out_of_step(&other)),
        }
    }

    /// Drops what was handed in.
    pub fn forget_staged(&mut self) -> Result<()> {
        self.ask(Request::ForgetStaged)?;
        Ok(())
    }

    fn records(&mut self, mailbox: &MailboxKey, uids: UidSelect) -> Result<Vec<Record>> {
        match self.ask(Request::Records {
            mailbox: mailbox.clone(),
            uids,
        })? {
            Reply::Records(records) => Ok(records),
            other => Err(out_of_step(&other)),
        }
    }

    fn ask(&mut self, request: Request) -> std::result::Result<Reply, StoreError> {
        self.session.execute(request)
    }
}

/// The message as stage parts of at most a page each.
pub fn stage_data(bytes: &Bytes) -> impl Iterator<Item = StagePart> {
    let page = MESSAGE_PAGE_BYTES as usize;
    (0..bytes.len())
        .step_by(page)
        .map(move |at| StagePart::Data(bytes.slice(at..bytes.len().min(at + page))))
}

fn out_of_step(reply: &Reply) -> Failure {
    let kind = std::mem::discriminant(reply);
    Failure::new(
        Exit::Io,
        format!("the store gave an answer of the wrong kind ({kind:?}); this is a bug"),
    )
}
