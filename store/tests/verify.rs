//! The check finds what is wrong and says where; on a sound store it finds nothing.

mod common;

use common::*;
use engine::crc::SyncCrc;
use engine::name::Scope;
use engine::ticket::{Change, Request};
use protocol::{Record, Text};
use rusqlite::Connection;
use store::credentials::{Credentials, Verifier};
use store::sqlite::{Options, SqliteStore};
use store::verify::{Damage, Finding, Totals, verify};

fn with_crc(name: &str, uniqueid: &str, records: &[Record]) -> Change {
    let mut mailbox = mailbox(name, uniqueid);
    mailbox.crc = SyncCrc::EMPTY;
    records.iter().for_each(|record| mailbox.crc.toggle(record));
    Change::PutMailbox(Box::new(mailbox))
}

/// Jane with two mailboxes, one message of several chunks among hers, and a shared mailbox.
fn filled() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = SqliteStore::open(dir.path(), Options::default()).expect("opens");
    let mut client = Client(Box::new(store.session()));
    let big = vec![b'b'; 600_000];
    [&big[..], b"one", b"two", b""]
        .iter()
        .for_each(|data| client.stage(data));
    let mut keyed = record(3, 7, b"two");
    keyed.flags.keywords = vec![text("$Junk")];
    keyed.annotations = vec![annotation("/comment", "", 5, b"x")];
    let inbox = vec![
        record(1, 5, &big),
        record(2, 6, b"one"),
        keyed,
        expunged(record(4, 8, b"gone")),
    ];
    let sent = vec![record(1, 5, b"one"), record(2, 6, b"")];
    client.transact(
        user("jane"),
        vec![
            with_crc("user.jane", "u1", &inbox),
            put_records("u1", inbox),
            with_crc("user.jane.Sent", "u2", &sent),
            put_records("u2", sent),
        ],
    );
    let news = vec![record(1, 1, b"one")];
    client.transact(
        Scope::Shared,
        vec![with_crc("news", "u3", &news), put_records("u3", news)],
    );
    client.transact(
        user("joe"),
        vec![Change::PutMailbox(Box::new(placeholder("user.joe", "u4")))],
    );
    (dir, store)
}

fn check(store: &SqliteStore, only: Option<&Scope>) -> (Totals, Vec<Damage>) {
    let mut damages = Vec::new();
    let totals = verify(store, only, &mut |finding| {
        if let Finding::Damage(damage) = finding {
            damages.push(damage);
        }
    });
    assert_eq!(totals.damages, damages.len() as u64);
    (totals, damages)
}

fn said(damages: &[Damage]) -> Vec<String> {
    damages.iter().map(ToString::to_string).collect()
}

/// Applies SQL to jane's database behind the store's back.
fn harm(store: &SqliteStore, sql: &str) {
    let conn = Connection::open(store.user_file(b"jane")).expect("opens");
    conn.execute_batch(sql).expect("harms");
}

#[test]
fn a_sound_store_has_no_damage() {
    let (_dir, store) = filled();
    let (totals, damages) = check(&store, None);
    assert_eq!(said(&damages), Vec::<String>::new());
    let expected = Totals {
        databases: 3,
        mailboxes: 4,
        records: 7,
        messages: 5,
        bytes: 600_009,
        damages: 0,
    };
    assert_eq!(totals, expected);
    let (totals, _) = check(&store, Some(&Scope::Shared));
    assert_eq!((totals.databases, totals.messages), (1, 1));
    let (totals, _) = check(&store, Some(&user("nobody")));
    assert_eq!(totals, Totals::default());
}

#[test]
fn a_changed_byte_is_found_in_every_record() {
    let (_dir, store) = filled();
    harm(&store, "UPDATE chunk SET data = x'6f6e66' WHERE data = x'6f6e65'");
    let (_, damages) = check(&store, None);
    let places: Vec<_> = damages
        .iter()
        .map(|damage| (damage.mailbox.clone(), damage.uid))
        .collect();
    assert_eq!(
        places,
        [
            (Some(text("user.jane")), Some(2)),
            (Some(text("user.jane.Sent")), Some(1))
        ]
    );
    let actual = guid(b"onf");
    let expected = format!(
        "user.jane UID 2: message {}: its bytes hash to {actual}",
        guid(b"one")
    );
    assert_eq!(damages[0].to_string(), expected);
}

#[test]
fn each_kind_of_damage_is_told() {
    let cases = [
        (
            "DELETE FROM chunk WHERE length(data) = 262144 AND id % 2 = 1",
            "user.jane UID 1: message",
        ),
        (
            "UPDATE chunk SET data = x'' WHERE data = x'6f6e65'",
            "the wrong length",
        ),
        (
            "DELETE FROM message WHERE size = 0",
            "user.jane.Sent UID 2: its message",
        ),
        ("UPDATE message SET size = 4 WHERE size = 3", "user.jane UID 2"),
        (
            "UPDATE message SET holders = 9 WHERE size = 0",
            "1 records hold it, but 9 are counted",
        ),
        (
            "UPDATE record SET modseq = -1 WHERE uid = 2",
            "above the mailbox's",
        ),
        (
            "UPDATE mailbox SET last_uid = 2",
            "UID 3: its UID is above the mailbox's last, 2",
        ),
        (
            "UPDATE record SET internaldate = 1 WHERE uid = 3",
            "user.jane: sync CRCs are",
        ),
        (
            "UPDATE record SET annotations = x'ff' WHERE uid = 3",
            "user.jane UID 3: ",
        ),
        (
            "UPDATE record SET keywords = x'7f' WHERE uid = 3",
            "keyword 127 has no name",
        ),
        (
            "UPDATE record SET guid = x'00' WHERE uid = 3",
            "user.jane UID 3: ",
        ),
        (
            "UPDATE record SET held = 0 WHERE uid = 3",
            "user.jane UID 3: it is live and names no message",
        ),
        (
            "UPDATE record SET size = 77 WHERE uid = 3",
            "UID 3: its size is 77, its message has 3 bytes",
        ),
        ("UPDATE record SET flags = 'x' WHERE uid = 3", "user.jane UID 3: "),
        (
            "UPDATE mailbox SET userflags = x'05' WHERE name = CAST('user.jane' AS BLOB)",
            "its keywords cannot be read",
        ),
        (
            "INSERT INTO chunk(data) VALUES(x'00')",
            "1 pieces of bytes belong to no message",
        ),
        (
            "UPDATE record SET mailbox = 77 WHERE mailbox = 2",
            "records belong to no mailbox",
        ),
        (
            "INSERT INTO script VALUES(x'61', 1, zeroblob(20), x'62')",
            "sieve script a: its content hashes to",
        ),
        ("INSERT INTO seen VALUES(x'61', 'x', 1, 1, x'62')", "user jane: "),
        ("PRAGMA user_version = 5", "user jane: "),
        ("DROP TABLE message", "no such table"),
    ];
    for (sql, expected) in cases {
        let (_dir, store) = filled();
        harm(&store, sql);
        let (totals, damages) = check(&store, None);
        let said = said(&damages);
        assert!(said.iter().any(|line| line.contains(expected)), "{sql}: {said:?}");
        assert_eq!(totals.databases, 3, "{sql}");
        assert!(
            damages.iter().all(|damage| damage.scope == user("jane")),
            "{sql}: {said:?}"
        );
    }
}

#[test]
fn a_damaged_index_is_told() {
    let (_dir, store) = filled();
    harm(
        &store,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX record_modseq ON record(mailbox, size)'
         WHERE name = 'record_modseq';",
    );
    let (_, damages) = check(&store, None);
    assert!(
        said(&damages).iter().any(|line| line.contains("record_modseq")),
        "{damages:?}"
    );
}

#[test]
fn a_lost_locator_entry_is_told_and_can_be_made_again() {
    let (dir, store) = filled();
    let conn = Connection::open(dir.path().join("locator.db")).expect("opens");
    conn.execute_batch("DELETE FROM locator WHERE uniqueid = CAST('u2' AS BLOB)")
        .expect("deletes");
    drop(conn);
    assert_eq!(
        said(&check(&store, None).1),
        ["user.jane.Sent: the locator does not know it"]
    );
    store.rebuild_locator().expect("rebuilds");
    assert_eq!(check(&store, None).1, []);
}

#[test]
fn a_store_under_work_stays_sound() {
    let (_dir, store) = filled();
    let mut client = Client(Box::new(store.session()));
    client.stage(b"new");
    client.begin(user("jane"));
    client
        .write(vec![put_records("u1", vec![record(9, 9, b"new")])])
        .expect("fine");
    assert_eq!(check(&store, None).1, []);
    client.done(Request::Rollback);
    assert_eq!(check(&store, None).1, []);
}

#[test]
fn credentials_come_back_and_go() {
    let (dir, store) = filled();
    let credentials = Credentials::of(&store);
    let verifier = |mechanism: &str, salt: u8| Verifier {
        mechanism: mechanism.to_owned(),
        salt: vec![salt; 16],
        iterations: u32::MAX,
        stored_key: vec![0, 255, 3],
        server_key: vec![],
    };
    assert_eq!(credentials.users(), Ok(vec![]));
    assert_eq!(credentials.get(b"jane", "SCRAM-SHA-1"), Ok(None));
    credentials
        .put(
            b"jane",
            &[verifier("SCRAM-SHA-1", 1), verifier("SCRAM-SHA-256", 2)],
        )
        .expect("puts");
    credentials
        .put(b"adm\xff", &[verifier("SCRAM-SHA-1", 3)])
        .expect("puts");
    let again = Credentials::of(&SqliteStore::open(dir.path(), Options::default()).expect("opens"));
    assert_eq!(again.users(), Ok(vec![Text::from(&b"adm\xff"[..]), text("jane")]));
    assert_eq!(
        again.get(b"jane", "SCRAM-SHA-256"),
        Ok(Some(verifier("SCRAM-SHA-256", 2)))
    );
    // A new password leaves nothing of the old one.
    credentials
        .put(b"jane", &[verifier("SCRAM-SHA-256", 4)])
        .expect("puts");
    assert_eq!(again.get(b"jane", "SCRAM-SHA-1"), Ok(None));
    assert_eq!(
        again.get(b"jane", "SCRAM-SHA-256"),
        Ok(Some(verifier("SCRAM-SHA-256", 4)))
    );
    assert_eq!(credentials.remove(b"jane"), Ok(true));
    assert_eq!(credentials.remove(b"jane"), Ok(false));
    assert_eq!(again.users(), Ok(vec![Text::from(&b"adm\xff"[..])]));
    assert!(!format!("{:?}", verifier("SCRAM-SHA-1", 7)).contains("255"));
}
