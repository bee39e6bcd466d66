//! Commands that change the store. What they commit is logged for replication where the configuration says so.

mod annotate;
mod append;
pub mod args;
mod expire;
mod flags;
mod mailbox;
mod quota;
mod rename_user;
mod sieve;
mod subscribe;
mod uids;

use std::path::Path;

use engine::local::Moment;
use engine::model::Mailbox;
use engine::name::{Scope, inbox_of};
use engine::ticket::{Change, Select};
use protocol::Text;

use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::names;
use crate::open;
use args::ChangeCommand;

/// Does what the command says.
///
/// # Errors
/// See [`Exit`]; nothing is half done, each command or each mailbox of it is one transaction.
pub fn run(config: &Path, command: &ChangeCommand) -> Result<()> {
    let makes = matches!(command, ChangeCommand::Create(_));
    let opened = if makes {
        open::open(config, false)?
    } else {
        open::open_existing(config)?
    };
    let mut access = opened.changing();
    let access = &mut access;
    match command {
        ChangeCommand::Append(args) => append::run(access, args),
        ChangeCommand::Flag(args) => flags::run(access, args),
        ChangeCommand::Expunge(args) => flags::expunge(access, args),
        ChangeCommand::Create(args) => mailbox::create(access, args, &opened.partition),
        ChangeCommand::Rename(args) if args.user => rename_user::run(access, &args.from, &args.to),
        ChangeCommand::Rename(args) => mailbox::rename(access, args),
        ChangeCommand::Delete(args) => mailbox::delete(access, args),
        ChangeCommand::Subscribe(args) => subscribe::run(access, args, true),
        ChangeCommand::Unsubscribe(args) => subscribe::run(access, args, false),
        ChangeCommand::Annotate(args) => annotate::run(access, args),
        ChangeCommand::Sieve(args) => sieve::run(access, &args.command),
        ChangeCommand::Quota(args) => quota::run(access, args),
        ChangeCommand::Expire(args) => expire::run(access, args),
    }
}

/// The mailboxes of a scope at the beginning of a transaction, and the moment behind them.
struct Present {
    mailboxes: Vec<Mailbox>,
    moment: Moment,
}

impl Present {
    fn load(access: &mut Access, scope: &Scope) -> Result<Present> {
        let select = match scope {
            Scope::User(user) => Select::User(user.clone()),
            Scope::Shared => Select::Shared,
        };
        let mailboxes = access.mailboxes(select)?;
        let tombstones = access.tombstones(scope.clone())?;
        let moment = Moment::behind(open::now(), &mailboxes, &tombstones);
        Ok(Present { mailboxes, moment })
    }

    fn mailbox(&self, name: &Text) -> Result<&Mailbox> {
        let found = self.mailboxes.iter().find(|m| m.name == *name);
        found.ok_or_else(|| no_mailbox(name))
    }
}

/// One transaction over the scope of a mailbox that has to be there. Looks first, so that a mistyped name makes no
/// database.
fn within<T>(
    access: &mut Access,
    name: &Text,
    plan: impl FnOnce(&mut Access, &Present) -> Result<(Vec<Change>, T)>,
) -> Result<T> {
    if access.mailboxes(Select::Names(vec![name.clone()]))?.is_empty() {
        return Err(no_mailbox(name));
    }
    let scope = Scope::of(name);
    access.transaction(scope.clone(), |access| {
        let present = Present::load(access, &scope)?;
        plan(access, &present)
    })
}

/// A user who has an INBOX.
fn existing_user(access: &mut Access, text: &str) -> Result<Text> {
    let user = names::user(text)?;
    if access.mailboxes(Select::Names(vec![inbox_of(&user)]))?.is_empty() {
        let hint = "`mailtwin list` shows who has mail here";
        return Err(Failure::new(
            Exit::NoInput,
            format!("there is no user {user}; {hint}"),
        ));
    }
    Ok(user)
}

fn no_mailbox(name: &Text) -> Failure {
    let hint = "`mailtwin list USER` shows a user's mailboxes";
    let name = names::printable(&name.to_lossy());
    Failure::new(Exit::NoInput, format!("there is no mailbox {name}; {hint}"))
}
