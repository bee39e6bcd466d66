//! Patterns for lines: what a scenario writes behind `S:` (or, when a client is judged, behind `C:`).

use super::template::{Call, Piece, Template};

/// What one line, or the lack of one, must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The other side closes the connection.
    Closed,
    /// Nothing comes for a while.
    Waits,
    /// Whatever comes, the other side closes the connection in the end.
    Ends,
    /// Any number of data lines.
    Skip,
    /// The text of the line.
    Text(Vec<Part>),
    /// A data line or a command, whose value is compared as a value.
    Value {
        /// `*`, `GET`, `APPLY` or `RESTORE`.
        verb: String,
        /// `MAILBOX` and so on.
        name: String,
        /// The rest.
        value: Value,
    },
    /// One of several.
    Either(Vec<Line>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Anything, nothing included.
    Star,
    /// The value of a placeholder; an unknown name takes what stands there.
    Call(Call),
}

/// What a dlist value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Anything.
    Any,
    /// NIL.
    Nil,
    /// A text.
    Text(Vec<Part>),
    /// A placeholder alone: a text, a condition or a whole value.
    Call(Call),
    /// A list; with `any_order` the same elements in any order, with a [`Element::Rest`] more of them.
    List {
        /// The elements.
        elements: Vec<Element>,
        /// Whether their order is left open.
        any_order: bool,
    },
    /// A keyed list, in any order.
    Map {
        /// The keys that are asked for.
        pairs: Vec<Pair>,
        /// Whether others may be there.
        open: bool,
    },
    /// A file; its bytes are not compared.
    File([Vec<Part>; 3]),
}

/// An element of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// One value.
    One(Value),
    /// Any number of any values.
    Rest,
}

/// A key of a keyed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: String,
    /// Whether it must be there.
    pub presence: Presence,
    /// What its value must be.
    pub value: Value,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// `KEY value`.
    Required,
    /// `?KEY value`: it may be missing.
    Optional,
    /// `!KEY`: it must not be there.
    Forbidden,
}

impl Line {
    /// Whether silence would fit.
    pub fn may_wait(&self) -> bool {
        match self {
            Line::Waits => true,
            Line::Either(lines) => lines.iter().any(Line::may_wait),
            _ => false,
        }
    }
}

/// Compiles a line; with `raw`, values have no meaning and the text of the line counts.
///
/// # Errors
/// A pattern that is not closed, or has something behind its end.
pub fn line(template: &Template, raw: bool) -> Result<Line, String> {
    let all = characters(template);
    let mut alternatives = Vec::new();
    for part in split(&all) {
        alternatives.push(one_line(part, raw)?);
    }
    Ok(match alternatives.len() {
        1 => alternatives.remove(0),
        _ => Line::Either(alternatives),
    })
}

/// The placeholders of a compiled line.
pub fn calls(line: &Line) -> Vec<&Call> {
    match line {
        Line::Closed | Line::Waits | Line::Ends | Line::Skip => Vec::new(),
        Line::Text(parts) => part_calls(parts),
        Line::Value { value, .. } => value_calls(value),
        Line::Either(lines) => lines.iter().flat_map(calls).collect(),
    }
}

fn part_calls(parts: &[Part]) -> Vec<&Call> {
    let mut calls = Vec::new();
    for part in parts {
        if let Part::Call(call) = part {
            calls.push(call);
        }
    }
    calls
}

fn value_calls(value: &Value) -> Vec<&Call> {
    match value {
        Value::Any | Value::Nil => Vec::new(),
        Value::Text(parts) => part_calls(parts),
        Value::Call(call) => vec![call],
        Value::List { elements, .. } => elements
            .iter()
            .flat_map(|element| match element {
                Element::One(value) => value_calls(value),
                Element::Rest => Vec::new(),
            })
            .collect(),
        Value::Map { pairs, .. } => pairs.iter().flat_map(|pair| value_calls(&pair.value)).collect(),
        Value::File(words) => words.iter().flat_map(|word| part_calls(word)).collect(),
    }
}

/// A character of the file, or something that stands for itself.
#[derive(Clone)]
enum Unit {
    Byte(u8),
    Exact(Vec<u8>),
    Call(Call),
}

fn characters(template: &Template) -> Vec<Unit> {
    let mut units = Vec::new();
    for piece in template {
        match piece {
            Piece::Plain(text) => units.extend(text.bytes().map(Unit::Byte)),
            Piece::Bytes(bytes) => units.push(Unit::Exact(bytes.clone())),
            Piece::Call(call) => units.push(Unit::Call(call.clone())),
        }
    }
    units
}

fn is(unit: Option<&Unit>, byte: u8) -> bool {
    matches!(unit, Some(Unit::Byte(found)) if *found == byte)
}

/// The alternatives, which ` | ` divides.
fn split(units: &[Unit]) -> Vec<&[Unit]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for at in 0..units.len().saturating_sub(2) {
        let bar = is(units.get(at), b' ') && is(units.get(at + 1), b'|') && is(units.get(at + 2), b' ');
        if bar && at >= start {
            parts.push(&units[start..at]);
            start = at + 3;
        }
    }
    parts.push(&units[start..]);
    parts
}

fn one_line(units: &[Unit], raw: bool) -> Result<Line, String> {
    if let [Unit::Call(call)] = units
        && call.is_bare()
    {
        match call.name.as_str() {
            "closed" => return Ok(Line::Closed),
            "waits" => return Ok(Line::Waits),
            "ends" => return Ok(Line::Ends),
            _ => {}
        }
    }
    if units.len() == 3 && (0..3).all(|at| is(units.get(at), b'.')) {
        return Ok(Line::Skip);
    }
    if !raw && let Some(value) = value_line(units)? {
        return Ok(value);
    }
    Ok(Line::Text(parts(units, true)))
}

/// `* NAME (...)`, `* NAME NIL`, and any GET, APPLY or RESTORE.
fn value_line(units: &[Unit]) -> Result<Option<Line>, String> {
    let mut reader = Reader { units, at: 0 };
    let (Some(verb), Some(name)) = (reader.plain_word(), reader.plain_word()) else {
        return Ok(None);
    };
    let begins_list = match (units.get(reader.at), units.get(reader.at + 1)) {
        (Some(Unit::Byte(b'(')), _) => true,
        (Some(Unit::Byte(b'%')), next) => is(next, b'(') || is(next, b'{'),
        (Some(Unit::Byte(b'~')), next) => is(next, b'('),
        (Some(Unit::Call(call)), None) => matches!(call.name.as_str(), "file" | "record" | "mailbox"),
        _ => false,
    };
    let is_command = matches!(verb.as_str(), "GET" | "APPLY" | "RESTORE");
    let ends_nil = units.len() == reader.at + 3
        && b"NIL"
            .iter()
            .enumerate()
            .all(|(at, byte)| is(units.get(reader.at + at), *byte));
    if !(is_command && reader.at < units.len() || verb == "*" && (begins_list || ends_nil)) {
        return Ok(None);
    }
    let value = reader.value()?;
    if reader.at != units.len() {
        return Err(format!("something stands behind the value of {verb} {name}"));
    }
    Ok(Some(Line::Value { verb, name, value }))
}

fn parts(units: &[Unit], wild: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for unit in units {
        match unit {
            Unit::Byte(b'*') if wild => parts.push(Part::Star),
            Unit::Byte(byte) => push(&mut parts, &[*byte]),
            Unit::Exact(bytes) => push(&mut parts, bytes),
            Unit::Call(call) => parts.push(Part::Call(call.clone())),
        }
    }
    parts
}

fn push(parts: &mut Vec<Part>, bytes: &[u8]) {
    if let Some(Part::Bytes(last)) = parts.last_mut() {
        last.extend_from_slice(bytes);
    } else {
        parts.push(Part::Bytes(bytes.to_vec()));
    }
}

struct Reader<'a> {
    units: &'a [Unit],
    at: usize,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        while is(self.units.get(self.at), b' ') {
            self.at += 1;
        }
    }

    /// A word without placeholders, and the blanks behind it.
    fn plain_word(&mut self) -> Option<String> {
        let mut word = String::new();
        while let Some(Unit::Byte(byte)) = self.units.get(self.at)
            && *byte != b' '
        {
            word.push(char::from(*byte));
            self.at += 1;
        }
        self.skip_blanks();
        (!word.is_empty()).then_some(word)
    }

    fn begins(&self, text: &str) -> bool {
        text.bytes()
            .enumerate()
            .all(|(at, byte)| is(self.units.get(self.at + at), byte))
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.begins("~(") {
            self.at += 2;
            return self.list(true);
        }
        if self.begins("(") {
            self.at += 1;
            return self.list(false);
        }
        if self.begins("%(") {
            self.at += 2;
            return self.map();
        }
        if self.begins("%{") {
            self.at += 2;
            return self.file();
        }
        if self.begins("\"") {
            return self.quoted();
        }
        Ok(word_value(&self.word(b" ()")))
    }

    fn word(&mut self, ends: &[u8]) -> Vec<Unit> {
        let start = self.at;
        while let Some(unit) = self.units.get(self.at) {
            if matches!(unit, Unit::Byte(byte) if ends.contains(byte)) {
                break;
            }
            self.at += 1;
        }
        self.units[start..self.at].to_vec()
    }

    fn quoted(&mut self) -> Result<Value, String> {
        self.at += 1;
        let inner = self.word(b"\"");
        if !self.begins("\"") {
            return Err("a quoted text is not closed".to_owned());
        }
        self.at += 1;
        Ok(Value::Text(parts(&inner, false)))
    }

    /// `...` followed by a blank or the end of the list.
    fn rest(&mut self) -> bool {
        let end = self.units.get(self.at + 3);
        let found = self.begins("...") && (is(end, b' ') || is(end, b')'));
        if found {
            self.at += 3;
        }
        found
    }

    fn list(&mut self, any_order: bool) -> Result<Value, String> {
        let mut elements = Vec::new();
        loop {
            self.skip_blanks();
            if self.begins(")") {
                self.at += 1;
                return Ok(Value::List { elements, any_order });
            }
            if self.at >= self.units.len() {
                return Err("a list is not closed".to_owned());
            }
            elements.push(if self.rest() {
                Element::Rest
            } else {
                Element::One(self.value()?)
            });
        }
    }

    fn map(&mut self) -> Result<Value, String> {
        let (mut pairs, mut open) = (Vec::new(), false);
        loop {
            self.skip_blanks();
            if self.begins(")") {
                self.at += 1;
                return Ok(Value::Map { pairs, open });
            }
            if self.at >= self.units.len() {
                return Err("a keyed list is not closed".to_owned());
            }
            if self.rest() {
                open = true;
                continue;
            }
            pairs.push(self.pair()?);
        }
    }

    fn pair(&mut self) -> Result<Pair, String> {
        let word: Option<String> = self
            .word(b" ()")
            .iter()
            .map(|unit| match unit {
                Unit::Byte(byte) => Some(char::from(*byte)),
                _ => None,
            })
            .collect();
        let word = word
            .filter(|word| !word.is_empty())
            .ok_or("a keyed list holds something that is no key")?;
        if let Some(key) = word.strip_prefix('!') {
            return Ok(Pair {
                key: key.to_owned(),
                presence: Presence::Forbidden,
                value: Value::Any,
            });
        }
        self.skip_blanks();
        if self.begins(")") {
            return Err(format!("the key {word} has no value"));
        }
        let (presence, key) = match word.strip_prefix('?') {
            Some(key) => (Presence::Optional, key),
            None => (Presence::Required, word.as_str()),
        };
        Ok(Pair {
            key: key.to_owned(),
            presence,
            value: self.value()?,
        })
    }

    fn file(&mut self) -> Result<Value, String> {
        let mut words = [Vec::new(), Vec::new(), Vec::new()];
        for word in &mut words {
            self.skip_blanks();
            *word = parts(&self.word(b" }"), true);
        }
        if !self.begins("}") || words.iter().any(Vec::is_empty) {
            return Err("a file is written %{partition guid size}".to_owned());
        }
        self.at += 1;
        Ok(Value::File(words))
    }
}

fn word_value(units: &[Unit]) -> Value {
    match units {
        [Unit::Call(call)] => Value::Call(call.clone()),
        [Unit::Byte(b'*')] => Value::Any,
        [Unit::Byte(b'N'), Unit::Byte(b'I'), Unit::Byte(b'L')] => Value::Nil,
        units => Value::Text(parts(units, true)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::template;
    use super::*;

    fn compiled(text: &str) -> Line {
        line(&template::parse(text).expect("readable"), false).expect("a pattern")
    }

    #[test]
    fn lines_of_every_kind() {
        assert_eq!(compiled("<closed>"), Line::Closed);
        assert_eq!(compiled("..."), Line::Skip);
        assert_eq!(
            compiled("OK *"),
            Line::Text(vec![Part::Bytes(b"OK ".to_vec()), Part::Star])
        );
        assert!(matches!(compiled("NO a | BAD *"), Line::Either(lines) if lines.len() == 2));
        assert!(matches!(compiled("* SASL PLAIN *"), Line::Text(_)));
        assert!(matches!(
            compiled("* MESSAGE NIL"),
            Line::Value {
                value: Value::Nil,
                ..
            }
        ));
        assert!(matches!(
            compiled("* MESSAGE %{default * 3}"),
            Line::Value {
                value: Value::File(_),
                ..
            }
        ));
        assert!(matches!(compiled("GET USER <user>"), Line::Value { .. }));
    }

    #[test]
    fn keyed_lists() {
        let Line::Value {
            value: Value::Map { pairs, open },
            ..
        } = compiled("* MAILBOX %(A 1 !B ?C (x ...) D \"*\" ...)")
        else {
            panic!("a map");
        };
        assert!(open);
        let shown: Vec<_> = pairs
            .iter()
            .map(|pair| (pair.key.as_str(), pair.presence))
            .collect();
        assert_eq!(
            shown,
            [
                ("A", Presence::Required),
                ("B", Presence::Forbidden),
                ("C", Presence::Optional),
                ("D", Presence::Required)
            ]
        );
        assert_eq!(pairs[3].value, Value::Text(vec![Part::Bytes(b"*".to_vec())]));
    }

    #[test]
    fn broken_patterns_are_errors() {
        for text in [
            "* A (b",
            "* A %(b",
            "* A %(b)",
            "* A %(b c) d",
            "* A %{x}",
            "* A (\"x)",
        ] {
            let template = template::parse(text).expect("readable");
            assert!(line(&template, false).is_err(), "{text}");
        }
    }
}
