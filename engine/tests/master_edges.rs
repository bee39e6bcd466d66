//! What a master asks for ahead, gives back, tells of a plan, and keeps apart.

mod support;
mod twin;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::flow::{Input, Now, Output};
use engine::local;
use engine::master::{Ending, Job, Master, MasterConfig, Task, TaskId, Work};
use engine::ticket::{Change, Reply, Request, Session, StoreError};
use protocol::{SystemFlags, Text};
use store::memory::MemorySession;
use twin::mail::{Mail, dump_living, guid_of};
use twin::pair::{self, Outcome, Wire};
use twin::{check, jane, similar, sync_and_check};

const INBOX: &str = "user.jane";
const A: &str = "user.jane.a";

fn twin_of(master: &Mail, ids: &'static str) -> Mail {
    let mut replica = Mail::over(master.store.fork(), ids);
    replica.now = master.now;
    replica
}

fn equal_pair() -> (Mail, Mail) {
    let mut master = Mail::new("m");
    master.create(&[INBOX, A]);
    master.append(INBOX, &["one", "two"]);
    master.append(A, &["three", "four"]);
    let replica = twin_of(&master, "r");
    (master, replica)
}

/// A session that notes what it is asked, and may answer for messages otherwise than its store does.
struct Noting {
    inner: MemorySession,
    asked: Arc<Mutex<Vec<&'static str>>>,
    /// Added to the size of a message that is read in pieces.
    size_off: u64,
}

impl Session for Noting {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        self.asked.lock().expect("no panic").push(support::kind(&request));
        match self.inner.execute(request)? {
            Reply::Bytes { size, data } => Ok(Reply::Bytes {
                size: size + self.size_off,
                data,
            }),
            other => Ok(other),
        }
    }
}

/// Runs a job; what was asked of the store here, and what came of it.
fn noted(config: MasterConfig, master: &Mail, replica: &Mail, size_off: u64) -> (Vec<&'static str>, Outcome) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let ours = Noting {
        inner: master.store.session(),
        asked: Arc::clone(&asked),
        size_off,
    };
    let theirs = Box::new(replica.store.session());
    let outcome = pair::connect_sessions(config, Box::new(ours), theirs, "mailtwin 0.1.0", Wire::default());
    let asked = std::mem::take(&mut *asked.lock().expect("no panic"));
    (asked, outcome)
}

fn count(asked: &[&str], kind: &str) -> usize {
    asked.iter().filter(|one| **one == kind).count()
}

#[test]
fn messages_of_the_replica_are_fetched_ahead_and_staged_together() {
    let (master, mut replica) = equal_pair();
    let texts: Vec<String> = (0..20).map(|n| format!("theirs {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    replica.append(INBOX, &texts);
    let (asked, outcome) = noted(pair::master_config(pair::user("jane")), &master, &replica, 0);
    assert_eq!(count(&asked, "Stage"), 1, "{asked:?}");
    assert!(outcome.progress.round_trips < 20, "{:?}", outcome.progress);
    check(&outcome, &master, &replica);
}

#[test]
fn every_read_that_a_run_begins_is_ended() {
    let (mut master, replica) = equal_pair();
    master.append(INBOX, &["new"]);
    let (asked, outcome) = noted(pair::master_config(pair::user("jane")), &master, &replica, 0);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert!(count(&asked, "BeginRead") > 0);
    assert_eq!(count(&asked, "BeginRead"), count(&asked, "EndRead"), "{asked:?}");
}

#[test]
fn a_large_message_of_another_size_than_its_record_is_not_sent() {
    let (mut master, replica) = equal_pair();
    master.append(A, &[&"x".repeat(3 << 20)]);
    let (_, outcome) = noted(pair::master_config(pair::user("jane")), &master, &replica, 1);
    assert_eq!(outcome.progress.ended, Some(Ending::SomeFailed));
    assert_eq!(outcome.progress.messages_sent, 0);
    assert_eq!(replica.records(A).len(), 2);
}

#[test]
fn few_records_are_read_by_one_request() {
    let (master, replica) = equal_pair();
    let compare = Job::Compare(vec![jane()]);
    let (asked, outcome) = noted(pair::master_config(compare), &master, &replica, 0);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert_eq!(count(&asked, "Records"), 2, "{asked:?}");
}

#[test]
fn a_mailbox_that_comes_back_gets_a_new_uidvalidity_only_where_a_uid_was_used() {
    for reused in [false, true] {
        let (mut master, mut replica) = equal_pair();
        let before = master.mailbox(A).uidvalidity;
        if reused {
            master.append(A, &["ours"]);
        }
        master.delete(A);
        replica.append(A, &["late"]);
        let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
        assert_eq!(outcome.progress.ended, Some(Ending::Done));
        similar(
            &dump_living(&master.store, &jane()),
            &dump_living(&replica.store, &jane()),
        );
        assert_eq!(master.mailbox(A).uidvalidity, before + u32::from(reused));
    }
}

#[test]
fn only_a_user_whose_inbox_was_deleted_is_removed_there() {
    let subscribed = |replica: &mut Mail| {
        let mailbox = Text::from(INBOX);
        replica.write(jane(), vec![Change::Subscribe { mailbox }]);
    };
    let removals = |outcome: &Outcome| -> usize {
        let lines = outcome.lines();
        lines
            .iter()
            .filter(|line| line.starts_with("APPLY UNUSER"))
            .count()
    };
    let mut master = Mail::new("m");
    master.create(&[INBOX]);
    let mut replica = twin_of(&master, "r");
    subscribed(&mut replica);
    let deleted_at = master.now;
    master.write(jane(), vec![Change::RemoveUser { deleted_at }]);
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(removals(&outcome), 1, "{:?}", outcome.lines());
    assert!(!replica.dump(&jane()).contains("\"user.jane\""));

    // Another mailbox that was deleted says nothing of its user.
    let mut master = Mail::new("m");
    master.create(&[INBOX, A]);
    let mut replica = twin_of(&master, "r");
    subscribed(&mut replica);
    master.delete(A);
    let uniqueid = master.mailbox(INBOX).uniqueid;
    for side in [&mut master, &mut replica] {
        let uniqueid = uniqueid.clone();
        side.write(
            jane(),
            vec![Change::RemoveMailbox {
                uniqueid,
                tombstone: None,
            }],
        );
    }
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(removals(&outcome), 0, "{:?}", outcome.lines());
}

fn planned(master: &Mail, replica: &Mail) -> Vec<(String, &'static str)> {
    let config = MasterConfig {
        dry_run: true,
        ..pair::master_config(pair::user("jane"))
    };
    let (_, outcome) = noted(config, master, replica, 0);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    let plan = outcome.progress.plan.iter();
    plan.map(|planned| (planned.about.to_string(), planned.what.word()))
        .collect()
}

#[test]
fn a_plan_tells_what_is_only_sent_from_what_is_merged() {
    let (mut master, mut replica) = equal_pair();
    master.append(INBOX, &["new"]);
    let sent = |about: &str| (about.to_owned(), "send_mailbox");
    assert_eq!(planned(&master, &replica), [sent(INBOX)]);
    // Both got mail under one UID, but only the values here are higher.
    master.flag(A, 1, SystemFlags::SEEN, &[]);
    master.append(A, &["ours", "more"]);
    replica.append(A, &["theirs"]);
    let plan = planned(&master, &replica);
    assert!(plan.contains(&(A.to_owned(), "merge_mailbox")), "{plan:?}");
    assert!(plan.contains(&sent(INBOX)), "{plan:?}");
}

#[test]
fn a_plan_tells_that_no_script_will_be_active() {
    let (mut master, _) = equal_pair();
    let now = engine::flow::Now(5);
    let put = local::put_script(now, Text::from("rules"), Text::from("keep;"), guid_of(b"keep;"));
    master.write(jane(), put);
    let mut replica = twin_of(&master, "r");
    replica.write(jane(), local::activate_script(Some(Text::from("rules"))));
    assert_eq!(planned(&master, &replica), [(String::new(), "deactivate_script")]);
}

#[test]
fn an_intermediate_name_there_is_not_in_the_way() {
    let (mut master, mut replica) = equal_pair();
    let mut between = replica.mailbox(A);
    between.name = Text::from("user.jane.b");
    between.uniqueid = Text::from("between");
    between.mbtype = Text::from("i");
    between.last_uid = 0;
    between.crc = engine::crc::SyncCrc::EMPTY;
    replica.write(jane(), vec![Change::PutMailbox(Box::new(between))]);
    master.create(&["user.jane.b"]);
    master.append("user.jane.b", &["new"]);
    let outcome = sync_and_check(&master, &replica);
    assert!(
        outcome.progress.decisions.is_empty(),
        "{:?}",
        outcome.progress.decisions
    );
}

#[test]
fn a_cyrus_gets_each_user_a_message_of_their_own() {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(&[INBOX, "user.bob"]);
    master.append(INBOX, &["for both"]);
    master.append("user.bob", &["for both"]);
    let job = Job::Users(vec![Text::from("bob"), Text::from("jane")]);
    // One after the other, so that the second could count on what the first has sent.
    let config = MasterConfig {
        items_at_once: 1,
        ..pair::master_config(job)
    };
    let outcome = pair::connect(config, &master.store, &replica.store, "3.6.1", Wire::default());
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    assert_eq!(outcome.progress.messages_sent, 2);
}

#[test]
fn each_mailbox_goes_at_once_to_mailtwin_and_all_uploads_first_to_a_cyrus() {
    let kinds = |outcome: &Outcome| -> Vec<char> {
        let said = String::from_utf8_lossy(&outcome.said).into_owned();
        let mut kinds: Vec<(usize, char)> = said
            .match_indices("APPLY MESSAGE")
            .map(|(at, _)| (at, 'u'))
            .collect();
        kinds.extend(said.match_indices("APPLY MAILBOX").map(|(at, _)| (at, 'm')));
        kinds.sort_unstable();
        kinds.into_iter().map(|(_, kind)| kind).collect()
    };
    let mut master = Mail::new("m");
    master.create(&[INBOX, A]);
    master.append(INBOX, &["one"]);
    master.append(A, &["two"]);
    let (ours, cyrus) = (Mail::new("r"), Mail::new("r"));
    let outcome = pair::sync(pair::user("jane"), &master.store, &ours.store);
    assert_eq!(kinds(&outcome), ['u', 'm', 'u', 'm']);
    let outcome = pair::sync_as_cyrus(pair::user("jane"), &master.store, &cyrus.store);
    assert_eq!(kinds(&outcome), ['u', 'u', 'm', 'm']);
}

#[test]
fn a_cyrus_has_the_lines_of_many_mailboxes_before_all_are_uploaded() {
    let mut master = Mail::new("m");
    let names: Vec<String> = (100..200).map(|n| format!("user.jane.{n}")).collect();
    master.create(&[INBOX]);
    master.create(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        master.append(name, &[name]);
    }
    let replica = Mail::new("r");
    let outcome = pair::sync_as_cyrus(pair::user("jane"), &master.store, &replica.store);
    assert_eq!(outcome.progress.ended, Some(Ending::Done));
    let said = String::from_utf8_lossy(&outcome.said).into_owned();
    let first_line = said.find("APPLY MAILBOX").expect("lines");
    let uploads = said[..first_line].matches("APPLY MESSAGE").count();
    assert!(
        (2..=64).contains(&uploads),
        "{uploads} uploads before the first line"
    );
}

/// How many users a master asks about before it has an answer.
fn asked_at_once(users: usize) -> usize {
    let store = store::memory::MemoryStore::new();
    let config = MasterConfig {
        items_at_once: 1000,
        ..pair::master_config(Job::Tasks)
    };
    let mut master = Master::new(config);
    let now = Now(2_000_000_000);
    for n in 0..users {
        let work = Work::User(Text::from(format!("u{n}")));
        master.give(
            now,
            Task {
                id: TaskId(n as u64),
                work,
            },
        );
    }
    let banner = Bytes::from_static(b"* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n");
    master.handle(now, Input::Bytes(banner));
    let mut session = store.session();
    let mut said = Vec::new();
    let mut enabled = Some(&b"* ENABLED (SIEVE-MAILBOX)\r\nOK success\r\n"[..]);
    loop {
        match master.poll() {
            Output::Send(bytes) => said.extend_from_slice(&bytes),
            Output::Store(ticket, request) => {
                let answer = session.execute(request);
                master.handle(now, Input::Stored(ticket, answer));
            }
            Output::Wait(_) => match enabled.take() {
                Some(answer) => master.handle(now, Input::Bytes(Bytes::from_static(answer))),
                None => break,
            },
            other => panic!("{other:?}"),
        }
    }
    String::from_utf8_lossy(&said).matches("GET USER").count()
}

#[test]
fn so_many_users_of_tasks_are_asked_about_at_once() {
    assert_eq!(asked_at_once(10), 10);
    assert_eq!(asked_at_once(500), 64);
}

#[test]
fn scripts_that_a_cyrus_keeps_as_messages_go_when_they_are_gone_here() {
    const SIEVE: &str = "user.jane.#sieve";
    let (mut master, mut replica) = equal_pair();
    let message = |name: &str| format!("From: <jane>\r\nSubject: {name}\r\n\r\nkeep;\r\n");
    replica.create(&[SIEVE]);
    let (first, second) = (message("first"), message("second"));
    replica.append(SIEVE, &[&first, &second]);
    replica.expunge(SIEVE, 2);
    // What happens to other mailboxes is not the point, but makes the run go the long way.
    master.append(INBOX, &["new"]);
    let config = MasterConfig {
        authenticate: true,
        ..pair::master_config(pair::user("jane"))
    };
    let (ours, theirs) = (
        Box::new(master.store.session()),
        Box::new(replica.store.session()),
    );
    let outcome = pair::connect_sessions(config, ours, theirs, "3.6.1", Wire::default());
    let removed: Vec<String> = outcome
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("APPLY UNSIEVE"))
        .collect();
    assert_eq!(removed, ["APPLY UNSIEVE %(USERID jane FILENAME first.script)"]);
}
