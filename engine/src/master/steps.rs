//! Large mailboxes in steps, each durable by itself. [CS-MASTER-57]
//!
//! After a step the replica claims: "I have all up to this modseq". So a step may end only where every message behind
//! it has a higher modseq than that claim.

use protocol::Record;

/// Bytes of a step's messages.
const STEP_BYTES_MAX: u64 = 32 << 20;

/// A part of a mailbox's update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// Records in it that the replica does not have.
    pub(super) messages: usize,
    /// LAST_UID after it.
    pub(super) last_uid: u32,
    /// HIGHESTMODSEQ after it.
    pub(super) highestmodseq: u64,
}

struct Cut {
    messages: usize,
    last_uid: u32,
    lowest_modseq: u64,
}

/// Cuts a stream of records, ascending by UID, into steps.
pub(super) struct Cutter {
    base_uid: u32,
    messages_max: usize,
    cuts: Vec<Cut>,
    bytes: u64,
    late: Vec<(u32, u64)>,
}

impl Cutter {
    /// For a replica that has UIDs up to `base_uid`; a step has at most `messages_max` messages, 0 being no limit.
    pub(super) fn new(base_uid: u32, messages_max: usize) -> Self {
        Cutter {
            base_uid,
            messages_max: if messages_max == 0 {
                usize::MAX
            } else {
                messages_max
            },
            cuts: Vec::new(),
            bytes: 0,
            late: Vec::new(),
        }
    }

    /// Takes the next changed record.
    pub(super) fn push(&mut self, record: &Record) {
        if record.uid <= self.base_uid {
            self.late.push((record.uid, record.modseq));
            return;
        }
        let size = if record.is_expunged() { 0 } else { record.size };
        let full = self.bytes.saturating_add(size) > STEP_BYTES_MAX;
        match self.cuts.last_mut() {
            Some(cut) if cut.messages < self.messages_max && !full => {
                cut.messages += 1;
                cut.last_uid = record.uid;
                cut.lowest_modseq = cut.lowest_modseq.min(record.modseq);
                self.bytes = self.bytes.saturating_add(size);
            }
            _ => {
                self.cuts.push(Cut {
                    messages: 1,
                    last_uid: record.uid,
                    lowest_modseq: record.modseq,
                });
                self.bytes = size;
            }
        }
    }

    /// The steps, of which the last ends at the mailbox's own values; and the changed records that the replica has,
    /// with their modseqs. Cuts that cannot be claimed are joined with what follows.
    pub(super) fn finish(
        self,
        base_modseq: u64,
        last_uid: u32,
        highestmodseq: u64,
    ) -> (Vec<Step>, Vec<(u32, u64)>) {
        let mut claims = vec![u64::MAX; self.cuts.len()];
        let mut lowest = u64::MAX;
        for (at, cut) in self.cuts.iter().enumerate().rev() {
            claims[at] = lowest.saturating_sub(1);
            lowest = lowest.min(cut.lowest_modseq);
        }
        let mut steps = Vec::new();
        let mut joined = 0;
        let mut before = base_modseq;
        for (at, cut) in self.cuts.iter().enumerate() {
            joined += cut.messages;
            let is_last = at + 1 == self.cuts.len();
            if !is_last && claims[at] > before && claims[at] < highestmodseq {
                before = claims[at];
                steps.push(Step {
                    messages: joined,
                    last_uid: cut.last_uid,
                    highestmodseq: before,
                });
                joined = 0;
            }
        }
        steps.push(Step {
            messages: joined,
            last_uid,
            highestmodseq,
        });
        (steps, self.late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Flags, Guid};

    fn record(uid: u32, modseq: u64, size: u64) -> Record {
        Record {
            uid,
            modseq,
            last_updated: 0,
            flags: Flags::default(),
            internaldate: 0,
            size,
            guid: Guid::NULL,
            annotations: Vec::new(),
        }
    }

    fn steps(
        base: (u64, u32),
        records: impl IntoIterator<Item = Record>,
        end: (u64, u32),
    ) -> Vec<(usize, u32, u64)> {
        let mut cutter = Cutter::new(base.1, 4096);
        records.into_iter().for_each(|r| cutter.push(&r));
        let (steps, _) = cutter.finish(base.0, end.1, end.0);
        steps
            .into_iter()
            .map(|s| (s.messages, s.last_uid, s.highestmodseq))
            .collect()
    }

    #[test]
    fn appended_mail_is_cut_by_count_and_by_bytes() {
        let by_count = steps(
            (0, 0),
            (1..=9000).map(|n| record(n, u64::from(n) + 1, 10)),
            (9001, 9000),
        );
        assert_eq!(
            by_count,
            [(4096, 4096, 4097), (4096, 8192, 8193), (808, 9000, 9001)]
        );
        let by_bytes = steps((0, 0), (1..=4).map(|n| record(n, u64::from(n), 20 << 20)), (4, 4));
        assert_eq!(by_bytes, [(1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 4)]);
    }

    #[test]
    fn bytes_are_added_up_to_the_limit_itself() {
        let small = steps((0, 0), (1..=3).map(|n| record(n, u64::from(n), 10_000)), (3, 3));
        assert_eq!(small, [(3, 3, 3)]);
        let half = STEP_BYTES_MAX / 2;
        let even = steps((0, 0), (1..=4).map(|n| record(n, u64::from(n), half)), (4, 4));
        assert_eq!(even, [(2, 2, 2), (2, 4, 4)]);
    }

    #[test]
    fn the_limit_is_the_configured_one_and_0_is_none() {
        let records = || (1..=10).map(|n| record(n, u64::from(n), 10));
        let count = |messages_max| {
            let mut cutter = Cutter::new(0, messages_max);
            records().for_each(|r| cutter.push(&r));
            cutter.finish(0, 10, 10).0.len()
        };
        assert_eq!((count(3), count(10), count(0)), (4, 1, 1));
    }

    #[test]
    fn an_old_modseq_behind_joins_the_steps_before_it() {
        let mut records: Vec<Record> = (1..=9000).map(|n| record(n, u64::from(n) + 10, 10)).collect();
        records[8500].modseq = 3;
        assert_eq!(
            steps((0, 0), records.clone(), (9010, 9000)),
            [(4096, 4096, 2), (4904, 9000, 9010)]
        );
        assert_eq!(steps((2, 0), records, (9010, 9000)), [(9000, 9000, 9010)]);
    }

    #[test]
    fn equal_modseqs_are_never_claimed_apart() {
        let all = steps((0, 0), (1..=9000).map(|n| record(n, 5, 10)), (5, 9000));
        assert_eq!(all, [(4096, 4096, 4), (4904, 9000, 5)]);
    }

    #[test]
    fn what_the_replica_has_is_kept_apart() {
        let mut cutter = Cutter::new(2, 4096);
        [record(1, 7, 1), record(2, 9, 1), record(3, 8, 1)]
            .iter()
            .for_each(|r| cutter.push(r));
        let (steps, late) = cutter.finish(5, 3, 9);
        assert_eq!(late, [(1, 7), (2, 9)]);
        assert_eq!(
            steps,
            [Step {
                messages: 1,
                last_uid: 3,
                highestmodseq: 9
            }]
        );
    }
}
