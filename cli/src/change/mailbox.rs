//! `mailtwin create`, `rename` and `delete`.

use engine::local::{self, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name::{Scope, inbox_of, is_acceptable, is_inbox};
use engine::ticket::Change;
use protocol::Text;

use super::args::{CreateArgs, DeleteArgs, RenameArgs};
use super::{Present, existing_user, within};
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::import::new_uniqueid;
use crate::{names, open, output, table};

/// Creates mailboxes in the order given.
pub fn create(access: &mut Access, args: &CreateArgs, partition: &Text) -> Result<()> {
    let partition = args.partition.as_deref().map_or(partition.clone(), Text::from);
    for text in &args.mailboxes {
        let name = names::anywhere(text)?;
        let scope = Scope::of(&name);
        if !is_acceptable(&name) {
            return Err(local_bad_name(&name));
        }
        if let Scope::User(user) = &scope
            && !is_inbox(&name)
        {
            // Looked at first, so that a mistyped user makes no database.
            let _ = existing_user(access, &user.to_lossy()).map_err(|failure| {
                let hint = format!("`mailtwin create user/{user}` makes one");
                Failure::new(failure.exit, format!("there is no user {user}; {hint}"))
            })?;
        }
        access.transaction(scope.clone(), |access| {
            let present = Present::load(access, &scope)?;
            let new = NewMailbox {
                name: name.clone(),
                uniqueid: new_uniqueid()?,
                partition: partition.clone(),
                acl: None,
            };
            let mailbox = local::create(present.moment, &present.mailboxes, new)?;
            Ok((vec![Change::PutMailbox(Box::new(mailbox))], ()))
        })?;
        output::note(&format!("created {name}"))?;
    }
    Ok(())
}

/// Renames a mailbox with what is below it.
pub fn rename(access: &mut Access, args: &RenameArgs) -> Result<()> {
    let (from, to) = (names::anywhere(&args.from)?, names::anywhere(&args.to)?);
    let count = within(access, &from, |_, present| {
        let changes = local::rename(present.moment, &present.mailboxes, &from, &to)?;
        let count = changes.len() as u64;
        Ok((changes, count))
    })?;
    output::note(&format!("renamed {}", table::count(count, "mailbox")))
}

/// Deletes a mailbox or a user.
pub fn delete(access: &mut Access, args: &DeleteArgs) -> Result<()> {
    if let Some(user) = &args.user {
        return delete_user(access, user);
    }
    let name = names::anywhere(args.mailbox.as_deref().unwrap_or_default())?;
    if is_inbox(&name) {
        let text =
            format!("{name} is an INBOX; it goes with its user only, by `mailtwin delete --user USER --now`");
        return Err(Failure::new(Exit::Data, text));
    }
    let names = within(access, &name, |_, present| {
        let doomed: Vec<&Mailbox> = present
            .mailboxes
            .iter()
            .filter(|m| m.name == name || (args.recursive && is_below(&m.name, &name)))
            .collect();
        let (mut changes, mut names) = (Vec::new(), Vec::new());
        let mut moment = present.moment;
        for mailbox in doomed {
            let more = if args.now {
                local::delete(moment, mailbox)?
            } else {
                put_away(moment, mailbox)?
            };
            moment.modseq_after = more.iter().map(modseq_of).fold(moment.modseq_after, u64::max);
            changes.extend(more);
            names.push(mailbox.name.clone());
        }
        Ok((changes, names))
    })?;
    let fate = if args.now {
        "for good"
    } else {
        "below DELETED, until `mailtwin expire`"
    };
    for name in &names {
        output::note(&format!("deleted {name}: {fate}"))?;
    }
    Ok(())
}

/// Cyrus's delayed deletion: the mailbox moves to `DELETED.<name>.<time>`. [CS-NAME-1]
fn put_away(moment: Moment, mailbox: &Mailbox) -> Result<Vec<Change>> {
    if engine::name::is_deleted(&mailbox.name) {
        let text = format!("{} is deleted already; with --now it goes for good", mailbox.name);
        return Err(Failure::new(Exit::Data, text));
    }
    let (domain, local_part) = match mailbox.name.iter().position(|&b| b == b'!') {
        Some(at) => mailbox.name.split_at(at + 1),
        None => (&b""[..], &mailbox.name[..]),
    };
    let mut time = moment.now.0;
    let stamp = format!(
        ".{:08X}",
        u32::try_from(time).unwrap_or_else(|_| {
            time = 0;
            0
        })
    );
    let to = Text::from([domain, b"DELETED.", local_part, stamp.as_bytes()].concat());
    Ok(local::rename(
        moment,
        std::slice::from_ref(mailbox),
        &mailbox.name,
        &to,
    )?)
}

fn delete_user(access: &mut Access, text: &str) -> Result<()> {
    let user = existing_user(access, text)?;
    let inbox = inbox_of(&user);
    let count = within(access, &inbox, |_, present| {
        let count = present
            .mailboxes
            .iter()
            .filter(|m| !engine::name::is_deleted(&m.name))
            .count();
        Ok((local::remove_user(open::now()), count as u64))
    })?;
    output::note(&format!("deleted {user} with {}", table::count(count, "mailbox")))
}

fn is_below(name: &[u8], root: &[u8]) -> bool {
    name.strip_prefix(root)
        .is_some_and(|rest| rest.first() == Some(&b'.'))
}

fn modseq_of(change: &Change) -> u64 {
    match change {
        Change::PutMailbox(mailbox) => mailbox.highestmodseq,
        Change::RemoveMailbox {
            tombstone: Some(tombstone),
            ..
        } => tombstone.highestmodseq,
        _ => 0,
    }
}

fn local_bad_name(name: &Text) -> Failure {
    local::LocalError::BadName {
        name: name.to_string(),
    }
    .into()
}
