//! The server side: answers GET, APPLY and RESTORE over a store.

mod answers;
mod apply;
mod ask;
mod auth;
mod batch;
mod fail;
mod get;
mod line;
mod looks;
mod mbtype;
mod restore;
mod session;

use protocol::Text;
use protocol::decode::{CommandDecoder, CommandEvent};
use protocol::encode::LiteralStyle;
use protocol::limits::Limits;

use self::answers::Tally;
pub use self::answers::{Answers, Kind, Refusal};
use crate::flow::{Decoder, Input, Machine, Now, Output};

/// What a replica needs to know beside its store.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Name in the banner.
    pub servername: String,
    /// Program and version in the banner, such as `mailtwin 0.1.0`.
    pub version: String,
    /// SASL mechanisms offered in the banner, space-separated order kept; empty offers none.
    pub mechanisms: Vec<String>,
    /// What STARTTLS leads to; `None` when there is no certificate, and STARTTLS is an unknown command.
    pub tls: Option<ReplicaTls>,
    /// Whether `COMPRESS DEFLATE` is offered and accepted.
    pub compress: bool,
    /// Partitions that exist here. Empty accepts any name.
    pub partitions: Vec<Text>,
    /// Whether the peer needs no authentication (Unix sockets): it is the administrator, and sees no capabilities.
    pub trusted: bool,
    /// Limits on what a peer may send.
    pub limits: Limits,
    /// Bytes a peer may send before it is authenticated; then `* Fatal error` and close. [CS-CONN-28]
    pub unauthenticated_bytes_max: u64,
}

/// What a replica offers inside TLS.
#[derive(Clone, Debug)]
pub struct ReplicaTls {
    /// SASL mechanisms offered there in place of those in clear. EXTERNAL among them is left out for a peer without a
    /// certificate.
    pub mechanisms: Vec<String>,
}

/// One connection's server side.
pub struct Replica {
    machine: Machine<CommandDecoder>,
    tally: Tally,
}

impl Replica {
    /// A new connection; the banner is the first output.
    pub fn new(config: ReplicaConfig) -> Self {
        let decoder = CommandDecoder::new(config.limits.clone());
        let tally = Tally::default();
        let counted = tally.clone();
        Replica {
            machine: Machine::new(decoder, LiteralStyle::Server, |port| {
                session::run(port, config, counted)
            }),
            tally,
        }
    }

    /// Takes one thing that happened; `now` is wall-clock time in seconds.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.machine.handle(now, input);
    }

    /// The next thing to do; call until it answers `Wait` or `Closed`.
    pub fn poll(&mut self) -> Output {
        self.machine.poll()
    }

    /// What was answered since this was last called.
    pub fn take_answers(&mut self) -> Answers {
        answers::take(&self.tally)
    }
}

impl Decoder for CommandDecoder {
    type Event = CommandEvent;

    fn push(&mut self, bytes: bytes::Bytes) {
        CommandDecoder::push(self, bytes);
    }

    fn next_event(&mut self) -> Option<CommandEvent> {
        match self.poll() {
            CommandEvent::NeedMore => None,
            event => Some(event),
        }
    }

    fn take_buffered(&mut self) -> bytes::Bytes {
        CommandDecoder::take_buffered(self)
    }
}
