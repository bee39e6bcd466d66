//! Mailboxes: values, names, identities, order, removal, moves.

use engine::model::{Tombstone, UserMeta};
use engine::name::Scope;
use engine::ticket::{Change, Expired, Reply, Request, Select, StoreError, UidSelect};
use protocol::Text;

use crate::common::*;
use crate::{Bench, INBOX};

pub fn an_empty_store_answers(bench: &Bench) {
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

pub fn mailboxes_come_back_whole(bench: &Bench) {
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

pub fn users_mailboxes_come_in_order(bench: &Bench) {
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

pub fn names_and_identities_find_mailboxes(bench: &Bench) {
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

pub fn users_are_those_with_an_inbox(bench: &Bench) {
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

pub fn placeholders_give_way_and_mailboxes_do_not(bench: &Bench) {
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

pub fn renaming_frees_the_name(bench: &Bench) {
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

pub fn a_removed_mailbox_leaves_its_tombstone(bench: &Bench) {
    let mut client = bench.client();
    let tombstone = |id: &str, deleted_at| Tombstone {
        uniqueid: text(id),
        name: text("user.jane.a"),
        highestmodseq: u64::MAX,
        uidvalidity: u32::MAX,
        deleted_at,
        gave_way: true,
    };
    let remove = |id: &str, tombstone| Change::RemoveMailbox {
        uniqueid: text(id),
        tombstone,
    };
    client.transact(
        user("jane"),
        vec![put_mailbox("user.jane.a", "u1"), put_mailbox("user.jane.b", "u2")],
    );
    client.stage(b"one");
    client.stage(b"two");
    let held = vec![record(1, 5, b"one"), expunged(record(4, 6, b"two"))];
    client.transact(user("jane"), vec![put_records("u1", held)]);
    client.transact(
        user("jane"),
        vec![remove("u1", Some(tombstone("u1", 5))), remove("u2", None)],
    );
    let deleted = |id: &str, above_uid, limit| Request::Deleted {
        scope: user("jane"),
        uniqueid: text(id),
        above_uid,
        limit,
    };
    let both = vec![(1, guid(b"one")), (4, guid(b"two"))];
    assert_eq!(client.ask(deleted("u1", 0, 9)), Ok(Reply::Deleted(both.clone())));
    assert_eq!(
        client.ask(deleted("u1", 0, 1)),
        Ok(Reply::Deleted(both[..1].to_vec()))
    );
    assert_eq!(
        client.ask(deleted("u1", 1, 9)),
        Ok(Reply::Deleted(both[1..].to_vec()))
    );
    assert_eq!(client.ask(deleted("u2", 0, 9)), Ok(Reply::Deleted(vec![])));
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
    assert_eq!(client.ask(deleted("u1", 0, 9)), Ok(Reply::Deleted(vec![])));
    client.begin(user("jane"));
    let missing = client.write(vec![remove("u9", Some(tombstone("u9", 5)))]);
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

pub fn moving_a_mailbox_between_scopes(bench: &Bench) {
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

pub fn moves_that_cannot_be(bench: &Bench) {
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

/// What a crash between the two commits of a move leaves behind: the mailbox is in both scopes.
pub fn a_move_can_be_repeated(bench: &Bench) {
    let mut client = bench.client();
    client.stage(b"one");
    client.stage(b"two");
    let both = vec![record(1, 1, b"one"), record(2, 2, b"two")];
    client.transact(
        user("jane"),
        vec![put_mailbox("user.jane.m", "u1"), put_records("u1", both.clone())],
    );
    let copied = vec![record(1, 1, b"one"), record(7, 7, b"two")];
    client.transact(
        user("joe"),
        vec![put_mailbox("user.joe.m", "u1"), put_records("u1", copied)],
    );
    client.done(Request::ForgetStaged);
    let target = mailbox("user.joe.m", "u1");
    client.done(Request::MoveMailbox {
        from: key(INBOX, "u1"),
        to: Box::new(target),
    });
    assert_eq!(client.all_records(&key("user.joe", "u1")), both);
    assert_eq!(client.names(Select::Uniqueids(vec![text("u1")])), ["user.joe.m"]);
    assert_eq!(client.names(Select::User(text("jane"))), Vec::<String>::new());
    assert_eq!(
        client.message(user("joe"), guid(b"two")).as_deref(),
        Some(&b"two"[..])
    );
}

pub fn expiry_takes_what_is_old_and_deleted_only(bench: &Bench) {
    let mut client = bench.client();
    let scope = user("jane");
    let at = |mut record: protocol::Record, last_updated| {
        record.last_updated = last_updated;
        record
    };
    for data in [&b"live"[..], b"old", b"new", b"shared"] {
        client.stage(data);
    }
    let records = vec![
        at(record(1, 1, b"live"), 5),
        at(expunged(record(2, 2, b"old")), 5),
        at(expunged(record(3, 3, b"new")), 100),
        at(expunged(record(4, 4, b"shared")), 5),
        at(record(5, 5, b"shared"), 5),
    ];
    client.transact(
        scope.clone(),
        vec![
            put_mailbox(INBOX, "u1"),
            put_mailbox("user.jane.a", "u2"),
            put_mailbox("user.jane.b", "u3"),
            put_records("u1", records.clone()),
            remove_mailbox("user.jane.a", "u2", 99),
            remove_mailbox("user.jane.b", "u3", 100),
        ],
    );
    client.done(Request::ForgetStaged);
    assert!(
        client.ask(Request::Expire { before: 100 }).is_err(),
        "outside a transaction"
    );
    let expired = Expired {
        records: 2,
        messages: 1,
        bytes: 3,
        tombstones: 1,
    };
    for end in [Request::Rollback, Request::Commit] {
        client.begin(scope.clone());
        let reply = client.ask(Request::Expire { before: 100 });
        assert_eq!(reply, Ok(Reply::Expired(expired)));
        client.done(end);
    }
    assert_eq!(
        client.all_records(&key(INBOX, "u1")),
        records,
        "every record stays"
    );
    assert_eq!(client.message(scope.clone(), guid(b"old")), None);
    for held in [&b"live"[..], b"new", b"shared"] {
        assert_eq!(client.message(scope.clone(), guid(held)).as_deref(), Some(held));
    }
    let left = client.ask(Request::Tombstones { scope: scope.clone() });
    assert!(matches!(left, Ok(Reply::Tombstones(left)) if left.len() == 1 && left[0].uniqueid == text("u3")));
    client.begin(scope);
    let again = client.ask(Request::Expire { before: 100 });
    assert_eq!(again, Ok(Reply::Expired(Expired::default())));
    client.done(Request::Commit);
}

fn remove_mailbox(name: &str, uniqueid: &str, deleted_at: i64) -> Change {
    Change::RemoveMailbox {
        uniqueid: text(uniqueid),
        tombstone: Some(Tombstone {
            uniqueid: text(uniqueid),
            name: text(name),
            highestmodseq: 9,
            uidvalidity: 3,
            deleted_at,
            gave_way: false,
        }),
    }
}
