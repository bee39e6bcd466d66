//! One connection's requests, answered from the databases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use engine::model::{Mailbox, MailboxKey, UserSummary};
use engine::name::{self, Scope};
use engine::ticket::{Change, Reply, Request, Resting, Select, Session, StoreError};
use protocol::{Guid, Record, Text};

use super::Inner;
use super::database::{Absent, Database};
use super::error::Outcome;
use super::mailbox::{in_user_order, is_unreadable};
use super::pool::Pool;
use super::still;
use crate::staging::{Staged, Staging};
use crate::{READ_BYTES_MAX, words};

/// A session of a [`super::SqliteStore`]. Dropping it rolls back what is open.
pub struct SqliteSession {
    store: Arc<Inner>,
    pool: Pool,
    staging: Staging,
    write: Option<WriteTransaction>,
    /// Scopes whose state is held; `None` where there was no database when the read began.
    reads: BTreeMap<Scope, Option<Database>>,
}

struct WriteTransaction {
    database: Database,
    has_savepoint: bool,
    failed: bool,
    /// Mailboxes that the scope did not have before.
    created: Vec<Text>,
}

impl Session for SqliteSession {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        match request {
            Request::Users { prefix } => self.users(&prefix).map(Reply::Names),
            Request::Mailboxes(select) => self.mailboxes(select).map(Reply::Mailboxes),
            Request::Tombstones { scope } => self
                .read(&scope, |database| database.tombstones())
                .map(|found| Reply::Tombstones(found.unwrap_or_default())),
            Request::Deleted {
                scope,
                uniqueid,
                above_uid,
                limit,
            } => self
                .read(&scope, |database| database.deleted(&uniqueid, above_uid, limit))
                .map(|found| Reply::Deleted(found.unwrap_or_default())),
            Request::UserMeta { user } => self
                .read(&Scope::User(user), |database| database.user_meta())
                .map(|found| Reply::UserMeta(found.unwrap_or_default())),
            Request::Quotas { scope } => self
                .read(&scope, |database| database.quotas())
                .map(|found| Reply::Quotas(found.unwrap_or_default())),
            Request::ServerAnnotations => self
                .read(&Scope::Shared, |database| database.server_annotations())
                .map(|found| Reply::ServerAnnotations(found.unwrap_or_default())),
            Request::ChangedUids {
                mailbox,
                since_modseq,
            } => self
                .read_mailbox(&mailbox, |database, number| {
                    database.changed_uids(number, since_modseq)
                })
                .map(Reply::Uids),
            Request::Records { mailbox, uids } => self
                .read_mailbox(&mailbox, |database, number| database.records(number, uids))
                .map(Reply::Records),
            Request::ReadMessage {
                scope,
                guid,
                offset,
                len_max,
            } => self.read_message(&scope, &guid, offset, len_max),
            Request::ReadMessages {
                scope,
                guids,
                bytes_max,
            } => self.read_messages(&scope, &guids, bytes_max),
            Request::Summary { user } => self.summary(user).map(Box::new).map(Reply::Summary),
            Request::BeginRead { scope } => self.begin_read(scope),
            Request::EndRead { scope } => self.end_read(&scope),
            Request::Reserve { mailboxes, guids, .. } => self.reserve(&mailboxes, guids).map(Reply::Missing),
            Request::Stage(parts) => Ok(Reply::Staged {
                refused: self.staging.stage(parts)?,
            }),
            Request::ForgetStaged => {
                self.staging.forget();
                Ok(Reply::Done)
            }
            Request::Begin { scope } => self.begin(&scope),
            Request::Savepoint => self.savepoint(),
            Request::RollbackToSavepoint => self.rollback_to_savepoint(),
            Request::Write(changes) => self.write(changes),
            Request::Expire { before } => self.expire(before),
            Request::Commit => self.commit(),
            Request::Rollback => self.rollback(),
            Request::MoveMailbox { from, to } => self.move_mailbox(&from, *to),
        }
    }

    /// Closes the databases that no transaction and no held read needs.
    fn rest(&mut self) -> Resting {
        self.pool.clear();
        self.staging.rest();
        if self.write.is_some() {
            Resting::Holding
        } else {
            Resting::Free
        }
    }
}

/// Reads.
impl SqliteSession {
    pub(crate) fn new(store: Arc<Inner>) -> Self {
        SqliteSession {
            pool: Pool::new(store.dir.clone(), store.options.clone()),
            staging: Staging::new(
                store.options.staging_bytes,
                Arc::clone(&store.staging_total),
                Some((store.dir.clone(), Arc::clone(&store.options.files))),
            ),
            store,
            write: None,
            reads: BTreeMap::new(),
        }
    }

    /// Works with a scope's database as this session sees it; `None` when there is none.
    fn read<T>(
        &mut self,
        scope: &Scope,
        work: impl FnOnce(&mut Database) -> Outcome<T>,
    ) -> Result<Option<T>, StoreError> {
        let held = match (&mut self.write, self.reads.get_mut(scope)) {
            (Some(write), _) if write.database.scope == *scope => Some(&mut write.database),
            (_, Some(None)) => return Ok(None),
            (_, Some(Some(database))) => Some(database),
            _ => None,
        };
        match held {
            Some(database) => work(database).map(Some).map_err(|failure| database.fail(failure)),
            None => self.pool.with(scope, |database| database.within_read(work)),
        }
    }

    fn read_mailbox<T>(
        &mut self,
        mailbox: &MailboxKey,
        work: impl FnOnce(&mut Database, i64) -> Outcome<T>,
    ) -> Result<T, StoreError> {
        let found = self.read(&mailbox.scope, |database| {
            let number = database.mailbox_number(&mailbox.uniqueid)?;
            work(database, number)
        })?;
        found.ok_or_else(|| words::no_mailbox(&mailbox.uniqueid))
    }

    fn users(&mut self, prefix: &[u8]) -> Result<Vec<Text>, StoreError> {
        let mut users = Vec::new();
        for user in self.store.users(prefix)? {
            let inbox = name::inbox_of(&user);
            let scope = Scope::User(user.clone());
            let found = match self.read_still(&scope, |database| database.mailbox_by_name(&inbox)) {
                Some(found) => Ok(Some(found)),
                None => self.read(&scope, |database| database.mailbox_by_name(&inbox)),
            };
            match found {
                Ok(Some(Some(inbox))) if !inbox.is_placeholder() => users.push(user),
                Ok(_) => {}
                // Left in the list, so that whoever walks it learns of the damage and goes on with the others.
                Err(error) if is_unreadable(&error) => users.push(user),
                Err(error) => return Err(error),
            }
        }
        Ok(users)
    }

    /// What `work` reads of a scope that this session has not open and nobody has changed of late; `None` sends its
    /// caller the usual way.
    fn read_still<T>(&self, scope: &Scope, work: impl FnOnce(&mut Database) -> Outcome<T>) -> Option<T> {
        let is_open = self.reads.contains_key(scope)
            || self.pool.has(scope)
            || self
                .write
                .as_ref()
                .is_some_and(|write| write.database.scope == *scope);
        (!is_open).then(|| still::read(&self.store.dir, scope, &self.store.options, work))?
    }

    fn summary(&mut self, user: Text) -> Result<UserSummary, StoreError> {
        let scope = Scope::User(user);
        if let Some(summary) = self.read_still(&scope, |database| database.summary()) {
            return Ok(summary);
        }
        let found = self.read(&scope, |database| database.summary())?;
        Ok(found.unwrap_or_default())
    }

    fn mailboxes(&mut self, select: Select) -> Result<Vec<Mailbox>, StoreError> {
        match select {
            Select::User(user) => {
                let found = self.read(&Scope::User(user), |database| database.all_mailboxes())?;
                Ok(in_user_order(found.unwrap_or_default()))
            }
            Select::Shared => self
                .read(&Scope::Shared, |database| database.all_mailboxes())
                .map(Option::unwrap_or_default),
            Select::Names(names) => {
                let mut found = Vec::new();
                for name in names {
                    let mailbox = self.read(&Scope::of(&name), |database| database.mailbox_by_name(&name))?;
                    found.extend(mailbox.flatten());
                }
                Ok(found)
            }
            Select::Uniqueids(ids) => {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(self.locate(&id)?);
                }
                Ok(found)
            }
        }
    }

    /// A mailbox anywhere, by its identity.
    fn locate(&mut self, uniqueid: &Text) -> Result<Option<Mailbox>, StoreError> {
        let mut candidates: BTreeSet<Scope> = if self.store.complete_locator()? {
            self.store.locator.candidates(uniqueid)?.into_iter().collect()
        } else {
            self.store.users(b"")?.into_iter().map(Scope::User).collect()
        };
        candidates.insert(Scope::Shared);
        candidates.extend(self.write.iter().map(|write| write.database.scope.clone()));
        for scope in candidates {
            let found = self.read(&scope, |database| database.mailbox_by_id(uniqueid))?;
            if let Some(mailbox) = found.flatten() {
                return Ok(Some(mailbox));
            }
        }
        Ok(None)
    }

    /// Part of a message, stored in the scope or staged, with the size of the whole; `None` when it is in neither.
    fn message_part(
        &mut self,
        scope: &Scope,
        guid: &Guid,
        offset: u64,
        len: u64,
    ) -> Result<Option<(u64, Bytes)>, StoreError> {
        if let Some(found) = self.stored_part(scope, guid, offset, len)? {
            return Ok(Some(found));
        }
        match self.staging.find(guid) {
            None => Ok(None),
            Some(Staged::Here { offset: start, size }) => {
                let from = offset.min(size);
                let mut data = vec![0; len.min(size - from) as usize];
                self.staging.read(start + from, &mut data)?;
                Ok(Some((size, Bytes::from(data))))
            }
            Some(Staged::Elsewhere(source)) => {
                let source = source.clone();
                self.stored_part(&source, guid, offset, len)
            }
        }
    }

    fn stored_part(
        &mut self,
        scope: &Scope,
        guid: &Guid,
        offset: u64,
        len: u64,
    ) -> Result<Option<(u64, Bytes)>, StoreError> {
        let found = self.read(scope, |database| {
            let Some(stored) = database.find_message(guid)? else {
                return Ok(None);
            };
            Ok(Some((
                stored.size,
                database.read_message(guid, stored, offset, len)?,
            )))
        });
        found.map(Option::flatten)
    }

    fn read_message(
        &mut self,
        scope: &Scope,
        guid: &Guid,
        offset: u64,
        len_max: u32,
    ) -> Result<Reply, StoreError> {
        let len = u64::from(len_max.min(READ_BYTES_MAX));
        let (size, data) = self
            .message_part(scope, guid, offset, len)?
            .ok_or_else(|| words::no_message(guid))?;
        Ok(Reply::Bytes { size, data })
    }

    fn read_messages(&mut self, scope: &Scope, guids: &[Guid], bytes_max: u32) -> Result<Reply, StoreError> {
        // One read transaction for all of them: taking SQLite's lock for each costs as much as reading a small message.
        let is_open = self.reads.contains_key(scope)
            || self
                .write
                .as_ref()
                .is_some_and(|write| write.database.scope == *scope);
        if is_open {
            return self.read_until(scope, guids, bytes_max).map(Reply::Messages);
        }
        self.begin_read(scope.clone())?;
        let messages = self.read_until(scope, guids, bytes_max);
        self.end_read(scope)?;
        messages.map(Reply::Messages)
    }

    fn read_until(
        &mut self,
        scope: &Scope,
        guids: &[Guid],
        bytes_max: u32,
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut messages = Vec::new();
        let mut total = 0u64;
        for guid in guids {
            // What does not fit any more is cut off by its length, and dropped, before it costs memory.
            let room = if messages.is_empty() {
                u64::MAX
            } else {
                u64::from(bytes_max) - total
            };
            match self.message_part(scope, guid, 0, room)? {
                Some((size, _)) if size > room => break,
                Some((size, data)) => {
                    total += size;
                    messages.push(Some(data));
                }
                None => messages.push(None),
            }
            if total > u64::from(bytes_max) {
                break;
            }
        }
        Ok(messages)
    }

    fn begin_read(&mut self, scope: Scope) -> Result<Reply, StoreError> {
        if self.reads.contains_key(&scope) {
            return Err(words::misuse(words::READ_WITHIN_READ));
        }
        if self
            .write
            .as_ref()
            .is_some_and(|write| write.database.scope == scope)
        {
            return Err(words::misuse(words::READ_WITHIN_WRITE));
        }
        let database = self.pool.take(&scope, Absent::Tell)?;
        if let Some(database) = &database {
            database.begin_read().map_err(|failure| database.fail(failure))?;
        }
        self.reads.insert(scope, database);
        Ok(Reply::Done)
    }

    fn end_read(&mut self, scope: &Scope) -> Result<Reply, StoreError> {
        if let Some(Some(mut database)) = self.reads.remove(scope) {
            database.rollback().map_err(|failure| database.fail(failure))?;
            self.pool.put(database);
        }
        Ok(Reply::Done)
    }

    fn reserve(&mut self, mailboxes: &[Text], guids: Vec<Guid>) -> Result<Vec<Guid>, StoreError> {
        // Where an earlier reservation found them they may be gone by now.
        for (scope, guids) in self.staging.elsewhere(&guids) {
            let there = self.stored_in(&scope, &guids)?;
            for guid in guids.iter().filter(|guid| !there.contains(guid)) {
                self.staging.unrefer(guid);
            }
        }
        let mut missing: Vec<Guid> = guids
            .into_iter()
            .filter(|guid| self.staging.find(guid).is_none())
            .collect();
        let scopes: BTreeSet<Scope> = mailboxes.iter().map(|name| Scope::of(name)).collect();
        for scope in scopes {
            self.stored_in(&scope, &missing)?
                .into_iter()
                .for_each(|guid| self.staging.refer(guid, &scope));
            missing.retain(|guid| self.staging.find(guid).is_none());
        }
        Ok(missing)
    }

    /// Those of these messages that a scope holds.
    fn stored_in(&mut self, scope: &Scope, guids: &[Guid]) -> Result<Vec<Guid>, StoreError> {
        let mut found = Vec::new();
        self.read(scope, |database| {
            for guid in guids {
                if database.find_message(guid)?.is_some() {
                    found.push(*guid);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// Transactions.
impl SqliteSession {
    fn begin(&mut self, scope: &Scope) -> Result<Reply, StoreError> {
        if self.write.is_some() {
            return Err(words::misuse(words::BEGIN_WITHIN_WRITE));
        }
        if self.reads.contains_key(scope) {
            return Err(words::misuse(words::BEGIN_WITHIN_READ));
        }
        let database = self.open_for_write(scope)?;
        self.write = Some(WriteTransaction {
            database,
            has_savepoint: false,
            failed: false,
            created: Vec::new(),
        });
        Ok(Reply::Done)
    }

    fn open_for_write(&mut self, scope: &Scope) -> Result<Database, StoreError> {
        if self.store.options.read_only {
            let path = super::place::database(&self.store.dir, scope)
                .display()
                .to_string();
            return Err(StoreError::ReadOnly { path });
        }
        let opened = self.pool.take(scope, Absent::Create)?;
        let mut database =
            opened.ok_or_else(|| words::misuse("a database that is neither there nor made"))?;
        match database.begin_write() {
            Ok(()) => Ok(database),
            Err(failure) => {
                let error = database.fail(failure);
                self.pool.put(database);
                Err(error)
            }
        }
    }

    fn open_write(&mut self) -> Result<&mut WriteTransaction, StoreError> {
        self.write.as_mut().ok_or(words::misuse(words::NO_WRITE))
    }

    fn sound_write(&mut self) -> Result<&mut WriteTransaction, StoreError> {
        let write = self.open_write()?;
        if write.failed {
            Err(words::misuse(words::FAILED_WRITE))
        } else {
            Ok(write)
        }
    }

    fn savepoint(&mut self) -> Result<Reply, StoreError> {
        let write = self.sound_write()?;
        let released = if write.has_savepoint {
            write.database.run("RELEASE mark")
        } else {
            Ok(())
        };
        let marked = released.and_then(|()| write.database.run("SAVEPOINT mark"));
        marked.map_err(|failure| write.database.fail(failure))?;
        write.has_savepoint = true;
        Ok(Reply::Done)
    }

    fn rollback_to_savepoint(&mut self) -> Result<Reply, StoreError> {
        let write = self.open_write()?;
        if !write.has_savepoint {
            return Err(words::misuse(words::NO_SAVEPOINT));
        }
        if write.database.conn.is_autocommit() {
            // SQLite gives the whole transaction up after some errors, a full disk among them.
            let path = write.database.path.display().to_string();
            return Err(StoreError::Io {
                path,
                detail: "the transaction was lost with an earlier error".to_owned(),
            });
        }
        write.database.forget_numbers();
        write
            .database
            .run("ROLLBACK TO mark")
            .map_err(|failure| write.database.fail(failure))?;
        write.failed = false;
        Ok(Reply::Done)
    }

    fn write(&mut self, changes: Vec<Change>) -> Result<Reply, StoreError> {
        self.sound_write()?;
        for change in changes {
            if let Err(error) = self.apply(change) {
                self.open_write()?.failed = true;
                return Err(error);
            }
        }
        Ok(Reply::Done)
    }

    fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        if let Change::PutRecords {
            uniqueid, records, ..
        } = change
        {
            return self.put_records(&uniqueid, &records);
        }
        let write = self.open_write()?;
        if !words::belongs(&write.database.scope, &change) {
            return Err(words::misuse(words::WRONG_SCOPE));
        }
        match apply(&mut write.database, change) {
            Ok(created) => {
                write.created.extend(created);
                Ok(())
            }
            Err(failure) => Err(write.database.fail(failure)),
        }
    }

    fn put_records(&mut self, uniqueid: &Text, records: &[Record]) -> Result<(), StoreError> {
        let write = self.write.as_mut().ok_or(words::misuse(words::NO_WRITE))?;
        let mut put = PutRecords {
            database: &mut write.database,
            staging: &mut self.staging,
            pool: &mut self.pool,
        };
        put.all(uniqueid, records)
            .map_err(|failure| write.database.fail(failure))
    }

    fn expire(&mut self, before: i64) -> Result<Reply, StoreError> {
        let write = self.sound_write()?;
        write
            .database
            .expire(before)
            .map(Reply::Expired)
            .map_err(|failure| {
                write.failed = true;
                write.database.fail(failure)
            })
    }

    fn commit(&mut self) -> Result<Reply, StoreError> {
        let store = Arc::clone(&self.store);
        let write = self.sound_write()?;
        let database = &mut write.database;
        let noted = match write.created.as_slice() {
            [] => Ok(()),
            created => store
                .locator
                .note(&store.file_name(&database.scope), &database.scope, created),
        };
        let committed = noted.and_then(|()| database.run("COMMIT").map_err(|failure| database.fail(failure)));
        if let Err(error) = committed {
            write.failed = true;
            return Err(error);
        }
        if database.new_bytes >= store.options.checkpoint_bytes {
            database.new_bytes = 0;
            store.checkpointer.wish(&database.path);
        }
        if let Some(write) = self.write.take() {
            self.pool.put(write.database);
        }
        Ok(Reply::Done)
    }

    fn rollback(&mut self) -> Result<Reply, StoreError> {
        if let Some(mut write) = self.write.take() {
            write
                .database
                .rollback()
                .map_err(|failure| write.database.fail(failure))?;
            self.pool.put(write.database);
        }
        Ok(Reply::Done)
    }
}

/// Moves between scopes.
impl SqliteSession {
    fn move_mailbox(&mut self, from: &MailboxKey, to: Mailbox) -> Result<Reply, StoreError> {
        if self.write.is_some() {
            return Err(words::misuse(words::MOVE_WITHIN));
        }
        let target = Scope::of(&to.name);
        if self.reads.contains_key(&target) || self.reads.contains_key(&from.scope) {
            return Err(words::misuse(words::BEGIN_WITHIN_READ));
        }
        // Asked for first, so that a wish for nothing makes no database.
        self.read_mailbox(from, |_, _| Ok(()))?;
        if from.scope == target {
            return self.rename_within(from, to);
        }
        let mut source = self.open_for_write(&from.scope)?;
        let moved = self.move_between(from, to, &mut source);
        let ended = source.rollback().map_err(|failure| source.fail(failure));
        self.pool.put(source);
        moved.and(ended)?;
        Ok(Reply::Done)
    }

    fn rename_within(&mut self, from: &MailboxKey, to: Mailbox) -> Result<Reply, StoreError> {
        if from.uniqueid != to.uniqueid {
            return Err(words::misuse(words::MOVE_IDENTITY));
        }
        self.begin(&from.scope)?;
        let renamed = self
            .write(vec![Change::PutMailbox(Box::new(to))])
            .and_then(|_| self.commit());
        if renamed.is_err() {
            self.rollback()?;
        }
        renamed
    }

    /// Copies and commits in the target, then removes and commits in the source.
    fn move_between(
        &mut self,
        from: &MailboxKey,
        to: Mailbox,
        source: &mut Database,
    ) -> Result<(), StoreError> {
        let mut target = self.open_for_write(&Scope::of(&to.name))?;
        let uniqueid = to.uniqueid.clone();
        let copied = copy_mailbox(source, from, &mut target, &to)
            .map_err(|failure| target.fail(failure))
            .and_then(|()| {
                let file = self.store.file_name(&target.scope);
                self.store
                    .locator
                    .note(&file, &target.scope, std::slice::from_ref(&uniqueid))
            })
            .and_then(|()| target.run("COMMIT").map_err(|failure| target.fail(failure)));
        let ended = target.rollback().map_err(|failure| target.fail(failure));
        self.pool.put(target);
        copied.and(ended)?;
        source
            .remove_mailbox(&from.uniqueid)
            .and_then(|()| source.run("COMMIT"))
            .map_err(|failure| source.fail(failure))?;
        self.store.locator.forget(&from.scope, &from.uniqueid)
    }
}

fn copy_mailbox(
    source: &mut Database,
    from: &MailboxKey,
    target: &mut Database,
    to: &Mailbox,
) -> Outcome<()> {
    const BATCH: u32 = 1000;
    let number = source
        .mailbox_number(&from.uniqueid)
        .map_err(|failure| source.fail(failure))?;
    target.put_mailbox(to)?;
    let into = target.mailbox_number(&to.uniqueid)?;
    target.clear_records(into)?;
    let mut next = Some(0u32);
    while let Some(uid) = next {
        let mut batch = Vec::new();
        source
            .walk_records(number, uid, BATCH, |record, held| {
                batch.push((record, held));
                Ok(())
            })
            .map_err(|failure| source.fail(failure))?;
        next = batch.last().and_then(|(record, _)| record.uid.checked_add(1));
        for (record, held) in batch {
            let there = target.hold_message(&record.guid)?;
            let held = there || (held && target.copy_message(source, &record.guid)?);
            target.write_record(into, &record, held)?;
        }
    }
    Ok(())
}

/// Applies any change but [`Change::PutRecords`]; answers the mailbox it created.
fn apply(database: &mut Database, change: Change) -> Outcome<Option<Text>> {
    match change {
        Change::PutMailbox(mailbox) => {
            let is_new = database.put_mailbox(&mailbox)?;
            return Ok(is_new.then_some(mailbox.uniqueid));
        }
        Change::RemoveMailbox { uniqueid, tombstone } => match tombstone {
            Some(tombstone) if tombstone.uniqueid == uniqueid => database.bury_mailbox(&tombstone),
            Some(_) => Err(words::misuse(words::OTHER_TOMBSTONE).into()),
            None => database.remove_mailbox(&uniqueid),
        },
        Change::ClearRecords { uniqueid } => {
            let number = database.mailbox_number(&uniqueid)?;
            database.clear_records(number)
        }
        Change::PutRecords { .. } => Ok(()),
        Change::PutSeen(seen) => database.put_seen(&seen),
        Change::Subscribe { mailbox } => database.subscribe(&mailbox),
        Change::Unsubscribe { mailbox } => database.unsubscribe(&mailbox),
        Change::PutQuota(quota) => database.put_quota(&quota),
        Change::RemoveQuota { root } => database.remove_quota(&root),
        Change::PutScript(script) => database.put_script(&script),
        Change::RemoveScript { name } => database.remove_script(&name),
        Change::ActivateScript { name } => database.activate_script(name.as_ref()),
        Change::PutServerAnnotation(annotation) => database.put_server_annotation(&annotation),
        Change::RemoveServerAnnotation { entry, userid } => {
            database.remove_server_annotation(&entry, &userid)
        }
        Change::RemoveUser { deleted_at } => database.remove_user(deleted_at),
    }?;
    Ok(None)
}

/// Puts records, with messages from wherever they are.
struct PutRecords<'a> {
    database: &'a mut Database,
    staging: &'a mut Staging,
    pool: &'a mut Pool,
}

impl PutRecords<'_> {
    fn all(&mut self, uniqueid: &Text, records: &[Record]) -> Outcome<()> {
        let mailbox = self.database.mailbox_number(uniqueid)?;
        // Most records are new ones behind the last: those need no look for a predecessor.
        let mut highest = self.database.highest_uid(mailbox)?;
        for record in records {
            let before = if record.uid > highest {
                None
            } else {
                self.database.record_before(mailbox, record.uid)?
            };
            highest = highest.max(record.uid);
            let before = before.filter(|before| before.held);
            if before.as_ref().is_some_and(|before| before.guid == record.guid) {
                self.database.write_record(mailbox, record, true)?;
                continue;
            }
            let held = self.hold(&record.guid)?;
            if !held && !record.is_expunged() {
                return Err(StoreError::NotStaged {
                    uid: record.uid,
                    guid: record.guid,
                }
                .into());
            }
            self.database.write_record(mailbox, record, held)?;
            if let Some(before) = before {
                self.database.release_message(&before.guid, 1)?;
            }
        }
        Ok(())
    }

    /// Sees that the scope has the message, with one holder more; false when it is nowhere.
    fn hold(&mut self, guid: &Guid) -> Outcome<bool> {
        if self.database.hold_message(guid)? {
            return Ok(true);
        }
        match self.staging.find(guid) {
            None => Ok(false),
            Some(Staged::Here { offset, size }) => {
                let staging = &mut *self.staging;
                self.database
                    .insert_message(guid, size, |at, into| Ok(staging.read(offset + at, into)?))?;
                Ok(true)
            }
            Some(Staged::Elsewhere(scope)) => {
                if *scope == self.database.scope {
                    return Ok(false);
                }
                let Some(mut source) = self.pool.take(scope, Absent::Tell)? else {
                    return Ok(false);
                };
                let copied = self.database.copy_message(&mut source, guid);
                self.pool.put(source);
                copied
            }
        }
    }
}
