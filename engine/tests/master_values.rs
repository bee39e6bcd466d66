//! Every value of a mailbox travels, alone if need be; who is unchanged costs one look.

mod support;
mod twin;

use std::sync::{Arc, Mutex};

use engine::local;
use engine::master::Ending;
use engine::model::{Mailbox, QuotaLimits, SeenState};
use engine::ticket::{Change, Reply, Request, Select, Session, StoreError};
use protocol::{Annotation, MailboxOptions, Text};
use store::memory::MemorySession;
use twin::mail::{Mail, guid_of, mailboxes, records};
use twin::pair::{self, Outcome, Wire};
use twin::{check, jane, sync_and_check};

const INBOX: &str = "user.jane";

fn pair_with_mail() -> (Mail, Mail) {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(&[INBOX, "user.jane.Sent"]);
    master.append(INBOX, &["one", "two"]);
    change(&mut master, |m| (m.raclmodseq, m.xconvmodseq) = (3, Some(4)));
    sync_and_check(&master, &replica);
    (master, replica)
}

/// Changes values of the INBOX as they are, without a modseq of their own.
fn change(master: &mut Mail, work: impl FnOnce(&mut Mailbox)) {
    let mut mailbox = master.mailbox(INBOX);
    work(&mut mailbox);
    master.force(mailbox, &[], Vec::new());
}

/// What a value is called, and a change of it.
type Value = (&'static str, fn(&mut Mailbox));

#[test]
fn a_value_that_changed_alone_is_sent() {
    let values: [Value; 13] = [
        ("last uid", |m| m.last_uid += 3),
        ("highest modseq", |m| m.highestmodseq += 3),
        ("uid validity", |m| m.uidvalidity += 3),
        ("recent uid", |m| m.recentuid += 1),
        ("recent time", |m| m.recenttime += 5),
        ("pop3 login", |m| m.pop3_last_login += 5),
        ("pop3 show after", |m| m.pop3_show_after += 5),
        ("options", |m| m.options = MailboxOptions::SHARED_SEEN),
        ("folder modseq", |m| m.foldermodseq += 2),
        ("acl", |m| m.acl = Text::from("anyone\tlrs\t")),
        ("annotations", |m| {
            m.annotations.push(Annotation {
                entry: Text::from("/comment"),
                userid: Text::EMPTY,
                modseq: 0,
                value: Text::from("x"),
            });
        }),
        ("racl modseq", |m| m.raclmodseq = 7),
        ("conversations modseq", |m| m.xconvmodseq = Some(9)),
    ];
    for (name, value) in values {
        let (mut master, replica) = pair_with_mail();
        change(&mut master, value);
        let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
        assert_eq!(outcome.progress.mailboxes_sent, 1, "{name}");
        check(&outcome, &master, &replica);
    }
}

#[test]
fn all_values_of_a_new_mailbox_arrive() {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(&[INBOX]);
    master.append(INBOX, &["one"]);
    change(&mut master, |m| {
        m.highestmodseq += 20;
        m.recentuid = 1;
        m.recenttime = 11;
        m.last_appenddate = 12;
        m.pop3_last_login = 13;
        m.pop3_show_after = 14;
        m.xconvmodseq = Some(15);
        m.raclmodseq = 16;
        m.deletedmodseq = 2;
        m.quotaroot = Some(Text::from(INBOX));
    });
    sync_and_check(&master, &replica);
}

/// A session that notes what it is asked.
struct Noting {
    inner: MemorySession,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl Session for Noting {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        self.asked.lock().expect("no panic").push(support::kind(&request));
        self.inner.execute(request)
    }
}

/// Runs jane against a replica that calls itself this; what was asked of the store here, and what came of it.
fn asked(master: &Mail, replica: &Mail, version: &str) -> (Vec<&'static str>, Outcome) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let ours = Noting {
        inner: master.store.session(),
        asked: Arc::clone(&asked),
    };
    let mut config = pair::master_config(pair::user("jane"));
    // Who has to log in is told what there is.
    config.authenticate = true;
    let theirs = Box::new(replica.store.session());
    let outcome = pair::connect_sessions(config, Box::new(ours), theirs, version, Wire::default());
    let asked = std::mem::take(&mut *asked.lock().expect("no panic"));
    (asked, outcome)
}

const OURS: &str = "mailtwin 0.1.0";
const CYRUS: &str = "3.6.1";

/// A name that exists only because something is below it.
fn placeholder(master: &Mail, name: &str, id: &str, foldermodseq: u64) -> Mailbox {
    let like = Mail::over(master.store.clone(), "m").mailbox(INBOX);
    Mailbox {
        name: Text::from(name),
        uniqueid: Text::from(id),
        mbtype: Text::from("i"),
        foldermodseq,
        createdmodseq: 1,
        highestmodseq: foldermodseq,
        last_uid: 0,
        crc: engine::crc::SyncCrc::EMPTY,
        ..like
    }
}

fn give_meta(master: &mut Mail) {
    let uniqueid = master.mailbox("user.jane.Sent").uniqueid;
    let mut changes = vec![
        Change::PutSeen(SeenState {
            uniqueid,
            lastread: 5,
            lastuid: 1,
            lastchange: 6,
            seenuids: Text::from("1"),
        }),
        Change::PutQuota(QuotaLimits {
            root: Text::from(INBOX),
            storage: Some(1000),
            ..QuotaLimits::default()
        }),
    ];
    changes.extend(local::subscribe(Text::from(INBOX), true));
    master.write(jane(), changes);
}

fn give_scripts(master: &mut Mail) {
    let now = engine::flow::Now(5);
    let mut changes = local::put_script(now, Text::from("rules"), Text::from("keep;"), guid_of(b"keep;"));
    changes.extend(local::activate_script(Some(Text::from("rules"))));
    master.write(jane(), changes);
}

#[test]
fn a_user_without_a_change_costs_one_look() {
    let (mut master, replica) = pair_with_mail();
    give_meta(&mut master);
    give_scripts(&mut master);
    let between = placeholder(&master, "user.jane.a", "between", 40);
    master.write(jane(), vec![Change::PutMailbox(Box::new(between))]);
    asked(&master, &replica, OURS);
    let (asked, outcome) = asked(&master, &replica, OURS);
    assert_eq!(asked, ["Summary"]);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert_eq!(outcome.progress.mailboxes, 3);
    assert_eq!(outcome.changing(), Vec::<String>::new());
}

#[test]
fn scripts_that_a_replica_does_not_list_cost_more_than_a_look() {
    let (mut master, mut replica) = pair_with_mail();
    give_meta(&mut master);
    asked(&master, &replica, CYRUS);
    assert_eq!(asked(&master, &replica, CYRUS).0, ["Summary"]);
    // A box of scripts that only the replica has may hold scripts that are gone here.
    replica.create(&["user.jane.#sieve"]);
    assert_ne!(asked(&master, &replica, CYRUS).0, ["Summary"]);
    // One that was deleted does not count; the replica's own is met once more.
    replica.rename("user.jane.#sieve", "DELETED.user.jane.#sieve.5F000000");
    give_scripts(&mut master);
    assert_ne!(asked(&master, &replica, CYRUS).0, ["Summary"]);
}

#[test]
fn an_intermediate_name_travels_with_its_values() {
    let (mut master, replica) = pair_with_mail();
    for foldermodseq in [40, 45] {
        let between = placeholder(&master, "user.jane.a", "between", foldermodseq);
        master.write(jane(), vec![Change::PutMailbox(Box::new(between))]);
        let (_, outcome) = asked(&master, &replica, OURS);
        assert_eq!(outcome.changing().len(), 1, "{:?}", outcome.lines());
        assert_eq!(replica.mailbox("user.jane.a").foldermodseq, foldermodseq);
        let again = asked(&master, &replica, OURS).1;
        assert_eq!(again.progress.ended, Some(Ending::Done), "{:?}", again.progress);
        assert_eq!(again.changing(), Vec::<String>::new());
    }
}

#[test]
fn an_intermediate_name_does_not_replace_a_mailbox() {
    for (name, id) in [("user.jane.b", "m0002"), ("user.jane.Sent", "between")] {
        let (mut master, mut replica) = pair_with_mail();
        replica.append("user.jane.Sent", &["kept"]);
        let sent = master.mailbox("user.jane.Sent");
        assert_eq!(sent.uniqueid, *"m0002");
        let gone = Change::RemoveMailbox {
            uniqueid: sent.uniqueid.clone(),
            tombstone: None,
        };
        let between = placeholder(&master, name, id, 40);
        master.write(jane(), vec![gone, Change::PutMailbox(Box::new(between))]);
        let (_, outcome) = asked(&master, &replica, OURS);
        let failures: Vec<&str> = outcome.progress.failures.iter().map(|f| &f.reason[..]).collect();
        assert!(
            failures
                .iter()
                .any(|reason| reason.contains("is a mailbox on the replica")),
            "{failures:?}"
        );
        let kept = mailboxes(&replica.store, Select::User(Text::from("jane")));
        let kept = kept
            .iter()
            .find(|m| m.uniqueid == sent.uniqueid)
            .expect("the mailbox is still there");
        assert_eq!(records(&replica.store, kept).len(), 1);
    }
}

#[test]
fn a_mailbox_that_is_only_a_name_there_is_sent() {
    let (mut master, mut replica) = pair_with_mail();
    master.create(&["user.jane.b"]);
    let ours = master.mailbox("user.jane.b");
    let theirs = placeholder(
        &master,
        "user.jane.b",
        &ours.uniqueid.to_string(),
        ours.foldermodseq,
    );
    replica.write(jane(), vec![Change::PutMailbox(Box::new(theirs))]);
    assert!(replica.mailbox("user.jane.b").is_placeholder());
    let (_, outcome) = asked(&master, &replica, OURS);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert!(!replica.mailbox("user.jane.b").is_placeholder());
}

#[test]
fn scripts_are_sent_to_a_replica_that_lists_none() {
    let (mut master, replica) = pair_with_mail();
    asked(&master, &replica, CYRUS);
    assert_eq!(asked(&master, &replica, CYRUS).0, ["Summary"]);
    give_scripts(&mut master);
    let (_, outcome) = asked(&master, &replica, CYRUS);
    let said = String::from_utf8_lossy(&outcome.said).into_owned();
    assert!(said.contains("APPLY SIEVE %("), "{said}");
}
