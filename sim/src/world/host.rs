//! One server: its store, its disk's moods, its logs.

use std::collections::BTreeMap;

use engine::master::{TaskId, Work};
use engine::rolling::{Quarantined, Queue, QueueConfig};
use store::memory::MemoryStore;

use crate::judge::{Owner, ScopeView};
use crate::plan::Moment;
use std::sync::Arc;

/// A server.
pub struct Host {
    /// What it keeps; sessions of a process that died hold the old one.
    pub store: MemoryStore,
    /// Whether its process runs.
    pub up: bool,
    /// Counts restarts, so that what was meant for an earlier process is not done.
    pub life: u32,
    /// Seconds its clock is off.
    pub clock_s: i64,
    /// The last backup, with what it showed.
    pub backup: Option<(MemoryStore, BTreeMap<Owner, Arc<ScopeView>>)>,
    /// What its disk is in for.
    pub disk: Disk,
    /// Its logs, one a link that rolls.
    pub channels: Vec<Channel>,
    /// Lines about to be logged when the process died.
    pub intents: Vec<u8>,
}

/// Faults of a disk.
#[derive(Clone, Copy, Default, Debug)]
pub struct Disk {
    /// Full until then.
    pub full_until_ms: u64,
    /// Fails until then, once in so many tickets.
    pub errors: Option<(u64, u64)>,
    /// The next message bytes have a flipped bit.
    pub corrupt: bool,
    /// Tickets until the process dies, at which moment of it, and for how long.
    pub crash: Option<(u64, Moment, u64)>,
}

/// What a master showed when something began, of those it was about.
pub type Began = Vec<(Owner, Arc<ScopeView>)>;

/// A task that was given, with what the master showed then.
pub type Given = (Work, Began);

/// A log and what follows it.
pub struct Channel {
    /// The link.
    pub link: usize,
    /// The log as it lies on the disk.
    pub log: Vec<u8>,
    /// A log that was renamed and is not yet in the run file, when a process died there.
    pub next: Vec<u8>,
    /// The run file: what was taken from the log and was not done when it was written.
    pub run: Vec<u8>,
    /// What was in quarantine when it was written.
    pub ward: Vec<Quarantined>,
    /// In the memory of the process.
    pub queue: Queue,
    /// The connection of the process.
    pub connection: Option<u32>,
    /// Tasks given to it, with what the master's store showed then.
    pub given: BTreeMap<TaskId, Given>,
    /// No connection before then.
    pub open_at_ms: u64,
    /// The pause after the next failure.
    pub pause_ms: u64,
    /// When it is looked at next.
    pub tick_at_ms: Option<u64>,
}

/// Longest pause between two tries to connect.
pub const PAUSE_MS_MAX: u64 = 60_000;
/// The first.
pub const PAUSE_MS_FIRST: u64 = 1_000;

impl Channel {
    /// An empty log.
    pub fn new(link: usize) -> Self {
        Channel {
            link,
            log: Vec::new(),
            next: Vec::new(),
            run: Vec::new(),
            ward: Vec::new(),
            queue: Queue::new(QueueConfig::default()),
            connection: None,
            given: BTreeMap::new(),
            open_at_ms: 0,
            pause_ms: PAUSE_MS_FIRST,
            tick_at_ms: None,
        }
    }

    /// The process died: what it had in memory is gone.
    pub fn forget(&mut self) {
        *self = Channel {
            log: std::mem::take(&mut self.log),
            next: std::mem::take(&mut self.next),
            run: std::mem::take(&mut self.run),
            ward: std::mem::take(&mut self.ward),
            ..Channel::new(self.link)
        };
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        let state = self.queue.state();
        self.log.is_empty() && state.queued + state.in_flight + state.deferred + state.quarantined == 0
    }
}

impl Host {
    /// A server with an empty store and a log for each of these links.
    pub fn new(links: impl Iterator<Item = usize>) -> Self {
        Host {
            store: MemoryStore::new(),
            up: true,
            life: 0,
            clock_s: 0,
            backup: None,
            disk: Disk::default(),
            channels: links.map(Channel::new).collect(),
            intents: Vec::new(),
        }
    }
}
