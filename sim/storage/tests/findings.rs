//! What the storage ring found, in literal steps.

use std::sync::Arc;
use std::time::Duration;

use engine::flow::Now;
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StoreError};
use protocol::Text;
use sim_storage::deeds::Planner;
use sim_storage::workload::Deed;
use sim_vfs::{Disk, Fault, Loss, Plan, Point};
use store::sqlite::files::Files;
use store::sqlite::{Options, SqliteStore};

fn open(disk: &Disk) -> Result<SqliteStore, StoreError> {
    let options = Options {
        busy_timeout: Duration::ZERO,
        checkpoint_bytes: u64::MAX,
        files: Arc::new(disk.clone()),
        ..Options::default()
    };
    SqliteStore::open(disk.root().join("store"), options)
}

fn jane() -> Scope {
    Scope::User(Text::from("jane"))
}

fn subscribe(store: &SqliteStore, mailbox: &str) -> Result<(), StoreError> {
    let mut session = store.session();
    let mailbox = Text::from(mailbox);
    session.execute(Request::Begin { scope: jane() })?;
    session.execute(Request::Write(vec![Change::Subscribe { mailbox }]))?;
    session.execute(Request::Commit).map(drop)
}

fn subscriptions(store: &SqliteStore) -> Vec<Text> {
    let request = Request::UserMeta {
        user: Text::from("jane"),
    };
    match store.session().execute(request) {
        Ok(Reply::UserMeta(meta)) => meta.subscriptions,
        other => panic!("{other:?}"),
    }
}

/// A process is killed while it syncs a commit: whoever looks after the restart sees the transaction and relies on it. The
/// power failure behind that must not take it away.
#[test]
fn what_is_seen_after_a_kill_outlives_a_power_failure() {
    let seen: Vec<usize> = (0..4).map(killed_within_a_commit).collect();
    // The last sync is that of the transaction, which had come as far as the log.
    assert!(seen.contains(&2) && seen.contains(&1), "{seen:?}");
}

/// Killed at the n-th sync of a commit; how many subscriptions there are afterwards, one of them older.
fn killed_within_a_commit(nth: u64) -> usize {
    let disk = Disk::new(1);
    let store = open(&disk).expect("opens");
    subscribe(&store, "one").expect("subscribed");
    let mut session = store.session();
    let mailbox = Text::from("two");
    for request in [
        Request::Begin { scope: jane() },
        Request::Write(vec![Change::Subscribe { mailbox }]),
    ] {
        session.execute(request).expect("written");
    }
    disk.plan(Plan::Crash {
        at: Point::Sync(disk.counts().syncs + nth),
        loss: Loss::Killed,
    });
    let committed = session.execute(Request::Commit);
    drop((session, store));
    disk.crash(Loss::Killed);
    disk.start();
    let store = open(&disk).expect("opens");
    let seen = subscriptions(&store).len();
    assert!(committed.is_err() || seen == 2);
    disk.crash(Loss::Lost);
    drop(store);
    disk.start();
    assert_eq!(
        subscriptions(&open(&disk).expect("opens")).len(),
        seen,
        "sync {nth}"
    );
    seen
}

/// Where SQLite knows only that a file cannot be opened, or that something failed, the disk is asked why.
#[test]
fn a_full_disk_is_told_as_one_wherever_it_is_met() {
    let disk = Disk::new(1);
    let store = open(&disk).expect("opens");
    subscribe(&store, "one").expect("subscribed");
    let mut told = 0;
    for later in 0..60 {
        disk.plan(Plan::Fail {
            operation: disk.counts().operations + later,
            fault: Fault::Full,
            lasting: true,
        });
        match subscribe(&store, &format!("box{later}")) {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => told += 1,
            Err(other) => panic!("operation {later}: {other}"),
        }
        disk.plan(Plan::Calm);
    }
    assert!(told > 5, "{told}");
    subscribe(&store, "last").expect("it works again");
}

/// A database that a dead process did not complete takes no room for ever; one in the making is left alone.
#[test]
fn what_a_dead_process_left_half_made_is_removed() {
    let disk = Disk::new(1);
    drop(open(&disk).expect("opens"));
    let users = disk.root().join("store/users");
    let young = disk.make_file(&users, ".new-").expect("made");
    drop(open(&disk).expect("opens"));
    assert!(disk.identity(&young).is_ok(), "it may be in the making");
    disk.crash(Loss::Kept);
    disk.start();
    drop(open(&disk).expect("opens"));
    assert!(disk.identity(&young).is_err());
}

/// Hints where mailboxes are, lost with a disk that fails while they are made again, are made again when they are needed.
#[test]
fn mailboxes_are_found_by_identity_after_the_hints_could_not_be_made() {
    let disk = Disk::new(1);
    let store = open(&disk).expect("opens");
    let mut session = store.session();
    let mut planner = Planner {
        scope: jane(),
        now: Now(1_700_000_000),
        number: 1,
        session: &mut session,
    };
    let (_, changes) = planner.plan(&Deed::Create(0)).expect("a mailbox");
    for request in [
        Request::Begin { scope: jane() },
        Request::Write(changes),
        Request::Commit,
    ] {
        session.execute(request).expect("made");
    }
    drop(session);
    let ids = vec![Text::from("id000001")];
    for later in 0..80 {
        disk.plan(Plan::Fail {
            operation: disk.counts().operations + later,
            fault: Fault::Io,
            lasting: false,
        });
        // Whether it says so depends on where it failed.
        let _ = store.rebuild_locator();
        disk.plan(Plan::Calm);
        let request = Request::Mailboxes(Select::Uniqueids(ids.clone()));
        let found = store.session().execute(request);
        assert!(
            matches!(&found, Ok(Reply::Mailboxes(found)) if found.len() == 1),
            "operation {later}: {found:?}"
        );
    }
}
