//! The queue of one channel.

use std::collections::{BTreeMap, VecDeque};

use protocol::synclog::Action;

use super::{Entry, Quarantined, QueueConfig, QueueState};
use crate::master::{Task, TaskFailure, TaskId, Work};

/// Entries of a log on their way to the replica.
#[derive(Debug)]
pub struct Queue {
    config: QueueConfig,
    waiting: VecDeque<Entry>,
    retry: Option<u64>,
    flights: BTreeMap<TaskId, Entry>,
    quarantine: Vec<Quarantined>,
    next_task: u64,
}

impl Queue {
    /// An empty one.
    pub fn new(config: QueueConfig) -> Self {
        Queue {
            config,
            waiting: VecDeque::new(),
            retry: None,
            flights: BTreeMap::new(),
            quarantine: Vec::new(),
            next_task: 0,
        }
    }

    /// Takes entries in the order of the log.
    pub fn add(&mut self, _now_ms: u64, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            if !self.waiting.iter().any(|other| other.action == entry.action) {
                self.waiting.push_back(entry);
            }
        }
    }

    /// Takes what was in quarantine when the channel was left.
    pub fn restore(&mut self, quarantined: impl IntoIterator<Item = Quarantined>) {
        self.quarantine.extend(quarantined);
    }

    /// The next task, when there is one that may begin now.
    pub fn next(&mut self, now_ms: u64) -> Option<Task> {
        if !self.flights.is_empty() || self.retry.is_some_and(|at| now_ms < at) {
            return None;
        }
        let entry = self.waiting.pop_front()?;
        let id = TaskId(self.next_task);
        self.next_task += 1;
        let work = work_of(&entry.action);
        self.flights.insert(id, entry);
        Some(Task { id, work })
    }

    /// Takes what came of a task; one that is not under way is left out.
    pub fn done(&mut self, now_ms: u64, id: TaskId, outcome: Result<(), TaskFailure>) {
        self.retry = None;
        if let (Some(entry), Err(_)) = (self.flights.remove(&id), outcome) {
            self.retry = Some(now_ms + self.config.retry_first_ms);
            self.waiting.push_back(entry);
        }
    }

    /// The connection of a task was lost: it is given out again, and nobody is to blame.
    pub fn lost(&mut self, _now_ms: u64, id: TaskId) {
        if let Some(entry) = self.flights.remove(&id) {
            self.waiting.push_front(entry);
        }
    }

    /// When [`Queue::next`] may have a task without anything else happening.
    pub fn wake_at(&self) -> Option<u64> {
        self.retry
    }

    /// Counts.
    pub fn state(&self) -> QueueState {
        QueueState {
            queued: self.waiting.len(),
            in_flight: self.flights.len(),
            tasks: self.flights.len(),
            deferred: 0,
            quarantined: self.quarantine.len(),
            oldest_logged_at_ms: self
                .waiting
                .iter()
                .chain(self.flights.values())
                .map(|e| e.logged_at_ms)
                .min(),
        }
    }

    /// All that is not done, quarantined entries left out.
    pub fn pending(&self) -> impl Iterator<Item = &Action> {
        self.flights.values().chain(&self.waiting).map(|e| &e.action)
    }

    /// What is in quarantine.
    pub fn quarantined(&self) -> impl Iterator<Item = &Quarantined> {
        self.quarantine.iter()
    }

    /// Puts quarantined entries back, this one or all; answers how many.
    pub fn release(&mut self, _now_ms: u64, action: Option<&Action>) -> usize {
        let (back, stay) = std::mem::take(&mut self.quarantine)
            .into_iter()
            .partition::<Vec<_>, _>(|q| action.is_none_or(|action| *action == q.action));
        self.quarantine = stay;
        let count = back.len();
        self.waiting.extend(back.into_iter().map(|q| Entry {
            action: q.action,
            logged_at_ms: q.logged_at_ms,
        }));
        count
    }
}

fn work_of(action: &Action) -> Work {
    match action.clone() {
        Action::Mailbox(name) => Work::Mailboxes(vec![name]),
        Action::DoubleMailbox(a, b) => Work::Mailboxes(vec![a, b]),
        Action::Rename { from, to } => Work::Mailboxes(vec![from, to]),
        Action::Unmailbox(name) => Work::Unmailbox(name),
        Action::Quota(root) => Work::Quota(root),
        Action::Annotation(name) => Work::Annotation(name),
        Action::Seen { user, uniqueid } => Work::Seen { user, uniqueid },
        Action::Subscription { user, mailbox } => Work::Subscription { user, mailbox },
        Action::Meta(user) => Work::Meta(user),
        Action::User(user) => Work::User(user),
        Action::Unuser(user) => Work::Unuser(user),
    }
}
