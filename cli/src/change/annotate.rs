//! `mailtwin annotate`: of a mailbox, a message or the server.

use engine::local::{self, MailboxEdit};
use engine::model::ServerAnnotation;
use engine::name::Scope;
use engine::ticket::{Change, Select};
use protocol::Text;
use serde::Serialize;

use super::args::AnnotateArgs;
use super::{no_mailbox, within};
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::names::{self, printable};
use crate::output;

/// Longest value, bytes; Cyrus's own limit of a line is near it.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// An annotation as shown.
#[derive(Serialize)]
struct Row {
    entry: String,
    userid: String,
    value: String,
}

/// Shows, sets or removes.
pub fn run(access: &mut Access, args: &AnnotateArgs) -> Result<()> {
    check(args)?;
    match (&args.entry, &args.value, args.remove) {
        (Some(entry), value @ Some(_), _) | (Some(entry), value @ None, true) => {
            let value = value.as_deref().map(Text::from);
            if args.mailbox.is_empty() {
                set_server(access, entry, &args.user, value)
            } else {
                set(access, args, entry, value)
            }
        }
        _ => show(access, args),
    }
}

fn check(args: &AnnotateArgs) -> Result<()> {
    let wrong = |text: String| Err(Failure::new(Exit::Usage, text));
    if let Some(entry) = &args.entry
        && (!entry.starts_with('/')
            || entry.ends_with('/')
            || entry
                .bytes()
                .any(|b| !(0x21..0x7f).contains(&b) || b == b'*' || b == b'%'))
    {
        return wrong(format!(
            "{entry:?} is no entry; it begins with a slash, such as /comment"
        ));
    }
    if args
        .value
        .as_ref()
        .is_some_and(|value| value.len() > VALUE_BYTES_MAX)
    {
        return wrong(format!("the value has more than {VALUE_BYTES_MAX} bytes"));
    }
    if args.mailbox.is_empty() && args.uid.is_some() {
        return wrong("the server has no messages; leave --uid out".to_owned());
    }
    if !args.user.is_empty() {
        let _ = names::user(&args.user)?;
    }
    Ok(())
}

fn set(access: &mut Access, args: &AnnotateArgs, entry: &str, value: Option<Text>) -> Result<()> {
    let name = names::anywhere(&args.mailbox)?;
    let (entry, userid) = (Text::from(entry), Text::from(args.user.as_str()));
    let changed = within(access, &name, |access, present| {
        let mailbox = present.mailbox(&name)?;
        let changes = match args.uid {
            None => local::annotate(present.moment, mailbox, &entry, &userid, value)?,
            Some(uid) => {
                let record = access
                    .record(&mailbox.key(), uid)?
                    .ok_or_else(|| no_message(&name, uid))?;
                let mut edit = MailboxEdit::begin(present.moment, mailbox.clone())?;
                let _ = edit.annotate(&record, &entry, &userid, value)?;
                edit.finish()
            }
        };
        let changed = !changes.is_empty();
        Ok((changes, changed))
    })?;
    output::note(if changed { "changed" } else { "it is so already" })
}

fn set_server(access: &mut Access, entry: &str, user: &str, value: Option<Text>) -> Result<()> {
    let (entry, userid) = (Text::from(entry), Text::from(user));
    let change = match value {
        Some(value) => Change::PutServerAnnotation(ServerAnnotation { entry, userid, value }),
        None => Change::RemoveServerAnnotation { entry, userid },
    };
    access.transaction(Scope::Shared, |_| Ok((vec![change], ())))?;
    output::note("changed")
}

fn show(access: &mut Access, args: &AnnotateArgs) -> Result<()> {
    let found: Vec<(Text, Text, Text)> = if args.mailbox.is_empty() {
        let all = access.server_annotations()?;
        all.into_iter().map(|a| (a.entry, a.userid, a.value)).collect()
    } else {
        let name = names::anywhere(&args.mailbox)?;
        let mailbox = access.mailboxes(Select::Names(vec![name.clone()]))?.pop();
        let mailbox = mailbox.ok_or_else(|| no_mailbox(&name))?;
        let annotations = match args.uid {
            None => mailbox.annotations,
            Some(uid) => {
                access
                    .record(&mailbox.key(), uid)?
                    .ok_or_else(|| no_message(&name, uid))?
                    .annotations
            }
        };
        annotations
            .into_iter()
            .map(|a| (a.entry, a.userid, a.value))
            .collect()
    };
    let rows: Vec<Row> = found
        .into_iter()
        .filter(|(entry, userid, _)| {
            args.entry.as_ref().is_none_or(|wanted| {
                entry.as_bytes() == wanted.as_bytes() && userid.as_bytes() == args.user.as_bytes()
            })
        })
        .map(|(entry, userid, value)| Row {
            entry: entry.to_string(),
            userid: userid.to_string(),
            value: value.to_lossy().into_owned(),
        })
        .collect();
    if args.json {
        return output::print_json(&rows);
    }
    if let (Some(entry), true) = (&args.entry, rows.is_empty()) {
        return Err(Failure::new(
            Exit::NoInput,
            format!("there is no annotation {entry}"),
        ));
    }
    output::to_stdout(|out| {
        rows.iter().try_for_each(|row| {
            let whose = if row.userid.is_empty() {
                "shared"
            } else {
                &row.userid
            };
            writeln!(
                out,
                "{}\t{}\t{}",
                printable(&row.entry),
                printable(whose),
                printable(&row.value)
            )
        })
    })
}

fn no_message(name: &Text, uid: u32) -> Failure {
    Failure::new(Exit::NoInput, format!("{name} has no message {uid}"))
}
