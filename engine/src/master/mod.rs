//! The client side: makes a replica equal to a store.

mod ask;
mod connect;
mod fetch;
mod folders;
mod full;
mod issue;
mod jobs;
mod lines;
mod mailboxes;
mod merge_rules;
mod meta;
mod retry;
mod run;
mod sieve;
mod sieve_there;
mod steps;
mod task;
mod update;
mod upload;
mod user;
mod wire;

pub use task::{FailureKind, Task, TaskFailure, TaskId, TaskResult, Work};

use std::sync::{Arc, Mutex, PoisonError};

use protocol::Text;
use protocol::decode::{ReplyDecoder, ReplyEvent};
use protocol::encode::LiteralStyle;
use protocol::limits::Limits;

use crate::flow::{Decoder, Input, Machine, Now, Output};

/// What a run has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    /// Whole users, in this order (`-u`).
    Users(Vec<Text>),
    /// Mailboxes by internal name (`-m`).
    Mailboxes(Vec<Text>),
    /// Every user whose id starts with the prefix, then shared mailboxes (`-A`).
    AllUsers {
        /// Empty for all.
        prefix: Text,
    },
}

/// What a master needs to know beside its store.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// What to do.
    pub job: Job,
    /// Whether to authenticate; not on Unix sockets.
    pub authenticate: bool,
    /// Whether to ask for deflate.
    pub compress: Compress,
    /// Partition to create mailboxes on instead of their own (`-p`).
    pub dest_partition: Option<Text>,
    /// Whether to send the LOCAL_ forms (`-L`).
    pub local_only: bool,
    /// Whether a CRC mismatch may be repaired by a full compare; false is `-O`.
    pub copyback: bool,
    /// Limits on what a peer may send.
    pub limits: Limits,
    /// Bytes of messages sent ahead of the replica's answers, at most.
    pub pipeline_bytes_max: u64,
}

/// Whether a master asks for deflate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compress {
    /// Never.
    No,
    /// When the peer offers it.
    WhenOffered,
    /// The run fails without it (`-z`).
    Required,
}

/// Counters of a run, readable while it goes on.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// What is being worked on, for people.
    pub current: String,
    /// Users (or mailbox batches) to do, as far as known.
    pub items_total: u64,
    /// Of these done, failed ones included.
    pub items_done: u64,
    /// Mailboxes compared.
    pub mailboxes: u64,
    /// Mailboxes that were sent because they differed.
    pub mailboxes_sent: u64,
    /// Messages uploaded.
    pub messages_sent: u64,
    /// Bytes of these.
    pub message_bytes_sent: u64,
    /// Records sent.
    pub records_sent: u64,
    /// Times the master waited for an answer with nothing else to send.
    pub round_trips: u64,
    /// What failed, in order.
    pub failures: Vec<Failure>,
    /// What happened that a person should know (renames, deletes, repairs), in order.
    pub notices: Vec<String>,
    /// Set once when the run has ended.
    pub ended: Option<Ending>,
}

/// An item that could not be made equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// User id or mailbox name.
    pub item: String,
    /// Why, and what to do.
    pub reason: String,
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Everything is equal.
    Done,
    /// It went to its end, and some items failed.
    SomeFailed,
    /// Authentication was refused or no mechanism fits; the text holds no secret.
    AuthenticationFailed(String),
    /// Compression was required and is not to be had.
    CompressionUnavailable(String),
    /// The peer broke the protocol, closed early, or said BYE.
    ConnectionLost(String),
    /// The store failed.
    Storage(String),
    /// The operator asked to stop.
    Stopped,
}

/// One run's client side.
pub struct Master {
    machine: Machine<ReplyDecoder>,
    progress: Arc<Mutex<Progress>>,
}

impl Master {
    /// A new run; the first input is the peer's banner.
    pub fn new(config: MasterConfig) -> Self {
        let progress = Arc::new(Mutex::new(Progress::default()));
        let shared = Arc::clone(&progress);
        let decoder = ReplyDecoder::new(config.limits.clone());
        Master {
            machine: Machine::new(decoder, LiteralStyle::Client, |port| {
                run::run(port, config, shared)
            }),
            progress,
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

    /// The counters as they are now.
    pub fn progress(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The counters of a run, shared by the machine and its owner.
type SharedProgress = Arc<Mutex<Progress>>;

fn update_progress(progress: &SharedProgress, work: impl FnOnce(&mut Progress)) {
    work(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
}

impl Decoder for ReplyDecoder {
    type Event = ReplyEvent;

    fn push(&mut self, bytes: bytes::Bytes) {
        ReplyDecoder::push(self, bytes);
    }

    fn next_event(&mut self) -> Option<ReplyEvent> {
        match self.poll() {
            ReplyEvent::NeedMore => None,
            event => Some(event),
        }
    }

    fn take_buffered(&mut self) -> bytes::Bytes {
        ReplyDecoder::take_buffered(self)
    }
}
