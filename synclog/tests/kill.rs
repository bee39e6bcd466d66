//! Processes killed in the middle of their work: a reader, and a session that commits and logs. [CS-LOG-32] [CS-LOG-33]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use engine::model::QuotaLimits;
use engine::name::Scope;
use engine::rolling::{Queue, QueueConfig};
use engine::ticket::{Change, Reply, Request, Session, StoreError};
use protocol::Text;
use protocol::synclog::Action;
use synclog::{Channel, ChannelName, LoggingSession, Writer, recover};

const PLACE: &str = "MAILTWIN_TEST_PLACE";
const ROUNDS: u32 = 25;

/// Starts this program again for one of its tests.
fn start(test: &str, place: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(PLACE, place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// The place of a child; `None` in the ordinary run of the tests.
fn child_s_place() -> Option<PathBuf> {
    std::env::var_os(PLACE).map(PathBuf::from)
}

fn note(path: &Path, line: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("opened");
    file.write_all(format!("{line}\n").as_bytes()).expect("written");
}

fn noted(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    whole.lines().map(str::to_owned).collect()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Waits until the file is so long.
fn wait_for_length(path: &Path, bytes: u64) {
    let end = Instant::now() + Duration::from_secs(60);
    while length(path) < bytes {
        assert!(Instant::now() < end, "{} does not grow", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("gone");
}

/// Takes, does and settles until the log is empty; what is done is noted before the files are settled.
fn read_on(place: &Path, forever: bool) {
    let mut channel = Channel::open(place, None).expect("the only reader");
    let mut queue = Queue::new(QueueConfig {
        mailboxes_max: 3,
        ..QueueConfig::default()
    });
    loop {
        let taken = channel.take().expect("taken");
        let idle = taken.entries.is_empty();
        queue.add(0, taken.entries);
        for _ in 0..5 {
            let Some(task) = queue.next(0) else { break };
            let engine::master::Work::Mailboxes(names) = &task.work else {
                panic!("{task:?}");
            };
            for name in names {
                note(&place.join("done"), &name.to_string());
            }
            queue.done(0, task.id, Ok(()));
            channel.settle(&queue).expect("settled");
        }
        if queue.pending_len() > 20 {
            channel.keep(&queue).expect("kept");
        }
        if !forever && idle && queue.pending_len() == 0 {
            return;
        }
    }
}

#[test]
fn child_reader() {
    if let Some(place) = child_s_place() {
        read_on(&place, true);
    }
}

#[test]
fn a_killed_reader_loses_nothing() {
    if child_s_place().is_some() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let writer = Writer::new(place.path(), vec![ChannelName::DEFAULT]);
    let mut written = BTreeSet::new();
    for round in 0..ROUNDS {
        let done = place.path().join("done");
        let before = length(&done);
        let child = start("child_reader", place.path());
        for n in 0..20 {
            let name = format!("user.u{}.r{round}n{n}", n % 3);
            writer
                .append(&[Action::Mailbox(Text::from(name.as_str()))])
                .expect("written");
            written.insert(name);
        }
        wait_for_length(&done, before + u64::from(round) * 7 + 1);
        kill(child);
        writer
            .append(&[Action::Mailbox(Text::from(format!("user.late.{round}")))])
            .expect("written");
        written.insert(format!("user.late.{round}"));
    }
    read_on(place.path(), false);
    assert_eq!(noted(&place.path().join("done")), written);
    assert!(!place.path().join("log-run").exists());
}

/// A store whose commits are lines of a file.
struct Lines {
    place: PathBuf,
    open: Vec<String>,
}

impl Session for Lines {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        match request {
            Request::Write(changes) => {
                for change in changes {
                    if let Change::PutQuota(limits) = change {
                        self.open.push(limits.root.to_string());
                    }
                }
            }
            Request::Commit => {
                for root in self.open.drain(..) {
                    note(&self.place.join("committed"), &root);
                }
            }
            _ => {}
        }
        Ok(Reply::Done)
    }
}

#[test]
fn child_session() {
    let Some(place) = child_s_place() else { return };
    let writer = Writer::new(
        &place,
        vec![ChannelName::DEFAULT, ChannelName::parse("far").expect("a name")],
    );
    let inner = Lines {
        place: place.clone(),
        open: Vec::new(),
    };
    let mut session = LoggingSession::new(inner, Some(writer));
    for n in 0.. {
        let scope = Scope::User(Text::from("u"));
        session.execute(Request::Begin { scope }).expect("begun");
        let root = Text::from(format!("user.u.p{}n{n}", std::process::id()));
        let limits = QuotaLimits {
            root,
            ..QuotaLimits::default()
        };
        session
            .execute(Request::Write(vec![Change::PutQuota(limits)]))
            .expect("written");
        session.execute(Request::Commit).expect("committed");
    }
}

#[test]
fn a_process_killed_between_commit_and_log_loses_nothing() {
    if child_s_place().is_some() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let mut logged = [BTreeSet::new(), BTreeSet::new()];
    let mut channels =
        [None, Some("far")].map(|name| Channel::open(place.path(), name).expect("the only reader"));
    let mut take = |logged: &mut [BTreeSet<String>; 2]| {
        for (channel, logged) in channels.iter_mut().zip(logged) {
            let taken = channel.take().expect("taken");
            assert!(taken.bad.is_empty(), "{:?}", taken.bad);
            logged.extend(taken.entries.into_iter().map(|entry| match entry.action {
                Action::Quota(root) => root.to_string(),
                other => panic!("{other:?}"),
            }));
        }
    };
    for round in 0..ROUNDS {
        let committed = place.path().join("committed");
        let before = length(&committed);
        let child = start("child_session", place.path());
        wait_for_length(&committed, before + u64::from(round) * 13 + 1);
        take(&mut logged);
        let before = length(&committed);
        wait_for_length(&committed, before + u64::from(round % 5));
        kill(child);
    }
    recover(place.path()).expect("recovered");
    take(&mut logged);
    let committed = noted(&place.path().join("committed"));
    assert!(committed.len() >= ROUNDS as usize);
    for logged in &logged {
        let lost: Vec<&String> = committed.difference(logged).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
    let left = fs::read_dir(place.path().join("intents")).expect("there").count();
    assert_eq!(left, 0);
}
