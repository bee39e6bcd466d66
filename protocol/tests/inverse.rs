//! What is written reads as what it was, what is read writes as what it means.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::generate::{
    command, data, file, file_head, final_line, record, scribble, streaming_data, streaming_mailbox, value,
};
use common::{commands, commands_in, cut, replies, replies_in, write_commands, write_replies};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::command::Streaming;
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::grammar::{Value, parse_line, parse_value};
use protocol::response::{Data, StreamingData};
use protocol::{Limits, MailboxLine, Record};

const DEPTH_MAX: usize = 64;

fn print(value: &Value<'_>, style: LiteralStyle) -> Vec<u8> {
    let mut encoder = Encoder::new(style);
    encoder.value(value);
    encoder.take().to_vec()
}

/// The events of a `MAILBOX` line with these records.
fn mailbox_events(mut begin: Streaming, records: Vec<Record>) -> Vec<CommandEvent> {
    let (Streaming::Mailbox { line, .. } | Streaming::Restore { line, .. }) = &mut begin else {
        return Vec::new();
    };
    line.has_records |= !records.is_empty();
    let end = CommandEvent::End(Box::<MailboxLine>::default());
    std::iter::once(CommandEvent::Begin(begin))
        .chain(records.into_iter().map(CommandEvent::Record))
        .chain([end])
        .collect()
}

proptest! {
    #[test]
    fn values(value in value()) {
        for style in [LiteralStyle::Client, LiteralStyle::Server] {
            let printed = print(&value, style);
            prop_assert_eq!(parse_value(&printed, DEPTH_MAX), Some(value.clone()));
        }
    }

    /// However a value is written, it reads as itself, and is written again in the one printed form.
    #[test]
    fn spellings(value in value(), choices in vec(any::<u8>(), 0..200)) {
        let mut spelled = Vec::new();
        scribble(&value, &mut choices.into_iter(), &mut spelled);
        let parsed = parse_value(&spelled, DEPTH_MAX);
        prop_assert_eq!(&parsed, &Some(value.clone()));
        let printed = print(&value, LiteralStyle::Client);
        let reprinted = print(&parse_value(&printed, DEPTH_MAX).expect("what is printed parses"), LiteralStyle::Client);
        prop_assert_eq!(printed, reprinted);
    }

    /// The decoder takes every spelling, in any pieces.
    #[test]
    fn spellings_in_a_line(value in value(), choices in vec(any::<u8>(), 0..200), points in vec(any::<usize>(), 0..6)) {
        let mut line = b"APPLY X-NEW ".to_vec();
        scribble(&value, &mut choices.into_iter(), &mut line);
        line.extend_from_slice(b"\r\n");
        let events = commands(&line);
        prop_assert!(matches!(events[..], [CommandEvent::Command(_)]), "{:?}", events);
        prop_assert_eq!(commands_in(cut(&line, &points), Limits::default()), events);
        prop_assert_eq!(parse_line(&line, DEPTH_MAX).map(|(_, value)| value), Some(value));
    }

    #[test]
    fn single_commands(command in command()) {
        let events = vec![CommandEvent::Command(command)];
        let line = write_commands(&events);
        prop_assert_eq!(commands(&line), events, "{}", line.escape_ascii());
    }

    #[test]
    fn mailbox_commands(begin in streaming_mailbox(), records in vec(record(), 0..4), points in vec(any::<usize>(), 0..6)) {
        let events = mailbox_events(begin, records);
        let line = write_commands(&events);
        prop_assert_eq!(commands(&line), events.clone(), "{}", line.escape_ascii());
        prop_assert_eq!(commands_in(cut(&line, &points), Limits::default()), events);
    }

    #[test]
    fn messages(files in vec(file(), 0..4), points in vec(any::<usize>(), 0..6)) {
        let mut events = vec![CommandEvent::Begin(Streaming::Message)];
        for (head, bytes) in files {
            events.push(CommandEvent::File(head));
            if !bytes.is_empty() {
                events.push(CommandEvent::FileData(bytes.into()));
            }
            events.push(CommandEvent::FileEnd);
        }
        events.push(CommandEvent::End(Box::default()));
        let line = write_commands(&events);
        prop_assert_eq!(commands(&line), events.clone(), "{}", line.escape_ascii());
        prop_assert_eq!(commands_in(cut(&line, &points), Limits::default()), events);
    }

    /// Commands behind one another, cut anywhere.
    #[test]
    fn conversations(all in vec(command(), 0..8), points in vec(any::<usize>(), 0..8)) {
        let events: Vec<CommandEvent> = all.into_iter().map(CommandEvent::Command).collect();
        let said = write_commands(&events);
        prop_assert_eq!(commands_in(cut(&said, &points), Limits::default()), events);
    }

    #[test]
    fn answers(data in vec(data(), 0..4), line in final_line(), points in vec(any::<usize>(), 0..6)) {
        let mut events: Vec<ReplyEvent> = data.into_iter().map(ReplyEvent::Data).collect();
        events.push(ReplyEvent::Final(line));
        for style in [LiteralStyle::Client, LiteralStyle::Server] {
            let said = write_replies(&events, style);
            prop_assert_eq!(replies(&said), events.clone(), "{}", said.escape_ascii());
            prop_assert_eq!(replies_in(cut(&said, &points), Limits::default()), events.clone());
        }
    }

    #[test]
    fn mailbox_answers(begin in streaming_data(), records in vec(record(), 0..4), points in vec(any::<usize>(), 0..6)) {
        let mut events = vec![ReplyEvent::Begin(begin)];
        events.extend(records.into_iter().map(ReplyEvent::Record));
        events.push(ReplyEvent::End(Box::default()));
        let said = write_replies(&events, LiteralStyle::Server);
        prop_assert_eq!(replies(&said), events.clone(), "{}", said.escape_ascii());
        prop_assert_eq!(replies_in(cut(&said, &points), Limits::default()), events);
    }

    #[test]
    fn fetched_messages(head in file_head(5), points in vec(any::<usize>(), 0..6)) {
        let events = vec![
            ReplyEvent::Begin(StreamingData::Message(head)),
            ReplyEvent::FileData((&b")\r\n{9"[..]).into()),
            ReplyEvent::FileEnd,
            ReplyEvent::End(Box::default()),
        ];
        let said = write_replies(&events, LiteralStyle::Server);
        prop_assert_eq!(replies_in(cut(&said, &points), Limits::default()), events);
    }

    /// Of a command that is not complete nothing is said.
    #[test]
    fn prefixes_of_commands(command in command(), end in any::<prop::sample::Index>()) {
        let line = write_commands(&[CommandEvent::Command(command)]);
        let prefix = &line[..end.index(line.len())];
        prop_assert_eq!(commands(prefix), vec![], "{}", prefix.escape_ascii());
    }

    /// Of a streaming line that is not complete nothing is said but what is certain: the beginning of what it says.
    #[test]
    fn prefixes_of_streams(begin in streaming_mailbox(), records in vec(record(), 0..4), end in any::<prop::sample::Index>()) {
        let events = mailbox_events(begin, records);
        let line = write_commands(&events);
        let said = commands(&line[..end.index(line.len())]);
        prop_assert!(said.len() < events.len());
        prop_assert_eq!(&said[..], &events[..said.len()]);
    }

    #[test]
    fn prefixes_of_answers(data in data(), end in any::<prop::sample::Index>()) {
        let line = write_replies(&[ReplyEvent::Data(data)], LiteralStyle::Server);
        prop_assert_eq!(replies(&line[..end.index(line.len())]), vec![]);
    }
}

/// In an answer only a list of records makes the line one of records: a word under that key is no list, and the line is
/// read again as it was.
#[test]
fn a_word_in_the_place_of_records() {
    let events = replies(b"* MAILBOX %(FOLDERMODSEQ 6 RECORD x)\r\n");
    let [ReplyEvent::Data(Data::Mailbox(line))] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(!line.has_records && line.foldermodseq == Some(6));
    for style in [LiteralStyle::Client, LiteralStyle::Server] {
        assert_eq!(replies(&write_replies(&events, style)), events);
    }
}
