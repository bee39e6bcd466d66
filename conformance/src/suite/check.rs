//! What can be known to be wrong with a scenario before it runs: placeholders that nobody gives a value, and names that are taken
//! from an answer and never used.

use super::pattern;
use super::scenario::{Action, Scenario};
use super::template::{self, Call, Template};
use std::collections::BTreeMap;

/// Placeholders that stand for a value, with how they may be written: alone, with an argument, with a text.
const VALUES: &[(&str, [bool; 3])] = &[
    ("user", [true, true, false]),
    ("admin", [true, false, false]),
    ("ordinary", [true, false, false]),
    ("plain", [true, true, false]),
    ("partition", [true, false, false]),
    ("partition2", [true, false, false]),
    ("null-guid", [true, false, false]),
    ("now", [true, false, false]),
    ("box", [false, true, false]),
    ("deleted", [false, true, false]),
    ("id", [false, true, false]),
    ("guid", [false, true, false]),
    ("size", [false, true, false]),
    ("bytes", [false, true, false]),
    ("file", [false, true, false]),
    ("record", [false, true, true]),
    ("mailbox", [false, true, true]),
    ("lit", [false, false, true]),
    ("lit+", [false, false, true]),
    ("repeat", [false, true, true]),
    ("plus", [false, false, true]),
    ("minus", [false, false, true]),
    ("sha1", [false, false, true]),
    ("base64", [false, false, true]),
    ("crc", [false, false, true]),
    ("crc-annot", [false, false, true]),
];

/// Placeholders that are conditions, for patterns alone.
const CONDITIONS: &[(&str, [bool; 3])] = &[
    ("number", [true, false, false]),
    ("text", [true, false, false]),
    ("reason", [true, false, false]),
    ("recomputed", [true, false, false]),
    ("above", [false, false, true]),
    ("below", [false, false, true]),
    ("not", [false, false, true]),
    ("one-of", [false, false, true]),
    ("closed", [true, false, false]),
    ("waits", [true, false, false]),
    ("ends", [true, false, false]),
];

/// Whether a name means something by itself and so can be no variable.
pub fn is_reserved(name: &str) -> bool {
    VALUES.iter().chain(CONDITIONS).any(|(known, _)| *known == name)
}

/// The forms that `call` is written in, against those that its name has.
fn is_form(call: &Call, [bare, argument, text]: [bool; 3]) -> bool {
    match (&call.argument, call.body.is_empty()) {
        (None, true) => bare,
        (Some(_), true) => argument,
        (_, false) => text,
    }
}

struct Names {
    /// Known names, with the line of the answer that they are taken from, and whether they were used.
    known: BTreeMap<String, (Option<usize>, bool)>,
}

/// Checks a scenario.
///
/// # Errors
/// `LINE: what is wrong`.
pub fn scenario(scenario: &Scenario) -> Result<(), String> {
    let mut names = Names {
        known: BTreeMap::new(),
    };
    for step in &scenario.steps {
        let checked = match &step.action {
            Action::Send { bytes, .. } => names.sent(bytes),
            Action::Have(text) | Action::Ask(text) => names.sent(text),
            Action::Let { name, value } => names.sent(value).and_then(|()| names.define(name, None)),
            Action::Message { value, .. } => names.sent(value),
            Action::Expect { line, .. } => names.expected(line, step.line),
            _ => Ok(()),
        };
        checked.map_err(|fault| format!("{}: {fault}", step.line))?;
    }
    let unused = names
        .known
        .iter()
        .find_map(|(name, (line, used))| line.filter(|_| !used).map(|line| (name, line)));
    match unused {
        Some((name, line)) => Err(format!(
            "{line}: <{name}> is taken from the answer and never used; write * for what may be anything"
        )),
        None => Ok(()),
    }
}

impl Names {
    fn define(&mut self, name: &str, line: Option<usize>) -> Result<(), String> {
        if is_reserved(name) {
            return Err(format!("<{name}> has a meaning already"));
        }
        self.known.insert(name.to_owned(), (line, false));
        Ok(())
    }

    fn sent(&mut self, text: &Template) -> Result<(), String> {
        template::calls(text)
            .into_iter()
            .try_for_each(|call| self.value(call))
    }

    fn value(&mut self, call: &Call) -> Result<(), String> {
        let shown = shown(call);
        if let Some((_, forms)) = VALUES.iter().find(|(name, _)| *name == call.name) {
            return if is_form(call, *forms) {
                Ok(())
            } else {
                Err(format!("{shown} is not written like this"))
            };
        }
        match self.known.get_mut(&call.name) {
            Some((_, used)) if call.is_bare() => {
                *used = true;
                Ok(())
            }
            _ => Err(format!("nothing gives {shown} a value")),
        }
    }

    fn expected(&mut self, line: &pattern::Line, number: usize) -> Result<(), String> {
        for call in pattern::calls(line) {
            if let Some((_, forms)) = CONDITIONS.iter().find(|(name, _)| *name == call.name) {
                if !is_form(call, *forms) {
                    return Err(format!("{} is not written like this", shown(call)));
                }
                self.sent(&call.body)?;
            } else if is_reserved(&call.name) || self.known.contains_key(&call.name) || !call.is_bare() {
                self.value(call)?;
                self.sent(&call.body)?;
            } else {
                self.define(&call.name, Some(number))?;
            }
        }
        Ok(())
    }
}

fn shown(call: &Call) -> String {
    let argument = call
        .argument
        .as_ref()
        .map_or(String::new(), |argument| format!(":{argument}"));
    let body = if call.body.is_empty() { "" } else { " ..." };
    format!("<{}{argument}{body}>", call.name)
}
