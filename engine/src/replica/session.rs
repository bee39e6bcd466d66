//! A connection from banner to close.

use protocol::command::{Command, Streaming};
use protocol::decode::{CommandDecoder, CommandEvent};
use protocol::fault::Malformed;
use protocol::response::{Code, Final};
use protocol::{MailboxLine, Record, Text};

use super::answers::{Asked, Tally};
use super::batch::Batch;
use super::fail::{Fail, Stop, needs_authentication, unknown_keyword};
use super::looks::Looks;
use super::{ReplicaConfig, apply, auth, get, restore};
use crate::flow::{Ended, Port, TlsStarted};
use crate::ticket::Request;

/// Who the peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    /// Not authenticated yet.
    Guest,
    /// May replicate.
    Admin,
    /// Authenticated, and not among the administrators.
    Stranger,
}

/// All there is to a connection.
pub(super) struct Conn {
    pub(super) port: Port<CommandDecoder>,
    pub(super) config: ReplicaConfig,
    pub(super) peer: Peer,
    pub(super) compressed: bool,
    /// Set inside TLS.
    pub(super) tls: Option<TlsStarted>,
    /// Logins that were refused.
    pub(super) failed_logins: u32,
    /// The peer asked for scripts as messages of `#sieve` mailboxes.
    pub(super) sieve_mailbox: bool,
    /// The peer asked that its values win whatever is here. Never outlives the connection.
    pub(super) force: bool,
    pub(super) batch: Batch,
    /// What the peer was told of mailboxes.
    pub(super) looks: Looks,
    /// A file was begun that cannot be completed: nothing may be sent behind it.
    pub(super) broken_off: bool,
    /// The command that runs.
    pub(super) asked: Asked,
    pub(super) tally: Tally,
}

/// An event within a line that streams records.
pub(super) enum Item {
    /// An element of `RECORD`.
    Record(Record),
    /// The line is complete; the keys that came after `RECORD`.
    End(Box<MailboxLine>),
    /// The line is refused by the grammar; its rest is skipped.
    Bad(Malformed),
}

/// Runs a connection to its end.
pub(super) async fn run(port: Port<CommandDecoder>, config: ReplicaConfig, tally: Tally) {
    let mut conn = Conn {
        port,
        peer: if config.trusted { Peer::Admin } else { Peer::Guest },
        compressed: false,
        tls: None,
        failed_logins: 0,
        sieve_mailbox: false,
        force: false,
        batch: Batch::default(),
        looks: Looks::default(),
        broken_off: false,
        asked: Asked::default(),
        tally,
        config,
    };
    if conn.peer == Peer::Guest {
        conn.port.limit_input(Some(conn.config.unauthenticated_bytes_max));
    }
    auth::greet(&conn);
    let stop = loop {
        if let Err(stop) = conn.step().await {
            break stop;
        }
    };
    conn.finish(stop).await;
}

impl Conn {
    /// Reads and answers one command. [CS-CONN-7] [CS-CONN-9]
    async fn step(&mut self) -> Result<(), Stop> {
        self.port.room().await;
        match self.next().await? {
            CommandEvent::Command(command) => self.command(command).await?,
            CommandEvent::Begin(streaming) => self.streaming(streaming).await?,
            CommandEvent::Bad(malformed) => self.malformed(&malformed).await,
            CommandEvent::Fatal(malformed) => return Err(Stop::Fatal(malformed)),
            // Parts of a line whose beginning was not seen cannot come; were they to, they would be of no command.
            _ => {}
        }
        match (self.broken_off, self.batch.broken) {
            (true, _) => Err(Stop::Silent),
            (false, true) => Err(Stop::Broken),
            (false, false) => Ok(()),
        }
    }

    /// The next event between commands. What is held is settled before waiting for the peer. [CS-APPLY-2]
    async fn next(&mut self) -> Result<CommandEvent, Stop> {
        if !self.batch.is_idle() {
            if !self.port.is_shutdown()
                && let Some(event) = self.port.event_now()
            {
                return Ok(event);
            }
            self.settle().await;
        }
        self.port.event(true).await.map_err(Stop::Ended)
    }

    /// The next event within a line.
    pub(super) async fn inside(&mut self) -> Result<CommandEvent, Stop> {
        match self.port.event(false).await {
            Ok(CommandEvent::Fatal(malformed)) => Err(Stop::Fatal(malformed)),
            Ok(event) => Ok(event),
            Err(ended) => Err(Stop::Ended(ended)),
        }
    }

    /// The next event within a line that streams files. Staging is outside of transactions, so what is held is
    /// settled before waiting: the rest of a long upload may depend on the peer having its answers.
    pub(super) async fn inside_files(&mut self) -> Result<CommandEvent, Stop> {
        if !self.batch.is_idle() {
            match self.port.event_now() {
                Some(CommandEvent::Fatal(malformed)) => return Err(Stop::Fatal(malformed)),
                Some(event) => return Ok(event),
                None => self.settle().await,
            }
        }
        self.inside().await
    }

    /// The next event within a line that streams records.
    pub(super) async fn item(&mut self) -> Result<Item, Stop> {
        loop {
            match self.inside().await? {
                CommandEvent::Record(record) => return Ok(Item::Record(record)),
                CommandEvent::End(line) => return Ok(Item::End(line)),
                CommandEvent::Bad(malformed) => return Ok(Item::Bad(malformed)),
                _ => {}
            }
        }
    }

    /// Skips the rest of a streaming line; its own fault, when it has one, is worth more than the caller's.
    pub(super) async fn skip_line(&mut self) -> Result<Option<Malformed>, Stop> {
        loop {
            match self.inside().await? {
                CommandEvent::End(_) => return Ok(None),
                CommandEvent::Bad(malformed) => return Ok(Some(malformed)),
                _ => {}
            }
        }
    }

    /// Skips the rest of a streaming line that is refused for `fail`.
    pub(super) async fn refuse_line(&mut self, fail: Fail) -> Result<Fail, Stop> {
        Ok(self.skip_line().await?.map_or(fail, Fail::Malformed))
    }

    async fn command(&mut self, command: Command) -> Result<(), Stop> {
        self.asked = Asked::command(&command);
        let open_to_guests = !matches!(
            command,
            Command::Get(_) | Command::Apply(_) | Command::RestoreUnknown(_)
        );
        if let Some(refusal) = self.refusal(open_to_guests) {
            self.answer(Vec::new(), refusal, false);
            return Ok(());
        }
        match command {
            Command::Apply(command) => {
                let outcome = apply::run(self, command).await;
                self.conclude(outcome).await;
            }
            Command::Get(get) => {
                self.settle().await;
                let outcome = get::run(self, get).await;
                self.conclude(outcome.map(|()| Vec::new())).await;
            }
            Command::RestoreUnknown(keyword) => self.conclude(Err(unknown_keyword(&keyword))).await,
            other => {
                self.settle().await;
                self.session_command(other).await?;
            }
        }
        Ok(())
    }

    /// Commands about the connection itself. [CS-CONN-12] [CS-CONN-13] [CS-CONN-14] [CS-CONN-16]
    async fn session_command(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Noop => self.say(ok("Noop completed")),
            Command::Exit => {
                self.say(ok("Finished"));
                return Err(Stop::Exit);
            }
            // Nothing can be staged, and a stranger is no reason to wake the store.
            Command::Restart if self.peer == Peer::Guest => self.say(ok("Restarting")),
            Command::Restart => match self.port.store(Request::ForgetStaged).await {
                Ok(_) => self.say(ok("Restarting")),
                Err(error) => self.say(Fail::from(error).to_final()),
            },
            Command::Authenticate { mechanism, initial } => {
                auth::authenticate(self, mechanism, initial).await?
            }
            Command::StartTls => auth::start_tls(self).await?,
            Command::Compress { algorithm } => auth::compress(self, &algorithm),
            Command::TaggedProbe { tag } => auth::answer_probe(self, &tag),
            _ => self.say(bad("IMAP_PROTOCOL_ERROR Unrecognized command")),
        }
        Ok(())
    }

    /// A line that streams. Its LOCAL_ form says nothing to a replica on its own. [CS-APPLY-6]
    async fn streaming(&mut self, streaming: Streaming) -> Result<(), Stop> {
        self.asked = Asked::streaming(&streaming);
        if let Some(refusal) = self.refusal(false) {
            self.skip_line().await?;
            self.answer(Vec::new(), refusal, false);
            return Ok(());
        }
        let outcome = match streaming {
            Streaming::Message => apply::message::run(self).await?,
            Streaming::Mailbox { line, .. } => apply::mailbox::run(self, line).await?,
            Streaming::Restore { line, .. } => restore::run(self, line).await?,
        };
        self.conclude(outcome.map(|()| Vec::new())).await;
        Ok(())
    }

    async fn malformed(&mut self, malformed: &Malformed) {
        self.asked = Asked::malformed(malformed);
        let reply = self
            .refusal(!needs_authentication(malformed))
            .unwrap_or_else(|| Fail::Malformed(malformed.clone()).to_final());
        self.answer(Vec::new(), reply, false);
    }

    /// What a peer of this standing is answered instead of the command's own answer. [CS-GET-1] [CS-APPLY-1]
    /// [CS-CONN-18] [CS-CONN-24]
    fn refusal(&self, open_to_guests: bool) -> Option<Final> {
        match self.peer {
            Peer::Admin => None,
            Peer::Guest if open_to_guests => None,
            Peer::Guest => Some(Final::No(
                Code::Other,
                Text::from_static(b"Please authenticate first"),
            )),
            Peer::Stranger => Some(Final::No(Code::Other, Text::from_static(b"Permission denied"))),
        }
    }

    /// Gives up in the middle of a file that was announced longer than its bytes can be had: whatever were sent
    /// behind it would be read as its bytes, so the connection ends.
    pub(super) fn break_off(&mut self) -> Fail {
        self.broken_off = true;
        Fail::other("the message could not be read to its end")
    }

    /// Sends a final line.
    pub(super) fn say(&mut self, line: Final) {
        self.answer(Vec::new(), line, false);
    }

    /// Leaves nothing half done behind, and tells the peer why the connection ends where that is possible.
    /// [CS-CONN-25] [CS-CONN-26] [CS-CONN-28]
    async fn finish(&mut self, stop: Stop) {
        self.abandon().await;
        self.settle().await;
        let last = match stop {
            Stop::Exit | Stop::Silent => return,
            Stop::Ended(Ended::Eof | Ended::Shutdown) if self.port.is_shutdown() => {
                self.say(Final::Bye(Text::from_static(b"shutting down")));
                return;
            }
            Stop::Ended(Ended::Eof | Ended::Shutdown) => return,
            Stop::Ended(Ended::TooMuch) => {
                format!(
                    "[TOOBIG] more than {} bytes before authentication",
                    self.config.unauthenticated_bytes_max
                )
            }
            Stop::Guessing => "too many failed logins".to_owned(),
            Stop::Injected => "bytes in clear behind STARTTLS".to_owned(),
            Stop::Fatal(malformed) => format!("{}: {malformed}", malformed.reply_text()),
            Stop::Broken => "the replica's store can neither keep nor undo the last command".to_owned(),
        };
        self.port
            .encode(|encoder| encoder.raw(format!("* Fatal error: {last}\r\n").as_bytes()));
    }
}

/// `OK text`.
pub(super) fn ok(text: &'static str) -> Final {
    Final::Ok(Text::from_static(text.as_bytes()))
}

/// `BAD text`.
pub(super) fn bad(text: impl Into<String>) -> Final {
    Final::Bad(Text::from(text.into()))
}

/// `NO text` without a code.
pub(super) fn no(text: impl Into<String>) -> Final {
    Final::No(Code::Other, Text::from(text.into()))
}
