//! What a replica counts of its answers is what it answered.

mod support;

use engine::Replica;
use engine::replica::{Answers, Kind};
use engine::ticket::StoreError;
use store::memory::MemoryStore;
use support::{Driver, mailbox, record, replica, upload};

fn lines(driver: &mut Driver<Replica>, lines: &[String]) -> Answers {
    let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    driver.feed(text.as_bytes());
    driver.machine.take_answers()
}

#[test]
fn answers_are_counted_by_kind_and_code() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    driver.settle();
    driver.machine.take_answers();
    let answers = lines(
        &mut driver,
        &[
            upload(&["one", "two"]),
            mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", "one")]),
            mailbox("user.jane.b", "id3", 1, 2, &[record(1, 2, "", "never sent")]),
            "GET USER jane".into(),
            "GET FULLMAILBOX user.nobody".into(),
            "GET FETCH %(MBOXNAME user.nowhere PARTITION default UNIQUEID x GUID 0102030405060708090a0b0c0d0e0f1011121314 UID 1)".into(),
            "APPLY SUB %(USERID jane)".into(),
            "APPLY EXPUNGE %(MBOXNAME user.nobody UNIQUEID x UID (1))".into(),
            "NOOP".into(),
            "NONSENSE".into(),
        ],
    );
    let commands: Vec<_> = answers
        .commands
        .iter()
        .map(|(kind, n)| (kind.word(), *n))
        .collect();
    assert_eq!(
        commands,
        [
            ("session", 2),
            ("get", 3),
            ("message", 1),
            ("mailbox", 2),
            ("apply", 2)
        ]
    );
    let refused: Vec<_> = answers.refused.iter().map(|(code, n)| (*code, *n)).collect();
    assert_eq!(
        refused,
        [
            ("BAD", 1),
            ("IMAP_MAILBOX_NONEXISTENT", 3),
            ("IMAP_PROTOCOL_BAD_PARAMETERS", 2)
        ]
    );
    assert_eq!(
        (answers.messages, answers.message_bytes, answers.records),
        (2, 6, 1)
    );
    let about: Vec<_> = answers
        .refusals
        .iter()
        .map(|refusal| (refusal.kind, refusal.about.as_deref()))
        .collect();
    assert_eq!(
        about,
        [
            (Kind::Mailbox, Some("user.jane.b")),
            (Kind::Get, Some("user.nobody")),
            (Kind::Get, Some("user.nowhere")),
            (Kind::Apply, Some("jane")),
            (Kind::Apply, Some("user.nobody")),
            (Kind::Session, None),
        ]
    );
    assert!(
        answers.refusals[0].text.contains("was never uploaded"),
        "{answers:?}"
    );
    assert!(driver.machine.take_answers().is_empty(), "counted once");
}

#[test]
fn a_commit_that_fails_refuses_what_waited_for_it() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    driver.settle();
    driver.machine.take_answers();
    lines(&mut driver, &[upload(&["one"])]);
    let before = driver.asked.len();
    let full = StoreError::Full {
        path: "there".to_owned(),
    };
    // Looking the mailbox up, begin, and so on: whichever request it is that commits fails.
    let commit = |at: usize| (before..before + at).map(|n| (n, full.clone()));
    driver.failing.extend(commit(64));
    let answers = lines(
        &mut driver,
        &[mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", "one")])],
    );
    assert_eq!(answers.records, 0);
    assert_eq!(answers.refused.get("NO"), Some(&1), "{answers:?}");
}
