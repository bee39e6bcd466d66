//! Scenario files for clients (`.client`): a header as in the other ones, a blank line, then steps. The format is described in the
//! crate's README.

use super::super::scenario::{Judges, Scenario, Start, collect, each};
use super::super::{pattern, template};
use std::path::Path;
use std::time::Duration;
use template::Template;

/// One behaviour of a client.
#[derive(Debug, Clone)]
pub struct Script {
    /// Name, rules and so on; without steps.
    pub head: Scenario,
    /// What is done.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Line of the file, from 1.
    pub line: usize,
    /// As it is written.
    pub text: String,
    /// What to do.
    pub action: Action,
}

/// Whose store is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's, the master's.
    Here,
    /// The replica's.
    There,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Brings something about in a store; the command must be answered OK.
    Have(Side, Template),
    /// What the replica does in place of answering a command.
    On(Rule),
    /// Another line of the client's configuration, for the runs from here on.
    Setting(Template),
    /// A line for the log of the client's channel `<channel>`; or for its working file, as a run that was cut off left it.
    Log(Template, bool),
    /// Runs the client with these arguments and waits for its end.
    Run(Template),
    /// Starts the client with these arguments and goes on.
    Start(Template),
    /// Waits until the client has sent this, behind what the `C:` before it found.
    Until(pattern::Line),
    /// Tells the client that was started to stop (SIGTERM), and waits for its end.
    Stop,
    /// Waits until the client that was started ends by itself.
    Ends,
    /// Makes a file in `<folder>`, where the log of the client's channel is.
    File(String),
    /// The client has sent this, behind what the `C:` before it found.
    Sent(pattern::Line),
    /// The client has not sent this.
    Never(pattern::Line),
    /// How the client ended.
    Exit(Exit),
    /// What it said on its standard output or error.
    Says(pattern::Line),
    /// Asks a store.
    Ask(Side, Template),
    /// What it answers.
    Answer(pattern::Line),
    /// Gives the bytes of a message.
    Message(String, Template),
}

/// How a client may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// With any other than 0.
    Failure,
    /// With any code: not by a signal.
    Any,
}

/// What the replica does when a command fits.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The command.
    pub command: pattern::Line,
    /// How often; `None` for always.
    pub times: Option<u32>,
    /// What is done in its place, in order.
    pub does: Vec<Deed>,
}

/// One thing that the replica does.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Sends a line, with CRLF.
    Line(Template),
    /// Sends bytes.
    Raw(Template),
    /// Waits.
    Wait(Duration),
    /// Lets the real replica do the command, and passes on what it answers.
    Forward,
    /// Lets the real replica do the command, and keeps its answer back.
    Swallow,
    /// Closes the connection.
    Close,
    /// Says nothing more, and reads nothing more.
    Hang,
    /// The TLS server's handshake, with a certificate that nobody vouches for.
    Tls,
    /// Both directions are deflated from here on.
    Deflate,
    /// Logs in to the real replica as the administrator, whatever the client says.
    Login,
}

/// All scripts below `folder`, in the order of their names.
///
/// # Errors
/// A text for each file that cannot be read or understood.
pub fn all(folder: &Path) -> Result<Vec<Script>, Vec<String>> {
    let (mut scripts, mut faults, mut files) = (Vec::new(), Vec::new(), Vec::new());
    collect(folder, "client", &mut files, &mut faults);
    files.sort();
    for path in files {
        match std::fs::read_to_string(&path) {
            Ok(text) => match parse(folder, &path, &text) {
                Ok(found) => scripts.extend(found),
                Err(fault) => faults.push(format!("{}:{fault}", path.display())),
            },
            Err(error) => faults.push(format!("{}: {error}", path.display())),
        }
    }
    if faults.is_empty() {
        Ok(scripts)
    } else {
        Err(faults)
    }
}

/// The scripts of one file: several when it has a line `each`.
///
/// # Errors
/// `LINE: what is wrong`.
pub fn parse(folder: &Path, path: &Path, text: &str) -> Result<Vec<Script>, String> {
    let Some(line) = text.lines().find(|line| line.starts_with("each:")) else {
        return parse_one(folder, path, text).map(|script| vec![script]);
    };
    let (variable, variants) = each(line)?;
    let one = |(variant, value): (String, String)| {
        // The line itself goes, and leaves its number to nobody else.
        let text = text
            .replacen(line, "#", 1)
            .replace(&format!("<{variable}>"), &value);
        let mut script = parse_one(folder, path, &text)?;
        script.head.name = format!("{}@{variant}", script.head.name);
        Ok(script)
    };
    variants.into_iter().map(one).collect()
}

fn parse_one(folder: &Path, path: &Path, text: &str) -> Result<Script, String> {
    let relative = path.strip_prefix(folder).unwrap_or(path).with_extension("");
    let name = relative.to_string_lossy().replace('\\', "/");
    let (subject, _) = name
        .rsplit_once('/')
        .ok_or("1: a scenario lies in the folder of its subject")?;
    let mut head = Scenario {
        subject: subject.to_owned(),
        name: name.clone(),
        about: String::new(),
        rules: Vec::new(),
        judges: Judges::Client,
        start: Start::Login,
        needs: Vec::new(),
        leaves: None,
        steps: Vec::new(),
        path: path.to_path_buf(),
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut in_head = true;
    for (number, line) in logical(text) {
        let at = |fault: String| format!("{number}: {fault}");
        if line.is_empty() {
            in_head = in_head && head.about.is_empty();
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (word, rest) = line
            .split_once(':')
            .map_or((line.trim(), ""), |(word, rest)| (word.trim(), rest.trim()));
        if in_head {
            header(&mut head, word, rest).map_err(at)?;
        } else {
            step(&mut steps, number, &line, word, rest).map_err(at)?;
        }
    }
    if head.about.is_empty() || head.rules.is_empty() {
        return Err("1: `about:` and `rules:` are required".to_owned());
    }
    let runs = |step: &Step| matches!(step.action, Action::Run(_) | Action::Start(_));
    if !steps.iter().any(runs) {
        return Err("1: the client is never run".to_owned());
    }
    Ok(Script { head, steps })
}

/// Lines with those that continue them, which begin with a blank.
fn logical(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let continues = line.starts_with([' ', '\t']) && !line.trim().is_empty();
        match lines.last_mut() {
            Some((_, before)) if continues && !before.is_empty() => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => lines.push((at + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

fn header(head: &mut Scenario, word: &str, rest: &str) -> Result<(), String> {
    match word {
        "about" => rest.clone_into(&mut head.about),
        "rules" => {
            for id in rest.split_whitespace() {
                let id = id.strip_prefix('[').and_then(|id| id.strip_suffix(']'));
                head.rules
                    .push(id.ok_or("rules: the ids, each in square brackets")?.to_owned());
            }
        }
        "needs" => head.needs = rest.split(',').map(|need| need.trim().to_owned()).collect(),
        _ => return Err(format!("`{word}:` is no header")),
    }
    Ok(())
}

fn step(steps: &mut Vec<Step>, line: usize, text: &str, word: &str, rest: &str) -> Result<(), String> {
    let value = |text: &str| template::parse(text);
    let expected = |text: &str, raw: bool| pattern::line(&template::parse(text)?, raw);
    let (verb, argument) = word.split_once(' ').unwrap_or((word, ""));
    if let Some(deed) = deed(verb, argument, rest)? {
        // What the replica does belongs to the `on` before it.
        return match steps.last_mut().map(|step| &mut step.action) {
            Some(Action::On(rule)) => {
                rule.does.push(deed);
                Ok(())
            }
            _ => Err(format!("`{word}` belongs behind `on ...:`")),
        };
    }
    let side = match argument {
        "" | "there" => Side::There,
        _ => Side::Here,
    };
    let action = match (verb, argument) {
        ("have", "") => Action::Have(Side::Here, value(rest)?),
        ("there", "") => Action::Have(Side::There, value(rest)?),
        ("on", _) => Action::On(Rule {
            command: expected(rest, false)?,
            times: match argument {
                "" => Some(1),
                "always" => None,
                count => Some(count.parse().map_err(|_| "on:, on COUNT: or on always:")?),
            },
            does: Vec::new(),
        }),
        ("setting", "") => Action::Setting(value(rest)?),
        ("log", "" | "left") => Action::Log(value(rest)?, argument == "left"),
        ("run", "") => Action::Run(value(rest)?),
        ("start", "") => Action::Start(value(rest)?),
        ("until", "") => Action::Until(expected(rest, false)?),
        ("until", "raw") => Action::Until(expected(rest, true)?),
        ("stop", "") => Action::Stop,
        ("ends", "") => Action::Ends,
        ("file", "") if !rest.is_empty() && !rest.contains('/') => Action::File(rest.to_owned()),
        ("C", "") => Action::Sent(expected(rest, false)?),
        ("C", "raw") => Action::Sent(expected(rest, true)?),
        ("never", "") => Action::Never(expected(rest, false)?),
        ("never", "raw") => Action::Never(expected(rest, true)?),
        ("exit", "") if rest == "not 0" => Action::Exit(Exit::Failure),
        ("exit", "") if rest == "any" => Action::Exit(Exit::Any),
        ("exit", "") => Action::Exit(Exit::Code(rest.parse().map_err(|_| "exit: CODE or exit: not 0")?)),
        ("says", "") => Action::Says(expected(rest, true)?),
        ("ask", "here" | "there") => Action::Ask(side, value(rest)?),
        ("A", "") => Action::Answer(expected(rest, false)?),
        ("A", "raw") => Action::Answer(expected(rest, true)?),
        ("message", name) if !name.is_empty() => Action::Message(name.to_owned(), value(rest)?),
        _ => return Err(format!("`{word}` is no step")),
    };
    steps.push(Step {
        line,
        text: text.to_owned(),
        action,
    });
    Ok(())
}

fn deed(verb: &str, argument: &str, rest: &str) -> Result<Option<Deed>, String> {
    Ok(Some(match (verb, argument) {
        ("S", "") => Deed::Line(template::parse(rest)?),
        ("S", "raw") => Deed::Raw(template::parse(rest)?),
        ("wait", "") => {
            let millis = rest
                .strip_suffix("ms")
                .and_then(|count| count.trim().parse().ok());
            Deed::Wait(Duration::from_millis(millis.ok_or("wait: 500ms")?))
        }
        ("forward", "") => Deed::Forward,
        ("swallow", "") => Deed::Swallow,
        ("close", "") => Deed::Close,
        ("hang", "") => Deed::Hang,
        ("tls", "") => Deed::Tls,
        ("deflate", "") => Deed::Deflate,
        ("login", "") => Deed::Login,
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Script>, String> {
        parse(Path::new("/s"), Path::new("/s/master/x.client"), text)
    }

    fn read(text: &str) -> Result<Script, String> {
        Ok(all(text)?.remove(0))
    }

    #[test]
    fn each_makes_several() {
        let text = "about: x\nrules: [CS-MASTER-1]\neach: word = GET APPLY\n\non: <word> *\nclose\nrun: -A\n";
        let scripts = all(text).expect("reads");
        let names: Vec<&str> = scripts.iter().map(|one| one.head.name.as_str()).collect();
        assert_eq!(names, ["master/x@GET", "master/x@APPLY"]);
        assert_eq!(
            (scripts[0].steps[0].line, scripts[1].steps[0].text.as_str()),
            (5, "on: APPLY *")
        );
    }

    #[test]
    fn deeds_belong_to_the_rule_before_them() {
        let text = "about: x\nrules: [CS-MASTER-1]\n\nhave: <mailbox:inbox>\non 2: APPLY MAILBOX *\nS: NO x\nclose\nrun: -u <user>\nexit: not 0\n";
        let script = read(text).expect("reads");
        assert_eq!(script.head.name, "master/x");
        assert_eq!(script.steps.len(), 4);
        let Action::On(rule) = &script.steps[1].action else {
            panic!("{:?}", script.steps[1])
        };
        assert_eq!((rule.times, rule.does.len()), (Some(2), 2));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, fault) in [
            ("about: x\n\nrun: -A\n", "required"),
            ("about: x\nrules: [CS-MASTER-1]\n\nhave: x\n", "never run"),
            (
                "about: x\nrules: [CS-MASTER-1]\n\nS: OK\nrun: -A\n",
                "belongs behind",
            ),
            ("about: x\nrules: [CS-MASTER-1]\n\nfly: x\nrun: -A\n", "no step"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(fault), "{error}");
        }
    }
}
