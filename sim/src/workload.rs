//! What happens on the master between runs.

use anyhow::{Result, bail};
use engine::flow::Now;
use engine::local::{self, Incoming, MailboxEdit, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name::{self, Scope};
use engine::ticket::{Change, Reply, Request, Select, Session, StagePart};
use protocol::{Flags, Guid, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};

use crate::equal;
use crate::seeded::Seeded;

/// Folder names are few, so that they are used again.
const FOLDERS: [&str; 4] = ["a", "b", "a.c", "d"];
const KEYWORDS: [&str; 3] = ["work", "NIL", "later"];

/// Does one random change to a user's mail; what cannot be done (a name taken, nothing there) is left out.
pub fn change(session: &mut dyn Session, user: &Text, now: Now, seeded: &mut Seeded) -> Result<()> {
    let scope = Scope::User(user.clone());
    let mailboxes = mailboxes(session, user)?;
    let Reply::Tombstones(tombstones) = session.execute(Request::Tombstones { scope: scope.clone() })? else {
        bail!("the store answered something else than tombstones");
    };
    let moment = Moment::behind(now, &mailboxes, &tombstones);
    let inbox = name::inbox_of(user);
    let folder = |seeded: &mut Seeded| {
        Text::from(
            [
                inbox.as_bytes(),
                b".",
                FOLDERS[seeded.below(FOLDERS.len())].as_bytes(),
            ]
            .concat(),
        )
    };
    let changes = if mailboxes.is_empty() {
        created(moment, &mailboxes, inbox.clone(), seeded)
    } else {
        match seeded.below(10) {
            0 => created(moment, &mailboxes, folder(seeded), seeded),
            1 => local::rename(moment, &mailboxes, &folder(seeded), &folder(seeded)).unwrap_or_default(),
            2 => {
                let doomed = seeded.pick(&mailboxes).filter(|mailbox| mailbox.name != inbox);
                doomed
                    .and_then(|mailbox| local::delete(moment, mailbox).ok())
                    .unwrap_or_default()
            }
            3 => local::subscribe(folder(seeded), seeded.one_in(2)),
            _ => match seeded.pick(&mailboxes).cloned() {
                Some(mailbox) => edited(session, moment, mailbox, seeded)?,
                None => Vec::new(),
            },
        }
    };
    commit(session, scope, changes)
}

/// Appends, flags and expunges in one mailbox, if there is any: what a reader of a replica could do.
pub fn edit(session: &mut dyn Session, user: &Text, now: Now, seeded: &mut Seeded) -> Result<()> {
    let mailboxes = mailboxes(session, user)?;
    let Some(mailbox) = seeded.pick(&mailboxes).cloned() else {
        return Ok(());
    };
    let changes = edited(session, Moment::behind(now, &mailboxes, &[]), mailbox, seeded)?;
    commit(session, Scope::User(user.clone()), changes)
}

fn commit(session: &mut dyn Session, scope: Scope, changes: Vec<Change>) -> Result<()> {
    session.execute(Request::Begin { scope })?;
    session.execute(Request::Write(changes))?;
    session.execute(Request::Commit)?;
    session.execute(Request::ForgetStaged)?;
    Ok(())
}

fn mailboxes(session: &mut dyn Session, user: &Text) -> Result<Vec<Mailbox>> {
    match session.execute(Request::Mailboxes(Select::User(user.clone())))? {
        Reply::Mailboxes(mailboxes) => Ok(mailboxes),
        _ => bail!("the store answered something else than mailboxes"),
    }
}

fn created(moment: Moment, existing: &[Mailbox], name: Text, seeded: &mut Seeded) -> Vec<Change> {
    let new = NewMailbox {
        name,
        uniqueid: Text::from(format!("{:024x}", seeded.next_u64())),
        partition: Text::from("default"),
        acl: None,
    };
    local::create(moment, existing, new)
        .map(|mailbox| vec![Change::PutMailbox(Box::new(mailbox))])
        .unwrap_or_default()
}

/// Appends, flags and expunges in one mailbox.
fn edited(
    session: &mut dyn Session,
    moment: Moment,
    mailbox: Mailbox,
    seeded: &mut Seeded,
) -> Result<Vec<Change>> {
    let live: Vec<Record> = equal::records(session, &mailbox)?
        .into_iter()
        .filter(|record| !record.is_expunged())
        .collect();
    let Ok(mut edit) = MailboxEdit::begin(moment, mailbox.clone()) else {
        return Ok(Vec::new());
    };
    for _ in 0..seeded.below(4) {
        // Few different messages: the same bytes turn up in several places.
        let bytes = format!("Subject: {}\r\n\r\nbody\r\n", seeded.below(20)).into_bytes();
        let guid = Guid::from_bytes(Sha1::digest(&bytes).into());
        let size = bytes.len() as u64;
        let parts = vec![
            StagePart::Open {
                partition: mailbox.partition.clone(),
                guid,
                size,
            },
            StagePart::Data(bytes.into()),
            StagePart::Close,
        ];
        session.execute(Request::Stage(parts))?;
        let flags = flags(seeded);
        edit.append(Incoming {
            guid,
            size,
            internaldate: moment.now.0,
            flags,
            thread: None,
        })?;
    }
    let mut touched = Vec::new();
    for _ in 0..seeded.below(3) {
        let Some(record) = seeded.pick(&live).filter(|record| !touched.contains(&record.uid)) else {
            continue;
        };
        touched.push(record.uid);
        if seeded.one_in(3) {
            edit.expunge(record)?;
        } else {
            edit.set_flags(record, flags(seeded))?;
        }
    }
    Ok(edit.finish())
}

fn flags(seeded: &mut Seeded) -> Flags {
    let system = SystemFlags::from_bits(seeded.below(64) as u8).without(SystemFlags::EXPUNGED);
    let keywords = KEYWORDS
        .iter()
        .filter(|_| seeded.one_in(3))
        .map(|word| Text::from(*word))
        .collect();
    Flags { system, keywords }
}
