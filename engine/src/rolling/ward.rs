//! The quarantine: entries that failed again and again, out of the others' way and tried seldom. [CS-LOG-31]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::synclog::Action;

use super::Quarantined;
use super::item::scope_of;
use crate::name::Scope;

type Key = (Scope, Arc<Action>);

#[derive(Debug)]
pub(super) struct Bed {
    pub(super) entry: Quarantined,
    /// Whether it is on its way as a try.
    pub(super) probing: bool,
    /// When the same was logged again while a try was under way, which may have come too early for it.
    pub(super) again: Option<u64>,
    /// When it was tried last.
    tried_at_ms: u64,
}

/// All quarantined entries.
#[derive(Debug, Default)]
pub(super) struct Ward {
    beds: BTreeMap<Key, Bed>,
    due: BTreeSet<(u64, Key)>,
}

fn key(action: &Arc<Action>) -> Key {
    (scope_of(action), Arc::clone(action))
}

impl Ward {
    pub(super) fn len(&self) -> usize {
        self.beds.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Quarantined> {
        self.beds.values().map(|bed| &bed.entry)
    }

    pub(super) fn first_due(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn insert(&mut self, entry: Quarantined, tried_at_ms: u64) {
        let key = key(&Arc::new(entry.action.clone()));
        if let Some(before) = self.beds.get(&key) {
            self.due.remove(&(before.entry.next_try_ms, key.clone()));
        }
        self.due.insert((entry.next_try_ms, key.clone()));
        let bed = Bed {
            entry,
            probing: false,
            again: None,
            tried_at_ms,
        };
        self.beds.insert(key, bed);
    }

    pub(super) fn get_mut(&mut self, action: &Arc<Action>) -> Option<&mut Bed> {
        self.beds.get_mut(&key(action))
    }

    pub(super) fn remove(&mut self, action: &Arc<Action>) -> Option<Bed> {
        let key = key(action);
        let bed = self.beds.remove(&key)?;
        self.due.remove(&(bed.entry.next_try_ms, key));
        Some(bed)
    }

    /// The next one whose time has come; it is a try from now on.
    pub(super) fn take_due(&mut self, now: u64) -> Option<&mut Bed> {
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let bed = self.beds.get_mut(&key)?;
        bed.probing = true;
        Some(bed)
    }

    /// A try failed.
    pub(super) fn failed(&mut self, action: &Arc<Action>, now: u64, reason: String, next_try_ms: u64) {
        let key = key(action);
        let Some(bed) = self.beds.get_mut(&key) else {
            return;
        };
        bed.probing = false;
        bed.again = None;
        bed.tried_at_ms = now;
        bed.entry.attempts = bed.entry.attempts.saturating_add(1);
        bed.entry.reason = reason;
        bed.entry.next_try_ms = next_try_ms;
        self.due.insert((next_try_ms, key));
    }

    /// A try was not made after all, for the same is on its way as an entry of its own.
    pub(super) fn rest(&mut self, action: &Arc<Action>, next_try_ms: u64) {
        let key = key(action);
        if let Some(bed) = self.beds.get_mut(&key) {
            bed.probing = false;
            bed.entry.next_try_ms = next_try_ms;
            self.due.insert((next_try_ms, key));
        }
    }

    /// There is reason to hope: try it `pause` after the last try and no later.
    pub(super) fn hasten(&mut self, action: &Arc<Action>, now: u64, pause: u64) {
        let key = key(action);
        if let Some(bed) = self.beds.get_mut(&key) {
            let sooner = bed.tried_at_ms.saturating_add(pause).max(now);
            if !bed.probing && sooner < bed.entry.next_try_ms {
                self.due.remove(&(bed.entry.next_try_ms, key.clone()));
                bed.entry.next_try_ms = sooner;
                self.due.insert((sooner, key));
            }
        }
    }

    /// The same for all of a scope.
    pub(super) fn hasten_scope(&mut self, scope: &Scope, now: u64, pause: u64) {
        if self.beds.is_empty() {
            return;
        }
        let least = Arc::new(Action::Mailbox(protocol::Text::EMPTY));
        let of_scope = self.beds.range((scope.clone(), least)..);
        let actions: Vec<Arc<Action>> = of_scope
            .take_while(|((of, _), _)| of == scope)
            .map(|((_, action), _)| Arc::clone(action))
            .collect();
        for action in actions {
            self.hasten(&action, now, pause);
        }
    }
}
