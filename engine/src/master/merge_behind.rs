//! What a full compare writes here stays visible to the CRCs until the replica has it; pure. [CS-SPLIT-46]
//!
//! A replica whose modseq rises meanwhile, by a change of its own, is later sent only what lies above it. It is told to have
//! the rest, and nothing but the CRCs tells that it has not.

use std::collections::BTreeSet;

use protocol::Record;

use super::merge_plan::Item;
use super::merge_rules::Verdict;
use crate::crc::SyncCrc;

/// By what the CRCs differ, if the replica has all that was written so far as it is there, and everything else as it is here.
pub(super) struct Behind {
    /// After the last record.
    now: SyncCrc,
    /// After each record before it, by both values. What lies between two that are equal would hide when the replica, a
    /// master too, settles the rest in the same way at the same time.
    before: BTreeSet<(u32, u32)>,
    /// By what the CRCs here differ from those before anything was written.
    here: SyncCrc,
}

impl Behind {
    /// Before anything was written; of what a compare found.
    pub(super) fn new(items: &[Item]) -> Self {
        // The replica may have expunged what was to be expunged there, or not.
        let mut kept = SyncCrc::EMPTY;
        let mut now = SyncCrc::EMPTY;
        for item in items {
            // What stands as it is will be sent with what is written, and is lacking there until then.
            if let (Verdict::Stand(_), Some(ours), Some(theirs)) =
                (&item.judged.verdict, &item.ours, &item.theirs)
            {
                now.toggle(ours);
                now.toggle(theirs);
            }
            let goes = matches!(
                item.judged.verdict,
                Verdict::CopyBack | Verdict::Stale(_) | Verdict::Bury | Verdict::Split
            );
            if let Some(theirs) = item.theirs.as_ref().filter(|_| goes) {
                kept.toggle(theirs);
            }
        }
        Behind {
            now,
            before: [values(SyncCrc::EMPTY), values(kept), values(now)].into(),
            here: SyncCrc::EMPTY,
        }
    }

    /// Takes what is written here as the replica has it, if that can be seen by this server's own master.
    pub(super) fn keeps(&mut self, record: &Record) -> bool {
        let mut here = self.here;
        here.toggle(record);
        let is_seen = values(here) != values(SyncCrc::EMPTY);
        if is_seen {
            self.here = here;
        }
        is_seen
    }

    /// Takes what is written next, with what was here before and what the replica has under its UID and keeps; raises the
    /// modseq until the difference can be seen, by the replica and by this server's own master, which has what was here. No
    /// two modseqs of a record look alike, so that rarely is more than once.
    pub(super) fn write(&mut self, record: &mut Record, old: Option<&Record>, theirs: Option<&Record>) {
        if let Some(theirs) = theirs {
            self.now.toggle(theirs);
        }
        if let Some(old) = old {
            self.here.toggle(old);
        }
        let (before, here) = (self.now, self.here);
        let with = |mut sum: SyncCrc, record: &Record| {
            sum.toggle(record);
            sum
        };
        let is_hidden = |record: &Record| {
            let shown_there = values(with(before, record));
            let shown_here = values(with(here, record));
            self.before.contains(&shown_there) || shown_here == values(SyncCrc::EMPTY)
        };
        // What is expunged has no share in a CRC, whatever its modseq.
        while !record.is_expunged() && is_hidden(record) {
            record.modseq += 1;
        }
        self.now = with(before, record);
        self.here = with(here, record);
        self.before.insert(values(self.now));
    }
}

fn values(crc: SyncCrc) -> (u32, u32) {
    (crc.basic, crc.annot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::merge_rules::Judged;
    use protocol::{Flags, Guid, SystemFlags};

    fn record(uid: u32, modseq: u64) -> Record {
        Record {
            uid,
            modseq,
            last_updated: 100,
            flags: Flags::default(),
            internaldate: 50,
            size: 1,
            guid: Guid::from_bytes([uid as u8; 20]),
            annotations: Vec::new(),
        }
    }

    fn at(uid: u32, modseq: u64) -> Record {
        Record {
            guid: record(1, 1).guid,
            ..record(uid, modseq)
        }
    }

    fn crc(records: &[Record]) -> SyncCrc {
        let mut crc = SyncCrc::EMPTY;
        records.iter().for_each(|record| crc.toggle(record));
        crc
    }

    #[test]
    fn two_new_modseqs_in_a_row_look_like_the_two_they_replace() {
        let (theirs, ours) = ([record(1, 2), record(2, 3)], [record(1, 6), record(2, 7)]);
        assert_eq!(crc(&theirs), crc(&ours), "the reason for all this");
        let mut behind = Behind::new(&[]);
        let mut written = ours.clone();
        for (record, theirs) in written.iter_mut().zip(&theirs) {
            behind.write(record, None, Some(theirs));
        }
        assert_eq!((written[0].modseq, written[1].modseq), (6, 8));
        assert_ne!(crc(&theirs), crc(&written));
    }

    #[test]
    fn every_part_that_is_behind_can_be_seen() {
        let theirs: Vec<Record> = (1..=40).map(|uid| record(uid, u64::from(uid) + 1)).collect();
        let mut written = Vec::new();
        let (mut behind, mut highest) = (Behind::new(&[]), 51);
        for old in &theirs {
            let mut new = record(old.uid, highest + 1);
            behind.write(&mut new, None, Some(old));
            highest = new.modseq;
            written.push(new);
            for from in 0..written.len() {
                assert_ne!(crc(&theirs[from..written.len()]), crc(&written[from..]));
            }
        }
        assert!(highest < 51 + 80, "few modseqs are left out, not {highest}");
    }

    #[test]
    fn what_moves_can_be_seen_at_both_places() {
        let theirs = [at(2, 2), at(3, 3)];
        let mut written = [at(4, 6), at(5, 7)];
        assert_eq!(crc(&theirs), crc(&written));
        let items = theirs.clone().map(|theirs| Item {
            judged: Judged {
                verdict: Verdict::CopyBack,
                rule: "CS-MASTER-46",
            },
            ours: None,
            theirs: Some(theirs),
        });
        let mut behind = Behind::new(&items);
        written
            .iter_mut()
            .for_each(|record| behind.write(record, None, None));
        assert_ne!(crc(&theirs), crc(&written));
        assert_ne!(crc(&written), SyncCrc::EMPTY);
    }

    /// This server's master has what was here, and would take its own CRCs for those of what was settled.
    #[test]
    fn what_was_settled_can_be_seen_from_behind() {
        let old = [record(1, 12), record(4, 13)];
        let theirs = record(1, 13);
        let mut written = [record(1, 14), record(4, 15)];
        assert_eq!(crc(&old), crc(&written), "the reason for all this");
        let mut behind = Behind::new(&[]);
        behind.write(&mut written[0], Some(&old[0]), Some(&theirs));
        behind.write(&mut written[1], Some(&old[1]), None);
        assert_eq!(written[1].modseq, 16);
        assert_ne!(crc(&old), crc(&written));
    }

    #[test]
    fn what_would_look_like_nothing_is_not_kept() {
        let came = [at(2, 4), at(3, 5), at(4, 6), at(5, 7)];
        assert_eq!(crc(&came), SyncCrc::EMPTY, "the reason for all this");
        let mut behind = Behind::new(&[]);
        assert_eq!(
            came.map(|record| behind.keeps(&record)),
            [true, true, true, false]
        );
    }

    #[test]
    fn what_is_expunged_keeps_its_modseq() {
        let mut gone = record(1, 5);
        gone.flags.system = gone.flags.system.with(SystemFlags::EXPUNGED);
        let mut behind = Behind::new(&[]);
        behind.write(&mut gone, None, None);
        assert_eq!(gone.modseq, 5);
    }
}
