//! Many sessions at once: every commit is whole, nobody loses another's work, and the store stays sound.

mod common;

use std::time::Duration;

use common::*;
use engine::crc::SyncCrc;
use engine::ticket::{Change, Request, Select};
use store::sqlite::{Options, SqliteStore};
use store::verify::{Finding, verify};

const THREADS: u32 = 4;
const ROUNDS: u32 = 15;

/// Appends one record to a mailbox that others append to as well.
fn append(client: &mut Client, id: &str, data: &[u8]) {
    client.stage(data);
    client.begin(user(id));
    let name = format!("user.{id}");
    let before = client.mailboxes(Select::Names(vec![text(&name)])).pop();
    let mut inbox = before.unwrap_or_else(|| {
        let mut inbox = mailbox(&name, &format!("id of {id}"));
        (inbox.last_uid, inbox.highestmodseq, inbox.crc) = (0, 0, SyncCrc::EMPTY);
        inbox
    });
    inbox.last_uid += 1;
    inbox.highestmodseq += 1;
    let record = record(inbox.last_uid, inbox.highestmodseq, data);
    inbox.crc.toggle(&record);
    let uniqueid = format!("id of {id}");
    let changes = vec![
        Change::PutMailbox(Box::new(inbox)),
        put_records(&uniqueid, vec![record]),
    ];
    client.write(changes).expect("fine");
    client.done(Request::Commit);
    client.done(Request::ForgetStaged);
}

#[test]
fn sessions_do_not_lose_each_others_work() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = Options {
        busy_timeout: Duration::from_secs(20),
        connections: 1,
        checkpoint_bytes: 2000,
        checkpoint_pages: 20,
        ..Options::default()
    };
    let store = SqliteStore::open(dir.path(), options).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let mut client = Client(Box::new(store.session()));
                for round in 0..ROUNDS {
                    let data = format!("{thread} {round} ").repeat(100).into_bytes();
                    append(&mut client, "shared", &data);
                    append(&mut client, &format!("own{thread}"), &data);
                    assert!(client.users("").contains(&text("shared")));
                }
            });
        }
    });
    let mut client = Client(Box::new(store.session()));
    let count = |client: &mut Client, id: &str| {
        client
            .all_records(&key(&format!("user.{id}"), &format!("id of {id}")))
            .len()
    };
    assert_eq!(count(&mut client, "shared"), (THREADS * ROUNDS) as usize);
    assert_eq!(count(&mut client, "own2"), ROUNDS as usize);
    let mut damages = Vec::new();
    let totals = verify(&store, None, &mut |finding| {
        if let Finding::Damage(damage) = finding {
            damages.push(damage.to_string());
        }
    });
    assert_eq!(damages, Vec::<String>::new());
    assert_eq!(totals.messages, u64::from(2 * THREADS * ROUNDS));
}
