//! Compares what was heard with what a pattern asks for, and says where they part.

use super::pattern::{Element, Line, Pair, Part, Presence, Value as Pattern};
use super::scope::Scope;
use super::template::Call;
use crate::csync::crc;
use crate::csync::dlist::{self, Value};
use crate::error_text;
use std::collections::BTreeMap;

/// What came in place of a line, or the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A line with its literals, without CRLF at its end.
    Line(Vec<u8>),
    /// The end of the connection.
    Closed,
    /// Nothing, for as long as the suite was willing to wait.
    Waits,
}

impl Heard {
    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Heard::Line(line) => error_text(line, 2000),
            Heard::Closed => "<closed>".to_owned(),
            Heard::Waits => "<waits>".to_owned(),
        }
    }

    /// Whether it is a data line.
    pub fn is_data(&self) -> bool {
        matches!(self, Heard::Line(line) if line.starts_with(b"* ") && !line.starts_with(b"* Fatal error"))
    }
}

/// Names that a pattern gave to parts of a line.
pub type Names = BTreeMap<String, Vec<u8>>;

/// Compares; the names are those to bind when it fits.
///
/// # Errors
/// Where they part, in a sentence.
pub fn line(pattern: &Line, heard: &Heard, scope: &mut Scope<'_>) -> Result<Names, String> {
    let mut matcher = Matcher {
        scope,
        names: Names::new(),
    };
    matcher.line(pattern, heard)?;
    Ok(matcher.names)
}

struct Matcher<'s, 'a> {
    scope: &'s mut Scope<'a>,
    names: Names,
}

/// A pattern's part with its value: `None` for what may be anything, with the name that it gets.
enum Solid {
    Bytes(Vec<u8>),
    Gap(Option<String>),
}

impl Matcher<'_, '_> {
    fn line(&mut self, pattern: &Line, heard: &Heard) -> Result<(), String> {
        match (pattern, heard) {
            (Line::Either(lines), _) => {
                let mut faults = Vec::new();
                for one in lines {
                    let before = self.names.clone();
                    match self.line(one, heard) {
                        Ok(()) => return Ok(()),
                        Err(fault) => faults.push(fault),
                    }
                    self.names = before;
                }
                Err(faults.join("; and "))
            }
            (Line::Closed | Line::Ends, Heard::Closed) | (Line::Waits, Heard::Waits) => Ok(()),
            (_, Heard::Closed) => Err("the connection was closed".to_owned()),
            (_, Heard::Waits) => Err("no answer came".to_owned()),
            (Line::Closed | Line::Ends, _) => Err("the connection was not closed".to_owned()),
            (Line::Waits | Line::Skip, _) => Err("something was said".to_owned()),
            (Line::Text(parts), Heard::Line(line)) => {
                if self.text(parts, line)? {
                    Ok(())
                } else {
                    Err("the line is another".to_owned())
                }
            }
            (Line::Value { verb, name, value }, Heard::Line(line)) => {
                self.value_line(verb, name, value, line)
            }
        }
    }

    fn value_line(&mut self, verb: &str, name: &str, value: &Pattern, line: &[u8]) -> Result<(), String> {
        let head = format!("{verb} ");
        let rest = line
            .strip_prefix(head.as_bytes())
            .ok_or_else(|| format!("the line does not begin with `{head}`"))?;
        let (found, actual) = dlist::read_named(rest).map_err(|error| error.to_string())?;
        if found != name {
            return Err(format!("the line is called {found}, not {name}"));
        }
        self.value(value, &actual, name)
    }

    /// `place` says which value it is, for the fault.
    fn value(&mut self, pattern: &Pattern, actual: &Value, place: &str) -> Result<(), String> {
        let other = |wanted: &str| {
            let shown = error_text(&actual.canonical(), 200);
            Err(format!("{place} should be {wanted} and is {shown}"))
        };
        match (pattern, actual) {
            (Pattern::Any, _) | (Pattern::Nil, Value::Nil) => Ok(()),
            (Pattern::Call(call), _) => self.call(call, actual, place),
            (Pattern::Text(parts), Value::Text(bytes)) => {
                if self.text(parts, bytes)? {
                    Ok(())
                } else {
                    other(&self.parts_shown(parts))
                }
            }
            (Pattern::List { elements, any_order }, Value::List(members)) => {
                let fits = if *any_order {
                    self.any_order(elements, members)
                } else {
                    self.in_order(elements, members)
                };
                fits.map_err(|fault| format!("in {place}: {fault}"))
            }
            (Pattern::Map { pairs, open }, Value::Map(actual_pairs)) => {
                self.map(pairs, *open, actual, actual_pairs, place)
            }
            (
                Pattern::File([partition, guid, size]),
                Value::File {
                    partition: actual_partition,
                    guid: actual_guid,
                    bytes,
                },
            ) => {
                let fits = self.text(partition, actual_partition.as_bytes())?
                    && self.text(guid, actual_guid.as_bytes())?
                    && self.text(size, bytes.len().to_string().as_bytes())?;
                if fits { Ok(()) } else { other("another file") }
            }
            (Pattern::Nil, _) => other("NIL"),
            (Pattern::Text(parts), _) => other(&self.parts_shown(parts)),
            (Pattern::List { .. }, _) => other("a list"),
            (Pattern::Map { .. }, _) => other("a keyed list"),
            (Pattern::File(_), _) => other("a file"),
        }
    }

    fn parts_shown(&mut self, parts: &[Part]) -> String {
        let mut shown = String::new();
        for part in parts {
            match part {
                Part::Bytes(bytes) => shown.push_str(&error_text(bytes, 200)),
                Part::Star => shown.push('*'),
                Part::Call(call) => match self.scope.value(call) {
                    Ok(Some(bytes)) => shown.push_str(&error_text(&bytes, 200)),
                    _ => shown.push('*'),
                },
            }
        }
        if shown.is_empty() {
            "\"\"".to_owned()
        } else {
            shown
        }
    }

    fn map(
        &mut self,
        pairs: &[Pair],
        open: bool,
        actual: &Value,
        found: &[(String, Value)],
        place: &str,
    ) -> Result<(), String> {
        for pair in pairs {
            let place = format!("{place}.{}", pair.key);
            match (pair.presence, actual.get(&pair.key)) {
                (Presence::Forbidden, Some(_)) => return Err(format!("{place} should not be there")),
                (Presence::Required, None) => return Err(format!("{place} is missing")),
                (Presence::Forbidden | Presence::Optional, None) => {}
                (_, Some(value)) if is_recomputed(&pair.value) => {
                    recomputed(&pair.key, value, actual, &place)?
                }
                (_, Some(value)) => self.value(&pair.value, value, &place)?,
            }
        }
        let known = |key: &String| pairs.iter().any(|pair| pair.key == *key);
        match found.iter().find(|(key, _)| !known(key)) {
            Some((key, _)) if !open => Err(format!("{place}.{key} was not asked for")),
            _ => Ok(()),
        }
    }

    fn in_order(&mut self, elements: &[Element], members: &[Value]) -> Result<(), String> {
        match elements.split_first() {
            None => match members {
                [] => Ok(()),
                [first, ..] => Err(format!("{} is too many", error_text(&first.canonical(), 200))),
            },
            Some((Element::Rest, others)) => {
                let mut fault = String::new();
                for skipped in 0..=members.len() {
                    let before = self.names.clone();
                    match self.in_order(others, &members[skipped..]) {
                        Ok(()) => return Ok(()),
                        Err(found) => fault = found,
                    }
                    self.names = before;
                }
                Err(fault)
            }
            Some((Element::One(pattern), others)) => {
                let (first, rest) = members.split_first().ok_or("an element is missing")?;
                self.value(pattern, first, "the element")?;
                self.in_order(others, rest)
            }
        }
    }

    fn any_order(&mut self, elements: &[Element], members: &[Value]) -> Result<(), String> {
        let mut left: Vec<&Value> = members.iter().collect();
        let mut open = false;
        for element in elements {
            let Element::One(pattern) = element else {
                open = true;
                continue;
            };
            let mut taken = None;
            for (at, member) in left.iter().enumerate() {
                let before = self.names.clone();
                if self.value(pattern, member, "the element").is_ok() {
                    taken = Some(at);
                    break;
                }
                self.names = before;
            }
            let at = taken.ok_or_else(|| format!("{} is missing", self.pattern_shown(pattern)))?;
            left.remove(at);
        }
        match left.first() {
            Some(member) if !open => Err(format!("{} is too many", error_text(&member.canonical(), 200))),
            _ => Ok(()),
        }
    }

    fn pattern_shown(&mut self, pattern: &Pattern) -> String {
        match pattern {
            Pattern::Text(parts) => self.parts_shown(parts),
            Pattern::Call(call) => self.parts_shown(&[Part::Call(call.clone())]),
            _ => "an element".to_owned(),
        }
    }

    /// A placeholder in the place of a value.
    fn call(&mut self, call: &Call, actual: &Value, place: &str) -> Result<(), String> {
        let shown = || error_text(&actual.canonical(), 200);
        if matches!(call.name.as_str(), "record" | "mailbox" | "file") {
            let bytes = self.evaluated(call)?;
            let line = [b"X ", bytes.as_slice()].concat();
            let (_, wanted) = dlist::read_named(&line).map_err(|error| error.to_string())?;
            return equal(&wanted, actual, place);
        }
        let Value::Text(text) = actual else {
            return Err(format!("{place} should be a text and is {}", shown()));
        };
        if let Some(fits) = self.condition(call, text)? {
            return if fits {
                Ok(())
            } else {
                Err(format!(
                    "{place} is {}, which is not as <{} ...> asks",
                    shown(),
                    call.name
                ))
            };
        }
        match self.known(call)? {
            Some(wanted) if wanted == *text => Ok(()),
            Some(wanted) => Err(format!(
                "{place} should be {} and is {}",
                error_text(&wanted, 200),
                shown()
            )),
            None => {
                self.names.insert(call.name.clone(), text.clone());
                Ok(())
            }
        }
    }

    /// The value of a placeholder, of one that this very pattern has named as well.
    fn known(&mut self, call: &Call) -> Result<Option<Vec<u8>>, String> {
        if call.is_bare()
            && let Some(value) = self.names.get(&call.name)
        {
            return Ok(Some(value.clone()));
        }
        self.scope.value(call)
    }

    fn evaluated(&mut self, call: &Call) -> Result<Vec<u8>, String> {
        self.known(call)?
            .ok_or_else(|| format!("<{}> has no value", call.name))
    }

    /// Whether a text meets a condition; `None` when `call` is none.
    fn condition(&mut self, call: &Call, text: &[u8]) -> Result<Option<bool>, String> {
        let number = |bytes: &[u8]| {
            std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse::<i128>().ok())
        };
        Ok(Some(match call.name.as_str() {
            "number" => !text.is_empty() && text.iter().all(u8::is_ascii_digit),
            "text" => true,
            // A reason in words, not one of the protocol's codes.
            "reason" => !text.is_empty() && !text.starts_with(b"IMAP_"),
            "above" | "below" => {
                let bound = self.scope.bytes(&call.body)?;
                let bound = number(&bound).ok_or_else(|| format!("<{} ...> needs a number", call.name))?;
                number(text).is_some_and(|found| {
                    if call.name == "above" {
                        found > bound
                    } else {
                        found < bound
                    }
                })
            }
            "not" => self.scope.bytes(&call.body)? != text,
            "one-of" => {
                let words = self.scope.bytes(&call.body)?;
                words.split(|byte| *byte == b' ').any(|word| word == text)
            }
            _ => return Ok(None),
        }))
    }

    /// Whether `text` fits; names are bound when it does.
    fn text(&mut self, parts: &[Part], text: &[u8]) -> Result<bool, String> {
        // A condition at the end of a line stands for all that is left.
        if let [Part::Bytes(start), Part::Call(call)] = parts
            && let Some(rest) = text.strip_prefix(start.as_slice())
            && let Some(fits) = self.condition(call, rest)?
        {
            return Ok(fits);
        }
        let mut solid = Vec::new();
        for part in parts {
            solid.push(match part {
                Part::Bytes(bytes) => Solid::Bytes(bytes.clone()),
                Part::Star => Solid::Gap(None),
                Part::Call(call) => match self.known(call)? {
                    Some(bytes) => Solid::Bytes(bytes),
                    None => Solid::Gap(Some(call.name.clone())),
                },
            });
        }
        let mut names = Names::new();
        let fits = glob(&solid, text, &mut names);
        if fits {
            self.names.extend(names);
        }
        Ok(fits)
    }
}

fn is_recomputed(pattern: &Pattern) -> bool {
    matches!(pattern, Pattern::Call(call) if call.name == "recomputed")
}

/// A sum against the records beside it.
fn recomputed(key: &str, value: &Value, mailbox: &Value, place: &str) -> Result<(), String> {
    let records = mailbox.get("RECORD").map(Value::members).unwrap_or_default();
    let (basic, annotations) = crc::mailbox(records);
    let wanted = if key.ends_with("_ANNOT") {
        annotations
    } else {
        basic
    };
    let found = error_text(value.bytes(), 40);
    if found == wanted.to_string() {
        Ok(())
    } else {
        Err(format!("{place} is {found}, and {wanted} by the records"))
    }
}

/// Shortest gaps first.
fn glob(parts: &[Solid], text: &[u8], names: &mut Names) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((Solid::Bytes(bytes), others)) => text
            .strip_prefix(bytes.as_slice())
            .is_some_and(|rest| glob(others, rest, names)),
        Some((Solid::Gap(name), [])) => {
            if let Some(name) = name {
                names.insert(name.clone(), text.to_vec());
            }
            true
        }
        Some((Solid::Gap(name), others)) => (0..=text.len()).any(|length| {
            let fits = glob(others, &text[length..], names);
            if let (true, Some(name)) = (fits, name) {
                names.insert(name.clone(), text[..length].to_vec());
            }
            fits
        }),
    }
}

/// Whole values: keys in any order, all of them; GUIDs and texts byte by byte.
fn equal(wanted: &Value, actual: &Value, place: &str) -> Result<(), String> {
    match (wanted, actual) {
        (Value::Map(pairs), Value::Map(found)) => {
            for (key, value) in pairs {
                let place = format!("{place}.{key}");
                let found = actual.get(key).ok_or_else(|| format!("{place} is missing"))?;
                equal(value, found, &place)?;
            }
            match found.iter().find(|(key, _)| wanted.get(key).is_none()) {
                Some((key, _)) => Err(format!("{place}.{key} was not asked for")),
                None => Ok(()),
            }
        }
        (Value::List(members), Value::List(found)) if members.len() == found.len() => members
            .iter()
            .zip(found)
            .try_for_each(|(member, found)| equal(member, found, place)),
        _ if wanted == actual => Ok(()),
        _ => Err(format!(
            "{place} should be {} and is {}",
            error_text(&wanted.canonical(), 200),
            error_text(&actual.canonical(), 200)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::super::{pattern, template};
    use super::*;

    fn compare(wanted: &str, heard: &str) -> Result<Vec<(String, String)>, String> {
        let target = Target::new("127.0.0.1:1", "admin", "x");
        let mut scope = Scope::new(&target, "t1");
        let pattern = pattern::line(&template::parse(wanted).expect("readable"), false).expect("a pattern");
        let heard = match heard {
            "<closed>" => Heard::Closed,
            text => Heard::Line(text.as_bytes().to_vec()),
        };
        let names = line(&pattern, &heard, &mut scope)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(names
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect())
    }

    fn fits(wanted: &str, heard: &str) -> bool {
        compare(wanted, heard).is_ok()
    }

    #[test]
    fn texts() {
        assert!(fits("OK *", "OK success"));
        assert!(!fits("OK *", "OK"));
        assert!(fits("NO a* | BAD *", "BAD x"));
        assert!(fits("NO <reason>", "NO Unknown error"));
        assert!(!fits("NO <reason>", "NO IMAP_SYNC_CHECKSUM Checksum Failure"));
        assert!(!fits("NO <reason>", "OK x"));
        assert!(fits("<closed>", "<closed>"));
        assert!(!fits("OK *", "<closed>"));
        assert_eq!(
            compare("OK <who> v<version>", "OK x v3"),
            Ok(vec![("version".into(), "3".into()), ("who".into(), "x".into())])
        );
    }

    #[test]
    fn keyed_lists() {
        assert!(fits("* A %(B 1 C 2)", "* A %(C 2 B 1)"));
        assert!(!fits("* A %(B 1)", "* A %(C 2 B 1)"));
        assert!(fits("* A %(B 1 ...)", "* A %(C 2 B 1)"));
        assert!(!fits("* A %(!C ...)", "* A %(C 2 B 1)"));
        assert!(fits("* A %(?D 3 ...)", "* A %(C 2 B 1)"));
        assert!(!fits("* A %(?C 3 ...)", "* A %(C 2 B 1)"));
        assert!(fits("* A %(B user.t1* ...)", "* A %(B user.t1.x)"));
        assert!(fits("* A %(B \"NIL\" C NIL)", "* A %(B \"NIL\" C NIL)"));
        assert!(!fits("* A %(B NIL)", "* A %(B \"NIL\")"));
        assert!(fits("* A %(B <above 4> C <one-of 1 2>)", "* A %(B 5 C 2)"));
        assert!(!fits("* A %(B <above 4>)", "* A %(B 4)"));
        assert!(fits("* A %(B <x> C <x>)", "* A %(B 5 C 5)"));
        assert!(!fits("* A %(B <x> C <x>)", "* A %(B 5 C 6)"));
    }

    #[test]
    fn lists() {
        assert!(fits("* A (a b)", "* A (a b)"));
        assert!(!fits("* A (a b)", "* A (b a)"));
        assert!(fits("* A ~(a b)", "* A (b a)"));
        assert!(!fits("* A ~(a b)", "* A (b a c)"));
        assert!(fits("* A ~(a b ...)", "* A (b c a)"));
        assert!(fits("* A (a ... d)", "* A (a b c d)"));
        assert!(fits("* A ()", "* A ()"));
        assert!(!fits("* A ()", "* A (x)"));
    }

    #[test]
    fn whole_records_and_sums() {
        let record =
            "%(MODSEQ 2 UID 1 LAST_UPDATED 1700000000 FLAGS () INTERNALDATE 1700000000 SIZE 1 GUID aa)";
        let wanted = "* M %(RECORD (<record:x SIZE 1 GUID aa>) SYNC_CRC <recomputed>)";
        assert!(fits(
            wanted,
            &format!("* M %(SYNC_CRC {} RECORD ({record}))", crc_of(record))
        ));
        assert!(!fits(wanted, &format!("* M %(SYNC_CRC 1 RECORD ({record}))")));
    }

    fn crc_of(record: &str) -> u32 {
        let (_, value) = dlist::read_named(format!("X {record}").as_bytes()).expect("readable");
        crc::mailbox(&[value]).0
    }
}
