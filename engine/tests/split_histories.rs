//! Any two histories from a common past, one on each side: after syncs in both directions the sides are equal, and hold
//! every message that either side had and neither expunged.

mod twin;

use std::collections::{BTreeMap, BTreeSet};

use engine::local;
use engine::master::Ending;
use engine::model::SeenState;
use engine::ticket::{Change, Reply, Request, Select, Session, StoreError};
use proptest::prelude::*;
use protocol::{Guid, SystemFlags, Text};
use store::memory::{MemorySession, MemoryStore};
use twin::mail::{Mail, dump_living, mailboxes, records};
use twin::{jane, pair};

const NAMES: [&str; 4] = ["user.jane", "user.jane.a", "user.jane.a.b", "user.jane.c"];
/// Syncs after which two sides have to be equal.
const SYNCS_MAX: usize = 6;

/// A change on one side; what cannot be done at its time is left out.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Append(usize, usize),
    Flag(usize, usize, u8, Option<&'static str>),
    Annotate(usize, usize, u8),
    AnnotateMailbox(usize, u8),
    Expunge(usize, usize),
    Rename(usize, usize),
    Delete(usize),
    /// Deletes a mailbox and makes another one of its name.
    Recreate(usize),
    Subscribe(usize, bool),
    Seen(usize, u32),
    Uidvalidity(usize, u32),
    /// Time passes.
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let mailbox = 0..NAMES.len();
    let keyword = prop_oneof![Just(None), Just(Some("work")), Just(Some("NIL"))];
    prop_oneof![
        3 => mailbox.clone().prop_map(Step::Create),
        7 => (mailbox.clone(), 1..4usize).prop_map(|(m, n)| Step::Append(m, n)),
        4 => (mailbox.clone(), 0..9usize, 0..64u8, keyword).prop_map(|(m, u, f, k)| Step::Flag(m, u, f, k)),
        2 => (mailbox.clone(), 0..9usize, 0..3u8).prop_map(|(m, u, v)| Step::Annotate(m, u, v)),
        1 => (mailbox.clone(), 0..3u8).prop_map(|(m, v)| Step::AnnotateMailbox(m, v)),
        4 => (mailbox.clone(), 0..9usize).prop_map(|(m, u)| Step::Expunge(m, u)),
        2 => (mailbox.clone(), mailbox.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => mailbox.clone().prop_map(Step::Delete),
        2 => mailbox.clone().prop_map(Step::Recreate),
        1 => (mailbox.clone(), any::<bool>()).prop_map(|(m, on)| Step::Subscribe(m, on)),
        1 => (mailbox.clone(), 1..9u32).prop_map(|(m, u)| Step::Seen(m, u)),
        1 => (mailbox, 1..9u32).prop_map(|(m, v)| Step::Uidvalidity(m, v)),
        2 => (1..30i64).prop_map(Step::Wait),
    ]
}

/// One side with what is known of its messages; every message has bytes of its own.
struct Side {
    mail: Mail,
    name: char,
    appended: usize,
    /// Taken away by an expunge.
    expunged: BTreeSet<Guid>,
    /// Taken away with its mailbox.
    deleted: BTreeSet<Guid>,
}

impl Side {
    fn new(mail: Mail, name: char) -> Self {
        Side {
            mail,
            name,
            appended: 0,
            expunged: BTreeSet::new(),
            deleted: BTreeSet::new(),
        }
    }

    fn exists(&self, name: &str) -> bool {
        !mailboxes(&self.mail.store, Select::Names(vec![Text::from(name)])).is_empty()
    }

    fn live_in(&self, name: &str) -> Vec<(u32, Guid)> {
        let records = if self.exists(name) {
            self.mail.records(name)
        } else {
            Vec::new()
        };
        let live = records.into_iter().filter(|record| !record.is_expunged());
        live.map(|record| (record.uid, record.guid)).collect()
    }

    /// All live messages, and how often.
    fn live(&self) -> BTreeMap<Guid, usize> {
        let mut all = BTreeMap::new();
        for mailbox in mailboxes(&self.mail.store, Select::User(Text::from("jane"))) {
            for (_, guid) in self.live_in(&mailbox.name.to_string()) {
                *all.entry(guid).or_default() += 1;
            }
        }
        all
    }

    fn nth(&self, name: &str, at: usize) -> Option<(u32, Guid)> {
        self.live_in(name).get(at).copied()
    }

    fn delete(&mut self, name: &str) {
        let gone = self.mail.records(name).into_iter().map(|record| record.guid);
        self.deleted.extend(gone);
        self.mail.delete(name);
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Create(at) if !self.exists(NAMES[at]) => self.mail.create(&[NAMES[at]]),
            Step::Append(at, count) if self.exists(NAMES[at]) => {
                for _ in 0..count {
                    self.appended += 1;
                    let text = format!("{} {}\r\n", self.name, self.appended);
                    self.mail.append(NAMES[at], &[&text]);
                }
            }
            Step::Flag(at, nth, bits, keyword) => {
                if let Some((uid, _)) = self.nth(NAMES[at], nth) {
                    let system = SystemFlags::from_bits(bits).without(SystemFlags::EXPUNGED);
                    self.mail.flag(NAMES[at], uid, system, keyword.as_slice());
                }
            }
            Step::Annotate(at, nth, value) => {
                if let Some((uid, _)) = self.nth(NAMES[at], nth) {
                    let value = format!("{} {value}", self.name);
                    self.mail.annotate(NAMES[at], uid, "/comment", "", &value);
                }
            }
            Step::AnnotateMailbox(at, value) if self.exists(NAMES[at]) => {
                let value = format!("{} {value}", self.name);
                self.mail.annotate_mailbox(NAMES[at], "/comment", &value);
            }
            Step::Expunge(at, nth) => {
                if let Some((uid, guid)) = self.nth(NAMES[at], nth) {
                    self.mail.expunge(NAMES[at], uid);
                    self.expunged.insert(guid);
                }
            }
            Step::Rename(from, to) => self.rename(NAMES[from], NAMES[to]),
            Step::Delete(at) if at > 0 && self.exists(NAMES[at]) => self.delete(NAMES[at]),
            Step::Recreate(at) if at > 0 && self.exists(NAMES[at]) => {
                self.delete(NAMES[at]);
                self.mail.create(&[NAMES[at]]);
            }
            Step::Subscribe(at, on) => {
                self.mail
                    .write(jane(), local::subscribe(Text::from(NAMES[at]), on));
            }
            Step::Seen(at, lastuid) if self.exists(NAMES[at]) => {
                let state = SeenState {
                    uniqueid: self.mail.mailbox(NAMES[at]).uniqueid,
                    lastread: self.mail.now,
                    lastuid,
                    lastchange: self.mail.now,
                    seenuids: Text::from("1:2"),
                };
                self.mail.write(jane(), vec![Change::PutSeen(state)]);
            }
            Step::Uidvalidity(at, more) if self.exists(NAMES[at]) => {
                let mut mailbox = self.mail.mailbox(NAMES[at]);
                mailbox.uidvalidity += more;
                self.mail.force(mailbox, &[], Vec::new());
            }
            Step::Wait(seconds) => self.mail.now += seconds,
            _ => {}
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let all = mailboxes(&self.mail.store, Select::User(Text::from("jane")));
        let fits = self.exists(from)
            && !all.iter().any(|mailbox| mailbox.name.to_string().starts_with(to))
            && from != NAMES[0]
            && to != NAMES[0]
            && !from.starts_with(to)
            && !to.starts_with(from);
        if fits {
            self.mail.rename(from, to);
        }
    }
}

/// How a master's store lies, to see that the check notices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It does not.
    None,
    /// Whatever the replica holds in a deleted mailbox was known here: mailboxes are deleted for their tombstone alone.
    KnowsAllDeleted,
    /// What comes here from the replica is not kept.
    KeepsNothingOfTheirs,
    /// Expunged records are not kept: who lacks a message never had it.
    ForgetsExpunged,
}

/// A session with a store that lies.
struct Lying {
    inner: MemorySession,
    other: MemoryStore,
    lie: Lie,
}

impl Session for Lying {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        match (self.lie, request) {
            (
                Lie::KnowsAllDeleted,
                Request::Deleted {
                    uniqueid, above_uid, ..
                },
            ) => {
                let all = mailboxes(&self.other, Select::Uniqueids(vec![uniqueid]));
                let known = all.iter().flat_map(|mailbox| records(&self.other, mailbox));
                let known = known.map(|record| (record.uid, record.guid));
                Ok(Reply::Deleted(
                    known.filter(|(uid, _)| *uid > above_uid).collect(),
                ))
            }
            (Lie::KeepsNothingOfTheirs, Request::Write(mut changes)) => {
                changes.retain(|change| !matches!(change, Change::PutRecords { .. }));
                self.inner.execute(Request::Write(changes))
            }
            (Lie::ForgetsExpunged, request @ Request::Records { .. }) => {
                let Reply::Records(mut records) = self.inner.execute(request)? else {
                    unreachable!("records are answered with records")
                };
                records.retain(|record| !record.is_expunged());
                Ok(Reply::Records(records))
            }
            (_, request) => self.inner.execute(request),
        }
    }
}

/// Which way a sync goes, and what the replica calls itself.
fn sync(master: &Side, replica: &Side, cyrus: bool, lie: Lie) -> pair::Outcome {
    let version = if cyrus { "3.6.1" } else { "mailtwin 0.1.0" };
    let config = pair::master_config(pair::user("jane"));
    let ours = Box::new(Lying {
        inner: master.mail.store.session(),
        other: replica.mail.store.clone(),
        lie,
    });
    let theirs = Box::new(replica.mail.store.session());
    let outcome = pair::connect_sessions(config, ours, theirs, version, pair::Wire::default());
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?} as master: {:#?}",
        master.name,
        outcome.progress
    );
    outcome
}

/// Syncs to and fro until nothing is left to do; the sides are equal then.
fn converge(a: &Side, b: &Side, a_first: bool, cyrus: bool, lie: Lie) {
    let mut turn = a_first;
    let mut quiet = 0;
    for _ in 0..SYNCS_MAX {
        let outcome = if turn {
            sync(a, b, cyrus, lie)
        } else {
            sync(b, a, cyrus, lie)
        };
        turn = !turn;
        quiet = if outcome.changing().is_empty() {
            quiet + 1
        } else {
            0
        };
        if quiet == 2 {
            break;
        }
    }
    twin::similar(
        &dump_living(&a.mail.store, &jane()),
        &dump_living(&b.mail.store, &jane()),
    );
    assert_eq!(quiet, 2, "no end after {SYNCS_MAX} syncs");
}

/// What must be there afterwards, and what must not.
struct Expected {
    live: BTreeSet<Guid>,
    dead: BTreeSet<Guid>,
}

fn expected(a: &Side, b: &Side) -> Expected {
    let gone = |side: &Side| -> BTreeSet<Guid> { side.expunged.union(&side.deleted).copied().collect() };
    let (gone_a, gone_b) = (gone(a), gone(b));
    let all: BTreeSet<Guid> = a.live().into_keys().chain(b.live().into_keys()).collect();
    let live = all
        .iter()
        .filter(|guid| !gone_a.contains(guid) && !gone_b.contains(guid))
        .copied()
        .collect();
    // A mailbox deleted on one side only may come from the other side again, an expunged message not.
    let deleted: BTreeSet<Guid> = a.deleted.union(&b.deleted).copied().collect();
    let expunged = a.expunged.union(&b.expunged).copied();
    let dead = expunged.filter(|guid| !deleted.contains(guid)).collect();
    Expected { live, dead }
}

fn check(a: &Side, b: &Side, expected: &Expected) {
    for side in [a, b] {
        let live = side.live();
        for guid in &expected.live {
            assert!(live.contains_key(guid), "{}: {guid} is lost", side.name);
        }
        for guid in &expected.dead {
            assert!(!live.contains_key(guid), "{}: {guid} is back", side.name);
        }
        for (guid, count) in live {
            assert_eq!(count, 1, "{}: {guid} is there {count} times", side.name);
        }
    }
}

fn common_past() -> (Side, Side) {
    let mut mail = Mail::new("m");
    mail.create(&NAMES[..3]);
    for name in &NAMES[..3] {
        let texts = [1, 2, 3].map(|n| format!("{name} {n}"));
        mail.append(name, &texts.each_ref().map(String::as_str));
    }
    let mut other = Mail::over(mail.store.fork(), "r");
    other.now = mail.now;
    (Side::new(mail, 'a'), Side::new(other, 'b'))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..14)
}

proptest! {
    #[test]
    fn any_two_histories_converge_and_lose_nothing(
        phases in prop::collection::vec((steps(), steps(), any::<bool>(), any::<bool>()), 1..3),
    ) {
        let (mut a, mut b) = common_past();
        for (on_a, on_b, a_first, cyrus) in &phases {
            on_a.iter().for_each(|step| a.apply(step));
            on_b.iter().for_each(|step| b.apply(step));
            let expected = expected(&a, &b);
            converge(&a, &b, *a_first, *cyrus, Lie::None);
            check(&a, &b, &expected);
            for side in [&mut a, &mut b] {
                side.expunged.clear();
                side.deleted.clear();
            }
        }
    }
}

/// Canaries: a rule that is broken is noticed by the check of the property.
fn is_noticed(lie: Lie, on_a: &[Step], on_b: &[Step]) -> bool {
    let meet = |lie: Lie| {
        let (mut a, mut b) = common_past();
        on_a.iter().for_each(|step| a.apply(step));
        on_b.iter().for_each(|step| b.apply(step));
        let expected = expected(&a, &b);
        converge(&a, &b, true, false, lie);
        check(&a, &b, &expected);
    };
    meet(Lie::None);
    std::panic::catch_unwind(|| meet(lie)).is_err()
}

#[test]
fn a_delete_of_mail_that_was_never_known_is_noticed() {
    let (gone, late) = ([Step::Delete(1)], [Step::Append(1, 1)]);
    assert!(is_noticed(Lie::KnowsAllDeleted, &gone, &late));
}

#[test]
fn mail_that_is_not_taken_over_is_noticed() {
    let (ours, theirs) = ([Step::Append(0, 1)], [Step::Append(0, 2)]);
    assert!(is_noticed(Lie::KeepsNothingOfTheirs, &ours, &theirs));
}

#[test]
fn an_expunge_that_is_forgotten_is_noticed() {
    let (ours, theirs) = (
        [Step::Expunge(0, 0)],
        [Step::Flag(0, 1, 1, None), Step::Append(0, 1)],
    );
    assert!(is_noticed(Lie::ForgetsExpunged, &ours, &theirs));
}

#[test]
fn two_mailboxes_of_one_name_without_mail_become_one_in_all_values() {
    let (mut a, mut b) = common_past();
    b.apply(&Step::Recreate(1));
    converge(&a, &b, false, false, Lie::None);
    for step in [
        Step::Append(0, 1),
        Step::Append(0, 2),
        Step::Rename(2, 3),
        Step::Recreate(1),
    ] {
        a.apply(&step);
    }
    converge(&a, &b, false, false, Lie::None);
}
