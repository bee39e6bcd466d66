//! The grammar vectors of the spec, read by the parsers and by the decoders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{bytewise, commands, commands_in, json_lines, replies, replies_in, unescape};
use protocol::command::Command;
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::grammar::{self, Value};
use protocol::{Fault, Limits};
use serde_json::Value as Json;

const DEPTH_MAX: usize = 64;

/// The vector's notation of a value.
fn notation(value: &Value<'_>) -> Json {
    let bytes = |bytes: &[u8]| {
        let mut text = String::new();
        for &byte in bytes {
            match byte {
                b'\\' => text.push_str("\\\\"),
                0x20..=0x7e => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\x{byte:02x}")),
            }
        }
        Json::String(text)
    };
    match value {
        Value::Nil => serde_json::json!({"nil": true}),
        Value::Text(text) => serde_json::json!({"text": bytes(text)}),
        Value::List(items) => serde_json::json!({"list": items.iter().map(notation).collect::<Vec<_>>()}),
        Value::KvList(pairs) => {
            let pair =
                |(key, value): &(Cow<'_, [u8]>, Value<'_>)| serde_json::json!([bytes(key), notation(value)]);
            serde_json::json!({"kv": pairs.iter().map(pair).collect::<Vec<_>>()})
        }
        Value::File(file) => serde_json::json!({"file": {
            "partition": bytes(&file.partition),
            "guid": String::from_utf8_lossy(&file.guid).to_ascii_lowercase(),
            "data": BASE64_STANDARD.encode(file.bytes),
        }}),
    }
}

fn text<'j>(vector: &'j Json, field: &str) -> &'j str {
    vector[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} in {vector}"))
}

#[test]
fn valid_lines_have_their_values() {
    let vectors = json_lines("vectors/grammar-valid.jsonl");
    assert!(vectors.len() >= 80, "{} vectors", vectors.len());
    for vector in &vectors {
        let id = text(vector, "id");
        let input = unescape(text(vector, "input"));
        let (key, value) =
            grammar::parse_line(&input, DEPTH_MAX).unwrap_or_else(|| panic!("{id} must parse"));
        assert_eq!(key.as_ref(), unescape(text(vector, "key")), "{id}");
        assert_eq!(notation(&value), vector["value"], "{id}");
    }
}

/// GV-079 is a data line whose record lacks keys: good grammar, but no answer a master can use.
fn usable(id: &str) -> bool {
    id != "GV-079"
}

#[test]
fn valid_commands_are_decoded_to_their_end_and_not_before() {
    for vector in json_lines("vectors/grammar-valid.jsonl")
        .iter()
        .filter(|v| text(v, "kind") == "command")
    {
        let id = text(vector, "id");
        let mut input = unescape(text(vector, "input"));
        let events = commands(&input);
        let complete = |events: &[CommandEvent]| {
            matches!(
                events.last(),
                Some(CommandEvent::Command(_) | CommandEvent::End(_))
            )
        };
        assert!(complete(&events), "{id}: {events:?}");
        assert_eq!(events, commands_in(bytewise(&input), Limits::default()), "{id}");
        for end in 0..input.len() {
            let partial = commands(&input[..end]);
            let refused =
                |event: &CommandEvent| matches!(event, CommandEvent::Bad(_) | CommandEvent::Fatal(_));
            assert!(
                !complete(&partial) && !partial.iter().any(refused),
                "{id}, {end} bytes: {partial:?}"
            );
        }
        input.extend_from_slice(b"NOOP\r\n");
        assert_eq!(
            commands(&input).last(),
            Some(&CommandEvent::Command(Command::Noop)),
            "{id}"
        );
        assert_eq!(commands(&input).len(), events.len() + 1, "{id}");
    }
}

#[test]
fn valid_data_lines_are_decoded_to_their_end_and_not_before() {
    for vector in json_lines("vectors/grammar-valid.jsonl")
        .iter()
        .filter(|v| text(v, "kind") == "data")
    {
        let id = text(vector, "id");
        let mut input = unescape(text(vector, "input"));
        let events = replies(&input);
        if !usable(id) {
            assert!(
                matches!(events.last(), Some(ReplyEvent::Fatal(_))),
                "{id}: {events:?}"
            );
            continue;
        }
        let complete =
            |events: &[ReplyEvent]| matches!(events.last(), Some(ReplyEvent::Data(_) | ReplyEvent::End(_)));
        assert!(complete(&events), "{id}: {events:?}");
        assert_eq!(events, replies_in(bytewise(&input), Limits::default()), "{id}");
        for end in 0..input.len() {
            let partial = replies(&input[..end]);
            let refused = |event: &ReplyEvent| matches!(event, ReplyEvent::Fatal(_));
            assert!(
                !complete(&partial) && !partial.iter().any(refused),
                "{id}, {end} bytes: {partial:?}"
            );
        }
        input.extend_from_slice(b"OK success\r\n");
        assert!(
            matches!(replies(&input).last(), Some(ReplyEvent::Final(_))),
            "{id}"
        );
        assert_eq!(replies(&input).len(), events.len() + 1, "{id}");
    }
}

/// The spec's name of a fault of the grammar.
fn name(fault: &Fault) -> &'static str {
    match fault {
        Fault::MissingKeyword => "missing-key",
        Fault::BadKey => "bad-key",
        Fault::MissingValue => "missing-value",
        Fault::UnexpectedClose => "unexpected-close",
        Fault::TrailingBytes => "trailing-input",
        Fault::UnclosedList => "unterminated-list",
        Fault::LineEndInQuoted => "quoted-line-end",
        Fault::Nul => "nul",
        Fault::LoneCr => "bare-cr",
        Fault::EightBitStart => "eight-bit-start",
        Fault::BadPercent => "bad-percent",
        Fault::BadLiteral => "literal-header",
        Fault::LiteralLineEnd => "literal-line-end",
        Fault::BadFileHead => "file-header",
        Fault::BadFileGuid => "file-guid",
        Fault::FileLineEnd => "file-line-end",
        Fault::Unskippable => "number-range",
        other => panic!("{other} is no fault of the grammar"),
    }
}

#[test]
fn invalid_lines_are_refused_once_at_the_byte_and_left_behind() {
    let vectors = json_lines("vectors/grammar-invalid.jsonl");
    assert!(vectors.len() >= 60, "{} vectors", vectors.len());
    for vector in &vectors {
        let id = text(vector, "id");
        let mut input = unescape(text(vector, "input"));
        let at = vector["at"].as_u64().expect("an offset");
        let events = commands(&input);
        let refusal = events.iter().find_map(|event| match event {
            CommandEvent::Bad(malformed) | CommandEvent::Fatal(malformed) => Some(malformed),
            _ => None,
        });
        let refusal = refusal.unwrap_or_else(|| panic!("{id} must be refused: {events:?}"));
        assert_eq!(
            (name(&refusal.kind), refusal.at),
            (text(vector, "fault"), at),
            "{id}"
        );
        assert_eq!(events, commands_in(bytewise(&input), Limits::default()), "{id}");
        for end in 0..at as usize {
            let partial = commands(&input[..end]);
            assert!(
                !partial.iter().any(|event| matches!(event, CommandEvent::Bad(_))),
                "{id}, {end} bytes"
            );
        }
        if refusal.kind != Fault::Unskippable {
            input.extend_from_slice(b"NOOP\r\n");
            assert_eq!(
                commands(&input).last(),
                Some(&CommandEvent::Command(Command::Noop)),
                "{id}"
            );
        }
    }
}
