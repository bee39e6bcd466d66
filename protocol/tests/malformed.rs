//! The inputs that real replicas reject, hang on or die of, and what is answered here; and every message in words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use std::fmt::Write as _;

use common::{bytewise, commands, commands_in, replies};
use protocol::command::{Command, Get};
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::{Fault, Limits, Malformed, Text, Verb};

const GUID: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

/// What the line says, in short: the typed command, or the fault and the reply.
fn told(event: &CommandEvent) -> String {
    match event {
        CommandEvent::Bad(malformed) | CommandEvent::Fatal(malformed) => {
            let mut encoder = Encoder::new(LiteralStyle::Server);
            encoder.final_line(&malformed.reply());
            let reply = String::from_utf8(encoder.take().to_vec()).expect("ASCII");
            let how = if matches!(event, CommandEvent::Bad(_)) {
                ""
            } else {
                " and close"
            };
            format!("{malformed}\n    -> {}{how}", reply.trim_end())
        }
        CommandEvent::Begin(_) => "Begin".to_owned(),
        CommandEvent::End(_) => "End".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Each input with a NOOP behind it, and what came of it.
fn table(inputs: &[&str]) -> String {
    let mut table = String::new();
    for input in inputs {
        let input = input.replace("GUID40", GUID);
        let sent = format!("{input}NOOP\r\n");
        let events = commands(sent.as_bytes());
        assert_eq!(commands_in(bytewise(sent.as_bytes()), Limits::default()), events);
        let _ = writeln!(table, "{}", input.escape_default());
        for event in &events {
            let _ = writeln!(table, "  {}", told(event));
        }
    }
    table
}

#[test]
fn inputs_that_are_no_good() {
    let table = table(&[
        "\r\n",
        " NOOP\r\n",
        "FOO bar\r\n",
        "noop x\r\n",
        "NOOP {5+}\r\nEXIT\r\n",
        "EXIT now\r\n",
        "RESTART \r\n",
        "STARTTLS 1\r\n",
        "COMPRESS\r\n",
        "COMPRESS DEFLATE 9\r\n",
        "AUTHENTICATE\r\n",
        "AUTHENTICATE (PLAIN)\r\n",
        "AUTHENTICATE PLAIN abc= def\r\n",
        "GET\r\n",
        "GET \r\n",
        "GET FOO\r\n",
        "GET USER\r\n",
        "GET MAILBOXES (a b\r\n",
        "GET USER user1\rx\r\n",
        "GET USER a b\r\n",
        "GET USER a \r\n",
        "GET USER a\"b\r\n",
        "GET USER a(b\r\n",
        "GET USER )\r\n",
        "GET USER \"a\r\n",
        "GET USER {3+}\nabc\r\n",
        "GET USER {3+}abc\r\n",
        "GET USER x{3+}\r\nabc\r\n",
        "GET USER a b {6+}\r\nEXIT\r\n\r\n",
        "GET USER a b %{default GUID40 6}\r\nEXIT\r\n\r\n",
        "GET USER {99999999999+}\r\nabc\r\n",
        "GET (USER user1)\r\n",
        "GET USER %x\r\n",
        "GET USER \u{e9}\r\n",
        "GET USER %{default GUID40 3}\r\nabc\r\n",
        "APPLY MESSAGE (%{default abcd 6}\r\nEXIT\r\n)\r\n",
        "APPLY MESSAGE (%{default GUID40 6+}\r\nabc)\r\n",
        "APPLY MESSAGE ((%{default GUID40 6}\r\nEXIT\r\n))\r\n",
        "APPLY MESSAGE (%{default GUID40 3}\r\nabc\r\n",
        "APPLY MAILBOX %(RECORD %(A b))\r\n",
        "APPLY MAILBOX %(RECORD (%(UID 1)))\r\n",
        "APPLY MAILBOX %(RECORD (%(UID 1) {6+}\r\nEXIT\r\n) X)\r\n",
        "APPLY MAILBOX %(RECORD (x\r\n",
        "APPLY MAILBOX %(RECORD () ANNOTATIONS (%(ENTRY /comment)))\r\n",
        "APPLY MAILBOX %(ANNOTATIONS (x))\r\n",
        "RESTORE MAILBOX %(MBOXNAME a RECORD (%{default GUID40 6}\r\nEXIT\r\n))\r\n",
    ]);
    insta::assert_snapshot!(table);
}

#[test]
fn inputs_that_only_look_bad() {
    let table = table(&[
        "GET FOO bar\r\n",
        "GET USER {3}\r\nabc\r\n",
        "GET USER ()\r\n",
        "GET USER NIL\r\n",
        "GET USER \"\"\r\n",
        "GET USER (user1)\r\n",
        "GET USER %(A b)\r\n",
        "GET MAILBOXES (NIL)\r\n",
        "GET MAILBOXES (())\r\n",
        "GET MAILBOXES a\r\n",
        "GET MAILBOXES %(A b)\r\n",
        "GET UNIQUEIDS (unknown)\r\n",
        "GET META ()\r\n",
        "GET QUOTA ()\r\n",
        "GET ANNOTATION ()\r\n",
        "GET FULLMAILBOX ()\r\n",
        "GET FETCH_SIEVE %(USERID a FILENAME b)\r\n",
        "GET FETCH x\r\n",
        "GET FETCH %(MBOXNAME a PARTITION b UNIQUEID c GUID GUID4 UID 4294967296)\r\n",
        "APPLY RESERVE %(PARTITION NIL MBOXNAME (a) GUID (GUID40))\r\n",
        "APPLY RESERVE %(PARTITION default MBOXNAME a GUID GUID40)\r\n",
        "APPLY RESERVE %(PARTITION default MBOXNAME () GUID (x))\r\n",
        "APPLY EXPUNGE %(MBOXNAME a UNIQUEID b UID (1 x))\r\n",
        "APPLY CAPABILITIES (NIL)\r\n",
        "APPLY CAPABILITIES x\r\n",
        "APPLY SEEN %(USERID NIL UNIQUEID a LASTREAD -1 LASTUID x)\r\n",
        "APPLY UNQUOTA ()\r\n",
        "APPLY SUB %(MBOXNAME NIL USERID NIL)\r\n",
        "APPLY UNMAILBOX ()\r\n",
        "APPLY QUOTA %(ROOT a X-NUM-FOLDERS 1 MAILBOX 2 LIMIT 4294967295)\r\n",
        "APPLY FORCE x\r\n",
        "APPLY MESSAGE x\r\n",
        "APPLY MESSAGE (x NIL)\r\n",
        "APPLY MAILBOX x\r\n",
        "RESTORE MAILBOX %(MBOXNAME a)\r\n",
        "RESTORE FOO x\r\n",
        "c01 capability\r\n",
        "Q01 LOGOUT\r\n",
        "compress Deflate\r\n",
    ]);
    insta::assert_snapshot!(table);
}

#[test]
fn replies_that_are_no_good() {
    let mut table = String::new();
    for input in [
        "what\r\n",
        "\r\n",
        "*\r\n",
        "* \r\n",
        "* Fatal error: [TOOBIG] Word too long\r\n",
        "* MAILBOX\r\n",
        "* MAILBOX (\r\n",
        "* MAILBOX %(RECORD (%(UID 1)))\r\n",
        "* MISSING (x)\r\n",
        "* LSUB (a) b\r\n",
        "* MESSAGE %{default x 3}\r\nabc\r\n",
        "* QUOTA %(ROOT {99999999999}\r\n",
        "C01 BAD x\r\n",
    ] {
        let events = replies(input.as_bytes());
        match events.last() {
            Some(ReplyEvent::Fatal(malformed)) => {
                let _ = writeln!(table, "{}\n  {malformed}", input.escape_default());
            }
            other => panic!("{input}: {other:?}"),
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn replies_of_every_kind() {
    let mut table = String::new();
    for input in [
        "* SASL PLAIN SCRAM-SHA-256\r\n",
        "* STARTTLS\r\n",
        "* OK replica.example Cyrus sync server 3.12.4\r\n",
        "* NEW-THING %(A {2+}\r\nok)\r\n",
        "* NEW-THING (a)\r\n",
        "* BYE going\r\n",
        "BYE shutting down\r\n",
        "ok success\r\n",
        "OK\r\n",
        "OK success\n",
        "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox\r\n",
        "NO IMAP_PROTOCOL_BAD_PARAMETERS\r\n",
        "NO IMAP_NEW_CODE Something\r\n",
        "NO Unknown error\r\n",
        "NO\r\n",
        "BAD IMAP_PROTOCOL_ERROR Unrecognized command\r\n",
        "+ \r\n",
        "+\r\n",
        "+ abc=\r\n",
        "* MESSAGE NIL\r\n",
        "* ENABLED ()\r\n",
        "* LSUB (\"user.a b\" user.c)\r\n",
        "* MISSING (a9993e364706816aba3e25717850c26c9cd0d89d)\r\n",
        "* SIEVE %(FILENAME a.script LAST_UPDATE 7 GUID a9993e364706816aba3e25717850c26c9cd0d89d ISACTIVE 1)\r\n",
        "* SIEVE %(USERID a FILENAME b.script CONTENT {7}\r\nkeep;\r\n)\r\n",
        "* MAILBOX %(UNIQUEID a MBOXNAME b PARTITION NIL ACL NIL)\r\n",
        "* MESSAGE %{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc\r\n",
    ] {
        let _ = writeln!(table, "{}", input.escape_default());
        for event in replies(input.as_bytes()) {
            let _ = writeln!(table, "  {event:?}");
        }
    }
    insta::assert_snapshot!(table);
}

/// Every message, for a person and for a peer.
#[test]
fn every_fault_in_words() {
    let faults = [
        Fault::EmptyLine,
        Fault::UnknownCommand,
        Fault::MissingArgument,
        Fault::ExtraArguments,
        Fault::InvalidMechanism,
        Fault::MissingKeyword,
        Fault::BadKey,
        Fault::MissingValue,
        Fault::UnexpectedClose,
        Fault::UnclosedList,
        Fault::LineEndInQuoted,
        Fault::Nul,
        Fault::TrailingBytes,
        Fault::LoneCr,
        Fault::EightBitStart,
        Fault::BadPercent,
        Fault::BadLiteral,
        Fault::LiteralLineEnd,
        Fault::BadFileHead,
        Fault::FileLineEnd,
        Fault::BadFileGuid,
        Fault::FileOutOfPlace,
        Fault::RecordsKeyed,
        Fault::MissingKey("UID"),
        Fault::ElementNotKeyed("RECORD"),
        Fault::ZeroUid,
        Fault::BadGuid,
        Fault::LineTooLong { max: 100 },
        Fault::ElementTooLong { max: 100 },
        Fault::TooDeep { max: 64 },
        Fault::TooManyEntries { max: 100 },
        Fault::WordTooLong { max: 100 },
        Fault::LiteralTooLong { size: 101, max: 100 },
        Fault::FileTooLong { size: 101, max: 100 },
        Fault::Unskippable,
        Fault::UnknownReply,
        Fault::PeerFatal(Text::from("[TOOBIG] Word too long")),
    ];
    let mut table = String::new();
    for kind in faults {
        let malformed = Malformed {
            at: 12,
            verb: Some(Verb::Apply),
            kind,
        };
        let without = Malformed {
            verb: None,
            ..malformed.clone()
        };
        let _ = writeln!(
            table,
            "{malformed}\n  {}\n  {}",
            malformed.reply_text(),
            without.reply_text()
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn sasl_lines_come_raw() {
    let mut decoder = protocol::decode::CommandDecoder::new(Limits::default());
    decoder.push(bytes::Bytes::from_static(b"AUTHENTICATE PLAIN\r\nAHVz"));
    assert!(matches!(
        decoder.poll(),
        CommandEvent::Command(Command::Authenticate { .. })
    ));
    decoder.set_raw_lines(true);
    assert_eq!(decoder.poll(), CommandEvent::NeedMore);
    decoder.push(bytes::Bytes::from_static(b"ZXI=\r\n*\n\r\nGET USER a\r\n"));
    assert_eq!(decoder.poll(), CommandEvent::Raw((&b"AHVzZXI="[..]).into()));
    assert_eq!(decoder.poll(), CommandEvent::Raw((&b"*"[..]).into()));
    assert_eq!(decoder.poll(), CommandEvent::Raw((&b""[..]).into()));
    decoder.set_raw_lines(false);
    let user = Command::Get(Get::User(Some(Text::from("a"))));
    assert_eq!(decoder.poll(), CommandEvent::Command(user));
    assert_eq!(decoder.poll(), CommandEvent::NeedMore);
}

#[test]
fn what_is_not_consumed_can_be_taken_back() {
    let mut decoder = protocol::decode::CommandDecoder::new(Limits::default());
    decoder.push(bytes::Bytes::from_static(b"COMPRESS DEFLATE\r\nGET US"));
    decoder.push(bytes::Bytes::from_static(b"ER {3+}\r\na"));
    assert!(matches!(
        decoder.poll(),
        CommandEvent::Command(Command::Compress { .. })
    ));
    assert!(decoder.has_buffered());
    assert_eq!(decoder.poll(), CommandEvent::NeedMore);
    assert_eq!(decoder.take_buffered().as_ref(), b"GET USER {3+}\r\na");
    assert!(!decoder.has_buffered());
    decoder.push(bytes::Bytes::from_static(b"NOOP\r\n"));
    assert_eq!(decoder.poll(), CommandEvent::Command(Command::Noop));
}
