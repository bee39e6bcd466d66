//! `mailtwin append`: messages into a mailbox that exists.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use engine::local::{Incoming, MailboxEdit};
use engine::ticket::{Select, StagePart};
use protocol::Flags;
use serde::Serialize;

use super::args::AppendArgs;
use super::flags::read_flag;
use super::{no_mailbox, within};
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::import::{Body, header_date};
use crate::{names, open, output};

/// A message appended.
#[derive(Serialize)]
struct Appended {
    mailbox: String,
    uidvalidity: u32,
    uid: u32,
    guid: String,
    size: u64,
}

/// Appends all messages, each with its own transaction.
pub fn run(access: &mut Access, args: &AppendArgs) -> Result<()> {
    let mut flags = Flags::default();
    for flag in &args.flags {
        read_flag(flag)?.add_to(&mut flags);
    }
    let standard_input = [PathBuf::from("-")];
    let files = if args.files.is_empty() {
        &standard_input[..]
    } else {
        &args.files[..]
    };
    let mut appended = Vec::new();
    let mut outcome = Ok(());
    for path in files {
        match one(access, args, path, &flags) {
            Ok(one) => appended.push(one),
            Err(failure) => {
                outcome = Err(failure);
                break;
            }
        }
    }
    // What is in the mailbox is told even when a later message failed.
    if args.json {
        output::print_json(&appended)?;
    } else {
        output::to_stdout(|out| appended.iter().try_for_each(|one| writeln!(out, "{}", one.uid)))?;
    }
    outcome
}

fn one(access: &mut Access, args: &AppendArgs, path: &Path, flags: &Flags) -> Result<Appended> {
    let name = names::anywhere(&args.mailbox)?;
    let found = access.mailboxes(Select::Names(vec![name.clone()]))?.pop();
    let partition = found.ok_or_else(|| no_mailbox(&name))?.partition;
    let (body, dated) = read(path)?;
    if body.size == 0 {
        let place = if path.as_os_str() == "-" {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        let text = format!("{place}: there is no message in it");
        return Err(Failure::new(Exit::Data, text));
    }
    let (guid, size) = (body.guid, body.size);
    access.stage(vec![StagePart::Open {
        partition,
        guid,
        size,
    }])?;
    body.pieces(|piece| access.stage(vec![StagePart::Data(piece)]))?;
    access.stage(vec![StagePart::Close])?;
    let message = Incoming {
        guid,
        size,
        internaldate: args.date.or(dated).unwrap_or(open::now().0),
        flags: flags.clone(),
        thread: None,
    };
    let done = within(access, &name, |_, present| {
        let mailbox = present.mailbox(&name)?;
        let mut edit = MailboxEdit::begin(present.moment, mailbox.clone())?;
        let uid = edit.append(message)?;
        Ok((edit.finish(), (uid, mailbox.uidvalidity)))
    });
    access.forget_staged()?;
    let (uid, uidvalidity) = done?;
    Ok(Appended {
        mailbox: name.to_string(),
        uidvalidity,
        uid,
        guid: guid.to_string(),
        size,
    })
}

fn read(path: &Path) -> Result<(Body, Option<i64>)> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let body = if path.as_os_str() == "-" {
        Body::read(io::stdin().lock())
    } else {
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            let text = format!("{} is a folder; `mailtwin import` takes folders", path.display());
            return Err(Failure::new(Exit::Data, text));
        }
        Body::read(file)
    };
    let mut body = body.map_err(failed)?;
    let dated = header_date(body.reader().map_err(failed)?);
    Ok((body, dated))
}
