//! A store in memory: plain ordered maps, transactions by copy on write. For tests, simulation and demonstrations.

mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use engine::model::{Mailbox, MailboxKey, UserSummary};
use engine::name::{self, Scope};
use engine::ticket::{Change, Reply, Request, Select, Session, StoreError, UidSelect};
use protocol::{Guid, Record, Text};

use self::scope::{Messages, ScopeData};
use crate::staging::{Staged, Staging, StagingTotal};
use crate::{READ_BYTES_MAX, words};

/// The store; clones are the same store. What is committed lives as long as any clone or session.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    scopes: BTreeMap<Scope, Arc<ScopeData>>,
    writing: BTreeSet<Scope>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A session for one connection.
    pub fn session(&self) -> MemorySession {
        MemorySession {
            store: self.clone(),
            staging: Staging::new(0, StagingTotal::new(usize::MAX), None),
            write: None,
            reads: BTreeMap::new(),
        }
    }

    /// The committed state as a store of its own, sharing nothing with this one from here on.
    pub fn fork(&self) -> MemoryStore {
        let shared = Shared {
            scopes: self.lock().scopes.clone(),
            writing: BTreeSet::new(),
        };
        MemoryStore {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Nothing panics while the lock is held, and every change to the maps is a single insert or remove.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self, scope: &Scope) -> Arc<ScopeData> {
        self.lock().scopes.get(scope).cloned().unwrap_or_default()
    }
}

/// A session of a [`MemoryStore`]. Dropping it rolls back what is open.
pub struct MemorySession {
    store: MemoryStore,
    staging: Staging,
    write: Option<WriteTransaction>,
    reads: BTreeMap<Scope, Arc<ScopeData>>,
}

struct WriteTransaction {
    scope: Scope,
    data: Arc<ScopeData>,
    mark: Option<Arc<ScopeData>>,
    failed: bool,
}

impl Session for MemorySession {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        match request {
            Request::Users { prefix } => Ok(Reply::Names(self.users(&prefix))),
            Request::Mailboxes(select) => Ok(Reply::Mailboxes(self.mailboxes(&select))),
            Request::Tombstones { scope } => Ok(Reply::Tombstones(self.view(&scope).tombstones())),
            Request::Deleted {
                scope,
                uniqueid,
                above_uid,
                limit,
            } => Ok(Reply::Deleted(
                self.view(&scope).deleted(&uniqueid, above_uid, limit),
            )),
            Request::UserMeta { user } => Ok(Reply::UserMeta(self.view(&Scope::User(user)).user_meta())),
            Request::Quotas { scope } => Ok(Reply::Quotas(self.view(&scope).quotas())),
            Request::ServerAnnotations => Ok(Reply::ServerAnnotations(
                self.view(&Scope::Shared).server_annotations(),
            )),
            Request::ChangedUids {
                mailbox,
                since_modseq,
            } => self.changed_uids(&mailbox, since_modseq),
            Request::Records { mailbox, uids } => self.records(&mailbox, uids),
            Request::ReadMessage {
                scope,
                guid,
                offset,
                len_max,
            } => self.read_message(&scope, guid, offset, len_max),
            Request::ReadMessages {
                scope,
                guids,
                bytes_max,
            } => self.read_messages(&scope, &guids, bytes_max),
            Request::Summary { user } => Ok(Reply::Summary(Box::new(self.summary(user)))),
            Request::BeginRead { scope } => self.begin_read(scope),
            Request::EndRead { scope } => {
                self.reads.remove(&scope);
                Ok(Reply::Done)
            }
            Request::Reserve { mailboxes, guids, .. } => Ok(Reply::Missing(self.reserve(&mailboxes, guids))),
            Request::Stage(parts) => Ok(Reply::Staged {
                refused: self.staging.stage(parts)?,
            }),
            Request::ForgetStaged => {
                self.staging.forget();
                Ok(Reply::Done)
            }
            Request::Begin { scope } => self.begin(scope),
            Request::Savepoint => self.savepoint(),
            Request::RollbackToSavepoint => self.rollback_to_savepoint(),
            Request::Write(changes) => self.write(changes),
            Request::Expire { before } => self.expire(before),
            Request::Commit => self.commit(),
            Request::Rollback => {
                self.end_write();
                Ok(Reply::Done)
            }
            Request::MoveMailbox { from, to } => self.move_mailbox(&from, *to),
        }
    }
}

/// Reads.
impl MemorySession {
    /// A scope as this session sees it.
    fn view(&self, scope: &Scope) -> Arc<ScopeData> {
        if let Some(write) = self.write.as_ref().filter(|write| write.scope == *scope) {
            return Arc::clone(&write.data);
        }
        match self.reads.get(scope) {
            Some(data) => Arc::clone(data),
            None => self.store.committed(scope),
        }
    }

    fn scopes(&self) -> BTreeSet<Scope> {
        let mut scopes: BTreeSet<Scope> = self.store.lock().scopes.keys().cloned().collect();
        scopes.extend(self.write.iter().map(|write| write.scope.clone()));
        scopes
    }

    fn users(&self, prefix: &[u8]) -> Vec<Text> {
        let users = self.scopes().into_iter().filter_map(|scope| match scope {
            Scope::User(user) => Some(user),
            Scope::Shared => None,
        });
        users
            .filter(|user| user.starts_with(prefix))
            .filter(|user| {
                let view = self.view(&Scope::User(user.clone()));
                view.by_name(&name::inbox_of(user))
                    .is_some_and(|inbox| !inbox.is_placeholder())
            })
            .collect()
    }

    fn mailboxes(&self, select: &Select) -> Vec<Mailbox> {
        match select {
            Select::User(user) => {
                let mut found = self.view(&Scope::User(user.clone())).all_mailboxes();
                found.sort_by_cached_key(|mailbox| (name::is_deleted(&mailbox.name), mailbox.name.clone()));
                found
            }
            Select::Shared => self.view(&Scope::Shared).all_mailboxes(),
            Select::Names(names) => names
                .iter()
                .filter_map(|name| self.view(&Scope::of(name)).by_name(name).cloned())
                .collect(),
            Select::Uniqueids(ids) => {
                let views: Vec<_> = self.scopes().iter().map(|scope| self.view(scope)).collect();
                let find = |id: &Text| views.iter().find_map(|view| view.by_id(id).cloned());
                ids.iter().filter_map(find).collect()
            }
        }
    }

    fn changed_uids(&self, mailbox: &MailboxKey, since_modseq: u64) -> Result<Reply, StoreError> {
        let view = self.view(&mailbox.scope);
        let records = view.records(&mailbox.uniqueid)?.values();
        let changed = records.filter(|record| since_modseq == 0 || record.modseq > since_modseq);
        Ok(Reply::Uids(changed.map(|record| record.uid).collect()))
    }

    fn records(&self, mailbox: &MailboxKey, uids: UidSelect) -> Result<Reply, StoreError> {
        let view = self.view(&mailbox.scope);
        let records = view.records(&mailbox.uniqueid)?;
        let found: Vec<Record> = match uids {
            UidSelect::List(mut uids) => {
                uids.sort_unstable();
                uids.dedup();
                uids.iter()
                    .filter_map(|uid| records.get(uid))
                    .map(|stored| stored.record.clone())
                    .collect()
            }
            UidSelect::From { uid, limit } => records
                .range(uid..)
                .take(limit as usize)
                .map(|(_, stored)| stored.record.clone())
                .collect(),
        };
        Ok(Reply::Records(found))
    }

    /// A whole message, stored in the scope or staged.
    fn message(&mut self, scope: &Scope, guid: &Guid) -> Result<Option<Bytes>, StoreError> {
        if let Some(stored) = self.view(scope).message(guid) {
            return Ok(Some(stored));
        }
        let view = |scope: &Scope| self.view(scope);
        match self.staging.find(guid) {
            Some(Staged::Elsewhere(source)) => Ok(view(source).message(guid)),
            Some(Staged::Here { offset, size }) => read_staged(&mut self.staging, offset, size).map(Some),
            None => Ok(None),
        }
    }

    fn read_message(
        &mut self,
        scope: &Scope,
        guid: Guid,
        offset: u64,
        len_max: u32,
    ) -> Result<Reply, StoreError> {
        let message = self
            .message(scope, &guid)?
            .ok_or_else(|| words::no_message(&guid))?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(message.len());
        let end = start
            .saturating_add(len_max.min(READ_BYTES_MAX) as usize)
            .min(message.len());
        Ok(Reply::Bytes {
            size: message.len() as u64,
            data: message.slice(start..end),
        })
    }

    fn read_messages(&mut self, scope: &Scope, guids: &[Guid], bytes_max: u32) -> Result<Reply, StoreError> {
        let mut messages = Vec::new();
        let mut total = 0;
        for guid in guids {
            let message = self.message(scope, guid)?;
            total += message.as_ref().map_or(0, Bytes::len);
            if !messages.is_empty() && total > bytes_max as usize {
                break;
            }
            messages.push(message);
        }
        Ok(Reply::Messages(messages))
    }

    fn summary(&self, user: Text) -> UserSummary {
        let mailboxes = self.mailboxes(&Select::User(user.clone()));
        let data = self.view(&Scope::User(user));
        UserSummary {
            mailboxes,
            tombstones: data.tombstones(),
            quotas: data.quotas(),
            meta: data.user_meta(),
        }
    }

    fn begin_read(&mut self, scope: Scope) -> Result<Reply, StoreError> {
        if self.reads.contains_key(&scope) {
            return Err(words::misuse(words::READ_WITHIN_READ));
        }
        if self.write.as_ref().is_some_and(|write| write.scope == scope) {
            return Err(words::misuse(words::READ_WITHIN_WRITE));
        }
        let data = self.store.committed(&scope);
        self.reads.insert(scope, data);
        Ok(Reply::Done)
    }

    fn reserve(&mut self, mailboxes: &[Text], guids: Vec<Guid>) -> Vec<Guid> {
        // Where an earlier reservation found them they may be gone by now.
        for (scope, guids) in self.staging.elsewhere(&guids) {
            let view = self.view(&scope);
            for guid in guids.iter().filter(|guid| view.message(guid).is_none()) {
                self.staging.unrefer(guid);
            }
        }
        let scopes: BTreeSet<Scope> = mailboxes.iter().map(|name| Scope::of(name)).collect();
        let views: Vec<_> = scopes.iter().map(|scope| (scope, self.view(scope))).collect();
        let mut missing = Vec::new();
        for guid in guids {
            if self.staging.find(&guid).is_some() {
                continue;
            }
            match views.iter().find(|(_, view)| view.message(&guid).is_some()) {
                Some((scope, _)) => self.staging.refer(guid, scope),
                None => missing.push(guid),
            }
        }
        missing
    }
}

/// Writes.
impl MemorySession {
    fn begin(&mut self, scope: Scope) -> Result<Reply, StoreError> {
        if self.write.is_some() {
            return Err(words::misuse(words::BEGIN_WITHIN_WRITE));
        }
        if self.reads.contains_key(&scope) {
            return Err(words::misuse(words::BEGIN_WITHIN_READ));
        }
        if !self.store.lock().writing.insert(scope.clone()) {
            return Err(words::locked(&scope));
        }
        let data = self.store.committed(&scope);
        self.write = Some(WriteTransaction {
            scope,
            data,
            mark: None,
            failed: false,
        });
        Ok(Reply::Done)
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
        write.mark = Some(Arc::clone(&write.data));
        Ok(Reply::Done)
    }

    fn rollback_to_savepoint(&mut self) -> Result<Reply, StoreError> {
        let write = self.open_write()?;
        let mark = write.mark.as_ref().ok_or(words::misuse(words::NO_SAVEPOINT))?;
        write.data = Arc::clone(mark);
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

    fn expire(&mut self, before: i64) -> Result<Reply, StoreError> {
        let write = self.sound_write()?;
        Ok(Reply::Expired(Arc::make_mut(&mut write.data).expire(before)))
    }

    fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        if let Change::PutRecords {
            uniqueid, records, ..
        } = change
        {
            return self.put_records(&uniqueid, records);
        }
        let write = self.open_write()?;
        let scope = write.scope.clone();
        Arc::make_mut(&mut write.data).apply(&scope, change)
    }

    fn put_records(&mut self, uniqueid: &Text, records: Vec<Record>) -> Result<(), StoreError> {
        self.open_write()?.data.records(uniqueid)?;
        for record in records {
            let guid = record.guid;
            // `message` looks into the open transaction first, as its scope is the one asked for.
            let scope = self.open_write()?.scope.clone();
            let staged = if self.open_write()?.data.message(&guid).is_some() {
                None
            } else {
                self.message(&scope, &guid)?
            };
            Arc::make_mut(&mut self.open_write()?.data).put_record(uniqueid, record, staged)?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<Reply, StoreError> {
        let write = self.sound_write()?;
        let (scope, data) = (write.scope.clone(), Arc::clone(&write.data));
        self.store.lock().scopes.insert(scope, data);
        self.end_write();
        Ok(Reply::Done)
    }

    fn end_write(&mut self) {
        if let Some(write) = self.write.take() {
            self.store.lock().writing.remove(&write.scope);
        }
    }

    fn move_mailbox(&mut self, from: &MailboxKey, to: Mailbox) -> Result<Reply, StoreError> {
        if self.write.is_some() {
            return Err(words::misuse(words::MOVE_WITHIN));
        }
        let target = Scope::of(&to.name);
        if self.reads.contains_key(&target) || self.reads.contains_key(&from.scope) {
            return Err(words::misuse(words::BEGIN_WITHIN_READ));
        }
        self.store.committed(&from.scope).records(&from.uniqueid)?;
        if from.scope == target && from.uniqueid != to.uniqueid {
            return Err(words::misuse(words::MOVE_IDENTITY));
        }
        let mut shared = self.store.lock();
        if let Some(held) = [&from.scope, &target]
            .into_iter()
            .find(|scope| shared.writing.contains(*scope))
        {
            return Err(words::locked(held));
        }
        let mut source = shared.scopes.get(&from.scope).cloned().unwrap_or_default();
        if from.scope == target {
            Arc::make_mut(&mut source).apply(&target, Change::PutMailbox(Box::new(to)))?;
            shared.scopes.insert(target, source);
            return Ok(Reply::Done);
        }
        let mut moved = shared.scopes.get(&target).cloned().unwrap_or_default();
        copy_mailbox(&source, from, Arc::make_mut(&mut moved), &target, to)?;
        let gone = Change::RemoveMailbox {
            uniqueid: from.uniqueid.clone(),
            tombstone: None,
        };
        Arc::make_mut(&mut source).apply(&from.scope, gone)?;
        shared.scopes.insert(target, moved);
        shared.scopes.insert(from.scope.clone(), source);
        Ok(Reply::Done)
    }
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        self.end_write();
    }
}

fn copy_mailbox(
    source: &ScopeData,
    from: &MailboxKey,
    target: &mut ScopeData,
    scope: &Scope,
    to: Mailbox,
) -> Result<(), StoreError> {
    let uniqueid = to.uniqueid.clone();
    target.apply(scope, Change::PutMailbox(Box::new(to)))?;
    target.apply(
        scope,
        Change::ClearRecords {
            uniqueid: uniqueid.clone(),
        },
    )?;
    for stored in source.records(&from.uniqueid)?.values() {
        let message = if stored.holds {
            source.message(&stored.record.guid)
        } else {
            None
        };
        target.put_record(&uniqueid, stored.record.clone(), message)?;
    }
    Ok(())
}

fn read_staged(staging: &mut Staging, offset: u64, size: u64) -> Result<Bytes, StoreError> {
    let mut data = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    staging.read(offset, &mut data)?;
    Ok(Bytes::from(data))
}

impl ScopeData {
    fn message(&self, guid: &Guid) -> Option<Bytes> {
        let messages: &Messages = self.messages();
        messages.get(guid).map(|message| message.data.clone())
    }
}
