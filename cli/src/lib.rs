//! `mailtwin`, the operator's program.
#![forbid(unsafe_code)]

pub mod access;
pub mod args;
pub mod cat;
pub mod change;
pub mod check;
pub mod compare;
pub mod compare_remote;
pub mod demo;
pub mod export;
pub mod failure;
pub mod hash;
pub mod import;
pub mod list;
pub mod names;
pub mod open;
pub mod output;
pub mod passwd;
pub mod status;
pub mod table;
pub use protocol::utf7;
pub mod verify;

use access::Access;
use args::{Arguments, Command};
use failure::Result;

/// Does what the command line asks for.
///
/// # Errors
/// See [`failure::Exit`].
pub fn run(arguments: &Arguments) -> Result<()> {
    let look = || open::open(&arguments.config, true);
    match &arguments.command {
        Command::List { user: None, json } => list::users(&mut Access::new(look()?.store.session()), *json),
        Command::List {
            user: Some(user),
            json,
        } => list::mailboxes(
            &mut Access::new(look()?.store.session()),
            &names::user(user)?,
            *json,
        ),
        Command::Cat { mailbox, uid } => {
            let name = names::anywhere(mailbox)?;
            cat::run(
                &mut Access::new(look()?.store.session()),
                &name,
                *uid,
                &mut std::io::stdout().lock(),
            )
        }
        Command::Import(args) => {
            let opened = open::open(&arguments.config, false)?;
            import::run(&mut opened.changing(), args, &opened.partition, open::now)
        }
        Command::Export(args) => export::run(&mut Access::new(look()?.store.session()), args),
        Command::Status(args) => status::run(&arguments.config, args),
        Command::Quarantine(args) => status::quarantine::run(&arguments.config, &args.command),
        Command::Check(args) => check::run(&arguments.config, args),
        Command::Compare(args) => compare_remote::run(&arguments.config, args),
        Command::Change(command) => change::run(&arguments.config, command),
        Command::Demo(args) => demo::run(args, &mut std::io::stdout().lock()),
        Command::Passwd { user } => {
            let opened = open::open(&arguments.config, false)?;
            passwd::run(&opened.store, user, &opened.admins)
        }
        Command::Verify { user, json } => {
            let user = user.as_deref().map(names::user).transpose()?;
            verify::run(&look()?.store, user.as_ref(), *json)
        }
    }
}
