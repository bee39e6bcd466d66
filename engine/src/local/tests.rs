use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::{Flags, Guid, Record, SystemFlags, Text};

use super::*;
use crate::crc::SyncCrc;
use crate::model::QuotaLimits;
use crate::ticket::Change;

const NOW: Now = Now(1_795_408_569);

fn at(modseq_after: u64) -> Moment {
    Moment {
        now: NOW,
        modseq_after,
    }
}

fn new(name: &str, uniqueid: &str) -> NewMailbox {
    NewMailbox {
        name: Text::from(name),
        uniqueid: Text::from(uniqueid),
        partition: Text::from("default"),
        acl: None,
    }
}

fn inbox() -> Mailbox {
    create(at(0), &[], new("user.jane", "id-inbox")).unwrap()
}

fn family(names: &[&str]) -> Vec<Mailbox> {
    names.iter().fold(vec![inbox()], |mut all, name| {
        let moment = Moment::behind(NOW, &all, &[]);
        all.push(create(moment, &all, new(name, &format!("id-{name}"))).unwrap());
        all
    })
}

fn flags(system: SystemFlags, keywords: &[&str]) -> Flags {
    Flags {
        system,
        keywords: keywords.iter().map(|k| Text::from(*k)).collect(),
    }
}

fn message(seed: u8, flags: Flags) -> Incoming {
    Incoming {
        guid: Guid::from_bytes([seed; 20]),
        size: 100,
        internaldate: 1_000,
        flags,
        thread: None,
    }
}

fn records(changes: &[Change]) -> Vec<Record> {
    let lists = changes.iter().filter_map(|c| match c {
        Change::PutRecords { records, .. } => Some(records.clone()),
        _ => None,
    });
    lists.flatten().collect()
}

fn put_mailboxes(changes: &[Change]) -> Vec<Mailbox> {
    let boxes = changes.iter().filter_map(|c| match c {
        Change::PutMailbox(mailbox) => Some((**mailbox).clone()),
        _ => None,
    });
    boxes.collect()
}

#[test]
fn a_new_mailbox_belongs_to_its_user() {
    let inbox = inbox();
    assert_eq!(inbox.acl, Text::from("jane\tlrswipkxtecdan\t"));
    assert_eq!(
        (inbox.highestmodseq, inbox.createdmodseq, inbox.foldermodseq),
        (1, 1, 1)
    );
    assert_eq!((inbox.uidvalidity, inbox.last_uid), (1_795_408_569, 0));
    assert_eq!(inbox.crc, SyncCrc::EMPTY);

    let all = family(&["user.jane.Sent"]);
    assert_eq!(all[1].highestmodseq, 2, "modseqs count per user");
    assert_eq!(default_acl(b"shared.news"), Text::EMPTY);
}

#[test]
fn names_that_cannot_be_created() {
    let all = family(&["user.jane.Sent"]);
    let refused = |name: &str| create(at(9), &all, new(name, "x")).unwrap_err();
    assert!(matches!(refused("user.jane..x"), LocalError::BadName { .. }));
    assert!(matches!(refused("user.jane.\u{e4}"), LocalError::BadName { .. }));
    assert!(matches!(refused("user.jane.Sent"), LocalError::NameTaken { .. }));
    assert!(matches!(refused("user.joe.Sent"), LocalError::NoInbox { .. }));

    let mut place = all[1].clone();
    place.mbtype = Text::from("ei");
    assert!(create(at(9), &[all[0].clone(), place], new("user.jane.Sent", "x")).is_ok());
}

#[test]
fn an_append_counts_everything_up() {
    let mut edit = MailboxEdit::begin(at(10), inbox()).unwrap();
    assert_eq!(
        edit.append(message(1, flags(SystemFlags::SEEN, &["Work"]))),
        Ok(1)
    );
    assert_eq!(
        edit.append(message(0xab, flags(SystemFlags::NONE, &["work", "Home", "WORK"]))),
        Ok(2)
    );
    let changes = edit.finish();
    let mailbox = &put_mailboxes(&changes)[0];
    assert!(
        matches!(changes[0], Change::PutMailbox(_)),
        "records need their mailbox first"
    );
    assert_eq!(
        (mailbox.last_uid, mailbox.highestmodseq, mailbox.last_appenddate),
        (2, 12, NOW.0)
    );
    assert_eq!(mailbox.userflags, [Text::from("Work"), Text::from("Home")]);

    let records = records(&changes);
    assert_eq!(
        records[1].flags.keywords,
        [Text::from("Work"), Text::from("Home")]
    );
    assert_eq!((records[0].modseq, records[1].modseq), (11, 12));
    let shown: Vec<_> = records[1]
        .annotations
        .iter()
        .map(|a| (a.modseq, a.value.to_string()))
        .collect();
    let expected = ["abababababababab", "1795408569", "12"].map(|v| (0, v.to_owned()));
    assert_eq!(shown, expected);
}

#[test]
fn flags_change_only_when_they_differ() {
    let mut edit = MailboxEdit::begin(at(0), inbox()).unwrap();
    edit.append(message(1, flags(SystemFlags::SEEN, &["a", "b"])))
        .unwrap();
    let changes = edit.finish();
    let (mailbox, record) = (put_mailboxes(&changes)[0].clone(), records(&changes)[0].clone());

    let mut edit = MailboxEdit::begin(at(0), mailbox.clone()).unwrap();
    assert_eq!(
        edit.set_flags(&record, flags(SystemFlags::SEEN, &["B", "A"])),
        Ok(false)
    );
    assert!(edit.is_empty());
    assert!(edit.clone().finish().is_empty());

    let expunging = SystemFlags::SEEN.with(SystemFlags::EXPUNGED);
    assert_eq!(edit.set_flags(&record, flags(expunging, &["a"])), Ok(true));
    let changed = records(&edit.clone().finish())[0].clone();
    assert!(!changed.is_expunged(), "only expunge expunges");
    assert_eq!(changed.modseq, mailbox.highestmodseq + 1);

    // A second change in the same plan builds on the first, whatever record the caller still has.
    edit.expunge(&record).unwrap();
    assert!(matches!(
        edit.set_flags(&record, Flags::default()),
        Err(LocalError::Expunged { uid: 1, .. })
    ));
    assert_eq!(edit.mailbox().crc, SyncCrc::EMPTY);
}

#[test]
fn keywords_have_rules() {
    let mut edit = MailboxEdit::begin(at(0), inbox()).unwrap();
    for bad in ["", "\\Seen", "two words", "par(en", "\u{e4}", "a]"] {
        let refused = edit.append(message(1, flags(SystemFlags::NONE, &["good", bad])));
        assert_eq!(
            refused,
            Err(LocalError::BadKeyword {
                keyword: bad.to_owned()
            })
        );
    }
    assert!(
        edit.is_empty() && edit.mailbox().userflags.is_empty(),
        "a refused append leaves nothing"
    );
    let names: Vec<String> = (0..=KEYWORDS_MAX).map(|n| format!("k{n}")).collect();
    let some: Vec<&str> = names.iter().take(KEYWORDS_MAX).map(String::as_str).collect();
    assert_eq!(edit.append(message(1, flags(SystemFlags::NONE, &some))), Ok(1));
    let refused = edit.append(message(2, flags(SystemFlags::NONE, &["one-more"])));
    assert!(matches!(refused, Err(LocalError::TooManyKeywords { .. })));
    assert_eq!(canonical_keyword(b"to do!"), Some(Text::from("to_do!")));
    assert_eq!(canonical_keyword(b"  "), None);
}

#[test]
fn numbers_end_with_an_error() {
    let mut full = inbox();
    full.last_uid = u32::MAX;
    let refused = MailboxEdit::begin(at(0), full)
        .unwrap()
        .append(message(1, Flags::default()));
    assert!(matches!(refused, Err(LocalError::UidsUsedUp { .. })));
    let refused = MailboxEdit::begin(at(MODSEQ_MAX), inbox())
        .unwrap()
        .append(message(1, Flags::default()));
    assert_eq!(refused, Err(LocalError::ModseqsUsedUp));
    assert!(
        MailboxEdit::begin(at(MODSEQ_MAX - 1), inbox())
            .unwrap()
            .append(message(1, Flags::default()))
            .is_ok()
    );
}

#[test]
fn a_placeholder_takes_no_messages() {
    let mut place = inbox();
    place.mbtype = Text::from("ei");
    assert!(matches!(
        MailboxEdit::begin(at(0), place),
        Err(LocalError::Placeholder { .. })
    ));
}

#[test]
fn a_rename_takes_what_lies_below() {
    let all = family(&["user.jane.a", "user.jane.a.b", "user.jane.ab"]);
    let moment = Moment::behind(NOW, &all, &[]);
    let changes = rename(
        moment,
        &all,
        &Text::from("user.jane.a"),
        &Text::from("user.jane.z.y"),
    )
    .unwrap();
    let renamed = put_mailboxes(&changes);
    let names: Vec<_> = renamed.iter().map(|m| m.name.to_string()).collect();
    assert_eq!(names, ["user.jane.z.y", "user.jane.z.y.b"]);
    assert_eq!(renamed[0].uniqueid, all[1].uniqueid);
    assert_eq!(renamed[0].uidvalidity, all[1].uidvalidity);
    assert_eq!((renamed[0].foldermodseq, renamed[1].foldermodseq), (5, 6));
}

#[test]
fn renames_that_are_refused() {
    let all = family(&["user.jane.a", "user.jane.a.b", "user.jane.c.b"]);
    let refused = |from: &str, to: &str| rename(at(9), &all, &Text::from(from), &Text::from(to)).unwrap_err();
    assert!(matches!(
        refused("user.jane", "user.jane.x"),
        LocalError::IsInbox { .. }
    ));
    assert!(matches!(
        refused("user.jane.a", "user.joe"),
        LocalError::IsInbox { .. }
    ));
    assert!(matches!(
        refused("user.jane.a", "user.joe.a"),
        LocalError::BadRename { .. }
    ));
    assert!(matches!(
        refused("user.jane.a", "user.jane.a.x"),
        LocalError::BadRename { .. }
    ));
    assert!(matches!(
        refused("user.jane.a", "user.jane.a"),
        LocalError::BadRename { .. }
    ));
    assert!(matches!(
        refused("user.jane.a", "user.jane..x"),
        LocalError::BadName { .. }
    ));
    let taken = refused("user.jane.a", "user.jane.c");
    assert_eq!(
        taken,
        LocalError::NameTaken {
            name: "user.jane.c.b".to_owned()
        },
        "a child's name counts too"
    );
}

#[test]
fn a_delete_leaves_a_tombstone_above_everything() {
    let all = family(&["user.jane.a"]);
    let changes = delete(Moment::behind(NOW, &all, &[]), &all[1]).unwrap();
    let Change::RemoveMailbox {
        uniqueid,
        tombstone: Some(tombstone),
    } = &changes[0]
    else {
        panic!("{changes:?}")
    };
    assert_eq!((uniqueid, &tombstone.name), (&all[1].uniqueid, &all[1].name));
    assert_eq!((tombstone.highestmodseq, tombstone.deleted_at), (3, NOW.0));
    assert_eq!(
        Moment::behind(NOW, &all[..1], std::slice::from_ref(tombstone)).modseq_after,
        3
    );
    assert!(matches!(delete(at(0), &all[0]), Err(LocalError::IsInbox { .. })));
}

#[test]
fn annotations_and_acls_change_only_when_they_differ() {
    let (entry, user, value) = (Text::from("/comment"), Text::from("jane"), Text::from("hello"));
    let changes = annotate(at(0), &inbox(), &entry, &user, Some(value.clone())).unwrap();
    let noted = put_mailboxes(&changes)[0].clone();
    assert_eq!((noted.annotations[0].modseq, noted.highestmodseq), (2, 2));
    assert!(
        annotate(at(0), &noted, &entry, &user, Some(value))
            .unwrap()
            .is_empty()
    );
    assert!(
        annotate(at(0), &noted, &entry, &Text::EMPTY, None)
            .unwrap()
            .is_empty()
    );
    let changes = annotate(at(0), &noted, &entry, &user, None).unwrap();
    assert!(put_mailboxes(&changes)[0].annotations.is_empty());

    assert!(set_acl(at(0), &noted, noted.acl.clone()).unwrap().is_empty());
    assert_eq!(
        put_mailboxes(&set_acl(at(0), &noted, Text::EMPTY).unwrap())[0].foldermodseq,
        3
    );
}

#[test]
fn quotas_count_their_own_modseqs() {
    let limits = |storage| QuotaLimits {
        root: Text::from("user.jane"),
        storage,
        ..QuotaLimits::default()
    };
    let changes = put_quota(&[], limits(Some(100)));
    let [Change::PutQuota(stored)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(stored.modseq, 1);
    assert!(put_quota(std::slice::from_ref(stored), limits(Some(100))).is_empty());
    let changes = put_quota(std::slice::from_ref(stored), limits(None));
    assert!(matches!(&changes[..], [Change::PutQuota(q)] if q.modseq == 2));
}

/// One step of an operator, on the record picked by `which` among those that were ever appended.
#[derive(Clone, Debug)]
enum Step {
    Append {
        seed: u8,
        system: u8,
        keywords: Vec<u8>,
    },
    Flags {
        which: usize,
        system: u8,
        keywords: Vec<u8>,
    },
    Annotate {
        which: usize,
        entry: u8,
        user: bool,
        value: Option<u8>,
    },
    Expunge {
        which: usize,
    },
    Commit,
}

fn step() -> impl Strategy<Value = Step> {
    let keywords = || proptest::collection::vec(0u8..6, 0..4);
    prop_oneof![
        3 => (any::<u8>(), any::<u8>(), keywords())
            .prop_map(|(seed, system, keywords)| Step::Append { seed, system, keywords }),
        3 => (any::<usize>(), any::<u8>(), keywords())
            .prop_map(|(which, system, keywords)| Step::Flags { which, system, keywords }),
        2 => (any::<usize>(), 0u8..3, any::<bool>(), proptest::option::of(0u8..3))
            .prop_map(|(which, entry, user, value)| Step::Annotate { which, entry, user, value }),
        1 => any::<usize>().prop_map(|which| Step::Expunge { which }),
        1 => Just(Step::Commit),
    ]
}

fn some_flags(system: u8, keywords: &[u8]) -> Flags {
    // Odd numbers give the upper-case spelling of the same keyword.
    let names = keywords.iter().map(|k| {
        if k % 2 == 0 {
            format!("word{}", k / 2)
        } else {
            format!("WORD{}", k / 2)
        }
    });
    Flags {
        system: SystemFlags::from_bits(system),
        keywords: names.map(Text::from).collect(),
    }
}

/// What a store makes of changes.
fn store(changes: &[Change], mailbox: &mut Mailbox, stored: &mut BTreeMap<u32, Record>) {
    put_mailboxes(changes).into_iter().for_each(|m| *mailbox = m);
    stored.extend(records(changes).into_iter().map(|r| (r.uid, r)));
}

proptest! {
    #[test]
    fn crcs_kept_equal_crcs_recomputed(steps in proptest::collection::vec(step(), 0..60)) {
        let (mut mailbox, mut stored) = (inbox(), BTreeMap::new());
        let mut edit = MailboxEdit::begin(at(0), mailbox.clone()).unwrap();
        for step in steps {
            let pick = |which: usize| stored.values().nth(which % stored.len().max(1)).cloned();
            let before = edit.mailbox().highestmodseq;
            let changed = match step {
                Step::Append { seed, system, keywords } => {
                    edit.append(message(seed, some_flags(system, &keywords))).is_ok()
                }
                Step::Flags { which, system, keywords } => pick(which)
                    .is_some_and(|r| edit.set_flags(&r, some_flags(system, &keywords)) == Ok(true)),
                Step::Annotate { which, entry, user, value } => pick(which).is_some_and(|r| {
                    let user = if user { Text::from("jane") } else { Text::EMPTY };
                    let value = value.map(|v| Text::from(v.to_string()));
                    edit.annotate(&r, &Text::from(format!("/e{entry}")), &user, value) == Ok(true)
                }),
                Step::Expunge { which } => pick(which).is_some_and(|r| edit.expunge(&r).is_ok()),
                Step::Commit => {
                    store(&edit.finish(), &mut mailbox, &mut stored);
                    edit = MailboxEdit::begin(at(0), mailbox.clone()).unwrap();
                    false
                }
            };
            prop_assert_eq!(edit.mailbox().highestmodseq, before + u64::from(changed));
        }
        store(&edit.finish(), &mut mailbox, &mut stored);

        let mut crc = SyncCrc::EMPTY;
        stored.values().for_each(|record| crc.toggle(record));
        prop_assert_eq!(mailbox.crc, crc);
        prop_assert_eq!(mailbox.last_uid as usize, stored.len());
        let mut modseqs: Vec<u64> = stored.values().map(|r| r.modseq).collect();
        modseqs.sort_unstable();
        modseqs.dedup();
        prop_assert_eq!(modseqs.len(), stored.len(), "every record has a modseq of its own");
        prop_assert!(stored.values().all(|r| r.modseq <= mailbox.highestmodseq));
        for record in stored.values() {
            prop_assert!(record.flags.keywords.iter().all(|k| mailbox.userflags.contains(k)));
        }
    }
}
