//! The rules of a full compare: one record here, one on the replica, and what becomes of them. [CS-MASTER-33]

use protocol::{Annotation, Flags, Record, SystemFlags, Text};

use super::decision::Deed;

/// Facts about both mailboxes that the rules ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    /// Our LAST_UID before the compare.
    pub(super) our_last_uid: u32,
    /// Our DELETEDMODSEQ.
    pub(super) our_deletedmodseq: u64,
    /// The replica's LAST_UID.
    pub(super) their_last_uid: u32,
    /// The replica's HIGHESTMODSEQ.
    pub(super) their_highestmodseq: u64,
}

/// What becomes of a UID, and the rule that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Judged {
    /// What becomes of it.
    pub(super) verdict: Verdict,
    /// Id of the rule.
    pub(super) rule: &'static str,
}

/// What becomes of a UID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing to do.
    Keep,
    /// Ours stands as it is: its modseq is higher than any that the replica has, so it is sent anyway.
    Stand(Deed),
    /// Our record becomes this, with a new modseq; the deed is told when both sides had changed it.
    Rewrite(Record, Option<Deed>),
    /// Two messages under one UID: the living ones get new UIDs.
    Split,
    /// Ours gets a new UID.
    Renumber,
    /// Theirs comes here under the same UID.
    Adopt,
    /// Theirs comes here under a new UID.
    CopyBack,
    /// Theirs was expunged here, and is expunged there.
    Stale(Deed),
    /// Theirs was deleted here with the mailbox that comes back, and is remembered as expunged; there it is expunged if it
    /// is not yet.
    Bury,
}

impl Verdict {
    fn by(self, rule: &'static str) -> Judged {
        Judged { verdict: self, rule }
    }
}

impl Judged {
    /// Where nothing is, nothing is to be done.
    pub(super) fn nothing() -> Judged {
        Verdict::Keep.by("CS-MASTER-36")
    }
}

/// Both sides have the UID. Ours gets a new modseq only where it needs one: one that nobody's change asked for would win over
/// changes that are really newer, on servers that this one replicates to next.
pub(super) fn both(ours: &Record, theirs: &Record, sides: &Sides) -> Judged {
    if ours.is_expunged() && theirs.is_expunged() {
        return Verdict::Keep.by("CS-MASTER-34");
    }
    if ours.guid != theirs.guid {
        return Verdict::Split.by("CS-MASTER-35");
    }
    if is_same(ours, theirs) {
        return Verdict::Keep.by("CS-MASTER-36");
    }
    let is_sent = ours.modseq > sides.their_highestmodseq;
    if ours.is_expunged() && is_sent {
        return Verdict::Stand(Deed::ExpungeThere).by("CS-MASTER-37");
    }
    if is_silently_expunged(ours, theirs) {
        return Verdict::Stale(Deed::ExpungeThere).by("CS-MASTER-72");
    }
    if ours.is_expunged() {
        return Verdict::Rewrite(ours.clone(), Some(Deed::ExpungeThere)).by("CS-MASTER-37");
    }
    if theirs.is_expunged() {
        let mut record = ours.clone();
        record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED);
        return Verdict::Rewrite(record, Some(Deed::ExpungeHere)).by("CS-MASTER-37");
    }
    if theirs.modseq > ours.modseq && theirs.last_updated >= ours.last_updated {
        let record = with_their_values(ours, theirs);
        return Verdict::Rewrite(leveled(record, ours), Some(Deed::TheirsTaken)).by("CS-MASTER-38");
    }
    if is_sent {
        return Verdict::Stand(Deed::OursStands).by("CS-MASTER-39");
    }
    Verdict::Rewrite(leveled(ours.clone(), theirs), Some(Deed::OursStands)).by("CS-MASTER-39")
}

/// Expunged here by a master's EXPUNGE, which gives no modseq: the replica has to do no more than that. [CS-MASTER-72]
fn is_silently_expunged(ours: &Record, theirs: &Record) -> bool {
    ours.is_expunged()
        && ours.modseq == theirs.modseq
        && ours.flags.system.without(SystemFlags::EXPUNGED) == theirs.flags.system
        && keywords(&ours.flags) == keywords(&theirs.flags)
}

/// An annotation that both sides have alike gets the higher modseq of the two: no CRC covers it, and two masters that settle
/// the same at once have to come out equal. [CS-MASTER-48]
fn leveled(mut record: Record, other: &Record) -> Record {
    for annotation in &mut record.annotations {
        let is_same = |a: &&Annotation| {
            (&a.entry, &a.userid, &a.value) == (&annotation.entry, &annotation.userid, &annotation.value)
        };
        if let Some(same) = other.annotations.iter().find(is_same) {
            annotation.modseq = annotation.modseq.max(same.modseq);
        }
    }
    record
}

/// Only we have the UID; `more_follow` tells whether the replica listed a higher one.
pub(super) fn only_ours(ours: &Record, more_follow: bool, sides: &Sides) -> Judged {
    if more_follow || ours.uid <= sides.their_last_uid {
        return if ours.is_expunged() {
            Verdict::Keep.by("CS-MASTER-42")
        } else {
            Verdict::Renumber.by("CS-MASTER-41")
        };
    }
    if ours.modseq <= sides.their_highestmodseq {
        Verdict::Rewrite(ours.clone(), None).by("CS-MASTER-43")
    } else {
        Verdict::Keep.by("CS-MASTER-43")
    }
}

/// Only the replica has the UID; `was_ours` tells whether the mailbox was deleted here while it held this message.
pub(super) fn only_theirs(theirs: &Record, was_ours: bool, sides: &Sides) -> Judged {
    if was_ours {
        Verdict::Bury.by("CS-SPLIT-14")
    } else if theirs.is_expunged() {
        Verdict::Keep.by("CS-MASTER-44")
    } else if theirs.uid > sides.our_last_uid {
        Verdict::Adopt.by("CS-MASTER-47")
    } else if theirs.modseq < sides.our_deletedmodseq {
        Verdict::Stale(Deed::ExpungeLeftover).by("CS-MASTER-45")
    } else {
        Verdict::CopyBack.by("CS-MASTER-46")
    }
}

fn is_same(ours: &Record, theirs: &Record) -> bool {
    ours.modseq == theirs.modseq
        && ours.last_updated == theirs.last_updated
        && ours.internaldate == theirs.internaldate
        && ours.flags.system == theirs.flags.system
        && keywords(&ours.flags) == keywords(&theirs.flags)
        && sorted(&ours.annotations) == sorted(&theirs.annotations)
}

fn keywords(flags: &Flags) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = flags
        .keywords
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn sorted(annotations: &[Annotation]) -> Vec<(&Text, &Text, &Text)> {
    let mut keys: Vec<_> = annotations
        .iter()
        .map(|a| (&a.entry, &a.userid, &a.value))
        .collect();
    keys.sort();
    keys
}

/// Flags and annotations of theirs, thread id included; dates and the rest stay ours.
pub(super) fn with_their_values(ours: &Record, theirs: &Record) -> Record {
    let stays = |a: &&Annotation| {
        [Annotation::SAVEDATE, Annotation::CREATEDMODSEQ].contains(&a.entry.as_bytes()) && a.userid.is_empty()
    };
    let mut annotations: Vec<Annotation> = theirs.annotations.iter().filter(|a| !stays(a)).cloned().collect();
    annotations.extend(ours.annotations.iter().filter(stays).cloned());
    Record {
        flags: theirs.flags.clone(),
        annotations,
        ..ours.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Guid;

    const SIDES: Sides = Sides {
        our_last_uid: 10,
        our_deletedmodseq: 5,
        their_last_uid: 8,
        their_highestmodseq: 20,
    };

    fn both_v(ours: &Record, theirs: &Record) -> Verdict {
        both(ours, theirs, &SIDES).verdict
    }

    fn only_ours_v(ours: &Record, more_follow: bool, sides: &Sides) -> Verdict {
        only_ours(ours, more_follow, sides).verdict
    }

    fn only_theirs_v(theirs: &Record, sides: &Sides) -> Verdict {
        only_theirs(theirs, false, sides).verdict
    }

    fn record(uid: u32, modseq: u64, guid: u8) -> Record {
        Record {
            uid,
            modseq,
            last_updated: 100,
            flags: Flags::default(),
            internaldate: 50,
            size: 1,
            guid: Guid::from_bytes([guid; 20]),
            annotations: Vec::new(),
        }
    }

    fn expunged(mut record: Record) -> Record {
        record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED);
        record
    }

    fn note(entry: &'static [u8], value: &str) -> Annotation {
        Annotation {
            entry: Text::from_static(entry),
            userid: Text::EMPTY,
            modseq: 0,
            value: Text::from(value),
        }
    }

    #[test]
    fn both_expunged_is_fine_whatever_they_were() {
        assert_eq!(
            both_v(&expunged(record(1, 2, 1)), &expunged(record(1, 9, 2))),
            Verdict::Keep
        );
    }

    #[test]
    fn what_a_masters_expunge_took_here_gets_no_modseq_for_it() {
        let theirs = record(1, 9, 1);
        let gone = expunged(theirs.clone());
        assert_eq!(both_v(&gone, &theirs), Verdict::Stale(Deed::ExpungeThere));
        let by_a_client = expunged(record(1, 8, 1));
        let Verdict::Rewrite(..) = both_v(&by_a_client, &theirs) else {
            panic!("the replica has changed it since, and has to be sent a newer record")
        };
        let mut flagged = theirs;
        flagged.flags.system = flagged.flags.system.with(SystemFlags::SEEN);
        let Verdict::Rewrite(..) = both_v(&gone, &flagged) else {
            panic!("another change of the same modseq is no EXPUNGE")
        };
    }

    #[test]
    fn another_message_under_the_uid_splits() {
        assert_eq!(both_v(&record(1, 2, 1), &record(1, 2, 2)), Verdict::Split);
        assert_eq!(
            both_v(&expunged(record(1, 2, 1)), &record(1, 2, 2)),
            Verdict::Split
        );
    }

    #[test]
    fn the_same_in_another_order_is_the_same() {
        let (mut ours, mut theirs) = (record(1, 2, 1), record(1, 2, 1));
        ours.flags.keywords = vec![Text::from("A"), Text::from("b")];
        theirs.flags.keywords = vec![Text::from("b"), Text::from("a")];
        ours.annotations = vec![note(b"/a", "1"), note(b"/b", "2")];
        theirs.annotations = vec![note(b"/b", "2"), note(b"/a", "1")];
        assert_eq!(both_v(&ours, &theirs), Verdict::Keep);
        theirs.annotations[0].value = Text::from("3");
        assert_eq!(
            both_v(&ours, &theirs),
            Verdict::Rewrite(ours, Some(Deed::OursStands))
        );
    }

    #[test]
    fn an_expunge_of_either_side_wins() {
        let gone = expunged(record(1, 2, 1));
        assert_eq!(
            both_v(&gone, &record(1, 9, 1)),
            Verdict::Rewrite(gone.clone(), Some(Deed::ExpungeThere))
        );
        assert_eq!(
            both_v(&record(1, 2, 1), &expunged(record(1, 1, 1))),
            Verdict::Rewrite(gone, Some(Deed::ExpungeHere))
        );
    }

    #[test]
    fn the_newer_side_wins_as_a_whole() {
        let mut ours = record(1, 2, 1);
        ours.annotations = vec![note(b"/mine", "x"), note(Annotation::SAVEDATE, "1")];
        let mut theirs = record(1, 3, 1);
        theirs.internaldate = 99;
        theirs.flags.system = SystemFlags::SEEN;
        theirs.annotations = vec![note(b"/theirs", "y"), note(Annotation::SAVEDATE, "2")];
        let mut taken = ours.clone();
        taken.flags = theirs.flags.clone();
        taken.annotations = vec![note(b"/theirs", "y"), note(Annotation::SAVEDATE, "1")];
        assert_eq!(
            both_v(&ours, &theirs),
            Verdict::Rewrite(taken, Some(Deed::TheirsTaken))
        );
        theirs.last_updated = 99;
        assert_eq!(
            both_v(&ours, &theirs),
            Verdict::Rewrite(ours.clone(), Some(Deed::OursStands))
        );
        theirs.last_updated = 100;
        theirs.modseq = 2;
        assert_eq!(
            both_v(&ours, &theirs),
            Verdict::Rewrite(ours, Some(Deed::OursStands))
        );
    }

    #[test]
    fn what_is_newer_than_all_of_the_replica_stands_as_it_is() {
        let (mut ours, theirs) = (record(1, 21, 1), record(1, 3, 1));
        assert_eq!(both_v(&ours, &theirs), Verdict::Stand(Deed::OursStands));
        let gone = expunged(ours.clone());
        assert_eq!(both_v(&gone, &theirs), Verdict::Stand(Deed::ExpungeThere));
        let Verdict::Rewrite(..) = both_v(&ours, &expunged(theirs.clone())) else {
            panic!("what was expunged there is expunged here")
        };
        ours.modseq = 20;
        let settled = Verdict::Rewrite(ours.clone(), Some(Deed::OursStands));
        assert_eq!(both_v(&ours, &theirs), settled);
    }

    #[test]
    fn whoever_wins_an_annotation_of_both_comes_out_equal() {
        let at = |modseq, value: &str| Annotation {
            modseq,
            ..note(b"/comment", value)
        };
        let mut older = record(1, 2, 1);
        older.annotations = vec![at(7, "same")];
        let mut younger = record(1, 3, 1);
        younger.annotations = vec![at(5, "same")];
        for (ours, theirs) in [(&older, &younger), (&younger, &older)] {
            let Verdict::Rewrite(settled, _) = both_v(ours, theirs) else {
                panic!("{ours:?} and {theirs:?} are settled")
            };
            assert_eq!(settled.annotations, [at(7, "same")]);
        }
        younger.annotations = vec![at(5, "other")];
        let Verdict::Rewrite(settled, _) = both_v(&older, &younger) else {
            panic!("settled")
        };
        assert_eq!(settled.annotations, [at(5, "other")]);
    }

    #[test]
    fn ours_alone() {
        assert_eq!(only_ours_v(&record(3, 2, 1), true, &SIDES), Verdict::Renumber);
        assert_eq!(
            only_ours_v(&expunged(record(3, 2, 1)), true, &SIDES),
            Verdict::Keep
        );
        assert_eq!(only_ours_v(&record(8, 2, 1), false, &SIDES), Verdict::Renumber);
        assert_eq!(
            only_ours_v(&expunged(record(8, 2, 1)), false, &SIDES),
            Verdict::Keep
        );
        assert_eq!(
            only_ours_v(&record(9, 20, 1), false, &SIDES),
            Verdict::Rewrite(record(9, 20, 1), None)
        );
        assert_eq!(only_ours_v(&record(9, 21, 1), false, &SIDES), Verdict::Keep);
    }

    #[test]
    fn theirs_alone() {
        assert_eq!(only_theirs_v(&expunged(record(3, 9, 1)), &SIDES), Verdict::Keep);
        assert_eq!(
            only_theirs_v(&record(3, 4, 1), &SIDES),
            Verdict::Stale(Deed::ExpungeLeftover)
        );
        assert_eq!(only_theirs_v(&record(3, 5, 1), &SIDES), Verdict::CopyBack);
        assert_eq!(only_theirs_v(&record(11, 1, 1), &SIDES), Verdict::Adopt);
        let known = only_theirs(&record(11, 99, 1), true, &SIDES);
        assert_eq!((known.verdict, known.rule), (Verdict::Bury, "CS-SPLIT-14"));
        let known = only_theirs(&expunged(record(11, 99, 1)), true, &SIDES);
        assert_eq!(known.verdict, Verdict::Bury);
    }
}
