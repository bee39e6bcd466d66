//! Locks of connections on a file and on the slots of its shared memory, as SQLite asks for them.

use std::collections::{BTreeMap, BTreeSet};

/// Who holds a lock.
pub type Holder = u64;

/// Strength of a lock on a file, in SQLite's numbers: 0 none, 1 shared, 2 reserved, 3 pending, 4 exclusive.
pub type Level = i32;

const RESERVED: Level = 2;

/// Locks on one file.
#[derive(Clone, Default, Debug)]
pub struct Locks {
    held: BTreeMap<Holder, Level>,
    slots: [Slot; 8],
}

#[derive(Clone, Default, Debug)]
struct Slot {
    exclusive: Option<Holder>,
    shared: BTreeSet<Holder>,
}

impl Locks {
    /// Takes a lock, or one that is stronger; false when others are in the way.
    pub fn take(&mut self, who: Holder, level: Level) -> bool {
        let own = self.held.get(&who).copied().unwrap_or_default();
        let others = self.held.iter().filter(|(holder, _)| **holder != who);
        let strongest = others.map(|(_, level)| *level).max().unwrap_or_default();
        let is_free = match level {
            ..=1 => strongest <= RESERVED,
            RESERVED => strongest < RESERVED,
            _ => strongest == 0,
        };
        if own < level && is_free {
            self.held.insert(who, level);
        }
        own >= level || is_free
    }

    /// Weakens a lock.
    pub fn weaken(&mut self, who: Holder, level: Level) {
        if level <= 0 {
            self.held.remove(&who);
        } else if let Some(own) = self.held.get_mut(&who) {
            *own = (*own).min(level);
        }
    }

    /// Whether anybody is about to write.
    pub fn is_reserved(&self) -> bool {
        self.held.values().any(|level| *level >= RESERVED)
    }

    /// Takes slots of the shared memory, shared or alone; false when others are in the way.
    pub fn take_slots(&mut self, who: Holder, first: usize, count: usize, alone: bool) -> bool {
        let Some(slots) = self.slots.get_mut(first..first + count) else {
            return false;
        };
        let is_free = slots.iter().all(|slot| {
            slot.exclusive.is_none_or(|holder| holder == who)
                && (!alone || slot.shared.iter().all(|holder| *holder == who))
        });
        if is_free {
            for slot in slots {
                if alone {
                    slot.exclusive = Some(who);
                } else {
                    slot.shared.insert(who);
                }
            }
        }
        is_free
    }

    /// Gives slots back.
    pub fn give_slots(&mut self, who: Holder, first: usize, count: usize) {
        for slot in self.slots.iter_mut().skip(first).take(count) {
            slot.shared.remove(&who);
            if slot.exclusive == Some(who) {
                slot.exclusive = None;
            }
        }
    }

    /// Gives all back.
    pub fn leave(&mut self, who: Holder) {
        self.held.remove(&who);
        self.give_slots(who, 0, 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_while_others_read_and_one_is_alone() {
        let mut locks = Locks::default();
        assert!(locks.take(1, 1) && locks.take(2, 1));
        assert!(locks.take(1, 2) && locks.is_reserved());
        assert!(!locks.take(2, 2), "one writer");
        assert!(!locks.take(1, 4), "not while another reads");
        locks.weaken(2, 0);
        assert!(locks.take(1, 4));
        assert!(!locks.take(2, 1), "nobody reads");
        locks.leave(1);
        assert!(locks.take(2, 1) && !locks.is_reserved());
    }

    #[test]
    fn slots_are_shared_or_held_alone() {
        let mut locks = Locks::default();
        assert!(locks.take_slots(1, 3, 1, false) && locks.take_slots(2, 3, 1, false));
        assert!(!locks.take_slots(1, 0, 8, true), "another is in slot 3");
        assert!(!locks.take_slots(1, 0, 9, true), "there are eight");
        locks.give_slots(2, 3, 1);
        assert!(locks.take_slots(1, 0, 8, true));
        assert!(!locks.take_slots(2, 0, 1, false));
        locks.leave(1);
        assert!(locks.take_slots(2, 0, 1, true));
    }
}
