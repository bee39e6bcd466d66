//! All that a store shows of a scope, and where two differ.

use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{Reply, Request, Select, Session, StoreError, UidSelect};
use protocol::{Guid, Record};

/// Answers to all questions about a scope, in an order of their own.
pub type Shown = Vec<Reply>;

/// Mailboxes of a scope.
///
/// # Errors
/// The store's.
pub fn mailboxes(session: &mut dyn Session, scope: &Scope) -> Result<Vec<Mailbox>, StoreError> {
    let select = match scope {
        Scope::User(user) => Select::User(user.clone()),
        Scope::Shared => Select::Shared,
    };
    match session.execute(Request::Mailboxes(select))? {
        Reply::Mailboxes(found) => Ok(found),
        _ => Ok(Vec::new()),
    }
}

/// Records of a mailbox.
///
/// # Errors
/// The store's.
pub fn records(session: &mut dyn Session, mailbox: &Mailbox) -> Result<Vec<Record>, StoreError> {
    let request = Request::Records {
        mailbox: mailbox.key(),
        uids: UidSelect::From {
            uid: 0,
            limit: u32::MAX,
        },
    };
    match session.execute(request)? {
        Reply::Records(found) => Ok(found),
        _ => Ok(Vec::new()),
    }
}

/// Everything of a scope, bytes of messages included.
///
/// # Errors
/// The store's.
pub fn show(session: &mut dyn Session, scope: &Scope) -> Result<Shown, StoreError> {
    let mailboxes = mailboxes(session, scope)?;
    let mut shown = vec![Reply::Mailboxes(mailboxes.clone())];
    for mailbox in &mailboxes {
        let records = records(session, mailbox)?;
        let guids: Vec<Guid> = records.iter().map(|record| record.guid).collect();
        shown.push(Reply::Records(records));
        shown.push(session.execute(Request::ChangedUids {
            mailbox: mailbox.key(),
            since_modseq: mailbox.highestmodseq / 2,
        })?);
        if !guids.is_empty() {
            shown.push(session.execute(Request::ReadMessages {
                scope: scope.clone(),
                guids,
                bytes_max: u32::MAX,
            })?);
        }
    }
    let tombstones = session.execute(Request::Tombstones { scope: scope.clone() })?;
    if let Reply::Tombstones(tombstones) = &tombstones {
        for tombstone in tombstones {
            shown.push(session.execute(Request::Deleted {
                scope: scope.clone(),
                uniqueid: tombstone.uniqueid.clone(),
                above_uid: 0,
                limit: u32::MAX,
            })?);
        }
    }
    shown.push(tombstones);
    shown.push(session.execute(Request::Quotas { scope: scope.clone() })?);
    shown.push(session.execute(match scope {
        Scope::User(user) => Request::UserMeta { user: user.clone() },
        Scope::Shared => Request::ServerAnnotations,
    })?);
    Ok(shown)
}

/// Where they differ first; `None` when they do not.
pub fn difference(real: &[Reply], model: &[Reply]) -> Option<String> {
    let nth = real.iter().zip(model).position(|(real, model)| real != model);
    let nth = nth.or_else(|| (real.len() != model.len()).then_some(real.len().min(model.len())))?;
    Some(apart(
        &format!("{:?}", real.get(nth)),
        &format!("{:?}", model.get(nth)),
    ))
}

/// Two texts from where they differ.
pub fn apart(real: &str, model: &str) -> String {
    let same = real
        .char_indices()
        .zip(model.chars())
        .take_while(|((_, one), other)| one == other)
        .last()
        .map_or(0, |((at, one), _)| at + one.len_utf8());
    let cut = |text: &str| -> String {
        let from = text[..same].char_indices().rev().nth(40).map_or(0, |(at, _)| at);
        text[from..].chars().take(160).collect()
    };
    format!("the store has `..{}`, the model `..{}`", cut(real), cut(model))
}
