//! The judge can fail: a planted difference of each kind is seen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use engine::flow::Now;
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session};
use protocol::{SystemFlags, Text};
use sim::equal::{records, view};
use sim::seeded::Seeded;
use sim::workload;
use store::memory::MemoryStore;

/// Two stores with the same random mail.
fn twins() -> (MemoryStore, MemoryStore, Text) {
    let user = Text::from("hot");
    let stores = (MemoryStore::new(), MemoryStore::new());
    for store in [&stores.0, &stores.1] {
        let mut seeded = Seeded::new(4);
        for n in 0..60 {
            workload::change(&mut store.session(), &user, Now(1_790_000_000 + n), &mut seeded).unwrap();
        }
    }
    (stores.0, stores.1, user)
}

fn difference(left: &MemoryStore, right: &MemoryStore, user: &Text) -> Option<String> {
    let right = view(&mut right.session(), user).unwrap();
    view(&mut left.session(), user).unwrap().difference(&right)
}

fn write(store: &MemoryStore, user: &Text, change: Change) {
    let mut session = store.session();
    session
        .execute(Request::Begin {
            scope: Scope::User(user.clone()),
        })
        .unwrap();
    session.execute(Request::Write(vec![change])).unwrap();
    session.execute(Request::Commit).unwrap();
}

#[test]
fn equal_stores_are_equal() {
    let (left, right, user) = twins();
    assert_eq!(difference(&left, &right, &user), None);
}

#[test]
fn a_flag_a_subscription_and_a_lost_mailbox_are_seen() {
    let (left, right, user) = twins();
    let mut session = right.session();
    let Ok(Reply::Mailboxes(mailboxes)) = session.execute(Request::Mailboxes(Select::User(user.clone())))
    else {
        panic!("mailboxes")
    };
    let (mailbox, mut record) = mailboxes
        .iter()
        .find_map(|mailbox| {
            Some((
                mailbox,
                records(&mut session, mailbox).unwrap().into_iter().next()?,
            ))
        })
        .expect("some record");
    let before = record.clone();
    record.flags.system = SystemFlags::from_bits(record.flags.system.bits() ^ SystemFlags::FLAGGED.bits());
    let put = |record| Change::PutRecords {
        uniqueid: mailbox.uniqueid.clone(),
        partition: mailbox.partition.clone(),
        records: vec![record],
    };
    write(&right, &user, put(record));
    assert!(difference(&left, &right, &user).is_some_and(|text| text.contains("differs")));
    write(&right, &user, put(before));
    assert_eq!(difference(&left, &right, &user), None);

    write(
        &right,
        &user,
        Change::Subscribe {
            mailbox: Text::from("user.hot.planted"),
        },
    );
    assert!(difference(&left, &right, &user).is_some_and(|text| text.contains("subscriptions")));
    write(
        &right,
        &user,
        Change::Unsubscribe {
            mailbox: Text::from("user.hot.planted"),
        },
    );

    write(
        &right,
        &user,
        Change::RemoveMailbox {
            uniqueid: mailbox.uniqueid.clone(),
            tombstone: None,
        },
    );
    assert!(difference(&left, &right, &user).is_some_and(|text| text.contains("mailboxes")));
}
