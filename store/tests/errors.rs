//! Each way in which a file can fail, for real: the error is the right one, names the file, and leaves the store usable.

mod common;

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use common::*;
use engine::name::Scope;
use engine::ticket::{Reply, Request, Select, StoreError};
use rusqlite::Connection;
use store::sqlite::{Options, SqliteStore};

fn quick() -> Options {
    Options {
        busy_timeout: Duration::from_millis(50),
        ..Options::default()
    }
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, quick()).expect("opens")
}

fn client(store: &SqliteStore) -> Client {
    Client(Box::new(store.session()))
}

/// A store in which jane and joe have mail, closed again.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut client = client(&open(dir.path()));
    for id in ["jane", "joe"] {
        let data = vec![b'x'; 50_000];
        client.stage(&data);
        let inbox = format!("user.{id}");
        let records = vec![record(1, 1, &data)];
        client.transact(user(id), vec![put_mailbox(&inbox, id), put_records(id, records)]);
    }
    dir
}

fn jane_of(dir: &Path) -> std::path::PathBuf {
    dir.join("users/jane.db")
}

fn jane() -> Request {
    Request::Mailboxes(Select::User(text("jane")))
}

fn assert_joe_is_fine(store: &SqliteStore) {
    assert_eq!(client(store).names(Select::User(text("joe"))), ["user.joe"]);
}

#[test]
fn a_newer_file_is_refused() {
    let dir = filled();
    let path = jane_of(dir.path());
    Connection::open(&path)
        .expect("opens")
        .pragma_update(None, "user_version", 99)
        .expect("sets");
    let store = open(dir.path());
    let newer = StoreError::Newer {
        path: path.display().to_string(),
        found: 99,
        known: 4,
    };
    assert_eq!(client(&store).ask(jane()), Err(newer.clone()));
    assert_eq!(
        client(&store).ask(Request::Begin { scope: user("jane") }),
        Err(newer)
    );
    assert_joe_is_fine(&store);
    // Whoever walks all users still meets her.
    assert_eq!(client(&store).users(""), ["jane", "joe"]);
}

fn assert_corrupt(answer: Result<Reply, StoreError>, file: &Path, says: &str) {
    match answer {
        Err(StoreError::Corrupt { path, detail }) => {
            assert_eq!(path, file.display().to_string());
            assert!(detail.contains(says), "{detail}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let dir = filled();
    let path = jane_of(dir.path());
    fs::write(&path, "just some text, long enough to be looked at ".repeat(100)).expect("writes");
    let store = open(dir.path());
    assert_corrupt(client(&store).ask(jane()), &path, "not a database");
    assert_joe_is_fine(&store);
}

#[test]
fn another_programs_database_is_refused() {
    let dir = filled();
    let path = jane_of(dir.path());
    fs::remove_file(&path).expect("removes");
    Connection::open(&path)
        .expect("opens")
        .execute_batch("CREATE TABLE t(x)")
        .expect("creates");
    let store = open(dir.path());
    assert_corrupt(client(&store).ask(jane()), &path, "another program");
    assert_corrupt(
        client(&store).ask(Request::Begin { scope: user("jane") }),
        &path,
        "another program",
    );
}

#[test]
fn a_file_under_anothers_name_is_refused() {
    let dir = filled();
    let path = jane_of(dir.path());
    fs::copy(dir.path().join("users/joe.db"), &path).expect("copies");
    assert_corrupt(
        client(&open(dir.path())).ask(jane()),
        &path,
        "database of user \"joe\"",
    );
}

#[test]
fn an_empty_file_is_no_database_yet() {
    let dir = filled();
    fs::write(jane_of(dir.path()), "").expect("writes");
    let store = open(dir.path());
    let mut client = client(&store);
    assert_eq!(client.names(Select::User(text("jane"))), Vec::<String>::new());
    client.transact(user("jane"), vec![put_mailbox("user.jane", "new")]);
    assert_eq!(client.names(Select::User(text("jane"))), ["user.jane"]);
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).expect("opens");
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.write_all(bytes))
        .expect("overwrites");
}

#[test]
fn damaged_pages_are_told_and_end_nothing_else() {
    let dir = filled();
    let path = jane_of(dir.path());
    let len = fs::metadata(&path).expect("is there").len();
    // Everything but the first page, which says what the file is.
    overwrite(
        &path,
        8192,
        &vec![0xa5; usize::try_from(len).expect("small") - 8192],
    );
    let store = open(dir.path());
    let mut client = client(&store);
    assert_corrupt(client.ask(jane()), &path, "malformed");
    assert!(client.ask(Request::UserMeta { user: text("jane") }).is_err());
    assert!(client.ask(Request::Begin { scope: user("jane") }).is_err());
    assert_joe_is_fine(&store);
    assert_eq!(client.users(""), ["jane", "joe"]);
}

#[test]
fn damage_anywhere_is_an_answer_and_never_a_panic() {
    let dir = filled();
    let path = jane_of(dir.path());
    let mut sound = Vec::new();
    fs::File::open(&path)
        .and_then(|mut file| file.read_to_end(&mut sound))
        .expect("reads");
    let mut numbers = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..150 {
        let mut bytes = sound.clone();
        for _ in 0..40 {
            numbers = numbers
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (numbers >> 20) as usize % bytes.len();
            bytes[at] = (numbers >> 12) as u8;
        }
        fs::write(&path, &bytes).expect("writes");
        let store = open(dir.path());
        let mut client = client(&store);
        let _ = client.ask(jane());
        let _ = client.ask(Request::UserMeta { user: text("jane") });
        let _ = client.ask(Request::Records {
            mailbox: key("user.jane", "jane"),
            uids: engine::ticket::UidSelect::From { uid: 0, limit: 10 },
        });
        let guids = vec![guid(&[b'x'; 50_000])];
        let _ = client.ask(Request::ReadMessages {
            scope: user("jane"),
            guids,
            bytes_max: 1 << 20,
        });
        let _ = client.ask(Request::Begin { scope: user("jane") });
        let _ = client.ask(Request::Write(vec![put_mailbox("user.jane.x", "x")]));
        let _ = client.ask(Request::Commit);
        store::verify::verify(&store, Some(&user("jane")), &mut |_| {});
        drop(client);
        drop(store);
        for side in ["-wal", "-shm"] {
            let _ = fs::remove_file(path.with_file_name(format!("jane.db{side}")));
        }
    }
}

#[test]
fn a_full_disk_is_told_and_the_transaction_can_be_undone() {
    let dir = filled();
    let path = jane_of(dir.path());
    let options = Options {
        pages_max: Some(40),
        ..quick()
    };
    let store = SqliteStore::open(dir.path(), options).expect("opens");
    let mut session = client(&store);
    let data = vec![b'y'; 2_000_000];
    session.stage(&data);
    session.begin(user("jane"));
    session
        .write(vec![put_mailbox("user.jane.a", "a")])
        .expect("fits");
    session.done(Request::Savepoint);
    let full = StoreError::Full {
        path: path.display().to_string(),
    };
    assert_eq!(
        session.write(vec![put_records("a", vec![record(1, 1, &data)])]),
        Err(full)
    );
    session.done(Request::Rollback);
    assert_eq!(session.names(Select::User(text("jane"))), ["user.jane"]);
    drop((session, store));
    // With room again, the same works.
    let mut session = client(&open(dir.path()));
    session.stage(&data);
    session.transact(
        user("jane"),
        vec![
            put_mailbox("user.jane.a", "a"),
            put_records("a", vec![record(1, 1, &data)]),
        ],
    );
}

#[test]
fn a_read_only_store_reads_and_writes_nothing() {
    let dir = filled();
    let options = Options {
        read_only: true,
        ..quick()
    };
    let store = SqliteStore::open(dir.path(), options.clone()).expect("opens");
    let mut session = client(&store);
    assert_eq!(session.users(""), ["jane", "joe"]);
    assert_eq!(session.names(Select::Uniqueids(vec![text("joe")])), ["user.joe"]);
    assert_eq!(session.names(Select::User(text("nobody"))), Vec::<String>::new());
    let begun = session.ask(Request::Begin { scope: user("jane") });
    assert_eq!(
        begun,
        Err(StoreError::ReadOnly {
            path: jane_of(dir.path()).display().to_string()
        })
    );
    let begun = session.ask(Request::Begin {
        scope: user("nobody"),
    });
    assert!(matches!(begun, Err(StoreError::ReadOnly { .. })));
    assert!(!dir.path().join("users/nobody.db").exists());
    let missing = SqliteStore::open(dir.path().join("nowhere"), options);
    assert!(matches!(missing, Err(StoreError::Io { .. })));
}

/// Takes all write permissions off, in the way that binds whoever runs this test; `None` when there is no such way.
#[cfg(unix)]
fn made_read_only(path: &Path) -> Option<impl Drop + use<>> {
    use std::os::unix::fs::PermissionsExt;
    struct Undo(std::path::PathBuf, bool);
    impl Drop for Undo {
        fn drop(&mut self) {
            if self.1 {
                let _ = std::process::Command::new("chattr")
                    .arg("-i")
                    .arg(&self.0)
                    .status();
            }
            let mode = if self.0.is_dir() { 0o700 } else { 0o600 };
            let _ = fs::set_permissions(&self.0, fs::Permissions::from_mode(mode));
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o500)).ok()?;
    let binds = || {
        if path.is_dir() {
            tempfile::tempfile_in(path).is_err()
        } else {
            OpenOptions::new().append(true).open(path).is_err()
        }
    };
    if binds() {
        return Some(Undo(path.to_path_buf(), false));
    }
    // The superuser may write anyway, but not to what is immutable.
    let marked = std::process::Command::new("chattr")
        .arg("+i")
        .arg(path)
        .stderr(std::process::Stdio::null())
        .status();
    let undo = Undo(path.to_path_buf(), marked.is_ok_and(|status| status.success()));
    binds().then_some(undo)
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_written_is_read_only() {
    let dir = filled();
    let path = jane_of(dir.path());
    let Some(_undo) = made_read_only(&path) else {
        eprintln!("skipped: nothing is read-only to this user here");
        return;
    };
    let store = open(dir.path());
    let mut session = client(&store);
    assert_eq!(session.names(Select::User(text("jane"))), ["user.jane"]);
    let answer = session
        .ask(Request::Begin { scope: user("jane") })
        .and_then(|_| session.ask(Request::Write(vec![put_mailbox("user.jane.x", "x")])));
    assert_eq!(
        answer,
        Err(StoreError::ReadOnly {
            path: path.display().to_string()
        })
    );
    session.done(Request::Rollback);
    assert_joe_is_fine(&store);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_read_only() {
    let dir = filled();
    let store = open(dir.path());
    let Some(_undo) = made_read_only(&dir.path().join("users")) else {
        eprintln!("skipped: nothing is read-only to this user here");
        return;
    };
    let path = dir.path().join("users/new.db").display().to_string();
    let begun = client(&store).ask(Request::Begin { scope: user("new") });
    assert_eq!(begun, Err(StoreError::ReadOnly { path }));
}

#[test]
fn a_lock_is_waited_for_and_then_told() {
    let dir = filled();
    let store = open(dir.path());
    let other = Connection::open(jane_of(dir.path())).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("locks");
    let start = Instant::now();
    let begun = client(&store).ask(Request::Begin { scope: user("jane") });
    assert_eq!(
        begun,
        Err(StoreError::Locked {
            what: "user jane".to_owned()
        })
    );
    assert!(
        start.elapsed() >= Duration::from_millis(40),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(client(&store).names(Select::User(text("jane"))), ["user.jane"]);
    client(&store).transact(user("joe"), vec![put_mailbox("user.joe.a", "a")]);
    other.execute_batch("ROLLBACK").expect("unlocks");
    client(&store).begin(user("jane"));
}

#[test]
fn a_removed_file_is_a_user_without_mail_again() {
    let dir = filled();
    let store = open(dir.path());
    let mut session = client(&store);
    assert_eq!(session.names(Select::User(text("jane"))), ["user.jane"]);
    for file in fs::read_dir(dir.path().join("users")).expect("lists").flatten() {
        if file.file_name().to_string_lossy().starts_with("jane") {
            fs::remove_file(file.path()).expect("removes");
        }
    }
    assert_eq!(session.names(Select::User(text("jane"))), Vec::<String>::new());
    assert_eq!(
        session.names(Select::Uniqueids(vec![text("jane")])),
        Vec::<String>::new()
    );
    session.transact(user("jane"), vec![put_mailbox("user.jane", "new")]);
    drop((session, store));
    assert_eq!(
        client(&open(dir.path())).names(Select::User(text("jane"))),
        ["user.jane"]
    );
}

#[test]
fn a_restored_file_is_found_by_identity() {
    let (from, to) = (filled(), tempfile::tempdir().expect("temporary directory"));
    drop(open(to.path()));
    fs::copy(jane_of(from.path()), jane_of(to.path())).expect("copies");
    let store = open(to.path());
    assert_eq!(
        client(&store).names(Select::Uniqueids(vec![text("jane")])),
        ["user.jane"]
    );
    // And with the locator gone.
    drop(store);
    for file in ["locator.db", "locator.db-wal", "locator.db-shm"] {
        let _ = fs::remove_file(to.path().join(file));
    }
    let store = open(to.path());
    assert_eq!(
        client(&store).names(Select::Uniqueids(vec![text("jane")])),
        ["user.jane"]
    );
    store.rebuild_locator().expect("rebuilds");
    assert_eq!(
        client(&store).names(Select::Uniqueids(vec![text("jane")])),
        ["user.jane"]
    );
}

#[test]
fn very_long_user_ids_have_files_too() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let id = "Ä/".repeat(120);
    let inbox = format!("user.{id}");
    let mut session = client(&open(dir.path()));
    session.transact(Scope::of(inbox.as_bytes()), vec![put_mailbox(&inbox, "u1")]);
    drop(session);
    let store = open(dir.path());
    assert_eq!(client(&store).users(""), [id.as_str()]);
    assert_eq!(client(&store).names(Select::Uniqueids(vec![text("u1")])), [inbox]);
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("sets");
    let store = open(dir.path());
    let mut session = client(&store);
    session.transact(Scope::Shared, vec![put_mailbox("news", "n1")]);
    session.transact(user("jane"), vec![put_mailbox("user.jane", "u1")]);
    let files = [
        "shared.db",
        "shared.db-wal",
        "locator.db",
        "users",
        "users/jane.db",
        "users/jane.db-wal",
    ];
    for file in files {
        let mode = fs::metadata(dir.path().join(file))
            .expect(file)
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
}
