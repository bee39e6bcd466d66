//! `mailtwin expire`: what was deleted long ago goes for good.

use engine::local;
use engine::model::Mailbox;
use engine::name::{Scope, is_deleted};
use engine::ticket::{Expired, Select};
use protocol::Text;
use serde::Serialize;

use super::args::ExpireArgs;
use super::{Present, existing_user};
use crate::access::Access;
use crate::failure::{Failure, Result};
use crate::names::printable;
use crate::{open, output, table};

/// A day, seconds.
const DAY_S: i64 = 86_400;

/// What goes, or would go.
#[derive(Default, Serialize)]
struct Gone {
    /// Mailboxes below `DELETED`, by name.
    mailboxes: Vec<String>,
    /// Expunged records whose bytes go.
    expunged_records: u64,
    /// Messages that go with them.
    messages: u64,
    /// Bytes of these messages.
    bytes: u64,
    /// Tombstones of mailboxes that were deleted for good.
    tombstones: u64,
    /// Scopes that could not be worked on, with the reason.
    failures: Vec<String>,
    /// Whether nothing was changed.
    dry_run: bool,
}

/// Expires one user or everybody; one that is locked or damaged does not hold up the others.
pub fn run(access: &mut Access, args: &ExpireArgs) -> Result<()> {
    let before = open::now().0 - i64::from(args.days) * DAY_S;
    let scopes = match &args.user {
        Some(user) => vec![Scope::User(existing_user(access, user)?)],
        None => everybody(access)?,
    };
    let mut gone = Gone {
        dry_run: args.dry_run,
        ..Gone::default()
    };
    let mut first: Option<Failure> = None;
    for scope in scopes {
        if let Err(failure) = one(access, &scope, before, args.dry_run, &mut gone) {
            gone.failures.push(format!("{}: {failure}", called(&scope)));
            first.get_or_insert(failure);
        }
    }
    tell(&gone, args)?;
    match first {
        None => Ok(()),
        Some(failure) => {
            let text = format!(
                "{} not expired",
                table::count(gone.failures.len() as u64, "scope")
            );
            Err(Failure::new(failure.exit, text))
        }
    }
}

fn everybody(access: &mut Access) -> Result<Vec<Scope>> {
    let mut scopes: Vec<Scope> = access.users()?.into_iter().map(Scope::User).collect();
    if !access.mailboxes(Select::Shared)?.is_empty() || !access.tombstones(Scope::Shared)?.is_empty() {
        scopes.push(Scope::Shared);
    }
    Ok(scopes)
}

fn one(access: &mut Access, scope: &Scope, before: i64, dry_run: bool, gone: &mut Gone) -> Result<()> {
    // Bytes first: a mailbox that goes for good takes its own along, and they are not to be counted as messages.
    let Expired {
        records,
        messages,
        bytes,
        tombstones,
    } = access.expire(scope.clone(), before, dry_run)?;
    gone.expunged_records += records;
    gone.messages += messages;
    gone.bytes += bytes;
    gone.tombstones += tombstones;
    let names = access.transaction(scope.clone(), |access| {
        let present = Present::load(access, scope)?;
        let old = |m: &&Mailbox| deleted_at(&m.name).is_some_and(|at| at < before);
        let (mut changes, mut names) = (Vec::new(), Vec::new());
        for mailbox in present.mailboxes.iter().filter(old) {
            names.push(printable(&mailbox.name.to_lossy()));
            if !dry_run {
                changes.extend(local::delete(present.moment, mailbox)?);
            }
        }
        Ok((changes, names))
    })?;
    gone.mailboxes.extend(names);
    Ok(())
}

/// When a mailbox below `DELETED` was deleted: its last part, eight hexadecimal digits. One without is never taken.
fn deleted_at(name: &Text) -> Option<i64> {
    if !is_deleted(name) {
        return None;
    }
    let last = name.rsplit(|&b| b == b'.').next()?;
    let digits = std::str::from_utf8(last)
        .ok()
        .filter(|digits| digits.len() == 8)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(digits, 16).ok()
}

fn called(scope: &Scope) -> String {
    match scope {
        Scope::User(user) => printable(&user.to_lossy()),
        Scope::Shared => "shared mailboxes".to_owned(),
    }
}

fn tell(gone: &Gone, args: &ExpireArgs) -> Result<()> {
    if args.json {
        return output::print_json(gone);
    }
    for failure in &gone.failures {
        output::note(failure)?;
    }
    output::to_stdout(|out| gone.mailboxes.iter().try_for_each(|name| writeln!(out, "{name}")))?;
    let verb = if args.dry_run { "would go" } else { "gone" };
    output::note(&format!(
        "{verb}: {} below DELETED; {} ({}) of {}; {} of deleted mailboxes",
        table::count(gone.mailboxes.len() as u64, "mailbox"),
        table::count(gone.messages, "message"),
        table::bytes(gone.bytes),
        table::count(gone.expunged_records, "expunged record"),
        table::count(gone.tombstones, "tombstone"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_time_expire() {
        let at = |name: &str| deleted_at(&Text::from(name));
        assert_eq!(at("DELETED.user.jane.Sent.5F000000"), Some(0x5f00_0000));
        assert_eq!(
            at("example.org!DELETED.user.jane.Sent.5F000000"),
            Some(0x5f00_0000)
        );
        for live in [
            "user.jane.5F000000",
            "DELETED.user.jane.Sent",
            "DELETED.user.jane.Sent.5F00000",
            "DELETED.user.jane.Sent.+F000000",
            "user.jane.DELETED.5F000000",
        ] {
            assert_eq!(at(live), None, "{live}");
        }
    }
}
