//! Plays one scenario against a server.

use super::matching::{self, Heard};
use super::pattern;
use super::profile::Deviation;
use super::scenario::{Action, STATE, Scenario, Start, Step};
use super::scope::Scope;
use super::target::Target;
use super::template::{self, Piece, Template};
use super::wire::Wire;
use crate::csync::dlist;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// How long an answer is waited for; far above what any server needs.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a scenario that expects silence listens.
const SILENCE: Duration = Duration::from_secs(2);
/// The connection that makes what a scenario `have`s.
const HAVE: &str = "have";

/// One thing that went over a connection.
#[derive(Debug, Clone)]
pub struct Event {
    /// Which connection.
    pub connection: String,
    /// Who said it.
    pub side: Side,
    /// What was said, without secrets.
    pub bytes: Vec<u8>,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
    /// The suite, about what happened: connected, closed, no answer.
    Note,
}

/// Where a scenario and a server part.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Line of the scenario.
    pub line: usize,
    /// That line.
    pub expected: String,
    /// What came instead.
    pub heard: Heard,
    /// Where they part.
    pub why: String,
}

/// How a scenario ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// As the spec asks.
    Passed,
    /// Not as the spec asks.
    Failed(Failure),
    /// It could not be played.
    Broken(String),
}

/// A scenario that was played.
#[derive(Debug)]
pub struct Played {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether a failure is what the deviation says.
    pub is_known: bool,
    /// All that was said.
    pub transcript: Vec<Event>,
    /// How long it took.
    pub took: Duration,
}

/// Why a scenario stops.
enum Stop {
    Failed(Box<Failure>),
    Broken(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Broken(text)
    }
}

type Done = Result<(), Stop>;

/// Plays a scenario; all names that it makes begin with `stem`. Users and mailboxes are removed afterwards unless `keep` is set.
pub fn play(
    scenario: &Scenario,
    target: &Target,
    stem: &str,
    known: Option<&Deviation>,
    keep: bool,
) -> Played {
    let started = Instant::now();
    let mut play = Play {
        scenario,
        scope: Scope::new(target, stem),
        wires: BTreeMap::new(),
        transcript: Vec::new(),
        patience: known.map_or(PATIENCE, |known| known.patience(PATIENCE)),
        skipping: false,
        is_over: false,
    };
    let done = play.steps().and_then(|()| play.in_step());
    let outcome = match done {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed(failure)) => Outcome::Failed(*failure),
        Err(Stop::Broken(text)) => Outcome::Broken(text),
    };
    let is_known = match (&outcome, known) {
        (Outcome::Failed(failure), Some(known)) => known
            .does
            .iter()
            .any(|line| matching::line(line, &failure.heard, &mut play.scope).is_ok()),
        _ => false,
    };
    if !keep {
        play.clean();
    }
    Played {
        outcome,
        is_known,
        transcript: play.transcript,
        took: started.elapsed(),
    }
}

struct Play<'a> {
    scenario: &'a Scenario,
    scope: Scope<'a>,
    /// Open connections; `None` once closed.
    wires: BTreeMap<String, Option<Wire>>,
    transcript: Vec<Event>,
    patience: Duration,
    /// Whether data lines before the next expected one are passed over.
    skipping: bool,
    /// Whether the server ended the scenario where it may.
    is_over: bool,
}

impl<'a> Play<'a> {
    fn steps(&mut self) -> Done {
        let steps = &self.scenario.steps;
        let mut at = 0;
        while let Some(step) = steps.get(at).filter(|_| !self.is_over) {
            let group = steps[at..]
                .iter()
                .take_while(|next| is_grouped(next, step))
                .count();
            if group > 1 {
                self.any_order(&steps[at..at + group])?;
                at += group;
            } else {
                self.step(step)?;
                at += 1;
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Done {
        let connection = step.connection.as_str();
        match &step.action {
            Action::Send { bytes, line_end } => {
                let mut bytes = self.scope.bytes(bytes)?;
                if *line_end {
                    bytes.extend_from_slice(b"\r\n");
                }
                self.open(connection, self.scenario.start)?;
                self.send(connection, &bytes);
            }
            Action::Expect { line, .. } => self.expect(step, line)?,
            Action::Have(text) => self.have(step, text)?,
            Action::Ask(text) => {
                let bytes = [self.scope.bytes(text)?.as_slice(), b"\r\n"].concat();
                if matches!(self.wires.get(STATE), Some(Some(_))) {
                    self.leave(STATE)?;
                }
                self.wires.remove(STATE);
                self.open(STATE, Start::Login)?;
                self.send(STATE, &bytes);
            }
            Action::Connect => {
                self.wires.remove(connection);
                self.connect(connection, None)?;
            }
            Action::Socket => {
                let path = self.scope.target().socket.as_deref();
                self.connect(connection, Some(path.unwrap_or_default()))?;
            }
            Action::Login => {
                self.open(connection, Start::Banner)?;
                self.login(connection)?;
            }
            Action::Tls { or_closed } => self.tls(step, *or_closed)?,
            Action::Deflate => self.wire(connection)?.deflate(),
            Action::Close => {
                self.wires.insert(connection.to_owned(), None);
                self.note(connection, "closed by the scenario");
            }
            Action::HalfClose => {
                // A server that has closed already shows in what is read next.
                let _ = self.wire(connection)?.end_sending();
                self.note(connection, "nothing more will be sent");
            }
            Action::Wait(time) => std::thread::sleep(*time),
            Action::Let { name, value } => {
                let value = self.scope.bytes(value)?;
                self.scope.bind(name, value);
            }
            Action::Message { name, value } => {
                let value = self.scope.bytes(value)?;
                self.scope.define_message(name, value);
            }
        }
        Ok(())
    }

    fn note(&mut self, connection: &str, text: &str) {
        self.record(connection, Side::Note, text.as_bytes());
    }

    fn record(&mut self, connection: &str, side: Side, bytes: &[u8]) {
        self.transcript.push(Event {
            connection: connection.to_owned(),
            side,
            bytes: self.scope.redacted(bytes),
        });
    }

    /// An open connection.
    fn wire(&mut self, connection: &str) -> Result<&mut Wire, Stop> {
        match self.wires.get_mut(connection) {
            Some(Some(wire)) => Ok(wire),
            _ => Err(Stop::Broken(format!("connection {connection} is not open"))),
        }
    }

    /// Connects to `address`, else to the server's own.
    fn connect(&mut self, connection: &str, address: Option<&str>) -> Done {
        let address = address.unwrap_or(&self.scope.target().address);
        let wire = Wire::connect(address).map_err(|error| format!("connecting to {address}: {error}"))?;
        self.wires.insert(connection.to_owned(), Some(wire));
        self.note(connection, "connected");
        Ok(())
    }

    /// Opens a connection that was not there before.
    fn open(&mut self, connection: &str, start: Start) -> Done {
        if self.wires.contains_key(connection) {
            return Ok(());
        }
        self.connect(connection, None)?;
        if start == Start::Nothing {
            return Ok(());
        }
        self.banner(connection)?;
        if start == Start::Login {
            self.login(connection)?;
        }
        Ok(())
    }

    /// Reads the banner.
    fn banner(&mut self, connection: &str) -> Done {
        loop {
            match self.hear(connection, PATIENCE)? {
                Heard::Line(line) if line.starts_with(b"* OK") => return Ok(()),
                Heard::Line(line) if line.starts_with(b"* ") => {}
                heard => return Err(Stop::Broken(format!("in place of a banner: {}", heard.shown()))),
            }
        }
    }

    /// The connection for what is to be had: over the server's Unix socket where there is one, which asks for no login.
    fn open_have(&mut self) -> Done {
        let Some(socket) = self.scope.target().socket.as_deref() else {
            return self.open(HAVE, Start::Login);
        };
        if !self.wires.contains_key(HAVE) {
            self.connect(HAVE, Some(socket))?;
            self.banner(HAVE)?;
        }
        Ok(())
    }

    fn login(&mut self, connection: &str) -> Done {
        let command = template::parse("AUTHENTICATE PLAIN <plain><crlf>")?;
        let command = self.scope.bytes(&command)?;
        self.send(connection, &command);
        match self.hear(connection, PATIENCE)? {
            Heard::Line(line) if line.starts_with(b"OK ") => Ok(()),
            heard => Err(Stop::Broken(format!(
                "the administrator's login was answered {}",
                heard.shown()
            ))),
        }
    }

    fn send(&mut self, connection: &str, bytes: &[u8]) {
        self.record(connection, Side::Client, bytes);
        // A server that has closed shows in what is read next.
        if let Ok(wire) = self.wire(connection) {
            let _ = wire.send(bytes);
        }
    }

    fn hear(&mut self, connection: &str, patience: Duration) -> Result<Heard, Stop> {
        let heard = match self.wires.get_mut(connection) {
            Some(Some(wire)) => wire.line(patience),
            Some(None) => Heard::Closed,
            None => return Err(Stop::Broken(format!("connection {connection} is not open"))),
        };
        match &heard {
            Heard::Line(line) => self.record(connection, Side::Server, line),
            Heard::Closed => {
                self.wires.insert(connection.to_owned(), None);
                self.note(connection, "closed by the server");
            }
            Heard::Waits => {
                let pending = self.wire(connection)?.pending().to_vec();
                if !pending.is_empty() {
                    self.record(connection, Side::Server, &pending);
                }
                self.note(connection, "nothing more came");
            }
        }
        Ok(heard)
    }

    /// Reads whatever comes, until the server closes or nothing more comes.
    fn hear_out(&mut self, connection: &str) -> Result<Heard, Stop> {
        let patience = self.patience;
        let Some(Some(wire)) = self.wires.get_mut(connection) else {
            return Ok(Heard::Closed);
        };
        let (bytes, end) = wire.bytes(patience);
        if !bytes.is_empty() {
            self.record(connection, Side::Server, &bytes);
        }
        if end == Heard::Closed {
            self.wires.insert(connection.to_owned(), None);
            self.note(connection, "closed by the server");
        }
        Ok(end)
    }

    fn expect(&mut self, step: &Step, line: &pattern::Line) -> Done {
        if *line == pattern::Line::Skip {
            self.skipping = true;
            return Ok(());
        }
        let skipping = std::mem::take(&mut self.skipping);
        self.open(&step.connection, self.scenario.start)?;
        let patience = if line.may_wait() { SILENCE } else { self.patience };
        loop {
            let heard = if *line == pattern::Line::Ends {
                self.hear_out(&step.connection)?
            } else {
                self.hear(&step.connection, patience)?
            };
            match matching::line(line, &heard, &mut self.scope) {
                Ok(names) => {
                    for (name, value) in names {
                        self.scope.bind(&name, value);
                    }
                    return Ok(());
                }
                Err(_) if skipping && heard.is_data() => {}
                Err(why) => return Err(failed(step, heard, why)),
            }
        }
    }

    fn any_order(&mut self, steps: &[Step]) -> Done {
        let mut left: Vec<&Step> = steps.iter().collect();
        while let Some(first) = left.first().copied() {
            let heard = self.hear(&first.connection, self.patience)?;
            let mut faults = Vec::new();
            let mut taken = None;
            for (at, step) in left.iter().enumerate() {
                let Action::Expect { line, .. } = &step.action else {
                    continue;
                };
                match matching::line(line, &heard, &mut self.scope) {
                    Ok(names) => {
                        for (name, value) in names {
                            self.scope.bind(&name, value);
                        }
                        taken = Some(at);
                        break;
                    }
                    Err(fault) => faults.push(fault),
                }
            }
            match taken {
                Some(at) => drop(left.remove(at)),
                None => return Err(failed(first, heard, faults.join("; and "))),
            }
        }
        Ok(())
    }

    /// Stages the messages that a `<mailbox:...>` names, and applies it; anything else is a command.
    fn have(&mut self, step: &Step, text: &Template) -> Done {
        self.open_have()?;
        let mut command = self.scope.bytes(text)?;
        if let Some(Piece::Call(call)) = text.first()
            && call.name == "mailbox"
        {
            let upload = self.upload(text, &command)?;
            if !upload.is_empty() {
                self.have_done(step, &upload)?;
            }
            command.splice(0..0, *b"APPLY MAILBOX ");
        }
        self.have_done(step, &command)
    }

    fn have_done(&mut self, step: &Step, command: &[u8]) -> Done {
        self.send(HAVE, &[command, b"\r\n"].concat());
        loop {
            let heard = self.hear(HAVE, PATIENCE)?;
            match &heard {
                heard if heard.is_data() => {}
                Heard::Line(line) if line.starts_with(b"OK ") => return Ok(()),
                _ => {
                    return Err(failed(
                        step,
                        heard,
                        "what the scenario needs was refused".to_owned(),
                    ));
                }
            }
        }
    }

    /// APPLY MESSAGE with all live messages of a mailbox; empty when there are none.
    fn upload(&mut self, text: &Template, mailbox: &[u8]) -> Result<Vec<u8>, Stop> {
        let line = [b"X ", mailbox].concat();
        let (_, mailbox) = dlist::read_named(&line).map_err(|error| error.to_string())?;
        let partition = mailbox.text("PARTITION").unwrap_or_default();
        let mut files = Vec::new();
        for call in template::calls(text)
            .into_iter()
            .filter(|call| call.name == "record")
        {
            let record = self.scope.value(call)?.unwrap_or_default();
            let is_expunged = record.windows(9).any(|word| word == b"\\Expunged");
            let name = call.argument.as_deref().unwrap_or_default();
            if !is_expunged {
                let file = template::parse(&format!("<file:{name}@{partition}>"))?;
                files.push(self.scope.bytes(&file)?);
            }
        }
        if files.is_empty() {
            return Ok(Vec::new());
        }
        Ok([b"APPLY MESSAGE (".as_slice(), &files.join(&b' '), b")"].concat())
    }

    fn tls(&mut self, step: &Step, or_closed: bool) -> Done {
        let patience = self.patience;
        let handshake = match self.wires.get_mut(&step.connection) {
            Some(None) => Err(ErrorKind::UnexpectedEof.into()),
            _ => self.wire(&step.connection)?.tls(patience),
        };
        let Err(error) = handshake else {
            self.note(&step.connection, "TLS from here on");
            return Ok(());
        };
        self.wires.insert(step.connection.clone(), None);
        if or_closed && is_close(error.kind()) {
            self.note(&step.connection, "closed by the server");
            self.is_over = true;
            return Ok(());
        }
        let why = format!("the TLS handshake failed: {error}");
        Err(failed(step, Heard::Closed, why))
    }

    /// Every connection that is still open must answer EXIT with one line, and close [CS-CONN-13]. Whatever a server said beyond what the
    /// scenario asked for comes before that line, whatever its words: it is one line too many.
    fn in_step(&mut self) -> Done {
        let open: Vec<String> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        open.iter().try_for_each(|connection| self.leave(connection))
    }

    /// Ends one connection, as [`Play::in_step`] asks.
    fn leave(&mut self, connection: &str) -> Done {
        let length = self.transcript.len();
        self.send(connection, b"EXIT\r\n");
        let first = self.hear(connection, self.patience)?;
        let is_answer = matches!(&first, Heard::Line(line) if line.starts_with(b"OK "));
        let (heard, why) = if is_answer {
            match self.hear(connection, self.patience)? {
                Heard::Closed => {
                    // Nobody wants to read of what is the same in every scenario.
                    self.transcript.truncate(length);
                    return Ok(());
                }
                Heard::Waits => (Heard::Waits, "EXIT was answered, and the connection stays open"),
                Heard::Line(_) => (
                    first,
                    "more came than was asked for: EXIT is answered with one line",
                ),
            }
        } else {
            (first, "the connection is not in step any more")
        };
        let line = self.scenario.steps.last().map_or(0, |step| step.line);
        Err(Stop::Failed(Box::new(Failure {
            line,
            expected: "(after the last step, EXIT is answered with one line, then) S: <closed>".to_owned(),
            why: why.to_owned(),
            heard,
        })))
    }

    /// Removes what was made, as far as the server lets us.
    fn clean(&mut self) {
        self.wires.clear();
        let users: Vec<String> = self.scope.users().map(str::to_owned).collect();
        let mailboxes: Vec<String> = self.scope.mailboxes().map(str::to_owned).collect();
        let length = self.transcript.len();
        if self.open_have().is_ok() {
            let mailboxes = mailboxes.iter().map(|name| format!("APPLY UNMAILBOX {name}\r\n"));
            for command in mailboxes.chain(users.iter().map(|user| format!("APPLY UNUSER {user}\r\n"))) {
                self.send(HAVE, command.as_bytes());
                if !matches!(self.hear(HAVE, PATIENCE), Ok(Heard::Line(_))) {
                    break;
                }
            }
        }
        // What follows the scenario is no part of it.
        self.transcript.truncate(length);
    }
}

/// Whether `next` belongs to the group of lines in any order that `first` begins.
fn is_grouped(next: &Step, first: &Step) -> bool {
    let any_order = |step: &Step| matches!(step.action, Action::Expect { any_order: true, .. });
    any_order(first) && any_order(next) && next.connection == first.connection
}

/// Whether an error says that the other side has closed.
fn is_close(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn failed(step: &Step, heard: Heard, why: String) -> Stop {
    Stop::Failed(Box::new(Failure {
        line: step.line,
        expected: step.text.clone(),
        heard,
        why,
    }))
}
