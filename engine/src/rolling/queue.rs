//! The queue of one channel.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use protocol::Text;
use protocol::synclog::Action;

use super::comeback::{Comebacks, Pauses};
use super::item::{Item, Kind, Stage, Trouble, plain_work};
use super::lanes::{Flight, LaneId, Lanes, Seq};
use super::ward::Ward;
use super::{Entry, Quarantined, QueueConfig, QueueState};
use crate::master::{Task, TaskId, Work};

/// Where an entry is that is neither in a task nor done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seat {
    Waiting(LaneId, Seq),
    Deferred(u64, Seq),
}

/// Entries of a log on their way to the replica. [CS-LOG-29] [CS-LOG-30] [CS-LOG-31]
///
/// Nothing leaves it but by a task that succeeded, or into another entry that does the same and more. About 250 bytes
/// an entry, beside its names.
#[derive(Debug)]
pub struct Queue {
    pub(super) config: QueueConfig,
    pub(super) lanes: Lanes,
    /// Where the last equal entry is; those in tasks are left out, so that what comes meanwhile is done again.
    pub(super) index: BTreeMap<Arc<Action>, Seat>,
    pub(super) deferred: BTreeMap<(u64, Seq), Item>,
    pub(super) flights: BTreeMap<TaskId, Flight>,
    pub(super) ward: Ward,
    comebacks: Comebacks,
    /// How many entries are of each age.
    ages: BTreeMap<u64, usize>,
    queued: usize,
    /// Tries of quarantined entries that wait for their turn.
    probes: usize,
    in_flight: usize,
    next_seq: Seq,
    next_task: u64,
}

impl Queue {
    /// An empty one.
    pub fn new(config: QueueConfig) -> Self {
        Queue {
            config,
            lanes: Lanes::default(),
            index: BTreeMap::new(),
            deferred: BTreeMap::new(),
            flights: BTreeMap::new(),
            ward: Ward::default(),
            comebacks: Comebacks::default(),
            ages: BTreeMap::new(),
            queued: 0,
            probes: 0,
            in_flight: 0,
            next_seq: 1,
            next_task: 0,
        }
    }

    /// Takes entries in the order of the log. What equals or lies within an entry that has not begun counts once
    /// ([CS-LOG-19]); what equals a task under way is done again behind it.
    pub fn add(&mut self, now_ms: u64, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            match entry.action {
                Action::DoubleMailbox(one, other) => {
                    self.admit(now_ms, Action::Mailbox(one), entry.logged_at_ms);
                    self.admit(now_ms, Action::Mailbox(other), entry.logged_at_ms);
                }
                action => self.admit(now_ms, action, entry.logged_at_ms),
            }
        }
    }

    /// Takes what was in quarantine when the channel was left.
    pub fn restore(&mut self, quarantined: impl IntoIterator<Item = Quarantined>) {
        for entry in quarantined {
            let tried_at_ms = entry.next_try_ms.saturating_sub(self.config.quarantine_retry_ms);
            self.ward.insert(entry, tried_at_ms);
        }
    }

    /// The next task, when there is one that may begin now: of each scope one at a time, scopes in turns. [CS-LOG-29]
    pub fn next(&mut self, now_ms: u64) -> Option<Task> {
        self.wake(now_ms);
        let flight = self
            .lanes
            .begin(self.config.mailboxes_max.max(1), self.config.meta_from)?;
        let work = work_of(&flight.items)?;
        for (seq, item) in &flight.items {
            let gone = self
                .index
                .get(&item.action)
                .is_some_and(|seat| matches!(seat, Seat::Waiting(_, at) if at == seq));
            if gone {
                self.index.remove(&item.action);
            }
            if item.is_probe() {
                self.probes -= 1;
            } else {
                self.queued -= 1;
                self.in_flight += 1;
            }
        }
        let id = TaskId(self.next_task);
        self.next_task += 1;
        self.flights.insert(id, flight);
        Some(Task { id, work })
    }

    /// When [`Queue::next`] may have a task without anything else happening.
    pub fn wake_at(&self) -> Option<u64> {
        let deferred = self.deferred.first_key_value().map(|((due, _), _)| *due);
        [deferred, self.lanes.first_unlock(), self.ward.first_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Counts; cheap.
    pub fn state(&self) -> QueueState {
        let locked = self.lanes.locked_slots().min(self.queued);
        QueueState {
            queued: self.queued - locked,
            probes: self.probes,
            in_flight: self.in_flight,
            tasks: self.flights.len(),
            deferred: self.deferred.len() + locked,
            quarantined: self.ward.len(),
            oldest_logged_at_ms: self.ages.first_key_value().map(|(age, _)| *age),
        }
    }

    /// All that is not done, quarantined entries left out; of one scope in the order in which it will be done.
    pub fn pending(&self) -> impl Iterator<Item = &Action> {
        let flying = self.flights.values().flat_map(|flight| &flight.items);
        flying
            .map(|(_, item)| item)
            .chain(self.lanes.items())
            .chain(self.deferred.values())
            .filter(|item| !item.is_probe())
            .map(|item| &*item.action)
    }

    /// How many [`Queue::pending`] has.
    pub fn pending_len(&self) -> usize {
        self.queued + self.in_flight + self.deferred.len()
    }

    /// What is in quarantine.
    pub fn quarantined(&self) -> impl Iterator<Item = &Quarantined> {
        self.ward.iter()
    }

    /// Puts quarantined entries back as if they were new, this one or all; answers how many. One that is being tried
    /// at this moment stays.
    pub fn release(&mut self, now_ms: u64, action: Option<&Action>) -> usize {
        let chosen: Vec<Arc<Action>> = self
            .ward
            .iter()
            .filter(|entry| action.is_none_or(|action| entry.action == *action))
            .map(|entry| Arc::new(entry.action.clone()))
            .collect();
        let mut count = 0;
        for action in chosen {
            if self.ward.get_mut(&action).is_some_and(|bed| !bed.probing)
                && let Some(bed) = self.ward.remove(&action)
            {
                self.admit(now_ms, bed.entry.action, bed.entry.logged_at_ms);
                count += 1;
            }
        }
        count
    }

    /// Takes one action in.
    pub(super) fn admit(&mut self, now_ms: u64, action: Action, logged_at_ms: u64) {
        let action = Arc::new(action);
        let pauses = Pauses {
            first_ms: self.config.comeback_first_ms,
            most_ms: self.config.comeback_max_ms,
        };
        let pause_ms = self.comebacks.note(&action, now_ms, pauses);
        let due = now_ms.saturating_add(pause_ms);
        if pause_ms > 0 {
            self.hold_back(&action, due);
        }
        if self.joins(&action, logged_at_ms) || self.is_quarantined(&action, now_ms, logged_at_ms) {
            return;
        }
        let oldest = self
            .take_in(&action)
            .map_or(logged_at_ms, |age| age.min(logged_at_ms));
        self.age(oldest);
        let item = Item {
            action,
            logged_at_ms: oldest,
            trouble: None,
        };
        let seq = self.seq();
        if pause_ms > 0 {
            self.defer(due, seq, item);
        } else {
            self.wait(seq, item);
        }
    }

    /// An equal entry that waits for its turn does not begin before `due`. [CS-LOG-41]
    fn hold_back(&mut self, action: &Arc<Action>, due: u64) {
        let Some(&Seat::Waiting(lane, seq)) = self.index.get(action) else {
            return;
        };
        let is_untroubled = |item: &mut Item| item.trouble.is_none();
        if self.lanes.item_mut(lane, seq).is_some_and(is_untroubled)
            && let Some(item) = self.unseat(action, Seat::Waiting(lane, seq))
        {
            let seq = self.seq();
            self.defer(due, seq, item);
        }
    }

    /// Lets an item wait until a time. Its age is counted already.
    pub(super) fn defer(&mut self, due: u64, seq: Seq, item: Item) {
        let action = Arc::clone(&item.action);
        self.index.insert(action, Seat::Deferred(due, seq));
        self.deferred.insert((due, seq), item);
    }

    /// Whether an entry that has not begun does this too. [CS-LOG-19]
    fn joins(&mut self, action: &Arc<Action>, logged_at_ms: u64) -> bool {
        if let Some(&seat) = self.index.get(action)
            && self.is_behind_fences(action, seat)
        {
            return self.join(seat, logged_at_ms);
        }
        let user = match &**action {
            Action::Seen { user, .. } | Action::Subscription { user, .. } => {
                let meta = Action::Meta(user.clone());
                if self.joins_untroubled(&meta, logged_at_ms) {
                    return true;
                }
                user
            }
            Action::Meta(user) => user,
            _ => return false,
        };
        self.joins_untroubled(&Action::User(user.clone()), logged_at_ms)
    }

    /// What has failed is left alone, so that nothing goes into quarantine with it.
    fn joins_untroubled(&mut self, action: &Action, logged_at_ms: u64) -> bool {
        let Some(&Seat::Waiting(lane, seq)) = self.index.get(action) else {
            return false;
        };
        let good = self
            .lanes
            .item_mut(lane, seq)
            .is_some_and(|item| item.trouble.is_none());
        good && self.join(Seat::Waiting(lane, seq), logged_at_ms)
    }

    /// A mailbox that moves between scopes is looked at anew behind the move.
    fn is_behind_fences(&self, action: &Action, seat: Seat) -> bool {
        match (action, seat) {
            (Action::Mailbox(_) | Action::Rename { .. }, Seat::Waiting(lane, seq)) => {
                self.lanes.same_side(lane, seq, self.next_seq)
            }
            _ => true,
        }
    }

    fn join(&mut self, seat: Seat, logged_at_ms: u64) -> bool {
        let item = match seat {
            Seat::Waiting(lane, seq) => self.lanes.item_mut(lane, seq),
            Seat::Deferred(due, seq) => self.deferred.get_mut(&(due, seq)),
        };
        let Some(item) = item else { return false };
        let before = item.logged_at_ms;
        if logged_at_ms < before {
            item.logged_at_ms = logged_at_ms;
            if !item.is_probe() {
                self.unage(before);
                self.age(logged_at_ms);
            }
        }
        true
    }

    /// Whether the same is in quarantine; it is tried soon then.
    fn is_quarantined(&mut self, action: &Arc<Action>, now_ms: u64, logged_at_ms: u64) -> bool {
        let Some(bed) = self.ward.get_mut(action) else {
            return false;
        };
        if bed.probing {
            bed.again = Some(bed.again.map_or(logged_at_ms, |age| age.min(logged_at_ms)));
        } else {
            self.ward.hasten(action, now_ms, self.config.retry_max_ms);
        }
        true
    }

    /// Takes out what a new entry does as well; answers the oldest time. [CS-LOG-19]
    fn take_in(&mut self, action: &Action) -> Option<u64> {
        let (user, with_meta, with_user) = match action {
            Action::Meta(user) => (user, false, false),
            Action::User(user) => (user, true, false),
            Action::Unuser(user) => (user, true, true),
            _ => return None,
        };
        let seen = Action::Seen {
            user: user.clone(),
            uniqueid: Text::EMPTY,
        };
        let subscription = Action::Subscription {
            user: user.clone(),
            mailbox: Text::EMPTY,
        };
        let mut within: Vec<Arc<Action>> = Vec::new();
        for first in [seen, subscription] {
            let range = self
                .index
                .range::<Action, _>((Bound::Included(&first), Bound::Unbounded));
            let of_user = range.take_while(|(action, _)| is_mark_of(action, &first, user));
            within.extend(of_user.map(|(action, _)| Arc::clone(action)));
        }
        within.extend(with_meta.then(|| Arc::new(Action::Meta(user.clone()))));
        within.extend(with_user.then(|| Arc::new(Action::User(user.clone()))));
        let taken = within.iter().filter_map(|action| {
            let item = self.take_out(action)?;
            Some(item.logged_at_ms)
        });
        taken.min()
    }

    /// Removes an entry that has not begun, tries of quarantined ones excepted.
    fn take_out(&mut self, action: &Arc<Action>) -> Option<Item> {
        let seat = *self.index.get(action)?;
        if self.is_probe_at(seat) {
            return None;
        }
        let item = self.unseat(action, seat)?;
        self.unage(item.logged_at_ms);
        Some(item)
    }

    pub(super) fn is_probe_at(&mut self, seat: Seat) -> bool {
        match seat {
            Seat::Waiting(lane, seq) => self.lanes.item_mut(lane, seq).is_some_and(|item| item.is_probe()),
            Seat::Deferred(..) => false,
        }
    }

    /// Takes an item from its seat; its age stays counted.
    pub(super) fn unseat(&mut self, action: &Arc<Action>, seat: Seat) -> Option<Item> {
        self.index.remove(action);
        match seat {
            Seat::Waiting(lane, seq) => {
                let item = self.lanes.remove(lane, seq)?;
                if item.is_probe() {
                    self.probes -= 1;
                } else {
                    self.queued -= 1;
                }
                Some(item)
            }
            Seat::Deferred(due, seq) => self.deferred.remove(&(due, seq)),
        }
    }

    /// Lets an item wait at a place in the order. Its age is counted already.
    pub(super) fn wait(&mut self, seq: Seq, item: Item) {
        if item.is_probe() {
            self.probes += 1;
        } else {
            self.queued += 1;
        }
        let action = Arc::clone(&item.action);
        let lane = self.lanes.insert(seq, item);
        self.index.insert(action, Seat::Waiting(lane, seq));
    }

    /// Brings back what was put off until now.
    fn wake(&mut self, now_ms: u64) {
        while let Some((&(due, seq), _)) = self.deferred.first_key_value()
            && due <= now_ms
        {
            let Some(item) = self.deferred.remove(&(due, seq)) else {
                break;
            };
            let seq = self.seq();
            self.wait(seq, item);
        }
        self.lanes.unlock_due(now_ms);
        while let Some(bed) = self.ward.take_due(now_ms) {
            let action = Arc::new(bed.entry.action.clone());
            if self.index.contains_key(&action) {
                let later = now_ms.saturating_add(self.config.retry_first_ms.max(1));
                self.ward.rest(&action, later);
                continue;
            }
            let trouble = Trouble {
                group_max: 1,
                probe: true,
                ..Trouble::default()
            };
            let item = Item {
                action,
                logged_at_ms: bed.entry.logged_at_ms,
                trouble: Some(Box::new(trouble)),
            };
            let seq = self.seq();
            self.wait(seq, item);
        }
    }

    pub(super) fn seq(&mut self) -> Seq {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    pub(super) fn age(&mut self, logged_at_ms: u64) {
        *self.ages.entry(logged_at_ms).or_default() += 1;
    }

    pub(super) fn unage(&mut self, logged_at_ms: u64) {
        if let Some(count) = self.ages.get_mut(&logged_at_ms) {
            *count -= 1;
            if *count == 0 {
                self.ages.remove(&logged_at_ms);
            }
        }
    }

    /// An entry of a task that is over is counted as neither waiting nor under way until it is put somewhere.
    pub(super) fn landed(&mut self, item: &Item) {
        if !item.is_probe() {
            self.in_flight -= 1;
        }
    }
}

/// Whether `action` is of the same keyword and user as `first`.
fn is_mark_of(action: &Action, first: &Action, user: &Text) -> bool {
    std::mem::discriminant(action) == std::mem::discriminant(first)
        && match action {
            Action::Seen { user: of, .. } | Action::Subscription { user: of, .. } => of == user,
            _ => false,
        }
}

/// The work of entries that are done together.
fn work_of(items: &[(Seq, Item)]) -> Option<Work> {
    let (_, head) = items.first()?;
    let user = || match super::item::scope_of(&head.action) {
        crate::name::Scope::User(user) => user,
        crate::name::Scope::Shared => Text::EMPTY,
    };
    Some(match head.kind() {
        Kind::User => Work::User(user()),
        Kind::Meta => Work::Meta(user()),
        Kind::Marks if items.len() > 1 => Work::Meta(user()),
        Kind::Names => {
            let mut names: Vec<Text> = Vec::with_capacity(items.len());
            for (_, item) in items {
                if let Work::Mailboxes(more) = plain_work(&item.action) {
                    names.extend(more);
                }
            }
            let mut known = std::collections::BTreeSet::new();
            names.retain(|name| known.insert(name.clone()));
            Work::Mailboxes(names)
        }
        Kind::Marks | Kind::Across | Kind::Alone => {
            debug_assert!(matches!(head.stage(), Stage::Plain | Stage::Proof));
            plain_work(&head.action)
        }
    })
}
