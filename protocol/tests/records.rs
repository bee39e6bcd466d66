//! The parser of records as they are usually printed against the one that takes every spelling.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::generate::{mailbox_line, record, scribble};
use common::{commands, commands_in, cut, write_commands};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::command::Streaming;
use protocol::decode::CommandEvent;
use protocol::grammar::{Value, parse_value};
use protocol::{Fault, Limits, Record};

/// Limits under which the general parser decodes all records.
fn general() -> Limits {
    Limits {
        depth_max: 7,
        ..Limits::default()
    }
}

fn line(records: &[Record]) -> Vec<u8> {
    let mut events = vec![CommandEvent::Begin(Streaming::Mailbox {
        line: Box::default(),
        local: false,
    })];
    events.extend(records.iter().cloned().map(CommandEvent::Record));
    events.push(CommandEvent::End(Box::default()));
    write_commands(&events)
}

proptest! {
    #[test]
    fn both_parsers_agree(records in vec(record(), 1..4), points in vec(any::<usize>(), 0..6)) {
        let line = line(&records);
        let events = commands(&line);
        let decoded: Vec<Record> = events.iter().filter_map(|event| match event {
            CommandEvent::Record(record) => Some(record.clone()),
            _ => None,
        }).collect();
        prop_assert_eq!(decoded, records);
        prop_assert_eq!(&commands_in([&line], general()), &events);
        prop_assert_eq!(&commands_in(cut(&line, &points), general()), &events);
        prop_assert_eq!(&commands_in(cut(&line, &points), Limits::default()), &events);
    }

    /// One byte changed, taken out or doubled: still the same from both.
    #[test]
    fn both_parsers_agree_on_damage(
        records in vec(record(), 1..3),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![prop::sample::select(&b"() \"%{}\\\r\n0NI~\0\x80"[..]), any::<u8>()],
        how in 0..3,
    ) {
        let mut line = line(&records);
        let at = at.index(line.len());
        match how {
            0 => line[at] = byte,
            1 => line.insert(at, byte),
            _ => drop(line.remove(at)),
        }
        prop_assert_eq!(commands_in([&line], general()), commands(&line), "{}", line.escape_ascii());
    }

    /// A record in another spelling, keys in another order and unknown ones between them.
    #[test]
    fn every_spelling_is_the_same_record(
        record in record(),
        mut order in Just([0usize, 1, 2, 3, 4, 5, 6, 7]).prop_shuffle(),
        choices in vec(any::<u8>(), 0..200),
        unknown in any::<bool>(),
    ) {
        let plain = line(std::slice::from_ref(&record));
        let start = plain.windows(8).position(|bytes| bytes == b"RECORD (").expect("a list") + 8;
        let element = &plain[start..plain.len() - 4];
        let Some(Value::KvList(pairs)) = parse_value(element, 64) else { panic!("{}", element.escape_ascii()) };
        let mut shuffled = Vec::new();
        if unknown {
            shuffled.push((b"X-NEW"[..].into(), Value::List(vec![Value::Nil])));
        }
        order.reverse();
        shuffled.extend(order.into_iter().filter_map(|i| pairs.get(i).cloned()));
        let mut spelled = plain[..start].to_vec();
        scribble(&Value::KvList(shuffled), &mut choices.into_iter(), &mut spelled);
        spelled.extend_from_slice(b"))\r\n");
        prop_assert_eq!(&commands(&spelled)[1..2], &[CommandEvent::Record(record)], "{}", spelled.escape_ascii());
    }

    /// Keys may follow the records; the first of two lists of records is the one.
    #[test]
    fn keys_behind_the_records(before in mailbox_line(), after in mailbox_line(), records in vec(record(), 0..3)) {
        let pairs = |line: &protocol::MailboxLine| {
            let mut line = line.clone();
            line.has_records = false;
            let events = [
                CommandEvent::Begin(Streaming::Mailbox { line: Box::new(line), local: false }),
                CommandEvent::End(Box::default()),
            ];
            let printed = write_commands(&events);
            printed[b"APPLY MAILBOX %(".len()..printed.len() - 3].to_vec()
        };
        let list = line(&records);
        let list = &list[b"APPLY MAILBOX %(".len()..list.len() - 3];
        let list = if records.is_empty() { b"RECORD ()" } else { list };
        let input = [b"APPLY MAILBOX %(", &pairs(&before)[..], b" ", list, b" ", &pairs(&after), b" RECORD (x))\r\n"].concat();
        let events = commands(&input);
        let mut begin = before;
        begin.has_records = true;
        let mut end = after;
        end.has_records = false;
        prop_assert_eq!(&events[0], &CommandEvent::Begin(Streaming::Mailbox { line: begin, local: false }));
        prop_assert_eq!(events.len(), records.len() + 2);
        prop_assert_eq!(events.last(), Some(&CommandEvent::End(end)));
    }
}

const PLAIN: &str = "UID 1 MODSEQ 2 LAST_UPDATED 3 FLAGS () INTERNALDATE 4 SIZE 5 GUID \
                     a9993e364706816aba3e25717850c26c9cd0d89d";

fn one(element: &str) -> CommandEvent {
    let input = format!("APPLY MAILBOX %(RECORD ({element}))\r\nNOOP\r\n");
    let events = commands(input.as_bytes());
    assert!(
        matches!(events.last(), Some(CommandEvent::Command(_))),
        "in step behind {input}: {events:?}"
    );
    events[1].clone()
}

fn refused(element: &str) -> Fault {
    match one(element) {
        CommandEvent::Bad(malformed) => malformed.kind,
        other => panic!("{element}: {other:?}"),
    }
}

#[test]
fn every_key_of_a_record_is_required() {
    for key in [
        "UID",
        "MODSEQ",
        "LAST_UPDATED",
        "FLAGS",
        "INTERNALDATE",
        "SIZE",
        "GUID",
    ] {
        let without = PLAIN.replacen(key, "X-OTHER", 1);
        assert_eq!(refused(&format!("%({without})")), Fault::MissingKey(key));
    }
    assert_eq!(refused("x"), Fault::ElementNotKeyed("RECORD"));
    assert_eq!(refused("(x)"), Fault::ElementNotKeyed("RECORD"));
    assert_eq!(
        refused(&format!("%({})", PLAIN.replacen("UID 1", "UID 0", 1))),
        Fault::ZeroUid
    );
    assert_eq!(
        refused(&format!("%({})", PLAIN.replacen("UID 1", "UID 4294967296", 1))),
        Fault::MissingKey("UID")
    );
    assert_eq!(
        refused(&format!("%({})", PLAIN.replacen("SIZE 5", "SIZE -5", 1))),
        Fault::MissingKey("SIZE")
    );
    assert_eq!(
        refused(&format!("%({PLAIN} ANNOTATIONS (x))")),
        Fault::ElementNotKeyed("ANNOTATIONS")
    );
    for key in ["ENTRY", "USERID", "MODSEQ", "VALUE"] {
        let annotation = "ENTRY /comment USERID \"\" MODSEQ 1 VALUE x".replacen(key, "X-OTHER", 1);
        assert_eq!(
            refused(&format!("%({PLAIN} ANNOTATIONS (%({annotation})))")),
            Fault::MissingKey(key)
        );
    }
}

#[test]
fn an_annotation_without_a_value_is_none() {
    for (key, given) in [
        ("ENTRY", "ENTRY /comment"),
        ("USERID", "USERID \"\""),
        ("VALUE", "VALUE x"),
    ] {
        let annotation =
            "ENTRY /comment USERID \"\" MODSEQ 1 VALUE x".replacen(given, &format!("{key} NIL"), 1);
        assert_eq!(
            refused(&format!("%({PLAIN} ANNOTATIONS (%({annotation})))")),
            Fault::MissingKey(key)
        );
    }
}

fn accepted(element: &str) -> Record {
    match one(element) {
        CommandEvent::Record(record) => record,
        other => panic!("{element}: {other:?}"),
    }
}

#[test]
fn flags_are_read_as_cyrus_means_them() {
    let flags = |list: &str| accepted(&format!("%({})", PLAIN.replacen("()", list, 1))).flags;
    let names = |list: &str| {
        flags(list)
            .keywords
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(flags("(\\sEEN \\Deleted)").system.bits(), 32 | 1);
    assert_eq!(names("(NIL \"NIL\" nil)"), ["NIL", "NIL", "nil"]);
    assert_eq!(names("(a \\Unknown B \"\" (c))"), ["a", "B"]);
    assert_eq!(names("scalar"), Vec::<String>::new());
    assert_eq!(names("NIL"), Vec::<String>::new());
}

#[test]
fn the_first_of_two_equal_keys_counts() {
    assert_eq!(accepted(&format!("%(UID 7 {PLAIN})")).uid, 7);
    assert_eq!(refused(&format!("%(UID x {PLAIN})")), Fault::MissingKey("UID"));
}
