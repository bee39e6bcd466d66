//! Where one more, one less or nothing at all makes a difference.

mod common;

use common::*;
use engine::name::Scope;
use engine::ticket::{Change, Request, Select, StoreError};
use rusqlite::Connection;
use store::sqlite::{Options, SqliteStore};
use store::verify::{Finding, verify};

fn filled(dir: &std::path::Path) -> (SqliteStore, Client) {
    let store = SqliteStore::open(dir, Options::default()).expect("opens");
    let mut client = Client(Box::new(store.session()));
    client.stage(b"one");
    client.transact(
        user("jane"),
        vec![
            put_mailbox("user.jane", "u1"),
            put_records("u1", vec![record(1, 1, b"one")]),
        ],
    );
    (store, client)
}

/// Records are released by the batch; what is behind a full one has to go too.
#[test]
fn messages_of_more_records_than_a_batch_are_released() {
    const MANY: u32 = 10_001;
    let dir = tempfile::tempdir().expect("temporary directory");
    let (_store, mut client) = filled(dir.path());
    client.stage(b"same");
    client.stage(b"last");
    let mut records: Vec<_> = (1..MANY).map(|uid| record(uid, 1, b"same")).collect();
    records.push(record(MANY, 1, b"last"));
    client.transact(
        user("jane"),
        vec![put_mailbox("user.jane.a", "u2"), put_records("u2", records)],
    );
    assert!(client.message(user("jane"), guid(b"last")).is_some());
    let uniqueid = text("u2");
    client.transact(user("jane"), vec![Change::ClearRecords { uniqueid }]);
    client.done(Request::ForgetStaged);
    let left = client.messages(
        user("jane"),
        [b"same", b"last"].map(|data| guid(data)).into(),
        1000,
    );
    assert_eq!(left, [None, None]);
    assert!(client.message(user("jane"), guid(b"one")).is_some());
}

#[test]
fn a_schema_that_lacks_a_table_or_a_column_is_damage() {
    for sql in [
        "DROP TABLE record",
        "ALTER TABLE record RENAME COLUMN guid TO other",
    ] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (store, client) = filled(dir.path());
        drop(client);
        let path = store.user_file(b"jane");
        drop(store);
        Connection::open(&path)
            .expect("opens")
            .execute_batch(sql)
            .expect("harms");
        let store = SqliteStore::open(dir.path(), Options::default()).expect("opens");
        let mut client = Client(Box::new(store.session()));
        let uids = engine::ticket::UidSelect::From { uid: 1, limit: 10 };
        let mailbox = key("user.jane", "u1");
        let answer = client.ask(Request::Records { mailbox, uids });
        assert!(
            matches!(answer, Err(StoreError::Corrupt { .. })),
            "{sql}: {answer:?}"
        );
    }
}

#[test]
fn a_store_without_a_folder_of_users_has_none() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (store, client) = filled(dir.path());
    drop(client);
    assert_eq!(store.users().expect("lists"), [text("jane")]);
    std::fs::remove_dir_all(dir.path().join("users")).expect("removes");
    assert!(store.users().expect("lists").is_empty());
    let mut client = Client(Box::new(store.session()));
    assert_eq!(client.names(Select::User(text("jane"))), Vec::<String>::new());
}

#[test]
fn a_check_tells_how_far_it_is() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (store, _client) = filled(dir.path());
    let mut told = Vec::new();
    let totals = verify(&store, Some(&Scope::User(text("jane"))), &mut |finding| {
        if let Finding::Progress(totals) = finding {
            told.push(totals);
        }
    });
    assert!(told.len() > 1, "told only at its end");
    assert_eq!(told.last(), Some(&totals));
    assert_eq!((totals.records, totals.messages), (1, 1));
}
