//! A machine over the memory store, with bounds on what it may do.

use std::collections::VecDeque;
use std::sync::LazyLock;

use bytes::Bytes;
use engine::flow::{Input, Now, Output, SaslReply, SaslRequest, TlsStarted, Waiting};
use engine::replica::{ReplicaConfig, ReplicaTls};
use engine::ticket::{Session, StoreError};
use engine::{Master, Replica};
use protocol::{Limits, Text};
use store::memory::MemoryStore;

/// When everything happens.
pub const NOW: Now = Now(1_800_000_000);

/// Tells what is said, on stderr, when `FUZZ_SHOW` is set: for a person who looks at one input.
pub fn show(who: &str, bytes: &[u8]) {
    static WANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("FUZZ_SHOW").is_some());
    if *WANTED && !bytes.is_empty() {
        eprintln!("{who}: {}", bytes.escape_ascii());
    }
}

/// Outputs between two inputs, at most: more is no progress any more.
const OUTPUTS_MAX: usize = 100_000;

/// What both machines have.
pub trait Machine {
    /// Takes one thing that happened.
    fn handle(&mut self, input: Input);
    /// The next thing to do.
    fn poll(&mut self) -> Output;
}

impl Machine for Replica {
    fn handle(&mut self, input: Input) {
        Replica::handle(self, NOW, input);
    }
    fn poll(&mut self) -> Output {
        Replica::poll(self)
    }
}

impl Machine for Master {
    fn handle(&mut self, input: Input) {
        Master::handle(self, NOW, input);
    }
    fn poll(&mut self) -> Output {
        Master::poll(self)
    }
}

/// A machine with its store session and what it has said.
pub struct Side<M> {
    /// The machine.
    pub machine: M,
    session: Box<dyn Session>,
    /// Bytes said and not taken.
    pub said: VecDeque<u8>,
    /// Bytes said in all.
    pub said_bytes: usize,
    /// Whether it has ended.
    pub closed: bool,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    tickets: usize,
    /// The storage ticket that fails, counted from 0, and with what.
    pub failing: Option<(usize, StoreError)>,
}

impl<M: Machine> Side<M> {
    /// A machine over a store.
    pub fn new(machine: M, store: &MemoryStore) -> Self {
        let mut side = Side {
            machine,
            session: Box::new(store.session()),
            said: VecDeque::new(),
            said_bytes: 0,
            closed: false,
            waiting: None,
            tickets: 0,
            failing: None,
        };
        side.settle();
        side
    }

    /// Gives one thing, and carries out what comes of it.
    pub fn give(&mut self, input: Input) {
        if !self.closed {
            self.machine.handle(input);
            self.settle();
        }
    }

    /// Gives bytes in pieces.
    pub fn feed(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.max(1)) {
            self.give(Input::Bytes(Bytes::copy_from_slice(piece)));
        }
    }

    /// Takes what was said.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said).into()
    }

    /// Carries out what the machine wants until it waits for the peer, or ends.
    pub fn settle(&mut self) {
        for _ in 0..OUTPUTS_MAX {
            match self.machine.poll() {
                Output::Send(bytes) => {
                    self.said_bytes += bytes.len();
                    self.said.extend(bytes);
                }
                Output::Store(ticket, request) => {
                    let answer = match &self.failing {
                        Some((at, error)) if *at == self.tickets => Err(error.clone()),
                        _ => self.session.execute(request),
                    };
                    self.tickets += 1;
                    self.machine.handle(Input::Stored(ticket, answer));
                }
                Output::Sasl(request) => self.machine.handle(Input::Sasl(sasl(request))),
                // The layers are left out: both sides speak plainly on.
                Output::StartDeflate { received } => self.machine.handle(Input::Bytes(received)),
                Output::StartTls => {
                    let started = TlsStarted { identified: true };
                    self.machine.handle(Input::TlsStarted(started));
                }
                Output::Wait(waiting) => {
                    assert!(
                        !waiting.for_store && !waiting.for_sasl,
                        "all was answered: {waiting:?}"
                    );
                    self.waiting = Some(waiting);
                    return;
                }
                Output::Closed => {
                    self.closed = true;
                    return;
                }
            }
        }
        panic!("no end of outputs");
    }
}

/// `admin` may replicate, `stranger` may not, each with the name as initial response or as answer; `scram` has a last word.
fn sasl(request: SaslRequest) -> SaslReply {
    let success = |admin: bool, last: Option<Bytes>| SaslReply::Success {
        admin,
        user: "somebody".to_owned(),
        last,
    };
    let failure = || SaslReply::Failure {
        text: "authentication failure".to_owned(),
    };
    let judge = |said: &[u8]| match said {
        b"YWRtaW4=" => success(true, None),
        b"c2NyYW0=" => success(true, Some(Bytes::from_static(b"dj0x"))),
        b"c3RyYW5nZXI=" => success(false, None),
        _ => failure(),
    };
    match request {
        SaslRequest::Start { initial: None, .. } => SaslReply::Send(Bytes::new()),
        SaslRequest::Start {
            initial: Some(said), ..
        }
        | SaslRequest::Step(said) => judge(&said),
        SaslRequest::Choose { .. } => SaslReply::Chosen {
            mechanism: "PLAIN".to_owned(),
            initial: Some(Bytes::from_static(b"YWRtaW4=")),
        },
        SaslRequest::Abort => failure(),
    }
}

/// A replica with the partitions `default` and `other`.
pub fn replica(trusted: bool) -> Replica {
    let mechanisms = vec!["PLAIN".to_owned(), "SCRAM-SHA-256".to_owned()];
    Replica::new(ReplicaConfig {
        servername: "twin.example.org".to_owned(),
        version: "mailtwin 0.1.0".to_owned(),
        mechanisms: mechanisms.clone(),
        compress: true,
        tls: (!trusted).then_some(ReplicaTls { mechanisms }),
        partitions: vec![Text::from("default"), Text::from("other")],
        trusted,
        limits: Limits::default(),
        unauthenticated_bytes_max: 4096,
    })
}

/// Errors that a store may answer with.
pub fn store_error(kind: u8) -> StoreError {
    let path = "store".to_owned();
    match kind % 4 {
        0 => StoreError::Full { path },
        1 => StoreError::Locked {
            what: "a user".to_owned(),
        },
        2 => StoreError::NotFound {
            what: "it".to_owned(),
        },
        _ => StoreError::Io {
            path,
            detail: "broken".to_owned(),
        },
    }
}
