//! Whatever arrives: no panic, always progress, and the same answer however it is cut.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::{bytewise, commands, commands_in, cut, replies, replies_in};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::command::Command;
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::grammar::parse_line;
use protocol::{Fault, Limits};

/// Pieces of which lines, good and bad, are made.
const TOKENS: &[&[u8]] = &[
    b"(",
    b")",
    b"%(",
    b"%{default ",
    b"da39a3ee5e6b4b0d3255bfef95601890afd80709 ",
    b"0}\r\n",
    b"3}\r\n",
    b"\"",
    b"\"a b\"",
    b"\\",
    b"\\Seen",
    b"%",
    b"{",
    b"{2+}\r\n",
    b"{1}\r\n",
    b"{0+}\n",
    b"}",
    b" ",
    b" ",
    b"\t",
    b"a",
    b"NIL",
    b"RECORD ",
    b"UID 1 ",
    b"12",
    b"\0",
    b"\x80",
    b"\xff",
    b"\r",
    b"\n",
    b"\r\n",
    b"*",
    b"+",
];

/// How lines begin.
const STARTS: &[&[u8]] = &[
    b"",
    b"GET X ",
    b"GET ",
    b"APPLY MESSAGE ",
    b"APPLY MESSAGE (",
    b"APPLY MAILBOX %(",
    b"APPLY MAILBOX %(RECORD (",
    b"RESTORE LOCAL_MAILBOX %(A b RECORD (",
    b"NOOP",
    b"AUTHENTICATE ",
    b"C01 ",
    b"* MAILBOX %(RECORD (",
    b"* MESSAGE ",
    b"* X ",
    b"* ",
    b"NO ",
    b"+ ",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        prop::sample::select(STARTS),
        vec(prop::sample::select(TOKENS), 0..12),
        any::<bool>(),
    );
    let line = line.prop_map(|(start, tokens, ended)| {
        let end: &[u8] = if ended { b"\r\n" } else { b"" };
        [start, &tokens.concat(), end].concat()
    });
    vec(line, 1..4).prop_map(|lines| lines.concat())
}

/// Small limits, so that they are met.
fn small() -> Limits {
    Limits {
        line_bytes_max: 60,
        depth_max: 3,
        list_entries_max: 8,
        word_bytes_max: 7,
        literal_bytes_max: 20,
        element_bytes_max: 30,
        file_bytes_max: 2,
    }
}

fn check_commands(input: &[u8], points: &[usize], limits: Limits) -> Result<(), TestCaseError> {
    let events = commands_in([input], limits.clone());
    prop_assert!(
        events.len() <= 2 * input.len() + 2,
        "{} events of {} bytes",
        events.len(),
        input.len()
    );
    prop_assert_eq!(&commands_in(bytewise(input), limits.clone()), &events);
    prop_assert_eq!(&commands_in(cut(input, points), limits), &events);
    Ok(())
}

fn check_replies(input: &[u8], points: &[usize], limits: Limits) -> Result<(), TestCaseError> {
    let events = replies_in([input], limits.clone());
    prop_assert!(
        events.len() <= 2 * input.len() + 2,
        "{} events of {} bytes",
        events.len(),
        input.len()
    );
    prop_assert_eq!(&replies_in(bytewise(input), limits.clone()), &events);
    prop_assert_eq!(&replies_in(cut(input, points), limits), &events);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn bytes(input in vec(any::<u8>(), 0..200), points in vec(any::<usize>(), 0..6)) {
        check_commands(&input, &points, Limits::default())?;
        check_replies(&input, &points, Limits::default())?;
    }

    #[test]
    fn tokens(input in soup(), points in vec(any::<usize>(), 0..6)) {
        check_commands(&input, &points, Limits::default())?;
        check_replies(&input, &points, Limits::default())?;
    }

    #[test]
    fn tokens_under_small_limits(input in soup(), points in vec(any::<usize>(), 0..6)) {
        check_commands(&input, &points, small())?;
        check_replies(&input, &points, small())?;
    }

    /// The machine that finds the end of a line and the grammar agree on what is well formed.
    #[test]
    fn scanner_and_grammar_agree(tokens in vec(prop::sample::select(TOKENS), 0..12)) {
        let input = [b"GET X ", tokens.concat().as_slice(), b"\r\n"].concat();
        let events = commands(&input);
        let parses = parse_line(&input, 64).is_some();
        let taken = matches!(events[..], [CommandEvent::Command(Command::Get(_))]);
        let misplaced = matches!(&events[..], [CommandEvent::Bad(fault), ..] if fault.kind == Fault::FileOutOfPlace);
        prop_assert_eq!(taken || misplaced && parses, parses, "{:?}", events);
    }
}

/// After a refused line nothing of it is kept, whatever its length.
#[test]
fn a_refused_line_leaves_nothing() {
    let limits = small();
    let mut decoder = protocol::decode::CommandDecoder::new(limits);
    for _ in 0..10_000 {
        decoder.push(bytes::Bytes::from_static(
            b"GET USER (aaaa bbbb cccc dddd eeee ffff ",
        ));
        while decoder.poll() != CommandEvent::NeedMore {}
        assert!(!decoder.has_buffered() || decoder.take_buffered().len() <= 60);
    }
}

/// Bytes pushed one by one into a long quoted string cost what they should: time linear in their number.
#[test]
fn a_long_literal_byte_by_byte_is_no_slower_than_linear() {
    let mut line = b"GET USER {300000+}\r\n".to_vec();
    line.resize(line.len() + 300_000, b'x');
    line.extend_from_slice(b"\r\n");
    assert_eq!(commands_in(bytewise(&line), Limits::default()).len(), 1);
    assert!(replies_in(bytewise(b"* X "), Limits::default()).is_empty());
}

#[test]
fn a_reply_decoder_that_gave_up_keeps_saying_so() {
    let mut decoder = protocol::decode::ReplyDecoder::new(Limits::default());
    decoder.push(bytes::Bytes::from_static(b"what\r\nOK success\r\n"));
    let first = decoder.poll();
    assert!(matches!(first, ReplyEvent::Fatal(_)));
    assert_eq!(decoder.poll(), first);
    decoder.push(bytes::Bytes::from_static(b"OK success\r\n"));
    assert_eq!(decoder.poll(), first);
    assert!(replies(b"OK success\r\n").len() == 1);
}
