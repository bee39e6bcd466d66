//! Group commit: no `OK` before its commit was answered, refusals that take nothing of their neighbours with them, and
//! storage that fails at any point.

mod support;

use bytes::Bytes;
use engine::flow::Input;
use engine::ticket::StoreError;
use proptest::prelude::*;
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};
use support::{NOW, keys, mailbox, printable, record, replica, state, upload};

/// A pipelined session of one user: uploads, mailboxes, a refused one, small commands, a read, another user.
fn session() -> Vec<String> {
    vec![
        upload(&["one", "two"]),
        mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", "one")]),
        mailbox("user.jane.a", "id2", 1, 2, &[record(1, 2, "", "two")]),
        mailbox("user.jane.b", "id3", 1, 2, &[record(1, 2, "", "never sent")]),
        upload(&["three"]),
        "APPLY SUB %(MBOXNAME user.jane.a USERID jane)".into(),
        "APPLY SEEN %(USERID jane UNIQUEID id1 LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS 1)".into(),
        mailbox("user.jane", "id1", 2, 3, &[record(2, 3, "", "three")]),
        "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID id1 UID (1))".into(),
        "APPLY RENAME %(OLDMBOXNAME user.jane.a NEWMBOXNAME user.jane.c PARTITION default)".into(),
        "GET FULLMAILBOX user.jane".into(),
        "APPLY ANNOTATION %(MBOXNAME \"\" ENTRY /motd USERID \"\" VALUE hello)".into(),
        mailbox("user.joe", "id9", 0, 1, &[]),
        "APPLY RENAME %(OLDMBOXNAME user.jane.c NEWMBOXNAME user.joe.c PARTITION default)".into(),
        "APPLY QUOTA %(ROOT user.joe LIMIT 5 MODSEQ 1)".into(),
        "APPLY UNMAILBOX user.joe.c".into(),
        "NOOP".into(),
    ]
}

fn bytes(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| format!("{line}\r\n").into_bytes())
        .collect()
}

/// Final lines only.
fn finals(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with("* "))
        .map(str::to_owned)
        .collect()
}

/// [CS-CONN-9]
#[test]
fn pipelined_and_lock_step_answer_alike_and_end_alike() {
    let (alone, together) = (MemoryStore::new(), MemoryStore::new());
    let mut driver = replica(&alone);
    let mut expected = String::new();
    for line in session() {
        driver.feed(format!("{line}\r\n").as_bytes());
        expected.push_str(&driver.take());
    }
    let commits_alone = driver.asked.iter().filter(|&&kind| kind == "Commit").count();
    let mut driver = replica(&together);
    driver.feed(&bytes(&session()));
    assert_eq!(driver.take(), expected);
    assert_eq!(
        state(&together, &["jane", "joe"]),
        state(&alone, &["jane", "joe"])
    );
    let commits = driver.asked.iter().filter(|&&kind| kind == "Commit").count();
    assert!(
        commits_alone == 11 && commits == 4,
        "{commits_alone} commits alone, {commits} together"
    );
    insta::assert_snapshot!(expected);
}

/// [CS-APPLY-2]
#[test]
fn no_ok_before_the_commit_is_answered() {
    let mut driver = replica(&MemoryStore::new());
    driver
        .machine
        .handle(NOW, Input::Bytes(Bytes::from(bytes(&session()))));
    driver.poll();
    // What is answered so far, and how many of the commands that write have been committed.
    let mut commits = 0;
    let mut moved = false;
    while let Some((_, request)) = driver.open.front() {
        let kind = support::kind(request);
        let said = finals(&printable(&driver.sent));
        let allowed = match (commits, moved) {
            (0, _) => 1,
            (1, _) => 11,
            (2, _) => 12,
            (3, false) => 13,
            (3, true) => 14,
            _ => 17,
        };
        assert!(
            said.len() <= allowed,
            "{} answers before {kind}, commit {commits}: {said:#?}",
            said.len()
        );
        driver.answer_one();
        commits += usize::from(kind == "Commit");
        moved |= kind == "MoveMailbox";
    }
    assert_eq!(commits, 4);
    assert_eq!(finals(&printable(&driver.sent)).len(), session().len());
}

#[test]
fn a_commit_that_fails_refuses_all_it_was_for() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let lines = &session()[..6];
    driver
        .machine
        .handle(NOW, Input::Bytes(Bytes::from(bytes(lines))));
    driver.poll();
    while driver
        .open
        .front()
        .is_some_and(|(_, request)| support::kind(request) != "Commit")
    {
        driver.answer_one();
    }
    let (ticket, _) = driver.open.pop_front().expect("a commit");
    let error = StoreError::Full {
        path: "/secret/path".into(),
    };
    driver.machine.handle(NOW, Input::Stored(ticket, Err(error)));
    driver.settle();
    let text = driver.take();
    insta::assert_snapshot!(text);
    assert!(!text.contains("/secret"));
    assert_eq!(state(&store, &["jane"]), state(&MemoryStore::new(), &["jane"]));
    driver.feed(&bytes(&session()[1..3]));
    assert_eq!(
        driver.take(),
        "OK success\nOK success\n",
        "the staged messages are still there"
    );
}

/// Every storage request of the session fails once. The commands whose work is lost are refused and nobody else's is;
/// saying those again gives what an undisturbed session gives.
#[test]
fn every_ticket_may_fail() {
    let reference = MemoryStore::new();
    let mut driver = replica(&reference);
    driver.feed(&bytes(&session()));
    let expected = finals(&driver.take());
    let count = driver.asked.len();
    assert!(count > 40, "{count} requests");
    for lock_step in [true, false] {
        for failing in 0..count + 20 {
            let store = MemoryStore::new();
            let mut driver = replica(&store);
            driver.failing.insert(
                failing,
                StoreError::Full {
                    path: "/secret/path".into(),
                },
            );
            let mut answers = Vec::new();
            if lock_step {
                for line in session() {
                    let before = state(&store, &["jane", "joe"]);
                    driver.feed(format!("{line}\r\n").as_bytes());
                    let said = finals(&driver.take());
                    assert_eq!(said.len(), 1, "{line}: {said:?}");
                    if said[0].starts_with("NO") {
                        assert_eq!(
                            state(&store, &["jane", "joe"]),
                            before,
                            "request {failing}: {line}"
                        );
                    }
                    answers.extend(said);
                }
            } else {
                driver.feed(&bytes(&session()));
                answers = finals(&driver.take());
            }
            assert!(!driver.closed, "request {failing}");
            assert_eq!(answers.len(), expected.len(), "request {failing}: {answers:#?}");
            assert!(
                !answers.iter().any(|answer| answer.contains("/secret")),
                "{answers:?}"
            );
            driver.feed(b"NOOP\r\n");
            assert_eq!(driver.take(), "OK Noop completed\n", "request {failing}");
            // Exactly what was answered OK is there: saying only that, undisturbed, gives the same.
            let kept = MemoryStore::new();
            let mut undisturbed = replica(&kept);
            for (line, _) in session()
                .iter()
                .zip(&answers)
                .filter(|(_, answer)| answer.starts_with("OK"))
            {
                undisturbed.feed(format!("{line}\r\n").as_bytes());
                let said = finals(&undisturbed.take());
                assert!(said[0].starts_with("OK"), "request {failing}: {line}: {said:?}");
            }
            assert_eq!(
                state(&store, &["jane", "joe"]),
                state(&kept, &["jane", "joe"]),
                "request {failing}"
            );
        }
    }
}

/// The store on disk under the same session: the same answers, the same outcome, and as little left of what failed.
#[test]
fn the_store_on_disk_ends_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    let memory = MemoryStore::new();
    let mut driver = replica(&memory);
    driver.feed(&bytes(&session()));
    let expected = driver.take();
    for (part, lines) in [("alone", session()), ("together", vec![session().join("\r\n")])] {
        let disk = SqliteStore::open(folder.path().join(part), Options::default()).expect("a store");
        let mut driver = replica(&disk);
        lines
            .iter()
            .for_each(|line| driver.feed(format!("{line}\r\n").as_bytes()));
        assert_eq!(driver.take(), expected);
        assert_eq!(state(&disk, &["jane", "joe"]), state(&memory, &["jane", "joe"]));
    }
    for failing in (1..80).step_by(7) {
        let disk = SqliteStore::open(folder.path().join(failing.to_string()), Options::default());
        let disk = disk.expect("a store");
        let mut driver = replica(&disk);
        let full = StoreError::Full {
            path: "/secret/path".into(),
        };
        driver.failing.insert(failing, full);
        driver.feed(&bytes(&session()));
        let answers = finals(&driver.take());
        let kept = MemoryStore::new();
        let mut undisturbed = replica(&kept);
        for (line, _) in session()
            .iter()
            .zip(&answers)
            .filter(|(_, answer)| answer.starts_with("OK"))
        {
            undisturbed.feed(format!("{line}\r\n").as_bytes());
        }
        assert_eq!(
            state(&disk, &["jane", "joe"]),
            state(&kept, &["jane", "joe"]),
            "request {failing}"
        );
    }
}

#[test]
fn a_store_that_cannot_undo_ends_the_connection() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let line = mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", "never sent")]);
    driver
        .machine
        .handle(NOW, Input::Bytes(Bytes::from(bytes(&[line]))));
    driver.poll();
    let error = StoreError::Io {
        path: "/secret".into(),
        detail: "cable".into(),
    };
    while let Some((ticket, request)) = driver.open.pop_front() {
        if support::kind(&request) == "Rollback" {
            driver
                .machine
                .handle(NOW, Input::Stored(ticket, Err(error.clone())));
        } else {
            let answer = driver.session.execute(request);
            driver.machine.handle(NOW, Input::Stored(ticket, answer));
        }
        driver.poll();
    }
    let text = driver.take();
    assert!(
        text.ends_with("* Fatal error: the replica's store can neither keep nor undo the last command\n"),
        "{text}"
    );
    assert!(driver.closed);
}

#[test]
fn a_locked_user_is_said_to_be_locked() {
    let store = MemoryStore::new();
    let mut holder = store.session();
    use engine::ticket::{Request, Session};
    holder
        .execute(Request::Begin {
            scope: engine::name::Scope::User("jane".into()),
        })
        .expect("the lock");
    let mut driver = replica(&store);
    driver.feed(&bytes(&[mailbox("user.jane", "id1", 0, 1, &[])]));
    assert!(driver.take().starts_with("NO IMAP_MAILBOX_LOCKED "));
    drop(holder);
    driver.feed(&bytes(&[mailbox("user.jane", "id1", 0, 1, &[])]));
    assert_eq!(driver.take(), "OK success\n");
}

/// A long upload must not keep the answers of what came before it: its sender may be waiting for them.
#[test]
fn answers_are_not_held_back_by_an_upload_that_stalls() {
    let mut driver = replica(&MemoryStore::new());
    let first = bytes(&[mailbox("user.jane", "id1", 0, 1, &[])]);
    let upload = bytes(&[upload(&["a message that comes in two parts"])]);
    driver.feed(&[first, upload[..upload.len() - 10].to_vec()].concat());
    assert_eq!(driver.take(), "OK success\n");
    driver.feed(&upload[upload.len() - 10..]);
    assert_eq!(driver.take(), "OK success\n");
}

/// [CS-CONN-26]
#[test]
fn a_shutdown_does_not_wait_for_all_that_was_pipelined() {
    let mut driver = replica(&MemoryStore::new());
    let lines: Vec<String> = (0..10)
        .map(|i| format!("APPLY SUB %(MBOXNAME user.jane.{i} USERID jane)"))
        .collect();
    driver
        .machine
        .handle(NOW, Input::Bytes(Bytes::from(bytes(&lines))));
    driver.poll();
    driver.input(Input::Shutdown);
    assert_eq!(driver.take(), "OK success\nBYE shutting down\n");
    assert!(driver.closed);
}

/// What is refused, and what finds nothing to do, makes no database for a user who does not exist.
#[test]
fn no_database_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SqliteStore::open(folder.path(), Options::default()).expect("a store");
    let mut driver = replica(&disk);
    let lines = [
        mailbox("user.ghost.sub", "id1", 0, 1, &[]),
        mailbox("user.ghost", "id1", 0, 1, &[]).replace("PARTITION default", "PARTITION nowhere"),
        "RESTORE MAILBOX %(MBOXNAME user.ghost.sub RECORD ())".into(),
        "APPLY UNUSER ghost".into(),
        "APPLY UNMAILBOX user.ghost".into(),
        "APPLY UNSUB %(MBOXNAME user.x USERID ghost)".into(),
        "APPLY UNQUOTA user.ghost".into(),
        "APPLY UNACTIVATE_SIEVE %(USERID ghost)".into(),
        "APPLY UNSIEVE %(USERID ghost FILENAME a.script)".into(),
        "APPLY ACTIVATE_SIEVE %(USERID ghost FILENAME a.bc)".into(),
        "APPLY EXPUNGE %(MBOXNAME user.ghost UNIQUEID id1 UID (1))".into(),
        "APPLY RENAME %(OLDMBOXNAME user.ghost.a NEWMBOXNAME user.ghost.b PARTITION default)".into(),
        "APPLY ANNOTATION %(MBOXNAME user.ghost ENTRY /a USERID \"\" VALUE x)".into(),
        "GET USER ghost".into(),
        "GET META ghost".into(),
        "GET FULLMAILBOX user.ghost".into(),
    ];
    driver.feed(&bytes(&lines));
    assert_eq!(finals(&driver.take()).len(), lines.len());
    assert!(disk.users().expect("users").is_empty());
    driver.feed(&bytes(&["APPLY SUB %(MBOXNAME user.x USERID ghost)".into()]));
    assert_eq!(disk.users().expect("users"), ["ghost"]);
}

/// A message that takes several requests, one of which fails: the rest of it is skipped, and the next one is whole.
#[test]
fn an_upload_that_fails_in_its_middle_is_dropped() {
    let big = "0123456789abcdef".repeat(100_000);
    let one_by_one = |lines: &[String], failing: Option<usize>| {
        let store = MemoryStore::new();
        let mut driver = replica(&store);
        if let Some(failing) = failing {
            driver.failing.insert(
                failing,
                StoreError::Full {
                    path: "/secret".into(),
                },
            );
        }
        let mut answers = Vec::new();
        for line in lines {
            for chunk in format!("{line}\r\n").as_bytes().chunks(64 * 1024) {
                driver.feed(chunk);
            }
            answers.push(driver.take());
        }
        (answers, driver.asked)
    };
    let lines = [
        upload(&[&big, "small"]),
        mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", &big)]),
        upload(&[&big]),
        mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", &big)]),
    ];
    let (answers, asked) = one_by_one(&lines, None);
    assert!(
        answers.iter().all(|answer| answer == "OK success\n"),
        "{answers:?}"
    );
    let parts = asked.iter().take_while(|&&kind| kind == "Stage").count();
    assert!(parts >= 3, "{parts} requests");
    for failing in 0..parts {
        let (answers, _) = one_by_one(&lines, Some(failing));
        assert!(
            answers[0].starts_with("NO the replica's disk is full"),
            "request {failing}: {answers:?}"
        );
        assert_eq!(
            answers[2..],
            ["OK success\n", "OK success\n"],
            "request {failing}"
        );
    }
}

#[test]
fn a_large_batch_is_committed_in_parts() {
    let mut driver = replica(&MemoryStore::new());
    driver.feed(&bytes(&[mailbox("user.jane", "id1", 0, 1, &[])]));
    driver.take();
    let lines: Vec<String> = (0..1200)
        .map(|i| format!("APPLY SUB %(MBOXNAME user.jane.{i} USERID jane)"))
        .collect();
    driver.asked.clear();
    driver.feed(&bytes(&lines));
    assert_eq!(finals(&driver.take()).len(), 1200);
    assert_eq!(driver.asked.iter().filter(|&&kind| kind == "Commit").count(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However the input is cut, answers and outcome are the same.
    #[test]
    fn random_cuts_change_nothing(cuts in proptest::collection::vec(0usize..4000, 0..12)) {
        let input = bytes(&session());
        let (whole, cut) = (MemoryStore::new(), MemoryStore::new());
        let mut driver = replica(&whole);
        driver.feed(&input);
        let expected = driver.take();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at % input.len()).collect();
        cuts.push(input.len());
        cuts.sort_unstable();
        let mut driver = replica(&cut);
        let mut from = 0;
        for at in cuts {
            driver.feed(&input[from..at]);
            from = at;
        }
        prop_assert_eq!(driver.take(), expected);
        prop_assert_eq!(state(&cut, &["jane", "joe"]), state(&whole, &["jane", "joe"]));
    }
}

/// A million records in one line need no more than a batch of them in memory at a time; a thousand show it.
#[test]
fn requests_for_a_long_line_are_bounded() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    driver.feed(&bytes(&[upload(&["body"])]));
    driver.take();
    let head = format!("APPLY MAILBOX %({} RECORD (", keys("user.jane", "id1", 20_000, 5));
    driver.feed(head.as_bytes());
    for uid in 1..=20_000u32 {
        let separator = if uid == 1 { "" } else { " " };
        driver.feed(format!("{separator}{}", record(uid, 5, "", "body")).as_bytes());
        assert!(driver.open.is_empty());
    }
    driver.feed(b"))\r\n");
    assert_eq!(driver.take(), "OK success\n");
    let writes = driver.asked.iter().filter(|&&kind| kind == "Write").count();
    assert!(writes > 35, "{writes} writes");
}
