//! What a store shows, as plain data.

use std::collections::BTreeMap;

use protocol::{Record, Text};

/// Everything of a user, or of nobody.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct ScopeView {
    /// Mailboxes by identity, placeholders included.
    pub mailboxes: BTreeMap<Text, MailboxView>,
    /// Sorted.
    pub subscriptions: Vec<Text>,
}

/// A mailbox with its records.
#[derive(Clone, PartialEq, Debug)]
pub struct MailboxView {
    /// Internal name.
    pub name: Text,
    /// `id TAB rights TAB ...`.
    pub acl: Text,
    /// IMAP's.
    pub uidvalidity: u32,
    /// Highest UID ever given out.
    pub last_uid: u32,
    /// IMAP's.
    pub highestmodseq: u64,
    /// The basic and the annotation CRC as stored.
    pub crc: (u32, u32),
    /// By UID, tombstones included. Keywords and annotations are sorted: their order says nothing.
    pub records: BTreeMap<u32, Record>,
}

impl ScopeView {
    /// Live records with the identity of their mailbox.
    pub fn live(&self) -> impl Iterator<Item = (&Text, &Record)> {
        self.mailboxes.iter().flat_map(|(id, mailbox)| {
            let live = mailbox.records.values().filter(|record| !record.is_expunged());
            live.map(move |record| (id, record))
        })
    }

    /// The first difference that a reader could see, for people; `None` when there is none. Tombstones of records are
    /// each side's own after both were changed. With `extra` the other may have more mailboxes.
    pub fn difference(&self, other: &ScopeView, extra: bool) -> Option<String> {
        for (id, mailbox) in &self.mailboxes {
            let Some(there) = other.mailboxes.get(id) else {
                return Some(format!("mailbox {} ({id}) is missing", mailbox.name));
            };
            if let Some(difference) = mailbox.difference(there) {
                return Some(format!("mailbox {} ({id}): {difference}", mailbox.name));
            }
        }
        let surplus = other
            .mailboxes
            .iter()
            .find(|(id, _)| !self.mailboxes.contains_key(*id));
        if let Some((id, mailbox)) = surplus.filter(|_| !extra) {
            return Some(format!("mailbox {} ({id}) should not be there", mailbox.name));
        }
        (self.subscriptions != other.subscriptions).then(|| {
            format!(
                "subscriptions are {:?} and {:?}",
                self.subscriptions, other.subscriptions
            )
        })
    }
}

impl MailboxView {
    /// Whether the two differ in a way that the protocol's sums cannot show: both CRCs are the same, and so is the XOR of the
    /// records that differ. Two messages under two UIDs have the same whichever of them comes first, and so have two of which
    /// each has other flags in the same way. [CS-CRC-11] What only a master writes differs in no such way.
    fn is_hidden(
        &self,
        other: &MailboxView,
        here: &BTreeMap<u32, Record>,
        there: &BTreeMap<u32, Record>,
    ) -> bool {
        let sums = |m: &MailboxView| (m.crc, m.highestmodseq, m.last_uid);
        let by_people = |record: &Record| (record.guid, record.flags.clone(), record.internaldate);
        sums(self) == sums(other)
            && here.len() == there.len()
            && here.iter().all(|(uid, ours)| {
                let theirs = there.get(uid);
                theirs.is_some_and(|theirs| theirs == ours || by_people(theirs) != by_people(ours))
            })
    }

    fn difference(&self, other: &MailboxView) -> Option<String> {
        let values = |m: &MailboxView| (m.name.clone(), m.acl.clone(), m.uidvalidity, m.last_uid);
        if values(self) != values(other) {
            return Some(format!("values are {:?} and {:?}", values(self), values(other)));
        }
        let live = |m: &MailboxView| -> BTreeMap<u32, Record> {
            let live = m.records.iter().filter(|(_, record)| !record.is_expunged());
            live.map(|(uid, record)| (*uid, record.clone())).collect()
        };
        let (here, there) = (live(self), live(other));
        if self.is_hidden(other, &here, &there) {
            return None;
        }
        let uids = here.keys().chain(there.keys());
        let uid = uids.copied().find(|uid| here.get(uid) != there.get(uid))?;
        Some(format!(
            "UID {uid} is {:?} and {:?}",
            here.get(&uid),
            there.get(&uid)
        ))
    }
}
