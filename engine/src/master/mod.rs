//! The client side: makes a replica equal to a store.

mod ahead;
mod ask;
mod blame;
mod compare;
mod compare_fields;
mod compare_shared;
mod connect;
mod crew;
mod crossing;
mod decision;
mod fetch;
mod folders;
mod full;
mod gone;
mod heavy;
mod held;
mod issue;
mod jobs;
mod lines;
mod listing;
mod made;
mod mailboxes;
mod merge_behind;
mod merge_plan;
mod merge_rules;
mod meta;
mod names;
mod plan;
mod renames;
mod retry;
mod run;
mod settled;
mod sieve;
mod sieve_there;
mod standoff;
mod steps;
mod task;
mod tasks;
mod turn;
mod unchanged;
mod update;
mod upload;
mod user;
mod wire;

use self::tasks::Board;
pub use compare::{Compared, Difference, Differs, Kind};
pub use compare_fields::FieldDiffers;
pub use decision::{Decision, Deed};
pub use held::{HELD_MAX, Held};
pub use plan::{Planned, PlannedWhat};
pub use task::{FailureKind, Task, TaskFailure, TaskId, TaskResult, Work};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::Text;
use protocol::decode::{ReplyDecoder, ReplyEvent};
use protocol::encode::LiteralStyle;
use protocol::limits::Limits;

use crate::flow::{Decoder, Input, Machine, Now, Output};
use crate::name::Scope;

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
    /// Seen states, subscriptions and scripts of these users (`-s`). [CS-MASTER-54]
    Meta(Vec<Text>),
    /// Nothing is changed: these as they are here and there, compared in full. [CS-SPLIT-60] [CS-SPLIT-62]
    Compare(Vec<Scope>),
    /// What [`Master::give`] gives, until [`Master::retire`].
    Tasks,
}

/// What a master needs to know beside its store.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    /// What to do.
    pub job: Job,
    /// Whether to authenticate; not on Unix sockets.
    pub authenticate: bool,
    /// Whether to ask for TLS. [CS-AUTH-11]
    pub tls: Tls,
    /// Whether to ask for deflate.
    pub compress: Compress,
    /// Partition to create mailboxes on instead of their own (`-p`).
    pub dest_partition: Option<Text>,
    /// Whether to send the LOCAL_ forms (`-L`).
    pub local_only: bool,
    /// Whether a CRC mismatch may be repaired by a full compare; false is `-O`.
    pub copyback: bool,
    /// Whether the run only finds out what it would do: it asks, and changes neither side. [CS-SPLIT-50]
    pub dry_run: bool,
    /// Limits on what a peer may send.
    pub limits: Limits,
    /// Bytes of messages sent ahead of the replica's answers, at most.
    pub pipeline_bytes_max: u64,
    /// Whether new messages are asked to lie with the replica's archive, where it offers that (`-a`).
    pub stage_to_archive: bool,
    /// New messages of one mailbox that become durable together, at most (`sync_batchsize`), where the replica takes
    /// parts of a mailbox; 0 means no limit. [CS-MASTER-57]
    pub step_messages_max: usize,
    /// Items (users, groups of mailboxes, tasks) worked on at once, at most; at least one.
    pub items_at_once: usize,
}

impl MasterConfig {
    /// A job with everything else as usual: authentication, no compression, copyback.
    pub fn new(job: Job) -> Self {
        MasterConfig {
            job,
            authenticate: true,
            tls: Tls::Never,
            compress: Compress::No,
            dest_partition: None,
            local_only: false,
            copyback: true,
            dry_run: false,
            limits: Limits::default(),
            pipeline_bytes_max: 4 << 20,
            stage_to_archive: false,
            step_messages_max: 8192,
            items_at_once: 64,
        }
    }
}

/// Whether a master asks for TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// Never.
    Never,
    /// When the peer offers it; a peer that offers it and then refuses it ends the run.
    WhenOffered,
    /// The run fails without it.
    Required,
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
    /// Whether the replica has let us in, and work can begin.
    pub ready: bool,
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
    /// Bytes of messages so large that whatever is begun now would wait behind them: being sent, or about to be.
    pub heavy_bytes: u64,
    /// Times the master waited for an answer with nothing else to send.
    pub round_trips: u64,
    /// What failed, in order.
    pub failures: Vec<Failure>,
    /// What happened that a person should know (renames, deletes, repairs), in order.
    pub notices: Vec<String>,
    /// Refusals of the replica by their code word (`IMAP_MAILBOX_LOCKED`), `NO` when it has none that is known, `BAD`.
    pub refusals: BTreeMap<&'static str, u64>,
    /// What was decided where both sides had changed. See [`Master::take_findings`].
    pub decisions: Held<Decision>,
    /// What a dry run would do.
    pub plan: Held<Planned>,
    /// What a comparison found.
    pub differences: Held<Difference>,
    /// Differences found in all, taken ones included.
    pub differences_total: u64,
    /// Mailboxes that a comparison went through.
    pub compared: Held<Compared>,
    /// Set once when the run has ended.
    pub ended: Option<Ending>,
}

/// What a run has for its owner beside the counters.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Findings {
    /// What was decided where both sides had changed.
    pub decisions: Vec<Decision>,
    /// What a dry run would do.
    pub plan: Vec<Planned>,
    /// What a comparison found.
    pub differences: Vec<Difference>,
    /// Mailboxes that a comparison went through.
    pub compared: Vec<Compared>,
}

impl Progress {
    /// Takes what is held of decisions, planned steps and differences.
    pub fn take_findings(&mut self) -> Findings {
        Findings {
            decisions: self.decisions.take(),
            plan: self.plan.take(),
            differences: self.differences.take(),
            compared: self.compared.take(),
        }
    }
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
    /// TLS was required and is not to be had, or failed; the text says what to do.
    TlsFailed(String),
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
    board: Board,
}

impl Master {
    /// A new run; the first input is the peer's banner.
    pub fn new(mut config: MasterConfig) -> Self {
        // A comparison changes nothing, whatever else it was told.
        config.dry_run |= matches!(config.job, Job::Compare(_));
        let progress = Arc::new(Mutex::new(Progress::default()));
        let shared = Arc::clone(&progress);
        let decoder = ReplyDecoder::new(config.limits.clone());
        let board = Board::new(config.items_at_once);
        let work = board.clone();
        Master {
            machine: Machine::new(decoder, LiteralStyle::Client, |port| {
                run::run(port, config, shared, work)
            }),
            progress,
            board,
        }
    }

    /// Gives a master of [`Job::Tasks`] something to do; poll afterwards. Tasks of one scope are done in the order given,
    /// others side by side.
    pub fn give(&mut self, now: Now, task: Task) {
        self.machine.tell(now);
        self.board.give(task);
    }

    /// Whether another task would be begun soon; giving more is no error, it only waits here.
    pub fn wants_tasks(&self) -> bool {
        self.board.wants_tasks() && self.heavy_bytes() == 0
    }

    /// Bytes of messages, being sent or about to be, so large that what is given now would wait long behind them.
    pub fn heavy_bytes(&self) -> u64 {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .heavy_bytes
    }

    /// What has come of tasks since the last call, in the order in which they ended.
    pub fn take_results(&mut self) -> Vec<TaskResult> {
        self.board.take_results()
    }

    /// Nothing more is given: the master finishes what it has, and says EXIT. Poll afterwards.
    pub fn retire(&mut self, now: Now) {
        self.machine.tell(now);
        self.board.retire();
    }

    /// Asks the replica whether it is still there when nothing is under way. Poll afterwards.
    pub fn keep_alive(&mut self, now: Now) {
        self.machine.tell(now);
        self.board.keep_alive();
    }

    /// Whether the replica has let us in: connected, logged in, all negotiated.
    pub fn is_ready(&self) -> bool {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).ready
    }

    /// The notices since the last call, which are no longer among the counters then.
    pub fn take_notices(&self) -> Vec<String> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut progress.notices)
    }

    /// Takes one thing that happened; `now` is wall-clock time in seconds.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.machine.handle(now, input);
    }

    /// The next thing to do; call until it answers `Wait` or `Closed`.
    pub fn poll(&mut self) -> Output {
        self.machine.poll()
    }

    /// Takes the decisions, planned steps and differences found since the last call, so that they need no memory
    /// here; the counters then begin anew with none of them.
    pub fn take_findings(&self) -> Findings {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.take_findings()
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
