//! The grammar of values, held against a second reading of the same rules that shares no code with it.

use protocol::encode::{Encoder, LiteralStyle};
use protocol::grammar::{Value, parse_line, parse_value};

/// Lists inside lists that are taken.
const DEPTH_MAX: usize = 9;

/// A value reads as the rules say, and is written so that it reads the same.
pub fn grammar(input: &[u8]) {
    let ours = parse_value(input, DEPTH_MAX);
    let theirs = Reader { rest: input }.whole();
    assert_eq!(ours.as_ref().map(plain), theirs);
    if let Some(value) = &ours {
        again(value);
    }
    let line = [b"APPLY X-NEW ", input, b"\r\n"].concat();
    // In a line, what ends a value is the line end, and no blank stands before it.
    if let Some(value) = ours
        && !input.trim_ascii_end().is_empty()
        && !input.ends_with(b" ")
        && !input.ends_with(b"\t")
        && !input.ends_with(b"\x0b")
        && !input.ends_with(b"\x0c")
    {
        let parsed = parse_line(&line, DEPTH_MAX).expect("a value makes a line");
        assert_eq!((&parsed.0[..], parsed.1), (&b"X-NEW"[..], value));
    }
}

fn again(value: &Value<'_>) {
    for style in [LiteralStyle::Client, LiteralStyle::Server] {
        let mut encoder = Encoder::new(style);
        encoder.value(value);
        let bytes = encoder.take();
        assert_eq!(
            parse_value(&bytes, DEPTH_MAX).as_ref(),
            Some(value),
            "{}",
            bytes.escape_ascii()
        );
        for end in 0..bytes.len().min(64) {
            let is_closed = matches!(value, Value::Nil | Value::Text(_));
            assert!(
                is_closed || parse_value(&bytes[..end], DEPTH_MAX).is_none(),
                "a part of a list is none"
            );
        }
    }
}

/// A value as plain data.
#[derive(PartialEq, Debug)]
enum Plain {
    Nil,
    Text(Vec<u8>),
    List(Vec<Plain>),
    Keyed(Vec<(Vec<u8>, Plain)>),
    File(Vec<u8>, Vec<u8>, Vec<u8>),
}

fn plain(value: &Value<'_>) -> Plain {
    match value {
        Value::Nil => Plain::Nil,
        Value::Text(text) => Plain::Text(text.to_vec()),
        Value::List(items) => Plain::List(items.iter().map(plain).collect()),
        Value::KvList(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (key.to_vec(), plain(value)));
            Plain::Keyed(pairs.collect())
        }
        Value::File(file) => Plain::File(file.partition.to_vec(), file.guid.to_vec(), file.bytes.to_vec()),
    }
}

/// Reads byte by byte. [CS-DLIST-4] [CS-DLIST-7] [CS-DLIST-8] [CS-DLIST-9] [CS-DLIST-10] [CS-DLIST-11] [CS-LIT-1] [CS-LIT-5]
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn whole(mut self) -> Option<Plain> {
        self.blanks();
        let value = self.value(DEPTH_MAX)?;
        self.blanks();
        self.rest.is_empty().then_some(value)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn takes(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | 0x0b | 0x0c) = self.rest.first() {
            self.byte();
        }
    }

    fn value(&mut self, depth: usize) -> Option<Plain> {
        match self.rest {
            [b'(', ..] => {
                self.byte();
                self.list(depth.checked_sub(1)?)
            }
            [b'%', b'(', ..] => {
                self.rest = &self.rest[2..];
                self.keyed(depth.checked_sub(1)?)
            }
            [b'%', b'{', ..] => {
                self.rest = &self.rest[2..];
                self.file()
            }
            [b'%', ..] => None,
            [b'"' | b'{', ..] => self.text().map(Plain::Text),
            _ => {
                let text = self.text()?;
                Some(if text == b"NIL" {
                    Plain::Nil
                } else {
                    Plain::Text(text)
                })
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Plain> {
        let mut items = Vec::new();
        loop {
            self.blanks();
            if self.takes(b")") {
                return Some(Plain::List(items));
            }
            items.push(self.value(depth)?);
        }
    }

    fn keyed(&mut self, depth: usize) -> Option<Plain> {
        let mut pairs = Vec::new();
        loop {
            self.blanks();
            if self.takes(b")") {
                return Some(Plain::Keyed(pairs));
            }
            let key = self.text()?;
            self.blanks();
            pairs.push((key, self.value(depth)?));
        }
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        match *self.rest.first()? {
            b'"' => {
                self.byte();
                self.quoted()
            }
            b'{' => {
                self.byte();
                let size = self.number()?;
                self.takes(b"+");
                if !self.takes(b"}\r\n") {
                    return None;
                }
                self.octets(size)
            }
            0x80.. => None,
            _ => {
                let ends = |byte: &u8| matches!(byte, 0 | b'\t'..=b'\r' | b' ' | b'(' | b')' | b'"');
                let length = self.rest.iter().position(ends).unwrap_or(self.rest.len());
                (length > 0).then(|| self.octets(length))?
            }
        }
    }

    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            match self.byte()? {
                b'"' => return Some(text),
                b'\\' => match self.byte()? {
                    0 | b'\r' | b'\n' => return None,
                    byte => text.push(byte),
                },
                0 | b'\r' | b'\n' => return None,
                byte => text.push(byte),
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.octets(length)?;
        String::from_utf8(digits).ok()?.parse().ok()
    }

    fn octets(&mut self, count: usize) -> Option<Vec<u8>> {
        let (octets, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(octets.to_vec())
    }

    fn file(&mut self) -> Option<Plain> {
        let partition = self.text()?;
        let guid = self.takes(b" ").then(|| self.text())??;
        let size = self.takes(b" ").then(|| self.number())??;
        if !self.takes(b"}") {
            return None;
        }
        self.takes(b"\r");
        let bytes = self.takes(b"\n").then(|| self.octets(size))??;
        Some(Plain::File(partition, guid, bytes))
    }
}
