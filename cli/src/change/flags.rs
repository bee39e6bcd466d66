//! `mailtwin flag` and `mailtwin expunge`.

use engine::local::MailboxEdit;
use protocol::{Flags, SystemFlags, Text};

use super::args::{ExpungeArgs, FlagArgs};
use super::uids::{UidSet, live};
use super::within;
use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::{names, output, table};

/// A flag as people write it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flag {
    /// One of IMAP's own.
    System(SystemFlags),
    /// A keyword.
    Keyword(Text),
}

impl Flag {
    /// Sets it.
    pub fn add_to(&self, flags: &mut Flags) {
        match self {
            Flag::System(flag) => flags.system = flags.system.with(*flag),
            Flag::Keyword(name) => {
                if !flags.keywords.iter().any(|k| k.eq_ignore_ascii_case(name)) {
                    flags.keywords.push(name.clone());
                }
            }
        }
    }

    fn take_from(&self, flags: &mut Flags) {
        match self {
            Flag::System(flag) => flags.system = flags.system.without(*flag),
            Flag::Keyword(name) => flags.keywords.retain(|k| !k.eq_ignore_ascii_case(name)),
        }
    }
}

/// Reads a flag; whether a keyword is one the mailbox can have is found when it is set.
pub fn read_flag(text: &str) -> Result<Flag> {
    if !text.starts_with('\\') {
        return Ok(Flag::Keyword(Text::from(text)));
    }
    SystemFlags::ALL
        .iter()
        .find(|(flag, name)| *flag != SystemFlags::EXPUNGED && name.eq_ignore_ascii_case(text))
        .map(|(flag, _)| Flag::System(*flag))
        .ok_or_else(|| {
            let known = "\\Seen, \\Answered, \\Flagged, \\Deleted, \\Draft, or a keyword";
            Failure::new(Exit::Usage, format!("{text:?} is no flag; there are {known}"))
        })
}

/// Sets and removes flags.
pub fn run(access: &mut Access, args: &FlagArgs) -> Result<()> {
    let name = names::anywhere(&args.mailbox)?;
    let mut wanted = Vec::new();
    for text in &args.flags {
        let wrong = || {
            Failure::new(
                Exit::Usage,
                format!("{text:?} must begin with + to set it or - to remove it"),
            )
        };
        let sets = match text.as_bytes().first() {
            Some(b'+') => true,
            Some(b'-') => false,
            _ => return Err(wrong()),
        };
        wanted.push((sets, read_flag(&text[1..])?));
    }
    let (changed, found) = within(access, &name, |access, present| {
        let mailbox = present.mailbox(&name)?;
        let set = UidSet::parse(&args.uids, mailbox.last_uid)?;
        let records = live(access, mailbox, |record| set.contains(record.uid))?;
        let mut edit = MailboxEdit::begin(present.moment, mailbox.clone())?;
        let mut changed = 0u64;
        for record in &records {
            let mut flags = record.flags.clone();
            for (sets, flag) in &wanted {
                if *sets {
                    flag.add_to(&mut flags);
                } else {
                    flag.take_from(&mut flags);
                }
            }
            changed += u64::from(edit.set_flags(record, flags)?);
        }
        Ok((edit.finish(), (changed, records.len() as u64)))
    })?;
    told(found, &args.uids, &args.mailbox)?;
    output::note(&format!(
        "changed {} of {}",
        table::grouped(changed),
        table::count(found, "message")
    ))
}

/// Expunges.
pub fn expunge(access: &mut Access, args: &ExpungeArgs) -> Result<()> {
    let name = names::anywhere(&args.mailbox)?;
    let records = within(access, &name, |access, present| {
        let mailbox = present.mailbox(&name)?;
        let set = args
            .uids
            .as_deref()
            .map(|text| UidSet::parse(text, mailbox.last_uid));
        let set = set.transpose()?;
        let records = live(access, mailbox, |record| match &set {
            Some(set) => set.contains(record.uid),
            None => record.flags.system.contains(SystemFlags::DELETED),
        })?;
        let mut edit = MailboxEdit::begin(present.moment, mailbox.clone())?;
        for record in &records {
            edit.expunge(record)?;
        }
        let changes = if args.dry_run { Vec::new() } else { edit.finish() };
        Ok((changes, records))
    })?;
    if let Some(uids) = &args.uids {
        told(records.len() as u64, uids, &args.mailbox)?;
    }
    let verb = if args.dry_run { "would expunge" } else { "expunged" };
    let bytes = records.iter().map(|record| record.size).sum();
    output::note(&format!(
        "{verb} {} ({})",
        table::count(records.len() as u64, "message"),
        table::bytes(bytes)
    ))
}

/// A set that names no message is a mistake.
fn told(found: u64, uids: &str, mailbox: &str) -> Result<()> {
    if found > 0 {
        return Ok(());
    }
    let text = format!("{mailbox} has no message with a UID among {uids}");
    Err(Failure::new(Exit::NoInput, text))
}
