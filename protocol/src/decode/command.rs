//! The replica's side: command lines to events.

use bytes::Bytes;

use super::CommandEvent;
use super::fragment::{Fragment, Fragmenter};
use super::head::Dialect;
use crate::command::{Command, FileHead, Streaming};
use crate::convert::fields::Fields;
use crate::convert::words::without_line_end;
use crate::convert::{apply, get, mailbox, words};
use crate::fault::{Fault, Verb};
use crate::grammar::{self, Value};
use crate::limits::Limits;
use crate::{Guid, MailboxLine, Text};

/// Decodes what a master sends.
#[derive(Debug)]
pub struct CommandDecoder {
    fragments: Fragmenter,
    depth_max: usize,
    /// The event behind one that told two things.
    next: Option<CommandEvent>,
    /// Whether a `Begin` was said of the current line.
    begun: bool,
}

impl CommandDecoder {
    /// A decoder at the start of a line.
    pub fn new(limits: Limits) -> Self {
        let depth_max = limits.depth_max;
        CommandDecoder {
            fragments: Fragmenter::new(Dialect::Commands, limits),
            depth_max,
            next: None,
            begun: false,
        }
    }

    /// Adds what arrived.
    pub fn push(&mut self, bytes: Bytes) {
        self.fragments.push(bytes);
    }

    /// From the next line on: whole lines as [`CommandEvent::Raw`], or commands again.
    pub fn set_raw_lines(&mut self, on: bool) {
        self.fragments.set_raw(on);
    }

    /// Takes out what was pushed and not consumed, the beginning of an incomplete line included. The decoder is at
    /// the start of a line afterwards.
    pub fn take_buffered(&mut self) -> Bytes {
        self.fragments.take_buffered()
    }

    /// Whether anything was pushed and not consumed.
    pub fn has_buffered(&self) -> bool {
        self.fragments.has_buffered()
    }

    /// The next event.
    pub fn poll(&mut self) -> CommandEvent {
        let event = self.next.take().unwrap_or_else(|| self.advance());
        match event {
            CommandEvent::Begin(_) => self.begun = true,
            CommandEvent::End(_) | CommandEvent::Bad(_) | CommandEvent::Command(_) => self.begun = false,
            _ => {}
        }
        event
    }

    fn advance(&mut self) -> CommandEvent {
        loop {
            let event = match self.fragments.next() {
                Fragment::NeedMore => return CommandEvent::NeedMore,
                Fragment::Words(line) => return self.words(&line),
                Fragment::Raw(line) => {
                    let kept = without_line_end(&line).len();
                    return CommandEvent::Raw(line.slice(..kept));
                }
                Fragment::Line(line) => self.line(&line),
                Fragment::OpenRecords { head, key_at } => self.open_records(&head[..key_at]),
                Fragment::OpenFiles => Ok(CommandEvent::Begin(Streaming::Message)),
                Fragment::Record(record) => return CommandEvent::Record(record),
                Fragment::Element { record: false, .. } => continue,
                Fragment::Element { bytes, .. } => self.record(&bytes),
                Fragment::File { head, size, guid_at } => return self.file(&head, size, guid_at),
                Fragment::FileData(bytes) => return CommandEvent::FileData(bytes),
                Fragment::FileEnd => return CommandEvent::FileEnd,
                Fragment::Tail(tail) => self.tail(&tail),
                Fragment::Bad(malformed) => return CommandEvent::Bad(malformed),
                Fragment::Fatal(malformed) => return CommandEvent::Fatal(malformed),
            };
            return event.unwrap_or_else(|fault| CommandEvent::Bad(self.fragments.refuse(fault)));
        }
    }

    fn words(&mut self, line: &[u8]) -> CommandEvent {
        match words::words(self.fragments.verb(), line) {
            Ok(command) => CommandEvent::Command(command),
            Err(fault) => CommandEvent::Bad(self.fragments.refuse_words(fault, line)),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<CommandEvent, Fault> {
        let (keyword, value) = grammar::parse_line(line, self.depth_max).ok_or(Fault::TrailingBytes)?;
        let local = keyword.eq_ignore_ascii_case(b"LOCAL_MAILBOX");
        let is_mailbox = local || keyword.eq_ignore_ascii_case(b"MAILBOX");
        Ok(match self.fragments.verb() {
            Some(Verb::Apply) if keyword.eq_ignore_ascii_case(b"MESSAGE") => {
                self.next = Some(CommandEvent::End(Box::default()));
                CommandEvent::Begin(Streaming::Message)
            }
            Some(Verb::Apply) if is_mailbox => CommandEvent::Begin(Streaming::Mailbox {
                line: self.whole_mailbox(&value)?,
                local,
            }),
            Some(Verb::Restore) if is_mailbox => CommandEvent::Begin(Streaming::Restore {
                line: self.whole_mailbox(&value)?,
                local,
            }),
            Some(Verb::Apply) => CommandEvent::Command(Command::Apply(apply::apply(&keyword, &value))),
            Some(Verb::Restore) => {
                CommandEvent::Command(Command::RestoreUnknown(Text::from(keyword.to_ascii_uppercase())))
            }
            _ => CommandEvent::Command(Command::Get(get::get(&keyword, &value))),
        })
    }

    /// A `MAILBOX` line that streams nothing begins and ends at once.
    fn whole_mailbox(&mut self, value: &Value<'_>) -> Result<Box<MailboxLine>, Fault> {
        let line = mailbox::mailbox(Fields::of(value))?;
        self.next = Some(CommandEvent::End(Box::default()));
        Ok(Box::new(line))
    }

    fn open_records(&self, head: &[u8]) -> Result<CommandEvent, Fault> {
        let (keyword, pairs) = grammar::parse_open_line(head, self.depth_max).ok_or(Fault::TrailingBytes)?;
        let local = keyword.eq_ignore_ascii_case(b"LOCAL_MAILBOX");
        let line = mailbox::streaming_mailbox(&pairs, true)?;
        Ok(CommandEvent::Begin(match self.fragments.verb() {
            Some(Verb::Restore) => Streaming::Restore { line, local },
            _ => Streaming::Mailbox { line, local },
        }))
    }

    /// A file that stands for the whole list is taken like a list of one.
    fn file(&mut self, head: &[u8], size: u64, guid_at: usize) -> CommandEvent {
        match file_head(head, size) {
            Ok(head) if self.begun => CommandEvent::File(head),
            Ok(head) => {
                self.next = Some(CommandEvent::File(head));
                CommandEvent::Begin(Streaming::Message)
            }
            Err(fault) => CommandEvent::Bad(self.fragments.refuse_at(guid_at, fault)),
        }
    }

    fn record(&self, element: &[u8]) -> Result<CommandEvent, Fault> {
        super::record(element, self.depth_max).map(CommandEvent::Record)
    }

    fn tail(&self, tail: &[u8]) -> Result<CommandEvent, Fault> {
        let pairs = grammar::parse_tail(tail, self.depth_max).ok_or(Fault::TrailingBytes)?;
        mailbox::streaming_mailbox(&pairs, false).map(CommandEvent::End)
    }
}

/// The typed head of a file whose size is already known.
pub(super) fn file_head(head: &[u8], size: u64) -> Result<FileHead, Fault> {
    let (partition, guid) = grammar::parse_file_head(head).ok_or(Fault::BadFileHead)?;
    let guid = Guid::parse(&guid).ok_or(Fault::BadFileGuid)?;
    Ok(FileHead {
        partition: Text::copy_from(&partition),
        guid,
        size,
    })
}
