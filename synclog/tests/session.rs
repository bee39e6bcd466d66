//! What committed transactions log, and what others do not. [CS-LOG-35]

use std::path::Path;

use engine::flow::Now;
use engine::local::{self, Moment, NewMailbox};
use engine::model::{Mailbox, QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Resting, Select, Session};
use protocol::{Guid, Text};
use store::memory::MemoryStore;
use synclog::{ChannelName, LoggingSession, Writer};

const NOW: Now = Now(1_800_000_000);

struct Site {
    place: tempfile::TempDir,
    session: Box<dyn Session>,
}

impl Site {
    fn new() -> Site {
        let place = tempfile::tempdir().expect("a folder");
        let writer = Writer::new(&place.path().join("sync"), vec![ChannelName::DEFAULT]);
        let session = LoggingSession::new(MemoryStore::new().session(), Some(writer));
        Site {
            place,
            session: Box::new(session),
        }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.session.execute(request).expect("done")
    }

    fn begin(&mut self, user: &str) {
        self.ask(Request::Begin { scope: scope(user) });
    }

    fn write(&mut self, changes: Vec<Change>) {
        self.ask(Request::Write(changes));
    }

    fn commit(&mut self, user: &str, changes: Vec<Change>) {
        self.begin(user);
        self.write(changes);
        self.ask(Request::Commit);
    }

    /// What has been logged since the last call.
    fn logged(&self) -> Vec<String> {
        let path = self.place.path().join("sync/log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !text.is_empty() {
            std::fs::remove_file(&path).expect("removed");
        }
        text.lines().map(str::to_owned).collect()
    }

    fn intents(&self) -> usize {
        std::fs::read_dir(self.place.path().join("sync/intents")).map_or(0, Iterator::count)
    }
}

fn scope(user: &str) -> Scope {
    match user {
        "" => Scope::Shared,
        user => Scope::User(Text::from(user)),
    }
}

fn mailbox(name: &str, id: &str) -> Mailbox {
    let new = NewMailbox {
        name: Text::from(name),
        uniqueid: Text::from(id),
        partition: Text::from("default"),
        acl: None,
    };
    let inbox_is_there = [Mailbox {
        name: Text::from("user.jane"),
        ..local::create(
            Moment::behind(NOW, &[], &[]),
            &[],
            NewMailbox {
                name: Text::from("shared"),
                uniqueid: Text::from("s"),
                partition: Text::from("default"),
                acl: None,
            },
        )
        .expect("good")
    }];
    let existing = if name == "user.jane" {
        &[][..]
    } else {
        &inbox_is_there
    };
    local::create(Moment::behind(NOW, existing, &[]), existing, new).expect("good")
}

fn put(name: &str, id: &str) -> Change {
    Change::PutMailbox(Box::new(mailbox(name, id)))
}

fn records(id: &str) -> Change {
    Change::PutRecords {
        uniqueid: Text::from(id),
        partition: Text::from("default"),
        records: Vec::new(),
    }
}

#[test]
fn mailboxes_by_name_renames_as_such_deletes_by_their_last_name() {
    let mut site = Site::new();
    site.commit(
        "jane",
        vec![
            put("user.jane", "i"),
            put("user.jane.a", "a"),
            records("a"),
            records("a"),
        ],
    );
    assert_eq!(site.logged(), ["MAILBOX user.jane", "MAILBOX user.jane.a"]);
    site.commit("jane", vec![records("a")]);
    assert_eq!(site.logged(), ["MAILBOX user.jane.a"]);
    site.commit(
        "jane",
        vec![Change::ClearRecords {
            uniqueid: Text::from("a"),
        }],
    );
    assert_eq!(site.logged(), ["MAILBOX user.jane.a"]);
    site.commit("jane", vec![put("user.jane.b c", "a"), records("a")]);
    assert_eq!(
        site.logged(),
        [
            "RENAME user.jane.a \"user.jane.b c\"",
            "MAILBOX user.jane.a",
            "MAILBOX \"user.jane.b c\""
        ]
    );
    let tombstone = Tombstone {
        uniqueid: Text::from("a"),
        name: Text::from("user.jane.b c"),
        highestmodseq: 9,
        uidvalidity: 3,
        deleted_at: 1,
        gave_way: false,
    };
    let uniqueid = Text::from("a");
    site.commit(
        "jane",
        vec![Change::RemoveMailbox {
            uniqueid,
            tombstone: Some(tombstone),
        }],
    );
    assert_eq!(site.logged(), ["UNMAILBOX \"user.jane.b c\""]);
}

#[test]
fn what_belongs_to_users_and_the_server() {
    let mut site = Site::new();
    site.commit("jane", vec![put("user.jane", "i")]);
    site.logged();
    let seen = SeenState {
        uniqueid: Text::from("i"),
        lastread: 0,
        lastuid: 0,
        lastchange: 0,
        seenuids: Text::EMPTY,
    };
    let root = || Text::from("user.jane");
    let limits = QuotaLimits {
        root: root(),
        ..QuotaLimits::default()
    };
    site.commit(
        "jane",
        vec![
            Change::PutSeen(seen),
            Change::Subscribe {
                mailbox: Text::from("user.jane.x"),
            },
            Change::Unsubscribe {
                mailbox: Text::from("user.jane.x"),
            },
            Change::PutQuota(limits),
            Change::RemoveQuota { root: root() },
            Change::PutScript(SieveScript {
                name: Text::from("s"),
                last_update: 1,
                guid: Guid::NULL,
                content: Text::from("keep;"),
            }),
            Change::RemoveScript {
                name: Text::from("s"),
            },
        ],
    );
    assert_eq!(
        site.logged(),
        [
            "SEEN jane i",
            "SUB jane user.jane.x",
            "QUOTA user.jane",
            "META jane"
        ]
    );
    let motd = |value: &'static str| {
        Change::PutServerAnnotation(ServerAnnotation {
            entry: Text::from("/motd"),
            userid: Text::EMPTY,
            value: Text::from(value),
        })
    };
    site.commit("", vec![motd("hello")]);
    assert_eq!(site.logged(), ["ANNOTATION \"\""]);
    site.commit("", vec![motd("hello")]);
    assert!(site.logged().is_empty());
    site.commit("jane", vec![Change::RemoveUser { deleted_at: 1 }]);
    assert_eq!(site.logged(), ["UNUSER jane"]);
}

#[test]
fn what_is_rolled_back_is_not_logged() {
    let mut site = Site::new();
    site.begin("jane");
    site.write(vec![put("user.jane", "i")]);
    site.ask(Request::Rollback);
    assert_eq!(site.intents(), 0, "nothing was about to be logged");
    site.begin("jane");
    site.write(vec![put("user.jane", "i")]);
    site.ask(Request::Savepoint);
    site.write(vec![put("user.jane.a", "a"), put("user.jane.z", "i")]);
    site.ask(Request::RollbackToSavepoint);
    site.write(vec![put("user.jane.b", "b")]);
    site.ask(Request::Savepoint);
    site.write(vec![put("user.jane.b", "b")]);
    site.ask(Request::Commit);
    assert_eq!(site.logged(), ["MAILBOX user.jane", "MAILBOX user.jane.b"]);
}

#[test]
fn a_move_between_users_is_a_rename() {
    let mut site = Site::new();
    site.commit("jane", vec![put("user.jane", "i"), put("user.jane.a", "a")]);
    site.logged();
    let from = mailbox("user.jane.a", "a").key();
    let to = Box::new(Mailbox {
        name: Text::from("user.joe.a"),
        ..mailbox("user.jane.a", "a")
    });
    site.ask(Request::MoveMailbox { from, to });
    assert_eq!(
        site.logged(),
        [
            "RENAME user.jane.a user.joe.a",
            "MAILBOX user.jane.a",
            "MAILBOX user.joe.a"
        ]
    );
}

#[test]
fn reading_and_a_session_without_channels_leave_no_trace() {
    let mut site = Site::new();
    site.ask(Request::Mailboxes(Select::Shared));
    site.begin("jane");
    site.ask(Request::Commit);
    assert!(!site.place.path().join("sync").exists());
    let mut quiet = LoggingSession::new(MemoryStore::new().session(), None);
    for request in [
        Request::Begin { scope: scope("jane") },
        Request::Write(vec![put("user.jane", "i")]),
        Request::Commit,
    ] {
        quiet.execute(request).expect("done");
    }
}

#[test]
fn intents_live_as_long_as_their_session() {
    let mut site = Site::new();
    // More than the file holds, so that it is begun anew.
    let long = format!("user.jane.{}", "x".repeat(400));
    site.commit("jane", vec![put(&long, "a")]);
    for _ in 0..400 {
        site.commit("jane", vec![records("a")]);
    }
    assert_eq!(site.logged().len(), 401);
    assert_eq!(site.intents(), 1);
    let sync = site.place.path().join("sync");
    assert_eq!(synclog::recover(&sync).expect("nothing is left over"), 0);
    site.session = Box::new(MemoryStore::new().session());
    assert_eq!(site.intents(), 0);
}

#[test]
fn a_change_that_cannot_be_logged_is_not_made() {
    let mut site = Site::new();
    // A file where a folder has to be, which stops root too.
    std::fs::write(site.place.path().join("sync"), "").expect("written");
    site.begin("jane");
    site.write(vec![put("user.jane", "i")]);
    let error = site
        .session
        .execute(Request::Commit)
        .expect_err("no log, no commit");
    assert!(error.to_string().contains("intents"), "{error}");
    site.ask(Request::Rollback);
    let Reply::Mailboxes(found) = site.ask(Request::Mailboxes(Select::Names(vec![Text::from("user.jane")])))
    else {
        panic!("mailboxes");
    };
    assert!(found.is_empty());
}

#[test]
fn a_log_that_cannot_be_written_keeps_the_intents() {
    let mut site = Site::new();
    site.commit("jane", vec![put("user.jane", "i")]);
    site.logged();
    let log = site.place.path().join("sync/log");
    std::fs::create_dir(&log).expect("in the way");
    // Committed all the same: the intents are durable.
    site.commit("jane", vec![records("i")]);
    site.session = Box::new(MemoryStore::new().session());
    assert_eq!(site.intents(), 1);
    std::fs::remove_dir(&log).expect("out of the way");
    assert_eq!(
        synclog::recover(&site.place.path().join("sync")).expect("recovered"),
        2
    );
    assert_eq!(site.logged(), ["MAILBOX user.jane", "MAILBOX user.jane"]);
    assert_eq!(site.intents(), 0);
}

#[test]
fn a_leftover_without_sense_is_removed() {
    let place = tempfile::tempdir().expect("a folder");
    let folder = place.path().join("intents");
    std::fs::create_dir(&folder).expect("made");
    let leave = |name: &str, text: &[u8]| std::fs::write(folder.join(name), text).expect("written");
    leave("1-0", b"");
    leave("1-1", b"#channels \"\" far\n");
    leave("1-2", b"nonsense\nUSER x\n");
    leave("1-3", b"#channels \"\" far\nUSER a\nUSER b\nUSER unfin");
    leave("1-4", b"#channels ../x far\nUSER c\n\0USER d\n");
    assert_eq!(synclog::recover(place.path()).expect("recovered"), 3);
    let read = |path: &Path| std::fs::read_to_string(path).expect("a log");
    assert_eq!(read(&place.path().join("log")), "USER a\nUSER b\n");
    let far = read(&place.path().join("far/log"));
    let mut lines: Vec<&str> = far.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["USER a", "USER b", "USER c"]);
    assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0);
}

#[test]
fn a_session_that_rests_leaves_no_intents_that_are_logged() {
    let mut site = Site::new();
    site.commit("jane", vec![put("user.jane", "i")]);
    assert_eq!(site.intents(), 1);
    assert_eq!(site.session.rest(), Resting::Free);
    assert_eq!(site.intents(), 0);
    assert_eq!(site.logged(), ["MAILBOX user.jane"]);
    // What cannot be logged yet stays intended, and is logged later.
    let log = site.place.path().join("sync/log");
    std::fs::create_dir(&log).expect("in the way");
    site.commit("jane", vec![records("i")]);
    site.session.rest();
    assert_eq!(site.intents(), 1);
    std::fs::remove_dir(&log).expect("out of the way");
    site.session.rest();
    assert_eq!(site.intents(), 0);
    assert_eq!(site.logged(), ["MAILBOX user.jane"]);
}

/// [CS-LOG-39]
#[test]
fn what_is_so_already_is_not_logged() {
    let mut site = Site::new();
    let subscribed = || Change::Subscribe {
        mailbox: Text::from("user.jane"),
    };
    site.commit("jane", vec![subscribed()]);
    assert_eq!(site.logged(), ["SUB jane user.jane"]);
    site.commit("jane", vec![subscribed()]);
    assert!(site.logged().is_empty());
    // Within one transaction what it did itself counts.
    let unsubscribed = || Change::Unsubscribe {
        mailbox: Text::from("user.jane"),
    };
    site.commit("jane", vec![unsubscribed(), unsubscribed(), subscribed()]);
    assert_eq!(site.logged(), ["SUB jane user.jane"]);
}

/// [CS-LOG-42]
#[test]
fn an_inbox_that_comes_after_what_its_user_has_is_logged_with_it() {
    let mut site = Site::new();
    let subscribe = || Change::Subscribe {
        mailbox: Text::from("user.jane.a"),
    };
    site.commit("jane", vec![subscribe()]);
    assert_eq!(site.logged(), ["SUB jane user.jane.a"]);
    site.commit("jane", vec![put("user.jane.a", "a")]);
    assert_eq!(site.logged(), ["MAILBOX user.jane.a"], "not the INBOX");
    site.commit("jane", vec![put("user.jane", "i")]);
    assert_eq!(site.logged(), ["MAILBOX user.jane", "META jane"]);
    site.commit("jane", vec![put("user.jane", "i")]);
    assert_eq!(site.logged(), ["MAILBOX user.jane"], "it was there");
    site.commit("jane", vec![Change::RemoveUser { deleted_at: 1 }]);
    site.logged();
    site.commit("jane", vec![put("user.jane", "i"), subscribe()]);
    assert_eq!(site.logged(), ["MAILBOX user.jane", "SUB jane user.jane.a"]);
}
