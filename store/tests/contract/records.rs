//! Records, their selection, and the messages they hold.

use engine::ticket::{Change, Request, StoreError, UidSelect};
use protocol::{Annotation, Flags, Guid, SystemFlags};

use crate::common::*;
use crate::{Bench, INBOX};

pub fn records_come_back_whole(bench: &Bench) {
    let mut client = bench.client();
    let mut full = record(7, u64::MAX, b"one");
    full.flags = Flags {
        system: SystemFlags::SEEN.with(SystemFlags::DRAFT),
        keywords: ["zeta", "$Junk", "Zeta", "b"].map(text).to_vec(),
    };
    full.last_updated = -1;
    full.internaldate = i64::MAX;
    full.size = u64::MAX;
    let thrid = std::str::from_utf8(Annotation::THRID).expect("ascii");
    full.annotations = vec![
        annotation("/comment", "jane", 6, b"\0\xff"),
        annotation(thrid, "", 0, b"0d6e45cef6923db3"),
        annotation(thrid, "", 0, b"0D6E45CEF6923DB3"),
        annotation("/comment", "", 0, b""),
    ];
    let plain = record(8, 1, b"two");
    let gone = expunged(record(4_294_967_295, 9, b"never seen"));
    client.stage(b"one");
    client.stage(b"two");
    let records = vec![full, plain, gone];
    client.transact(
        user("jane"),
        vec![put_mailbox(INBOX, "u1"), put_records("u1", records.clone())],
    );
    assert_eq!(client.all_records(&key(INBOX, "u1")), records);
    assert_eq!(bench.client().all_records(&key(INBOX, "u1")), records);
    let scope = user("jane");
    assert_eq!(
        client.message(scope.clone(), guid(b"one")).as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(client.message(scope, guid(b"never seen")), None);
}

pub fn changed_uids_follow_the_modseq(bench: &Bench) {
    let mut client = bench.client();
    let big = 1u64 << 63;
    let modseqs = [5, big + 7, 3, 0, big - 1, 9, u64::MAX];
    let records = (1..)
        .zip(modseqs)
        .map(|(uid, modseq)| expunged(record(uid, modseq, b"")))
        .collect();
    client.transact(
        user("jane"),
        vec![put_mailbox(INBOX, "u1"), put_records("u1", records)],
    );
    client.transact(user("jane"), vec![put_mailbox("user.jane.b", "u2")]);
    let inbox = key(INBOX, "u1");
    for since in [
        0,
        1,
        2,
        3,
        5,
        9,
        10,
        big - 2,
        big - 1,
        big,
        big + 6,
        big + 7,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let expected: Vec<u32> = (1..)
            .zip(modseqs)
            .filter(|(_, modseq)| since == 0 || *modseq > since)
            .map(|(uid, _)| uid)
            .collect();
        assert_eq!(client.changed(&inbox, since), expected, "since {since}");
    }
    client.transact(
        user("jane"),
        vec![put_records("u1", vec![expunged(record(3, 12, b""))])],
    );
    assert_eq!(client.changed(&inbox, 9), [2, 3, 5, 7]);
    assert_eq!(client.changed(&key(INBOX, "u2"), 0), Vec::<u32>::new());
}

pub fn selections_of_records(bench: &Bench) {
    let mut client = bench.client();
    let records: Vec<_> = [2, 3, 5, 8, 13].map(|uid| expunged(record(uid, 1, b""))).to_vec();
    client.transact(
        user("jane"),
        vec![put_mailbox(INBOX, "u1"), put_records("u1", records)],
    );
    let mut select = |uids| -> Vec<u32> {
        client
            .records(&key(INBOX, "u1"), uids)
            .iter()
            .map(|record| record.uid)
            .collect()
    };
    assert_eq!(select(UidSelect::List(vec![1, 2, 5, 6, 13])), [2, 5, 13]);
    assert_eq!(select(UidSelect::List(vec![13, 2, 13])), [2, 13]);
    assert_eq!(select(UidSelect::List(vec![])), Vec::<u32>::new());
    assert_eq!(select(UidSelect::From { uid: 3, limit: 2 }), [3, 5]);
    assert_eq!(select(UidSelect::From { uid: 9, limit: 100 }), [13]);
    assert_eq!(select(UidSelect::From { uid: 0, limit: 0 }), Vec::<u32>::new());
    assert_eq!(
        select(UidSelect::From {
            uid: u32::MAX,
            limit: 5
        }),
        Vec::<u32>::new()
    );
}

pub fn a_live_record_needs_its_message(bench: &Bench) {
    let mut client = bench.client();
    client.transact(user("jane"), vec![put_mailbox(INBOX, "u1")]);
    client.begin(user("jane"));
    let missing = StoreError::NotStaged {
        uid: 4,
        guid: guid(b"nowhere"),
    };
    assert_eq!(
        client.write(vec![put_records("u1", vec![record(4, 1, b"nowhere")])]),
        Err(missing)
    );
    client.done(Request::Rollback);
    client.begin(user("jane"));
    let mut null = record(5, 1, b"");
    null.guid = Guid::NULL;
    let missing = StoreError::NotStaged {
        uid: 5,
        guid: Guid::NULL,
    };
    assert_eq!(client.write(vec![put_records("u1", vec![null])]), Err(missing));
    client.done(Request::Rollback);
    client.begin(user("jane"));
    let nowhere = client.write(vec![put_records("u9", vec![])]);
    assert!(matches!(nowhere, Err(StoreError::NotFound { .. })));
}

pub fn an_expunged_record_takes_a_message_when_there_is_one(bench: &Bench) {
    let mut client = bench.client();
    client.stage(b"one");
    let gone = |uid, data| expunged(record(uid, 1, data));
    client.transact(
        user("jane"),
        vec![
            put_mailbox(INBOX, "u1"),
            put_records("u1", vec![gone(1, b"one"), gone(2, b"two")]),
        ],
    );
    client.done(Request::ForgetStaged);
    assert_eq!(
        client.message(user("jane"), guid(b"one")).as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(client.message(user("jane"), guid(b"two")), None);
    // Coming back to life needs the message.
    client.begin(user("jane"));
    assert!(
        client
            .write(vec![put_records("u1", vec![record(2, 2, b"two")])])
            .is_err()
    );
    client.done(Request::Rollback);
    client.transact(user("jane"), vec![put_records("u1", vec![record(1, 2, b"one")])]);
    assert_eq!(
        client.all_records(&key(INBOX, "u1")),
        [record(1, 2, b"one"), gone(2, b"two")]
    );
}

pub fn messages_go_with_their_last_record(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    client.stage(b"one");
    client.stage(b"two");
    client.transact(
        scope.clone(),
        vec![
            put_mailbox(INBOX, "u1"),
            put_mailbox("user.jane.b", "u2"),
            put_records("u1", vec![record(1, 1, b"one"), record(2, 1, b"two")]),
            put_records("u2", vec![record(1, 1, b"one")]),
        ],
    );
    client.done(Request::ForgetStaged);
    client.transact(scope.clone(), vec![Change::ClearRecords { uniqueid: text("u1") }]);
    assert_eq!(client.all_records(&key(INBOX, "u1")), []);
    assert!(client.message(scope.clone(), guid(b"one")).is_some());
    assert_eq!(client.message(scope.clone(), guid(b"two")), None);
    let remove = Change::RemoveMailbox {
        uniqueid: text("u2"),
        tombstone: None,
    };
    client.transact(scope.clone(), vec![remove]);
    assert_eq!(client.message(scope.clone(), guid(b"one")), None);
    // The numbers that became free serve new messages.
    client.stage(b"three");
    client.transact(
        scope.clone(),
        vec![put_records("u1", vec![record(1, 1, b"three")])],
    );
    assert_eq!(
        client.message(scope, guid(b"three")).as_deref(),
        Some(&b"three"[..])
    );
}

pub fn replacing_a_record_changes_its_message(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    client.stage(b"one");
    client.transact(
        scope.clone(),
        vec![
            put_mailbox(INBOX, "u1"),
            put_records("u1", vec![record(1, 1, b"one")]),
        ],
    );
    client.done(Request::ForgetStaged);
    // The same message again, expunged: it stays.
    client.transact(
        scope.clone(),
        vec![put_records("u1", vec![expunged(record(1, 2, b"one"))])],
    );
    assert!(client.message(scope.clone(), guid(b"one")).is_some());
    // Another message: the first one goes.
    client.stage(b"two");
    client.transact(scope.clone(), vec![put_records("u1", vec![record(1, 3, b"two")])]);
    assert_eq!(client.message(scope.clone(), guid(b"one")), None);
    assert!(client.message(scope, guid(b"two")).is_some());
    assert_eq!(client.all_records(&key(INBOX, "u1")), [record(1, 3, b"two")]);
}

pub fn equal_messages_are_one(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    client.stage(b"");
    client.stage(b"same");
    client.stage(b"same");
    let records = vec![
        record(1, 1, b"same"),
        record(2, 1, b"same"),
        record(3, 1, b""),
        record(3, 1, b""),
    ];
    client.transact(
        scope.clone(),
        vec![put_mailbox(INBOX, "u1"), put_records("u1", records)],
    );
    client.done(Request::ForgetStaged);
    let one = vec![record(1, 2, b""), expunged(record(3, 2, b""))];
    client.transact(scope.clone(), vec![put_records("u1", one)]);
    let both = client.messages(scope.clone(), vec![guid(b"same"), guid(b"")], 100);
    assert_eq!(
        both.iter().map(Option::as_deref).collect::<Vec<_>>(),
        [Some(&b"same"[..]), Some(b"")]
    );
    client.transact(scope.clone(), vec![put_records("u1", vec![record(2, 3, b"")])]);
    assert_eq!(client.message(scope, guid(b"same")), None);
}
