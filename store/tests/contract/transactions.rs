//! Who sees what when.

use engine::model::ServerAnnotation;
use engine::name::Scope;
use engine::ticket::{Change, Request, Select, StoreError};
use protocol::Text;

use crate::common::*;
use crate::{Bench, INBOX};

pub fn nobody_sees_an_open_transaction(bench: &Bench) {
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

pub fn savepoints_go_back_only_so_far(bench: &Bench) {
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

pub fn a_failed_write_takes_no_commit(bench: &Bench) {
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

pub fn one_writer_a_scope(bench: &Bench) {
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

pub fn a_held_read_does_not_move(bench: &Bench) {
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
    // And another scope can be held beside the first.
    reader.done(Request::BeginRead { scope: user("joe") });
    writer.transact(user("joe"), vec![put_mailbox("user.joe.c", "u6")]);
    assert_eq!(
        reader.names(Select::User(text("joe"))),
        ["user.joe", "user.joe.b"]
    );
    assert_eq!(reader.names(Select::User(text("jane"))), ["user.jane"]);
    reader.done(Request::EndRead { scope: user("jane") });
    assert_eq!(
        reader.names(Select::User(text("joe"))),
        ["user.joe", "user.joe.b"]
    );
    reader.done(Request::EndRead { scope: user("joe") });
    assert_eq!(
        reader.names(Select::User(text("joe"))),
        ["user.joe", "user.joe.b", "user.joe.c"]
    );
    assert_eq!(
        reader.names(Select::User(text("jane"))),
        ["user.jane", "user.jane.a"]
    );
    // What was not there when the read began stays away.
    reader.done(Request::BeginRead { scope: user("new") });
    writer.transact(user("new"), vec![put_mailbox("user.new", "u5")]);
    assert_eq!(reader.names(Select::User(text("new"))), Vec::<String>::new());
    reader.done(Request::EndRead { scope: user("new") });
    reader.done(Request::EndRead { scope: user("new") });
    assert_eq!(reader.names(Select::User(text("new"))), ["user.new"]);
}

pub fn changes_stay_in_their_scope(bench: &Bench) {
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

pub fn requests_out_of_order(bench: &Bench) {
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
    client.done(Request::EndRead { scope: user("jane") });
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
        Request::BeginRead { scope: user("jane") },
    ] {
        assert!(matches!(client.ask(request), Err(StoreError::Misuse { .. })));
    }
}

pub fn a_dropped_session_lets_go(bench: &Bench) {
    let mut one = bench.client();
    one.begin(user("jane"));
    one.write(vec![put_mailbox(INBOX, "u1")]).expect("fine");
    drop(one);
    let mut two = bench.client();
    assert_eq!(two.names(Select::User(text("jane"))), Vec::<String>::new());
    two.begin(user("jane"));
}

/// Whatever a store remembers of keywords must not outlive the transaction that made them.
pub fn keywords_of_an_undone_change_are_forgotten(bench: &Bench) {
    let mut client = bench.client();
    let inbox = key(INBOX, "u1");
    let with_keywords = |uid, keywords: &[&str]| {
        let mut record = expunged(record(uid, 1, b""));
        record.flags.keywords = keywords.iter().map(|keyword| text(keyword)).collect();
        record
    };
    client.transact(user("jane"), vec![put_mailbox(INBOX, "u1")]);
    for undo in [Request::Rollback, Request::RollbackToSavepoint] {
        client.begin(user("jane"));
        client.done(Request::Savepoint);
        let undone = with_keywords(1, &["a", "b"]);
        client
            .write(vec![put_records("u1", vec![undone.clone()])])
            .expect("fine");
        assert!(client.all_records(&inbox).contains(&undone));
        client.done(undo.clone());
        if undo == Request::Rollback {
            client.begin(user("jane"));
        }
        let kept = vec![
            with_keywords(2, &["c", "d"]),
            with_keywords(3, &["b", "a", "d", "c"]),
        ];
        client.write(vec![put_records("u1", kept.clone())]).expect("fine");
        client.done(Request::Commit);
        assert_eq!(client.all_records(&inbox), kept);
        assert_eq!(bench.client().all_records(&inbox), kept);
    }
}
