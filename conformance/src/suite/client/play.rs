//! Plays one scenario for a client.

use super::super::matching::{self, Heard};
use super::super::pattern;
use super::super::play::{Event, Failure, Outcome, PATIENCE, Played};
use super::super::profile::Deviation;
use super::super::scope::Scope;
use super::super::target::Target;
use super::super::template::{self, Piece, Template};
use super::super::wire::Wire;
use super::replica::{self, Shared, lock};
use super::script::{Action, Exit, Rule, Script, Side, Step};
use crate::csync::dlist;
use crate::process;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a run of a client may take.
const RUN_LIMIT: Duration = Duration::from_secs(40);

/// A client under test and the two stores.
pub struct Stage<'a> {
    /// The client's own store, over csync.
    pub here: &'a Target,
    /// The replica behind the scenario.
    pub there: &'a Target,
    /// The client as a command: for the replica's address and the arguments of a run.
    pub client: &'a (dyn Fn(&str, &[String]) -> crate::Result<Command> + Sync),
}

enum Stop {
    Failed(Box<Failure>),
    Broken(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Broken(text)
    }
}

impl From<crate::Error> for Stop {
    fn from(error: crate::Error) -> Stop {
        Stop::Broken(error.to_string())
    }
}

type Done = Result<(), Stop>;

/// What the last run of the client left.
#[derive(Default)]
struct Run {
    commands: Vec<Vec<u8>>,
    /// How many of the commands the `C:` lines have found or passed over.
    found: usize,
    code: Option<i32>,
    said: Vec<u8>,
}

/// Plays a script; all names that it makes begin with `stem`.
pub fn play(script: &Script, stage: &Stage<'_>, stem: &str, known: Option<&Deviation>) -> Played {
    let started = Instant::now();
    let scope = Mutex::new(Scope::new(stage.here, stem));
    let mut play = Play {
        stage,
        scope: &scope,
        rules: Vec::new(),
        run: Run::default(),
        asked: None,
        transcript: Vec::new(),
    };
    let done = script.steps.iter().try_for_each(|step| play.step(step));
    let outcome = match done {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed(failure)) => Outcome::Failed(*failure),
        Err(Stop::Broken(text)) => Outcome::Broken(text),
    };
    let is_known = match (&outcome, known) {
        (Outcome::Failed(failure), Some(known)) => known
            .does
            .iter()
            .any(|line| matching::line(line, &failure.heard, &mut lock(&scope)).is_ok()),
        _ => false,
    };
    play.clean();
    Played {
        outcome,
        is_known,
        transcript: play.transcript,
        took: started.elapsed(),
    }
}

struct Play<'a, 's> {
    stage: &'a Stage<'a>,
    scope: &'s Mutex<Scope<'a>>,
    rules: Vec<Rule>,
    run: Run,
    /// The connection of the last question.
    asked: Option<Wire>,
    transcript: Vec<Event>,
}

impl Play<'_, '_> {
    fn step(&mut self, step: &Step) -> Done {
        match &step.action {
            Action::Message(name, value) => {
                let mut scope = lock(self.scope);
                let value = scope.bytes(value)?;
                scope.define_message(name, value);
            }
            Action::Have(side, text) => self.have(step, *side, text)?,
            Action::On(rule) => self.rules.push(rule.clone()),
            Action::Run(arguments) => self.run(step, arguments)?,
            Action::Sent(line) => self.sent(step, line)?,
            Action::Never(line) => self.never(step, line)?,
            Action::Exit(exit) => {
                let fits = match exit {
                    Exit::Code(code) => self.run.code == Some(*code),
                    Exit::Failure => self.run.code.is_some_and(|code| code != 0),
                    Exit::Any => self.run.code.is_some(),
                };
                if !fits {
                    let code = self.run.code.map_or("signal".to_owned(), |code| code.to_string());
                    let said = String::from_utf8_lossy(&self.run.said).into_owned();
                    return Err(failed(step, format!("exit {code}").as_bytes(), said));
                }
            }
            Action::Says(line) => {
                let said = self.run.said.clone();
                let fits = |text: &[u8]| {
                    matching::line(line, &Heard::Line(text.to_vec()), &mut lock(self.scope)).is_ok()
                };
                if !said.split(|byte| *byte == b'\n').any(fits) {
                    return Err(failed(step, &said, "it says nothing like it".to_owned()));
                }
            }
            Action::Ask(side, text) => {
                let command = lock(self.scope).bytes(text)?;
                let mut wire = self.connect(*side)?;
                let sent = wire.send(&[command.as_slice(), b"\r\n"].concat());
                sent.map_err(|error| format!("asking: {error}"))?;
                self.asked = Some(wire);
            }
            Action::Answer(line) => {
                let wire = self.asked.as_mut().ok_or("nothing was asked".to_owned())?;
                let heard = wire.line(PATIENCE);
                self.fits(step, line, &heard)?;
            }
        }
        Ok(())
    }

    fn fits(&self, step: &Step, line: &pattern::Line, heard: &Heard) -> Done {
        let mut scope = lock(self.scope);
        match matching::line(line, heard, &mut scope) {
            Ok(names) => {
                for (name, value) in names {
                    scope.bind(&name, value);
                }
                Ok(())
            }
            Err(why) => Err(Stop::Failed(Box::new(Failure {
                line: step.line,
                expected: step.text.clone(),
                heard: heard.clone(),
                why,
            }))),
        }
    }

    fn run(&mut self, step: &Step, arguments: &Template) -> Done {
        let arguments = lock(self.scope).bytes(arguments)?;
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("listening: {error}"))?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("listening: {error}"))?;
        let mut command = (self.stage.client)(&address.to_string(), &arguments)?;
        let shared = Shared::new(self.scope, &std::mem::take(&mut self.rules));
        let started = Instant::now();
        let output = std::thread::scope(|scope| {
            let server = scope.spawn(|| replica::serve(&listener, &self.stage.there.address, &shared));
            let output = process::run(&mut command, RUN_LIMIT);
            shared.over.store(true, Ordering::SeqCst);
            // What the listener has against it shows in the run.
            let _ = server.join();
            output
        });
        self.transcript.append(&mut lock(&shared.events));
        let output = match output {
            Ok(output) => output,
            Err(error) if started.elapsed() >= RUN_LIMIT => {
                return Err(failed(step, b"still running", error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let commands = std::mem::take(&mut *lock(&shared.commands));
        self.run = Run {
            commands,
            found: 0,
            code: output.status.code(),
            said: [output.stdout, output.stderr].concat(),
        };
        Ok(())
    }

    fn sent(&mut self, step: &Step, line: &pattern::Line) -> Done {
        let mut scope = lock(self.scope);
        let mut nearest = "nothing more was sent".to_owned();
        for (at, command) in self.run.commands.iter().enumerate().skip(self.run.found) {
            match matching::line(line, &Heard::Line(command.clone()), &mut scope) {
                Ok(names) => {
                    for (name, value) in names {
                        scope.bind(&name, value);
                    }
                    self.run.found = at + 1;
                    return Ok(());
                }
                Err(why) => {
                    let shown = crate::error_text(&scope.redacted(command), 300);
                    nearest = format!("{nearest}\n{shown}: {why}");
                }
            }
        }
        drop(scope);
        Err(failed(step, b"not sent", nearest))
    }

    fn never(&mut self, step: &Step, line: &pattern::Line) -> Done {
        for command in &self.run.commands {
            let heard = Heard::Line(command.clone());
            if matching::line(line, &heard, &mut lock(self.scope)).is_ok() {
                return Err(failed(step, command, "it was sent".to_owned()));
            }
        }
        Ok(())
    }

    /// A connection of the administrator.
    fn connect(&mut self, side: Side) -> Result<Wire, Stop> {
        let target = match side {
            Side::Here => self.stage.here,
            Side::There => self.stage.there,
        };
        let mut wire = Wire::connect(&target.address).map_err(|error| format!("connecting: {error}"))?;
        loop {
            match wire.line(PATIENCE) {
                Heard::Line(line) if line.starts_with(b"* OK") => break,
                Heard::Line(_) => {}
                heard => return Err(Stop::Broken(format!("in place of a banner: {}", heard.shown()))),
            }
        }
        // Both stores have the same administrator.
        let login = lock(self.scope).bytes(&template::parse("AUTHENTICATE PLAIN <plain>")?)?;
        self.command(&mut wire, &login)?;
        Ok(wire)
    }

    fn command(&mut self, wire: &mut Wire, command: &[u8]) -> Done {
        let sent = wire.send(&[command, b"\r\n"].concat());
        sent.map_err(|error| format!("sending: {error}"))?;
        loop {
            match wire.line(PATIENCE) {
                heard if heard.is_data() => {}
                Heard::Line(line) if line.starts_with(b"OK ") => return Ok(()),
                heard => {
                    let shown = lock(self.scope).redacted(command);
                    return Err(Stop::Broken(format!(
                        "{} was answered {}",
                        crate::error_text(&shown, 300),
                        heard.shown()
                    )));
                }
            }
        }
    }

    fn have(&mut self, step: &Step, side: Side, text: &Template) -> Done {
        let mut wire = self.connect(side)?;
        let mut command = lock(self.scope).bytes(text)?;
        if let Some(Piece::Call(call)) = text.first()
            && call.name == "mailbox"
        {
            let upload = self.upload(text, &command)?;
            if !upload.is_empty() {
                self.command(&mut wire, &upload)?;
            }
            command.splice(0..0, *b"APPLY MAILBOX ");
        }
        let done = self.command(&mut wire, &command);
        done.map_err(|stop| match stop {
            Stop::Broken(text) => Stop::Broken(format!("line {}: {text}", step.line)),
            failed => failed,
        })
    }

    /// APPLY MESSAGE with all live messages of a mailbox; empty when there are none.
    fn upload(&self, text: &Template, mailbox: &[u8]) -> Result<Vec<u8>, Stop> {
        let line = [b"X ", mailbox].concat();
        let (_, mailbox) = dlist::read_named(&line).map_err(|error| error.to_string())?;
        let partition = mailbox.text("PARTITION").unwrap_or_default();
        let mut scope = lock(self.scope);
        let mut files = Vec::new();
        for call in template::calls(text)
            .into_iter()
            .filter(|call| call.name == "record")
        {
            let record = scope.value(call)?.unwrap_or_default();
            if !record.windows(9).any(|word| word == b"\\Expunged") {
                let name = call.argument.as_deref().unwrap_or_default();
                files.push(scope.bytes(&template::parse(&format!("<file:{name}@{partition}>"))?)?);
            }
        }
        if files.is_empty() {
            return Ok(Vec::new());
        }
        Ok([b"APPLY MESSAGE (".as_slice(), &files.join(&b' '), b")"].concat())
    }

    /// Removes what was made, on both sides, as far as they let us.
    fn clean(&mut self) {
        let users: Vec<String> = lock(self.scope).users().map(str::to_owned).collect();
        let mailboxes: Vec<String> = lock(self.scope).mailboxes().map(str::to_owned).collect();
        for side in [Side::Here, Side::There] {
            let Ok(mut wire) = self.connect(side) else {
                continue;
            };
            for name in &mailboxes {
                // Not every scenario made what it names.
                let _ = self.command(&mut wire, format!("APPLY UNMAILBOX {name}").as_bytes());
            }
            for user in &users {
                let _ = self.command(&mut wire, format!("APPLY UNUSER {user}").as_bytes());
            }
        }
    }
}

fn failed(step: &Step, heard: &[u8], why: String) -> Stop {
    Stop::Failed(Box::new(Failure {
        line: step.line,
        expected: step.text.clone(),
        heard: Heard::Line(heard.to_vec()),
        why,
    }))
}
