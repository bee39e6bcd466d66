//! Malformed input: each line gets one clear answer, nothing hangs, and the connection goes on in step.

mod support;

use engine::flow::Input;
use proptest::prelude::*;
use store::memory::MemoryStore;
use support::{guid, keys, record, replica, state, upload};

const BADP: &str = "NO IMAP_PROTOCOL_BAD_PARAMETERS ";
const PARSE_GET: &str = "BAD IMAP_PROTOCOL_ERROR Failed to parse GET line";
const PARSE_APPLY: &str = "BAD IMAP_PROTOCOL_ERROR Failed to parse APPLY line";

/// The line, and how its answer begins. Where Cyrus hangs or dies there is an answer here.
const ROWS: &[(&str, &str)] = &[
    ("GET", PARSE_GET),
    ("GET ", PARSE_GET),
    ("GET FOO", PARSE_GET),
    ("GET USER", PARSE_GET),
    ("GET USER a b", PARSE_GET),
    ("GET USER a ", PARSE_GET),
    ("GET USER a\"b", PARSE_GET),
    ("GET USER a(b", PARSE_GET),
    ("GET USER )", PARSE_GET),
    ("GET USER \"a", PARSE_GET),
    ("GET MAILBOXES (a b", PARSE_GET),
    ("GET (USER user1)", PARSE_GET),
    ("GET FOO bar", "NO IMAP_PROTOCOL_ERROR unknown keyword"),
    ("GET USER ()", BADP),
    ("GET USER NIL", BADP),
    ("GET USER \"\"", "OK success"),
    ("GET USER (user1)", BADP),
    ("GET USER %(A b)", BADP),
    ("GET MAILBOXES (NIL)", "OK success"),
    ("GET MAILBOXES (())", "OK success"),
    ("GET UNIQUEIDS (unknown)", "OK success"),
    ("GET META ()", BADP),
    ("GET QUOTA ()", BADP),
    ("GET ANNOTATION ()", BADP),
    ("GET FULLMAILBOX ()", BADP),
    (
        "GET FETCH_SIEVE %(USERID jane FILENAME x)",
        "NO IMAP_MAILBOX_NONEXISTENT ",
    ),
    ("GET FETCH ()", BADP),
    ("APPLY", PARSE_APPLY),
    ("APPLY MESSAGE x", "OK success"),
    ("APPLY MESSAGE (%{default abcd 3}\r\nabc)", PARSE_APPLY),
    ("APPLY RESERVE %(PARTITION NIL MBOXNAME () GUID ())", BADP),
    ("APPLY RESERVE %(PARTITION default MBOXNAME () GUID (xyz))", BADP),
    ("APPLY RESERVE ()", BADP),
    ("APPLY CAPABILITIES (NIL)", "* ENABLED ()\nOK success"),
    ("APPLY CAPABILITIES ()", "* ENABLED ()\nOK success"),
    (
        "APPLY SEEN %(USERID NIL UNIQUEID a LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1)",
        BADP,
    ),
    ("APPLY SEEN NIL", BADP),
    ("APPLY UNQUOTA ()", BADP),
    ("APPLY UNMAILBOX ()", BADP),
    ("APPLY UNUSER ()", BADP),
    ("APPLY SUB %(MBOXNAME NIL USERID NIL)", BADP),
    ("APPLY SIEVE ()", BADP),
    ("APPLY UNSIEVE ()", BADP),
    ("APPLY ACTIVATE_SIEVE ()", BADP),
    ("APPLY UNACTIVATE_SIEVE ()", BADP),
    ("APPLY QUOTA ()", BADP),
    ("APPLY RENAME ()", BADP),
    ("APPLY EXPUNGE ()", BADP),
    ("APPLY ANNOTATION ()", BADP),
    ("APPLY UNANNOTATION ()", BADP),
    ("APPLY MAILBOX ()", BADP),
    ("APPLY MAILBOX NIL", BADP),
    ("APPLY MAILBOX %()", BADP),
    ("RESTORE MAILBOX %(MBOXNAME user.jane)", BADP),
    ("RESTORE MAILBOX ()", BADP),
    ("XYZZY", "BAD IMAP_PROTOCOL_ERROR Unrecognized command"),
    ("", "BAD Null command"),
    ("NOOP x", "BAD Unexpected extra arguments to Noop"),
    ("AUTHENTICATE", "BAD Missing required argument to Authenticate"),
    ("COMPRESS", "BAD Missing required argument to Compress"),
];

/// The rows, and those that hold GUIDs and whole lines.
fn table() -> Vec<(String, &'static str)> {
    let keys = keys("user.jane", "id1", 0, 1);
    let mut table: Vec<(String, &'static str)> = ROWS
        .iter()
        .map(|(line, answer)| ((*line).to_owned(), *answer))
        .collect();
    table.push((
        format!("APPLY MESSAGE (%{{nowhere {} 3}}\r\nabc)", guid(b"abc")),
        "NO unknown partition nowhere",
    ));
    table.push((
        format!("APPLY MAILBOX %(MBOXTYPE ? {keys} RECORD ())"),
        "NO MBOXTYPE has the unknown letter ?",
    ));
    // [CS-MBOX-30]
    table.push((
        format!("APPLY MAILBOX %({keys} RECORD (%(UID 1)))"),
        "NO IMAP_PROTOCOL_ERROR ",
    ));
    table.push((
        format!("APPLY MAILBOX %({keys} RECORD (%(UID 1 MODSEQ 1"),
        PARSE_APPLY,
    ));
    table
}

/// [CS-CONN-19] [CS-CONN-20] [CS-CONN-21] [CS-CONN-22] [CS-CONN-23] [CS-EXC-1] [CS-EXC-3] [CS-EXC-10] [CS-EXC-19]
#[test]
fn each_line_gets_its_answer_and_the_next_one_too() {
    for (line, expected) in table() {
        let store = MemoryStore::new();
        let mut driver = replica(&store);
        driver.feed(format!("{line}\r\n").as_bytes());
        let answer = driver.take();
        assert!(
            answer.starts_with(expected),
            "{line:?}\n got {answer:?}\nwant {expected:?}"
        );
        assert!(answer.ends_with('\n'));
        driver.feed(b"NOOP\r\n");
        assert_eq!(driver.take(), "OK Noop completed\n", "behind {line:?}");
        assert_eq!(
            state(&store, &["jane"]),
            "OK success\nOK success\nOK success\n",
            "{line:?} leaves nothing"
        );
    }
}

#[test]
fn cutting_the_input_anywhere_changes_nothing() {
    for (line, _) in table() {
        let whole = {
            let mut driver = replica(&MemoryStore::new());
            driver.feed(format!("{line}\r\nNOOP\r\n").as_bytes());
            driver.take()
        };
        let mut driver = replica(&MemoryStore::new());
        for byte in format!("{line}\r\nNOOP\r\n").bytes() {
            driver.feed(&[byte]);
        }
        assert_eq!(driver.take(), whole, "{line:?}");
    }
}

#[test]
fn a_line_that_turns_bad_behind_its_records_is_rolled_back() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    driver.feed(format!("{}\r\n", upload(&["body"])).as_bytes());
    driver.take();
    let records: Vec<String> = (1..=1100).map(|uid| record(uid, 5, "", "body")).collect();
    let keys = keys("user.jane", "id1", 1100, 5);
    driver.feed(format!("APPLY MAILBOX %({keys} RECORD ({}) x\r\n", records.join(" ")).as_bytes());
    let answer = driver.take();
    assert!(
        answer.starts_with("BAD IMAP_PROTOCOL_ERROR Failed to parse APPLY line"),
        "{answer}"
    );
    driver.feed(b"NOOP\r\n");
    assert_eq!(driver.take(), "OK Noop completed\n");
    assert!(driver.asked.contains(&"Write"), "some of it had been written");
    assert_eq!(state(&store, &["jane"]), "OK success\nOK success\nOK success\n");
}

#[test]
fn a_peer_that_goes_away_in_the_middle_leaves_nothing() {
    let line = format!(
        "{}\r\nAPPLY MAILBOX %({} RECORD ({}))\r\n",
        upload(&["body"]),
        keys("user.jane", "id1", 1, 5),
        record(1, 5, "", "body")
    );
    for cut in 0..line.len() {
        let store = MemoryStore::new();
        let mut driver = replica(&store);
        driver.feed(&line.as_bytes()[..cut]);
        driver.input(Input::Eof);
        assert!(driver.closed, "cut at {cut}");
        assert_eq!(
            state(&store, &["jane"]),
            "OK success\nOK success\nOK success\n",
            "cut at {cut}"
        );
    }
}

/// A change of a byte stream, places taken modulo its length.
#[derive(Clone, Debug)]
enum Damage {
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0usize..100_000;
    let bytes: Vec<&[u8]> = vec![
        b"(",
        b")",
        b"%(",
        b"%{",
        b"{5+}\r\n",
        b"\r\n",
        b"\n",
        b"\"",
        b"\\",
        b" ",
        b"NIL",
        b"\0",
        b"\xff",
        b"4294967296",
    ];
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (place.clone(), proptest::sample::select(bytes)).prop_map(|(at, b)| Damage::Insert(at, b.to_vec())),
        (place.clone(), 1usize..40).prop_map(|(at, len)| Damage::Remove(at, len)),
        (place, 1usize..300).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ]
}

fn apply(input: &mut Vec<u8>, damage: &Damage) {
    let size = input.len().max(1);
    match damage {
        Damage::Replace(at, byte) => input[at % size] = *byte,
        Damage::Insert(at, bytes) => {
            input.splice(at % size..at % size, bytes.iter().copied());
        }
        Damage::Remove(at, len) => {
            let from = at % size;
            input.drain(from..(from + len).min(size));
        }
        Damage::Repeat(at, len) => {
            let from = at % size;
            let part = input[from..(from + len).min(size)].to_vec();
            input.splice(from..from, part);
        }
    }
    if input.is_empty() {
        input.push(b'x');
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever arrives, the replica answers, waits for more or closes with a reason, and is done when the peer is.
    #[test]
    fn damaged_sessions_end_in_order(damages in proptest::collection::vec(damage(), 1..8)) {
        let lines = [
            upload(&["one", "two"]),
            support::mailbox("user.jane", "id1", 2, 5, &[record(1, 2, "", "one"), record(2, 3, "\\Seen a", "two")]),
            "APPLY SUB %(MBOXNAME user.jane USERID jane)".to_owned(),
            "GET USER jane".to_owned(),
            "GET FULLMAILBOX user.jane".to_owned(),
            "RESTORE MAILBOX %(MBOXNAME user.jane RECORD ())".to_owned(),
            "APPLY RENAME %(OLDMBOXNAME user.jane NEWMBOXNAME user.jane.x PARTITION default)".to_owned(),
            "APPLY UNUSER jane".to_owned(),
        ];
        let mut input: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
        damages.iter().for_each(|damage| apply(&mut input, damage));
        let store = MemoryStore::new();
        let mut driver = replica(&store);
        for chunk in input.chunks(97) {
            if !driver.closed {
                driver.feed(chunk);
            }
        }
        if !driver.closed {
            prop_assert!(driver.waiting.is_some_and(|waiting| waiting.for_input && !waiting.for_store));
            driver.input(Input::Eof);
        }
        prop_assert!(driver.closed);
        let text = driver.take();
        for line in text.lines().filter(|line| !line.starts_with("* ")) {
            let known = ["OK ", "NO ", "BAD "].iter().any(|word| line.starts_with(word));
            let is_probe = line.ends_with(" BAD this is a replication server, not an IMAP server");
            prop_assert!(known || is_probe || text.contains("{"), "{}", line);
        }
    }
}
