//! Bytes to typed commands and replies.
//!
//! Both decoders are pulled: [`push`](CommandDecoder::push) what arrived, then `poll` until it says `NeedMore`. What
//! they hold is bounded by [`Limits`](crate::limits::Limits) whatever arrives, as long as the caller polls before it
//! pushes more. Cutting the input anywhere changes nothing but how file bytes are portioned.

mod command;
mod fragment;
pub(crate) mod head;
mod input;
mod reply;
pub(crate) mod scan;
mod skip;

use bytes::Bytes;

pub use command::CommandDecoder;
pub use reply::ReplyDecoder;

use crate::command::{Command, FileHead, Streaming};
use crate::convert::mailbox;
use crate::fault::{Fault, Malformed};
use crate::grammar;
use crate::response::{Data, Final, StreamingData};
use crate::{MailboxLine, Record};

/// What a replica reads.
///
/// A streaming line comes as `Begin`, then `Record`s or files (`File`, `FileData`..., `FileEnd`), then `End`; a `Bad`
/// or `Fatal` in between ends it too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandEvent {
    /// Nothing more can be said before more bytes are pushed.
    NeedMore,
    /// A complete command.
    Command(Command),
    /// A streaming line began. A `MAILBOX` line without `RECORD` comes as `Begin` and `End` too, with
    /// [`MailboxLine::has_records`] false.
    Begin(Streaming),
    /// An element of `RECORD`.
    Record(Record),
    /// A file of `APPLY MESSAGE` begins; exactly [`FileHead::size`] bytes follow.
    File(FileHead),
    /// Bytes of the file, never empty; a slice of what was pushed.
    FileData(Bytes),
    /// The file is complete.
    FileEnd,
    /// The streaming line is complete; carries the keys that came after `RECORD`. Where both this and the line of
    /// `Begin` have a key, the latter came first and wins; merging is the caller's.
    End(Box<MailboxLine>),
    /// A whole line without its line end, while raw lines are on.
    Raw(Bytes),
    /// The line is refused; its rest is skipped and the next event is of the next line.
    Bad(Malformed),
    /// The connection cannot stay in step; every further poll says the same.
    Fatal(Malformed),
}

/// What a master reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyEvent {
    /// Nothing more can be said before more bytes are pushed.
    NeedMore,
    /// A complete data line.
    Data(Data),
    /// A streaming data line began: records up to `End`, or file bytes up to `FileEnd` and then `End`.
    Begin(StreamingData),
    /// An element of `RECORD`.
    Record(Record),
    /// Bytes of the file, never empty; a slice of what was pushed.
    FileData(Bytes),
    /// The file is complete.
    FileEnd,
    /// The streaming line is complete; carries the keys that came after `RECORD`, as in [`CommandEvent::End`].
    End(Box<MailboxLine>),
    /// The line that ends an answer.
    Final(Final),
    /// The peer broke a rule; every further poll says the same.
    Fatal(Malformed),
}

/// An element of `RECORD` whose end has been found.
fn record(element: &[u8], depth_max: usize) -> Result<Record, Fault> {
    let element = element.trim_ascii_start();
    match grammar::record::eager(element) {
        Some((taken, record)) if taken == element.len() => Ok(record),
        _ => mailbox::record(&grammar::parse_value(element, depth_max).ok_or(Fault::TrailingBytes)?),
    }
}
