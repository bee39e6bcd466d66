//! What one scope holds, and how a change alters it.

use std::collections::BTreeMap;
use std::ops::{Bound, Deref};
use std::sync::Arc;

use bytes::Bytes;
use engine::model::{Mailbox, QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone, UserMeta};
use engine::name::{self, Scope};
use engine::ticket::{Change, Expired, StoreError};
use protocol::{Guid, Record, Text};

use crate::words;

/// Messages by their SHA-1.
pub(super) type Messages = BTreeMap<Guid, Message>;

/// A stored message.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) data: Bytes,
    /// Records that hold it; it goes with the last of them.
    holders: u64,
}

/// A record and whether it holds a message.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) record: Record,
    /// False for an expunged record whose message was not there when it was put.
    pub(super) holds: bool,
}

impl Deref for Stored {
    type Target = Record;
    fn deref(&self) -> &Record {
        &self.record
    }
}

#[derive(Clone)]
struct MailboxData {
    mailbox: Mailbox,
    records: BTreeMap<u32, Stored>,
}

/// One scope. Cloning is cheap as long as records are: mailboxes share theirs until one is changed.
#[derive(Clone, Default)]
pub(super) struct ScopeData {
    mailboxes: BTreeMap<Text, Arc<MailboxData>>,
    names: BTreeMap<Text, Text>,
    messages: Arc<Messages>,
    tombstones: BTreeMap<Text, Tombstone>,
    deleted: BTreeMap<Text, Arc<BTreeMap<u32, Guid>>>,
    seen: BTreeMap<Text, SeenState>,
    subscriptions: std::collections::BTreeSet<Text>,
    scripts: BTreeMap<Text, SieveScript>,
    active_script: Option<Text>,
    quotas: BTreeMap<Text, QuotaLimits>,
    annotations: BTreeMap<(Text, Text), Text>,
}

/// Reads.
impl ScopeData {
    pub(super) fn by_name(&self, name: &[u8]) -> Option<&Mailbox> {
        self.by_id(self.names.get(name)?)
    }

    pub(super) fn by_id(&self, uniqueid: &Text) -> Option<&Mailbox> {
        self.mailboxes.get(uniqueid).map(|data| &data.mailbox)
    }

    /// In byte order of names.
    pub(super) fn all_mailboxes(&self) -> Vec<Mailbox> {
        self.names
            .values()
            .filter_map(|uniqueid| self.by_id(uniqueid).cloned())
            .collect()
    }

    pub(super) fn records(&self, uniqueid: &Text) -> Result<&BTreeMap<u32, Stored>, StoreError> {
        let data = self
            .mailboxes
            .get(uniqueid)
            .ok_or_else(|| words::no_mailbox(uniqueid))?;
        Ok(&data.records)
    }

    pub(super) fn messages(&self) -> &Messages {
        &self.messages
    }

    pub(super) fn tombstones(&self) -> Vec<Tombstone> {
        self.tombstones.values().cloned().collect()
    }

    pub(super) fn deleted(&self, uniqueid: &Text, above_uid: u32, limit: u32) -> Vec<(u32, Guid)> {
        let Some(held) = self.deleted.get(uniqueid) else {
            return Vec::new();
        };
        held.range((Bound::Excluded(above_uid), Bound::Unbounded))
            .take(limit as usize)
            .map(|(uid, guid)| (*uid, *guid))
            .collect()
    }

    pub(super) fn user_meta(&self) -> UserMeta {
        UserMeta {
            seen: self.seen.values().cloned().collect(),
            subscriptions: self.subscriptions.iter().cloned().collect(),
            scripts: self.scripts.values().cloned().collect(),
            active_script: self.active_script.clone(),
        }
    }

    pub(super) fn quotas(&self) -> Vec<QuotaLimits> {
        self.quotas.values().cloned().collect()
    }

    pub(super) fn server_annotations(&self) -> Vec<ServerAnnotation> {
        let annotation = |((entry, userid), value): (&(Text, Text), &Text)| ServerAnnotation {
            entry: entry.clone(),
            userid: userid.clone(),
            value: value.clone(),
        };
        self.annotations.iter().map(annotation).collect()
    }
}

/// Changes.
impl ScopeData {
    /// Applies any change but [`Change::PutRecords`], which needs the staged messages: see [`ScopeData::put_record`].
    pub(super) fn apply(&mut self, scope: &Scope, change: Change) -> Result<(), StoreError> {
        if !words::belongs(scope, &change) {
            return Err(words::misuse(words::WRONG_SCOPE));
        }
        match change {
            Change::PutMailbox(mailbox) => return self.put_mailbox(*mailbox),
            Change::RemoveMailbox { uniqueid, tombstone } => {
                return self.remove_mailbox(&uniqueid, tombstone);
            }
            Change::ClearRecords { uniqueid } => {
                self.records(&uniqueid)?;
                self.clear_records(&uniqueid);
            }
            Change::PutRecords { .. } => {}
            Change::PutSeen(seen) => drop(self.seen.insert(seen.uniqueid.clone(), seen)),
            Change::Subscribe { mailbox } => drop(self.subscriptions.insert(mailbox)),
            Change::Unsubscribe { mailbox } => drop(self.subscriptions.remove(&mailbox)),
            Change::PutQuota(quota) => drop(self.quotas.insert(quota.root.clone(), quota)),
            Change::RemoveQuota { root } => drop(self.quotas.remove(&root)),
            Change::PutScript(script) => drop(self.scripts.insert(script.name.clone(), script)),
            Change::RemoveScript { name } => {
                self.scripts.remove(&name);
                self.active_script.take_if(|active| *active == name);
            }
            Change::ActivateScript { name } => {
                if let Some(name) = name.as_ref().filter(|name| !self.scripts.contains_key(*name)) {
                    return Err(words::no_script(name));
                }
                self.active_script = name;
            }
            Change::PutServerAnnotation(annotation) => {
                drop(
                    self.annotations
                        .insert((annotation.entry, annotation.userid), annotation.value),
                );
            }
            Change::RemoveServerAnnotation { entry, userid } => {
                drop(self.annotations.remove(&(entry, userid)))
            }
            Change::RemoveUser { deleted_at } => return self.remove_user(deleted_at),
        }
        Ok(())
    }

    fn put_mailbox(&mut self, mailbox: Mailbox) -> Result<(), StoreError> {
        if let Some(holder) = self
            .by_name(&mailbox.name)
            .filter(|holder| holder.uniqueid != mailbox.uniqueid)
        {
            if !holder.is_placeholder() {
                return Err(words::name_taken(&mailbox.name));
            }
            let placeholder = holder.uniqueid.clone();
            self.remove_mailbox(&placeholder, None)?;
        }
        self.tombstones.remove(&mailbox.uniqueid);
        self.deleted.remove(&mailbox.uniqueid);
        if let Some(data) = self.mailboxes.get_mut(&mailbox.uniqueid) {
            self.names.remove(&data.mailbox.name);
            self.names.insert(mailbox.name.clone(), mailbox.uniqueid.clone());
            Arc::make_mut(data).mailbox = mailbox;
        } else {
            self.names.insert(mailbox.name.clone(), mailbox.uniqueid.clone());
            let uniqueid = mailbox.uniqueid.clone();
            self.mailboxes.insert(
                uniqueid,
                Arc::new(MailboxData {
                    mailbox,
                    records: BTreeMap::new(),
                }),
            );
        }
        Ok(())
    }

    fn remove_mailbox(&mut self, uniqueid: &Text, tombstone: Option<Tombstone>) -> Result<(), StoreError> {
        if tombstone.as_ref().is_some_and(|t| t.uniqueid != *uniqueid) {
            return Err(words::misuse(words::OTHER_TOMBSTONE));
        }
        let held = self.records(uniqueid)?.iter();
        let held: BTreeMap<u32, Guid> = held.map(|(uid, stored)| (*uid, stored.record.guid)).collect();
        self.clear_records(uniqueid);
        if let Some(data) = self.mailboxes.remove(uniqueid) {
            self.names.remove(&data.mailbox.name);
        }
        if let Some(tombstone) = tombstone {
            self.deleted.insert(tombstone.uniqueid.clone(), Arc::new(held));
            self.tombstones.insert(tombstone.uniqueid.clone(), tombstone);
        }
        Ok(())
    }

    fn clear_records(&mut self, uniqueid: &Text) {
        let Some(data) = self.mailboxes.get_mut(uniqueid) else {
            return;
        };
        if data.records.is_empty() {
            return;
        }
        let records = std::mem::take(&mut Arc::make_mut(data).records);
        for stored in records.values().filter(|stored| stored.holds) {
            self.release(&stored.record.guid);
        }
    }

    /// Puts one record. `staged` is its message when the scope does not hold it.
    pub(super) fn put_record(
        &mut self,
        uniqueid: &Text,
        record: Record,
        staged: Option<Bytes>,
    ) -> Result<(), StoreError> {
        self.records(uniqueid)?;
        let guid = record.guid;
        let messages = Arc::make_mut(&mut self.messages);
        let holds = match (messages.get_mut(&guid), staged) {
            (Some(message), _) => {
                message.holders += 1;
                true
            }
            (None, Some(data)) => {
                messages.insert(guid, Message { data, holders: 1 });
                true
            }
            (None, None) if record.is_expunged() => false,
            (None, None) => {
                return Err(StoreError::NotStaged {
                    uid: record.uid,
                    guid,
                });
            }
        };
        let Some(data) = self.mailboxes.get_mut(uniqueid) else {
            return Ok(());
        };
        let before = Arc::make_mut(data)
            .records
            .insert(record.uid, Stored { record, holds });
        if let Some(before) = before.filter(|before| before.holds) {
            self.release(&before.record.guid);
        }
        Ok(())
    }

    fn release(&mut self, guid: &Guid) {
        let messages = Arc::make_mut(&mut self.messages);
        if let Some(message) = messages.get_mut(guid) {
            message.holders -= 1;
            if message.holders == 0 {
                messages.remove(guid);
            }
        }
    }

    /// What [`engine::ticket::Request::Expire`] says.
    pub(super) fn expire(&mut self, before: i64) -> Expired {
        let mut released = Vec::new();
        for data in self.mailboxes.values_mut() {
            let old = |stored: &Stored| {
                stored.holds && stored.record.is_expunged() && stored.record.last_updated < before
            };
            if !data.records.values().any(old) {
                continue;
            }
            for stored in Arc::make_mut(data)
                .records
                .values_mut()
                .filter(|stored| old(stored))
            {
                stored.holds = false;
                released.push(stored.record.guid);
            }
        }
        let mut expired = Expired {
            records: released.len() as u64,
            ..Expired::default()
        };
        for guid in released {
            let size = self.messages.get(&guid).map(|message| message.data.len() as u64);
            self.release(&guid);
            if !self.messages.contains_key(&guid) {
                expired.messages += 1;
                expired.bytes += size.unwrap_or(0);
            }
        }
        let forgotten: Vec<Text> = self
            .tombstones
            .values()
            .filter(|tombstone| tombstone.deleted_at < before)
            .map(|tombstone| tombstone.uniqueid.clone())
            .collect();
        for uniqueid in &forgotten {
            self.tombstones.remove(uniqueid);
            self.deleted.remove(uniqueid);
        }
        expired.tombstones = forgotten.len() as u64;
        expired
    }

    fn remove_user(&mut self, deleted_at: i64) -> Result<(), StoreError> {
        for mailbox in self
            .all_mailboxes()
            .into_iter()
            .filter(|mailbox| !name::is_deleted(&mailbox.name))
        {
            let tombstone = Tombstone {
                uniqueid: mailbox.uniqueid.clone(),
                name: mailbox.name,
                highestmodseq: mailbox.highestmodseq,
                uidvalidity: mailbox.uidvalidity,
                deleted_at,
                gave_way: false,
            };
            self.remove_mailbox(&mailbox.uniqueid, Some(tombstone))?;
        }
        self.seen.clear();
        self.subscriptions.clear();
        self.scripts.clear();
        self.active_script = None;
        self.quotas.clear();
        Ok(())
    }
}
