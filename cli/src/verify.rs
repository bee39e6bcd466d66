//! `mailtwin verify`: is everything in the store what it has to be.

use engine::name::Scope;
use protocol::Text;
use serde::Serialize;
use store::sqlite::SqliteStore;
use store::verify::{Damage, Finding, Totals, verify};

use crate::failure::{Exit, Failure, Result};
use crate::output::{self, print_json};
use crate::table::{bytes, count};
use crate::{names, table};

/// A damage as JSON has it.
#[derive(Serialize)]
struct DamageRow {
    user: Option<String>,
    mailbox: Option<String>,
    uid: Option<u32>,
    what: String,
}

/// The whole report as JSON.
#[derive(Serialize)]
struct Report {
    ok: bool,
    databases: u64,
    mailboxes: u64,
    records: u64,
    messages: u64,
    bytes: u64,
    damages: Vec<DamageRow>,
}

/// Checks everything, or what belongs to one user; tells each damage, by mailbox and UID where it has them. Fails when
/// there is any.
pub fn run(store: &SqliteStore, user: Option<&Text>, json: bool) -> Result<()> {
    let scope = user.map(|user| Scope::User(user.clone()));
    if let Some(user) = user
        && !store.users()?.contains(user)
    {
        let text = format!("there is no user {user}; `mailtwin list` shows who has mail here");
        return Err(Failure::new(Exit::NoInput, text));
    }
    let (damages, totals) = check(store, scope.as_ref(), !json)?;
    if json {
        print_json(&report(&damages, totals))?;
    } else {
        output::to_stdout(|out| writeln!(out, "{}", summary(totals)))?;
    }
    if totals.damages == 0 {
        return Ok(());
    }
    let hint = "restore these users from a backup, or delete their files and replicate them again";
    Err(Failure::new(
        Exit::Unequal,
        format!("found {}; {hint}", count(totals.damages, "damage")),
    ))
}

/// Checks, with a sign of life on a terminal; prints each damage when it is found if `print`.
fn check(store: &SqliteStore, scope: Option<&Scope>, print: bool) -> Result<(Vec<Damage>, Totals)> {
    let bar = output::progress(0, "messages");
    let mut damages = Vec::new();
    let mut printed = Ok(());
    let totals = verify(store, scope, &mut |finding| match finding {
        Finding::Progress(totals) => {
            bar.set_position(totals.messages);
            bar.set_message(bytes(totals.bytes));
        }
        Finding::Damage(damage) if print => {
            let line = names::printable(&damage.to_string());
            let line = bar.suspend(|| output::to_stdout(|out| writeln!(out, "{line}")));
            if printed.is_ok() {
                printed = line;
            }
        }
        Finding::Damage(damage) => damages.push(damage),
    });
    bar.finish_and_clear();
    printed.map(|()| (damages, totals))
}

fn summary(totals: Totals) -> String {
    format!(
        "verified {} ({}), {} and {} in {}: {}",
        count(totals.messages, "message"),
        bytes(totals.bytes),
        count(totals.records, "record"),
        count(totals.mailboxes, "mailbox"),
        count(totals.databases, "database"),
        if totals.damages == 0 {
            "no damage".to_owned()
        } else {
            table::count(totals.damages, "damage")
        }
    )
}

fn report(damages: &[Damage], totals: Totals) -> Report {
    let rows = damages.iter().map(|damage| DamageRow {
        user: match &damage.scope {
            Scope::User(user) => Some(user.to_string()),
            Scope::Shared => None,
        },
        mailbox: damage.mailbox.as_ref().map(Text::to_string),
        uid: damage.uid,
        what: damage.what.clone(),
    });
    Report {
        ok: totals.damages == 0,
        databases: totals.databases,
        mailboxes: totals.mailboxes,
        records: totals.records,
        messages: totals.messages,
        bytes: totals.bytes,
        damages: rows.collect(),
    }
}
