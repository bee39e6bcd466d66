//! The log of changes: every keyword, every fault, and reading back what was written. [CS-LOG-5] [CS-LOG-6] [CS-LOG-7]

use proptest::prelude::*;
use protocol::Text;
use protocol::synclog::{ARGUMENT_BYTES_MAX, Action, LINE_BYTES_MAX, Lines, Reason, Unprintable, parse_line};

fn printed(action: &Action) -> String {
    let mut line = Vec::new();
    action.print(&mut line).expect("printable");
    String::from_utf8(line).expect("UTF-8")
}

fn mailbox(name: &str) -> Action {
    Action::Mailbox(Text::from(name))
}

fn fault(line: &[u8]) -> (Reason, usize) {
    let bad = parse_line(line).expect_err("bad");
    (bad.reason, bad.at)
}

#[test]
fn every_keyword_in_any_case() {
    let x = || Text::from("x");
    let y = || Text::from("y");
    let table = [
        ("MAILBOX x", Action::Mailbox(x())),
        ("append x", Action::Mailbox(x())),
        ("DoubleMailbox x y", Action::DoubleMailbox(x(), y())),
        ("RENAME x y", Action::Rename { from: x(), to: y() }),
        ("UNMAILBOX x", Action::Unmailbox(x())),
        ("QUOTA x", Action::Quota(x())),
        ("ANNOTATION x", Action::Annotation(x())),
        ("ANNOTATION \"\"", Action::Annotation(Text::EMPTY)),
        (
            "SEEN x y",
            Action::Seen {
                user: x(),
                uniqueid: y(),
            },
        ),
        (
            "SUB x y",
            Action::Subscription {
                user: x(),
                mailbox: y(),
            },
        ),
        (
            "UNSUB x y",
            Action::Subscription {
                user: x(),
                mailbox: y(),
            },
        ),
        ("META x", Action::Meta(x())),
        ("SIEVE x", Action::Meta(x())),
        ("USER x", Action::User(x())),
        ("unuser x", Action::Unuser(x())),
    ];
    for (line, action) in table {
        assert_eq!(parse_line(line.as_bytes()), Ok(Some(action)), "{line}");
    }
}

#[test]
fn quoting_is_cyrus_s() {
    for (name, line) in [
        ("user.a", "MAILBOX user.a\n"),
        ("user.a b", "MAILBOX \"user.a b\"\n"),
        ("a\tb", "MAILBOX \"a\tb\"\n"),
        ("a(b", "MAILBOX \"a(b\"\n"),
        ("a)b", "MAILBOX \"a)b\"\n"),
        ("a\"b", "MAILBOX \"a\\\"b\"\n"),
        ("a\\b", "MAILBOX \"a\\\\b\"\n"),
        ("a{b}", "MAILBOX \"a\\{b\\}\"\n"),
        ("a%d%s*", "MAILBOX a%d%s*\n"),
        ("ä", "MAILBOX ä\n"),
    ] {
        assert_eq!(printed(&mailbox(name)), line);
    }
    assert_eq!(printed(&Action::Annotation(Text::EMPTY)), "ANNOTATION \"\"\n");
}

#[test]
fn what_no_line_can_hold_is_refused_and_leaves_nothing() {
    let mut line = b"before".to_vec();
    for bad in ["a\nb", "a\rb"] {
        assert!(matches!(
            mailbox(bad).print(&mut line),
            Err(Unprintable::LineEnd { .. })
        ));
    }
    assert!(matches!(
        mailbox("a\0b").print(&mut line),
        Err(Unprintable::Nul { .. })
    ));
    let long = "x".repeat(ARGUMENT_BYTES_MAX + 1);
    assert!(matches!(
        mailbox(&long).print(&mut line),
        Err(Unprintable::TooLong { .. })
    ));
    assert_eq!(line, b"before");
    mailbox(&long[1..]).print(&mut line).unwrap();
    assert_eq!(
        parse_line(&line[6..line.len() - 1]),
        Ok(Some(mailbox(&long[1..])))
    );
}

#[test]
fn every_fault_has_its_reason_and_its_byte() {
    for (line, reason, at) in [
        (&b"NONSENSE x"[..], Reason::UnknownAction, 0),
        (b"MAILBOX", Reason::MissingArgument, 7),
        (b"MAILBOX   ", Reason::MissingArgument, 10),
        (b"SEEN x", Reason::MissingArgument, 6),
        (b"MAILBOX x y", Reason::SurplusArgument, 9),
        (b"SUB x y z", Reason::SurplusArgument, 7),
        (b"MAILBOX \"x", Reason::UnclosedQuote, 8),
        (b"MAILBOX \"x\\", Reason::UnclosedQuote, 8),
        (b"MAILBOX \"x\"y", Reason::UnexpectedByte, 11),
        (b"MAILBOX x\"y\"", Reason::UnexpectedByte, 9),
        (b"MAILBOX (x)", Reason::UnexpectedByte, 8),
        (b"MAILBOX )", Reason::UnexpectedByte, 8),
        (b"MAILBOX a\0b", Reason::UnexpectedByte, 9),
        (b"MAILBOX \"\"", Reason::EmptyName, 8),
        (b"SUB x \"\"", Reason::EmptyName, 6),
        (b"MAILBOX {3}", Reason::BadLiteral, 8),
        (b"MAILBOX {99999999999999999999}", Reason::BadLiteral, 8),
        (b"\0MAILBOX x", Reason::UnexpectedByte, 0),
    ] {
        assert_eq!(fault(line), (reason, at), "{}", line.escape_ascii());
    }
    let long = [b"MAILBOX ", "x".repeat(ARGUMENT_BYTES_MAX + 1).as_bytes()].concat();
    assert_eq!(fault(&long), (Reason::TooLong, 8));
    let long = "MAILBOX".to_owned() + &" ".repeat(LINE_BYTES_MAX);
    assert_eq!(fault(long.as_bytes()), (Reason::TooLong, LINE_BYTES_MAX));
    assert_eq!(
        parse_line(b"MAILBOX \"x").unwrap_err().to_string(),
        "\"MAILBOX \\\"x\": the closing quote is missing at byte 8"
    );
}

/// [CS-LOG-7] [CS-LOG-8]
#[test]
fn a_bad_line_stays_alone_and_the_unfinished_one_waits() {
    let log = b"MAILBOX a\r\n\n  \nMAILBOX \"open\nMAILBOX ()\nODD 1\nMAILBOX {500}\nSEEN {1}\r\nu {2+}\nid\nMAILBOX {3}\nabc\nMAILBOX b\nMAILBOX {9}\nUSER";
    let mut lines = Lines::new(log);
    let read: Vec<_> = lines.by_ref().collect();
    let good: Vec<_> = read
        .iter()
        .filter_map(|line| line.as_ref().ok().cloned())
        .collect();
    let seen = Action::Seen {
        user: Text::from("u"),
        uniqueid: Text::from("id"),
    };
    assert_eq!(good, [mailbox("a"), seen, mailbox("abc"), mailbox("b")]);
    assert_eq!(read.iter().filter(|line| line.is_err()).count(), 5);
    assert_eq!(lines.rest(), b"USER");
}

fn any_text() -> impl Strategy<Value = Text> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b" \t()\"\\{}%*.1+".to_vec()),];
    prop::collection::vec(
        byte.prop_filter("no end", |b| !matches!(b, b'\r' | b'\n' | 0)),
        1..20,
    )
    .prop_map(Text::from)
}

fn any_action() -> impl Strategy<Value = Action> {
    (0..12usize, any_text(), any_text()).prop_map(|(which, one, other)| match which {
        0 => Action::Mailbox(one),
        1 => Action::DoubleMailbox(one, other),
        2 => Action::Rename { from: one, to: other },
        3 => Action::Unmailbox(one),
        4 => Action::Quota(one),
        5 => Action::Annotation(one),
        6 => Action::Annotation(Text::EMPTY),
        7 => Action::Seen {
            user: one,
            uniqueid: other,
        },
        8 => Action::Subscription {
            user: one,
            mailbox: other,
        },
        9 => Action::Meta(one),
        10 => Action::User(one),
        _ => Action::Unuser(one),
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(actions in prop::collection::vec(any_action(), 0..10)) {
        let mut log = Vec::new();
        for action in &actions {
            action.print(&mut log).unwrap();
        }
        let mut lines = Lines::new(&log);
        let read: Vec<Action> = lines.by_ref().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(read, actions);
        prop_assert!(lines.rest().is_empty());
    }

    /// Whatever stands between two good lines, they are read; only a literal may take one in.
    #[test]
    fn any_bytes_are_read_to_the_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lines = Lines::new(&bytes);
        let count = lines.by_ref().count();
        prop_assert!(count <= bytes.len());
        prop_assert!(!lines.rest().contains(&b'\n'));
        if !bytes.contains(&b'{') {
            let around = [b"USER first\n", &bytes[..], b"\nUSER last\n"].concat();
            let read: Vec<_> = Lines::new(&around).filter_map(Result::ok).collect();
            prop_assert_eq!(read.first(), Some(&Action::User(Text::from("first"))));
            prop_assert_eq!(read.last(), Some(&Action::User(Text::from("last"))));
        }
    }
}

/// Quoting, argument by argument.
#[test]
fn quoting_is_taken_back() {
    fn law(bytes: Vec<u8>) -> quickcheck::TestResult {
        let action = Action::Annotation(Text::from(bytes));
        let mut line = Vec::new();
        if action.print(&mut line).is_err() {
            return quickcheck::TestResult::discard();
        }
        let end = line.len() - 1;
        quickcheck::TestResult::from_bool(line[end] == b'\n' && parse_line(&line[..end]) == Ok(Some(action)))
    }
    quickcheck::quickcheck(law as fn(Vec<u8>) -> quickcheck::TestResult);
}
