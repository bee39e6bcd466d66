//! Master against replica over memory stores: initial and incremental runs.

mod twin;

use engine::local;
use engine::master::{Ending, Job};
use engine::model::{QuotaLimits, SeenState, ServerAnnotation};
use engine::name::Scope;
use engine::ticket::Change;
use protocol::{SystemFlags, Text};
use twin::mail::{Mail, guid_of};
use twin::{jane, pair, quiet, similar, sync_and_check};

fn populated() -> Mail {
    let mut mail = Mail::new("m");
    mail.create(&[
        "user.jane",
        "user.jane.Sent",
        "user.jane.a b.&AOQ-",
        "user.jane.\"q\"",
    ]);
    mail.append("user.jane", &["one\r\n", "two\r\n", "", "bare\nlf\n"]);
    mail.append("user.jane.Sent", &["one\r\n", "sent\r\n"]);
    mail.flag(
        "user.jane",
        1,
        SystemFlags::SEEN.with(SystemFlags::FLAGGED),
        &["work", "NIL"],
    );
    mail.annotate("user.jane", 2, "/comment", "", "line1\r\nline \"2\" %\u{e4}");
    mail.annotate("user.jane", 2, "/comment", "jane", "private");
    mail.expunge("user.jane", 4);
    mail.annotate_mailbox("user.jane", "/comment", "a\0b");
    mail
}

#[test]
fn first_run_to_an_empty_replica() {
    let (master, replica) = (populated(), Mail::new("r"));
    let outcome = sync_and_check(&master, &replica);
    assert_eq!(
        outcome.progress.messages_sent, 4,
        "equal messages and expunged ones are not sent"
    );
    assert_eq!(outcome.progress.records_sent, 6);
    assert_eq!(outcome.progress.mailboxes_sent, 4);
    assert_eq!(outcome.progress.items_done, 1);
    assert!(!String::from_utf8_lossy(&outcome.said).contains("APPLY RESERVE"));
}

#[test]
fn first_run_to_a_replica_that_says_it_is_cyrus() {
    let (master, replica) = (populated(), Mail::new("r"));
    let outcome = pair::sync_as_cyrus(pair::user("jane"), &master.store, &replica.store);
    twin::check(&outcome, &master, &replica);
}

#[test]
fn a_delta_is_only_what_changed() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    master.append("user.jane.Sent", &["new\r\n"]);
    master.flag("user.jane", 2, SystemFlags::ANSWERED, &[]);
    let outcome = sync_and_check(&master, &replica);
    assert_eq!(outcome.progress.messages_sent, 1);
    assert_eq!(outcome.progress.records_sent, 2);
    assert_eq!(outcome.progress.mailboxes_sent, 2);
    let said = String::from_utf8_lossy(&outcome.said).into_owned();
    assert!(said.contains("SINCE_MODSEQ"), "{said}");
}

#[test]
fn a_copied_message_is_reserved_and_not_sent() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    master.append("user.jane.a b.&AOQ-", &["two\r\n", "fresh\r\n"]);
    let outcome = sync_and_check(&master, &replica);
    assert_eq!(outcome.progress.messages_sent, 1);
}

#[test]
fn renames_keep_what_is_there() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    master.rename("user.jane.Sent", "user.jane.Old");
    let outcome = sync_and_check(&master, &replica);
    assert_eq!(outcome.progress.messages_sent, 0);
    assert_eq!(
        outcome.progress.notices,
        ["renamed user.jane.Sent to user.jane.Old on the replica"]
    );
}

#[test]
fn names_that_swap() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    master.rename("user.jane.Sent", "user.jane.t");
    master.rename("user.jane.\"q\"", "user.jane.Sent");
    master.rename("user.jane.t", "user.jane.\"q\"");
    let outcome = sync_and_check(&master, &replica);
    assert_eq!(outcome.progress.messages_sent, 0);
    assert_eq!(
        outcome.progress.notices.len(),
        3,
        "{:?}",
        outcome.progress.notices
    );
}

#[test]
fn a_delete_travels_only_by_its_tombstone() {
    let (mut master, mut replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    replica.create(&["user.jane.theirs"]);
    master.delete("user.jane.Sent");
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert_eq!(
        outcome.progress.notices,
        [
            "user.jane.theirs exists only on the replica; it is left as it is",
            "deleted user.jane.Sent on the replica"
        ]
    );
    replica.delete("user.jane.theirs");
    similar(&master.dump(&jane()), &replica.dump(&jane()));
}

#[test]
fn a_name_that_comes_back_is_another_mailbox() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    master.delete("user.jane.Sent");
    master.create(&["user.jane.Sent"]);
    master.append("user.jane.Sent", &["other\r\n"]);
    sync_and_check(&master, &replica);
}

#[test]
fn what_belongs_to_the_user() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    sync_and_check(&master, &replica);
    let uniqueid = master.mailbox("user.jane.Sent").uniqueid;
    let seen = |lastuid| {
        let seenuids = Text::from("1:2");
        Change::PutSeen(SeenState {
            uniqueid: uniqueid.clone(),
            lastread: 5,
            lastuid,
            lastchange: 6,
            seenuids,
        })
    };
    let quota = QuotaLimits {
        root: Text::from("user.jane"),
        storage: Some(1000),
        message: Some(7),
        ..QuotaLimits::default()
    };
    let script = |name: &str, text: &str| {
        local::put_script(
            engine::flow::Now(5),
            Text::from(name),
            Text::from(text),
            guid_of(text.as_bytes()),
        )
    };
    let mut changes = vec![seen(1), Change::PutQuota(quota.clone())];
    changes.extend(local::subscribe(Text::from("user.jane.Sent"), true));
    changes.extend(local::subscribe(Text::from("user.jane"), true));
    changes.extend(script("first", "keep;\r\n"));
    changes.extend(script("second", "discard;\r\n"));
    changes.extend(local::activate_script(Some(Text::from("first"))));
    master.write(jane(), changes);
    sync_and_check(&master, &replica);

    let mut changes = vec![
        seen(2),
        Change::PutQuota(QuotaLimits {
            storage: None,
            ..quota
        }),
    ];
    changes.extend(local::subscribe(Text::from("user.jane"), false));
    changes.extend(local::activate_script(Some(Text::from("second"))));
    changes.extend(local::remove_script(Text::from("first")));
    master.write(jane(), changes);
    sync_and_check(&master, &replica);

    let mut changes = local::activate_script(None);
    changes.extend(script("second", "stop;\r\n"));
    changes.push(Change::RemoveQuota {
        root: Text::from("user.jane"),
    });
    master.write(jane(), changes);
    sync_and_check(&master, &replica);
}

#[test]
fn everything_with_shared_mailboxes_and_server_annotations() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    master.create(&["news", "news.local", "user.bob"]);
    master.append("news.local", &["extra\r\n"]);
    master.append("user.bob", &["bob\r\n"]);
    let annotation = |entry: &str, value: &str| {
        let (entry, value) = (Text::from(entry), Text::from(value));
        Change::PutServerAnnotation(ServerAnnotation {
            entry,
            userid: Text::EMPTY,
            value,
        })
    };
    let root = Text::from("news");
    let quota = Change::PutQuota(QuotaLimits {
        root,
        message: Some(9),
        ..QuotaLimits::default()
    });
    master.write(
        Scope::Shared,
        vec![annotation("/motd", "hello"), annotation("/comment", "x"), quota],
    );
    let all = || Job::AllUsers { prefix: Text::EMPTY };
    let run = |master: &Mail| {
        let outcome = pair::sync(all(), &master.store, &replica.store);
        assert_eq!(
            outcome.progress.ended,
            Some(Ending::Done),
            "{:?}",
            outcome.progress
        );
        for scope in [jane(), Scope::User(Text::from("bob")), Scope::Shared] {
            similar(&master.dump(&scope), &replica.dump(&scope));
        }
        quiet(all(), master, &replica);
        outcome
    };
    assert_eq!(run(&master).progress.items_done, 3);
    let gone = Change::RemoveServerAnnotation {
        entry: Text::from("/motd"),
        userid: Text::EMPTY,
    };
    master.write(Scope::Shared, vec![gone, annotation("/comment", "y")]);
    master.rename("news.local", "news.world");
    master.delete("news");
    run(&master);
}

#[test]
fn single_mailboxes_by_name() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    master.create(&["news"]);
    let names = |names: &[&str]| Job::Mailboxes(names.iter().map(|name| Text::from(*name)).collect());
    let job = names(&["user.jane.Sent", "user.jane", "news", "user.jane.none"]);
    let outcome = pair::sync(job, &master.store, &replica.store);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert_eq!(outcome.progress.notices, ["user.jane.none does not exist here"]);
    assert_eq!(outcome.progress.mailboxes_sent, 3);
    assert_eq!(replica.records("user.jane.Sent").len(), 2);

    master.rename("user.jane.Sent", "user.jane.Old");
    for name in ["user.jane.Old", "user.jane.Sent"] {
        let outcome = pair::sync(names(&[name]), &master.store, &replica.store);
        assert_eq!(outcome.progress.ended, Some(Ending::Done), "{name}");
        assert_eq!(replica.records("user.jane.Old").len(), 2);
    }
    master.delete("user.jane.Old");
    pair::sync(names(&["user.jane.Old"]), &master.store, &replica.store);
    sync_and_check(&master, &replica);
}

#[test]
fn a_user_who_is_not_here_is_left_alone_there() {
    let (master, replica) = (Mail::new("m"), populated());
    let before = replica.dump(&jane());
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert_eq!(outcome.progress.notices.len(), 1);
    assert_eq!(replica.dump(&jane()), before);
}

#[test]
fn one_failing_mailbox_does_not_stop_the_next_ones() {
    let (mut master, mut replica) = (populated(), Mail::new("r"));
    replica.create(&["user.jane", "user.jane.Sent"]);
    replica.append("user.jane", &["not ours\r\n"]);
    master.create(&["user.kim"]);
    let job = Job::Users(vec![Text::from("jane"), Text::from("kim")]);
    let mut config = pair::master_config(job);
    // Without copyback two INBOXes cannot be joined.
    config.copyback = false;
    let (ours, theirs) = (&master.store, &replica.store);
    let outcome = pair::connect(config, ours, theirs, "mailtwin 0.1.0", pair::Wire::default());
    assert_eq!(outcome.progress.ended, Some(Ending::SomeFailed));
    assert_eq!(outcome.progress.failures.len(), 1);
    let failure = &outcome.progress.failures[0];
    assert_eq!(failure.item, "jane");
    assert!(
        failure.reason.contains("user.jane") && failure.reason.contains("unique ids r0001"),
        "{}",
        failure.reason
    );
    assert_eq!(
        replica.records("user.jane.Sent").len(),
        2,
        "an empty mailbox of another identity gives way"
    );
    replica.mailbox("user.kim");
}

#[test]
fn an_odd_split_of_the_bytes_changes_nothing() {
    let master = populated();
    let reference = Mail::new("r");
    sync_and_check(&master, &reference);
    for split in 1..40 {
        let replica = Mail::new("r");
        let wire = pair::Wire {
            split,
            ..pair::Wire::default()
        };
        let config = pair::master_config(pair::user("jane"));
        let outcome = pair::connect(config, &master.store, &replica.store, "mailtwin 0.1.0", wire);
        assert_eq!(outcome.progress.ended, Some(Ending::Done));
        assert_eq!(replica.dump(&jane()), reference.dump(&jane()));
    }
}

#[test]
fn authentication_and_compression_come_first() {
    let (master, replica) = (populated(), Mail::new("r"));
    let mut config = pair::master_config(pair::user("jane"));
    config.authenticate = true;
    config.compress = engine::master::Compress::Required;
    let outcome = pair::connect(
        config,
        &master.store,
        &replica.store,
        "mailtwin 0.1.0",
        pair::Wire::default(),
    );
    twin::check(&outcome, &master, &replica);
    let said = outcome.lines();
    assert!(said[0].starts_with("AUTHENTICATE PLAIN "), "{}", said[0]);
    assert_eq!(
        said[1..3],
        ["COMPRESS DEFLATE", "APPLY CAPABILITIES (SIEVE-MAILBOX)"]
    );
}

#[test]
fn a_large_mailbox_goes_in_steps_that_last() {
    const ALL: u64 = 4600;
    let mut master = Mail::new("m");
    master.create(&["user.jane"]);
    let texts: Vec<String> = (0..ALL).map(|n| format!("message {n}")).collect();
    for part in texts.chunks(3000) {
        master.append("user.jane", &part.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // Changed in the meantime: their modseqs are above what the first step can claim.
    for uid in [1, 4000, 4500] {
        master.flag("user.jane", uid, SystemFlags::SEEN, &["late"]);
    }
    let count =
        |outcome: &pair::Outcome, what: &str| String::from_utf8_lossy(&outcome.said).matches(what).count();
    let as_cyrus = Mail::new("r");
    let outcome = pair::sync_as_cyrus(pair::user("jane"), &master.store, &as_cyrus.store);
    twin::check(&outcome, &master, &as_cyrus);
    assert_eq!(count(&outcome, "APPLY MAILBOX %("), 1);

    let mut config = pair::master_config(pair::user("jane"));
    config.pipeline_bytes_max = 4_000;
    config.step_messages_max = 4_096;
    let connect = |replica: &Mail, cut_to_master| {
        let wire = pair::Wire {
            cut_to_master,
            ..pair::Wire::default()
        };
        pair::connect(
            config.clone(),
            &master.store,
            &replica.store,
            "mailtwin 0.1.0",
            wire,
        )
    };
    let whole = Mail::new("r");
    let outcome = connect(&whole, None);
    twin::check(&outcome, &master, &whole);
    assert_eq!(count(&outcome, "APPLY MAILBOX %("), 2);
    assert_eq!(outcome.progress.messages_sent, ALL);

    // Cut behind the answer to the first step: what was answered is there, and only the rest is sent again.
    let said = String::from_utf8_lossy(&outcome.said).into_owned();
    let first = said.find("APPLY MAILBOX %(").expect("the first step");
    let behind = said[first..].matches("APPLY MESSAGE (").count() + 1;
    let cut = outcome.heard - "OK Finished\r\n".len() - behind * "OK success\r\n".len();
    let replica = Mail::new("r");
    let lost = connect(&replica, Some(cut));
    assert!(
        matches!(lost.progress.ended, Some(Ending::ConnectionLost(_))),
        "{:?}",
        lost.progress
    );
    assert_eq!(replica.records("user.jane").len(), 4096);
    master.flag("user.jane", 2, SystemFlags::SEEN, &[]);
    let rest = sync_and_check(&master, &replica);
    assert_eq!(rest.progress.messages_sent, ALL - 4096);
}

#[test]
fn more_changes_than_are_held_in_memory() {
    let mut master = Mail::new("m");
    master.create(&["user.jane"]);
    let texts: Vec<String> = (0..8500).map(|n| format!("message {n}")).collect();
    master.append("user.jane", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    let (ours, cyrus) = (Mail::new("r"), Mail::new("r"));
    sync_and_check(&master, &ours);
    sync_and_check(&master, &cyrus);
    let mailbox = master.mailbox("user.jane");
    let mut changed = master.records("user.jane");
    for record in &mut changed {
        record.modseq = mailbox.highestmodseq + u64::from(record.uid);
        record.flags.system = SystemFlags::SEEN;
    }
    let highestmodseq = mailbox.highestmodseq + 8500;
    master.force(
        engine::model::Mailbox {
            highestmodseq,
            ..mailbox
        },
        &[],
        changed,
    );
    master.append("user.jane", &["new"]);
    let outcome = sync_and_check(&master, &ours);
    assert_eq!(
        (outcome.progress.records_sent, outcome.progress.messages_sent),
        (8501, 1)
    );
    let outcome = pair::sync_as_cyrus(pair::user("jane"), &master.store, &cyrus.store);
    twin::check(&outcome, &master, &cyrus);
    assert_eq!(
        (outcome.progress.records_sent, outcome.progress.messages_sent),
        (8501, 1)
    );
}

#[test]
fn scripts_kept_as_messages_go_one_by_one_to_peers_without_them() {
    let mut master = populated();
    master.create(&["user.jane.#sieve"]);
    let mut mailbox = master.mailbox("user.jane.#sieve");
    mailbox.mbtype = Text::from("f");
    master.force(mailbox, &[], Vec::new());
    let message = |name: &str, body: &str| format!("From: <jane>\r\nSubject: {name}\r\n\r\n{body}");
    master.append(
        "user.jane.#sieve",
        &[&message("first", "keep;\r\n"), &message("second", "stop;\r\n")],
    );
    master.flag("user.jane.#sieve", 2, SystemFlags::FLAGGED, &[]);
    let replica = Mail::new("r");
    // A Cyrus on a Unix socket offers nothing, so nothing is asked for.
    let outcome = pair::sync_as_cyrus(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    let said = String::from_utf8_lossy(&outcome.said).into_owned();
    assert_eq!(said.matches("APPLY SIEVE %(").count(), 2, "{said}");
    assert_eq!(
        said.matches("APPLY ACTIVATE_SIEVE %(USERID jane FILENAME second.bc)")
            .count(),
        1
    );
    assert!(!said.contains("MBOXNAME user.jane.#sieve"));
    let again = pair::sync_as_cyrus(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(again.changing(), Vec::<String>::new());
}

#[test]
fn another_partition_there_is_kept_to() {
    let mut master = populated();
    let large = "x".repeat(3 << 20);
    master.append("user.jane.Sent", &[&large, "small"]);
    let replica = Mail::new("r");
    let run = |master: &Mail, partition: Option<&'static str>| {
        let mut config = pair::master_config(pair::user("jane"));
        config.dest_partition = partition.map(Text::from);
        pair::connect(
            config,
            &master.store,
            &replica.store,
            "mailtwin 0.1.0",
            pair::Wire::default(),
        )
    };
    assert_eq!(run(&master, Some("second")).progress.ended, Some(Ending::Done));
    assert_eq!(replica.mailbox("user.jane.Sent").partition, Text::from("second"));
    assert_eq!(replica.records("user.jane.Sent").len(), 4);
    assert_eq!(run(&master, Some("second")).changing(), Vec::<String>::new());
    let moved = run(&master, None);
    assert_eq!(moved.progress.notices.len(), 4, "{:?}", moved.progress.notices);
    assert_eq!(moved.progress.messages_sent, 0);
    twin::check(&moved, &master, &replica);
}

#[test]
fn a_mailbox_that_moved_to_another_user_is_renamed_there() {
    let (mut master, replica) = (populated(), Mail::new("r"));
    master.create(&["user.kim"]);
    let all = || Job::AllUsers { prefix: Text::EMPTY };
    let kim = Scope::User(Text::from("kim"));
    pair::sync(all(), &master.store, &replica.store);
    let mut mailbox = master.mailbox("user.jane.Sent");
    let from = mailbox.key();
    mailbox.name = Text::from("user.kim.From jane");
    mailbox.foldermodseq += 100;
    mailbox.highestmodseq += 100;
    master.move_mailbox(from, mailbox);
    let outcome = pair::sync(all(), &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(outcome.progress.messages_sent, 0);
    for scope in [jane(), kim] {
        similar(&master.dump(&scope), &replica.dump(&scope));
    }
    quiet(all(), &master, &replica);
}
