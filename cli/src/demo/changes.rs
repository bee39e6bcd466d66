//! What happens on the master: the sample mail arrives, and later something of every kind changes.

use std::collections::BTreeMap;

use engine::local::{self, Incoming, MailboxEdit, Moment, NewMailbox};
use engine::model::{Mailbox, QuotaLimits};
use engine::name::Scope;
use engine::ticket::{Change, Select, StagePart};
use protocol::{Flags, Record, SystemFlags, Text};

use super::samples::{LATE, SAMPLES};
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::hash::guid_of;
use crate::import::{Body, Sorted, Writer, header_date, new_uniqueid};
use crate::{names, open};

/// Whose mail changes.
const USER: &str = "jane";

/// Partition of the sample mailboxes.
const PARTITION: &str = "default";

const SCRIPT: &str = "require [\"vacation\"];\r\nvacation :days 7 \"At sea until Monday.\";\r\n";

/// What arrived.
pub struct Arrived {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Users.
    pub users: u64,
}

/// Imports the sample mail.
pub fn import(access: &mut Access) -> Result<Arrived> {
    let mut sorted: BTreeMap<&str, BTreeMap<&str, Vec<_>>> = BTreeMap::new();
    for sample in &SAMPLES {
        sorted
            .entry(sample.user)
            .or_default()
            .entry(sample.mailbox)
            .or_default()
            .push(sample);
    }
    let mut arrived = Arrived {
        messages: 0,
        bytes: 0,
        mailboxes: 0,
        users: 0,
    };
    for (id, mailboxes) in sorted {
        let user = names::user(id)?;
        let mut writer = Writer::new(access, user.clone(), Text::from(PARTITION), open::now);
        for (mailbox, samples) in mailboxes {
            writer.open(&names::of_user(&user, mailbox)?)?;
            for sample in samples {
                let internaldate = header_date(sample.text).unwrap_or(0);
                let body = Body::read(sample.text)?;
                writer.message(Sorted {
                    body,
                    internaldate,
                    flags: sample.flags(),
                })?;
            }
        }
        let done = writer.finish()?;
        arrived.messages += done.messages;
        arrived.bytes += done.bytes;
        arrived.mailboxes += done.mailboxes;
        arrived.users += 1;
    }
    Ok(arrived)
}

/// Changes something of every kind; answers with what, a line each.
pub fn change(access: &mut Access) -> Result<Vec<&'static str>> {
    let user = names::user(USER)?;
    let inbox = names::of_user(&user, "INBOX")?;
    let name = |text: &str| names::of_user(&user, text);

    let late = Body::read(LATE)?;
    let incoming = Incoming {
        guid: late.guid,
        size: late.size,
        internaldate: header_date(LATE).unwrap_or(0),
        flags: Flags::default(),
        thread: None,
    };
    let partition = Text::from(PARTITION);
    access.stage(vec![StagePart::Open {
        partition,
        guid: late.guid,
        size: late.size,
    }])?;
    late.pieces(|piece| access.stage(vec![StagePart::Data(piece)]))?;
    access.stage(vec![StagePart::Close])?;
    edit(access, &user, &inbox, |edit, records| {
        edit.append(incoming)?;
        let keep = |record: &Record| record.flags.clone();
        let flagged = SystemFlags::SEEN.with(SystemFlags::FLAGGED);
        edit.set_flags(
            &records[4],
            Flags {
                system: flagged,
                ..keep(&records[4])
            },
        )?;
        let keywords = vec![Text::from("$Label1"), Text::from("Boatyard")];
        edit.set_flags(
            &records[5],
            Flags {
                keywords,
                ..keep(&records[5])
            },
        )?;
        edit.annotate(
            &records[1],
            &Text::from("/comment"),
            &Text::EMPTY,
            Some(Text::from("table for three")),
        )?;
        edit.expunge(&records[3])
    })?;
    access.forget_staged()?;

    let (from, to) = (name("Projects/Lighthouse")?, name("Projects/East Tower")?);
    plan(access, &user, |moment, all| {
        local::rename(moment, all, &from, &to)
    })?;
    let new = NewMailbox {
        name: name("Projects/Fog Horn")?,
        uniqueid: new_uniqueid()?,
        partition: Text::from(PARTITION),
        acl: None,
    };
    plan(access, &user, |moment, all| {
        local::create(moment, all, new).map(|mailbox| vec![Change::PutMailbox(Box::new(mailbox))])
    })?;
    let gone = name("Archive/2024")?;
    plan(access, &user, |moment, all| {
        match all.iter().find(|m| m.name == gone) {
            Some(mailbox) => local::delete(moment, mailbox),
            None => Ok(Vec::new()),
        }
    })?;
    let sent = name("Sent")?;
    plan(access, &user, |moment, all| {
        match all.iter().find(|m| m.name == sent) {
            Some(mailbox) => {
                let value = Some(Text::from("what left the harbour"));
                local::annotate(moment, mailbox, &Text::from("/comment"), &Text::EMPTY, value)
            }
            None => Ok(Vec::new()),
        }
    })?;
    plan(access, &user, |_, _| {
        let quota = QuotaLimits {
            root: inbox.clone(),
            storage: Some(1 << 20),
            ..QuotaLimits::default()
        };
        let script = Text::from("holiday");
        let mut changes = local::subscribe(inbox.clone(), true);
        changes.extend(local::subscribe(to.clone(), true));
        changes.extend(local::put_quota(&[], quota));
        changes.extend(local::put_script(
            open::now(),
            script.clone(),
            Text::from(SCRIPT),
            guid_of(SCRIPT.as_bytes()),
        ));
        changes.extend(local::activate_script(Some(script)));
        Ok(changes)
    })?;
    Ok(vec![
        "1 message arrived, 1 expunged, 2 flagged, 1 annotated",
        "1 mailbox made, 1 renamed, 1 deleted, 1 annotated",
        "2 subscriptions, 1 quota, 1 sieve script made active",
    ])
}

/// Changes a flag behind the replication's back.
pub fn sabotage(access: &mut Access) -> Result<()> {
    let user = names::user(USER)?;
    let inbox = names::of_user(&user, "INBOX")?;
    edit(access, &user, &inbox, |edit, records| {
        edit.set_flags(&records[0], Flags::default()).map(drop)
    })
}

/// One transaction on the messages of a mailbox; `work` sees all its records.
fn edit(
    access: &mut Access,
    user: &Text,
    name: &Text,
    work: impl FnOnce(&mut MailboxEdit, &[Record]) -> std::result::Result<(), local::LocalError>,
) -> Result<()> {
    access.transaction(Scope::User(user.clone()), |access| {
        let (moment, all) = state(access, user)?;
        let mailbox = all.into_iter().find(|m| m.name == *name);
        let mailbox =
            mailbox.ok_or_else(|| Failure::new(Exit::NoInput, format!("there is no mailbox {name}")))?;
        let mut records = Vec::new();
        access.for_each_record(&mailbox.key(), |_, record| {
            records.push(record);
            Ok(())
        })?;
        let mut edit = MailboxEdit::begin(moment, mailbox)?;
        work(&mut edit, &records)?;
        Ok((edit.finish(), ()))
    })
}

/// One transaction on a user's mailboxes.
fn plan(
    access: &mut Access,
    user: &Text,
    work: impl FnOnce(Moment, &[Mailbox]) -> std::result::Result<Vec<Change>, local::LocalError>,
) -> Result<()> {
    access.transaction(Scope::User(user.clone()), |access| {
        let (moment, all) = state(access, user)?;
        Ok((work(moment, &all)?, ()))
    })
}

fn state(access: &mut Access, user: &Text) -> Result<(Moment, Vec<Mailbox>)> {
    let all = access.mailboxes(Select::User(user.clone()))?;
    let tombstones = access.tombstones(Scope::User(user.clone()))?;
    Ok((Moment::behind(open::now(), &all, &tombstones), all))
}
