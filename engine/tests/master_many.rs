//! Many items on one connection: they go side by side, and none disturbs another.

mod twin;

use std::collections::BTreeMap;

use bytes::Bytes;
use engine::flow::{Input, Now, Output};
use engine::master::{Ending, FailureKind, Job, Master, MasterConfig, Task, TaskId, TaskResult, Work};
use engine::name::Scope;
use engine::ticket::Session;
use protocol::Text;
use twin::mail::Mail;
use twin::pair::{self, Wire};
use twin::script::{Answer, Listener, agree, converse, say};
use twin::similar;

fn user(n: usize) -> String {
    format!("u{n:03}")
}

/// So many users with a message of their own, and one that all have.
fn mail_of(users: usize) -> Mail {
    let mut mail = Mail::new("m");
    for n in 0..users {
        let inbox = format!("user.{}", user(n));
        mail.create(&[&inbox, &format!("{inbox}.Sent")]);
        mail.append(&inbox, &["to all\r\n", &format!("to {n}\r\n")]);
        mail.append(&format!("{inbox}.Sent"), &[&format!("from {n}\r\n")]);
    }
    mail
}

fn all(users: usize) -> Job {
    Job::Users((0..users).map(|n| Text::from(user(n))).collect())
}

fn equal(master: &Mail, replica: &Mail, users: usize) {
    for n in 0..users {
        let scope = Scope::User(Text::from(user(n)));
        similar(&master.dump(&scope), &replica.dump(&scope));
    }
}

/// [CS-MASTER-60] [CS-EXC-34]
#[test]
fn users_interleave_and_end_equal_however_bytes_are_cut() {
    for (version, split) in [
        ("mailtwin 0.1.0", 0),
        ("mailtwin 0.1.0", 77),
        ("3.6.1", 0),
        ("3.6.1", 77),
    ] {
        let (mut master, replica) = (mail_of(100), Mail::new("r"));
        let wire = Wire {
            split,
            ..Wire::default()
        };
        let run = |master: &Mail| {
            pair::connect(
                pair::master_config(all(100)),
                &master.store,
                &replica.store,
                version,
                wire,
            )
        };
        let first = run(&master);
        assert_eq!(
            first.progress.ended,
            Some(Ending::Done),
            "{version}: {:?}",
            first.progress
        );
        assert_eq!(first.progress.items_done, 100);
        equal(&master, &replica, 100);
        for n in (0..100).step_by(3) {
            master.append(&format!("user.{}.Sent", user(n)), &["again\r\n"]);
        }
        let second = run(&master);
        assert_eq!(
            second.progress.ended,
            Some(Ending::Done),
            "{version}: {:?}",
            second.progress
        );
        equal(&master, &replica, 100);
        assert_eq!(second.progress.records_sent, 34);
        if split == 0 {
            // In lock-step each user costs four and more.
            assert!(
                first.progress.round_trips < 40 && second.progress.round_trips < 40,
                "{version}: {} and {} round trips",
                first.progress.round_trips,
                second.progress.round_trips
            );
        }
    }
}

#[test]
fn one_at_a_time_says_the_same() {
    let (master, replica) = (mail_of(10), Mail::new("r"));
    let config = MasterConfig {
        items_at_once: 1,
        ..pair::master_config(all(10))
    };
    let alone = pair::connect(
        config,
        &master.store,
        &replica.store,
        "mailtwin 0.1.0",
        Wire::default(),
    );
    assert_eq!(alone.progress.ended, Some(Ending::Done), "{:?}", alone.progress);
    equal(&master, &replica, 10);
    let together = pair::sync(all(10), &master.store, &Mail::new("r").store);
    assert!(together.progress.round_trips < alone.progress.round_trips);
}

#[test]
fn a_user_named_twice_is_done_twice_in_turn() {
    let (master, replica) = (mail_of(1), Mail::new("r"));
    let twice = Job::Users(vec![Text::from(user(0)), Text::from(user(0))]);
    let outcome = pair::sync(twice, &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(
        (outcome.progress.items_done, outcome.progress.records_sent),
        (2, 3)
    );
    equal(&master, &replica, 1);
}

#[test]
fn one_that_fails_disturbs_no_other() {
    let mail = mail_of(20);
    let conversation = converse(
        pair::master_config(all(20)),
        &mail.store,
        "* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n",
        |command| {
            if command.starts_with("APPLY MAILBOX user.u007 ") {
                return say("NO IMAP_PERMISSION_DENIED Permission denied");
            }
            agree(command)
        },
    );
    let failures = &conversation.progress.failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].item, "u007");
    assert!(failures[0].reason.contains("user.u007"), "{failures:?}");
    assert_eq!(conversation.progress.items_done, 20);
    assert_eq!(
        conversation.progress.refusals.get("IMAP_PERMISSION_DENIED"),
        Some(&1)
    );
    let lines = |name: &str| {
        let start = format!("APPLY MAILBOX user.{name} ");
        conversation
            .said
            .iter()
            .filter(|line| line.starts_with(&start))
            .count()
    };
    (0..20).for_each(|n| assert_eq!(lines(&user(n)), 1, "user {n}"));
}

#[test]
fn who_counted_on_an_upload_that_was_refused_sends_it_himself() {
    let mail = mail_of(3);
    let (mut uploads, mut complained) = (0, false);
    let conversation = converse(
        pair::master_config(all(3)),
        &mail.store,
        "* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n",
        |command| {
            uploads += u32::from(command.starts_with("APPLY MESSAGE"));
            match command {
                // The first user's, with the message that all have.
                "APPLY MESSAGE 2" if uploads == 1 => say("NO IMAP_QUOTA_EXCEEDED no room just now"),
                "APPLY MAILBOX user.u001 2" if !std::mem::replace(&mut complained, true) => {
                    say("NO IMAP_PROTOCOL_BAD_PARAMETERS UID 1: its message was not uploaded")
                }
                _ => agree(command),
            }
        },
    );
    let said = &conversation.said;
    let failures = &conversation.progress.failures;
    assert_eq!(failures.len(), 1, "{failures:?}: {said:#?}");
    assert_eq!(failures[0].item, "u000");
    let count = |line: &str| said.iter().filter(|said| *said == line).count();
    assert_eq!(count("APPLY MAILBOX user.u001 2"), 2, "{said:#?}");
    assert!(
        count("APPLY MESSAGE 2") >= 2,
        "the second try brings all of the mailbox: {said:#?}"
    );
    assert_eq!(conversation.progress.items_done, 3);
}

/// [CS-MASTER-64]
#[test]
fn a_message_that_all_would_wait_behind_comes_last_and_alone() {
    const LARGE: usize = 33 << 20;
    let (mut master, replica) = (mail_of(12), Mail::new("r"));
    // Two of them, the first where the list begins.
    for n in [0, 5] {
        let text = format!("{n}{}", "x".repeat(LARGE));
        master.append(&format!("user.{}.Sent", user(n)), &[&text]);
    }
    let outcome = pair::sync(all(12), &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(outcome.progress.heavy_bytes, 0);
    equal(&master, &replica, 12);
    let said = &outcome.said;
    let find = |what: &[u8]| said.windows(what.len()).position(|window| window == what);
    let head = format!(" {}", LARGE + 1);
    let first_large = find(head.as_bytes()).expect("a large message");
    for n in (0..12).filter(|n| ![0, 5].contains(n)) {
        let line = format!("MBOXNAME user.{}.Sent ", user(n));
        let at = find(line.as_bytes()).expect("a line of each");
        assert!(at < first_large, "{} waits behind a large message", user(n));
    }
}

/// [CS-MASTER-61]
#[test]
fn users_with_very_long_listings_are_all_done() {
    // Far more lines than are held at once: whoever comes later waits for room, and nobody waits for ever.
    const LINES: usize = 8_000;
    let mail = mail_of(10);
    let conversation = converse(
        pair::master_config(all(10)),
        &mail.store,
        "* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n",
        |command| match command.strip_prefix("GET USER ") {
            Some(who) => {
                let mut text = String::new();
                for n in 0..LINES {
                    text.push_str(&format!(
                        "* MAILBOX %(UNIQUEID {who}-{n} MBOXNAME DELETED.user.{who}.{n:08X} LAST_UID 0 HIGHESTMODSEQ 1 \
                         UIDVALIDITY 1)\r\n"
                    ));
                }
                Answer::Say(text + "OK success\r\n")
            }
            None => agree(command),
        },
    );
    assert_eq!(conversation.progress.ended, Some(Ending::Done));
    assert_eq!(conversation.progress.items_done, 10);
    assert_eq!(conversation.progress.mailboxes, 20);
}

/// [CS-MASTER-65]
#[test]
fn what_is_small_of_one_user_is_sent_in_one_go() {
    let mail = mail_of(30);
    let run = |banner: &str| {
        let conversation = converse(pair::master_config(all(30)), &mail.store, banner, agree);
        assert_eq!(conversation.progress.ended, Some(Ending::Done));
        let mut users: Vec<String> = conversation
            .said
            .iter()
            .filter_map(|line| line.strip_prefix("APPLY MAILBOX user."))
            .map(|rest| rest[..4].to_owned())
            .collect();
        assert_eq!(users.len(), 60);
        users.dedup();
        users.len()
    };
    assert_eq!(
        run("* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n"),
        30
    );
}

#[test]
fn an_answer_goes_to_whom_it_is_meant_for() {
    // Each user's listing names a mailbox of the same identity as ours but another name: whoever got another's answer
    // would say so by its renames.
    let mail = mail_of(12);
    let conversation = converse(
        pair::master_config(all(12)),
        &mail.store,
        "* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n",
        |command| match command.strip_prefix("GET USER ") {
            Some(who) => {
                let id = mail.mailbox(&format!("user.{who}.Sent")).uniqueid;
                Answer::Say(format!(
                    "* MAILBOX %(UNIQUEID {id} MBOXNAME user.{who}.old LAST_UID 0 HIGHESTMODSEQ 1 UIDVALIDITY 1)\r\n\
                     OK success\r\n"
                ))
            }
            None => agree(command),
        },
    );
    for n in 0..12 {
        let who = user(n);
        let start = format!("APPLY RENAME %(OLDMBOXNAME user.{who}.old NEWMBOXNAME user.{who}.Sent ");
        let renames = conversation
            .said
            .iter()
            .filter(|line| line.starts_with(&start))
            .count();
        assert_eq!(renames, 1, "{who}: {:?}", conversation.progress.failures);
    }
}

/// Runs a master that is given tasks; `answer` plays the replica.
fn give(
    mail: &Mail,
    tasks: Vec<Work>,
    mut answer: impl FnMut(&str) -> Answer,
) -> (Vec<String>, BTreeMap<u64, TaskResult>, Option<Ending>) {
    let mut master = Master::new(pair::master_config(Job::Tasks));
    let mut session = mail.store.session();
    let mut server = Listener::default();
    let (mut said, mut results) = (Vec::new(), BTreeMap::new());
    let now = Now(2_000_000_000);
    let banner = "* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n";
    master.handle(now, Input::Bytes(Bytes::from_static(banner.as_bytes())));
    for (n, work) in tasks.into_iter().enumerate() {
        let id = TaskId(n as u64);
        master.give(now, Task { id, work });
    }
    loop {
        let output = master.poll();
        for result in master.take_results() {
            results.insert(result.id.0, result);
        }
        match output {
            Output::Send(bytes) => server.hear(bytes),
            Output::Store(ticket, request) => {
                let reply = session.execute(request);
                master.handle(now, Input::Stored(ticket, reply));
            }
            Output::Wait(waiting) => match server.next() {
                Some(command) => {
                    let (Answer::Say(text) | Answer::Close(text)) = answer(&command);
                    said.push(command);
                    master.handle(now, Input::Bytes(Bytes::from(text)));
                }
                None => {
                    assert!(waiting.for_owner, "waits for nothing: {said:?}");
                    master.retire(now);
                }
            },
            Output::Closed => return (said, results, master.progress().ended),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn tasks_of_every_kind_are_done_and_told_of() {
    let mut mail = mail_of(6);
    mail.write(
        Scope::User(Text::from("u003")),
        vec![engine::ticket::Change::Subscribe {
            mailbox: Text::from("user.u003"),
        }],
    );
    let text = |t: &str| Text::from(t);
    let subscription = |mailbox: &str| Work::Subscription {
        user: text("u003"),
        mailbox: text(mailbox),
    };
    let tasks = vec![
        Work::User(text("u000")),
        Work::Mailboxes(vec![text("user.u001")]),
        Work::Meta(text("u002")),
        subscription("user.u003"),
        subscription("user.u003.gone"),
        Work::Quota(text("user.u004")),
        Work::Unmailbox(text("user.u005.never")),
        Work::Unuser(text("nobody")),
        Work::Annotation(Text::EMPTY),
        Work::Shared,
        Work::Seen {
            user: text("u000"),
            uniqueid: text("none"),
        },
    ];
    let count = tasks.len();
    let (said, results, ended) = give(&mail, tasks, |command| {
        if command.starts_with("APPLY MAILBOX user.u001 ") {
            return say("NO IMAP_MAILBOX_LOCKED Mailbox locked");
        }
        agree(command)
    });
    assert_eq!(ended, Some(Ending::Done));
    assert_eq!(results.len(), count);
    let failed: Vec<_> = results
        .values()
        .filter(|result| result.outcome.is_err())
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].id, TaskId(1));
    let kind = failed[0].outcome.as_ref().err().map(|failure| failure.kind);
    assert_eq!(kind, Some(FailureKind::Locked));
    for wanted in [
        "APPLY MAILBOX user.u000 2",
        "APPLY MAILBOX user.u000.Sent 1",
        "GET META u002",
        "APPLY SUB %(USERID u003 MBOXNAME user.u003)",
        "APPLY UNSUB %(USERID u003 MBOXNAME user.u003.gone)",
        "GET QUOTA user.u004",
        "GET ANNOTATION \"\"",
        "EXIT",
    ] {
        assert!(said.iter().any(|line| line == wanted), "{wanted} in {said:#?}");
    }
    let order = |line: &str| said.iter().position(|said| said == line);
    assert!(
        order("APPLY SUB %(USERID u003 MBOXNAME user.u003)")
            < order("APPLY UNSUB %(USERID u003 MBOXNAME user.u003.gone)"),
        "tasks of one scope keep their order"
    );
}

#[test]
fn an_idle_master_asks_when_told_and_hears_a_bye() {
    let mail = Mail::new("m");
    let mut master = Master::new(pair::master_config(Job::Tasks));
    let mut session = mail.store.session();
    let mut server = Listener::default();
    let now = Now(2_000_000_000);
    let banner = "* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n";
    master.handle(now, Input::Bytes(Bytes::from_static(banner.as_bytes())));
    let mut asked = 0;
    loop {
        match master.poll() {
            Output::Send(bytes) => server.hear(bytes),
            Output::Store(ticket, request) => {
                let reply = session.execute(request);
                master.handle(now, Input::Stored(ticket, reply));
            }
            Output::Wait(waiting) => match server.next() {
                Some(command) if command == "NOOP" => {
                    assert!(!waiting.for_owner, "a question is open");
                    asked += 1;
                    master.handle(now, Input::Bytes(Bytes::from_static(b"OK Noop completed\r\n")));
                }
                Some(command) => {
                    let (Answer::Say(text) | Answer::Close(text)) = agree(&command);
                    master.handle(now, Input::Bytes(Bytes::from(text)));
                }
                None if asked < 2 => {
                    assert!(waiting.for_owner && waiting.for_input);
                    master.keep_alive(now);
                }
                None => master.handle(now, Input::Bytes(Bytes::from_static(b"* BYE shutting down\r\n"))),
            },
            Output::Closed => break,
            other => panic!("{other:?}"),
        }
    }
    let ended = master.progress().ended;
    assert!(
        matches!(&ended, Some(Ending::ConnectionLost(text)) if text.contains("BYE")),
        "{ended:?}"
    );
}
