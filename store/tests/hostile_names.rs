//! Whatever users, mailboxes, partitions and scripts are called, nothing is written outside of the store's folder, and
//! inside it only files whose names the store chose.

#[path = "common/mod.rs"]
mod common;
#[path = "common/nasty.rs"]
mod nasty;

use common::{Client, guid, mailbox, record};
use engine::model::{Mailbox, MailboxKey, QuotaLimits, SeenState, SieveScript};
use engine::name::{self, Scope};
use engine::ticket::{Change, Reply, Request, Select, StagePart, UidSelect};
use proptest::prelude::*;
use protocol::Text;
use store::sqlite::{Options, SqliteStore};

/// What one hostile peer names.
#[derive(Clone, Debug)]
struct Names {
    user: Text,
    mailbox: Text,
    uniqueid: Text,
    partition: Text,
    script: Text,
}

fn names() -> impl Strategy<Value = Names> {
    let text = || nasty::name().prop_map(Text::from);
    (text(), text(), text(), text(), text()).prop_filter_map(
        "no user's",
        |(user, below, uniqueid, partition, script)| {
            let mailbox = Text::from([name::inbox_of(&user).as_bytes(), b".", &below].concat());
            // Not every user that can be thought of can have a mailbox: a `!` in the name ends a domain.
            let user = name::owner(&mailbox)?;
            Some(Names {
                user,
                mailbox,
                uniqueid,
                partition,
                script,
            })
        },
    )
}

fn changes(names: &Names, data: &[u8]) -> Vec<Change> {
    let script = Text::from("keep;");
    vec![
        Change::PutMailbox(Box::new(Mailbox {
            name: names.mailbox.clone(),
            uniqueid: names.uniqueid.clone(),
            partition: names.partition.clone(),
            quotaroot: Some(names.mailbox.clone()),
            ..mailbox("user.x", "u")
        })),
        Change::PutRecords {
            uniqueid: names.uniqueid.clone(),
            partition: names.partition.clone(),
            records: vec![record(1, 1, data)],
        },
        Change::PutScript(SieveScript {
            name: names.script.clone(),
            last_update: 1,
            guid: guid(&script),
            content: script,
        }),
        Change::PutSeen(SeenState {
            uniqueid: names.uniqueid.clone(),
            lastread: 1,
            lastuid: 1,
            lastchange: 1,
            seenuids: Text::from("1"),
        }),
        Change::Subscribe {
            mailbox: names.mailbox.clone(),
        },
        Change::PutQuota(QuotaLimits {
            root: names.mailbox.clone(),
            storage: Some(1),
            message: None,
            annotation_storage: None,
            num_folders: None,
            modseq: 1,
        }),
    ]
}

/// Puts all of it into the store and asks for it again.
fn use_them(client: &mut Client, names: &Names) {
    let data = b"Subject: x\r\n\r\n";
    let scope = Scope::User(names.user.clone());
    client.done(Request::ForgetStaged);
    let open = StagePart::Open {
        partition: names.partition.clone(),
        guid: guid(data),
        size: data.len() as u64,
    };
    let parts = vec![
        open,
        StagePart::Data(bytes::Bytes::from_static(data)),
        StagePart::Close,
    ];
    assert_eq!(
        client.ask(Request::Stage(parts)),
        Ok(Reply::Staged { refused: vec![] })
    );
    client.transact(scope.clone(), changes(names, data));
    let found = client.mailboxes(Select::Uniqueids(vec![names.uniqueid.clone()]));
    let ours: Vec<&Mailbox> = found
        .iter()
        .filter(|mailbox| mailbox.name == names.mailbox)
        .collect();
    assert_eq!(ours.len(), 1, "{names:?} in {found:?}");
    assert_eq!(ours[0].partition, names.partition);
    let key = MailboxKey {
        scope: scope.clone(),
        uniqueid: names.uniqueid.clone(),
    };
    assert_eq!(client.records(&key, UidSelect::List(vec![1])).len(), 1);
    let Ok(Reply::UserMeta(meta)) = client.ask(Request::UserMeta {
        user: names.user.clone(),
    }) else {
        panic!("no user")
    };
    assert!(meta.scripts.iter().any(|script| script.name == names.script));
    client.transact(scope, vec![Change::RemoveUser { deleted_at: 1 }]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_name_leaves_the_store(all in prop::collection::vec(names(), 1..4)) {
        let place = tempfile::tempdir().expect("a folder");
        let dir = place.path().join("outer").join("store");
        std::fs::create_dir_all(place.path().join("outer").join("neighbour")).expect("made");
        std::fs::write(place.path().join("outer").join("neighbour").join("mail"), "precious").expect("written");
        let store = SqliteStore::open(&dir, Options { staging_bytes: 4, ..Options::default() }).expect("opens");
        for names in &all {
            // Each at a store of its own, for two may have the same scope.
            use_them(&mut Client(Box::new(store.session())), names);
        }
        drop(store);
        for path in nasty::below(place.path()) {
            let outside = !path.starts_with(&dir);
            let known = ["outer", "outer/neighbour", "outer/neighbour/mail"];
            prop_assert!(!outside || known.iter().any(|known| path == place.path().join(known)), "{path:?}");
            prop_assert!(nasty::is_tame(&path), "{path:?}");
            let depth = path.strip_prefix(&dir).map_or(0, |inside| inside.components().count());
            prop_assert!(depth <= 2 && (depth < 2 || path.starts_with(dir.join("users"))), "{path:?}");
        }
        let neighbour = std::fs::read_to_string(place.path().join("outer").join("neighbour").join("mail"));
        prop_assert_eq!(neighbour.expect("still there"), "precious");
    }

    /// Users that only look alike have files of their own, on file systems that tell capitals apart.
    #[test]
    fn no_two_users_share_a_file(one in nasty::name(), two in nasty::name()) {
        prop_assume!(one != two);
        let place = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(place.path().join("store"), Options::default()).expect("opens");
        let mut client = Client(Box::new(store.session()));
        for user in [&one, &two] {
            let scope = Scope::User(Text::from(user.clone()));
            client.transact(scope, vec![Change::Subscribe { mailbox: Text::from(user.clone()) }]);
        }
        for user in [&one, &two] {
            let user = Text::from(user.clone());
            let Ok(Reply::UserMeta(meta)) = client.ask(Request::UserMeta { user: user.clone() }) else {
                panic!("no user")
            };
            prop_assert_eq!(meta.subscriptions, vec![user]);
        }
    }
}
