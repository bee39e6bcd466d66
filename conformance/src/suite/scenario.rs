//! Scenario files: a header of `key: value` lines, a blank line, then steps. The format is described in the crate's README.

use super::pattern;
use super::template::{self, Template};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whom a scenario judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Judges {
    /// A server: `C:` lines are sent, `S:` lines are expected.
    #[default]
    Server,
    /// A client: `S:` lines are sent, `C:` lines are expected.
    Client,
}

/// How far a connection is when the first step meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Nothing is open; the scenario connects.
    Nothing,
    /// The banner has been read.
    Banner,
    /// Logged in.
    #[default]
    Login,
}

/// One behaviour.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// `subject/behaviour`, with `@variant` behind it when the file has a line `each`.
    pub name: String,
    /// The folder that the file lies in.
    pub subject: String,
    /// What must hold, in a line.
    pub about: String,
    /// The rules it shows, such as `CS-GET-6`.
    pub rules: Vec<String>,
    /// Whom it judges.
    pub judges: Judges,
    /// How far its connections are at the first step.
    pub start: Start,
    /// What the other side must have, see [`super::target::Target::lacks`].
    pub needs: Vec<String>,
    /// What may stay behind in the server, so that this scenario comes last.
    pub leaves: Option<String>,
    /// What is done.
    pub steps: Vec<Step>,
    /// The file.
    pub path: PathBuf,
}

/// One line of a scenario.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number in the file, from 1.
    pub line: usize,
    /// As it is written, continuations included.
    pub text: String,
    /// Which connection it is about: `1`, `2` ..., or [`STATE`].
    pub connection: String,
    /// What to do.
    pub action: Action,
}

/// The connection of `Q:` and `A:`.
pub const STATE: &str = "state";

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Sends bytes.
    Send {
        /// The bytes.
        bytes: Template,
        /// Whether CRLF follows them.
        line_end: bool,
    },
    /// Reads a line and compares it.
    Expect {
        /// What it must be.
        line: pattern::Line,
        /// Whether it may change places with its neighbours that have this mark, too.
        any_order: bool,
    },
    /// Brings something about, over a connection of its own; it must be answered OK.
    Have(Template),
    /// Asks over a fresh connection.
    Ask(Template),
    /// Opens the connection and reads nothing.
    Connect,
    /// The same, on the server's Unix socket.
    Socket,
    /// Logs in as the administrator.
    Login,
    /// Shakes hands for TLS.
    Tls {
        /// Whether the server may have closed instead, which ends the scenario well.
        or_closed: bool,
    },
    /// Both directions are deflated from here on.
    Deflate,
    /// Closes the connection.
    Close,
    /// Says that nothing more will be sent.
    HalfClose,
    /// Waits.
    Wait(Duration),
    /// Gives a name to a text.
    Let {
        /// The name.
        name: String,
        /// The text.
        value: Template,
    },
    /// Gives the bytes of a message.
    Message {
        /// The name.
        name: String,
        /// The bytes.
        value: Template,
    },
}

/// All scenarios below `folder` in the order of their names.
///
/// # Errors
/// A text for each file that cannot be read or understood, with its line.
pub fn all(folder: &Path) -> Result<Vec<Scenario>, Vec<String>> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let mut files = Vec::new();
    collect(folder, "csync", &mut files, &mut faults);
    files.sort();
    for path in files {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                faults.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        match parse(folder, &path, &text) {
            Ok(scenarios) => found.extend(scenarios),
            Err(fault) => faults.push(format!("{}:{fault}", path.display())),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// The files below `folder` whose names end in `.extension`; what cannot be read is a fault.
pub(super) fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>, faults: &mut Vec<String>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return faults.push(format!("{}: {error}", folder.display())),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, extension, files, faults);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
}

/// The scenarios of one file: several when it has a line `each`.
///
/// # Errors
/// `LINE: what is wrong`.
pub fn parse(folder: &Path, path: &Path, text: &str) -> Result<Vec<Scenario>, String> {
    let relative = path.strip_prefix(folder).unwrap_or(path).with_extension("");
    let name = relative.to_string_lossy().replace('\\', "/");
    let Some((subject, _)) = name.rsplit_once('/') else {
        return Err("1: a scenario lies in the folder of its subject".to_owned());
    };
    let head = header(text)?;
    let mut scenario = Scenario {
        name: name.clone(),
        subject: subject.to_owned(),
        about: head.about,
        rules: head.rules,
        judges: head.judges,
        start: head.start,
        needs: head.needs,
        leaves: head.leaves,
        steps: Vec::new(),
        path: path.to_owned(),
    };
    let Some((variable, values)) = head.each else {
        scenario.steps = steps(&head.body, scenario.judges)?;
        return super::check::scenario(&scenario).map(|()| vec![scenario]);
    };
    let names = variant_names(&values);
    let mut scenarios = Vec::new();
    for (variant, value) in names.iter().zip(&values) {
        let mut one = scenario.clone();
        one.name = format!("{name}@{variant}");
        let replace = |(line, text): &(usize, String)| (*line, text.replace(&format!("<{variable}>"), value));
        let body: Vec<(usize, String)> = head.body.iter().map(replace).collect();
        one.steps = steps(&body, one.judges)?;
        super::check::scenario(&one)?;
        scenarios.push(one);
    }
    Ok(scenarios)
}

#[derive(Default)]
struct Header {
    about: String,
    rules: Vec<String>,
    judges: Judges,
    start: Start,
    needs: Vec<String>,
    leaves: Option<String>,
    each: Option<(String, Vec<String>)>,
    /// The steps: line number and text, continuations joined.
    body: Vec<(usize, String)>,
}

fn header(text: &str) -> Result<Header, String> {
    let mut head = Header::default();
    let mut in_header = true;
    for (number, line) in joined(text) {
        if line.is_empty() {
            in_header = in_header && head.about.is_empty();
        } else if in_header {
            field(&mut head, &line).map_err(|fault| format!("{number}: {fault}"))?;
        } else {
            head.body.push((number, line));
        }
    }
    if head.about.is_empty() {
        return Err("1: the header has no line `about: ...`".to_owned());
    }
    if head.rules.is_empty() {
        return Err("1: the header has no line `rules: [CS-...]`".to_owned());
    }
    if head.body.is_empty() {
        return Err("1: no steps follow the header and its blank line".to_owned());
    }
    Ok(head)
}

fn field(head: &mut Header, line: &str) -> Result<(), String> {
    let (key, value) = line
        .split_once(':')
        .ok_or("the header holds `key: value` lines and ends with a blank line")?;
    let value = value.trim();
    match key {
        "about" => value.clone_into(&mut head.about),
        "rules" => head.rules = rule_ids(value)?,
        "judges" => {
            head.judges = match value {
                "server" => Judges::Server,
                "client" => Judges::Client,
                _ => return Err("judges: server or client".to_owned()),
            }
        }
        "start" => {
            head.start = match value {
                "nothing" => Start::Nothing,
                "banner" => Start::Banner,
                "login" => Start::Login,
                _ => return Err("start: nothing, banner or login".to_owned()),
            }
        }
        "needs" => head.needs = value.split(',').map(|need| need.trim().to_owned()).collect(),
        "leaves" => head.leaves = Some(value.to_owned()),
        "each" => {
            let (name, values) = value.split_once('=').ok_or("each: name = value value ...")?;
            head.each = Some((name.trim().to_owned(), variants(values.trim())));
        }
        _ => return Err(format!("the header knows no key `{key}`")),
    }
    Ok(())
}

/// What the variants are called: as their values when all of those are simple words, else by number.
fn variant_names(values: &[String]) -> Vec<String> {
    let simple = |value: &String| {
        value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c))
    };
    if values.iter().all(simple) {
        return values.to_vec();
    }
    (1..=values.len()).map(|number| number.to_string()).collect()
}

/// The variable of a line `each: name = values`, with the name and the value of each variant.
///
/// # Errors
/// A line of another form.
pub(super) fn each(line: &str) -> Result<(String, Vec<(String, String)>), String> {
    let rest = line.strip_prefix("each:").unwrap_or(line);
    let (name, values) = rest.split_once('=').ok_or("each: name = value value ...")?;
    let values = variants(values.trim());
    let joined: Vec<String> = values.iter().map(|value| value.replace(' ', "-")).collect();
    let names = variant_names(&joined);
    Ok((name.trim().to_owned(), names.into_iter().zip(values).collect()))
}

/// Divided by ` | ` where that occurs, by blanks otherwise.
fn variants(values: &str) -> Vec<String> {
    if values.contains(" | ") {
        values.split(" | ").map(|value| value.trim().to_owned()).collect()
    } else {
        values.split_whitespace().map(str::to_owned).collect()
    }
}

/// The ids of a line `rules:`, each in square brackets.
///
/// # Errors
/// Something else than ids in square brackets.
pub fn rule_ids(text: &str) -> Result<Vec<String>, String> {
    text.split_whitespace()
        .map(|word| {
            word.trim_end_matches(',')
                .strip_prefix('[')
                .and_then(|word| word.strip_suffix(']'))
                .map(str::to_owned)
                .ok_or_else(|| format!("`{word}` is no rule id in square brackets"))
        })
        .collect()
}

/// Lines without comments; one that begins with a blank continues the one before. Empty lines stay, as divisions.
pub fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            continue;
        }
        let is_continuation = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        match lines.last_mut() {
            Some((_, last)) if is_continuation && !last.is_empty() => {
                // Behind a line end a blank would be part of the next line.
                if !last.ends_with("<crlf>") {
                    last.push(' ');
                }
                last.push_str(line.trim());
            }
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

fn steps(body: &[(usize, String)], judges: Judges) -> Result<Vec<Step>, String> {
    body.iter()
        .map(|(number, text)| step(*number, text, judges).map_err(|fault| format!("{number}: {fault}")))
        .collect()
}

/// `C2 raw`, `S~` and so on, taken apart.
struct Mark {
    side: char,
    connection: String,
    any_order: bool,
    raw: bool,
}

fn mark(word: &str) -> Option<Mark> {
    let (word, raw) = match word.strip_suffix(" raw") {
        Some(word) => (word, true),
        None => (word, false),
    };
    let side = word.chars().next().filter(|side| "CSQA".contains(*side))?;
    let (number, any_order) = match word[1..].strip_suffix('~') {
        Some(number) => (number, true),
        None => (&word[1..], false),
    };
    if !number.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let connection = match (side, number) {
        ('Q' | 'A', "") => STATE,
        ('Q' | 'A', _) => return None,
        (_, "") => "1",
        (_, number) => number,
    };
    Some(Mark {
        side,
        connection: connection.to_owned(),
        any_order,
        raw,
    })
}

fn step(line: usize, text: &str, judges: Judges) -> Result<Step, String> {
    let (word, rest) = text.split_once(':').unwrap_or((text, ""));
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let (connection, action) = match mark(word) {
        Some(mark) => {
            let action = spoken(&mark, rest, judges)?;
            (mark.connection, action)
        }
        None => command(word, rest)?,
    };
    Ok(Step {
        line,
        text: text.to_owned(),
        connection,
        action,
    })
}

fn spoken(mark: &Mark, rest: &str, judges: Judges) -> Result<Action, String> {
    let text = template::parse(rest)?;
    let sends = match mark.side {
        'Q' => return Ok(Action::Ask(text)),
        'A' => false,
        'C' => judges == Judges::Server,
        _ => judges == Judges::Client,
    };
    if !sends {
        return Ok(Action::Expect {
            line: pattern::line(&text, mark.raw)?,
            any_order: mark.any_order,
        });
    }
    if mark.any_order {
        return Err("what is sent has an order".to_owned());
    }
    Ok(Action::Send {
        bytes: text,
        line_end: !mark.raw,
    })
}

fn command(word: &str, rest: &str) -> Result<(String, Action), String> {
    let mut words = word.split_whitespace();
    let verb = words.next().unwrap_or_default();
    let name = words.next();
    if words.next().is_some() {
        return Err(format!("`{word}` is no step"));
    }
    let names_connection = !matches!(verb, "let" | "message");
    let connection = name.filter(|_| names_connection).unwrap_or("1").to_owned();
    let named = || {
        name.map(str::to_owned)
            .ok_or(format!("{verb} needs a name: `{verb} NAME: ...`"))
    };
    let action = match verb {
        "have" => Action::Have(template::parse(rest)?),
        "connect" => Action::Connect,
        "socket" => Action::Socket,
        "login" => Action::Login,
        "tls" => Action::Tls {
            or_closed: match rest {
                "" => false,
                "or closed" => true,
                _ => return Err(format!("`tls: {rest}` is no step; `tls: or closed` is one")),
            },
        },
        "deflate" => Action::Deflate,
        "close" => Action::Close,
        "half-close" => Action::HalfClose,
        "wait" => Action::Wait(duration(rest)?),
        "let" => Action::Let {
            name: named()?,
            value: template::parse(rest)?,
        },
        "message" => Action::Message {
            name: named()?,
            value: template::parse(rest)?,
        },
        _ => return Err(format!("`{word}` is no step")),
    };
    Ok((connection, action))
}

/// `500ms` or `2s`.
///
/// # Errors
/// Anything else.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or_default(), 1000),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no time; write 500ms or 2s"))?;
    Ok(Duration::from_millis(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Scenario>, String> {
        parse(Path::new("/s"), Path::new("/s/get/user.csync"), text)
    }

    const HEAD: &str = "about: a test\nrules: [CS-GET-6] [CS-GET-15]\n";

    #[test]
    fn a_scenario() {
        let all = read(&format!(
            "# why\n{HEAD}start: banner\n\nlet x: y\nC: GET USER <x>\n  more\nS~: * A (1)\nS2 raw: OK\nQ: GET META <x>\nA: <closed>\nclose 2\n"
        ))
        .expect("readable");
        let [scenario] = all.as_slice() else { panic!("one") };
        assert_eq!(scenario.name, "get/user");
        assert_eq!(scenario.rules, ["CS-GET-6", "CS-GET-15"]);
        assert_eq!(scenario.start, Start::Banner);
        let shown: Vec<_> = scenario
            .steps
            .iter()
            .map(|step| (step.line, step.connection.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                (6, "1"),
                (7, "1"),
                (9, "1"),
                (10, "2"),
                (11, STATE),
                (12, STATE),
                (13, "2")
            ]
        );
        assert_eq!(scenario.steps[1].text, "C: GET USER <x> more");
        let message = "message m: a<crlf>\n  b\n  c";
        assert_eq!(joined(message), [(1, "message m: a<crlf>b c".to_owned())]);
    }

    #[test]
    fn each_makes_several() {
        let names = |text: &str| -> Vec<String> {
            let all = read(text).expect("readable");
            all.into_iter().map(|scenario| scenario.name).collect()
        };
        assert_eq!(
            names(&format!("{HEAD}each: key = A B\n\nC: GET <key> x\nS: *\n")),
            ["get/user@A", "get/user@B"]
        );
        assert_eq!(
            names(&format!("{HEAD}each: key = A () | B ()\n\nC: GET <key>\nS: *\n")),
            ["get/user@1", "get/user@2"]
        );
    }

    #[test]
    fn faults_have_a_line() {
        let fault = |text: &str| read(text).expect_err("a fault");
        assert!(fault("about: x\n\nC: x\n").contains("rules"));
        assert!(fault(&format!("{HEAD}\nX: y\n")).starts_with("4: `X` is no step"));
        assert!(fault(&format!("{HEAD}colour: red\n\nC: x\n")).contains("no key `colour`"));
        assert!(fault(&format!("{HEAD}\nS: * A (b\n")).contains("not closed"));
        assert!(fault(&format!("{HEAD}\nC: <nonsense>\n")).contains("nonsense"));
        assert!(fault(&format!("{HEAD}\nS: <unused> x\n")).contains("unused"));
        assert!(fault(&format!("{HEAD}\nwait: soon\n")).contains("500ms"));
    }
}
