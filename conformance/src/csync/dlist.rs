//! A plain dlist reader: whole line in, value out. It has no limits and no cleverness, because it
//! judges the reader that has both.

use crate::error::readable;
use crate::{Error, Result};

/// One dlist value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An unquoted, upper-case `NIL`.
    Nil,
    /// Atom, quoted string or literal: the wire does not tell their types apart.
    Text(Vec<u8>),
    /// `( ... )`.
    List(Vec<Value>),
    /// `%( ... )`, in the order sent.
    Map(Vec<(String, Value)>),
    /// `%{partition guid size}` and its bytes.
    File {
        /// Partition name.
        partition: String,
        /// GUID as sent.
        guid: String,
        /// The message.
        bytes: Vec<u8>,
    },
}

impl Value {
    /// The first value under `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text under `key`; `None` when absent, NIL or not a text.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Value::Text(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The number under `key`.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    /// The members of a list, none for other values.
    pub fn members(&self) -> &[Value] {
        if let Value::List(members) = self {
            members
        } else {
            &[]
        }
    }

    /// The bytes of a text, none for other values.
    pub fn bytes(&self) -> &[u8] {
        if let Value::Text(bytes) = self { bytes } else { b"" }
    }

    /// A form in which equal values are equal bytes; order of lists and maps is kept.
    pub fn canonical(&self) -> Vec<u8> {
        match self {
            Value::Nil => b"NIL".to_vec(),
            Value::Text(bytes) => string(bytes),
            Value::List(members) => {
                let inner: Vec<Vec<u8>> = members.iter().map(Value::canonical).collect();
                [b"(", inner.join(&b' ').as_slice(), b")"].concat()
            }
            Value::Map(pairs) => {
                let pair =
                    |(key, value): &(String, Value)| [key.as_bytes(), b" ", &value.canonical()].concat();
                let inner: Vec<Vec<u8>> = pairs.iter().map(pair).collect();
                [b"%(", inner.join(&b' ').as_slice(), b")"].concat()
            }
            Value::File {
                partition,
                guid,
                bytes,
            } => [
                format!("%{{{partition} {guid} {}}}\r\n", bytes.len()).as_bytes(),
                bytes,
            ]
            .concat(),
        }
    }
}

/// A text as a client may send it to every Cyrus: quoted when simple, else a `{n+}` literal.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let simple = |&byte: &u8| (0x20..0x7f).contains(&byte) && !b"\"\\%".contains(&byte);
    if bytes.len() < 1000 && bytes.iter().all(simple) {
        return [b"\"", bytes, b"\""].concat();
    }
    [format!("{{{}+}}\r\n", bytes.len()).as_bytes(), bytes].concat()
}

/// The size of the literal or file literal that `line` announces at its end. `line` has no line end.
pub fn announced(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    let words = std::str::from_utf8(&inner[open + 1..]).ok()?;
    let last = words.rsplit(' ').next()?;
    last.strip_suffix('+').unwrap_or(last).parse().ok()
}

/// Reads `NAME value` (the part of an untagged line after `* `), literals included.
pub fn read_named(line: &[u8]) -> Result<(String, Value)> {
    let mut reader = Reader { bytes: line, at: 0 };
    let name = reader.key()?;
    reader.skip_space();
    let value = reader.value()?;
    if reader.at != line.len() {
        return Err(reader.broken("something after the value"));
    }
    Ok((name, value))
}

/// White space of the protocol, vertical tab included.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn broken(&self, what: &str) -> Error {
        Error::Unreadable(format!(
            "dlist: {what} at byte {} of {}",
            self.at,
            readable(self.bytes, 400)
        ))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        while self.peek(0).is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn key(&mut self) -> Result<String> {
        match self.scalar()? {
            Value::Text(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            // NIL has no meaning in the place of a key.
            _ => Ok("NIL".to_owned()),
        }
    }

    fn value(&mut self) -> Result<Value> {
        match (self.peek(0), self.peek(1)) {
            (Some(b'('), _) => self.list(),
            (Some(b'%'), Some(b'(')) => self.map(),
            (Some(b'%'), Some(b'{')) => self.file(),
            _ => self.scalar(),
        }
    }

    fn list(&mut self) -> Result<Value> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            self.skip_space();
            if self.peek(0) == Some(b')') {
                self.at += 1;
                return Ok(Value::List(members));
            }
            members.push(self.value()?);
        }
    }

    fn map(&mut self) -> Result<Value> {
        self.at += 2;
        let mut pairs = Vec::new();
        loop {
            self.skip_space();
            if self.peek(0) == Some(b')') {
                self.at += 1;
                return Ok(Value::Map(pairs));
            }
            let key = self.key()?;
            self.skip_space();
            pairs.push((key, self.value()?));
        }
    }

    fn file(&mut self) -> Result<Value> {
        self.at += 2;
        let partition = self.key()?;
        self.skip_space();
        let guid = self.key()?;
        self.skip_space();
        let size_start = self.at;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = &self.bytes[size_start..self.at];
        let size = self.number(digits)?;
        let bytes = self.payload(size)?;
        Ok(Value::File {
            partition,
            guid,
            bytes,
        })
    }

    fn number(&self, digits: &[u8]) -> Result<usize> {
        let text = std::str::from_utf8(digits).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.broken("bad size"))
    }

    /// `}`, CRLF or LF, then `size` bytes.
    fn payload(&mut self, size: usize) -> Result<Vec<u8>> {
        let rest = &self.bytes[self.at..];
        let skip = if rest.starts_with(b"}\r\n") {
            3
        } else if rest.starts_with(b"}\n") {
            2
        } else {
            return Err(self.broken("no line end after a literal's size"));
        };
        let bytes = rest
            .get(skip..skip + size)
            .ok_or_else(|| self.broken("short literal"))?
            .to_vec();
        self.at += skip + size;
        Ok(bytes)
    }

    fn scalar(&mut self) -> Result<Value> {
        match self.peek(0) {
            Some(b'"') => self.quoted(),
            Some(b'{') => {
                self.at += 1;
                let start = self.at;
                while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
                    self.at += 1;
                }
                let size = self.number(&self.bytes[start..self.at])?;
                if self.peek(0) == Some(b'+') {
                    self.at += 1;
                }
                Ok(Value::Text(self.payload(size)?))
            }
            _ => self.atom(),
        }
    }

    fn quoted(&mut self) -> Result<Value> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let mut byte = self.peek(0).ok_or_else(|| self.broken("unclosed string"))?;
            self.at += 1;
            match byte {
                b'"' => return Ok(Value::Text(text)),
                b'\r' | b'\n' => return Err(self.broken("line end in a quoted string")),
                b'\\' => {
                    byte = self.peek(0).ok_or_else(|| self.broken("unclosed string"))?;
                    self.at += 1;
                }
                _ => {}
            }
            text.push(byte);
        }
    }

    fn atom(&mut self) -> Result<Value> {
        let start = self.at;
        while self
            .peek(0)
            .is_some_and(|byte| !is_blank(byte) && !b"()\"".contains(&byte))
        {
            self.at += 1;
        }
        match &self.bytes[start..self.at] {
            b"" => Err(self.broken("no value")),
            b"NIL" => Ok(Value::Nil),
            word => Ok(Value::Text(word.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> Value {
        Value::Text(word.as_bytes().to_vec())
    }

    #[test]
    fn reads_every_form() {
        let line = b"X %(A a%b B (\"q\\\"\" {3+}\r\nx\ry NIL \"NIL\" \\Seen) C %{p 0a 2}\r\n)( D %())";
        let (name, value) = read_named(line).expect("readable");
        assert_eq!(name, "X");
        let list = vec![text("q\""), text("x\ry"), Value::Nil, text("NIL"), text("\\Seen")];
        let file = Value::File {
            partition: "p".into(),
            guid: "0a".into(),
            bytes: b")(".to_vec(),
        };
        let pairs = [
            ("A", text("a%b")),
            ("B", Value::List(list)),
            ("C", file),
            ("D", Value::Map(Vec::new())),
        ];
        assert_eq!(
            value,
            Value::Map(pairs.map(|(key, value)| (key.to_owned(), value)).to_vec())
        );
    }

    #[test]
    fn refuses_what_is_broken() {
        for line in [
            &b"X"[..],
            b"X (a",
            b"X \"a",
            b"X a b",
            b"X {3}\r\nab",
            b"X %{a b}\r\n",
            b"X )",
        ] {
            assert!(read_named(line).is_err(), "{}", readable(line, 60));
        }
    }

    #[test]
    fn announces_literals() {
        assert_eq!(announced(b"A {12}"), Some(12));
        assert_eq!(announced(b"A {12+}"), Some(12));
        assert_eq!(announced(b"A (%{default abc 7}"), Some(7));
        assert_eq!(announced(b"A }"), None);
    }
}
