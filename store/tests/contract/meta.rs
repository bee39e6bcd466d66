//! What belongs to a user or the server beside the mailboxes.

use engine::model::{QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone, UserMeta};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, StoreError};
use protocol::Text;

use crate::common::*;
use crate::{Bench, INBOX};

pub fn what_belongs_to_a_user_comes_back(bench: &Bench) {
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

pub fn scripts_and_their_activation(bench: &Bench) {
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

pub fn removing_a_user_keeps_the_deleted_mailboxes(bench: &Bench) {
    let mut client = bench.client();
    let deleted = "DELETED.user.jane.x.5F000000";
    client.stage(b"kept");
    client.stage(b"gone");
    let old = Tombstone {
        uniqueid: text("u0"),
        name: text("user.jane.o"),
        highestmodseq: 2,
        uidvalidity: 3,
        deleted_at: 1,
        gave_way: false,
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
        uidvalidity: mailbox(name, id).uidvalidity,
        deleted_at: 77,
        gave_way: false,
    };
    let tombstones = vec![old, left("u1", INBOX), left("u3", "user.jane.p")];
    assert_eq!(
        client.ask(Request::Tombstones { scope: user("jane") }),
        Ok(Reply::Tombstones(tombstones))
    );
}

pub fn server_annotations_live_in_the_shared_scope(bench: &Bench) {
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
