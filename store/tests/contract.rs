//! What the storage tickets promise, shown on both stores by the same tests.

mod common;

use std::time::Duration;

use common::*;
use engine::model::{QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone, UserMeta};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, StagePart, StoreError, UidSelect};
use protocol::{Annotation, Flags, Guid, SystemFlags, Text};
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};

/// A store under test, and what keeps it alive.
struct Bench {
    open: Box<dyn Fn() -> Client>,
    _dir: Option<tempfile::TempDir>,
}

impl Bench {
    fn client(&self) -> Client {
        (self.open)()
    }
}

fn memory() -> Bench {
    let store = MemoryStore::new();
    Bench {
        open: Box::new(move || Client(Box::new(store.session()))),
        _dir: None,
    }
}

fn sqlite() -> Bench {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = Options {
        busy_timeout: Duration::from_millis(20),
        staging_bytes: 100_000,
        connections: 2,
        ..Options::default()
    };
    let store = SqliteStore::open(dir.path(), options).expect("opens");
    Bench {
        open: Box::new(move || Client(Box::new(store.session()))),
        _dir: Some(dir),
    }
}

/// Each test runs on a fresh store of either kind.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_memory { $(#[test] fn $name() { super::$name(&super::memory()); })* }
        mod on_sqlite { $(#[test] fn $name() { super::$name(&super::sqlite()); })* }
    };
}

on_both! {
    an_empty_store_answers
    mailboxes_come_back_whole
    users_mailboxes_come_in_order
    names_and_identities_find_mailboxes
    users_are_those_with_an_inbox
    placeholders_give_way_and_mailboxes_do_not
    renaming_frees_the_name
    a_removed_mailbox_leaves_its_tombstone
    records_come_back_whole
    changed_uids_follow_the_modseq
    selections_of_records
    a_live_record_needs_its_message
    an_expunged_record_takes_a_message_when_there_is_one
    messages_go_with_their_last_record
    replacing_a_record_changes_its_message
    equal_messages_are_one
    large_messages_are_read_in_parts
    batches_of_messages_stop_at_the_limit
    staged_messages_can_be_read_and_forgotten
    refused_messages_are_reported
    reserve_finds_messages_of_other_scopes
    reserved_messages_may_vanish
    nobody_sees_an_open_transaction
    savepoints_go_back_only_so_far
    a_failed_write_takes_no_commit
    one_writer_a_scope
    a_held_read_does_not_move
    what_belongs_to_a_user_comes_back
    scripts_and_their_activation
    removing_a_user_keeps_the_deleted_mailboxes
    server_annotations_live_in_the_shared_scope
    changes_stay_in_their_scope
    moving_a_mailbox_between_scopes
    moves_that_cannot_be
    requests_out_of_order
    a_dropped_session_lets_go
}

const INBOX: &str = "user.jane";

fn an_empty_store_answers(bench: &Bench) {
    let mut client = bench.client();
    assert_eq!(client.users(""), Vec::<Text>::new());
    assert_eq!(client.mailboxes(Select::User(text("jane"))), []);
    assert_eq!(client.mailboxes(Select::Shared), []);
    assert_eq!(
        client.mailboxes(Select::Names(vec![text(INBOX), text("news")])),
        []
    );
    assert_eq!(client.mailboxes(Select::Uniqueids(vec![text("u1")])), []);
    assert_eq!(
        client.ask(Request::Tombstones { scope: user("jane") }),
        Ok(Reply::Tombstones(vec![]))
    );
    let meta = Request::UserMeta { user: text("jane") };
    assert_eq!(client.ask(meta), Ok(Reply::UserMeta(UserMeta::default())));
    assert_eq!(
        client.ask(Request::Quotas { scope: Scope::Shared }),
        Ok(Reply::Quotas(vec![]))
    );
    assert_eq!(
        client.ask(Request::ServerAnnotations),
        Ok(Reply::ServerAnnotations(vec![]))
    );
    let changed = Request::ChangedUids {
        mailbox: key(INBOX, "u1"),
        since_modseq: 0,
    };
    assert!(matches!(client.ask(changed), Err(StoreError::NotFound { .. })));
    let records = Request::Records {
        mailbox: key(INBOX, "u1"),
        uids: UidSelect::From { uid: 1, limit: 1 },
    };
    assert!(matches!(client.ask(records), Err(StoreError::NotFound { .. })));
    assert!(matches!(
        client.part(user("jane"), guid(b"x"), 0, 1),
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(client.message(user("jane"), guid(b"x")), None);
    assert_eq!(client.reserve(&[INBOX], vec![guid(b"x")]), [guid(b"x")]);
}

fn mailboxes_come_back_whole(bench: &Bench) {
    let mut client = bench.client();
    let mut bare = mailbox("user.jane.bare", "u2");
    bare.jmapid = None;
    bare.quotaroot = None;
    bare.xconvmodseq = None;
    bare.usergroups = None;
    bare.compact_emailids = None;
    bare.version = None;
    bare.annotations.clear();
    bare.userflags.clear();
    bare.acl = Text::EMPTY;
    let whole = mailbox(INBOX, "u1");
    let put = [&whole, &bare].map(|mailbox| Change::PutMailbox(Box::new(mailbox.clone())));
    client.transact(user("jane"), put.to_vec());
    assert_eq!(
        client.mailboxes(Select::User(text("jane"))),
        [whole.clone(), bare.clone()]
    );
    assert_eq!(
        bench.client().mailboxes(Select::User(text("jane"))),
        [whole, bare]
    );
}

fn users_mailboxes_come_in_order(bench: &Bench) {
    let mut client = bench.client();
    let ordered = [
        "user.jane",
        "user.jane.#sieve",
        "user.jane.A",
        "user.jane.A B",
        "user.jane.A.x",
        "user.jane.b",
        "DELETED.user.jane.A.5F000000",
        "DELETED.user.jane.Z.5F000000",
    ];
    let put = ordered
        .iter()
        .rev()
        .map(|name| put_mailbox(name, &format!("id of {name}")));
    client.transact(user("jane"), put.collect());
    assert_eq!(client.names(Select::User(text("jane"))), ordered);
    let shared = ["DELETED.news.5F000000", "news", "news.a"];
    let put = shared
        .iter()
        .rev()
        .map(|name| put_mailbox(name, &format!("id of {name}")));
    client.transact(Scope::Shared, put.collect());
    assert_eq!(client.names(Select::Shared), shared);
    assert_eq!(client.names(Select::User(text("jane"))).len(), ordered.len());
}

fn names_and_identities_find_mailboxes(bench: &Bench) {
    let mut client = bench.client();
    client.transact(
        user("jane"),
        vec![put_mailbox(INBOX, "u1"), put_mailbox("user.jane.Sent", "u2")],
    );
    client.transact(user("joe"), vec![put_mailbox("user.joe", "u3")]);
    client.transact(Scope::Shared, vec![put_mailbox("news", "u4")]);
    let wanted = ["news", "user.joe", "user.none", "user.jane.Sent", "user.jane"];
    let names = wanted.iter().map(|name| text(name)).collect();
    assert_eq!(
        client.names(Select::Names(names)),
        ["news", "user.joe", "user.jane.Sent", "user.jane"]
    );
    let ids = ["u4", "u1", "none", "u3", "u2"]
        .iter()
        .map(|id| text(id))
        .collect();
    assert_eq!(
        client.names(Select::Uniqueids(ids)),
        ["news", "user.jane", "user.joe", "user.jane.Sent"]
    );
    // The same identity in two scopes: the first of them answers, also while it is only in the open transaction.
    client.begin(user("adam"));
    client.write(vec![put_mailbox("user.adam", "u3")]).expect("fine");
    assert_eq!(client.names(Select::Uniqueids(vec![text("u3")])), ["user.adam"]);
    assert_eq!(
        bench.client().names(Select::Uniqueids(vec![text("u3")])),
        ["user.joe"]
    );
}

fn users_are_those_with_an_inbox(bench: &Bench) {
    let mut client = bench.client();
    for (id, name) in [
        ("jane", "user.jane"),
        ("jane.doe", "user.jane^doe"),
        ("bob@example.org", "example.org!user.bob"),
        ("gone", "DELETED.user.gone.5F000000"),
        ("sub", "user.sub.x"),
        ("odd/../id", "user.odd/^^/id"),
    ] {
        client.transact(user(id), vec![put_mailbox(name, name)]);
    }
    client.transact(
        user("place"),
        vec![Change::PutMailbox(Box::new(placeholder("user.place", "p")))],
    );
    client.transact(Scope::Shared, vec![put_mailbox("news", "n")]);
    assert_eq!(
        client.users(""),
        ["bob@example.org", "jane", "jane.doe", "odd/../id"]
    );
    assert_eq!(client.users("jane"), ["jane", "jane.doe"]);
    assert_eq!(client.users("jane."), ["jane.doe"]);
    assert_eq!(client.users("x"), Vec::<Text>::new());
}

fn placeholders_give_way_and_mailboxes_do_not(bench: &Bench) {
    let mut client = bench.client();
    client.transact(
        user("jane"),
        vec![Change::PutMailbox(Box::new(placeholder("user.jane.a", "p")))],
    );
    client.transact(user("jane"), vec![put_mailbox("user.jane.a", "u1")]);
    let found = client.mailboxes(Select::User(text("jane")));
    assert_eq!(found, [mailbox("user.jane.a", "u1")]);
    assert_eq!(client.mailboxes(Select::Uniqueids(vec![text("p")])), []);
    let tombstones = Request::Tombstones { scope: user("jane") };
    assert_eq!(client.ask(tombstones), Ok(Reply::Tombstones(vec![])));
    client.begin(user("jane"));
    for taker in [mailbox("user.jane.a", "u2"), placeholder("user.jane.a", "u2")] {
        client.done(Request::Savepoint);
        let taken = client.write(vec![Change::PutMailbox(Box::new(taker))]);
        assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
        client.done(Request::RollbackToSavepoint);
    }
}

fn renaming_frees_the_name(bench: &Bench) {
    let mut client = bench.client();
    client.transact(
        user("jane"),
        vec![put_mailbox(INBOX, "u1"), put_mailbox("user.jane.a", "u2")],
    );
    client.stage(b"one");
    client.transact(user("jane"), vec![put_records("u2", vec![record(1, 5, b"one")])]);
    client.transact(
        user("jane"),
        vec![
            put_mailbox("user.jane.b", "u2"),
            put_mailbox("user.jane.a", "u3"),
            put_mailbox(INBOX, "u1"),
        ],
    );
    assert_eq!(
        client.names(Select::User(text("jane"))),
        ["user.jane", "user.jane.a", "user.jane.b"]
    );
    assert_eq!(client.all_records(&key(INBOX, "u2")), [record(1, 5, b"one")]);
    assert_eq!(client.all_records(&key(INBOX, "u3")), []);
}

fn a_removed_mailbox_leaves_its_tombstone(bench: &Bench) {
    let mut client = bench.client();
    let tombstone = |id: &str, deleted_at| Tombstone {
        uniqueid: text(id),
        name: text("user.jane.a"),
        highestmodseq: u64::MAX,
        deleted_at,
    };
    let remove = |id: &str, tombstone| Change::RemoveMailbox {
        uniqueid: text(id),
        tombstone,
    };
    client.transact(
        user("jane"),
        vec![put_mailbox("user.jane.a", "u1"), put_mailbox("user.jane.b", "u2")],
    );
    client.transact(
        user("jane"),
        vec![remove("u1", Some(tombstone("u1", 5))), remove("u2", None)],
    );
    assert_eq!(client.mailboxes(Select::User(text("jane"))), []);
    assert_eq!(client.mailboxes(Select::Uniqueids(vec![text("u1")])), []);
    let tombstones = Request::Tombstones { scope: user("jane") };
    assert_eq!(
        client.ask(tombstones.clone()),
        Ok(Reply::Tombstones(vec![tombstone("u1", 5)]))
    );
    // Coming back drops it.
    client.transact(user("jane"), vec![put_mailbox("user.jane.c", "u1")]);
    assert_eq!(client.ask(tombstones), Ok(Reply::Tombstones(vec![])));
    client.begin(user("jane"));
    let missing = client.write(vec![remove("u9", Some(tombstone("u9", 5)))]);
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

fn records_come_back_whole(bench: &Bench) {
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

fn changed_uids_follow_the_modseq(bench: &Bench) {
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

fn selections_of_records(bench: &Bench) {
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

fn a_live_record_needs_its_message(bench: &Bench) {
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

fn an_expunged_record_takes_a_message_when_there_is_one(bench: &Bench) {
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

fn messages_go_with_their_last_record(bench: &Bench) {
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

fn replacing_a_record_changes_its_message(bench: &Bench) {
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

fn equal_messages_are_one(bench: &Bench) {
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

fn large_messages_are_read_in_parts(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    let chunk = 256 * 1024;
    let pattern = |len: usize| (0..len).map(|at| (at * 31 % 251) as u8).collect::<Vec<u8>>();
    for len in [chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk + 77] {
        let data = pattern(len);
        client.stage(&data);
        let ranges = [
            (0, 10),
            (0, u32::MAX),
            (chunk - 3, 7),
            (len - 1, 5),
            (len, 5),
            (len + 5, 5),
            (0, 0),
            (100, 2 * chunk as u32),
        ];
        let check = |client: &mut Client| {
            for (offset, len_max) in ranges {
                let (size, part) = client
                    .part(scope.clone(), guid(&data), offset as u64, len_max)
                    .expect("reads");
                let end = offset.saturating_add(len_max as usize).min(len);
                let expected = data.get(offset..end).unwrap_or_default();
                assert_eq!(size, len as u64);
                assert!(
                    part == expected,
                    "{len} bytes, from {offset}, {len_max} asked, {} got",
                    part.len()
                );
            }
            assert_eq!(
                client.message(scope.clone(), guid(&data)).as_deref(),
                Some(&data[..])
            );
        };
        check(&mut client);
        let put = vec![
            put_mailbox(INBOX, "u1"),
            put_records("u1", vec![record(len as u32, 1, &data)]),
        ];
        client.transact(scope.clone(), put);
        client.done(Request::ForgetStaged);
        check(&mut client);
    }
}

fn batches_of_messages_stop_at_the_limit(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    let [a, b, c] = [&b"aaaaaaaaaa"[..], b"bbbbb", b"cc"];
    [a, b, c].iter().for_each(|data| client.stage(data));
    let stored = vec![record(1, 1, a), record(2, 1, b)];
    client.transact(
        scope.clone(),
        vec![put_mailbox(INBOX, "u1"), put_records("u1", stored)],
    );
    let guids = vec![guid(a), guid(b"?"), guid(b), guid(c)];
    let mut lens = |bytes_max| -> Vec<Option<usize>> {
        let found = client.messages(scope.clone(), guids.clone(), bytes_max);
        found
            .iter()
            .map(|message| message.as_ref().map(|data| data.len()))
            .collect()
    };
    assert_eq!(lens(100), [Some(10), None, Some(5), Some(2)]);
    assert_eq!(lens(17), [Some(10), None, Some(5), Some(2)]);
    assert_eq!(lens(16), [Some(10), None, Some(5)]);
    assert_eq!(lens(14), [Some(10), None]);
    assert_eq!(lens(10), [Some(10), None]);
    assert_eq!(lens(1), [Some(10)]);
    assert_eq!(client.messages(scope, vec![], 10), []);
}

fn staged_messages_can_be_read_and_forgotten(bench: &Bench) {
    let mut client = bench.client();
    client.stage(b"staged");
    let (size, part) = client.part(user("jane"), guid(b"staged"), 2, 3).expect("reads");
    assert_eq!((size, &part[..]), (6, &b"age"[..]));
    assert_eq!(
        client.message(Scope::Shared, guid(b"staged")).as_deref(),
        Some(&b"staged"[..])
    );
    assert_eq!(bench.client().message(Scope::Shared, guid(b"staged")), None);
    assert_eq!(
        client.reserve(&[], vec![guid(b"staged"), guid(b"?")]),
        [guid(b"?")]
    );
    client.done(Request::ForgetStaged);
    assert_eq!(client.message(Scope::Shared, guid(b"staged")), None);
    assert_eq!(client.reserve(&[], vec![guid(b"staged")]), [guid(b"staged")]);
}

fn refused_messages_are_reported(bench: &Bench) {
    let mut client = bench.client();
    let mut parts = upload(b"good");
    let StagePart::Open { guid: announced, .. } = &mut parts[0] else {
        panic!("opens")
    };
    *announced = guid(b"other");
    parts.extend(upload(b"fine"));
    let refused = engine::ticket::RefusedMessage {
        announced: guid(b"other"),
        actual: guid(b"good"),
    };
    assert_eq!(
        client.ask(Request::Stage(parts)),
        Ok(Reply::Staged {
            refused: vec![refused]
        })
    );
    for absent in [guid(b"other"), guid(b"good")] {
        assert_eq!(client.message(Scope::Shared, absent), None);
    }
    assert!(client.message(Scope::Shared, guid(b"fine")).is_some());
    let out_of_order = client.ask(Request::Stage(vec![StagePart::Close]));
    assert!(matches!(out_of_order, Err(StoreError::Misuse { .. })));
}

/// A message of `joe`, for others to reserve.
fn joe_has(client: &mut Client, data: &[u8]) {
    client.stage(data);
    client.transact(
        user("joe"),
        vec![
            put_mailbox("user.joe", "j1"),
            put_records("j1", vec![record(1, 1, data)]),
        ],
    );
    client.done(Request::ForgetStaged);
}

fn reserve_finds_messages_of_other_scopes(bench: &Bench) {
    let mut client = bench.client();
    let big = vec![7u8; 600_000];
    joe_has(&mut client, &big);
    assert_eq!(
        client.reserve(&["user.jane", "news"], vec![guid(&big)]),
        [guid(&big)]
    );
    let wanted = vec![guid(b"?"), guid(&big), Guid::NULL];
    assert_eq!(
        client.reserve(&["user.jane", "user.joe.Sent"], wanted),
        [guid(b"?"), Guid::NULL]
    );
    assert_eq!(
        client.message(user("jane"), guid(&big)).as_deref(),
        Some(&big[..])
    );
    let put = vec![
        put_mailbox(INBOX, "u1"),
        put_records("u1", vec![record(1, 1, &big)]),
    ];
    client.transact(user("jane"), put);
    client.done(Request::ForgetStaged);
    // A copy of its own: the first one may go.
    client.transact(user("joe"), vec![Change::ClearRecords { uniqueid: text("j1") }]);
    assert_eq!(client.message(user("joe"), guid(&big)), None);
    assert_eq!(
        client.message(user("jane"), guid(&big)).as_deref(),
        Some(&big[..])
    );
}

fn reserved_messages_may_vanish(bench: &Bench) {
    let mut client = bench.client();
    joe_has(&mut client, b"one");
    assert_eq!(client.reserve(&["user.joe"], vec![guid(b"one")]), []);
    bench
        .client()
        .transact(user("joe"), vec![Change::ClearRecords { uniqueid: text("j1") }]);
    client.begin(user("jane"));
    let put = vec![
        put_mailbox(INBOX, "u1"),
        put_records("u1", vec![record(1, 1, b"one")]),
    ];
    assert_eq!(
        client.write(put),
        Err(StoreError::NotStaged {
            uid: 1,
            guid: guid(b"one")
        })
    );
    client.done(Request::Rollback);
    // Uploaded after all.
    client.stage(b"one");
    let put = vec![
        put_mailbox(INBOX, "u1"),
        put_records("u1", vec![record(1, 1, b"one")]),
    ];
    client.transact(user("jane"), put);
}

fn nobody_sees_an_open_transaction(bench: &Bench) {
    let (mut writer, mut reader) = (bench.client(), bench.client());
    let inbox = key(INBOX, "u1");
    writer.stage(b"one");
    writer.begin(user("jane"));
    writer
        .write(vec![
            put_mailbox(INBOX, "u1"),
            put_records("u1", vec![record(1, 1, b"one")]),
        ])
        .expect("fine");
    assert_eq!(writer.all_records(&inbox), [record(1, 1, b"one")]);
    assert_eq!(writer.names(Select::Uniqueids(vec![text("u1")])), ["user.jane"]);
    assert_eq!(writer.users(""), ["jane"]);
    assert_eq!(reader.names(Select::User(text("jane"))), Vec::<String>::new());
    assert_eq!(reader.message(user("jane"), guid(b"one")), None);
    assert_eq!(reader.users(""), Vec::<Text>::new());
    writer.done(Request::Commit);
    assert_eq!(reader.all_records(&inbox), [record(1, 1, b"one")]);
    writer.begin(user("jane"));
    writer
        .write(vec![Change::ClearRecords { uniqueid: text("u1") }])
        .expect("fine");
    assert_eq!(writer.all_records(&inbox), []);
    assert_eq!(reader.all_records(&inbox), [record(1, 1, b"one")]);
    writer.done(Request::Rollback);
    assert_eq!(writer.all_records(&inbox), [record(1, 1, b"one")]);
}

fn savepoints_go_back_only_so_far(bench: &Bench) {
    let mut client = bench.client();
    let inbox = key(INBOX, "u1");
    let with_keyword = |uid, keyword: &str| {
        let mut record = expunged(record(uid, 1, b""));
        record.flags.keywords = vec![text(keyword)];
        record
    };
    client.begin(user("jane"));
    client.write(vec![put_mailbox(INBOX, "u1")]).expect("fine");
    client.done(Request::Savepoint);
    client
        .write(vec![put_records("u1", vec![with_keyword(1, "first")])])
        .expect("fine");
    client.done(Request::RollbackToSavepoint);
    client
        .write(vec![put_records("u1", vec![with_keyword(2, "second")])])
        .expect("fine");
    client.done(Request::Savepoint);
    client
        .write(vec![put_records("u1", vec![with_keyword(3, "third")])])
        .expect("fine");
    client.done(Request::RollbackToSavepoint);
    client.done(Request::RollbackToSavepoint);
    client
        .write(vec![put_records("u1", vec![with_keyword(4, "fourth")])])
        .expect("fine");
    client.done(Request::Commit);
    let expected = [with_keyword(2, "second"), with_keyword(4, "fourth")];
    assert_eq!(client.all_records(&inbox), expected);
    assert_eq!(bench.client().all_records(&inbox), expected);
    client.begin(user("jane"));
    assert!(matches!(
        client.ask(Request::RollbackToSavepoint),
        Err(StoreError::Misuse { .. })
    ));
}

fn a_failed_write_takes_no_commit(bench: &Bench) {
    let mut client = bench.client();
    client.begin(user("jane"));
    client.write(vec![put_mailbox(INBOX, "u1")]).expect("fine");
    client.done(Request::Savepoint);
    let bad = vec![
        put_mailbox("user.jane.x", "u2"),
        put_records("u2", vec![record(1, 1, b"nowhere")]),
    ];
    assert!(client.write(bad).is_err());
    for refused in [Request::Commit, Request::Savepoint, Request::Write(vec![])] {
        assert!(matches!(client.ask(refused), Err(StoreError::Misuse { .. })));
    }
    client.done(Request::RollbackToSavepoint);
    client.done(Request::Commit);
    assert_eq!(client.names(Select::User(text("jane"))), ["user.jane"]);
}

fn one_writer_a_scope(bench: &Bench) {
    let (mut one, mut two) = (bench.client(), bench.client());
    one.begin(user("jane"));
    let locked = two.ask(Request::Begin { scope: user("jane") });
    assert_eq!(
        locked,
        Err(StoreError::Locked {
            what: "user jane".to_owned()
        })
    );
    two.begin(user("joe"));
    two.done(Request::Rollback);
    one.done(Request::Rollback);
    two.begin(user("jane"));
    let locked = one.ask(Request::Begin { scope: user("jane") });
    assert!(matches!(locked, Err(StoreError::Locked { .. })));
    two.done(Request::Commit);
    one.begin(user("jane"));
}

fn a_held_read_does_not_move(bench: &Bench) {
    let (mut writer, mut reader) = (bench.client(), bench.client());
    writer.transact(user("jane"), vec![put_mailbox(INBOX, "u1")]);
    reader.done(Request::BeginRead { scope: user("jane") });
    writer.transact(user("jane"), vec![put_mailbox("user.jane.a", "u2")]);
    writer.transact(user("joe"), vec![put_mailbox("user.joe", "u3")]);
    assert_eq!(reader.names(Select::User(text("jane"))), ["user.jane"]);
    assert_eq!(
        reader.names(Select::Uniqueids(vec![text("u2")])),
        Vec::<String>::new()
    );
    assert_eq!(reader.names(Select::User(text("joe"))), ["user.joe"]);
    // Writing elsewhere goes on meanwhile.
    reader.transact(user("joe"), vec![put_mailbox("user.joe.b", "u4")]);
    reader.done(Request::EndRead);
    assert_eq!(
        reader.names(Select::User(text("jane"))),
        ["user.jane", "user.jane.a"]
    );
    // What was not there when the read began stays away.
    reader.done(Request::BeginRead { scope: user("new") });
    writer.transact(user("new"), vec![put_mailbox("user.new", "u5")]);
    assert_eq!(reader.names(Select::User(text("new"))), Vec::<String>::new());
    reader.done(Request::EndRead);
    reader.done(Request::EndRead);
    assert_eq!(reader.names(Select::User(text("new"))), ["user.new"]);
}

fn what_belongs_to_a_user_comes_back(bench: &Bench) {
    let mut client = bench.client();
    let seen = |id: &str, lastuid| SeenState {
        uniqueid: text(id),
        lastread: -1,
        lastuid,
        lastchange: 9,
        seenuids: text("1:3,5"),
    };
    let quota = |root: &str, storage| QuotaLimits {
        root: text(root),
        storage,
        message: None,
        annotation_storage: Some(0),
        num_folders: Some(u32::MAX),
        modseq: u64::MAX,
    };
    let subscribe = |name: &str| Change::Subscribe { mailbox: text(name) };
    client.transact(
        user("jane"),
        vec![
            Change::PutSeen(seen("u2", 1)),
            Change::PutSeen(seen("u1", u32::MAX)),
            Change::PutSeen(seen("u2", 7)),
            subscribe("user.jane.b"),
            subscribe("user.jane.a"),
            subscribe("user.jane.a"),
            subscribe("news"),
            Change::Unsubscribe {
                mailbox: text("news"),
            },
            Change::Unsubscribe {
                mailbox: text("never"),
            },
            Change::PutQuota(quota("user.jane.x", None)),
            Change::PutQuota(quota("user.jane", None)),
            Change::PutQuota(quota("user.jane", Some(5))),
            Change::PutQuota(quota("user.jane.y", None)),
            Change::RemoveQuota {
                root: text("user.jane.y"),
            },
            Change::RemoveQuota {
                root: text("user.jane.z"),
            },
        ],
    );
    let mut client = bench.client();
    let meta = UserMeta {
        seen: vec![seen("u1", u32::MAX), seen("u2", 7)],
        subscriptions: vec![text("user.jane.a"), text("user.jane.b")],
        ..UserMeta::default()
    };
    assert_eq!(
        client.ask(Request::UserMeta { user: text("jane") }),
        Ok(Reply::UserMeta(meta))
    );
    let quotas = vec![quota("user.jane", Some(5)), quota("user.jane.x", None)];
    assert_eq!(
        client.ask(Request::Quotas { scope: user("jane") }),
        Ok(Reply::Quotas(quotas))
    );
}

fn script(name: &str, content: &str) -> SieveScript {
    SieveScript {
        name: text(name),
        last_update: 5,
        guid: guid(content.as_bytes()),
        content: text(content),
    }
}

fn scripts_and_their_activation(bench: &Bench) {
    let mut client = bench.client();
    let active = |client: &mut Client| match client.ask(Request::UserMeta { user: text("jane") }) {
        Ok(Reply::UserMeta(meta)) => (meta.scripts, meta.active_script),
        other => panic!("{other:?}"),
    };
    let activate = |name: Option<&str>| Change::ActivateScript { name: name.map(text) };
    let put = |name, content| Change::PutScript(script(name, content));
    client.transact(
        user("jane"),
        vec![
            put("b", "stop;"),
            put("a", "keep;"),
            put("b", "discard;"),
            activate(Some("b")),
        ],
    );
    assert_eq!(
        active(&mut client),
        (
            vec![script("a", "keep;"), script("b", "discard;")],
            Some(text("b"))
        )
    );
    client.transact(user("jane"), vec![Change::RemoveScript { name: text("a") }]);
    assert_eq!(
        active(&mut client),
        (vec![script("b", "discard;")], Some(text("b")))
    );
    client.transact(user("jane"), vec![activate(None)]);
    assert_eq!(active(&mut client).1, None);
    client.transact(
        user("jane"),
        vec![activate(Some("b")), Change::RemoveScript { name: text("b") }],
    );
    assert_eq!(active(&mut client), (vec![], None));
    client.begin(user("jane"));
    assert!(matches!(
        client.write(vec![activate(Some("b"))]),
        Err(StoreError::NotFound { .. })
    ));
}

fn removing_a_user_keeps_the_deleted_mailboxes(bench: &Bench) {
    let mut client = bench.client();
    let deleted = "DELETED.user.jane.x.5F000000";
    client.stage(b"kept");
    client.stage(b"gone");
    let old = Tombstone {
        uniqueid: text("u0"),
        name: text("user.jane.o"),
        highestmodseq: 2,
        deleted_at: 1,
    };
    client.transact(
        user("jane"),
        vec![
            put_mailbox(INBOX, "u1"),
            put_mailbox(deleted, "u2"),
            Change::PutMailbox(Box::new(placeholder("user.jane.p", "u3"))),
            put_mailbox("user.jane.o", "u0"),
            Change::RemoveMailbox {
                uniqueid: text("u0"),
                tombstone: Some(old.clone()),
            },
            put_records("u1", vec![record(1, 1, b"gone"), record(2, 1, b"kept")]),
            put_records("u2", vec![record(1, 1, b"kept")]),
            Change::Subscribe {
                mailbox: text("news"),
            },
            Change::PutScript(script("a", "keep;")),
            Change::ActivateScript {
                name: Some(text("a")),
            },
            Change::PutQuota(QuotaLimits {
                root: text(INBOX),
                ..QuotaLimits::default()
            }),
        ],
    );
    client.done(Request::ForgetStaged);
    client.transact(user("jane"), vec![Change::RemoveUser { deleted_at: 77 }]);
    assert_eq!(client.names(Select::User(text("jane"))), [deleted]);
    assert_eq!(client.users(""), Vec::<Text>::new());
    assert_eq!(client.message(user("jane"), guid(b"gone")), None);
    assert!(client.message(user("jane"), guid(b"kept")).is_some());
    let meta = client.ask(Request::UserMeta { user: text("jane") });
    assert_eq!(meta, Ok(Reply::UserMeta(UserMeta::default())));
    assert_eq!(
        client.ask(Request::Quotas { scope: user("jane") }),
        Ok(Reply::Quotas(vec![]))
    );
    let left = |id: &str, name: &str| Tombstone {
        uniqueid: text(id),
        name: text(name),
        highestmodseq: mailbox(name, id).highestmodseq,
        deleted_at: 77,
    };
    let tombstones = vec![old, left("u1", INBOX), left("u3", "user.jane.p")];
    assert_eq!(
        client.ask(Request::Tombstones { scope: user("jane") }),
        Ok(Reply::Tombstones(tombstones))
    );
}

fn server_annotations_live_in_the_shared_scope(bench: &Bench) {
    let mut client = bench.client();
    let annotation = |entry: &str, userid: &str, value: &[u8]| ServerAnnotation {
        entry: text(entry),
        userid: text(userid),
        value: Text::copy_from(value),
    };
    let put = |entry, userid, value| Change::PutServerAnnotation(annotation(entry, userid, value));
    client.transact(
        Scope::Shared,
        vec![
            put("/motd", "jane", b"x"),
            put("/motd", "", b"\0\xff"),
            put("/admin", "", b"root"),
            put("/motd", "", b"new"),
            Change::RemoveServerAnnotation {
                entry: text("/admin"),
                userid: Text::EMPTY,
            },
            Change::RemoveServerAnnotation {
                entry: text("/none"),
                userid: Text::EMPTY,
            },
        ],
    );
    let expected = vec![annotation("/motd", "", b"new"), annotation("/motd", "jane", b"x")];
    assert_eq!(
        client.ask(Request::ServerAnnotations),
        Ok(Reply::ServerAnnotations(expected))
    );
}

fn changes_stay_in_their_scope(bench: &Bench) {
    let mut client = bench.client();
    let annotation = ServerAnnotation {
        entry: text("/motd"),
        userid: Text::EMPTY,
        value: text("x"),
    };
    let foreign = [
        (user("jane"), put_mailbox("user.joe", "u1")),
        (user("jane"), put_mailbox("news", "u1")),
        (user("jane"), Change::PutServerAnnotation(annotation)),
        (Scope::Shared, put_mailbox(INBOX, "u1")),
        (
            Scope::Shared,
            Change::Subscribe {
                mailbox: text("news"),
            },
        ),
        (Scope::Shared, Change::RemoveUser { deleted_at: 1 }),
    ];
    for (scope, change) in foreign {
        client.begin(scope);
        assert!(matches!(
            client.write(vec![change]),
            Err(StoreError::Misuse { .. })
        ));
        client.done(Request::Rollback);
    }
}

fn moving_a_mailbox_between_scopes(bench: &Bench) {
    let mut client = bench.client();
    let big = vec![9u8; 300_000];
    client.stage(&big);
    client.stage(b"both");
    let mut records = vec![
        record(1, 1, &big),
        record(2, 2, b"both"),
        expunged(record(3, 3, b"no bytes")),
    ];
    records[0].flags.keywords = vec![text("moved")];
    client.transact(
        user("joe"),
        vec![
            put_mailbox("user.joe", "j1"),
            put_records("j1", vec![record(1, 1, b"both")]),
        ],
    );
    client.transact(
        user("jane"),
        vec![
            put_mailbox("user.jane.m", "u1"),
            put_records("u1", records.clone()),
        ],
    );
    client.done(Request::ForgetStaged);
    let target = mailbox("user.joe.moved", "u1");
    client.done(Request::MoveMailbox {
        from: key(INBOX, "u1"),
        to: Box::new(target.clone()),
    });
    assert_eq!(client.names(Select::User(text("jane"))), Vec::<String>::new());
    assert_eq!(client.mailboxes(Select::Uniqueids(vec![text("u1")])), [target]);
    assert_eq!(client.all_records(&key("user.joe", "u1")), records);
    assert_eq!(client.message(user("jane"), guid(&big)), None);
    assert_eq!(client.message(user("joe"), guid(&big)).as_deref(), Some(&big[..]));
    assert_eq!(client.message(user("joe"), guid(b"no bytes")), None);
    client.transact(
        user("joe"),
        vec![Change::RemoveMailbox {
            uniqueid: text("j1"),
            tombstone: None,
        }],
    );
    assert!(client.message(user("joe"), guid(b"both")).is_some());
    // To the shared mailboxes, and within a scope, where it is a rename.
    let news = mailbox("news", "u1");
    client.done(Request::MoveMailbox {
        from: key("user.joe", "u1"),
        to: Box::new(news),
    });
    client.done(Request::MoveMailbox {
        from: key("news", "u1"),
        to: Box::new(mailbox("olds", "u1")),
    });
    assert_eq!(client.names(Select::Uniqueids(vec![text("u1")])), ["olds"]);
    assert_eq!(client.all_records(&key("news", "u1")), records);
}

fn moves_that_cannot_be(bench: &Bench) {
    let (mut client, mut other) = (bench.client(), bench.client());
    client.transact(user("jane"), vec![put_mailbox("user.jane.m", "u1")]);
    client.transact(user("joe"), vec![put_mailbox("user.joe.m", "j1")]);
    let to = |id: &str, name: &str, new_id: &str| Request::MoveMailbox {
        from: key(INBOX, id),
        to: Box::new(mailbox(name, new_id)),
    };
    assert!(matches!(
        client.ask(to("u9", "user.joe.x", "u9")),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        client.ask(to("u1", "user.joe.m", "u1")),
        Err(StoreError::Conflict { .. })
    ));
    assert!(matches!(
        client.ask(to("u1", "user.jane.x", "u2")),
        Err(StoreError::Misuse { .. })
    ));
    for held in ["jane", "joe"] {
        other.begin(user(held));
        assert!(
            matches!(
                client.ask(to("u1", "user.joe.x", "u1")),
                Err(StoreError::Locked { .. })
            ),
            "{held}"
        );
        other.done(Request::Rollback);
    }
    client.begin(user("jane"));
    assert!(matches!(
        client.ask(to("u1", "user.joe.x", "u1")),
        Err(StoreError::Misuse { .. })
    ));
    client.done(Request::Rollback);
    assert_eq!(client.names(Select::User(text("jane"))), ["user.jane.m"]);
    assert_eq!(client.names(Select::User(text("joe"))), ["user.joe.m"]);
}

fn requests_out_of_order(bench: &Bench) {
    let mut client = bench.client();
    for request in [
        Request::Commit,
        Request::Savepoint,
        Request::RollbackToSavepoint,
        Request::Write(vec![]),
    ] {
        assert!(matches!(client.ask(request), Err(StoreError::Misuse { .. })));
    }
    client.done(Request::Rollback);
    client.done(Request::EndRead);
    client.begin(user("jane"));
    for request in [
        Request::Begin { scope: user("joe") },
        Request::BeginRead { scope: user("jane") },
    ] {
        assert!(matches!(client.ask(request), Err(StoreError::Misuse { .. })));
    }
    client.done(Request::Rollback);
    client.done(Request::BeginRead { scope: user("jane") });
    for request in [
        Request::Begin { scope: user("jane") },
        Request::BeginRead { scope: user("joe") },
    ] {
        assert!(matches!(client.ask(request), Err(StoreError::Misuse { .. })));
    }
}

fn a_dropped_session_lets_go(bench: &Bench) {
    let mut one = bench.client();
    one.begin(user("jane"));
    one.write(vec![put_mailbox(INBOX, "u1")]).expect("fine");
    drop(one);
    let mut two = bench.client();
    assert_eq!(two.names(Select::User(text("jane"))), Vec::<String>::new());
    two.begin(user("jane"));
}
