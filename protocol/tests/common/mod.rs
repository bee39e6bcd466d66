//! Decoding in tests: whole, in pieces, and what the vectors' notation means.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

pub mod generate;

use bytes::Bytes;
use protocol::Limits;
use protocol::decode::{CommandDecoder, CommandEvent, ReplyDecoder, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};

/// The events of commands pushed in these pieces, up to the end or a `Fatal`; file bytes of one file in one event.
pub fn commands_in(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>, limits: Limits) -> Vec<CommandEvent> {
    let mut decoder = CommandDecoder::new(limits);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece.as_ref()));
        loop {
            match (decoder.poll(), events.last_mut()) {
                (CommandEvent::NeedMore, _) => break,
                (CommandEvent::FileData(more), Some(CommandEvent::FileData(data))) => {
                    *data = [data.as_ref(), &more].concat().into();
                }
                (CommandEvent::Fatal(malformed), _) => {
                    events.push(CommandEvent::Fatal(malformed));
                    return events;
                }
                (event, _) => events.push(event),
            }
        }
    }
    events
}

/// The events of commands pushed at once.
pub fn commands(input: &[u8]) -> Vec<CommandEvent> {
    commands_in([input], Limits::default())
}

/// The events of replies pushed in these pieces, up to the end or a `Fatal`; file bytes of one file in one event.
pub fn replies_in(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>, limits: Limits) -> Vec<ReplyEvent> {
    let mut decoder = ReplyDecoder::new(limits);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece.as_ref()));
        loop {
            match (decoder.poll(), events.last_mut()) {
                (ReplyEvent::NeedMore, _) => break,
                (ReplyEvent::FileData(more), Some(ReplyEvent::FileData(data))) => {
                    *data = [data.as_ref(), &more].concat().into();
                }
                (ReplyEvent::Fatal(malformed), _) => {
                    events.push(ReplyEvent::Fatal(malformed));
                    return events;
                }
                (event, _) => events.push(event),
            }
        }
    }
    events
}

/// The events of replies pushed at once.
pub fn replies(input: &[u8]) -> Vec<ReplyEvent> {
    replies_in([input], Limits::default())
}

/// Every byte a piece of its own.
pub fn bytewise(input: &[u8]) -> impl Iterator<Item = [u8; 1]> + '_ {
    input.iter().map(|&byte| [byte])
}

/// `input` cut at these points, in any order and out of range as they may be.
pub fn cut<'i>(input: &'i [u8], points: &[usize]) -> Vec<&'i [u8]> {
    let mut points: Vec<usize> = points.iter().map(|point| point % (input.len() + 1)).collect();
    points.push(0);
    points.push(input.len());
    points.sort_unstable();
    points.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

/// The vectors' notation for bytes: `\\` and `\xNN`.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hex digit") as u8;
                out.push(digit(high) << 4 | digit(low));
                rest
            }
            [b'\\', ..] => panic!("bad escape in {text}"),
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// The JSON objects of a file of the spec, one a line.
pub fn json_lines(path: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../spec/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object"))
        .collect()
}

/// Events written again.
pub fn write_commands(events: &[CommandEvent]) -> Vec<u8> {
    let mut encoder = Encoder::new(LiteralStyle::Client);
    for event in events {
        match event {
            CommandEvent::Command(command) => encoder.command(command),
            CommandEvent::Begin(streaming) => encoder.begin(streaming),
            CommandEvent::Record(record) => encoder.record(record),
            CommandEvent::File(head) => encoder.file(head),
            CommandEvent::FileData(bytes) | CommandEvent::Raw(bytes) => encoder.raw(bytes),
            CommandEvent::FileEnd => {}
            CommandEvent::End(_) => encoder.end(),
            other => panic!("{other:?}"),
        }
    }
    encoder.take().to_vec()
}

/// Events written again.
pub fn write_replies(events: &[ReplyEvent], style: LiteralStyle) -> Vec<u8> {
    let mut encoder = Encoder::new(style);
    for event in events {
        match event {
            ReplyEvent::Data(data) => encoder.data(data),
            ReplyEvent::Begin(streaming) => encoder.begin_data(streaming),
            ReplyEvent::Record(record) => encoder.record(record),
            ReplyEvent::FileData(bytes) => encoder.raw(bytes),
            ReplyEvent::FileEnd => {}
            ReplyEvent::End(_) => encoder.end(),
            ReplyEvent::Final(line) => encoder.final_line(line),
            other => panic!("{other:?}"),
        }
    }
    encoder.take().to_vec()
}
