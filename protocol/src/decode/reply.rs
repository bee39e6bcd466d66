//! The master's side: reply lines to events.

use bytes::Bytes;

use super::ReplyEvent;
use super::command::file_head;
use super::fragment::{Fragment, Fragmenter};
use super::head::Dialect;
use crate::convert::mailbox;
use crate::convert::response::{self, Words};
use crate::fault::Fault;
use crate::grammar;
use crate::limits::Limits;
use crate::response::StreamingData;

/// Decodes what a replica sends.
#[derive(Debug)]
pub struct ReplyDecoder {
    fragments: Fragmenter,
    depth_max: usize,
}

impl ReplyDecoder {
    /// A decoder at the start of a line.
    pub fn new(limits: Limits) -> Self {
        let depth_max = limits.depth_max;
        ReplyDecoder {
            fragments: Fragmenter::new(Dialect::Replies, limits),
            depth_max,
        }
    }

    /// Adds what arrived.
    pub fn push(&mut self, bytes: Bytes) {
        self.fragments.push(bytes);
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
    pub fn poll(&mut self) -> ReplyEvent {
        loop {
            let event = match self.fragments.next() {
                Fragment::NeedMore => return ReplyEvent::NeedMore,
                Fragment::Words(line) => response::words(&line).map(|words| match words {
                    Words::Data(data) => ReplyEvent::Data(data),
                    Words::Final(line) => ReplyEvent::Final(line),
                }),
                Fragment::Line(line) => self.line(&line),
                Fragment::OpenRecords { head, key_at } => self.open_records(&head[..key_at]),
                Fragment::Record(record) => return ReplyEvent::Record(record),
                Fragment::Element { bytes, .. } => {
                    super::record(&bytes, self.depth_max).map(ReplyEvent::Record)
                }
                Fragment::File { head, size, guid_at } => return self.file(&head, size, guid_at),
                Fragment::FileData(bytes) => return ReplyEvent::FileData(bytes),
                Fragment::FileEnd => return ReplyEvent::FileEnd,
                Fragment::Tail(tail) => self.tail(&tail),
                Fragment::Bad(malformed) => return ReplyEvent::Fatal(self.fragments.give_up(malformed)),
                Fragment::Fatal(malformed) => return ReplyEvent::Fatal(malformed),
                Fragment::Raw(_) | Fragment::OpenFiles => continue,
            };
            return event.unwrap_or_else(|fault| {
                let malformed = self.fragments.refuse(fault);
                ReplyEvent::Fatal(self.fragments.give_up(malformed))
            });
        }
    }

    fn file(&mut self, head: &[u8], size: u64, guid_at: usize) -> ReplyEvent {
        match file_head(head, size) {
            Ok(head) => ReplyEvent::Begin(StreamingData::Message(head)),
            Err(fault) => {
                let malformed = self.fragments.refuse_at(guid_at, fault);
                ReplyEvent::Fatal(self.fragments.give_up(malformed))
            }
        }
    }

    fn line(&self, line: &[u8]) -> Result<ReplyEvent, Fault> {
        let (name, value) = grammar::parse_line(line, self.depth_max).ok_or(Fault::TrailingBytes)?;
        response::data(&name, &value).map(ReplyEvent::Data)
    }

    fn open_records(&self, head: &[u8]) -> Result<ReplyEvent, Fault> {
        let (_, pairs) = grammar::parse_open_line(head, self.depth_max).ok_or(Fault::TrailingBytes)?;
        let line = mailbox::streaming_mailbox(&pairs, true)?;
        Ok(ReplyEvent::Begin(StreamingData::Mailbox(line)))
    }

    fn tail(&self, tail: &[u8]) -> Result<ReplyEvent, Fault> {
        let pairs = grammar::parse_tail(tail, self.depth_max).ok_or(Fault::TrailingBytes)?;
        mailbox::streaming_mailbox(&pairs, false).map(ReplyEvent::End)
    }
}
