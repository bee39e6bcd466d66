//! Every limit from both sides: what just fits is taken, what does not is refused, and the next line is read.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::{bytewise, commands_in, replies_in};
use protocol::command::{Command, Get};
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::{Fault, Limits};

const NOOP: CommandEvent = CommandEvent::Command(Command::Noop);

/// The events of a line and of a NOOP behind it, which must be read; the same byte by byte.
fn events(line: &[u8], limits: &Limits) -> Vec<CommandEvent> {
    let input = [line, b"NOOP\r\n"].concat();
    let mut events = commands_in([&input], limits.clone());
    assert_eq!(commands_in(bytewise(&input), limits.clone()), events);
    assert_eq!(events.pop(), Some(NOOP), "in step behind {}", line.escape_ascii());
    events
}

#[track_caller]
fn fits(line: &[u8], limits: &Limits) {
    let events = events(line, limits);
    let refused = events
        .iter()
        .any(|event| matches!(event, CommandEvent::Bad(_) | CommandEvent::Fatal(_)));
    assert!(!events.is_empty() && !refused, "{events:?}");
}

#[track_caller]
fn refused(line: &[u8], limits: &Limits, kind: Fault, at: u64) {
    let events = events(line, limits);
    match events.last() {
        Some(CommandEvent::Bad(malformed)) => assert_eq!((&malformed.kind, malformed.at), (&kind, at)),
        other => panic!("{other:?}"),
    }
    let bads = events
        .iter()
        .filter(|event| matches!(event, CommandEvent::Bad(_)))
        .count();
    assert_eq!(bads, 1, "{events:?}");
}

#[test]
fn line_bytes() {
    let limits = Limits {
        line_bytes_max: 20,
        ..Limits::default()
    };
    fits(b"GET USER 901234567\r\n", &limits);
    refused(
        b"GET USER 9012345678\r\n",
        &limits,
        Fault::LineTooLong { max: 20 },
        20,
    );
    fits(b"COMPRESS 901234567\r\n", &limits);
    refused(
        b"COMPRESS 9012345678\r\n",
        &limits,
        Fault::LineTooLong { max: 20 },
        20,
    );
    refused(
        b"GET USER {4+}\r\n5678\r\n",
        &limits,
        Fault::LineTooLong { max: 20 },
        20,
    );
    fits(b"GET USER {3+}\r\n567\r\n", &limits);
    refused(
        b"GET USER {6+}\r\nNOOP\r\n\r\n",
        &limits,
        Fault::LineTooLong { max: 20 },
        14,
    );
}

#[test]
fn depth() {
    let limits = Limits {
        depth_max: 3,
        ..Limits::default()
    };
    fits(b"GET USER ((()))\r\n", &limits);
    refused(b"GET USER (((())))\r\n", &limits, Fault::TooDeep { max: 3 }, 12);
    fits(b"GET USER %(a (%(b c)))\r\n", &limits);
    refused(
        b"GET USER %(a (%(b ())))\r\n",
        &limits,
        Fault::TooDeep { max: 3 },
        18,
    );
    let deep = [
        b"GET USER ".as_slice(),
        &b"(".repeat(64),
        &b")".repeat(64),
        b"\r\n",
    ]
    .concat();
    fits(&deep, &Limits::default());
    let deep = [b"GET USER ".as_slice(), &b"(".repeat(100_000), b"\r\n"].concat();
    refused(&deep, &Limits::default(), Fault::TooDeep { max: 64 }, 73);
}

#[test]
fn list_entries() {
    let limits = Limits {
        list_entries_max: 4,
        ..Limits::default()
    };
    fits(b"GET MAILBOXES (a b c)\r\n", &limits);
    refused(
        b"GET MAILBOXES (a b c d)\r\n",
        &limits,
        Fault::TooManyEntries { max: 4 },
        21,
    );
    fits(b"GET FETCH %(a b)\r\n", &limits);
    refused(
        b"GET FETCH %(a b c d e f)\r\n",
        &limits,
        Fault::TooManyEntries { max: 4 },
        18,
    );
    let limits = Limits {
        list_entries_max: 1_000,
        ..Limits::default()
    };
    let many = [b"APPLY MESSAGE (".as_slice(), &b"x ".repeat(5_000), b")\r\n"].concat();
    fits(&many, &limits);
}

#[test]
fn word_bytes() {
    let limits = Limits {
        word_bytes_max: 5,
        ..Limits::default()
    };
    fits(b"GET USER 12345\r\n", &limits);
    refused(b"GET USER 123456\r\n", &limits, Fault::WordTooLong { max: 5 }, 14);
    fits(b"GET USER \"12345\"\r\n", &limits);
    refused(
        b"GET USER \"123456\"\r\n",
        &limits,
        Fault::WordTooLong { max: 5 },
        15,
    );
    fits(b"GET USER \"\\\"\\\"345\"\r\n", &limits);
    refused(
        b"GET USER \"\\\"\\\"345\\6\"\r\n",
        &limits,
        Fault::WordTooLong { max: 5 },
        18,
    );
    fits(b"GET USER {6+}\r\n123456\r\n", &limits);
    let word = |len: usize| [b"GET USER ".as_slice(), &vec![b'x'; len], b"\r\n"].concat();
    fits(&word(131_072), &Limits::default());
    refused(
        &word(131_073),
        &Limits::default(),
        Fault::WordTooLong { max: 131_072 },
        9 + 131_072,
    );
}

#[test]
fn literal_bytes() {
    let limits = Limits {
        literal_bytes_max: 4,
        ..Limits::default()
    };
    fits(b"GET USER {4+}\r\nabcd\r\n", &limits);
    let too_long = |size| Fault::LiteralTooLong { size, max: 4 };
    refused(b"GET USER {5+}\r\nabcde\r\n", &limits, too_long(5), 14);
    refused(
        b"GET USER {6+}\r\nEXIT\r\n {6}\r\nEXIT\r\n\r\n",
        &limits,
        too_long(6),
        14,
    );
    let literal = |len: usize| {
        [
            format!("GET USER {{{len}+}}\r\n").as_bytes(),
            &vec![b'x'; len],
            b"\r\n",
        ]
        .concat()
    };
    let taken = commands_in([literal(1 << 20)], Limits::default());
    assert!(
        matches!(&taken[..], [CommandEvent::Command(Command::Get(Get::User(Some(name))))] if name.len() == 1 << 20)
    );
}

/// [CS-LIMIT-6]
#[test]
fn a_size_beyond_32_bits_ends_the_connection() {
    for line in [
        "GET USER {4294967296+}\r\n",
        "APPLY MESSAGE (%{default {40}\r\n",
        "NOOP x {4294967296}\r\n",
    ] {
        let line = line.replace(
            "{40}\r\n",
            "a9993e364706816aba3e25717850c26c9cd0d89d 4294967296}\r\n",
        );
        let events = commands_in([line], Limits::default());
        match events.last() {
            Some(CommandEvent::Fatal(malformed)) => assert_eq!(malformed.kind, Fault::Unskippable),
            other => panic!("{other:?}"),
        }
    }
    let limits = Limits {
        literal_bytes_max: u64::MAX,
        ..Limits::default()
    };
    let events = commands_in([b"GET USER {4294967295+}\r\n"], limits);
    assert!(
        matches!(&events[..], [CommandEvent::Bad(bad)] if bad.kind == Fault::LineTooLong { max: 32 << 20 })
    );
}

#[test]
fn element_bytes() {
    let guid = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let element = |size: &str| {
        format!("%(UID 1 MODSEQ 2 LAST_UPDATED 3 FLAGS () INTERNALDATE 4 SIZE {size} GUID {guid})")
    };
    let line = |elements: &[String]| format!("APPLY MAILBOX %(RECORD ({}))\r\n", elements.join(" "));
    let max = element("5").len();
    // The blank before an element counts as its own.
    let limits = Limits {
        element_bytes_max: max + 1,
        ..Limits::default()
    };
    fits(line(&vec![element("5"); 50]).as_bytes(), &limits);
    let long = line(&[element("5"), element("51"), element("5")]);
    let at = "APPLY MAILBOX %(RECORD (".len() + max + 1 + max;
    refused(
        long.as_bytes(),
        &limits,
        Fault::ElementTooLong { max: max + 1 },
        at as u64,
    );
}

#[test]
fn file_bytes() {
    let limits = Limits {
        file_bytes_max: 3,
        ..Limits::default()
    };
    let guid = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let line = |size: usize, body: &str| format!("APPLY MESSAGE (%{{default {guid} {size}}}\r\n{body})\r\n");
    fits(line(3, "abc").as_bytes(), &limits);
    refused(
        line(6, "NOOP\r\n").as_bytes(),
        &limits,
        Fault::FileTooLong { size: 6, max: 3 },
        69,
    );
    let second = line(3, "abc").replace(
        ")\r\n",
        &format!(" %{{default {guid} 6}}\r\nNOOP\r\n %{{default {guid} 6}}\nNOOP\r\n)\r\n"),
    );
    let at = (second.find("6}").expect("a size") + 3) as u64;
    refused(
        second.as_bytes(),
        &limits,
        Fault::FileTooLong { size: 6, max: 3 },
        at,
    );
}

/// Spaces behind a name that is not known tell nothing yet, and count all the same: a peer that sends nothing else is not
/// listened to for ever. [CS-LIMIT-6]
#[test]
fn spaces_that_tell_nothing_yet() {
    let limits = Limits {
        line_bytes_max: 20,
        ..Limits::default()
    };
    let spaces = " ".repeat(40);
    for rest in ["", "more\r\n", "(more)\r\n", "\r\n"] {
        let line = format!("* ENABLE{spaces}{rest}");
        for piece in 1..=line.len() {
            let events = replies_in(line.as_bytes().chunks(piece), limits.clone());
            let ReplyEvent::Fatal(malformed) = &events[0] else {
                panic!("{rest:?} in pieces of {piece}: {events:?}")
            };
            assert_eq!(
                (&malformed.kind, malformed.at),
                (&Fault::LineTooLong { max: 20 }, 20)
            );
            assert_eq!(events.len(), 1, "{events:?}");
        }
    }
    let fits = format!("* ENABLE{}more\r\n", " ".repeat(6));
    assert!(matches!(replies_in([fits], limits)[..], [ReplyEvent::Data(_)]));
}
