//! Reading a channel: what is taken, what stays, and every state that a crash can leave. [CS-LOG-3] [CS-LOG-32]

use std::fs;
use std::path::Path;

use engine::master::{FailureKind, TaskFailure};
use engine::rolling::{Queue, QueueConfig};
use protocol::Text;
use protocol::synclog::{Action, Reason};
use synclog::{Channel, ChannelName, LogError, Taken, Writer};
use tempfile::TempDir;

fn mailbox(name: &str) -> Action {
    Action::Mailbox(Text::from(name))
}

fn place() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn log(place: &Path, names: &[&str]) {
    let actions: Vec<Action> = names.iter().map(|name| mailbox(name)).collect();
    Writer::new(place, vec![ChannelName::DEFAULT])
        .append(&actions)
        .expect("written");
}

fn open(place: &Path) -> Channel {
    Channel::open(place, None).expect("the only reader")
}

fn names(taken: &Taken) -> Vec<String> {
    let name = |action: &Action| match action {
        Action::Mailbox(name) => name.to_string(),
        other => format!("{other:?}"),
    };
    taken.entries.iter().map(|entry| name(&entry.action)).collect()
}

fn held(place: &Path) -> Option<String> {
    fs::read_to_string(place.join("log-run")).ok()
}

/// A queue in which the first of these has been done.
fn half_done(taken: Taken) -> Queue {
    let config = QueueConfig {
        mailboxes_max: 1,
        ..QueueConfig::default()
    };
    let mut queue = Queue::new(config);
    queue.add(0, taken.entries);
    let task = queue.next(0).expect("a task");
    queue.done(0, task.id, Ok(()));
    queue
}

#[test]
fn what_is_taken_stays_until_it_is_done() {
    let place = place();
    let mut channel = open(place.path());
    assert!(channel.take().expect("taken").entries.is_empty());
    log(place.path(), &["a", "b"]);
    let taken = channel.take().expect("taken");
    assert_eq!(names(&taken), ["a", "b"]);
    assert!(!place.path().join("log").exists());
    let mut queue = half_done(taken);
    channel.settle(&queue).expect("settled");
    log(place.path(), &["c"]);
    let taken = channel.take().expect("taken");
    assert_eq!(names(&taken), ["c"]);
    assert_eq!(
        held(place.path()).as_deref(),
        Some("MAILBOX a\nMAILBOX b\nMAILBOX c\n")
    );
    queue.add(0, taken.entries);
    channel.keep(&queue).expect("kept");
    assert_eq!(held(place.path()).as_deref(), Some("MAILBOX b\nMAILBOX c\n"));
    while let Some(task) = queue.next(0) {
        queue.done(0, task.id, Ok(()));
    }
    channel.settle(&queue).expect("settled");
    assert_eq!(held(place.path()), None);
    assert!(!place.path().join("log-next").exists());
}

#[test]
fn what_an_earlier_reader_left_comes_first() {
    let place = place();
    fs::write(place.path().join("log-run"), "MAILBOX old\n").expect("written");
    log(place.path(), &["new"]);
    assert_eq!(names(&open(place.path()).take().expect("taken")), ["old", "new"]);
    // Nothing was done, so it comes again.
    assert_eq!(names(&open(place.path()).take().expect("taken")), ["old", "new"]);
}

/// Each line: the files as a crash between two steps leaves them, and what the next reader takes.
#[test]
fn every_state_that_a_crash_leaves_is_resumed() {
    type State = (
        &'static str,
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
    );
    let states: [State; 8] = [
        ("before the log is renamed", &[("log", "MAILBOX a\n")], &["a"]),
        ("renamed at once", &[("log-run", "MAILBOX a\n")], &["a"]),
        (
            "renamed to be added",
            &[("log-run", "MAILBOX a\n"), ("log-next", "MAILBOX b\n")],
            &["a", "b"],
        ),
        (
            "half added",
            &[("log-run", "MAILBOX a\nMAILB"), ("log-next", "MAILBOX b\n")],
            &["a", "b"],
        ),
        (
            "added and not yet removed",
            &[("log-run", "MAILBOX a\nMAILBOX b\n"), ("log-next", "MAILBOX b\n")],
            &["a", "b", "b"],
        ),
        (
            "the working file was done and removed before",
            &[("log-next", "MAILBOX b\n"), ("log", "MAILBOX c\n")],
            &["b", "c"],
        ),
        (
            "while the working file was written anew",
            &[("log-run", "MAILBOX a\nMAILBOX b\n"), ("log-run.new", "MAILB")],
            &["a", "b"],
        ),
        (
            "and more was logged since",
            &[
                ("log-run", "MAILBOX a\n"),
                ("log-next", "MAILBOX b\n"),
                ("log", "MAILBOX c\n"),
            ],
            &["a", "b", "c"],
        ),
    ];
    for (when, files, expected) in states {
        let place = place();
        for (name, text) in files {
            fs::write(place.path().join(name), text).expect("written");
        }
        let mut channel = open(place.path());
        let taken = channel.take().expect("taken");
        assert_eq!(names(&taken), expected, "{when}");
        let mut left = held(place.path()).expect("a working file");
        assert!(!place.path().join("log-next").exists(), "{when}");
        left.retain(|c| c != '\n');
        assert_eq!(left, expected.concat_lines(), "{when}");
    }
}

trait ConcatLines {
    fn concat_lines(&self) -> String;
}

impl ConcatLines for &[&str] {
    fn concat_lines(&self) -> String {
        self.iter().map(|name| format!("MAILBOX {name}")).collect()
    }
}

/// [CS-LOG-7] [CS-LOG-8]
#[test]
fn bad_lines_are_told_kept_and_harm_nobody() {
    let place = place();
    fs::write(
        place.path().join("log"),
        "MAILBOX a\nMAILBOX \"open\nODD x\nMAILBOX b\nMAILBOX unfin",
    )
    .expect("written");
    let mut channel = open(place.path());
    let taken = channel.take().expect("taken");
    assert_eq!(names(&taken), ["a", "b"]);
    let reasons: Vec<Reason> = taken.bad.iter().map(|bad| bad.reason).collect();
    assert_eq!(
        reasons,
        [Reason::UnclosedQuote, Reason::UnknownAction, Reason::Unfinished]
    );
    assert_eq!(
        fs::read_to_string(place.path().join("mailtwin-unreadable")).expect("kept"),
        "MAILBOX \"open\nODD x\nMAILBOX unfin\n"
    );
    log(place.path(), &["c"]);
    let taken = channel.take().expect("taken");
    assert_eq!(names(&taken), ["c"]);
    assert!(taken.bad.is_empty());
    assert!(
        held(place.path())
            .expect("held")
            .ends_with("MAILBOX b\nMAILBOX c\n")
    );
}

/// [CS-LOG-4] [CS-LOG-38]
#[test]
fn a_second_reader_is_refused_by_name() {
    let place = place();
    let first = open(place.path());
    let error = Channel::open(place.path(), None).expect_err("held");
    assert!(
        matches!(&error, LogError::InUse { holder: Some(pid), .. } if *pid == std::process::id()),
        "{error}"
    );
    Channel::open(place.path(), Some("far")).expect("another channel");
    drop(first);
    open(place.path());
}

#[test]
fn the_time_of_the_oldest_entry_survives() {
    let place = place();
    log(place.path(), &["a", "b"]);
    let mut channel = open(place.path());
    let taken = channel.take().expect("taken");
    let born = taken.entries[0].logged_at_ms;
    let mut queue = half_done(taken);
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        log(place.path(), &["c"]);
        queue.add(0, channel.take().expect("taken").entries);
        channel.keep(&queue).expect("kept");
    }
    drop(channel);
    let again = open(place.path()).take().expect("taken");
    assert_eq!(again.entries[0].logged_at_ms, born);
}

/// [CS-LOG-34]
#[test]
fn the_quarantine_is_kept_in_a_file_and_given_back() {
    let place = place();
    log(place.path(), &["a\tb", "good"]);
    let mut channel = open(place.path());
    let config = || QueueConfig {
        attempts_max: 1,
        quarantine_after_ms: 0,
        mailboxes_max: 1,
        ..QueueConfig::default()
    };
    let mut queue = Queue::new(config());
    queue.add(5, channel.take().expect("taken").entries);
    for _ in 0..2 {
        let task = queue.next(5).expect("a task");
        let failure = TaskFailure {
            kind: FailureKind::Refused,
            reason: "no\twonder\n".to_owned(),
        };
        queue.done(5, task.id, Err(failure));
    }
    channel.settle(&queue).expect("settled");
    assert_eq!(queue.state().quarantined, 2);
    assert_eq!(
        held(place.path()),
        None,
        "quarantined entries are in no one's way"
    );
    drop(channel);
    let mut channel = open(place.path());
    let mut again = Queue::new(config());
    again.restore(channel.quarantined());
    let kept: Vec<_> = again.quarantined().collect();
    assert_eq!(kept.len(), 2);
    assert_eq!((kept[0].attempts, kept[0].reason.as_str()), (1, "no wonder "));
    again.add(6, channel.take().expect("taken").entries);
    // Released: first in the working file, then out of the list.
    assert_eq!(again.release(6, Some(&mailbox("good"))), 1);
    channel.settle(&again).expect("settled");
    assert_eq!(held(place.path()).as_deref(), Some("MAILBOX good\n"));
    let list = fs::read_to_string(place.path().join("mailtwin-quarantine")).expect("a list");
    assert!(
        list.contains("MAILBOX \"a\tb\"") && !list.contains("good"),
        "{list}"
    );
    // A line that somebody spoilt does not stop the channel.
    fs::write(
        place.path().join("mailtwin-quarantine"),
        format!("{list}nonsense\n"),
    )
    .expect("written");
    drop(channel);
    assert_eq!(open(place.path()).quarantined().len(), 1);
}

#[test]
fn a_working_file_that_is_mostly_done_shrinks() {
    let place = place();
    let all: Vec<String> = (0..1100).map(|n| format!("n{n}")).collect();
    log(place.path(), &all.iter().map(String::as_str).collect::<Vec<_>>());
    let mut channel = open(place.path());
    let mut queue = Queue::new(QueueConfig {
        mailboxes_max: 1,
        ..QueueConfig::default()
    });
    queue.add(0, channel.take().expect("taken").entries);
    while queue.pending_len() > 10 {
        let task = queue.next(0).expect("a task");
        queue.done(0, task.id, Ok(()));
        channel.settle(&queue).expect("settled");
    }
    let lines = held(place.path()).expect("held").lines().count();
    assert!((10..=25).contains(&lines), "{lines}");
}
