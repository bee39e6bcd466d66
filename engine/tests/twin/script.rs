//! A master against a server that says what a test tells it to.

use bytes::Bytes;
use engine::flow::{Input, Now, Output, SaslReply, SaslRequest, TlsStarted};
use engine::master::{Master, MasterConfig, Progress};
use engine::ticket::Session;
use protocol::command::Streaming;
use protocol::decode::{CommandDecoder, CommandEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::limits::Limits;
use store::memory::MemoryStore;

/// What the server does about a command.
pub enum Answer {
    /// Says this.
    Say(String),
    /// Says this and closes.
    Close(String),
}

/// Says a line.
pub fn say(line: &str) -> Answer {
    Answer::Say(format!("{line}\r\n"))
}

/// Answers as a replica that accepts everything and has nothing.
pub fn agree(command: &str) -> Answer {
    if command.starts_with("APPLY CAPABILITIES") {
        return Answer::Say("* ENABLED (SIEVE-MAILBOX)\r\nOK success\r\n".to_owned());
    }
    say("OK success")
}

/// A run's end.
pub struct Conversation {
    /// The master's counters.
    pub progress: Progress,
    /// The commands, with what streams told in short.
    pub said: Vec<String>,
}

/// Runs a master; `answer` gets each command and answers it.
pub fn converse(
    config: MasterConfig,
    store: &MemoryStore,
    banner: &str,
    mut answer: impl FnMut(&str) -> Answer,
) -> Conversation {
    let mut master = Master::new(config);
    let mut session = store.session();
    let mut server = Listener::default();
    let now = Now(2_000_000_000);
    let mut closed = false;
    master.handle(now, Input::Bytes(Bytes::from(banner.to_owned())));
    loop {
        match master.poll() {
            Output::Send(bytes) => server.hear(bytes),
            Output::Store(ticket, request) => {
                let reply = session.execute(request);
                master.handle(now, Input::Stored(ticket, reply));
            }
            Output::Sasl(SaslRequest::Choose { .. }) => {
                let mechanism = "PLAIN".to_owned();
                let initial = Some(Bytes::from_static(b"AGEAYg=="));
                master.handle(now, Input::Sasl(SaslReply::Chosen { mechanism, initial }));
            }
            Output::Sasl(_) => {
                master.handle(now, Input::Sasl(SaslReply::Send(Bytes::from_static(b"AGEAYg=="))))
            }
            Output::StartTls => master.handle(now, Input::TlsStarted(TlsStarted { identified: false })),
            Output::StartDeflate { .. } => {}
            Output::Wait(waiting) => {
                let Some(command) = (if closed { None } else { server.next() }) else {
                    assert!(!closed || !waiting.for_input, "waits for a peer that has closed");
                    assert!(!waiting.for_store && !waiting.for_sasl);
                    closed = true;
                    master.handle(now, Input::Eof);
                    continue;
                };
                match answer(&command) {
                    Answer::Say(text) => master.handle(now, Input::Bytes(Bytes::from(text))),
                    Answer::Close(text) => {
                        closed = true;
                        if !text.is_empty() {
                            master.handle(now, Input::Bytes(Bytes::from(text)));
                        }
                        master.handle(now, Input::Eof);
                    }
                }
                server.said.push(command);
            }
            Output::Closed => {
                let last = if closed { None } else { server.next() };
                server.said.extend(last);
                return Conversation {
                    progress: master.progress(),
                    said: server.said,
                };
            }
        }
    }
}

/// Reads what a master says.
pub struct Listener {
    decoder: CommandDecoder,
    streaming: Option<(String, usize)>,
    said: Vec<String>,
}

impl Default for Listener {
    fn default() -> Self {
        Listener {
            decoder: CommandDecoder::new(Limits::default()),
            streaming: None,
            said: Vec::new(),
        }
    }
}

impl Listener {
    /// Takes bytes.
    pub fn hear(&mut self, bytes: Bytes) {
        self.decoder.push(bytes);
    }

    /// The next complete command.
    pub fn next(&mut self) -> Option<String> {
        loop {
            match self.decoder.poll() {
                CommandEvent::NeedMore => return None,
                CommandEvent::Command(command) => {
                    let mut encoder = Encoder::new(LiteralStyle::Client);
                    encoder.command(&command);
                    return Some(String::from_utf8_lossy(&encoder.take()).trim_end().to_owned());
                }
                CommandEvent::Begin(Streaming::Message) => {
                    self.streaming = Some(("APPLY MESSAGE".to_owned(), 0))
                }
                CommandEvent::Begin(Streaming::Mailbox { line, .. } | Streaming::Restore { line, .. }) => {
                    let since = if line.since_modseq.is_some() { " since" } else { "" };
                    let name = line.mboxname.unwrap_or_default();
                    self.streaming = Some((format!("APPLY MAILBOX {name}{since}"), 0));
                }
                CommandEvent::Record(_) | CommandEvent::File(_) => {
                    if let Some((_, count)) = &mut self.streaming {
                        *count += 1;
                    }
                }
                CommandEvent::FileData(_) | CommandEvent::FileEnd | CommandEvent::Raw(_) => {}
                CommandEvent::End(_) => {
                    return self
                        .streaming
                        .take()
                        .map(|(what, count)| format!("{what} {count}"));
                }
                CommandEvent::Bad(fault) | CommandEvent::Fatal(fault) => {
                    panic!("the master said nonsense: {fault}")
                }
            }
        }
    }
}
