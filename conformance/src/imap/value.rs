//! IMAP response values, read without knowledge of the command.

use crate::error::readable;
use crate::{Error, Result};

/// One value of a response.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `NIL`.
    Nil,
    /// A bare word; `BODY[HEADER.FIELDS (A B)]` is one word.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    /// A parenthesised list.
    List(Vec<Value>),
}

impl Value {
    /// Reads all values of a line.
    pub fn read_all(line: &[u8]) -> Result<Vec<Value>> {
        let mut reader = Reader { bytes: line, at: 0 };
        let mut values = Vec::new();
        while reader.skip_spaces() {
            values.push(reader.value()?);
        }
        Ok(values)
    }

    /// The bytes of an atom or text; empty for the others.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Atom(text) => text.as_bytes(),
            Value::Text(bytes) => bytes,
            Value::Nil | Value::List(_) => b"",
        }
    }

    /// The bytes as text, invalid UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// The number in an atom.
    pub fn number(&self) -> Option<u64> {
        self.text().parse().ok()
    }

    /// The members of a list; none for other values.
    pub fn members(&self) -> &[Value] {
        if let Value::List(members) = self {
            members
        } else {
            &[]
        }
    }

    /// A form in which equal values are equal bytes, for comparing.
    pub fn canonical(&self) -> Vec<u8> {
        match self {
            Value::Nil => b"NIL".to_vec(),
            Value::Atom(text) => text.clone().into_bytes(),
            Value::Text(bytes) => [b"\"", bytes.as_slice(), b"\""].concat(),
            Value::List(members) => {
                let inner: Vec<Vec<u8>> = members.iter().map(Value::canonical).collect();
                [b"(", inner.join(&b' ').as_slice(), b")"].concat()
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips spaces; false at the end of the line.
    fn skip_spaces(&mut self) -> bool {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
        self.at < self.bytes.len()
    }

    fn broken(&self, what: &str) -> Error {
        Error::Unreadable(format!(
            "{what} at byte {} of {}",
            self.at,
            readable(self.bytes, 300)
        ))
    }

    fn value(&mut self) -> Result<Value> {
        match self.peek() {
            Some(b'(') => self.list(),
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            Some(_) => self.atom(),
            None => Err(self.broken("end of line instead of a value")),
        }
    }

    fn list(&mut self) -> Result<Value> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            if !self.skip_spaces() {
                return Err(self.broken("unclosed list"));
            }
            if self.peek() == Some(b')') {
                self.at += 1;
                return Ok(Value::List(members));
            }
            members.push(self.value()?);
        }
    }

    fn quoted(&mut self) -> Result<Value> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Value::Text(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.peek().ok_or_else(|| self.broken("unclosed string"))?);
                }
                Some(byte) => text.push(byte),
                None => return Err(self.broken("unclosed string")),
            }
            self.at += 1;
        }
    }

    fn literal(&mut self) -> Result<Value> {
        let rest = &self.bytes[self.at..];
        let header = rest
            .windows(3)
            .position(|window| window == b"}\r\n")
            .ok_or_else(|| self.broken("bad literal"))?;
        let size: usize = std::str::from_utf8(&rest[1..header])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| self.broken("bad literal size"))?;
        let start = header + 3;
        let text = rest
            .get(start..start + size)
            .ok_or_else(|| self.broken("short literal"))?
            .to_vec();
        self.at += start + size;
        Ok(Value::Text(text))
    }

    /// A word; brackets hold everything up to the closing one, so that section names stay together.
    fn atom(&mut self) -> Result<Value> {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'[' => depth += 1,
                b']' => depth = depth.saturating_sub(1),
                b' ' | b'(' | b')' | b'"' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.at == start {
            return Err(self.broken("unexpected character"));
        }
        let word = String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned();
        Ok(if word.eq_ignore_ascii_case("NIL") {
            Value::Nil
        } else {
            Value::Atom(word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_fetch_response() {
        let values =
            Value::read_all(b"3 FETCH (UID 7 BODY[] {4}\r\na)\r\n X \"q\\\"\" NIL)").expect("readable");
        let expected = vec![
            Value::Atom("3".into()),
            Value::Atom("FETCH".into()),
            Value::List(vec![
                Value::Atom("UID".into()),
                Value::Atom("7".into()),
                Value::Atom("BODY[]".into()),
                Value::Text(b"a)\r\n".to_vec()),
                Value::Atom("X".into()),
                Value::Text(b"q\"".to_vec()),
                Value::Nil,
            ]),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn refuses_what_is_not_closed() {
        for broken in [&b"(a"[..], b"\"a", b"{9}\r\nabc", b")"] {
            assert!(Value::read_all(broken).is_err(), "{}", readable(broken, 50));
        }
    }
}
