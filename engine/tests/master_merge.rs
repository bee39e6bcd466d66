//! Both sides changed: the full compare, rule by rule.

mod twin;

use engine::master::Ending;
use protocol::{Flags, Record, SystemFlags, Text};
use twin::mail::{Mail, dump_living, guid_of};
use twin::{jane, pair, quiet, similar};

const BOX: &str = "user.jane";

/// A pair that is equal, with four messages; what follows happens at the same time on both.
fn pair_of_four() -> (Mail, Mail) {
    let mut master = Mail::new("m");
    master.create(&[BOX]);
    master.append(BOX, &["one", "two", "three", "four"]);
    let outcome = pair::sync(pair::user("jane"), &master.store, &twin_of(&master).store);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    let replica = twin_of(&master);
    (master, replica)
}

fn twin_of(master: &Mail) -> Mail {
    let mut replica = Mail::over(master.store.fork(), "r");
    replica.now = master.now;
    replica
}

/// Runs, expects that both are equal afterwards and stay so.
fn repair(master: &Mail, replica: &Mail) -> pair::Outcome {
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    similar(
        &dump_living(&master.store, &jane()),
        &dump_living(&replica.store, &jane()),
    );
    quiet(pair::user("jane"), master, replica);
    outcome
}

/// UID and text of what is alive.
fn alive(mail: &Mail, texts: &[&str]) -> Vec<(u32, String)> {
    let live = mail
        .records(BOX)
        .into_iter()
        .filter(|record| !record.is_expunged());
    live.map(|record| {
        let text = texts
            .iter()
            .find(|text| guid_of(text.as_bytes()) == record.guid)
            .expect("a known text");
        (record.uid, (*text).to_owned())
    })
    .collect()
}

const TEXTS: [&str; 8] = ["one", "two", "three", "four", "ours", "theirs", "more", "last"];

fn as_text(list: &[(u32, &str)]) -> Vec<(u32, String)> {
    list.iter()
        .map(|(uid, text)| (*uid, (*text).to_owned()))
        .collect()
}

#[test]
fn a_newer_flag_of_the_replica_wins_as_a_whole() {
    let (mut master, mut replica) = pair_of_four();
    master.flag(BOX, 2, SystemFlags::SEEN, &[]);
    replica.now += 10;
    replica.flag(BOX, 1, SystemFlags::DRAFT, &[]);
    replica.flag(BOX, 2, SystemFlags::FLAGGED, &["theirs"]);
    repair(&master, &replica);
    let record = master.record(BOX, 2);
    assert_eq!(record.flags.system, SystemFlags::FLAGGED);
    assert_eq!(record.flags.keywords, [Text::from("theirs")]);
    assert_eq!(master.record(BOX, 1).flags.system, SystemFlags::DRAFT);
    assert!(master.mailbox(BOX).userflags.contains(&Text::from("theirs")));
}

#[test]
fn an_older_flag_of_the_replica_loses() {
    let (mut master, mut replica) = pair_of_four();
    replica.flag(BOX, 2, SystemFlags::FLAGGED, &["theirs"]);
    master.now += 10;
    master.flag(BOX, 1, SystemFlags::SEEN, &[]);
    master.flag(BOX, 2, SystemFlags::SEEN, &[]);
    repair(&master, &replica);
    assert_eq!(master.record(BOX, 2).flags.system, SystemFlags::SEEN);
    assert!(master.record(BOX, 2).flags.keywords.is_empty());
}

#[test]
fn an_expunge_of_either_side_stays() {
    let (mut master, mut replica) = pair_of_four();
    replica.expunge(BOX, 1);
    replica.flag(BOX, 3, SystemFlags::SEEN, &[]);
    master.expunge(BOX, 3);
    repair(&master, &replica);
    assert_eq!(alive(&master, &TEXTS), as_text(&[(2, "two"), (4, "four")]));
}

#[test]
fn two_messages_under_one_uid_both_survive_lower_guid_first() {
    let (mut master, mut replica) = pair_of_four();
    master.append(BOX, &["ours", "more"]);
    replica.append(BOX, &["theirs"]);
    repair(&master, &replica);
    let (low, high) = if guid_of(b"ours") < guid_of(b"theirs") {
        ("ours", "theirs")
    } else {
        ("theirs", "ours")
    };
    let expected = [
        (1, "one"),
        (2, "two"),
        (3, "three"),
        (4, "four"),
        (6, "more"),
        (7, low),
        (8, high),
    ];
    assert_eq!(alive(&master, &TEXTS), as_text(&expected));
    assert!(master.record(BOX, 5).is_expunged());
}

#[test]
fn only_the_living_one_of_two_survives() {
    let (mut master, mut replica) = pair_of_four();
    master.append(BOX, &["ours"]);
    master.expunge(BOX, 5);
    replica.append(BOX, &["theirs"]);
    repair(&master, &replica);
    assert_eq!(alive(&master, &TEXTS)[4..], as_text(&[(6, "theirs")]));

    let (mut master, mut replica) = pair_of_four();
    master.append(BOX, &["ours"]);
    replica.append(BOX, &["theirs"]);
    replica.expunge(BOX, 5);
    repair(&master, &replica);
    assert_eq!(alive(&master, &TEXTS)[4..], as_text(&[(6, "ours")]));
}

#[test]
fn a_message_only_the_replica_got_comes_here_under_its_uid() {
    let (master, mut replica) = pair_of_four();
    replica.append(BOX, &["theirs", "last"]);
    replica.flag(BOX, 5, SystemFlags::ANSWERED, &["kept"]);
    repair(&master, &replica);
    assert_eq!(
        alive(&master, &TEXTS)[4..],
        as_text(&[(5, "theirs"), (6, "last")])
    );
    assert_eq!(master.record(BOX, 5).flags.keywords, [Text::from("kept")]);
}

#[test]
fn a_message_that_is_missing_here_below_our_last_uid_comes_back_under_a_new_uid() {
    let (mut master, replica) = pair_of_four();
    // Our side never had UID 5 but has gone on to 6.
    let mut mailbox = master.mailbox(BOX);
    mailbox.last_uid = 6;
    mailbox.highestmodseq += 1;
    let record = Record {
        uid: 6,
        modseq: mailbox.highestmodseq,
        guid: guid_of(b"more"),
        ..master.record(BOX, 1)
    };
    master.force(mailbox, &["more"], vec![Record { size: 4, ..record }]);
    let mut replica = replica;
    replica.append(BOX, &["theirs"]);
    repair(&master, &replica);
    assert_eq!(
        alive(&master, &TEXTS)[4..],
        as_text(&[(6, "more"), (7, "theirs")])
    );
}

#[test]
fn a_message_that_is_missing_there_gets_a_new_uid() {
    let (mut master, mut replica) = pair_of_four();
    master.append(BOX, &["ours"]);
    // The replica has gone past UID 5 without having it.
    let mut mailbox = replica.mailbox(BOX);
    mailbox.last_uid = 6;
    mailbox.highestmodseq += 3;
    let record = Record {
        uid: 6,
        modseq: mailbox.highestmodseq,
        guid: guid_of(b"theirs"),
        size: 6,
        ..replica.record(BOX, 1)
    };
    replica.force(mailbox, &["theirs"], vec![record]);
    repair(&master, &replica);
    assert_eq!(
        alive(&master, &TEXTS)[4..],
        as_text(&[(6, "theirs"), (7, "ours")])
    );
}

/// [CS-MASTER-45] [CS-SPLIT-34]
#[test]
fn a_leftover_of_the_replica_is_expunged_there() {
    let (mut master, mut replica) = pair_of_four();
    let mut mailbox = master.mailbox(BOX);
    // Ours had UID 5, expunged it, and has forgotten the tombstone; and goes on.
    mailbox.last_uid = 5;
    mailbox.highestmodseq += 20;
    mailbox.deletedmodseq = mailbox.highestmodseq;
    master.force(mailbox, &[], Vec::new());
    replica.append(BOX, &["theirs"]);
    repair(&master, &replica);
    assert_eq!(alive(&master, &TEXTS).len(), 4);
    assert_eq!(alive(&replica, &TEXTS).len(), 4);
}

#[test]
fn silent_damage_is_found_by_the_crcs_and_repaired() {
    let (master, mut replica) = pair_of_four();
    let mut record = replica.record(BOX, 2);
    record.flags = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    replica.force(replica.mailbox(BOX), &[], vec![record]);
    let outcome = repair(&master, &replica);
    assert_eq!(
        outcome.progress.notices.len(),
        1,
        "{:?}",
        outcome.progress.notices
    );
    assert_eq!(replica.record(BOX, 2).flags.system, SystemFlags::NONE);
}

#[test]
fn silent_damage_of_annotations_is_found_too() {
    let (mut master, mut replica) = pair_of_four();
    let mut record = replica.record(BOX, 2);
    record.annotations.pop();
    replica.force(replica.mailbox(BOX), &[], vec![record]);
    repair(&master, &replica);
    master.annotate(BOX, 2, "/comment", "", "x");
    repair(&master, &replica);
}

#[test]
fn a_store_that_went_back_to_an_old_backup_catches_up() {
    let (old, mut replica) = pair_of_four();
    replica.append(BOX, &["theirs"]);
    replica.expunge(BOX, 1);
    replica.annotate_mailbox(BOX, "/comment", "newer");
    repair(&old, &replica);
    assert_eq!(
        old.mailbox(BOX).annotations.len(),
        1,
        "the side with the higher modseq has the annotations"
    );
    assert_eq!(alive(&old, &TEXTS)[0].0, 2);
}

#[test]
fn higher_values_of_the_replica_are_taken_without_a_full_compare() {
    let (master, mut replica) = pair_of_four();
    let mut mailbox = replica.mailbox(BOX);
    mailbox.uidvalidity += 7;
    mailbox.foldermodseq += 2;
    replica.force(mailbox.clone(), &[], Vec::new());
    let outcome = repair(&master, &replica);
    assert_eq!(master.mailbox(BOX).uidvalidity, mailbox.uidvalidity);
    assert!(!String::from_utf8_lossy(&outcome.said).contains("FULLMAILBOX"));
}

#[test]
fn without_copyback_nothing_is_changed_here() {
    let (master, mut replica) = pair_of_four();
    replica.flag(BOX, 2, SystemFlags::FLAGGED, &[]);
    replica.append(BOX, &["theirs"]);
    let before = master.dump(&jane());
    let mut config = pair::master_config(pair::user("jane"));
    config.copyback = false;
    let outcome = pair::connect(
        config,
        &master.store,
        &replica.store,
        "mailtwin 0.1.0",
        pair::Wire::default(),
    );
    assert_eq!(master.dump(&jane()), before);
    assert!(!String::from_utf8_lossy(&outcome.said).contains("FULLMAILBOX"));
    assert!(String::from_utf8_lossy(&outcome.said).contains("APPLY FORCE %()"));
    assert!(outcome.progress.ended.is_some());
}

#[test]
fn a_mailbox_too_large_for_one_chunk_is_merged_in_full() {
    let mut master = Mail::new("m");
    master.create(&[BOX]);
    let texts: Vec<String> = (0..2500).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    master.append(BOX, &texts);
    let mut replica = twin_of(&master);
    replica.now += 5;
    let changed: Vec<Record> = [1, 1000, 1001, 2000, 2500]
        .into_iter()
        .map(|uid| {
            let mut record = replica.record(BOX, uid);
            record.flags.system = SystemFlags::SEEN;
            record
        })
        .collect();
    replica.force(replica.mailbox(BOX), &[], changed);
    replica.append(BOX, &["theirs"]);
    repair(&master, &replica);
    assert_eq!(master.records(BOX).len(), 2501);
    similar(&master.dump(&jane()), &replica.dump(&jane()));
}
