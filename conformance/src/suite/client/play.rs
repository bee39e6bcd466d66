//! Plays one scenario for a client.

use super::super::matching::{self, Heard};
use super::super::pattern;
use super::super::play::{Event, Failure, Outcome, PATIENCE, Played};
use super::super::profile::Deviation;
use super::super::scope::Scope;
use super::super::target::Target;
use super::super::template::{self, Piece, Template};
use super::super::wire::Wire;
use super::replica::lock;
use super::running::{Ended, Running};
use super::script::{Action, Exit, Rule, Script, Side, Step};
use crate::csync::dlist;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How often a scenario looks for what it waits for.
const LOOK: Duration = Duration::from_millis(20);

/// A client under test and the two stores.
pub struct Stage<'a> {
    /// The client's own store, over csync.
    pub here: &'a Target,
    /// The replica behind the scenario.
    pub there: &'a Target,
    /// The client.
    pub client: &'a dyn Client,
    /// How long a run of it may take before it counts as still running.
    pub run_limit: Duration,
}

/// A client under test.
pub trait Client: Sync {
    /// The client as a command: for the replica's address, the arguments of a run, and lines that go into its configuration
    /// in place of those of the same key.
    ///
    /// # Errors
    /// When it cannot be started, or takes no lines.
    fn command(&self, address: &str, arguments: &[String], settings: &[String]) -> crate::Result<Command>;

    /// A certificate and its key, as files that the client can read.
    fn keys(&self) -> Option<[PathBuf; 2]>;

    /// The folder of a channel's log, and what the client calls it; `None` when nobody told.
    fn channel(&self, channel: &str) -> Option<[PathBuf; 2]>;
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

/// Plays a script; all names that it makes begin with `stem`.
pub fn play(script: &Script, stage: &Stage<'_>, stem: &str, known: Option<&Deviation>) -> Played {
    let started = Instant::now();
    let scope = Mutex::new(Scope::new(stage.here, stem));
    lock(&scope).bind("channel", stem.as_bytes().to_vec());
    let folder = stage.client.channel(stem);
    if let Some([_, seen]) = &folder {
        lock(&scope).bind("folder", seen.as_os_str().as_encoded_bytes().to_vec());
    }
    if let Some(files) = stage.client.keys() {
        for (name, file) in ["certificate", "key"].iter().zip(files) {
            lock(&scope).bind(name, file.into_os_string().into_encoded_bytes());
        }
    }
    thread::scope(|threads| {
        let mut play = Play {
            stage,
            threads,
            scope: &scope,
            settings: Vec::new(),
            folder: folder.map(|[folder, _]| folder),
            rules: Vec::new(),
            running: None,
            run: Ended::default(),
            found: 0,
            asked: None,
            transcript: Vec::new(),
        };
        let done = script.steps.iter().try_for_each(|step| play.step(step));
        // One that was started and never stopped ends here, whatever it still does.
        play.finish();
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
    })
}

struct Play<'scope, 'env> {
    stage: &'env Stage<'env>,
    threads: &'scope thread::Scope<'scope, 'env>,
    scope: &'env Mutex<Scope<'env>>,
    settings: Vec<String>,
    /// The folder of the log of the client's channel.
    folder: Option<PathBuf>,
    /// What the replica does from the next start on.
    rules: Vec<Rule>,
    running: Option<Running<'scope, 'env>>,
    /// What the last run of the client left.
    run: Ended,
    /// How many of the commands of the run the `C:` lines have found or passed over.
    found: usize,
    /// The connection of the last question.
    asked: Option<Wire>,
    transcript: Vec<Event>,
}

impl<'scope, 'env> Play<'scope, 'env> {
    fn step(&mut self, step: &Step) -> Done {
        match &step.action {
            Action::Message(name, value) => {
                let mut scope = lock(self.scope);
                let value = scope.bytes(value)?;
                scope.define_message(name, value);
            }
            Action::Have(side, text) => self.have(step, *side, text)?,
            Action::On(rule) => match &self.running {
                Some(running) => running.shared.add(vec![rule.clone()]),
                None => self.rules.push(rule.clone()),
            },
            Action::Setting(line) => {
                let line = lock(self.scope).bytes(line)?;
                self.settings.push(String::from_utf8_lossy(&line).into_owned());
            }
            Action::Log(line, is_left) => {
                let line = lock(self.scope).bytes(line)?;
                let log = self.folder()?.join(if *is_left { "log-run" } else { "log" });
                super::running::log(&log, &line, self.running.is_some())?;
            }
            Action::Run(arguments) => {
                self.start(arguments)?;
                self.ends(step)?;
            }
            Action::Start(arguments) => self.start(arguments)?,
            Action::Until(line) => self.until(step, line)?,
            Action::Stop => {
                let running = self.running.as_ref().ok_or("no client runs".to_owned())?;
                running.stop();
                self.ends(step)?;
            }
            Action::Ends => self.ends(step)?,
            Action::File(name) => super::running::log(&self.folder()?.join(name), b"", false)?,
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

    fn folder(&self) -> Result<&PathBuf, Stop> {
        let folder = self.folder.as_ref();
        folder.ok_or_else(|| Stop::Broken("the client's folders are not known".to_owned()))
    }

    fn start(&mut self, arguments: &Template) -> Done {
        if self.running.is_some() {
            return Err(Stop::Broken("the client runs already".to_owned()));
        }
        let arguments = lock(self.scope).bytes(arguments)?;
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let rules = std::mem::take(&mut self.rules);
        self.found = 0;
        self.run = Ended::default();
        self.running = Some(Running::start(
            self.threads,
            self.stage,
            self.scope,
            rules,
            &arguments,
            &self.settings,
        )?);
        Ok(())
    }

    /// Waits for the end of the client.
    fn ends(&mut self, step: &Step) -> Done {
        let running = self.running.take().ok_or("no client runs".to_owned())?;
        let (ended, events) = running.wait(self.stage.run_limit);
        self.transcript.extend(events);
        self.run = ended.map_err(|error| Stop::Broken(error.to_string()))?;
        if self.run.is_over {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&self.run.said).into_owned();
        Err(failed(step, b"still running", said))
    }

    /// Ends a client that still runs, for the report.
    fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            let (_, events) = running.wait(Duration::ZERO);
            self.transcript.extend(events);
        }
    }

    /// The commands so far.
    fn commands(&self) -> Vec<Vec<u8>> {
        match &self.running {
            Some(running) => lock(&running.shared.commands).clone(),
            None => self.run.commands.clone(),
        }
    }

    fn until(&mut self, step: &Step, line: &pattern::Line) -> Done {
        let end = Instant::now() + self.stage.run_limit;
        loop {
            let has_ended = self.running.as_mut().is_none_or(Running::has_ended);
            match self.sent(step, line) {
                Err(Stop::Failed(_)) if !has_ended && Instant::now() < end => thread::sleep(LOOK),
                done => return done,
            }
        }
    }

    fn sent(&mut self, step: &Step, line: &pattern::Line) -> Done {
        let commands = self.commands();
        let mut scope = lock(self.scope);
        let mut nearest = "nothing more was sent".to_owned();
        for (at, command) in commands.iter().enumerate().skip(self.found) {
            match matching::line(line, &Heard::Line(command.clone()), &mut scope) {
                Ok(names) => {
                    for (name, value) in names {
                        scope.bind(&name, value);
                    }
                    self.found = at + 1;
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
        for command in &self.commands() {
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
        if let Some(folder) = &self.folder {
            // Most scenarios have none.
            let _ = std::fs::remove_dir_all(folder);
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
