//! Laws of the small value types.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::{commands, commands_in, cut};
use protocol::command::{Command, Get};
use protocol::decode::CommandEvent;
use protocol::encode::{Encoder, LiteralStyle};
use protocol::grammar::{Value, parse_value};
use protocol::{Guid, Limits, MailboxOptions, SystemFlags, Text, Verb};
use quickcheck::{Arbitrary, Gen, QuickCheck};

fn print(bytes: &[u8], style: LiteralStyle) -> Vec<u8> {
    let mut encoder = Encoder::new(style);
    encoder.value(&Value::Text(bytes.into()));
    encoder.take().to_vec()
}

/// Strings whose printed form is at stake: short or around the length where atoms end, of few kinds of bytes. They are
/// not shrunk, which would take hours at that length.
#[derive(Clone, Debug)]
struct Edgy(Vec<u8>);

impl Arbitrary for Edgy {
    fn arbitrary(g: &mut Gen) -> Self {
        let len = *g
            .choose(&[0, 1, 2, 3, 10, 1022, 1023, 1024, 1025])
            .expect("a choice");
        let most = *g.choose(b"aN ").expect("a choice");
        let mut bytes = vec![most; len];
        let places = usize::arbitrary(g) % 3;
        for _ in 0..places.min(len) {
            let place = usize::arbitrary(g) % len;
            bytes[place] = u8::arbitrary(g);
        }
        Edgy(bytes)
    }
}

/// [CS-DLIST-16], written down a second time.
fn form(bytes: &[u8], style: LiteralStyle) -> Vec<u8> {
    let has = |set: &[u8]| bytes.iter().any(|byte| set.contains(byte));
    let eight_bit = bytes.iter().any(|&byte| byte >= 0x80);
    let control = bytes.iter().any(|&byte| byte < 0x1f || byte == 0x7f);
    if bytes.is_empty() {
        b"\"\"".to_vec()
    } else if bytes.len() <= 1023 && !eight_bit && !control && !has(b" {()\"%*\\") && bytes != b"NIL" {
        bytes.to_vec()
    } else if bytes.len() <= 1023 && !eight_bit && !has(b"\0\r\n\"%\\") {
        [b"\"", bytes, b"\""].concat()
    } else {
        let plus = if style == LiteralStyle::Client { "+" } else { "" };
        [format!("{{{}{plus}}}\r\n", bytes.len()).as_bytes(), bytes].concat()
    }
}

#[test]
fn a_string_is_written_in_the_first_form_that_fits_and_reads_back() {
    fn law(Edgy(bytes): Edgy) -> bool {
        [LiteralStyle::Client, LiteralStyle::Server]
            .into_iter()
            .all(|style| {
                let printed = print(&bytes, style);
                printed == form(&bytes, style)
                    && parse_value(&printed, 4) == Some(Value::Text(bytes.as_slice().into()))
            })
    }
    QuickCheck::new().tests(2_000).quickcheck(law as fn(Edgy) -> bool);
    assert_eq!(print(b"NIL", LiteralStyle::Client), b"\"NIL\"");
    assert_eq!(print(b"NILS", LiteralStyle::Client), b"NILS");
    assert_eq!(print(b"a\x1fb", LiteralStyle::Client), b"a\x1fb");
    assert_eq!(print(b"a\x1eb", LiteralStyle::Client), b"\"a\x1eb\"");
}

#[test]
fn a_guid_reads_back_in_either_case_and_at_no_other_length() {
    fn law(bytes: Vec<u8>) -> bool {
        let mut raw = [0u8; 20];
        for (to, from) in raw.iter_mut().zip(bytes.iter().cycle()) {
            *to = *from;
        }
        let guid = Guid::from_bytes(raw);
        let hex = guid.to_hex();
        let longer = [&hex[..], b"0"].concat();
        Guid::parse(&hex) == Some(guid)
            && Guid::parse(&hex.to_ascii_uppercase()) == Some(guid)
            && Guid::parse(&hex[1..]).is_none()
            && Guid::parse(&longer).is_none()
            && guid.to_string().as_bytes() == hex
            && guid.is_null() == (raw == [0; 20])
    }
    QuickCheck::new().quickcheck(law as fn(Vec<u8>) -> bool);
}

#[test]
fn only_hex_digits_make_a_guid() {
    fn law(byte: u8, place: usize) -> bool {
        let mut hex = [b'0'; 40];
        hex[place % 40] = byte;
        Guid::parse(&hex).is_some() == byte.is_ascii_hexdigit()
    }
    QuickCheck::new()
        .tests(1_000)
        .quickcheck(law as fn(u8, usize) -> bool);
}

#[test]
fn sets_of_flags_are_sets() {
    fn law(a: u8, b: u8) -> bool {
        let (a, b) = (SystemFlags::from_bits(a), SystemFlags::from_bits(b));
        let options = MailboxOptions::from_bits(a.bits());
        a.with(b).contains(a)
            && a.with(b).contains(b)
            && a.with(b).without(b) == a.without(b)
            && SystemFlags::from_bits(a.bits()) == a
            && SystemFlags::ALL
                .iter()
                .filter(|(flag, _)| a.contains(*flag))
                .count()
                == a.bits().count_ones() as usize
            && MailboxOptions::parse(&options.to_text()) == options
    }
    QuickCheck::new().quickcheck(law as fn(u8, u8) -> bool);
}

#[test]
fn a_text_is_its_bytes() {
    fn law(bytes: Vec<u8>) -> bool {
        let text = Text::copy_from(&bytes);
        text.as_bytes() == bytes && text == Text::from(bytes.clone()) && text.clone().into_bytes() == bytes
    }
    QuickCheck::new().quickcheck(law as fn(Vec<u8>) -> bool);
    assert_eq!(Text::from_static(b"a"), Text::from("a"));
}

#[test]
fn any_user_id_survives_a_line_cut_anywhere() {
    fn law(userid: Vec<u8>, points: Vec<usize>) -> bool {
        let expected = vec![CommandEvent::Command(Command::Get(Get::User(Some(Text::from(
            userid.clone(),
        )))))];
        let line = [
            b"GET USER ",
            print(&userid, LiteralStyle::Client).as_slice(),
            b"\r\n",
        ]
        .concat();
        commands(&line) == expected && commands_in(cut(&line, &points), Limits::default()) == expected
    }
    QuickCheck::new()
        .tests(500)
        .quickcheck(law as fn(Vec<u8>, Vec<usize>) -> bool);
}

#[test]
fn a_verb_is_read_in_either_case() {
    for (verb, word) in Verb::WORDS {
        assert_eq!(Verb::parse(word.as_bytes()), Some(verb));
        assert_eq!(Verb::parse(word.to_ascii_lowercase().as_bytes()), Some(verb));
        assert_eq!(verb.word(), word);
        assert!(verb.to_string().eq_ignore_ascii_case(word));
    }
    assert_eq!(Verb::parse(b"GETS"), None);
}
