//! The order of what waits: a lane for each scope, turns between lanes, and fences where an entry touches two of them.
//!
//! Everything lies in a few large maps instead of one small set a lane, so that a million users with one change each
//! cost no more than one user with a million.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::Scope;

use super::item::{Item, Kind, other_scope, scope_of};

/// A lane; never given twice.
pub(super) type LaneId = u64;

/// Place in the order of arrival.
pub(super) type Seq = u64;

/// Slots of a lane that are looked through for entries to be done together.
const LOOK_MAX: usize = 4096;

#[derive(Debug)]
struct Lane {
    scope: Scope,
    /// Its place among those that may begin a task.
    turn: Option<u64>,
    busy: bool,
    slots: usize,
    /// The last fence put up in it.
    barrier: Seq,
    locked_until: Option<u64>,
    locks: u32,
}

#[derive(Debug)]
enum Slot {
    Item(Item),
    /// An entry of another lane that this one has to wait for.
    Fence,
}

/// What a task is made of.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) lanes: Vec<LaneId>,
    pub(super) items: Vec<(Seq, Item)>,
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    ids: BTreeMap<Scope, LaneId>,
    lanes: BTreeMap<LaneId, Lane>,
    slots: BTreeMap<(LaneId, Seq), Slot>,
    ready: BTreeMap<u64, LaneId>,
    locked: BTreeSet<(u64, LaneId)>,
    next_lane: LaneId,
    next_turn: u64,
}

impl Lanes {
    /// The lane of an item, which comes to be when there is none.
    fn lane(&mut self, scope: Scope) -> LaneId {
        if let Some(id) = self.ids.get(&scope) {
            return *id;
        }
        let id = self.next_lane;
        self.next_lane += 1;
        self.ids.insert(scope.clone(), id);
        self.lanes.insert(
            id,
            Lane {
                scope,
                turn: None,
                busy: false,
                slots: 0,
                barrier: 0,
                locked_until: None,
                locks: 0,
            },
        );
        id
    }

    /// Puts an item in; into both lanes when it touches two.
    pub(super) fn insert(&mut self, seq: Seq, item: Item) -> LaneId {
        let home = self.lane(scope_of(&item.action));
        if let Some(scope) = other_scope(&item.action) {
            let other = self.lane(scope);
            self.put(other, seq, Slot::Fence);
            for lane in [home, other] {
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.barrier = lane.barrier.max(seq);
                }
            }
        }
        self.put(home, seq, Slot::Item(item));
        home
    }

    fn put(&mut self, id: LaneId, seq: Seq, slot: Slot) {
        if self.slots.insert((id, seq), slot).is_none()
            && let Some(lane) = self.lanes.get_mut(&id)
        {
            lane.slots += 1;
        }
        self.refresh(id);
    }

    /// Takes an item out, with its fence.
    pub(super) fn remove(&mut self, id: LaneId, seq: Seq) -> Option<Item> {
        let item = match self.slots.remove(&(id, seq))? {
            Slot::Item(item) => item,
            Slot::Fence => return None,
        };
        self.shrink(id);
        let other = other_scope(&item.action).and_then(|scope| self.ids.get(&scope).copied());
        if let Some(other) = other
            && self.slots.remove(&(other, seq)).is_some()
        {
            self.shrink(other);
        }
        Some(item)
    }

    fn shrink(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.slots -= 1;
        }
        self.refresh(id);
    }

    /// Brings a lane's place among the ready ones in line with its state; an empty one goes.
    fn refresh(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        let may_begin = lane.slots > 0 && !lane.busy && lane.locked_until.is_none();
        match (may_begin, lane.turn) {
            (true, None) => {
                lane.turn = Some(self.next_turn);
                self.ready.insert(self.next_turn, id);
                self.next_turn += 1;
            }
            (false, Some(turn)) => {
                lane.turn = None;
                self.ready.remove(&turn);
            }
            _ => {}
        }
        if lane.slots == 0 && !lane.busy && lane.locked_until.is_none() {
            self.ids.remove(&lane.scope);
            self.lanes.remove(&id);
        }
    }

    pub(super) fn item_mut(&mut self, id: LaneId, seq: Seq) -> Option<&mut Item> {
        match self.slots.get_mut(&(id, seq)) {
            Some(Slot::Item(item)) => Some(item),
            _ => None,
        }
    }

    /// Whether no fence stands between the two places of a lane; a place before the last fence is before all that is
    /// behind it.
    pub(super) fn same_side(&self, id: LaneId, one: Seq, other: Seq) -> bool {
        self.lanes
            .get(&id)
            .is_none_or(|lane| (one > lane.barrier) == (other > lane.barrier))
    }

    /// Items that wait, lane by lane in their order.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Item(item) => Some(item),
            Slot::Fence => None,
        })
    }

    /// Takes out what the next task is made of, and marks its lanes busy. Lanes take turns.
    pub(super) fn begin(&mut self, mailboxes_max: usize, meta_from: usize) -> Option<Flight> {
        let mut from = 0;
        while let Some((&turn, &id)) = self.ready.range(from..).next() {
            from = turn + 1;
            let Some(lanes) = self.startable(id) else { continue };
            let seqs = self.gather(id, mailboxes_max, meta_from);
            for lane in &lanes {
                if let Some(lane) = self.lanes.get_mut(lane) {
                    lane.busy = true;
                }
            }
            let items = seqs
                .into_iter()
                .filter_map(|seq| Some((seq, self.remove(id, seq)?)))
                .collect();
            for lane in &lanes {
                self.refresh(*lane);
            }
            return Some(Flight { lanes, items });
        }
        None
    }

    /// The lanes that a task from the head of this one keeps busy; `None` while it has to wait for another lane.
    fn startable(&self, id: LaneId) -> Option<Vec<LaneId>> {
        let (&(_, seq), head) = self.slots.range((id, 0)..=(id, Seq::MAX)).next()?;
        let Slot::Item(item) = head else { return None };
        let Some(scope) = other_scope(&item.action) else {
            return Some(vec![id]);
        };
        let other = *self.ids.get(&scope)?;
        let (&(_, first), _) = self.slots.range((other, 0)..=(other, Seq::MAX)).next()?;
        let free = self
            .lanes
            .get(&other)
            .is_some_and(|lane| !lane.busy && lane.locked_until.is_none());
        (free && first == seq).then(|| vec![id, other])
    }

    /// What is done together with the head of a lane. [CS-LOG-29]
    fn gather(&self, id: LaneId, mailboxes_max: usize, meta_from: usize) -> Vec<Seq> {
        let mut lane = self
            .slots
            .range((id, 0)..=(id, Seq::MAX))
            .take(LOOK_MAX)
            .map_while(|(&(_, seq), slot)| match slot {
                Slot::Item(item) => Some((seq, item)),
                Slot::Fence => None,
            });
        let Some((first, head)) = lane.next() else {
            return Vec::new();
        };
        let kind = head.kind();
        let alike = lane
            .take_while(|(_, item)| item.kind() != Kind::Across)
            .filter(|(_, item)| item.kind() == kind);
        let mut group = vec![first];
        match kind {
            Kind::Across | Kind::Alone => {}
            Kind::Meta | Kind::User => group.extend(alike.map(|(seq, _)| seq)),
            Kind::Names => {
                let mut room = mailboxes_max.min(head.group_max());
                for (seq, item) in alike {
                    room = room.min(item.group_max());
                    if group.len() >= room {
                        break;
                    }
                    group.push(seq);
                }
            }
            Kind::Marks if head.group_max() > 1 => {
                group.extend(alike.filter(|(_, item)| item.group_max() > 1).map(|(seq, _)| seq));
                if group.len() < meta_from {
                    group.truncate(1);
                }
            }
            Kind::Marks => {}
        }
        group
    }

    /// A task of the lane is over.
    pub(super) fn free(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.busy = false;
        }
        self.refresh(id);
    }

    /// The scope of a lane.
    pub(super) fn scope(&self, id: LaneId) -> Option<&Scope> {
        self.lanes.get(&id).map(|lane| &lane.scope)
    }

    /// Somebody else holds the scope; answers how often that was met in a row, this time included.
    pub(super) fn locks_met(&mut self, id: LaneId) -> u32 {
        self.lanes.get_mut(&id).map_or(1, |lane| {
            lane.locks = lane.locks.saturating_add(1);
            lane.locks
        })
    }

    /// Nothing of the lane begins before.
    pub(super) fn lock(&mut self, id: LaneId, until: u64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            if let Some(before) = lane.locked_until.replace(until) {
                self.locked.remove(&(before, id));
            }
            self.locked.insert((until, id));
        }
        self.refresh(id);
    }

    /// The scope was free.
    pub(super) fn no_lock_met(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.locks = 0;
        }
    }

    /// Lets lanes begin whose time has come.
    pub(super) fn unlock_due(&mut self, now: u64) {
        while let Some(&(due, id)) = self.locked.first()
            && due <= now
        {
            self.locked.pop_first();
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.locked_until = None;
            }
            self.refresh(id);
        }
    }

    pub(super) fn first_unlock(&self) -> Option<u64> {
        self.locked.first().map(|(due, _)| *due)
    }

    /// Slots that wait for a lock.
    pub(super) fn locked_slots(&self) -> usize {
        let lanes = self.locked.iter().filter_map(|(_, id)| self.lanes.get(id));
        lanes.map(|lane| lane.slots).sum()
    }
}
