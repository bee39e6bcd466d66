//! From what a full compare found to what is written here and expunged there; pure. [CS-MASTER-32] [CS-MASTER-48]

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Annotation, Guid, MailboxLine, Record, SystemFlags, Text};

use super::decision::{Decision, Deed};
use super::full::ITEMS_HELD_MAX;
use super::merge_behind::Behind;
pub(super) use super::merge_rules::Sides;
use super::merge_rules::{Judged, Verdict, with_their_values};
use super::run::{Tried, Trouble};
use crate::crc::SyncCrc;
use crate::model::Mailbox;

/// Messages of ours remembered that the replica has never seen, to know copies of an interrupted run again.
const FRESH_MAX: usize = 131_072;

/// A UID that is not alike on both sides.
pub(super) struct Item {
    /// What becomes of it.
    pub(super) judged: Judged,
    pub(super) ours: Option<Record>,
    pub(super) theirs: Option<Record>,
}

/// What tells a message that was copied back from any other of the same bytes.
type Print = (Guid, i64, Text, Text);

/// What a walk through both sides found.
pub(super) struct Found {
    /// Ours, as it was.
    pub(super) before: Mailbox,
    /// Whether it is here; else it was deleted.
    pub(super) is_here: bool,
    /// The replica's values.
    pub(super) line: MailboxLine,
    pub(super) sides: Sides,
    /// What is not alike, by UID.
    pub(super) items: Vec<Item>,
    /// UIDs to expunge on the replica beside the items.
    more_stale: Vec<u32>,
    /// Whether all that is not alike is held.
    pub(super) is_complete: bool,
    crc: SyncCrc,
    /// Our live messages that the replica does not have under their UIDs.
    fresh: BTreeMap<Print, Record>,
    /// Of one UID and the same bytes, and yet two messages: both moved there, each on its side. By ours, with theirs.
    doubles: BTreeMap<Print, Print>,
}

/// What is to be done.
pub(super) struct Resolved {
    /// Ours, as it was.
    pub(super) before: Mailbox,
    /// Whether it was here.
    pub(super) is_here: bool,
    /// Ours, as it will be.
    pub(super) after: Mailbox,
    /// The replica's values.
    pub(super) line: MailboxLine,
    /// Records to write here, in this order: old places of renumbered messages come last, so that no message is ever
    /// without a record.
    pub(super) writes: Vec<Record>,
    /// The replica's records whose messages have to be fetched.
    pub(super) wanted: Vec<Record>,
    /// UIDs to expunge on the replica, ascending.
    pub(super) expunge_there: Vec<u32>,
    /// The replica's records whose messages are here under another UID: expunged, ascending.
    pub(super) moved: Vec<Record>,
    /// Why.
    pub(super) decisions: Vec<Decision>,
}

impl Sides {
    /// The facts that the rules ask for; `our_last_uid` is that of the first of several passes.
    pub(super) fn new(
        mailbox: &Mailbox,
        line: &MailboxLine,
        our_last_uid: Option<u32>,
    ) -> Result<Self, String> {
        let (Some(their_last_uid), Some(their_highestmodseq), Some(_)) =
            (line.last_uid, line.highestmodseq, line.uidvalidity)
        else {
            return Err(format!(
                "{}: the replica's full listing lacks required keys",
                mailbox.name
            ));
        };
        if line.uniqueid.as_ref().is_some_and(|id| *id != mailbox.uniqueid) {
            return Err(format!(
                "{}: the replica has another mailbox of that name",
                mailbox.name
            ));
        }
        Ok(Sides {
            our_last_uid: our_last_uid.unwrap_or(mailbox.last_uid),
            our_deletedmodseq: mailbox.deletedmodseq,
            their_last_uid,
            their_highestmodseq,
        })
    }
}

impl Found {
    /// Nothing found yet.
    pub(super) fn new(before: Mailbox, is_here: bool, line: MailboxLine, sides: Sides) -> Self {
        Found {
            before,
            is_here,
            line,
            sides,
            items: Vec::new(),
            more_stale: Vec::new(),
            is_complete: true,
            crc: SyncCrc::EMPTY,
            fresh: BTreeMap::new(),
            doubles: BTreeMap::new(),
        }
    }

    /// The CRCs of our records, as far as the walk has come.
    pub(super) fn crc(&self) -> SyncCrc {
        self.crc
    }

    /// Takes the next UID; what is alike is not held.
    pub(super) fn take(&mut self, item: Item) {
        if let Some(ours) = &item.ours {
            self.crc.toggle(ours);
            // Mail that came to the replica since may have the copy's UID there by now.
            let is_lacking = item.theirs.as_ref().is_none_or(|theirs| theirs.guid != ours.guid);
            if is_lacking && !ours.is_expunged() && self.fresh.len() < FRESH_MAX {
                self.fresh.insert(print_of(ours), ours.clone());
            }
            if let Some(theirs) = &item.theirs {
                self.take_double(ours, theirs);
            }
        }
        match (&item.judged.verdict, &item.theirs) {
            (Verdict::Keep, _) => {}
            _ if self.items.len() < ITEMS_HELD_MAX => self.items.push(item),
            (Verdict::Stale(_), Some(theirs)) => self.more_stale.push(theirs.uid),
            // What is not remembered here is at least expunged there.
            (Verdict::Bury, Some(theirs)) if theirs.is_expunged() => {}
            (Verdict::Bury, Some(theirs)) => self.more_stale.push(theirs.uid),
            _ => self.is_complete = false,
        }
    }

    fn take_double(&mut self, ours: &Record, theirs: &Record) {
        let is_one = ours.guid == theirs.guid && !ours.is_expunged() && !theirs.is_expunged();
        if is_one && self.doubles.len() < FRESH_MAX {
            let (ours, theirs) = (print_of(ours), print_of(theirs));
            if ours != theirs {
                self.doubles.insert(ours, theirs);
            }
        }
    }

    /// Copies that are known again at a UID where the replica has another message of the same bytes. The two are one from
    /// now on, ours; so that none is lost, the other one has to be elsewhere. What the replica has of ours elsewhere, by the
    /// print. [CS-SPLIT-31]
    fn known_doubles(&self) -> BTreeMap<Print, Record> {
        if self.doubles.is_empty() {
            return BTreeMap::new();
        }
        let comes = |item: &&Item| {
            matches!(
                item.judged.verdict,
                Verdict::Adopt | Verdict::CopyBack | Verdict::Split
            )
        };
        let theirs = self
            .items
            .iter()
            .filter(comes)
            .filter_map(|item| item.theirs.as_ref());
        let coming: BTreeMap<Print, &Record> = theirs
            .filter(|theirs| !theirs.is_expunged())
            .map(|theirs| (print_of(theirs), theirs))
            .collect();
        let is_elsewhere = |print: &Print| {
            self.fresh.contains_key(print) || self.doubles.contains_key(print) || coming.contains_key(print)
        };
        self.doubles
            .iter()
            .filter(|(_, theirs)| is_elsewhere(theirs))
            .filter_map(|(ours, _)| Some((ours.clone(), (*coming.get(ours)?).clone())))
            .collect()
    }

    /// What would be copied back, though it is here under another UID: an interrupted run of either side copied the one or
    /// the other. [CS-SPLIT-31]
    fn known_elsewhere(&self) -> BTreeMap<Print, Record> {
        let moves = |item: &&Item| matches!(item.judged.verdict, Verdict::CopyBack | Verdict::Split);
        let theirs = self
            .items
            .iter()
            .filter(moves)
            .filter_map(|item| item.theirs.as_ref());
        theirs
            .filter(|theirs| !theirs.is_expunged())
            .map(|theirs| (print_of(theirs), theirs.clone()))
            .filter(|(print, _)| self.fresh.contains_key(print))
            .collect()
    }
}

/// A copy that one side made of the other's message, as it has to be when that was changed after it. [CS-SPLIT-31]
fn changed_since(copy: &Record, original: &Record) -> Option<Record> {
    // A copy begins with the time of its original. Their modseqs are of two servers, and tell them apart within a second only.
    let age = |record: &Record| (record.last_updated, record.modseq);
    let is_newer = age(original) > age(copy);
    is_newer.then(|| Record {
        last_updated: original.last_updated,
        ..with_their_values(copy, original)
    })
}

fn print_of(record: &Record) -> Print {
    let value = |entry: &[u8]| {
        record
            .annotations
            .iter()
            .find(|a| a.entry.as_bytes() == entry && a.userid.is_empty())
            .map(|a| a.value.clone())
            .unwrap_or_default()
    };
    (
        record.guid,
        record.internaldate,
        value(Annotation::SAVEDATE),
        value(Annotation::CREATEDMODSEQ),
    )
}

/// Messages on their way to new UIDs, in the order in which UIDs are given out.
enum Move {
    CopyBack(Record),
    Renumber(Record),
}

struct Resolver {
    resolved: Resolved,
    behind: Behind,
    fresh: BTreeSet<Print>,
    /// Ours that the replica has under another UID, as they are here and there; until they are written in any way.
    elsewhere: BTreeMap<Print, (Record, Record)>,
    now: i64,
    adopted: Vec<(Record, &'static str)>,
    moves: Vec<(Move, &'static str)>,
    /// What is there elsewhere of ours that stands where the replica has another message of the same bytes.
    doubles: BTreeMap<Print, Record>,
    left_behind: Vec<Record>,
}

/// From here on a compare might come to the end of all modseqs, of which it takes far fewer than are left.
const HIGHESTMODSEQ_MAX: u64 = u64::MAX - (1 << 40);

/// Decides UIDs and modseqs of all that was found. `now` is in seconds since the epoch.
pub(super) fn resolve(mut found: Found, now: i64) -> Tried<Resolved> {
    let doubles = found.known_doubles();
    for item in &mut found.items {
        let is_here = |theirs: &Record| doubles.contains_key(&print_of(theirs));
        if item.judged.verdict == Verdict::Adopt && item.theirs.as_ref().is_some_and(is_here) {
            item.judged.verdict = Verdict::CopyBack;
        }
    }
    let (line, sides) = (&found.line, &found.sides);
    let mut after = found.before.clone();
    after.uidvalidity = after.uidvalidity.max(line.uidvalidity.unwrap_or(0));
    after.foldermodseq = after.foldermodseq.max(line.foldermodseq.unwrap_or(0));
    after.xconvmodseq = after.xconvmodseq.max(after.xconvmodseq.and(line.xconvmodseq));
    if sides.their_highestmodseq > after.highestmodseq {
        after.highestmodseq = sides.their_highestmodseq;
        after.annotations = line.annotations.clone().unwrap_or_default();
    }
    if after.highestmodseq > HIGHESTMODSEQ_MAX {
        return Err(Trouble::Item(format!(
            "{}: HIGHESTMODSEQ {} leaves no modseqs to settle anything with; look for what wrote it",
            after.name, after.highestmodseq
        )));
    }
    after.last_uid = after.last_uid.max(sides.their_last_uid);
    if found.is_complete {
        // Recomputed on the way; the kept ones may be what is wrong. [CS-CRC-10]
        after.crc = found.crc;
    }
    let elsewhere = found.known_elsewhere().into_iter();
    let elsewhere = elsewhere.filter_map(|(print, theirs)| {
        let ours = found.fresh.get(&print)?.clone();
        Some((print, (ours, theirs)))
    });
    let elsewhere = elsewhere.collect();
    let mut fresh: BTreeSet<Print> = found.fresh.into_keys().collect();
    fresh.extend(doubles.keys().cloned());
    let mut resolver = Resolver {
        resolved: Resolved {
            before: found.before,
            is_here: found.is_here,
            after,
            line: found.line,
            writes: Vec::new(),
            wanted: Vec::new(),
            expunge_there: found.more_stale,
            moved: Vec::new(),
            decisions: Vec::new(),
        },
        behind: Behind::new(&found.items),
        fresh,
        elsewhere,
        now,
        adopted: Vec::new(),
        moves: Vec::new(),
        doubles,
        left_behind: Vec::new(),
    };
    for item in found.items {
        resolver.item(item);
    }
    resolver.finish()
}

impl Resolved {
    /// Whether anything is to be written here.
    pub(super) fn is_change(&self) -> bool {
        !self.writes.is_empty() || self.after != self.before || !self.is_here
    }
}

impl Resolver {
    fn decide(&mut self, record: &Record, rule: &'static str, what: Deed) {
        let after = &self.resolved.after;
        self.resolved.decisions.push(Decision {
            mailbox: after.name.clone(),
            uniqueid: after.uniqueid.clone(),
            uid: Some(record.uid),
            guid: Some(record.guid),
            rule,
            what,
        });
    }

    /// A record as it will be here, with a new modseq; `old` leaves the CRCs for it, and the replica keeps `theirs` until it
    /// has it. Of a live one LAST_UPDATED is that of the younger of the two: a clock would tell two masters apart that settle
    /// the same at once. [CS-MASTER-48]
    fn stamp(&mut self, mut record: Record, old: Option<&Record>, theirs: Option<&Record>) -> Record {
        let after = &mut self.resolved.after;
        record.modseq = after.highestmodseq + 1;
        record.last_updated = if record.is_expunged() {
            self.now
        } else {
            old.map_or(record.last_updated, |old| {
                record.last_updated.max(old.last_updated)
            })
        };
        self.behind.write(&mut record, old, theirs);
        after.highestmodseq = record.modseq;
        self.count(&record, old);
        record
    }

    /// Takes a record into the values of the mailbox.
    fn count(&mut self, record: &Record, old: Option<&Record>) {
        let after = &mut self.resolved.after;
        for keyword in &record.flags.keywords {
            if !after
                .userflags
                .iter()
                .any(|known| known.eq_ignore_ascii_case(keyword))
            {
                after.userflags.push(keyword.clone());
            }
        }
        if let Some(old) = old {
            after.crc.toggle(old);
        }
        after.crc.toggle(record);
    }

    fn write(&mut self, record: Record, old: Option<&Record>, theirs: Option<&Record>) {
        let record = self.stamp(record, old, theirs);
        self.resolved.writes.push(record);
    }

    /// Whether what comes from there can be here as it is there: who looks for what is newer than what was here finds it all
    /// the same, and a new modseq would be newer than a change of it that is on its way to the replica. [CS-MASTER-73]
    fn keeps_modseq(&mut self, theirs: &Record) -> bool {
        let after_ours = self.resolved.before.highestmodseq + 1;
        let highest = self.resolved.line.highestmodseq.unwrap_or(0);
        self.resolved.is_here && (after_ours..=highest).contains(&theirs.modseq) && self.behind.keeps(theirs)
    }

    fn item(&mut self, item: Item) {
        let rule = item.judged.rule;
        match (item.judged.verdict, item.ours, item.theirs) {
            (Verdict::Rewrite(mut record, deed), Some(ours), theirs) => {
                match &theirs {
                    Some(theirs) => {
                        record.last_updated = record.last_updated.max(theirs.last_updated);
                        record = self.changed_elsewhere(&record, theirs).unwrap_or(record);
                    }
                    None => record = self.changed_there(&record).unwrap_or(record),
                }
                if let Some(deed) = deed {
                    self.decide(&ours, rule, deed);
                }
                self.write(record, Some(&ours), theirs.as_ref());
            }
            (Verdict::Stand(deed), Some(ours), _) => self.decide(&ours, rule, deed),
            (Verdict::Renumber, Some(ours), _) => self.renumber(ours, rule),
            (Verdict::Adopt, _, Some(theirs)) => self.adopted.push((theirs, rule)),
            (Verdict::CopyBack, _, Some(theirs)) => self.copy_back(theirs, rule),
            (Verdict::Stale(deed), _, Some(theirs)) => {
                self.decide(&theirs, rule, deed);
                self.resolved.expunge_there.push(theirs.uid);
            }
            (Verdict::Bury, _, Some(mut theirs)) => {
                if !theirs.is_expunged() {
                    self.decide(&theirs, rule, Deed::ExpungeThere);
                    self.resolved.expunge_there.push(theirs.uid);
                }
                theirs.flags.system = theirs.flags.system.with(SystemFlags::EXPUNGED);
                self.write(theirs, None, None);
            }
            (Verdict::Split, Some(ours), Some(theirs)) => {
                // The lower GUID gets the lower UID, so that both masters of a pair would decide alike.
                let ours_first = ours.guid < theirs.guid;
                let (mine, his) = (!ours.is_expunged(), !theirs.is_expunged());
                if mine && ours_first {
                    self.renumber(ours.clone(), rule);
                }
                if his {
                    self.copy_back(theirs, rule);
                }
                if mine && !ours_first {
                    self.renumber(ours, rule);
                }
            }
            _ => {}
        }
    }

    fn renumber(&mut self, ours: Record, rule: &'static str) {
        let mut tombstone = ours.clone();
        tombstone.flags.system = tombstone.flags.system.with(SystemFlags::EXPUNGED);
        let tombstone = self.stamp(tombstone, Some(&ours), None);
        self.left_behind.push(tombstone);
        let moved = self.changed_there(&ours).unwrap_or(ours);
        self.moves.push((Move::Renumber(moved), rule));
    }

    fn copy_back(&mut self, theirs: Record, rule: &'static str) {
        let mut gone = theirs.clone();
        gone.flags.system = gone.flags.system.with(SystemFlags::EXPUNGED);
        self.resolved.moved.push(gone);
        self.moves.push((Move::CopyBack(theirs), rule));
    }

    /// A message that an interrupted run of either side copied, original or copy, when the other one was changed there since.
    /// [CS-SPLIT-31]
    fn changed_there(&mut self, ours: &Record) -> Option<Record> {
        if ours.is_expunged() || self.elsewhere.is_empty() {
            return None;
        }
        let (_, theirs) = self.elsewhere.remove(&print_of(ours))?;
        changed_since(ours, &theirs)
    }

    /// The same for a copy at whose UID the replica has another message of the same bytes. What was changed last, counts.
    fn changed_elsewhere(&self, copy: &Record, theirs: &Record) -> Option<Record> {
        if copy.is_expunged() || self.doubles.is_empty() {
            return None;
        }
        let original = self.doubles.get(&print_of(copy))?;
        changed_since(copy, original).filter(|_| original.modseq > theirs.modseq)
    }

    fn finish(mut self) -> Tried<Resolved> {
        let came: BTreeSet<Print> = self.adopted.iter().map(|(record, _)| print_of(record)).collect();
        let moved = self.moves.iter().filter_map(|(moved, _)| match moved {
            Move::Renumber(record) => Some((print_of(record), record.clone())),
            Move::CopyBack(_) => None,
        });
        let moved: BTreeMap<Print, Record> = moved.filter(|(print, _)| came.contains(print)).collect();
        for (record, rule) in std::mem::take(&mut self.adopted) {
            self.decide(&record, rule, Deed::Adopt);
            self.resolved.wanted.push(record.clone());
            let ours = moved.get(&print_of(&record));
            match ours.and_then(|ours| changed_since(&record, ours)) {
                Some(changed) => self.write(changed, None, Some(&record)),
                None if self.keeps_modseq(&record) => {
                    self.count(&record, None);
                    self.resolved.writes.push(record);
                }
                None => self.write(record.clone(), None, Some(&record)),
            }
        }
        for (moved, rule) in std::mem::take(&mut self.moves) {
            let mut record = match moved {
                // A run that was interrupted between its transaction and the EXPUNGE had copied it already.
                Move::CopyBack(record) if self.fresh.remove(&print_of(&record)) => {
                    self.decide(&record, "CS-SPLIT-31", Deed::CopiedBefore);
                    if let Some((ours, theirs)) = self.elsewhere.remove(&print_of(&record))
                        && let Some(changed) = changed_since(&ours, &theirs)
                    {
                        self.write(changed, Some(&ours), None);
                    }
                    continue;
                }
                Move::CopyBack(record) => {
                    self.resolved.wanted.push(record.clone());
                    let new_uid = self.new_uid()?;
                    self.decide(&record, rule, Deed::CopyBack { new_uid });
                    Record {
                        uid: new_uid,
                        ..record
                    }
                }
                // The other side, a master too, had moved it there, and was interrupted before it could be expunged here.
                Move::Renumber(record) if came.contains(&print_of(&record)) => {
                    self.decide(&record, "CS-SPLIT-31", Deed::CopiedBefore);
                    continue;
                }
                Move::Renumber(record) => {
                    let new_uid = self.new_uid()?;
                    self.decide(&record, rule, Deed::Renumber { new_uid });
                    Record {
                        uid: new_uid,
                        ..record
                    }
                }
            };
            record.flags.system = record.flags.system.without(SystemFlags::EXPUNGED);
            self.write(record, None, None);
        }
        let mut left_behind = std::mem::take(&mut self.left_behind);
        self.resolved.writes.append(&mut left_behind);
        self.resolved.expunge_there.sort_unstable();
        Ok(self.resolved)
    }

    fn new_uid(&mut self) -> Tried<u32> {
        let after = &mut self.resolved.after;
        let uid = after
            .last_uid
            .checked_add(1)
            .ok_or_else(|| Trouble::Item(format!("{}: no UIDs are left", after.name)))?;
        after.last_uid = uid;
        Ok(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Now;
    use crate::local::{self, Moment, NewMailbox};
    use crate::master::merge_rules::{both, only_ours, only_theirs};
    use protocol::Flags;

    /// Message `bytes`, told from others of the same bytes by its date.
    fn record(uid: u32, modseq: u64, bytes: u8, date: i64) -> Record {
        Record {
            uid,
            modseq,
            last_updated: 100,
            flags: Flags::default(),
            internaldate: date,
            size: 1,
            guid: Guid::from_bytes([bytes; 20]),
            annotations: Vec::new(),
        }
    }

    fn compare(ours: &[Record], theirs: &[Record]) -> Resolved {
        let moment = Moment {
            now: Now(1),
            modseq_after: 0,
        };
        let new = NewMailbox {
            name: Text::from("user.jane"),
            uniqueid: Text::from("id"),
            partition: Text::from("default"),
            acl: None,
        };
        let mut mailbox = local::create(moment, &[], new).expect("a name of nobody");
        let highest = |records: &[Record]| records.iter().map(|r| r.modseq).max().unwrap_or(0);
        let last = |records: &[Record]| records.last().map_or(0, |r| r.uid);
        mailbox.last_uid = last(ours);
        mailbox.highestmodseq = highest(ours);
        let line = MailboxLine {
            last_uid: Some(last(theirs)),
            highestmodseq: Some(highest(theirs)),
            uidvalidity: Some(mailbox.uidvalidity),
            ..MailboxLine::default()
        };
        let sides = Sides::new(&mailbox, &line, None).expect("all keys");
        let mut found = Found::new(mailbox, true, line, sides);
        for uid in 1..=last(ours).max(last(theirs)) {
            let at = |records: &[Record]| records.iter().find(|r| r.uid == uid).cloned();
            let (ours, theirs) = (at(ours), at(theirs));
            let judged = match (&ours, &theirs) {
                (Some(ours), Some(theirs)) => both(ours, theirs, &sides),
                (Some(ours), None) => only_ours(ours, uid < sides.their_last_uid, &sides),
                (None, Some(theirs)) => only_theirs(theirs, false, &sides),
                (None, None) => continue,
            };
            found.take(Item { judged, ours, theirs });
        }
        match resolve(found, 200) {
            Ok(resolved) => resolved,
            Err(_) => panic!("it can be settled"),
        }
    }

    /// Dates of the messages `bytes` that live here in the end, ascending.
    fn dates_of(bytes: u8, ours: &[Record], resolved: &Resolved) -> Vec<i64> {
        let mut records: BTreeMap<u32, &Record> = ours.iter().map(|r| (r.uid, r)).collect();
        records.extend(resolved.writes.iter().map(|r| (r.uid, r)));
        let living = records.values().filter(|r| !r.is_expunged());
        let mut dates: Vec<i64> = living
            .filter(|r| r.guid == Guid::from_bytes([bytes; 20]))
            .map(|r| r.internaldate)
            .collect();
        dates.sort_unstable();
        dates
    }

    #[test]
    fn what_both_moved_to_one_uid_is_not_copied_again() {
        let here = [record(4, 7, 1, 50), record(5, 8, 7, 50), record(6, 9, 7, 51)];
        let there = [record(5, 9, 1, 50), record(6, 10, 7, 50), record(7, 11, 7, 51)];
        for (ours, theirs) in [(&here, &there), (&there, &here)] {
            let resolved = compare(ours, theirs);
            assert_eq!(dates_of(7, ours, &resolved), [50, 51]);
            assert_eq!(dates_of(1, ours, &resolved), [50]);
        }
        let resolved = compare(&here, &there);
        let gone: Vec<u32> = resolved.moved.iter().map(|r| r.uid).collect();
        assert_eq!(gone, [5, 7]);
        assert!(resolved.moved.iter().all(Record::is_expunged));
        assert!(resolved.expunge_there.is_empty());
    }

    #[test]
    fn what_was_changed_of_it_goes_over_to_the_copy() {
        let ours = [record(4, 7, 1, 50), record(5, 8, 7, 50), record(6, 9, 7, 51)];
        let mut theirs = [record(5, 9, 1, 50), record(6, 10, 7, 50), record(7, 11, 7, 51)];
        theirs[2].flags.system = SystemFlags::FLAGGED;
        let resolved = compare(&ours, &theirs);
        let copy = resolved.writes.iter().find(|r| r.uid == 6);
        assert_eq!(copy.map(|r| r.flags.system), Some(SystemFlags::FLAGGED));
    }

    /// [CS-MASTER-73]
    #[test]
    fn what_comes_keeps_a_modseq_that_is_new_here() {
        let theirs = [record(1, 5, 1, 50), record(2, 4, 2, 50), record(3, 6, 3, 50)];
        let resolved = compare(&theirs[..1], &theirs);
        let ends: Vec<_> = resolved.writes.iter().map(|r| (r.uid, r.modseq)).collect();
        assert_eq!(ends, [(2, 7), (3, 6)], "4 is nothing new to who has seen 5");
        assert_eq!(resolved.after.highestmodseq, 7);
        let mut crc = SyncCrc::EMPTY;
        crc.toggle(&theirs[0]);
        resolved.writes.iter().for_each(|record| crc.toggle(record));
        assert_eq!(resolved.after.crc, crc);
    }

    #[test]
    fn as_many_stay_as_there_were() {
        // The one that ours takes the place of is nowhere else.
        let ours = [record(6, 9, 7, 51)];
        let theirs = [record(5, 9, 1, 50), record(6, 10, 7, 50), record(7, 11, 7, 51)];
        let resolved = compare(&ours, &theirs);
        assert_eq!(dates_of(7, &ours, &resolved).len(), 2);
        assert_eq!(dates_of(1, &ours, &resolved), [50]);
    }
}
