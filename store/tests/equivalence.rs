//! Random sequences of requests by two sessions get the same answers from both stores, and the SQLite store keeps them
//! over a reopening.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use engine::model::{QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone};
use engine::name::Scope;
use engine::ticket::{Change, Request, Select, StagePart, UidSelect};
use proptest::prelude::*;
use proptest::sample::select;
use protocol::{Guid, Record, SystemFlags, Text};
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};
use store::verify::{Finding, verify};

const NAMES: [&str; 8] = [
    "user.jane",
    "user.jane.a",
    "user.jane.b",
    "DELETED.user.jane.a.5F000000",
    "user.joe",
    "user.joe.a",
    "news",
    "news.a",
];
const IDS: [&str; 4] = ["u1", "u2", "u3", "u4"];
const SESSIONS: usize = 2;

fn messages() -> [Vec<u8>; 5] {
    [
        Vec::new(),
        b"one".to_vec(),
        b"two".to_vec(),
        vec![b'm'; 5000],
        (0..300_000).map(|n| n as u8).collect(),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => Just(0), 4 => Just(1), 4 => Just(2), 2 => Just(3), 1 => Just(4)]
        .prop_map(|n: usize| messages()[n].clone())
}

fn a_guid() -> impl Strategy<Value = Guid> {
    prop_oneof![9 => message().prop_map(|data| guid(&data)), 1 => Just(Guid::NULL)]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![5 => Just(user("jane")), 3 => Just(user("joe")), 2 => Just(Scope::Shared)]
}

fn a_name() -> impl Strategy<Value = Text> {
    select(&NAMES[..]).prop_map(text)
}

fn an_id() -> impl Strategy<Value = Text> {
    select(&IDS[..]).prop_map(text)
}

fn mailbox_key() -> impl Strategy<Value = engine::model::MailboxKey> {
    (scope(), an_id()).prop_map(|(scope, uniqueid)| engine::model::MailboxKey { scope, uniqueid })
}

fn a_mailbox() -> impl Strategy<Value = engine::model::Mailbox> {
    (
        select(&NAMES[..]),
        select(&IDS[..]),
        prop::bool::weighted(0.2),
        any::<u32>(),
    )
        .prop_map(|(name, id, is_placeholder, basic)| {
            let mut made = if is_placeholder {
                placeholder(name, id)
            } else {
                mailbox(name, id)
            };
            made.crc.basic = basic;
            made.last_uid = u32::MAX;
            made.highestmodseq = u64::MAX;
            made
        })
}

fn a_record() -> impl Strategy<Value = Record> {
    let keyword = select(&["$Junk", "alpha", "beta"][..]).prop_map(text);
    let keywords = prop::collection::vec(keyword, 0..3);
    (
        1u32..8,
        prop_oneof![0u64..9, Just(u64::MAX)],
        message(),
        prop::bool::weighted(0.3),
        keywords,
    )
        .prop_map(|(uid, modseq, data, gone, keywords)| {
            let mut made = record(uid, modseq, &data);
            made.flags.keywords = keywords;
            if gone {
                made.flags.system = SystemFlags::EXPUNGED;
            }
            made.annotations = vec![annotation("/comment", "", modseq, &data[..data.len().min(9)])];
            made
        })
}

fn change() -> impl Strategy<Value = Change> {
    let tombstone = (an_id(), a_name(), any::<u64>(), any::<bool>());
    let tombstone = tombstone.prop_map(|(uniqueid, name, highestmodseq, gave_way)| Tombstone {
        uniqueid,
        name,
        highestmodseq,
        uidvalidity: 7,
        deleted_at: 5,
        gave_way,
    });
    let script = select(&["a", "b"][..]).prop_map(|name| SieveScript {
        name: text(name),
        last_update: 1,
        guid: guid(name.as_bytes()),
        content: text(name),
    });
    let put_records = (an_id(), prop::collection::vec(a_record(), 0..5)).prop_map(|(uniqueid, records)| {
        Change::PutRecords {
            uniqueid,
            partition: text("default"),
            records,
        }
    });
    let seen = (an_id(), any::<u32>()).prop_map(|(uniqueid, lastuid)| {
        Change::PutSeen(SeenState {
            uniqueid,
            lastread: 1,
            lastuid,
            lastchange: 2,
            seenuids: text("1:4"),
        })
    });
    let quota = (a_name(), any::<Option<u32>>()).prop_map(|(root, storage)| {
        Change::PutQuota(QuotaLimits {
            root,
            storage,
            ..QuotaLimits::default()
        })
    });
    let server = select(&["/motd", "/admin"][..]).prop_map(|entry| {
        Change::PutServerAnnotation(ServerAnnotation {
            entry: text(entry),
            userid: Text::EMPTY,
            value: text("v"),
        })
    });
    prop_oneof![
        8 => a_mailbox().prop_map(|mailbox| Change::PutMailbox(Box::new(mailbox))),
        12 => put_records,
        2 => (an_id(), prop::option::of(tombstone))
            .prop_map(|(uniqueid, tombstone)| Change::RemoveMailbox { uniqueid, tombstone }),
        1 => an_id().prop_map(|uniqueid| Change::ClearRecords { uniqueid }),
        1 => seen,
        1 => a_name().prop_map(|mailbox| Change::Subscribe { mailbox }),
        1 => a_name().prop_map(|mailbox| Change::Unsubscribe { mailbox }),
        1 => quota,
        1 => a_name().prop_map(|root| Change::RemoveQuota { root }),
        1 => script.prop_map(Change::PutScript),
        1 => select(&["a", "b"][..]).prop_map(|name| Change::RemoveScript { name: text(name) }),
        1 => select(&[None, Some("a"), Some("b")][..])
            .prop_map(|name| Change::ActivateScript { name: name.map(text) }),
        1 => server,
        1 => Just(Change::RemoveServerAnnotation { entry: text("/motd"), userid: Text::EMPTY }),
        1 => Just(Change::RemoveUser { deleted_at: 9 }),
    ]
}

fn upload_parts() -> impl Strategy<Value = Vec<StagePart>> {
    (message(), prop::bool::weighted(0.1)).prop_map(|(data, broken)| {
        let mut parts = upload(&data);
        if broken {
            parts.insert(1, StagePart::Data(Bytes::from_static(b"?")));
        }
        parts
    })
}

fn read() -> impl Strategy<Value = Request> {
    let uids = prop_oneof![
        prop::collection::vec(0u32..9, 0..5).prop_map(UidSelect::List),
        (0u32..9, 0u32..9).prop_map(|(uid, limit)| UidSelect::From { uid, limit }),
    ];
    let which = prop_oneof![
        select(&["jane", "joe", "nobody"][..]).prop_map(|id| Select::User(text(id))),
        prop::collection::vec(a_name(), 0..4).prop_map(Select::Names),
        prop::collection::vec(an_id(), 0..4).prop_map(Select::Uniqueids),
        Just(Select::Shared),
    ];
    prop_oneof![
        Just(Request::Users { prefix: text("j") }),
        which.prop_map(Request::Mailboxes),
        scope().prop_map(|scope| Request::Tombstones { scope }),
        Just(Request::UserMeta { user: text("jane") }),
        select(&["jane", "joe", "nobody"][..]).prop_map(|id| Request::Summary { user: text(id) }),
        scope().prop_map(|scope| Request::Quotas { scope }),
        Just(Request::ServerAnnotations),
        (mailbox_key(), prop_oneof![0u64..9, Just(u64::MAX)]).prop_map(|(mailbox, since_modseq)| {
            Request::ChangedUids {
                mailbox,
                since_modseq,
            }
        }),
        (mailbox_key(), uids).prop_map(|(mailbox, uids)| Request::Records { mailbox, uids }),
        (scope(), a_guid(), 0u64..300_100, 0u32..300_100).prop_map(|(scope, guid, offset, len_max)| {
            Request::ReadMessage {
                scope,
                guid,
                offset,
                len_max,
            }
        }),
        (scope(), prop::collection::vec(a_guid(), 0..4), 0u32..10_000).prop_map(
            |(scope, guids, bytes_max)| Request::ReadMessages {
                scope,
                guids,
                bytes_max
            }
        ),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let mailboxes = prop::collection::vec(a_name(), 0..3);
    prop_oneof![
        6 => read(),
        6 => upload_parts().prop_map(Request::Stage),
        2 => (mailboxes, prop::collection::vec(a_guid(), 0..4))
            .prop_map(|(mailboxes, guids)| Request::Reserve { partition: text("default"), mailboxes, guids }),
        1 => Just(Request::ForgetStaged),
        1 => scope().prop_map(|scope| Request::BeginRead { scope }),
        1 => scope().prop_map(|scope| Request::EndRead { scope }),
        6 => scope().prop_map(|scope| Request::Begin { scope }),
        1 => Just(Request::Savepoint),
        1 => Just(Request::RollbackToSavepoint),
        14 => prop::collection::vec(change(), 0..4).prop_map(Request::Write),
        4 => Just(Request::Commit),
        2 => Just(Request::Rollback),
        1 => (mailbox_key(), a_mailbox()).prop_map(|(from, to)| Request::MoveMailbox { from, to: Box::new(to) }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize, Request),
    /// All sessions end, whatever they had open, and the store is opened anew.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (0..SESSIONS, request()).prop_map(|(session, request)| Step::Ask(session, request)),
        1 => Just(Step::Reopen),
    ]
}

/// Everything a store can be asked without changing it.
fn all_questions() -> Vec<Request> {
    let scopes = [user("jane"), user("joe"), Scope::Shared];
    let mut questions = vec![
        Request::Users { prefix: Text::EMPTY },
        Request::Mailboxes(Select::User(text("jane"))),
        Request::Mailboxes(Select::User(text("joe"))),
        Request::Mailboxes(Select::Shared),
        Request::Mailboxes(Select::Uniqueids(IDS.map(text).to_vec())),
        Request::ServerAnnotations,
        Request::Summary { user: text("jane") },
    ];
    for scope in scopes {
        questions.push(Request::Tombstones { scope: scope.clone() });
        questions.push(Request::Quotas { scope: scope.clone() });
        for id in IDS {
            let mailbox = engine::model::MailboxKey {
                scope: scope.clone(),
                uniqueid: text(id),
            };
            let uids = UidSelect::From {
                uid: 0,
                limit: u32::MAX,
            };
            questions.push(Request::Deleted {
                scope: scope.clone(),
                uniqueid: text(id),
                above_uid: 1,
                limit: 3,
            });
            questions.push(Request::ChangedUids {
                mailbox: mailbox.clone(),
                since_modseq: 3,
            });
            questions.push(Request::Records { mailbox, uids });
        }
        let guids = messages().iter().map(|data| guid(data)).collect();
        questions.push(Request::ReadMessages {
            scope,
            guids,
            bytes_max: u32::MAX,
        });
    }
    for id in ["jane", "joe"] {
        questions.push(Request::UserMeta { user: text(id) });
    }
    questions
}

fn options() -> Options {
    Options {
        busy_timeout: Duration::ZERO,
        staging_bytes: 10_000,
        connections: 1,
        ..Options::default()
    }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    // Answers are compared here, not durability: a folder in memory makes many more sequences possible.
    let shm = std::path::Path::new("/dev/shm");
    let dir = if shm.is_dir() {
        tempfile::tempdir_in(shm)
    } else {
        tempfile::tempdir()
    };
    let dir = dir.expect("temporary directory");
    let memory = MemoryStore::new();
    let mut sqlite = SqliteStore::open(dir.path(), options()).expect("opens");
    let of_memory = || {
        (0..SESSIONS)
            .map(|_| Client(Box::new(memory.session())))
            .collect::<Vec<_>>()
    };
    // One of them rests between its requests.
    let of_sqlite = |store: &SqliteStore| {
        let mut sessions: Vec<_> = (1..SESSIONS).map(|_| Client(Box::new(store.session()))).collect();
        sessions.push(Client(Box::new(Weary(Box::new(store.session())))));
        sessions
    };
    let (mut left, mut right) = (of_memory(), of_sqlite(&sqlite));
    for step in steps {
        match step {
            Step::Ask(session, request) => {
                let (a, b) = (left[session].ask(request.clone()), right[session].ask(request));
                prop_assert_eq!(a, b);
            }
            Step::Reopen => {
                (left, right) = (Vec::new(), Vec::new());
                drop(std::mem::replace(&mut left, of_memory()));
                sqlite = SqliteStore::open(dir.path(), options()).expect("opens");
                drop(std::mem::replace(&mut right, of_sqlite(&sqlite)));
            }
        }
    }
    drop((left, right));
    let sqlite = SqliteStore::open(dir.path(), options()).expect("opens");
    let (mut left, mut right) = (of_memory(), of_sqlite(&sqlite));
    for question in all_questions() {
        prop_assert_eq!(left[0].ask(question.clone()), right[0].ask(question));
    }
    let mut damages = Vec::new();
    verify(&sqlite, None, &mut |finding| match finding {
        // The CRCs of these mailboxes are made up.
        Finding::Damage(damage) if !damage.what.contains("sync CRCs") => damages.push(damage),
        _ => {}
    });
    prop_assert_eq!(damages, vec![]);
    Ok(())
}

/// `PROPTEST_CASES=2000` and the like for a longer look.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn both_stores_answer_alike(steps in prop::collection::vec(step(), 1..120)) {
        run(steps)?;
    }
}
