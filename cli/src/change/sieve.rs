//! `mailtwin sieve`: scripts that travel by csync's SIEVE commands.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use engine::local;
use engine::model::{SieveScript, UserMeta};
use engine::name::inbox_of;
use engine::ticket::Change;
use protocol::Text;
use serde::Serialize;

use super::args::SieveCommand;
use super::{existing_user, within};
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::hash::guid_of;
use crate::names::printable;
use crate::{open, output, table};

/// Largest script, bytes; far above what any server takes.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// Longest name, bytes: a file of this name with `.bc` behind it has to be possible on a Cyrus.
const NAME_BYTES_MAX: usize = 240;

/// A script as listed.
#[derive(Serialize)]
struct Row {
    name: String,
    active: bool,
    bytes: usize,
    last_update: i64,
}

/// Does it.
pub fn run(access: &mut Access, command: &SieveCommand) -> Result<()> {
    match command {
        SieveCommand::List { user, json } => list(access, user, *json),
        SieveCommand::Get { user, name } => {
            let user = existing_user(access, user)?;
            let meta = access.user_meta(&user)?;
            let script = script(&meta, name)?;
            output::stored_to_stdout(&script.content)
        }
        SieveCommand::Put {
            user,
            name,
            file,
            activate,
        } => put(access, user, name, file.as_ref(), *activate),
        SieveCommand::Activate { user, name } => {
            change(access, user, |meta| {
                let script = script(meta, name)?;
                Ok(local::activate_script(Some(script.name.clone())))
            })?;
            output::note(&format!("{} is the active script", printable(name)))
        }
        SieveCommand::Deactivate { user } => {
            change(access, user, |_| Ok(local::activate_script(None)))?;
            output::note("no script is active")
        }
        SieveCommand::Delete { user, name } => {
            change(access, user, |meta| {
                let script = script(meta, name)?;
                Ok(local::remove_script(script.name.clone()))
            })?;
            output::note(&format!("deleted {}", printable(name)))
        }
    }
}

fn list(access: &mut Access, user: &str, json: bool) -> Result<()> {
    let user = existing_user(access, user)?;
    let meta = access.user_meta(&user)?;
    let rows: Vec<Row> = meta
        .scripts
        .iter()
        .map(|script| Row {
            name: script.name.to_string(),
            active: meta.active_script.as_ref() == Some(&script.name),
            bytes: script.content.len(),
            last_update: script.last_update,
        })
        .collect();
    if json {
        return output::print_json(&rows);
    }
    output::to_stdout(|out| {
        rows.iter().try_for_each(|row| {
            let active = if row.active { "\tactive" } else { "" };
            writeln!(
                out,
                "{}\t{}{active}",
                printable(&row.name),
                table::bytes(row.bytes as u64)
            )
        })
    })
}

fn put(access: &mut Access, user: &str, name: &str, file: Option<&PathBuf>, activate: bool) -> Result<()> {
    if name.is_empty()
        || name.starts_with('.')
        || name.len() > NAME_BYTES_MAX
        || name.contains('/')
        || name.chars().any(char::is_control)
    {
        let text = format!(
            "{name:?} cannot be a script's name: no slash, no dot in front, at most {NAME_BYTES_MAX} bytes"
        );
        return Err(Failure::new(Exit::Data, text));
    }
    let content = read(file.map(PathBuf::as_path).unwrap_or(Path::new("-")))?;
    let size = content.len() as u64;
    let guid = guid_of(&content);
    change(access, user, |_| {
        let mut changes = local::put_script(open::now(), Text::from(name), Text::from(content), guid);
        if activate {
            changes.extend(local::activate_script(Some(Text::from(name))));
        }
        Ok(changes)
    })?;
    let active = if activate { ", which is the active one" } else { "" };
    output::note(&format!(
        "stored {} ({}){active}",
        printable(name),
        table::bytes(size)
    ))
}

fn change(
    access: &mut Access,
    user: &str,
    plan: impl FnOnce(&UserMeta) -> Result<Vec<Change>>,
) -> Result<()> {
    let user = existing_user(access, user)?;
    within(access, &inbox_of(&user), |access, _| {
        let meta = access.user_meta(&user)?;
        Ok((plan(&meta)?, ()))
    })
}

fn script<'a>(meta: &'a UserMeta, name: &str) -> Result<&'a SieveScript> {
    let found = meta
        .scripts
        .iter()
        .find(|script| script.name.as_bytes() == name.as_bytes());
    found.ok_or_else(|| {
        Failure::new(
            Exit::NoInput,
            format!(
                "there is no script {}; `mailtwin sieve list` shows all",
                printable(name)
            ),
        )
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let mut content = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin()
            .lock()
            .take(SCRIPT_BYTES_MAX + 1)
            .read_to_end(&mut content)
    } else {
        File::open(path)
            .map_err(failed)?
            .take(SCRIPT_BYTES_MAX + 1)
            .read_to_end(&mut content)
    };
    if read.map_err(failed)? as u64 > SCRIPT_BYTES_MAX {
        return Err(Failure::new(
            Exit::Data,
            format!("a script of more than {SCRIPT_BYTES_MAX} bytes is none"),
        ));
    }
    Ok(content)
}
