//! Reads a scope out of a store as plain data.

use anyhow::{Result, bail};
use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{Reply, Request, Select, Session, UidSelect};
use protocol::{Guid, Record, Text};
use sha1::{Digest, Sha1};

use crate::judge::{Arrived, MailboxView, Owner, SEEN, ScopeView};

/// The scope of an owner.
pub fn scope_of(owner: &Owner) -> Scope {
    if owner.is_empty() {
        Scope::Shared
    } else {
        Scope::User(owner.clone())
    }
}

/// The owner of a scope.
pub fn owner_of(scope: &Scope) -> Owner {
    match scope {
        Scope::User(user) => user.clone(),
        Scope::Shared => Owner::EMPTY,
    }
}

/// Mailboxes of a scope.
///
/// # Errors
/// The store's.
pub fn mailboxes(session: &mut dyn Session, owner: &Owner) -> Result<Vec<Mailbox>> {
    let select = if owner.is_empty() {
        Select::Shared
    } else {
        Select::User(owner.clone())
    };
    match session.execute(Request::Mailboxes(select))? {
        Reply::Mailboxes(mailboxes) => Ok(mailboxes),
        _ => bail!("the store answered something else than mailboxes"),
    }
}

/// All records of a mailbox.
///
/// # Errors
/// The store's.
pub fn records(session: &mut dyn Session, mailbox: &Mailbox) -> Result<Vec<Record>> {
    let uids = UidSelect::From {
        uid: 1,
        limit: u32::MAX,
    };
    let request = Request::Records {
        mailbox: mailbox.key(),
        uids,
    };
    match session.execute(request)? {
        Reply::Records(records) => Ok(records),
        _ => bail!("the store answered something else than records"),
    }
}

/// Everything that a judge looks at.
///
/// # Errors
/// The store's.
pub fn view(session: &mut dyn Session, owner: &Owner) -> Result<ScopeView> {
    let mut view = ScopeView::default();
    for mailbox in mailboxes(session, owner)? {
        let records = records(session, &mailbox)?;
        let records = records.into_iter().map(|record| (record.uid, sorted(record)));
        let shown = MailboxView {
            name: mailbox.name.clone(),
            acl: mailbox.acl.clone(),
            uidvalidity: mailbox.uidvalidity,
            last_uid: mailbox.last_uid,
            highestmodseq: mailbox.highestmodseq,
            crc: (mailbox.crc.basic, mailbox.crc.annot),
            records: records.collect(),
        };
        let id = mailbox.uniqueid.clone();
        view.other.insert(
            (id.clone(), "partition".to_owned()),
            mailbox.partition.to_string(),
        );
        for note in &mailbox.annotations {
            let what = format!("annotation {} {}", note.entry, note.userid);
            view.other.insert((id.clone(), what), note.value.to_string());
        }
        view.mailboxes.insert(mailbox.uniqueid, shown);
    }
    quotas(session, owner, &mut view)?;
    if !owner.is_empty() {
        let Reply::UserMeta(meta) = session.execute(Request::UserMeta { user: owner.clone() })? else {
            bail!("the store answered something else than a user's own data");
        };
        view.subscriptions = meta.subscriptions;
        for seen in meta.seen {
            let state = format!("{} {} {}", seen.lastuid, seen.lastchange, seen.seenuids);
            view.other
                .insert((Text::EMPTY, format!("{SEEN} {}", seen.uniqueid)), state);
        }
        for script in meta.scripts {
            let what = format!("script {}", script.name);
            view.other.insert((Text::EMPTY, what), script.content.to_string());
        }
        if let Some(name) = meta.active_script {
            let what = "the active script".to_owned();
            view.other.insert((Text::EMPTY, what), name.to_string());
        }
    } else {
        let Reply::ServerAnnotations(notes) = session.execute(Request::ServerAnnotations)? else {
            bail!("the store answered something else than annotations of the server");
        };
        for note in notes {
            let what = format!("annotation {} {}", note.entry, note.userid);
            view.other.insert((Text::EMPTY, what), note.value.to_string());
        }
    }
    Ok(view)
}

/// What the bytes of these messages hash to.
///
/// # Errors
/// The store's.
pub fn hashes(
    session: &mut dyn Session,
    owner: &Owner,
    guids: impl Iterator<Item = Guid>,
) -> Result<Vec<Arrived>> {
    let mut arrived = Vec::new();
    for guid in guids {
        let request = Request::ReadMessages {
            scope: scope_of(owner),
            guids: vec![guid],
            bytes_max: u32::MAX,
        };
        let Reply::Messages(messages) = session.execute(request)? else {
            bail!("the store answered something else than messages");
        };
        let bytes = messages.into_iter().next().flatten();
        arrived.push(Arrived {
            guid,
            actual: bytes.map(|bytes| Guid::from_bytes(Sha1::digest(&bytes).into())),
        });
    }
    Ok(arrived)
}

fn quotas(session: &mut dyn Session, owner: &Owner, view: &mut ScopeView) -> Result<()> {
    let request = Request::Quotas {
        scope: scope_of(owner),
    };
    let Reply::Quotas(quotas) = session.execute(request)? else {
        bail!("the store answered something else than quotas");
    };
    for limits in quotas {
        let what = format!("quota {}", limits.root);
        let limits = format!("{:?} {:?}", limits.storage, limits.message);
        view.other.insert((Text::EMPTY, what), limits);
    }
    Ok(())
}

/// The order of keywords and annotations says nothing.
fn sorted(mut record: Record) -> Record {
    record.flags.keywords.sort();
    record.annotations.sort();
    record
}
