//! What a store shows, as plain data.

use std::collections::BTreeMap;

use protocol::{Record, Text};

use super::crc;

/// How the names of seen states in [`ScopeView::other`] begin.
pub const SEEN: &str = "seen";

/// How those of quota roots of nobody's mailboxes begin.
const SHARED_QUOTA: &str = "quota shared";

/// Everything of a user, or of nobody.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct ScopeView {
    /// Mailboxes by identity, placeholders included.
    pub mailboxes: BTreeMap<Text, MailboxView>,
    /// Sorted.
    pub subscriptions: Vec<Text>,
    /// Everything else that replication carries, as text: of a mailbox by its identity, of the user under the empty one.
    pub other: BTreeMap<(Text, String), String>,
}

/// A mailbox with its records.
#[derive(Clone, PartialEq, Debug)]
pub struct MailboxView {
    /// Internal name.
    pub name: Text,
    /// `id TAB rights TAB ...`.
    pub acl: Text,
    /// IMAP's.
    pub uidvalidity: u32,
    /// Highest UID ever given out.
    pub last_uid: u32,
    /// IMAP's.
    pub highestmodseq: u64,
    /// The basic and the annotation CRC as stored.
    pub crc: (u32, u32),
    /// By UID, tombstones included. Keywords and annotations are sorted: their order says nothing.
    pub records: BTreeMap<u32, Record>,
}

impl ScopeView {
    /// Live records with the identity of their mailbox.
    pub fn live(&self) -> impl Iterator<Item = (&Text, &Record)> {
        self.mailboxes.iter().flat_map(|(id, mailbox)| {
            let live = mailbox.records.values().filter(|record| !record.is_expunged());
            live.map(move |record| (id, record))
        })
    }

    /// The first difference that a reader could see, for people; `None` when there is none. Tombstones of records are
    /// each side's own after both were changed. With `extra` the other may have more mailboxes, and if this one knows
    /// nothing of the user, or only that he is gone while he has one of those, subscriptions and the like: of whom a master knows
    /// nothing, it sends nothing, and who still has a mailbox keeps what belongs to him. [CS-MASTER-2] [CS-SPLIT-17]
    pub fn difference(&self, other: &ScopeView, extra: bool) -> Option<String> {
        self.difference_but(other, extra, |_, _| false)
    }

    /// The same as far as a master can see it: mailboxes that it cannot tell apart are left out. Where `two_masters` replicate
    /// to each other, two modseqs are enough to hide.
    pub fn visible_difference(&self, other: &ScopeView, extra: bool, two_masters: bool) -> Option<String> {
        self.difference_but(other, extra, |here, there| {
            here.is_twin_of(there) || two_masters && here.is_twin_but_for(there, LEFT_OF_THOSE)
        })
    }

    fn difference_but(
        &self,
        other: &ScopeView,
        extra: bool,
        is_excused: impl Fn(&MailboxView, &MailboxView) -> bool,
    ) -> Option<String> {
        for (id, mailbox) in &self.mailboxes {
            let Some(there) = other.mailboxes.get(id) else {
                return Some(format!("mailbox {} ({id}) is missing", mailbox.name));
            };
            if is_excused(mailbox, there) {
                continue;
            }
            if let Some(difference) = mailbox.difference(there) {
                return Some(format!("mailbox {} ({id}): {difference}", mailbox.name));
            }
        }
        let surplus = other
            .mailboxes
            .iter()
            .find(|(id, _)| !self.mailboxes.contains_key(*id));
        if let Some((id, mailbox)) = surplus.filter(|_| !extra) {
            return Some(format!("mailbox {} ({id}) should not be there", mailbox.name));
        }
        if extra && (self.mailboxes.is_empty() || self.is_gone() && !other.is_gone()) {
            return None;
        }
        if self.subscriptions != other.subscriptions {
            return Some(format!(
                "subscriptions are {:?} and {:?}",
                self.subscriptions, other.subscriptions
            ));
        }
        self.other_difference(other, extra)
    }

    /// Whether none of the mailboxes is in use.
    fn is_gone(&self) -> bool {
        self.mailboxes
            .values()
            .all(|mailbox| mailbox.name.starts_with(b"DELETED."))
    }

    /// Whether there are mailboxes in use and no INBOX among them.
    pub fn has_no_inbox(&self) -> bool {
        let is_inbox = |mailbox: &MailboxView| {
            let below = mailbox.name.strip_prefix(b"user.");
            below.is_some_and(|owner| !owner.contains(&b'.'))
        };
        !self.is_gone() && !self.mailboxes.values().any(is_inbox)
    }

    /// The first difference in what is neither mail nor a subscription. What has been read is the reader's own: the other may
    /// know more of it. [CS-MASTER-7] With `extra` it may have quota roots of nobody's mailboxes, of which a master asks for its
    /// own only.
    fn other_difference(&self, other: &ScopeView, extra: bool) -> Option<String> {
        let changed = self
            .other
            .iter()
            .find(|(key, value)| other.other.get(key) != Some(value));
        if let Some(((id, what), value)) = changed {
            let there = other.other.get(&(id.clone(), what.clone()));
            return Some(format!("{what} of {id:?} is {value} and {there:?}"));
        }
        let known = |id: &Text| id.is_empty() || self.mailboxes.contains_key(id);
        let may_stay = |what: &str| what.starts_with(SEEN) || extra && what.starts_with(SHARED_QUOTA);
        let mut surplus = other.other.keys().filter(|key| !self.other.contains_key(*key));
        let (id, what) = surplus.find(|(id, what)| known(id) && !may_stay(what))?;
        Some(format!("{what} of {id:?} should not be there"))
    }
}

/// Modseqs of as many records can differ without a difference in the CRCs, though every master takes care that its own do not.
const MODSEQS_THAT_HIDE: usize = 3;

/// So many are left of three that two masters gave at once, and that did show, where somebody then changes the third.
const LEFT_OF_THOSE: usize = 2;

/// How many records differ in their modseqs; 0 when anything else differs.
fn of_other_modseq(here: &BTreeMap<u32, Record>, there: &BTreeMap<u32, Record>) -> usize {
    let pairs = || here.values().zip(there.values());
    let is_alike = |(ours, theirs): (&Record, &Record)| {
        let modseq = ours.modseq;
        *ours
            == Record {
                modseq,
                ..theirs.clone()
            }
    };
    if pairs().all(is_alike) {
        pairs()
            .filter(|(ours, theirs)| ours.modseq != theirs.modseq)
            .count()
    } else {
        0
    }
}

impl MailboxView {
    /// Whether no master can tell the two apart, though their messages differ: all values are equal, and so are both CRCs,
    /// because the XOR of what differs here is the XOR of what differs there. Two messages under two UIDs have the same
    /// whichever of them comes first, and so have two of which each has other flags in the same way. What only a master
    /// writes differs in no such way, unless three modseqs do that two masters gave at once: each leaves out those that would
    /// hide beside its own, and knows nothing of the other's. The modseqs of annotations have no share in a CRC at all: where people write the same at
    /// both sides, each keeps its own. That the CRCs are those of the records is asked elsewhere. [CS-CRC-5] [CS-CRC-11]
    pub fn is_twin_of(&self, other: &MailboxView) -> bool {
        self.is_twin_but_for(other, MODSEQS_THAT_HIDE)
    }

    /// The same, where so many modseqs or more hide.
    fn is_twin_but_for(&self, other: &MailboxView, modseqs: usize) -> bool {
        let values = |m: &MailboxView| {
            let names = (m.name.clone(), m.acl.clone());
            (names, m.uidvalidity, m.last_uid, m.highestmodseq, m.crc)
        };
        if values(self) != values(other) {
            return false;
        }
        let (here, there) = (self.counted(), other.counted());
        let by_people = |record: &Record| (record.guid, record.flags.clone(), record.internaldate);
        let is_told_apart = |uid: &u32, ours: &Record| {
            let theirs = there.get(uid);
            theirs.is_none_or(|theirs| theirs != ours && by_people(theirs) == by_people(ours))
        };
        if here.keys().eq(there.keys()) && of_other_modseq(&here, &there) >= modseqs {
            return true;
        }
        let is_other = self.live() != other.live();
        let is_same = here == there;
        is_other
            && here.len() == there.len()
            && (is_same || here.len() >= 2)
            && !here.iter().any(|(uid, ours)| is_told_apart(uid, ours))
    }

    /// It without what came since it was at the values of `then`: a master may have looked before that. What changed since
    /// is left out, for what it was is not known.
    #[must_use]
    pub fn before(&self, then: &MailboxView) -> MailboxView {
        let mut was = self.clone();
        let is_older = |record: &Record| record.uid <= then.last_uid && record.modseq <= then.highestmodseq;
        was.records.retain(|_, record| is_older(record));
        was.crc = crc::crcs_of(was.records.values());
        (was.last_uid, was.highestmodseq) = (then.last_uid, then.highestmodseq);
        was
    }

    /// Live records by UID, of their annotations only what counts in a CRC.
    fn counted(&self) -> BTreeMap<u32, Record> {
        let without = |record: &Record| {
            let mut record = record.clone();
            record.annotations.iter_mut().for_each(|note| note.modseq = 0);
            record
        };
        let live = self.live().into_iter();
        live.map(|(uid, record)| (uid, without(record))).collect()
    }

    /// Live records by UID.
    fn live(&self) -> BTreeMap<u32, &Record> {
        let live = self.records.iter().filter(|(_, record)| !record.is_expunged());
        live.map(|(uid, record)| (*uid, record)).collect()
    }

    fn difference(&self, other: &MailboxView) -> Option<String> {
        let values = |m: &MailboxView| (m.name.clone(), m.acl.clone(), m.uidvalidity, m.last_uid);
        if values(self) != values(other) {
            return Some(format!("values are {:?} and {:?}", values(self), values(other)));
        }
        let (here, there) = (self.live(), other.live());
        let uids = here.keys().chain(there.keys());
        let uid = uids.copied().find(|uid| here.get(uid) != there.get(uid))?;
        Some(format!(
            "UID {uid} is {:?} and {:?}",
            here.get(&uid),
            there.get(&uid)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Annotation, Flags, Guid};

    /// A mailbox with these messages under the CRCs given.
    fn mailbox(guids: &[u8], crc: (u32, u32)) -> MailboxView {
        let record = |(uid, guid): (u32, &u8)| Record {
            uid,
            modseq: 2,
            last_updated: 1,
            flags: Flags::default(),
            internaldate: 1,
            size: 1,
            guid: Guid::from_bytes([*guid; 20]),
            annotations: Vec::new(),
        };
        let records = (1..).zip(guids).map(record);
        MailboxView {
            name: Text::from("user.hot"),
            acl: Text::EMPTY,
            uidvalidity: 1,
            last_uid: 2,
            highestmodseq: 2,
            crc,
            records: records.map(|record| (record.uid, record)).collect(),
        }
    }

    fn view(mailbox: MailboxView) -> ScopeView {
        ScopeView {
            mailboxes: [(Text::from("id"), mailbox)].into(),
            ..ScopeView::default()
        }
    }

    #[test]
    fn only_what_no_master_can_tell_apart_is_excused() {
        let ours = view(mailbox(&[1, 1], (5, 6)));
        let twin = view(mailbox(&[2, 2], (5, 6)));
        assert!(ours.difference(&twin, false).is_some());
        assert_eq!(ours.visible_difference(&twin, false, false), None);
        for crc in [(5, 7), (4, 6)] {
            let other = view(mailbox(&[2, 2], crc));
            assert!(
                ours.visible_difference(&other, false, false).is_some(),
                "the CRCs tell"
            );
        }
        let mut older = mailbox(&[2, 2], (5, 6));
        older.highestmodseq = 1;
        assert!(
            ours.visible_difference(&view(older), false, false).is_some(),
            "the modseqs tell"
        );
        let one = view(mailbox(&[1], (5, 6)));
        let another = view(mailbox(&[2], (5, 6)));
        assert!(
            one.visible_difference(&another, false, false).is_some(),
            "one message cannot hide"
        );
    }

    #[test]
    fn modseqs_hide_from_three_on() {
        let ours = mailbox(&[1, 2, 3], (5, 6));
        let changed = |count: u32| {
            let mut theirs = ours.clone();
            (1..=count).for_each(|uid| theirs.records.get_mut(&uid).expect("a record").modseq = 7);
            theirs
        };
        let seen = |theirs: MailboxView| view(ours.clone()).visible_difference(&view(theirs), false, false);
        assert!(seen(changed(2)).is_some(), "a master leaves out what would hide");
        assert_eq!(seen(changed(3)), None);
        let by_two = |theirs: MailboxView| view(ours.clone()).visible_difference(&view(theirs), false, true);
        assert_eq!(by_two(changed(2)), None, "the third was changed since");
        assert!(by_two(changed(1)).is_some(), "one never hides");
        let mut flagged = changed(3);
        flagged.records.get_mut(&1).expect("a record").flags.system = protocol::SystemFlags::SEEN;
        assert!(seen(flagged).is_some());
    }

    #[test]
    fn the_modseqs_of_annotations_count_in_no_crc() {
        let noted = |modseq: u64, value: &str| {
            let mut mailbox = mailbox(&[1], (5, 6));
            let record = mailbox.records.get_mut(&1).expect("a record");
            record.annotations.push(Annotation {
                entry: Text::from("/comment"),
                userid: Text::EMPTY,
                modseq,
                value: Text::from(value),
            });
            view(mailbox)
        };
        assert_eq!(
            noted(7, "a").visible_difference(&noted(8, "a"), false, false),
            None
        );
        assert!(noted(7, "a").difference(&noted(8, "a"), false).is_some());
        assert!(
            noted(7, "a")
                .visible_difference(&noted(7, "b"), false, false)
                .is_some()
        );
    }

    #[test]
    fn subscriptions_of_a_user_whom_the_master_does_not_know_stay() {
        let mut there = ScopeView::default();
        there.subscriptions.push(Text::from("user.ice.a"));
        assert!(ScopeView::default().difference(&there, false).is_some());
        assert_eq!(ScopeView::default().difference(&there, true), None);
        let known = view(mailbox(&[], (0, 12_345_678)));
        there.mailboxes.clone_from(&known.mailboxes);
        assert!(known.difference(&there, true).is_some());
    }

    #[test]
    fn who_is_gone_keeps_subscriptions_where_he_has_a_mailbox_of_which_the_master_knows_nothing() {
        let deleted = view(MailboxView {
            name: Text::from("DELETED.user.ice.6AB13C79"),
            ..mailbox(&[], (0, 12_345_678))
        });
        let mut there = deleted.clone();
        there.subscriptions.push(Text::from("user.ice.a"));
        assert!(deleted.difference(&there, true).is_some(), "nobody is left there");
        there
            .mailboxes
            .insert(Text::from("other"), mailbox(&[], (0, 12_345_678)));
        assert_eq!(deleted.difference(&there, true), None);
        assert!(deleted.difference(&there, false).is_some());
    }

    #[test]
    fn an_inbox_is_told_from_what_is_below() {
        let of = |name: &str| {
            view(MailboxView {
                name: Text::from(name),
                ..mailbox(&[], (0, 12_345_678))
            })
        };
        assert!(of("user.ice.a").has_no_inbox());
        assert!(!of("user.ice").has_no_inbox());
        assert!(!of("DELETED.user.ice.a.6AB13C79").has_no_inbox());
        assert!(!ScopeView::default().has_no_inbox());
    }
}
