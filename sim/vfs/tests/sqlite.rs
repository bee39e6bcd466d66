//! SQLite over the disk: what it wrote is there for others, and after a crash what it called durable is.

use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};
use sim_vfs::{Disk, Fault, Loss, Plan, Point, VFS};
use store::sqlite::files::Files;

fn disk() -> (Disk, PathBuf) {
    let disk = Disk::new(1);
    let file = disk.root().join("folder/x.db");
    disk.make_folder(&disk.root().join("folder")).expect("made");
    (disk, file)
}

fn open(file: &PathBuf) -> Connection {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags_and_vfs(file, flags, VFS).expect("opens");
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .expect("takes a mode");
    assert_eq!(mode, "wal");
    conn
}

fn count(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .expect("counts")
}

#[test]
fn connections_share_a_file_and_its_log() {
    let (disk, file) = disk();
    let (one, two) = (open(&file), open(&file));
    one.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
        .expect("writes");
    two.execute_batch("BEGIN; SELECT count(*) FROM t").expect("reads");
    assert_eq!(count(&two), 1);
    one.execute("INSERT INTO t VALUES(2)", []).expect("writes");
    assert_eq!(count(&two), 1, "it reads its own state");
    two.execute_batch("COMMIT").expect("ends");
    assert_eq!(count(&two), 2);
    one.execute_batch("BEGIN IMMEDIATE").expect("begins");
    assert!(two.execute_batch("BEGIN IMMEDIATE").is_err(), "one writer");
    drop(one);
    two.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
        .expect("it is free");
    assert_eq!(disk.list().len(), 2, "{:?}", disk.list());
    drop(two);
    assert_eq!(disk.list().len(), 1, "the last one removes the log");
}

#[test]
fn a_commit_survives_and_what_was_open_does_not() {
    for loss in [Loss::Lost, Loss::Kept, Loss::Torn(5), Loss::Killed] {
        let (disk, file) = disk();
        let conn = open(&file);
        conn.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
            .expect("writes");
        conn.execute_batch("PRAGMA synchronous = FULL; INSERT INTO t VALUES(2)")
            .expect("writes");
        disk.sync(&file).expect("syncs");
        disk.publish(&file, &disk.root().join("folder/y.db"))
            .expect("names");
        disk.publish(&disk.root().join("folder/y.db"), &file)
            .expect("names");
        conn.execute_batch("BEGIN; INSERT INTO t VALUES(3)")
            .expect("writes");
        disk.crash(loss);
        assert!(conn.execute_batch("COMMIT").is_err(), "the disk is down");
        drop(conn);
        disk.start();
        assert_eq!(count(&open(&file)), 2, "{loss:?}");
    }
}

#[test]
fn operations_fail_as_planned_and_are_counted_alike() {
    let run = |plan: Plan| {
        let (disk, file) = disk();
        disk.plan(plan);
        let conn = open(&file);
        let done = conn.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES(1); INSERT INTO t VALUES(2)");
        drop(conn);
        (done, disk.counts(), disk.faulted())
    };
    let (calm, counts, _) = run(Plan::Calm);
    assert_eq!(calm, Ok(()));
    assert_eq!(run(Plan::Calm).1, counts, "the same is the same");
    assert!(counts.syncs >= 4 && counts.operations > 50, "{counts:?}");
    let fails = |fault| {
        (counts.operations / 2..counts.operations)
            .filter(|operation| {
                let plan = Plan::Fail {
                    operation: *operation,
                    fault,
                    lasting: false,
                };
                run(plan).0.is_err()
            })
            .count()
    };
    assert!(fails(Fault::Io) > 3 && fails(Fault::Full) > 1);
    let crash = Plan::Crash {
        at: Point::Sync(counts.syncs - 2),
        loss: Loss::Lost,
    };
    let (done, _, faulted) = run(crash);
    assert!(done.is_err() || faulted.is_some(), "{faulted:?}");
}
