//! Mailboxes that were created, deleted, renamed on both sides: nothing that only one side knows of is ever lost.

mod twin;

use engine::crc::SyncCrc;
use engine::master::{Deed, Differs, Ending, Job, MasterConfig, PlannedWhat};
use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::Change;
use protocol::{SystemFlags, Text};
use twin::mail::{Mail, dump_living, guid_of};
use twin::{jane, pair, quiet, similar};

const INBOX: &str = "user.jane";
const A: &str = "user.jane.a";

fn twin_of(master: &Mail, ids: &'static str) -> Mail {
    let mut replica = Mail::over(master.store.fork(), ids);
    replica.now = master.now;
    replica
}

/// Two equal sides with an INBOX and a mailbox of two messages each.
fn equal_pair() -> (Mail, Mail) {
    let mut master = Mail::new("m");
    master.create(&[INBOX, A]);
    master.append(INBOX, &["one", "two"]);
    master.append(A, &["three", "four"]);
    let replica = twin_of(&master, "r");
    (master, replica)
}

/// The same of messages without an annotation, so that the CRC of annotations tells nothing.
fn bare_pair() -> (Mail, Mail) {
    let (mut master, _) = equal_pair();
    for name in [INBOX, A] {
        let mut records = master.records(name);
        records.iter_mut().for_each(|record| record.annotations.clear());
        master.force(master.mailbox(name), &[], records);
    }
    let replica = twin_of(&master, "r");
    (master, replica)
}

fn run(master: &Mail, replica: &Mail) -> pair::Outcome {
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    outcome
}

fn equal(master: &Mail, replica: &Mail) {
    similar(
        &dump_living(&master.store, &jane()),
        &dump_living(&replica.store, &jane()),
    );
    quiet(pair::user("jane"), master, replica);
}

fn names(mail: &Mail) -> Vec<String> {
    let all = twin::mail::mailboxes(&mail.store, engine::ticket::Select::User(Text::from("jane")));
    all.iter().map(|mailbox| mailbox.name.to_string()).collect()
}

fn live(mail: &Mail, name: &str) -> Vec<(u32, protocol::Guid)> {
    let live = mail
        .records(name)
        .into_iter()
        .filter(|record| !record.is_expunged());
    live.map(|record| (record.uid, record.guid)).collect()
}

fn rules(outcome: &pair::Outcome) -> Vec<&'static str> {
    outcome
        .progress
        .decisions
        .iter()
        .map(|decision| decision.rule)
        .collect()
}

#[test]
fn a_deleted_mailbox_goes_with_what_it_held() {
    let (mut master, mut replica) = equal_pair();
    // Flags are no mail, and an expunge takes none away that the delete would not.
    replica.flag(A, 1, SystemFlags::SEEN, &[]);
    replica.expunge(A, 2);
    master.append(A, &["not there yet"]);
    master.delete(A);
    let outcome = run(&master, &replica);
    assert_eq!(rules(&outcome), ["CS-SPLIT-11"]);
    assert_eq!(names(&replica), [INBOX]);
    equal(&master, &replica);
}

#[test]
fn a_deleted_mailbox_comes_back_with_the_mail_it_never_held() {
    let (mut master, mut replica) = equal_pair();
    // The delete has the higher modseq: that says nothing about what it knew.
    master.append(A, &["five", "six", "seven"]);
    master.delete(A);
    replica.append(A, &["late"]);
    let outcome = run(&master, &replica);
    assert_eq!(rules(&outcome)[0], "CS-SPLIT-13");
    assert_eq!(names(&master), [INBOX, A]);
    assert_eq!(live(&master, A), [(3, guid_of(b"late"))]);
    equal(&master, &replica);
}

#[test]
fn a_reused_name_loses_neither_mailbox() {
    let (mut master, mut replica) = equal_pair();
    master.delete(A);
    master.create(&[A]);
    master.append(A, &["new"]);
    replica.append(A, &["late"]);
    let outcome = run(&master, &replica);
    assert_eq!(rules(&outcome)[..2], ["CS-SPLIT-13", "CS-SPLIT-15"]);
    let aside = "user.jane.a-split-m0002";
    assert_eq!(names(&master), [INBOX, A, aside]);
    assert_eq!(live(&master, A), [(1, guid_of(b"new"))]);
    assert_eq!(live(&master, aside), [(3, guid_of(b"late"))]);
    equal(&master, &replica);
}

#[test]
fn a_reused_name_whose_mailbox_was_not_touched_just_changes_hands() {
    let (mut master, replica) = equal_pair();
    master.delete(A);
    master.create(&[A]);
    master.append(A, &["new"]);
    run(&master, &replica);
    assert_eq!(live(&replica, A), [(1, guid_of(b"new"))]);
    equal(&master, &replica);
}

#[test]
fn a_mailbox_the_replica_made_stays_until_it_is_master() {
    let (master, mut replica) = equal_pair();
    replica.create(&["user.jane.b"]);
    replica.append("user.jane.b", &["theirs"]);
    let outcome = run(&master, &replica);
    assert_eq!(rules(&outcome), ["CS-SPLIT-16"]);
    assert_eq!(names(&master), [INBOX, A]);
    run(&replica, &master);
    assert_eq!(names(&master), [INBOX, A, "user.jane.b"]);
    equal(&master, &replica);
}

/// [CS-SPLIT-20] [CS-EXC-29]
#[test]
fn one_name_made_on_both_sides_becomes_two_mailboxes() {
    let (mut master, mut replica) = equal_pair();
    for (side, text) in [(&mut master, "ours"), (&mut replica, "theirs")] {
        side.create(&["user.jane.b"]);
        side.append("user.jane.b", &[text]);
    }
    let outcome = run(&master, &replica);
    assert_eq!(rules(&outcome), ["CS-SPLIT-23"]);
    assert_eq!(live(&replica, "user.jane.b"), [(1, guid_of(b"ours"))]);
    run(&replica, &master);
    assert_eq!(
        live(&master, "user.jane.b-split-r0001"),
        [(1, guid_of(b"theirs"))]
    );
    equal(&master, &replica);
}

#[test]
fn an_unused_or_emptied_mailbox_gives_its_name() {
    for used in [false, true] {
        let (mut master, mut replica) = equal_pair();
        master.create(&["user.jane.b"]);
        master.append("user.jane.b", &["ours"]);
        replica.create(&["user.jane.b"]);
        if used {
            replica.append("user.jane.b", &["gone"]);
            replica.expunge("user.jane.b", 1);
        }
        let outcome = run(&master, &replica);
        assert_eq!(
            rules(&outcome),
            [if used { "CS-SPLIT-22" } else { "CS-SPLIT-21" }]
        );
        assert_eq!(names(&replica), [INBOX, A, "user.jane.b"]);
        equal(&master, &replica);
    }
}

/// [CS-SPLIT-27]
#[test]
fn a_rename_onto_a_name_the_replica_uses_otherwise() {
    let (mut master, mut replica) = equal_pair();
    master.rename(A, "user.jane.b");
    replica.create(&["user.jane.b"]);
    replica.append("user.jane.b", &["theirs"]);
    run(&master, &replica);
    assert_eq!(live(&replica, "user.jane.b"), live(&master, "user.jane.b"));
    assert_eq!(
        live(&replica, "user.jane.b-split-r0001"),
        [(1, guid_of(b"theirs"))]
    );
    run(&replica, &master);
    equal(&master, &replica);
}

#[test]
fn a_mailbox_of_scripts_makes_way_as_a_deleted_one() {
    const SIEVE: &str = "user.jane.#sieve";
    let (mut master, mut replica) = equal_pair();
    for (side, text) in [(&mut master, "ours"), (&mut replica, "theirs")] {
        side.create(&[SIEVE]);
        side.append(SIEVE, &[text]);
    }
    let outcome = run(&master, &replica);
    assert_eq!(rules(&outcome), ["CS-SPLIT-28"]);
    assert_eq!(live(&replica, SIEVE), [(1, guid_of(b"ours"))]);
    let kept = names(&replica).pop().expect("a mailbox");
    assert!(kept.starts_with("DELETED.user.jane.#sieve."), "{kept}");
    assert_eq!(live(&replica, &kept), [(1, guid_of(b"theirs"))]);
}

#[test]
fn a_named_run_sees_that_a_mailbox_in_the_way_lives_here_elsewhere() {
    let (mut master, replica) = equal_pair();
    master.create(&["user.jane.b"]);
    master.append("user.jane.b", &["five"]);
    run(&master, &replica);
    master.rename("user.jane.b", "user.jane.c");
    master.rename(A, "user.jane.b");
    let job = Job::Mailboxes(vec![Text::from("user.jane.b")]);
    let outcome = pair::sync(job, &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(rules(&outcome), Vec::<&str>::new());
    assert_eq!(names(&replica), [INBOX, "user.jane.b", "user.jane.c"]);
    equal(&master, &replica);
}

#[test]
fn two_inboxes_become_one_with_all_mail() {
    let (mut master, mut replica) = (Mail::new("m"), Mail::new("r"));
    for (side, texts) in [
        (&mut master, ["ours", "both"]),
        (&mut replica, ["theirs", "both"]),
    ] {
        side.create(&[INBOX]);
        side.append(INBOX, &texts);
    }
    let before = master.mailbox(INBOX).uniqueid;
    let outcome = run(&master, &replica);
    // "both" was there, and "theirs" came from there.
    assert_eq!(outcome.progress.messages_sent, 1);
    assert_eq!(rules(&outcome)[0], "CS-SPLIT-24");
    let guids: std::collections::BTreeSet<_> =
        live(&master, INBOX).into_iter().map(|(_, guid)| guid).collect();
    for text in ["ours", "both", "theirs"] {
        assert!(guids.contains(&guid_of(text.as_bytes())), "{text}");
    }
    assert_ne!(master.mailbox(INBOX).uniqueid, before);
    equal(&master, &replica);
}

fn delete_user(mail: &mut Mail) {
    let deleted_at = mail.now;
    mail.write(jane(), vec![Change::RemoveUser { deleted_at }]);
}

#[test]
fn a_deleted_user_goes_there_too_with_all_that_was_theirs() {
    let (mut master, mut replica) = equal_pair();
    replica.write(
        jane(),
        vec![Change::Subscribe {
            mailbox: Text::from(A),
        }],
    );
    delete_user(&mut master);
    run(&master, &replica);
    assert_eq!(names(&replica), Vec::<String>::new());
    equal(&master, &replica);
}

#[test]
fn a_deleted_users_late_mail_is_kept_for_administrators() {
    let (mut master, mut replica) = equal_pair();
    replica.append(INBOX, &["late"]);
    delete_user(&mut master);
    master.now += 1;
    master.create(&[INBOX]);
    master.append(INBOX, &["of somebody new"]);
    run(&master, &replica);
    assert_eq!(live(&replica, INBOX), [(1, guid_of(b"of somebody new"))]);
    let kept = names(&master);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[1].starts_with("DELETED.user.jane."), "{kept:?}");
    assert_eq!(live(&master, &kept[1]), [(3, guid_of(b"late"))]);
    equal(&master, &replica);
}

#[test]
fn a_deleted_user_leaves_there_what_only_the_replica_knows() {
    let (mut master, mut replica) = equal_pair();
    replica.create(&["user.jane.b"]);
    replica.append("user.jane.b", &["theirs"]);
    delete_user(&mut master);
    let outcome = run(&master, &replica);
    assert!(
        !outcome
            .lines()
            .iter()
            .any(|line| line.starts_with("APPLY UNUSER"))
    );
    assert_eq!(names(&replica), ["user.jane.b"]);
    assert_eq!(live(&replica, "user.jane.b"), [(1, guid_of(b"theirs"))]);
}

#[test]
fn without_copyback_late_mail_of_a_deleted_mailbox_stays_there() {
    let (mut master, mut replica) = equal_pair();
    replica.append(A, &["late"]);
    master.delete(A);
    let before = master.dump(&jane());
    let config = MasterConfig {
        copyback: false,
        ..pair::master_config(pair::user("jane"))
    };
    let (ours, theirs) = (&master.store, &replica.store);
    let outcome = pair::connect(config, ours, theirs, "mailtwin 0.1.0", pair::Wire::default());
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(rules(&outcome), ["CS-SPLIT-41"]);
    assert_eq!(master.dump(&jane()), before);
    assert_eq!(live(&replica, A).len(), 3);
}

#[test]
fn nothing_is_known_of_a_user_who_was_never_here() {
    let (_, replica) = equal_pair();
    let before = replica.dump(&jane());
    let outcome = run(&Mail::new("x"), &replica);
    assert_eq!(outcome.changing(), Vec::<String>::new());
    assert_eq!(replica.dump(&jane()), before);
}

#[test]
fn what_an_interrupted_run_copied_is_not_copied_again() {
    let (mut master, mut replica) = equal_pair();
    master.append(INBOX, &["ours"]);
    replica.append(INBOX, &["theirs"]);
    // Cut at every place: whatever was done, the next run makes it good and makes nothing twice.
    let whole = {
        let (m, r) = (twin_of(&master, "m"), twin_of(&replica, "r"));
        pair::sync(pair::user("jane"), &m.store, &r.store)
    };
    let plain = pair::Wire::default();
    let to_master = (0..whole.heard).map(|cut| pair::Wire {
        cut_to_master: Some(cut),
        ..plain
    });
    let to_replica = (0..whole.said.len()).map(|cut| pair::Wire {
        cut_to_replica: Some(cut),
        ..plain
    });
    let mut known_again = 0;
    for wire in to_master.chain(to_replica) {
        let (m, r) = (twin_of(&master, "m"), twin_of(&replica, "r"));
        let config = pair::master_config(pair::user("jane"));
        pair::connect(config, &m.store, &r.store, "mailtwin 0.1.0", wire);
        let outcome = run(&m, &r);
        known_again += usize::from(rules(&outcome).contains(&"CS-SPLIT-31"));
        assert_eq!(
            live(&m, INBOX).len(),
            4,
            "cut at {:?} {:?}",
            wire.cut_to_master,
            wire.cut_to_replica
        );
        equal(&m, &r);
    }
    assert!(known_again > 0, "no cut fell between the transaction and EXPUNGE");
}

/// [CS-SPLIT-31]
#[test]
fn what_was_changed_on_the_replica_after_it_was_copied_goes_over_to_the_copy() {
    let (mut master, mut replica) = equal_pair();
    master.append(INBOX, &["ours"]);
    replica.append(INBOX, &["theirs"]);
    let guid = replica.record(INBOX, 3).guid;
    let whole = {
        let (m, r) = (twin_of(&master, "m"), twin_of(&replica, "r"));
        pair::sync(pair::user("jane"), &m.store, &r.store)
    };
    let mut known_again = 0;
    for cut in 0..whole.said.len() {
        let (m, mut r) = (twin_of(&master, "m"), twin_of(&replica, "r"));
        let wire = pair::Wire {
            cut_to_replica: Some(cut),
            ..pair::Wire::default()
        };
        pair::connect(
            pair::master_config(pair::user("jane")),
            &m.store,
            &r.store,
            "mailtwin 0.1.0",
            wire,
        );
        let at = live(&r, INBOX)
            .iter()
            .find(|(_, other)| *other == guid)
            .map(|(uid, _)| *uid);
        // Between EXPUNGE and the records it is at neither of its places, and nobody can change it.
        let Some(uid) = at else { continue };
        for keyword in ["a", "b", "c", "d"] {
            r.flag(INBOX, uid, SystemFlags::FLAGGED, &[keyword]);
        }
        known_again += usize::from(rules(&run(&m, &r)).contains(&"CS-SPLIT-31"));
        let living = live(&m, INBOX);
        let (uid, _) = living
            .iter()
            .find(|(_, other)| *other == guid)
            .expect("it is here");
        let flags = m.record(INBOX, *uid).flags;
        assert_eq!(flags.keywords, [Text::from("d")], "cut at {cut}");
        assert!(flags.system.contains(SystemFlags::FLAGGED), "cut at {cut}");
        assert_eq!(living.len(), 4, "cut at {cut}");
        equal(&m, &r);
    }
    assert!(known_again > 0, "no cut fell between the transaction and EXPUNGE");
}

/// The CRC of nothing matches any: it would take what it is sent for the whole. [CS-SPLIT-35]
#[test]
fn a_replica_without_a_live_message_that_would_get_none_is_compared_in_full() {
    let (mut master, _) = bare_pair();
    let mut replica = Mail::new("r");
    for name in [INBOX, A] {
        let lost = Mailbox {
            crc: SyncCrc::EMPTY,
            ..master.mailbox(name)
        };
        replica.write(
            Scope::of(name.as_bytes()),
            vec![Change::PutMailbox(Box::new(lost))],
        );
    }
    master.annotate_mailbox(INBOX, "/comment", "newer than what the replica has");
    run(&master, &replica);
    assert_eq!(live(&replica, INBOX).len(), 2);
    equal(&master, &replica);
}

/// Four messages, and the CRCs of none: each of two stands beside its copy, and the bytes of the UIDs and modseqs cancel
/// each other out. [CS-CRC-11] [CS-SPLIT-35]
#[test]
fn messages_whose_crcs_are_those_of_nothing_are_not_missed() {
    for copyback in [true, false] {
        let mut master = Mail::new("m");
        master.create(&[INBOX]);
        master.append(INBOX, &["one"]);
        master.expunge(INBOX, 1);
        master.append(INBOX, &["one", "two", "two", "one"]);
        let all = master.records(INBOX);
        let ends: Vec<_> = all.iter().map(|record| (record.uid, record.modseq)).collect();
        assert_eq!(ends, [(1, 3), (2, 4), (3, 5), (4, 6), (5, 7)]);
        assert_eq!(master.mailbox(INBOX).crc, SyncCrc::EMPTY);
        let replica = twin_of(&master, "r");
        master.expunge(INBOX, 5);
        let config = MasterConfig {
            copyback,
            ..pair::master_config(pair::user("jane"))
        };
        let (ours, theirs) = (&master.store, &replica.store);
        let outcome = pair::connect(config, ours, theirs, "mailtwin 0.1.0", pair::Wire::default());
        let progress = outcome.progress;
        assert_eq!(progress.ended, Some(Ending::Done), "{progress:?}");
        assert_eq!(live(&replica, INBOX).len(), 3);
        equal(&master, &replica);
    }
}

/// The other way round: the CRC of nothing that goes with the update matches whatever the replica has.
#[test]
fn a_master_without_a_live_message_that_would_take_none_compares_in_full() {
    let (_, replica) = bare_pair();
    let mut master = Mail::new("m");
    for name in [INBOX, A] {
        let lost = Mailbox {
            crc: SyncCrc::EMPTY,
            ..replica.mailbox(name)
        };
        master.write(
            Scope::of(name.as_bytes()),
            vec![Change::PutMailbox(Box::new(lost))],
        );
    }
    master.annotate_mailbox(INBOX, "/comment", "newer than what the replica has");
    run(&master, &replica);
    assert_eq!(live(&master, INBOX).len(), 2);
    equal(&master, &replica);
}

/// A replica may say anything of its HIGHESTMODSEQ, and the modseqs behind the last one are none.
#[test]
fn a_replica_at_the_last_modseq_there_is_fails_alone() {
    let (mut master, mut replica) = equal_pair();
    let last = Mailbox {
        highestmodseq: u64::MAX,
        ..replica.mailbox(INBOX)
    };
    replica.write(
        Scope::of(INBOX.as_bytes()),
        vec![Change::PutMailbox(Box::new(last))],
    );
    master.append(INBOX, &["three"]);
    master.append(A, &["five"]);
    let before = dump_living(&master.store, &jane());
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(outcome.progress.ended, Some(Ending::SomeFailed));
    let failures = format!("{:?}", outcome.progress.failures);
    assert!(failures.contains("leaves no modseqs"), "{failures}");
    assert_eq!(dump_living(&master.store, &jane()), before);
    assert_eq!(live(&replica, A).len(), 3, "the others are done");
}

#[test]
fn more_than_is_held_at_a_time_is_merged_in_passes() {
    let (mut master, mut replica) = equal_pair();
    let texts: Vec<String> = (0..17_000).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    replica.append(INBOX, &texts);
    master.append(INBOX, &["ours"]);
    let outcome = run(&master, &replica);
    let listings = outcome
        .lines()
        .iter()
        .filter(|line| line.starts_with("GET FULLMAILBOX"))
        .count();
    assert_eq!(listings, 2);
    let live = live(&master, INBOX);
    assert_eq!(live.len(), 17_003);
    // UIDs that were free here are kept, in whichever pass they came.
    assert_eq!(live[16_900], (16_902, guid_of(b"message 16899")));
    equal(&master, &replica);
}

#[test]
fn a_large_mailbox_comes_back_with_its_late_mail_only() {
    let (mut master, _) = equal_pair();
    let texts: Vec<String> = (0..17_000).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    master.append(A, &texts);
    let mut replica = twin_of(&master, "r");
    replica.append(A, &["late"]);
    master.delete(A);
    run(&master, &replica);
    assert_eq!(live(&master, A), [(17_003, guid_of(b"late"))]);
    equal(&master, &replica);
}

/// Changes a mailbox of its own store once, in the middle of a run, and answers as the store does otherwise.
struct Meddling {
    inner: store::memory::MemorySession,
    store: store::memory::MemoryStore,
    left: usize,
}

impl engine::ticket::Session for Meddling {
    fn execute(
        &mut self,
        request: engine::ticket::Request,
    ) -> Result<engine::ticket::Reply, engine::ticket::StoreError> {
        use engine::ticket::Request;
        // Just before the transaction that takes over what the compare found.
        if self.left > 0 && matches!(request, Request::Begin { .. }) {
            self.left -= 1;
            let mut here = Mail::over(self.store.clone(), "x");
            here.now += 100;
            here.append(INBOX, &["meanwhile"]);
        }
        self.inner.execute(request)
    }
}

/// [CS-SPLIT-30] [CS-EXC-30]
#[test]
fn a_compare_that_was_overtaken_begins_anew() {
    for times in [1, 2, 9] {
        let (mut master, mut replica) = equal_pair();
        master.append(INBOX, &["ours"]);
        replica.append(INBOX, &["theirs"]);
        let meddling = Meddling {
            inner: master.store.session(),
            store: master.store.clone(),
            left: times,
        };
        let config = pair::master_config(pair::user("jane"));
        let theirs = Box::new(replica.store.session());
        let wire = pair::Wire::default();
        let outcome = pair::connect_sessions(config, Box::new(meddling), theirs, "mailtwin 0.1.0", wire);
        if times > 4 {
            assert_eq!(outcome.progress.ended, Some(Ending::SomeFailed));
            assert!(outcome.progress.failures[0].reason.contains("again and again"));
        }
        run(&master, &replica);
        let meanwhile = guid_of(b"meanwhile");
        let kept = live(&master, INBOX)
            .into_iter()
            .filter(|(_, guid)| *guid == meanwhile)
            .count();
        assert_eq!(kept, times.min(4), "appended {times} times meanwhile");
        for text in ["ours", "theirs"] {
            let wanted = guid_of(text.as_bytes());
            assert!(
                live(&master, INBOX).iter().any(|(_, guid)| *guid == wanted),
                "{text}"
            );
        }
        equal(&master, &replica);
    }
}

/// [CS-SPLIT-35]
#[test]
fn a_side_that_lost_all_records_is_not_taken_for_equal() {
    let empty = |mail: &mut Mail| {
        let mut mailbox = mail.mailbox(INBOX);
        mailbox.crc = engine::crc::SyncCrc::EMPTY;
        let uniqueid = mailbox.uniqueid.clone();
        mail.write(
            jane(),
            vec![
                Change::ClearRecords { uniqueid },
                Change::PutMailbox(Box::new(mailbox)),
            ],
        );
    };
    let bare = |mail: &mut Mail| {
        // Messages without any annotation, as very old servers have them: their annotation CRC is that of none.
        let plain = mail.records(INBOX).into_iter().map(|mut record| {
            record.annotations.clear();
            record
        });
        let plain: Vec<_> = plain.collect();
        mail.force(mail.mailbox(INBOX), &[], plain);
    };
    for lost_here in [false, true] {
        let (mut master, _) = equal_pair();
        bare(&mut master);
        let mut replica = twin_of(&master, "r");
        empty(if lost_here { &mut master } else { &mut replica });
        run(&master, &replica);
        assert_eq!(live(&master, INBOX).len(), 2);
        equal(&master, &replica);
    }
}

fn dry(job: Job) -> MasterConfig {
    MasterConfig {
        dry_run: true,
        ..pair::master_config(job)
    }
}

#[test]
fn a_dry_run_says_what_the_run_does_and_does_nothing() {
    let (mut master, mut replica) = equal_pair();
    master.append(INBOX, &["ours"]);
    replica.append(INBOX, &["theirs"]);
    master.rename(A, "user.jane.b");
    replica.append(A, &["more"]);
    master.create(&["user.jane.c"]);
    master.append("user.jane.c", &["x", "yy"]);
    replica.create(&["user.jane.c", "user.jane.d"]);
    replica.append("user.jane.c", &["their c"]);
    master.write(jane(), engine::local::subscribe(Text::from(A), true));
    let before = (master.dump(&jane()), replica.dump(&jane()));
    let version = "mailtwin 0.1.0";
    let planned = pair::connect(
        dry(pair::user("jane")),
        &master.store,
        &replica.store,
        version,
        pair::Wire::default(),
    );
    assert_eq!(
        planned.progress.ended,
        Some(Ending::Done),
        "{:?}",
        planned.progress
    );
    assert_eq!(planned.changing(), Vec::<String>::new());
    assert!(
        !planned
            .lines()
            .iter()
            .any(|line| line.starts_with("APPLY RESERVE"))
    );
    assert_eq!((master.dump(&jane()), replica.dump(&jane())), before);
    let done = run(&master, &replica);
    let list = |outcome: &pair::Outcome| -> Vec<String> {
        outcome
            .progress
            .decisions
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(list(&planned), list(&done));
    let plan: Vec<(String, &str)> = planned
        .progress
        .plan
        .iter()
        .map(|p| (p.about.to_string(), p.what.word()))
        .collect();
    let expected = [
        ("user.jane.c-split-r0001", "rename_mailbox"),
        ("user.jane.b", "rename_mailbox"),
        ("user.jane.c", "create_mailbox"),
        ("user.jane.c", "send_mailbox"),
        ("user.jane", "merge_mailbox"),
    ];
    for (about, word) in expected {
        assert!(
            plan.contains(&(about.to_owned(), word)),
            "{about} {word}: {plan:?}"
        );
    }
    assert!(plan.contains(&(A.to_owned(), "subscribe")), "{plan:?}");
    let sent = planned.progress.plan.iter().find_map(|p| match &p.what {
        PlannedWhat::SendMailbox { messages, bytes, .. } if p.about == *"user.jane.c" => {
            Some((*messages, *bytes))
        }
        _ => None,
    });
    assert_eq!(sent, Some((2, 3)));
}

fn compare(master: &Mail, replica: &Mail) -> pair::Outcome {
    let outcome = pair::sync(
        Job::Compare(vec![Scope::User(Text::from("jane"))]),
        &master.store,
        &replica.store,
    );
    assert_eq!(outcome.changing(), Vec::<String>::new());
    outcome
}

#[test]
fn equal_sides_compare_equal() {
    let (master, replica) = equal_pair();
    let outcome = compare(&master, &replica);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(
        outcome.progress.differences_total, 0,
        "{:?}",
        outcome.progress.differences
    );
    let compared: Vec<(String, u64, bool)> = outcome
        .progress
        .compared
        .iter()
        .map(|c| (c.mailbox.to_string(), c.messages_there, c.is_equal()))
        .collect();
    assert_eq!(compared, [(INBOX.to_owned(), 2, true), (A.to_owned(), 2, true)]);
}

#[test]
fn a_comparison_tells_exactly_how_sides_differ() {
    let (mut master, mut replica) = equal_pair();
    master.append(INBOX, &["ours"]);
    replica.flag(INBOX, 1, SystemFlags::SEEN, &["work"]);
    replica.annotate(INBOX, 2, "/comment", "", "x");
    master.create(&["user.jane.b"]);
    replica.create(&["user.jane.c"]);
    replica.rename(A, "user.jane.z");
    replica.expunge("user.jane.z", 1);
    master.write(jane(), engine::local::subscribe(Text::from(A), true));
    let script = b"keep;";
    let guid = guid_of(script);
    let now = engine::flow::Now(5);
    let put = engine::local::put_script(now, Text::from("rules"), Text::from_static(script), guid);
    replica.write(jane(), put);
    let before = (master.dump(&jane()), replica.dump(&jane()));
    let outcome = compare(&master, &replica);
    assert_eq!((master.dump(&jane()), replica.dump(&jane())), before);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    let told: Vec<String> = outcome
        .progress
        .differences
        .iter()
        .map(|d| {
            let how = match &d.how {
                Differs::OnlyHere => "only here".to_owned(),
                Differs::OnlyThere => "only there".to_owned(),
                Differs::Fields(fields) => {
                    let fields: Vec<String> = fields
                        .iter()
                        // Times and modseqs follow from the changes.
                        .filter(|f| {
                            !["MODSEQ", "LAST_UPDATED", "HIGHESTMODSEQ", "FOLDERMODSEQ"].contains(&f.field)
                        })
                        .map(|f| format!("{} {} | {}", f.field, f.here, f.there))
                        .collect();
                    fields.join(", ")
                }
            };
            let uid = d.uid.map_or(String::new(), |uid| format!(" {uid}"));
            format!("{} {}{uid}: {how}", d.kind.word(), d.about)
        })
        .collect();
    let expected = [
        "mailbox user.jane 1: FLAGS () | (\\Seen work)",
        "mailbox user.jane 2: ANNOTATIONS  | /comment=x",
        "mailbox user.jane 3: only here",
        "mailbox user.jane: LAST_UID 3 | 2",
        "mailbox user.jane.a 1: FLAGS () | (\\Expunged)",
        "mailbox user.jane.a: MBOXNAME user.jane.a | user.jane.z",
        "mailbox user.jane.b: only here",
        "mailbox user.jane.c: only there",
        "subscription user.jane.a: only here",
        "script rules: only there",
    ];
    assert_eq!(told, expected);
    assert_eq!(outcome.progress.differences_total, 10);
}

#[test]
fn every_decision_has_its_rule_in_the_spec() {
    let spec = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec");
    let pages = ["07-master.md", "12-split-brain.md"]
        .map(|page| std::fs::read_to_string(spec.join(page)).expect("reads"));
    let sources = [
        "merge_rules.rs",
        "merge_plan.rs",
        "gone.rs",
        "names.rs",
        "retry.rs",
        "folders.rs",
    ];
    let mut seen = 0;
    for source in sources {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/master")
            .join(source);
        let text = std::fs::read_to_string(path).expect("reads");
        for quoted in text.split("\"CS-").skip(1) {
            let id = format!("CS-{}", quoted.split('"').next().unwrap_or_default());
            assert!(
                pages.iter().any(|page| page.contains(&format!("**[{id}]**"))),
                "{id} of {source}"
            );
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn deeds_have_words() {
    assert_eq!(Deed::GiveWay.word(), "give_way");
    assert_eq!(Scope::of(b"user.jane"), jane());
}
