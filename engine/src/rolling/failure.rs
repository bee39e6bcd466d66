//! What came of a task, and what becomes of its entries. [CS-LOG-21] [CS-LOG-22] [CS-LOG-23] [CS-LOG-30]

use std::sync::Arc;

use super::item::{Item, Kind, Stage};
use super::lanes::{Flight, LaneId, Seq};
use super::queue::{Queue, Seat};
use super::{Entry, Quarantined};
use crate::master::{FailureKind, TaskFailure, TaskId};

impl Queue {
    /// Takes what came of a task; one that is not under way is left out.
    pub fn done(&mut self, now_ms: u64, id: TaskId, outcome: Result<(), TaskFailure>) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        let lanes = flight.lanes.clone();
        match outcome {
            Ok(()) => self.succeeded(now_ms, flight),
            Err(failure) if failure.kind == FailureKind::Locked => self.met_lock(now_ms, flight),
            Err(failure) => self.failed(now_ms, flight, &failure.reason),
        }
        for lane in lanes {
            self.lanes.free(lane);
        }
    }

    /// The connection of a task was lost: it is given out again, and nobody is to blame.
    pub fn lost(&mut self, now_ms: u64, id: TaskId) {
        let Some(flight) = self.flights.remove(&id) else {
            return;
        };
        for (seq, item) in flight.items {
            self.landed(&item);
            if item.is_probe() {
                // Nobody counts it as waiting, so that it would wait for something else to happen.
                let soon = now_ms.saturating_add(self.config.retry_first_ms.max(1));
                self.ward.rest(&item.action, soon);
                continue;
            }
            self.again(now_ms, seq, item);
        }
        for lane in flight.lanes {
            self.lanes.free(lane);
        }
    }

    fn succeeded(&mut self, now_ms: u64, flight: Flight) {
        self.hope(now_ms, &flight.lanes);
        for (seq, mut item) in flight.items {
            self.landed(&item);
            if item.is_promoted() {
                item.trouble().stage = Stage::Proof;
                self.again(now_ms, seq, item);
            } else if item.is_probe() {
                let again = self.ward.remove(&item.action).and_then(|bed| bed.again);
                let entry = again.map(|logged_at_ms| Entry {
                    action: (*item.action).clone(),
                    logged_at_ms,
                });
                self.add(now_ms, entry);
            } else {
                self.unage(item.logged_at_ms);
            }
        }
    }

    /// Where something succeeds, what is in quarantine may succeed too.
    fn hope(&mut self, now_ms: u64, lanes: &[LaneId]) {
        for lane in lanes {
            self.lanes.no_lock_met(*lane);
            if let Some(scope) = self.lanes.scope(*lane).cloned() {
                self.ward.hasten_scope(&scope, now_ms, self.config.retry_max_ms);
            }
        }
    }

    fn met_lock(&mut self, now_ms: u64, flight: Flight) {
        for (seq, item) in flight.items {
            self.landed(&item);
            self.again(now_ms, seq, item);
        }
        for lane in flight.lanes {
            let locks = self.lanes.locks_met(lane);
            let pause = grown(self.config.locked_first_ms, locks, self.config.locked_max_ms);
            self.lanes.lock(lane, now_ms.saturating_add(pause));
        }
    }

    fn failed(&mut self, now_ms: u64, flight: Flight, reason: &str) {
        let count = flight.items.len();
        let half = match flight.items.first().map(|(_, item)| item.kind()) {
            Some(Kind::Names) if count > 1 => Some(count / 2),
            Some(Kind::Marks) if count > 1 => Some(1),
            _ => None,
        };
        for (seq, mut item) in flight.items {
            self.landed(&item);
            if let Some(half) = half {
                // Nobody knows which one it was: smaller groups tell.
                item.trouble().group_max = half;
                self.again(now_ms, seq, item);
            } else if let Some(stage) = item.promotion() {
                item.trouble().stage = stage;
                let seq = self.seq();
                self.again(now_ms, seq, item);
            } else {
                self.put_off(now_ms, item, reason);
            }
        }
    }

    /// Back into the order; what came meanwhile and is the same becomes one with it.
    fn again(&mut self, now_ms: u64, seq: Seq, mut item: Item) {
        if let Some(&seat) = self.index.get(&item.action) {
            if item.is_probe() {
                let later = now_ms.saturating_add(self.config.retry_first_ms.max(1));
                self.ward.rest(&item.action, later);
                return;
            }
            let one = match seat {
                Seat::Waiting(lane, at) => self.lanes.same_side(lane, at, seq),
                Seat::Deferred(..) => true,
            };
            if !one {
                // Behind a fence: it stays, and the index goes on to mean it.
                let action = Arc::clone(&item.action);
                self.wait(seq, item);
                self.index.insert(action, seat);
                return;
            }
            self.merge(now_ms, &mut item, seat);
        }
        self.wait(seq, item);
    }

    /// Takes the entry at `seat` into this one.
    fn merge(&mut self, now_ms: u64, item: &mut Item, seat: Seat) {
        let action = Arc::clone(&item.action);
        if let Some(other) = self.unseat(&action, seat) {
            if other.is_probe() {
                let later = now_ms.saturating_add(self.config.retry_first_ms.max(1));
                self.ward.rest(&action, later);
                return;
            }
            let (older, younger) = (
                item.logged_at_ms.min(other.logged_at_ms),
                item.logged_at_ms.max(other.logged_at_ms),
            );
            self.unage(younger);
            item.logged_at_ms = older;
        }
    }

    /// A try failed for good: later, or into quarantine. [CS-LOG-31]
    fn put_off(&mut self, now_ms: u64, mut item: Item, reason: &str) {
        if item.is_probe() {
            let next = now_ms.saturating_add(self.config.quarantine_retry_ms);
            self.ward.failed(&item.action, now_ms, reason.to_owned(), next);
            return;
        }
        if let Some(&seat) = self.index.get(&item.action) {
            self.merge(now_ms, &mut item, seat);
        }
        let config = self.config.clone();
        let trouble = item.trouble();
        trouble.stage = Stage::Plain;
        trouble.group_max = 1;
        if trouble.attempts == 0 {
            trouble.first_failed_ms = now_ms;
        }
        trouble.attempts = trouble.attempts.saturating_add(1);
        let (attempts, since) = (trouble.attempts, trouble.first_failed_ms);
        if attempts >= config.attempts_max && now_ms.saturating_sub(since) >= config.quarantine_after_ms {
            self.unage(item.logged_at_ms);
            let entry = Quarantined {
                action: (*item.action).clone(),
                logged_at_ms: item.logged_at_ms,
                since_ms: now_ms,
                attempts,
                reason: reason.to_owned(),
                next_try_ms: now_ms.saturating_add(config.quarantine_retry_ms),
            };
            self.ward.insert(entry, now_ms);
            return;
        }
        let due = now_ms.saturating_add(grown(config.retry_first_ms, attempts, config.retry_max_ms));
        let seq = self.seq();
        self.defer(due, seq, item);
    }
}

/// `first` after the first time, twice as much each further time, at most `most`.
fn grown(first: u64, times: u32, most: u64) -> u64 {
    let factor = 1u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
    first.saturating_mul(factor).min(most).max(1)
}
