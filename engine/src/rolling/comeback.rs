//! Names that are deleted and come back, or are renamed to and fro, again and again, without any person doing so.
//! [CS-LOG-41]
//!
//! Two servers that replicate to each other can hand each other the deletion and the making of one mailbox in turns: each
//! one's deletion crosses the other's making. Whoever has to make it again waits longer each time, and who has to delete
//! it never does; so some time they do not cross, and the deletion stands. Of two renames that cross, the one to the name
//! that comes later in byte order waits.

use std::collections::BTreeMap;

use protocol::Text;
use protocol::synclog::Action;

use crate::name::{Scope, inbox_of, owner};

/// Names from which on old ones are looked for.
const PRUNE_FROM: usize = 64;

/// What is known of one name.
#[derive(Clone, Copy, Debug)]
struct Turns {
    is_gone: bool,
    /// How often it came back.
    count: u32,
    /// When the last of it happened.
    at_ms: u64,
}

/// All names that went a short while ago.
#[derive(Debug)]
pub(super) struct Comebacks {
    names: BTreeMap<Text, Turns>,
    /// Renames by their two names, the lower first; gone means that the last was to the higher.
    renames: BTreeMap<(Text, Text), Turns>,
    /// Names of renames that wait, and until when, in milliseconds.
    held: BTreeMap<Text, u64>,
    prune_at: usize,
}

/// How long a name waits that comes back. Milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// The second time; twice as long each time after that.
    pub(super) first_ms: u64,
    /// At most. What did not go or come for twice as long begins anew.
    pub(super) most_ms: u64,
}

impl Default for Comebacks {
    fn default() -> Self {
        Comebacks {
            names: BTreeMap::new(),
            renames: BTreeMap::new(),
            held: BTreeMap::new(),
            prune_at: PRUNE_FROM,
        }
    }
}

impl Comebacks {
    /// Takes note of an action that was logged; answers how long it has to wait, 0 for almost all.
    pub(super) fn note(&mut self, action: &Action, now_ms: u64, pauses: Pauses) -> u64 {
        match action {
            Action::Unmailbox(name) => self.went(name.clone(), now_ms, pauses),
            Action::Unuser(user) => self.went(inbox_of(user), now_ms, pauses),
            // Moves between users stand in the way of both anyway.
            Action::Rename { from, to } if Scope::of(from) == Scope::of(to) => {
                return self.renamed(from, to, now_ms, pauses);
            }
            Action::Mailbox(name) => {
                let held = self
                    .held
                    .get(name)
                    .map_or(0, |until| until.saturating_sub(now_ms));
                return held.max(self.made(name, now_ms, pauses));
            }
            _ => {}
        }
        0
    }

    fn made(&mut self, name: &Text, now_ms: u64, pauses: Pauses) -> u64 {
        if self.names.is_empty() {
            return 0;
        }
        let inbox = owner(name).map(|user| inbox_of(&user));
        let inbox = inbox.filter(|inbox| inbox != name);
        let own = self.came(name, now_ms, pauses);
        inbox.map_or(own, |inbox| own.max(self.pause_of(&inbox, now_ms, pauses)))
    }

    fn renamed(&mut self, from: &Text, to: &Text, now_ms: u64, pauses: Pauses) -> u64 {
        if self.renames.len() >= self.prune_at {
            self.renames.retain(|_, turns| !turns.is_over(now_ms, pauses));
            self.held.retain(|_, until| *until > now_ms);
            self.prune_at = PRUNE_FROM.max(2 * self.renames.len());
        }
        let is_up = from < to;
        let pair = if is_up { (from, to) } else { (to, from) };
        let turns = self
            .renames
            .entry((pair.0.clone(), pair.1.clone()))
            .or_insert(Turns {
                is_gone: !is_up,
                count: 0,
                at_ms: now_ms,
            });
        if turns.is_over(now_ms, pauses) {
            turns.count = 0;
        }
        if turns.is_gone != is_up {
            turns.count = turns.count.saturating_add(1);
        }
        turns.is_gone = is_up;
        turns.at_ms = now_ms;
        let pause = if is_up { turns.pause(pauses) } else { 0 };
        for name in [from, to] {
            // The other direction is on its way, and nothing has to wait for this one any more.
            self.held.remove(name);
            if pause > 0 {
                self.held.insert(name.clone(), now_ms.saturating_add(pause));
            }
        }
        pause
    }

    fn went(&mut self, name: Text, now_ms: u64, pauses: Pauses) {
        if self.names.len() >= self.prune_at {
            self.names.retain(|_, turns| !turns.is_over(now_ms, pauses));
            self.prune_at = PRUNE_FROM.max(2 * self.names.len());
        }
        let turns = self.names.entry(name).or_insert(Turns {
            is_gone: true,
            count: 0,
            at_ms: now_ms,
        });
        if turns.is_over(now_ms, pauses) {
            turns.count = 0;
        }
        turns.is_gone = true;
        turns.at_ms = now_ms;
    }

    fn came(&mut self, name: &Text, now_ms: u64, pauses: Pauses) -> u64 {
        let Some(turns) = self.names.get_mut(name) else {
            return 0;
        };
        if turns.is_over(now_ms, pauses) {
            self.names.remove(name);
            return 0;
        }
        if !turns.is_gone {
            return 0;
        }
        turns.is_gone = false;
        turns.count = turns.count.saturating_add(1);
        turns.at_ms = now_ms;
        turns.pause(pauses)
    }

    /// What a mailbox waits for whose user went and came.
    fn pause_of(&self, inbox: &Text, now_ms: u64, pauses: Pauses) -> u64 {
        let turns = self.names.get(inbox);
        turns
            .filter(|turns| !turns.is_over(now_ms, pauses))
            .map_or(0, |turns| turns.pause(pauses))
    }
}

impl Turns {
    /// None the first time: people do make a mailbox again that they deleted.
    fn pause(&self, pauses: Pauses) -> u64 {
        match self.count.checked_sub(2) {
            None => 0,
            Some(times) => {
                let factor = 1u64.checked_shl(times).unwrap_or(u64::MAX);
                pauses.first_ms.saturating_mul(factor).min(pauses.most_ms)
            }
        }
    }

    fn is_over(&self, now_ms: u64, pauses: Pauses) -> bool {
        now_ms.saturating_sub(self.at_ms) > pauses.most_ms.saturating_mul(2)
    }
}
