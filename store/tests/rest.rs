//! A session that rests holds no file, unless a transaction or a held read needs it.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use engine::ticket::{Reply, Request, Resting, Select};
use store::sqlite::{Options, SqliteStore};

/// Users' databases that this process has open.
fn open_files(dir: &Path) -> Vec<PathBuf> {
    let users = dir.canonicalize().expect("a folder").join("users");
    std::fs::read_dir("/proc/self/fd")
        .expect("a system with /proc")
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.starts_with(&users))
        .collect()
}

#[test]
fn a_session_that_rests_holds_what_is_open_and_nothing_else() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = SqliteStore::open(dir.path(), Options::default()).expect("opens");
    let mut client = Client(Box::new(store.session()));
    for id in ["jane", "joe"] {
        client.transact(user(id), vec![put_mailbox(&format!("user.{id}"), id)]);
    }
    assert!(!open_files(dir.path()).is_empty());
    assert_eq!(client.0.rest(), Resting::Free);
    assert_eq!(open_files(dir.path()), Vec::<PathBuf>::new());

    // What is open goes on as if nothing had been.
    client.done(Request::BeginRead { scope: user("joe") });
    client.begin(user("jane"));
    client.write(vec![put_mailbox("user.jane.a", "a")]).expect("fine");
    client.stage(b"staged");
    assert_eq!(client.0.rest(), Resting::Holding);
    let held = open_files(dir.path());
    assert!(held.iter().any(|path| path.ends_with("jane.db")), "{held:?}");
    assert!(held.iter().any(|path| path.ends_with("joe.db")), "{held:?}");
    client.write(vec![put_mailbox("user.jane.b", "b")]).expect("fine");
    client.done(Request::Commit);
    client.done(Request::EndRead { scope: user("joe") });
    let names = client.names(Select::User(text("jane")));
    assert_eq!(names, ["user.jane", "user.jane.a", "user.jane.b"]);
    assert_eq!(client.0.rest(), Resting::Free);
    assert_eq!(open_files(dir.path()), Vec::<PathBuf>::new());
    let found = client.ask(Request::ReadMessage {
        scope: user("joe"),
        guid: guid(b"staged"),
        offset: 0,
        len_max: 10,
    });
    assert!(matches!(found, Ok(Reply::Bytes { size: 6, .. })), "{found:?}");
}
