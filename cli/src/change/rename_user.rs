//! `mailtwin rename --user`: a user under another name, with everything. [CS-OPS-9] [CS-EXC-36]
//!
//! A Cyrus replica renames no INBOX into another user's, so the mailboxes get new identities: the new user
//! is made whole in one transaction, then the old one goes as a deleted user does. At each moment one of the two is
//! complete, and replicas follow by creating the one and removing the other.

use std::collections::{BTreeMap, BTreeSet};

use engine::model::{Mailbox, QuotaLimits, SeenState, UserMeta};
use engine::name::{Scope, inbox_of, is_acceptable, is_deleted};
use engine::ticket::{Change, Select, StagePart};
use protocol::{Guid, Record, Text};

use super::existing_user;
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::import::new_uniqueid;
use crate::{names, open, output, table};

/// Records written at once.
const RECORDS_MAX: usize = 1024;

/// All that a user has, beside records.
#[derive(Clone, PartialEq)]
struct Estate {
    mailboxes: Vec<Mailbox>,
    meta: UserMeta,
    quotas: Vec<QuotaLimits>,
}

impl Estate {
    fn of(access: &mut Access, user: &Text) -> Result<Estate> {
        let mut mailboxes = access.mailboxes(Select::User(user.clone()))?;
        mailboxes.retain(|mailbox| !is_deleted(&mailbox.name));
        Ok(Estate {
            mailboxes,
            meta: access.user_meta(user)?,
            quotas: access.quotas(Scope::User(user.clone()))?,
        })
    }
}

/// Renames a user.
pub fn run(access: &mut Access, from: &str, to: &str) -> Result<()> {
    let (old, new) = (existing_user(access, from)?, names::user(to)?);
    let there = access.mailboxes(Select::User(new.clone()))?;
    if old == new || there.iter().any(|mailbox| !is_deleted(&mailbox.name)) {
        let text = format!("there is a user {new} already; `mailtwin list {new}` shows what they have");
        return Err(Failure::new(Exit::CannotCreate, text));
    }
    let (estate, messages) = access.snapshot(Scope::User(old.clone()), |access| {
        let estate = Estate::of(access, &old)?;
        let messages = make(access, &old, &new, &estate)?;
        Ok((estate, messages))
    })?;
    access.forget_staged()?;
    let gone = access.transaction(Scope::User(old.clone()), |access| {
        if Estate::of(access, &old)? == estate {
            let now = open::now().0;
            return Ok((vec![Change::RemoveUser { deleted_at: now }], true));
        }
        Ok((Vec::new(), false))
    })?;
    if !gone {
        let now = open::now().0;
        let scope = Scope::User(new.clone());
        access.transaction(scope, |_| Ok((vec![Change::RemoveUser { deleted_at: now }], ())))?;
        let text =
            format!("{old} changed while it was renamed, and stays {old}; keep mail away and try again");
        return Err(Failure::new(Exit::Locked, text));
    }
    output::note(&format!(
        "renamed {old} to {new}: {} with {}",
        table::count(estate.mailboxes.len() as u64, "mailbox"),
        table::count(messages, "message")
    ))
}

/// Makes the new user; answers the number of messages.
fn make(access: &mut Access, old: &Text, new: &Text, estate: &Estate) -> Result<u64> {
    let ids: BTreeMap<Text, Text> = estate
        .mailboxes
        .iter()
        .map(|mailbox| Ok((mailbox.uniqueid.clone(), new_uniqueid()?)))
        .collect::<Result<_>>()?;
    let scope = Scope::User(new.clone());
    let partition = estate.mailboxes.first().map(|mailbox| mailbox.partition.clone());
    stage(access, old, estate, &partition.unwrap_or_default())?;
    access.transaction(scope.clone(), |access| {
        let buried: BTreeSet<Text> = access.tombstones(scope)?.into_iter().map(|t| t.name).collect();
        let mut messages = 0;
        for mailbox in &estate.mailboxes {
            let mut renamed = renamed(mailbox, old, new);
            if let Some(id) = ids.get(&mailbox.uniqueid) {
                renamed.uniqueid = id.clone();
            }
            if buried.contains(&renamed.name) {
                // Programs that knew another mailbox by this name must not take its messages for these.
                let now = u32::try_from(open::now().0).unwrap_or(u32::MAX);
                renamed.uidvalidity = renamed.uidvalidity.max(now);
            }
            if !is_acceptable(&renamed.name) {
                let text = format!("{}: too long, or no name of a mailbox", renamed.name);
                return Err(Failure::new(Exit::Data, text));
            }
            messages += copy(access, mailbox, renamed)?;
        }
        Ok((belongings(old, new, estate, &ids), messages))
    })
}

/// Hands in the bytes of all messages.
fn stage(access: &mut Access, old: &Text, estate: &Estate, partition: &Text) -> Result<()> {
    let scope = Scope::User(old.clone());
    let mut known: BTreeSet<Guid> = BTreeSet::new();
    for mailbox in &estate.mailboxes {
        access.for_each_record(&mailbox.key(), |access, record| {
            if record.is_expunged() || !known.insert(record.guid) {
                return Ok(());
            }
            access.stage(vec![StagePart::Open {
                partition: partition.clone(),
                guid: record.guid,
                size: record.size,
            }])?;
            let mut pieces = Vec::new();
            let mut offset = 0;
            loop {
                let (size, piece) = access.message_piece(&scope, record.guid, offset)?;
                if piece.is_empty() {
                    break;
                }
                offset += piece.len() as u64;
                pieces.push(StagePart::Data(piece));
                access.stage(std::mem::take(&mut pieces))?;
                if offset >= size {
                    break;
                }
            }
            access.stage(vec![StagePart::Close])
        })?;
    }
    Ok(())
}

/// Writes one mailbox with its records; answers the number of live ones.
fn copy(access: &mut Access, from: &Mailbox, to: Mailbox) -> Result<u64> {
    let (uniqueid, partition) = (to.uniqueid.clone(), to.partition.clone());
    access.write(vec![Change::PutMailbox(Box::new(to))])?;
    let mut page: Vec<Record> = Vec::new();
    let mut live = 0;
    let put = |access: &mut Access, records: Vec<Record>| {
        access.write(vec![Change::PutRecords {
            uniqueid: uniqueid.clone(),
            partition: partition.clone(),
            records,
        }])
    };
    access.for_each_record(&from.key(), |access, record| {
        live += u64::from(!record.is_expunged());
        page.push(record);
        if page.len() >= RECORDS_MAX {
            put(access, std::mem::take(&mut page))?;
        }
        Ok(())
    })?;
    if !page.is_empty() {
        put(access, page)?;
    }
    Ok(live)
}

/// What a user has beside mailboxes, under the new name.
fn belongings(old: &Text, new: &Text, estate: &Estate, ids: &BTreeMap<Text, Text>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for state in &estate.meta.seen {
        let uniqueid = ids.get(&state.uniqueid).unwrap_or(&state.uniqueid).clone();
        changes.push(Change::PutSeen(SeenState {
            uniqueid,
            ..state.clone()
        }));
    }
    for name in &estate.meta.subscriptions {
        let mailbox = new_name(name, old, new);
        changes.push(Change::Subscribe { mailbox });
    }
    for script in &estate.meta.scripts {
        changes.push(Change::PutScript(script.clone()));
    }
    if estate.meta.active_script.is_some() {
        changes.push(Change::ActivateScript {
            name: estate.meta.active_script.clone(),
        });
    }
    for limits in &estate.quotas {
        changes.push(Change::PutQuota(QuotaLimits {
            root: new_name(&limits.root, old, new),
            ..limits.clone()
        }));
    }
    changes
}

/// The mailbox as the new user has it: name, quota root, and rights that its owner has.
fn renamed(mailbox: &Mailbox, old: &Text, new: &Text) -> Mailbox {
    let mut renamed = mailbox.clone();
    renamed.name = new_name(&mailbox.name, old, new);
    renamed.quotaroot = mailbox.quotaroot.as_ref().map(|root| new_name(root, old, new));
    renamed.acl = new_acl(&mailbox.acl, old, new);
    // It is another one for whoever asks by id.
    renamed.jmapid = None;
    renamed
}

/// `user.old.Sub` as `user.new.Sub`; other names stay.
fn new_name(name: &Text, old: &Text, new: &Text) -> Text {
    let (before, after) = (inbox_of(old), inbox_of(new));
    match name.strip_prefix(before.as_bytes()) {
        Some(rest) if rest.is_empty() || rest.starts_with(b".") => {
            Text::from([after.as_bytes(), rest].concat())
        }
        _ => name.clone(),
    }
}

/// Rights of the old id, `id TAB rights TAB ...`, are the new id's.
fn new_acl(acl: &Text, old: &Text, new: &Text) -> Text {
    let parts = acl.split(|&byte| byte == b'\t').enumerate().map(|(at, part)| {
        if at % 2 == 0 && part == old.as_bytes() {
            new.as_bytes()
        } else {
            part
        }
    });
    Text::from(parts.collect::<Vec<_>>().join(&b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rights_of_the_new_user() {
        let (old, new) = (Text::from("jane.doe"), Text::from("june"));
        for (name, expected) in [
            ("user.jane^doe", "user.june"),
            ("user.jane^doe.Sent", "user.june.Sent"),
            ("user.jane^doer.Sent", "user.jane^doer.Sent"),
            ("shared.news", "shared.news"),
        ] {
            assert_eq!(new_name(&Text::from(name), &old, &new), Text::from(expected));
        }
        let acl = Text::from("jane.doe\tlrswipkxtecda\tbob\tlr\tjane\tlr\t");
        let expected = Text::from("june\tlrswipkxtecda\tbob\tlr\tjane\tlr\t");
        assert_eq!(new_acl(&acl, &old, &new), expected);
    }
}
