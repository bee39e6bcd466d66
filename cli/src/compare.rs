//! Whether two stores hold the same mail: record by record, byte by byte, and by CRC.

use std::collections::BTreeMap;

use engine::crc::SyncCrc;
use engine::model::{Mailbox, MailboxKey};
use engine::name::Scope;
use engine::ticket::Select;
use protocol::{Record, Text};

use crate::access::Access;
use crate::failure::Result;
use crate::hash::Hasher;
use crate::names;

/// Differences told of one mailbox; the rest is counted.
const DIFFERENCES_SHOWN_MAX: usize = 5;

/// A mailbox as one store has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side {
    /// Internal name.
    pub name: Text,
    /// Live messages.
    pub exists: u64,
    /// Both CRCs, made anew from the records.
    pub crc: SyncCrc,
}

/// A mailbox in both stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Whose it is; `None` for one of nobody.
    pub user: Option<Text>,
    /// In the first store.
    pub first: Option<Side>,
    /// In the second one.
    pub second: Option<Side>,
    /// Whether everything about it is equal.
    pub equal: bool,
}

/// What a comparison found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Comparison {
    /// Every mailbox, by its name in the first store.
    pub rows: Vec<Row>,
    /// What differs, a sentence each; nothing when the stores are equal.
    pub differences: Vec<String>,
    /// Records compared, expunged ones included.
    pub records: u64,
    /// Message bytes compared.
    pub bytes: u64,
}

/// Compares everything that replication carries. What only one store can have (when it deleted something, what it
/// calls its partition's folder) is left out.
pub fn compare(first: &mut Access, second: &mut Access) -> Result<Comparison> {
    let mut found = Comparison::default();
    let mut users = first.users()?;
    users.extend(second.users()?);
    users.sort();
    users.dedup();
    for user in users {
        found.mailboxes(first, second, Some(&user))?;
        let scope = Scope::User(user.clone());
        let (a, b) = (first.user_meta(&user)?, second.user_meta(&user)?);
        found.part(&user, "subscriptions", a.subscriptions == b.subscriptions);
        found.part(&user, "seen states", a.seen == b.seen);
        // A script is its content; when it came is each store's own affair.
        let scripts = |meta: &engine::model::UserMeta| {
            meta.scripts
                .iter()
                .map(|s| (s.name.clone(), s.content.clone()))
                .collect::<Vec<_>>()
        };
        let same = scripts(&a) == scripts(&b) && a.active_script == b.active_script;
        found.part(&user, "sieve scripts", same);
        found.part(
            &user,
            "quota",
            first.quotas(scope.clone())? == second.quotas(scope)?,
        );
    }
    found.mailboxes(first, second, None)?;
    Ok(found)
}

impl Comparison {
    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    fn part(&mut self, user: &Text, what: &str, same: bool) {
        if !same {
            self.differences.push(format!("{what} of {user} differ"));
        }
    }

    fn mailboxes(&mut self, first: &mut Access, second: &mut Access, user: Option<&Text>) -> Result<()> {
        let select = || user.map_or(Select::Shared, |user| Select::User(user.clone()));
        let mut pairs: BTreeMap<Text, (Option<Mailbox>, Option<Mailbox>)> = BTreeMap::new();
        for mailbox in first.mailboxes(select())? {
            let pair = pairs.entry(mailbox.uniqueid.clone()).or_default();
            pair.0 = Some(mailbox);
        }
        for mailbox in second.mailboxes(select())? {
            let pair = pairs.entry(mailbox.uniqueid.clone()).or_default();
            pair.1 = Some(mailbox);
        }
        let mut pairs: Vec<_> = pairs.into_values().collect();
        pairs.sort_by_key(|(a, b)| a.as_ref().or(b.as_ref()).map(|m| m.name.clone()));
        for (a, b) in pairs {
            let before = self.differences.len();
            let row = match (a, b) {
                (Some(a), Some(b)) => self.both(first, second, user, &a, &b)?,
                (Some(a), None) => {
                    self.differences.push(format!(
                        "mailbox {} is only in the first store",
                        shown(user, &a.name)
                    ));
                    let side = side(&a, &records(first, &a.key())?);
                    Row {
                        user: user.cloned(),
                        first: Some(side),
                        second: None,
                        equal: false,
                    }
                }
                (None, Some(b)) => {
                    self.differences.push(format!(
                        "mailbox {} is only in the second store",
                        shown(user, &b.name)
                    ));
                    let side = side(&b, &records(second, &b.key())?);
                    Row {
                        user: user.cloned(),
                        first: None,
                        second: Some(side),
                        equal: false,
                    }
                }
                (None, None) => continue,
            };
            self.rows.push(Row {
                equal: self.differences.len() == before,
                ..row
            });
        }
        Ok(())
    }

    fn both(
        &mut self,
        first: &mut Access,
        second: &mut Access,
        user: Option<&Text>,
        a: &Mailbox,
        b: &Mailbox,
    ) -> Result<Row> {
        let name = shown(user, &a.name);
        if let Some(what) = differing_value(a, b) {
            self.differences.push(format!("mailbox {name}: {what} differs"));
        }
        let (ours, theirs) = (records(first, &a.key())?, records(second, &b.key())?);
        let row = Row {
            user: user.cloned(),
            first: Some(side(a, &ours)),
            second: Some(side(b, &theirs)),
            equal: true,
        };
        for (side, stored, which) in [(&row.first, a, "first"), (&row.second, b, "second")] {
            if side.as_ref().is_some_and(|side| side.crc != stored.crc) {
                self.differences.push(format!(
                    "mailbox {name}: the CRC in the {which} store is not that of its records"
                ));
            }
        }
        let mut uids: Vec<u32> = ours.keys().chain(theirs.keys()).copied().collect();
        uids.sort_unstable();
        uids.dedup();
        self.records += uids.len() as u64;
        let mut told = 0;
        for uid in uids {
            let what = match (ours.get(&uid), theirs.get(&uid)) {
                (Some(a), Some(b)) if a != b => differing_part(a, b),
                (Some(x), Some(y)) if !x.is_expunged() => {
                    match (digest(first, &a.key(), x)?, digest(second, &b.key(), y)?) {
                        ((bytes, ours), (_, theirs)) if ours == theirs => {
                            self.bytes += bytes;
                            continue;
                        }
                        _ => "bytes differ",
                    }
                }
                (Some(_), Some(_)) => continue,
                (Some(x), None) | (None, Some(x)) if x.is_expunged() => continue,
                (Some(_), None) => "is only in the first store",
                _ => "is only in the second store",
            };
            told += 1;
            if told <= DIFFERENCES_SHOWN_MAX {
                self.differences.push(format!("message {uid} of {name}: {what}"));
            }
        }
        if told > DIFFERENCES_SHOWN_MAX {
            self.differences
                .push(format!("and {} more in {name}", told - DIFFERENCES_SHOWN_MAX));
        }
        Ok(row)
    }
}

fn shown(user: Option<&Text>, name: &Text) -> String {
    user.map_or_else(
        || names::printable(&name.to_lossy()),
        |user| format!("{user}/{}", names::shown(user, name)),
    )
}

fn side(mailbox: &Mailbox, records: &BTreeMap<u32, Record>) -> Side {
    let mut crc = SyncCrc::EMPTY;
    records.values().for_each(|record| crc.toggle(record));
    let exists = records.values().filter(|record| !record.is_expunged()).count() as u64;
    Side {
        name: mailbox.name.clone(),
        exists,
        crc,
    }
}

fn records(access: &mut Access, mailbox: &MailboxKey) -> Result<BTreeMap<u32, Record>> {
    let mut records = BTreeMap::new();
    access.for_each_record(mailbox, |_, record| {
        let mut record = record;
        // Their order says nothing.
        record.annotations.sort();
        records.insert(record.uid, record);
        Ok(())
    })?;
    Ok(records)
}

fn digest(access: &mut Access, mailbox: &MailboxKey, record: &Record) -> Result<(u64, protocol::Guid)> {
    let mut hasher = Hasher::default();
    let bytes = access.read_message(&mailbox.scope, record.guid, |data| {
        hasher.update(data);
        Ok(())
    })?;
    Ok((bytes, hasher.finish()))
}

fn differing_value(a: &Mailbox, b: &Mailbox) -> Option<&'static str> {
    let annotations = |mailbox: &Mailbox| {
        let mut all = mailbox.annotations.clone();
        all.sort();
        all
    };
    let same = [
        ("the name", a.name == b.name),
        ("the type", a.mbtype == b.mbtype),
        ("the ACL", a.acl == b.acl),
        ("the options", a.options == b.options),
        ("UIDVALIDITY", a.uidvalidity == b.uidvalidity),
        ("the last UID", a.last_uid == b.last_uid),
        ("HIGHESTMODSEQ", a.highestmodseq == b.highestmodseq),
        (
            "the recent UID",
            (a.recentuid, a.recenttime) == (b.recentuid, b.recenttime),
        ),
        (
            "the time of the last append",
            a.last_appenddate == b.last_appenddate,
        ),
        ("the modseq of creation", a.createdmodseq == b.createdmodseq),
        ("the modseq of the folder", a.foldermodseq == b.foldermodseq),
        ("annotations", annotations(a) == annotations(b)),
        ("the stored CRC", a.crc == b.crc),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

fn differing_part(a: &Record, b: &Record) -> &'static str {
    if a.guid != b.guid {
        "is another message"
    } else if a.flags != b.flags {
        "flags differ"
    } else if a.annotations != b.annotations {
        "annotations differ"
    } else if a.modseq != b.modseq {
        "modseq differs"
    } else {
        "dates or size differ"
    }
}
