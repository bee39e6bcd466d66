//! Whatever moment the process dies at: what was committed is there as a whole, and nothing else is.
//!
//! The test starts itself again as a child that writes one transaction after the other and says so on its standard
//! output after each commit was answered; it kills the child and looks at what is there.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::*;
use engine::crc::SyncCrc;
use engine::ticket::{Change, Request, Select};
use protocol::Record;
use store::sqlite::{Options, SqliteStore};
use store::verify::{Finding, verify};

const DIR: &str = "STORE_CRASH_TEST_DIR";
/// Set when the child's store leaves everything in the write-ahead log.
const LOG_ONLY: &str = "STORE_CRASH_TEST_LOG_ONLY";
/// Records of one transaction.
const BATCH: u32 = 20;

fn options() -> Options {
    // Small limits, so that checkpoints and spilled uploads happen all the time.
    let small = Options {
        staging_bytes: 50_000,
        checkpoint_pages: 60,
        checkpoint_bytes: 100_000,
        ..Options::default()
    };
    if std::env::var_os(LOG_ONLY).is_some() {
        return Options {
            checkpoint_pages: u32::MAX / 4,
            checkpoint_bytes: u64::MAX,
            ..small
        };
    }
    small
}

fn data(uid: u32) -> Vec<u8> {
    format!("message {uid} ")
        .into_bytes()
        .repeat(1 + (uid as usize * 37) % 600)
}

fn records_up_to(last: u32) -> Vec<Record> {
    (1..=last)
        .map(|uid| record(uid, u64::from(uid), &data(uid)))
        .collect()
}

fn mailbox_at(last: u32) -> Change {
    let mut inbox = mailbox("user.jane", "u1");
    inbox.last_uid = last;
    inbox.highestmodseq = u64::from(last);
    inbox.crc = SyncCrc::EMPTY;
    records_up_to(last)
        .iter()
        .for_each(|record| inbox.crc.toggle(record));
    Change::PutMailbox(Box::new(inbox))
}

/// What the child does until it is killed.
fn write_for_ever(dir: &Path) {
    let store = SqliteStore::open(dir, options()).expect("opens");
    let mut client = Client(Box::new(store.session()));
    let mut last = client
        .mailboxes(Select::User(text("jane")))
        .first()
        .map_or(0, |inbox| inbox.last_uid);
    let mut out = std::io::stdout();
    loop {
        let records: Vec<Record> = (last + 1..=last + BATCH)
            .map(|uid| record(uid, u64::from(uid), &data(uid)))
            .collect();
        for uid in last + 1..=last + BATCH {
            client.stage(&data(uid));
        }
        client.begin(user("jane"));
        client.write(vec![mailbox_at(last + BATCH)]).expect("fine");
        client.done(Request::Savepoint);
        let (first, second) = records.split_at(7);
        client
            .write(vec![put_records("u1", first.to_vec())])
            .expect("fine");
        client
            .write(vec![put_records("u1", second.to_vec())])
            .expect("fine");
        client.done(Request::Commit);
        client.done(Request::ForgetStaged);
        last += BATCH;
        writeln!(out, "committed {last}")
            .and_then(|()| out.flush())
            .expect("the parent listens");
    }
}

/// The child's part; does nothing when it is run as a test of its own.
#[test]
fn child() {
    if let Some(dir) = std::env::var_os(DIR) {
        write_for_ever(Path::new(&dir));
    }
}

/// Runs the child and kills it; answers the last UID whose commit was answered.
fn run_and_kill(dir: &Path, after: Duration, log_only: bool) -> u32 {
    let program = std::env::current_exe().expect("a program");
    let mut command = Command::new(program);
    if log_only {
        command.env(LOG_ONLY, "yes");
    }
    let mut child = command
        .args(["child", "--exact", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let stdout = child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines
            .filter_map(|line| line.strip_prefix("committed ").and_then(|last| last.parse().ok()))
            .last()
    });
    std::thread::sleep(after);
    child.kill().expect("kills");
    child.wait().expect("is dead");
    reader.join().expect("reads").unwrap_or(0)
}

#[test]
fn what_was_answered_survives_a_kill_and_nothing_else_does() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut answered = 0;
    for round in 0..12u64 {
        answered =
            run_and_kill(dir.path(), Duration::from_millis(60 + round * 83 % 400), false).max(answered);
        let store = SqliteStore::open(dir.path(), options()).expect("opens");
        let mut client = Client(Box::new(store.session()));
        let Some(inbox) = client.mailboxes(Select::User(text("jane"))).pop() else {
            assert_eq!(answered, 0);
            continue;
        };
        // One commit may have become durable without the child living to say so.
        assert!(
            inbox.last_uid == answered || inbox.last_uid == answered + BATCH,
            "{answered} {}",
            inbox.last_uid
        );
        answered = inbox.last_uid;
        assert_eq!(
            client.all_records(&key("user.jane", "u1")),
            records_up_to(answered)
        );
        assert_eq!(client.names(Select::Uniqueids(vec![text("u1")])), ["user.jane"]);
        let mut damages = Vec::new();
        verify(&store, None, &mut |finding| {
            if let Finding::Damage(damage) = finding {
                damages.push(damage.to_string());
            }
        });
        assert_eq!(damages, Vec::<String>::new());
        let leftovers = std::fs::read_dir(dir.path()).expect("lists").flatten();
        let leftovers = leftovers.filter(|file| file.file_name().to_string_lossy().starts_with(".tmp"));
        assert_eq!(leftovers.count(), 0, "uploads leave no file behind");
    }
    assert!(answered > 2 * BATCH, "the child got to work: {answered}");
}

/// A power failure as the file system may leave it: the log, of which nothing was copied yet, cut anywhere.
#[test]
fn a_cut_log_loses_whole_transactions_only() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let answered = run_and_kill(dir.path(), Duration::from_millis(700), true);
    let log = std::fs::read(dir.path().join("users/jane.db-wal")).unwrap_or_default();
    assert!(answered > 0 && log.len() > 100_000, "the child got to work");
    for step in 0..20 {
        let copy = tempfile::tempdir().expect("temporary directory");
        std::fs::create_dir(copy.path().join("users")).expect("makes");
        std::fs::copy(
            dir.path().join("users/jane.db"),
            copy.path().join("users/jane.db"),
        )
        .expect("copies");
        std::fs::write(
            copy.path().join("users/jane.db-wal"),
            &log[..log.len() * step / 20],
        )
        .expect("writes");
        let store = SqliteStore::open(copy.path(), options()).expect("opens");
        let mut client = Client(Box::new(store.session()));
        let last = client
            .mailboxes(Select::User(text("jane")))
            .first()
            .map_or(0, |inbox| inbox.last_uid);
        assert!(last.is_multiple_of(BATCH) && last <= answered + BATCH);
        if last > 0 {
            assert_eq!(client.all_records(&key("user.jane", "u1")), records_up_to(last));
            let totals = verify(&store, None, &mut |_| {});
            assert_eq!((totals.damages, totals.messages), (0, u64::from(last)));
        }
    }
}
