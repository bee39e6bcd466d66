//! `mailtwin import`: mail from files into a mailbox.

mod body;
mod date;
mod eml;
mod maildir;
mod mbox;
mod writer;

use engine::flow::Now;
use protocol::Text;

pub use body::Body;
pub use eml::header_date;
pub use maildir::{FLAGS, PASSED};
pub use writer::{Sorted, Writer, new_uniqueid};

use crate::access::Access;
use crate::args::{Format, ImportArgs};
use crate::failure::{Exit, Failure, Result};
use crate::{names, output, table};

/// Imports what the arguments say. `partition` is where new mailboxes belong.
pub fn run(access: &mut Access, args: &ImportArgs, partition: &Text, now: fn() -> Now) -> Result<()> {
    let user = names::user(&args.user)?;
    let mailbox = names::of_user(&user, &args.mailbox)?;
    let mut writer = Writer::new(access, user.clone(), partition.clone(), now);
    let sources = match args.format {
        Format::Maildir => maildir::folders(&args.path, &mailbox)?,
        Format::Mbox | Format::Eml => Vec::new(),
    };
    let total = match args.format {
        Format::Maildir => sources.iter().map(|folder| folder.messages.len() as u64).sum(),
        Format::Mbox => 0,
        Format::Eml => eml::files(&args.path)?.len() as u64,
    };
    let bar = output::progress(total, "messages");
    let mut sink = Sink {
        writer: &mut writer,
        bar: &bar,
        skipped: 0,
    };
    match args.format {
        Format::Maildir => {
            for folder in &sources {
                maildir::import(folder, &mut sink)?;
            }
        }
        Format::Mbox => mbox::import(&args.path, &mailbox, &mut sink)?,
        Format::Eml => eml::import(&eml::files(&args.path)?, &mailbox, &mut sink)?,
    }
    let skipped = sink.skipped;
    if args.format == Format::Maildir {
        let subscribed = maildir::subscriptions(&args.path, &user, &mailbox);
        writer.subscribe(subscribed)?;
    }
    let done = writer.finish()?;
    bar.finish_and_clear();
    output::note(&format!(
        "imported {} ({}) into {} of {user}",
        table::count(done.messages, "message"),
        table::bytes(done.bytes),
        table::count(done.mailboxes, "mailbox"),
    ))?;
    if skipped > 0 {
        let text = format!(
            "{} could not be read; see above",
            table::count(skipped, "message")
        );
        return Err(Failure::new(Exit::Data, text));
    }
    Ok(())
}

/// Where the formats put what they read.
pub struct Sink<'a, 'b> {
    writer: &'a mut Writer<'b>,
    bar: &'a indicatif::ProgressBar,
    skipped: u64,
}

impl Sink<'_, '_> {
    /// A mailbox there has to be, with or without mail.
    fn mailbox(&mut self, mailbox: &Text) -> Result<()> {
        self.writer.open(mailbox)
    }

    /// A message for the mailbox opened last.
    fn message(&mut self, message: Sorted) -> Result<()> {
        self.writer.message(message)?;
        self.bar.inc(1);
        Ok(())
    }

    /// A message that cannot be read; the others go on.
    fn skip(&mut self, what: &str) {
        self.skipped += 1;
        self.bar.suspend(|| {
            let _ = output::note(&format!("skipped {what}"));
        });
    }
}
