//! Typed values, written and read: what comes out is what went in, however it is cut.

use protocol::MailboxLine;
use protocol::command::{FileHead, Streaming};
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::encode::LiteralStyle;
use protocol::response::StreamingData;

use crate::values::Maker;
use crate::wire::{commands_in, replies_in, write_commands, write_replies};

/// Lines of one input, at most.
const LINES_MAX: usize = 12;

/// One line of a master as events.
pub fn line(maker: &mut Maker<'_>) -> Vec<CommandEvent> {
    match maker.below(5) {
        0 => {
            let mut events = vec![CommandEvent::Begin(Streaming::Message)];
            for _ in 0..maker.below(4) {
                let bytes = maker.bytes(24);
                events.push(CommandEvent::File(FileHead {
                    partition: maker.any_text(),
                    guid: maker.guid(),
                    size: bytes.len() as u64,
                }));
                if !bytes.is_empty() {
                    events.push(CommandEvent::FileData(bytes.into()));
                }
                events.push(CommandEvent::FileEnd);
            }
            events.push(CommandEvent::End(Box::default()));
            events
        }
        1 | 2 => {
            let mut line: Box<MailboxLine> = Box::new(maker.mailbox_line());
            let local = maker.seldom(3);
            let is_restore = maker.seldom(3);
            let records: Vec<_> = (0..maker.below(4)).map(|_| maker.record()).collect();
            line.has_records = !records.is_empty() || maker.seldom(2);
            let streaming = match is_restore {
                true => Streaming::Restore { line, local },
                false => Streaming::Mailbox { line, local },
            };
            std::iter::once(CommandEvent::Begin(streaming))
                .chain(records.into_iter().map(CommandEvent::Record))
                .chain([CommandEvent::End(Box::default())])
                .collect()
        }
        _ => vec![CommandEvent::Command(maker.command())],
    }
}

/// Commands of any values.
pub fn commands(input: &[u8]) {
    let mut maker = Maker::new(input, false);
    let piece = maker.below(64) + 1;
    let mut events = Vec::new();
    for _ in 0..LINES_MAX {
        if maker.is_done() {
            break;
        }
        events.extend(line(&mut maker));
    }
    let bytes = write_commands(&events);
    let limits = Default::default();
    assert_eq!(
        commands_in(&bytes, bytes.len(), &limits),
        events,
        "{}",
        bytes.escape_ascii()
    );
    assert_eq!(commands_in(&bytes, piece, &limits), events);
}

/// Replies of any values, in both ways to announce a literal.
pub fn replies(input: &[u8]) {
    let mut maker = Maker::new(input, false);
    let piece = maker.below(64) + 1;
    let mut events = Vec::new();
    for _ in 0..LINES_MAX {
        if maker.is_done() {
            break;
        }
        match maker.below(6) {
            0 => events.push(ReplyEvent::Final(maker.final_line())),
            1 => {
                let mut line = Box::new(maker.mailbox_line());
                line.has_records = true;
                events.push(ReplyEvent::Begin(StreamingData::Mailbox(line)));
                for _ in 0..maker.below(4) {
                    events.push(ReplyEvent::Record(maker.record()));
                }
                events.push(ReplyEvent::End(Box::default()));
            }
            2 => {
                let bytes = maker.bytes(24);
                let head = FileHead {
                    partition: maker.any_text(),
                    guid: maker.guid(),
                    size: bytes.len() as u64,
                };
                events.push(ReplyEvent::Begin(StreamingData::Message(head)));
                if !bytes.is_empty() {
                    events.push(ReplyEvent::FileData(bytes.into()));
                }
                events.extend([ReplyEvent::FileEnd, ReplyEvent::End(Box::default())]);
            }
            _ => events.push(ReplyEvent::Data(maker.data())),
        }
    }
    let limits = Default::default();
    for style in [LiteralStyle::Client, LiteralStyle::Server] {
        let bytes = write_replies(&events, style);
        assert_eq!(
            replies_in(&bytes, bytes.len(), &limits),
            events,
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(replies_in(&bytes, piece, &limits), events);
    }
}
