//! Any history of changes, synced at any points of it, gives an equal replica; and a store that fails at any ticket
//! leaves a run that says so and a next one that makes good.

mod twin;

use engine::flow::{Input, Now, Output};
use engine::local;
use engine::master::{Ending, Master, Progress};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Session, StoreError};
use proptest::prelude::*;
use protocol::{SystemFlags, Text};
use twin::mail::Mail;
use twin::{jane, pair, sync_and_check};

const NAMES: [&str; 4] = ["user.jane", "user.jane.a", "user.jane.a.b", "user.jane.c"];
const TEXTS: [&str; 6] = ["", "one\r\n", "two\r\n", "three\n", "four \u{e4}\r\n", "five\r\n"];

/// A change; what cannot be done at its time is left out.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Append(usize, Vec<usize>),
    Flag(usize, u32, u8, Option<&'static str>),
    Annotate(usize, u32, &'static str, usize),
    AnnotateMailbox(usize, usize),
    Expunge(usize, u32),
    Rename(usize, usize),
    Delete(usize),
    Subscribe(usize, bool),
    Sync { cyrus: bool, split: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let mailbox = 0..NAMES.len();
    let keyword = prop_oneof![
        Just(None),
        Just(Some("work")),
        Just(Some("NIL")),
        Just(Some("$Later"))
    ];
    prop_oneof![
        3 => mailbox.clone().prop_map(Step::Create),
        5 => (mailbox.clone(), prop::collection::vec(0..TEXTS.len(), 1..5)).prop_map(|(m, t)| Step::Append(m, t)),
        4 => (mailbox.clone(), 1..8u32, 0..64u8, keyword).prop_map(|(m, u, f, k)| Step::Flag(m, u, f, k)),
        2 => (mailbox.clone(), 1..8u32, prop_oneof![Just(""), Just("jane")], 0..TEXTS.len())
            .prop_map(|(m, u, o, t)| Step::Annotate(m, u, o, t)),
        1 => (mailbox.clone(), 0..TEXTS.len()).prop_map(|(m, t)| Step::AnnotateMailbox(m, t)),
        2 => (mailbox.clone(), 1..8u32).prop_map(|(m, u)| Step::Expunge(m, u)),
        2 => (mailbox.clone(), mailbox.clone()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => mailbox.clone().prop_map(Step::Delete),
        1 => (mailbox, any::<bool>()).prop_map(|(m, on)| Step::Subscribe(m, on)),
        3 => (any::<bool>(), 0..1000u64).prop_map(|(cyrus, split)| Step::Sync { cyrus, split }),
    ]
}

fn exists(mail: &Mail, name: &str) -> bool {
    !twin::mail::mailboxes(&mail.store, engine::ticket::Select::Names(vec![Text::from(name)])).is_empty()
}

fn is_alive(mail: &Mail, name: &str, uid: u32) -> bool {
    exists(mail, name)
        && mail
            .records(name)
            .iter()
            .any(|record| record.uid == uid && !record.is_expunged())
}

fn apply(master: &mut Mail, replica: &Mail, step: &Step) {
    match *step {
        Step::Create(at) if !exists(master, NAMES[at]) => master.create(&[NAMES[at]]),
        Step::Append(at, ref texts) if exists(master, NAMES[at]) => {
            let texts: Vec<&str> = texts.iter().map(|text| TEXTS[*text]).collect();
            master.append(NAMES[at], &texts);
        }
        Step::Flag(at, uid, bits, keyword) if is_alive(master, NAMES[at], uid) => {
            let system = SystemFlags::from_bits(bits).without(SystemFlags::EXPUNGED);
            master.flag(NAMES[at], uid, system, keyword.as_slice());
        }
        Step::Annotate(at, uid, owner, text) if is_alive(master, NAMES[at], uid) => {
            master.annotate(NAMES[at], uid, "/comment", owner, TEXTS[text]);
        }
        Step::AnnotateMailbox(at, text) if exists(master, NAMES[at]) => {
            master.annotate_mailbox(NAMES[at], "/comment", TEXTS[text]);
        }
        Step::Expunge(at, uid) if is_alive(master, NAMES[at], uid) => master.expunge(NAMES[at], uid),
        Step::Rename(from, to) => rename(master, NAMES[from], NAMES[to]),
        Step::Delete(at) if at > 0 && exists(master, NAMES[at]) => master.delete(NAMES[at]),
        Step::Subscribe(at, on) => master.write(jane(), local::subscribe(Text::from(NAMES[at]), on)),
        Step::Sync { cyrus, split } => {
            let version = if cyrus { "3.6.1" } else { "mailtwin 0.1.0" };
            let wire = pair::Wire {
                split,
                ..pair::Wire::default()
            };
            let config = pair::master_config(pair::user("jane"));
            let outcome = pair::connect(config, &master.store, &replica.store, version, wire);
            assert_eq!(
                outcome.progress.ended,
                Some(Ending::Done),
                "{:?}",
                outcome.progress
            );
        }
        _ => {}
    }
}

/// Renames, or swaps the names when both are taken.
fn rename(master: &mut Mail, from: &str, to: &str) {
    let movable = |mail: &Mail, name: &str| name != NAMES[0] && exists(mail, name);
    if !movable(master, from) || to == NAMES[0] || from == to || from.starts_with(to) || to.starts_with(from)
    {
        return;
    }
    if exists(master, to) {
        master.rename(to, "user.jane.between");
        master.rename(from, to);
        master.rename("user.jane.between", from);
    } else {
        master.rename(from, to);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_an_equal_replica(steps in prop::collection::vec(step(), 1..40)) {
        let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
        master.create(&[NAMES[0]]);
        for step in &steps {
            apply(&mut master, &replica, step);
        }
        sync_and_check(&master, &replica);
    }
}

/// Fails one request.
struct Failing<'a> {
    inner: &'a mut dyn Session,
    left: usize,
}

impl Session for Failing<'_> {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        self.left = self.left.wrapping_sub(1);
        if self.left == usize::MAX {
            return Err(StoreError::Io {
                path: "x.db".to_owned(),
                detail: "a bad sector".to_owned(),
            });
        }
        self.inner.execute(request)
    }
}

/// A master whose store fails at one ticket, against a server that agrees to everything.
fn run_with_failure(mail: &Mail, at: usize) -> (Progress, bool) {
    let mut session = mail.store.session();
    let mut failing = Failing {
        inner: &mut session,
        left: at,
    };
    let (progress, _) = run_over(&mut failing, "mailtwin 0.1.0");
    (progress, failing.left > usize::MAX / 2)
}

/// A master over the session; its counters, and what it said.
fn run_over(session: &mut dyn Session, version: &str) -> (Progress, Vec<String>) {
    let mut master = Master::new(pair::master_config(pair::user("jane")));
    let mut server = twin::script::Listener::default();
    let mut said = Vec::new();
    let now = Now(2_000_000_000);
    master.handle(
        now,
        Input::Bytes(format!("* OK a.example.org {version}\r\n").into()),
    );
    loop {
        match master.poll() {
            Output::Send(bytes) => server.hear(bytes),
            Output::Store(ticket, request) => {
                let answer = session.execute(request);
                master.handle(now, Input::Stored(ticket, answer));
            }
            Output::Wait(_) => match server.next() {
                Some(command) => {
                    match twin::script::agree(&command) {
                        twin::script::Answer::Say(text) => master.handle(now, Input::Bytes(text.into())),
                        twin::script::Answer::Close(_) => unreachable!("it agrees to all"),
                    }
                    said.push(command);
                }
                None => master.handle(now, Input::Eof),
            },
            Output::Closed => return (master.progress(), said),
            other => panic!("{other:?}"),
        }
    }
}

/// Gives out messages with their first byte changed, or fails behind the first piece of a large one.
struct Damaging<'a> {
    inner: &'a mut dyn Session,
    pieces_only: bool,
    fails: bool,
}

impl Session for Damaging<'_> {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        let alter = |data: &[u8]| {
            let mut data = data.to_vec();
            data.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            data.into()
        };
        let offset = if let Request::ReadMessage { offset, .. } = &request {
            *offset
        } else {
            0
        };
        if offset > 0 && self.fails {
            return Err(StoreError::Io {
                path: "x.db".to_owned(),
                detail: "a bad sector".to_owned(),
            });
        }
        match self.inner.execute(request)? {
            Reply::Messages(all) if !self.pieces_only => Ok(Reply::Messages(
                all.iter().map(|one| one.as_deref().map(alter)).collect(),
            )),
            Reply::Bytes { size, data } if !self.fails && offset == 0 => Ok(Reply::Bytes {
                size,
                data: alter(&data),
            }),
            other => Ok(other),
        }
    }
}

#[test]
fn a_message_damaged_here_is_never_named_to_cyrus() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", "user.jane.a", "user.jane.b"]);
    let large = "x".repeat(3 << 20);
    mail.append("user.jane.a", &["one", "two"]);
    mail.append("user.jane.b", &[&large]);
    for (pieces_only, fails, damaged) in [(false, false, 2), (true, false, 1), (true, true, 1)] {
        let mut session = mail.store.session();
        let mut damaging = Damaging {
            inner: &mut session,
            pieces_only,
            fails,
        };
        let (progress, said) = run_over(&mut damaging, "Cyrus sync server 3.6.1");
        assert_eq!(progress.ended, Some(Ending::SomeFailed));
        let named: Vec<&String> = said
            .iter()
            .filter(|said| said.starts_with("APPLY MAILBOX"))
            .collect();
        assert_eq!(named.len(), 3 - damaged, "{named:?}");
        assert!(
            !named
                .iter()
                .any(|said| said.starts_with("APPLY MAILBOX user.jane.b")),
            "{named:?}"
        );
        let reason = &progress.failures[0].reason;
        assert!(
            reason.contains(if fails { "a bad sector" } else { "mailtwin verify" }),
            "{reason}"
        );
        assert_eq!(
            said.last().map(String::as_str),
            Some("EXIT"),
            "the connection stays in step"
        );
        // What is wrong and staged is forgotten before anything else could name it.
        let restart = said.iter().position(|said| said == "RESTART");
        let upload = said.iter().position(|said| said.starts_with("APPLY MESSAGE"));
        assert!(upload < restart || !pieces_only, "{said:?}");
    }
}

#[test]
fn a_failing_store_is_told_and_never_more_than_that() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", "user.jane.a"]);
    mail.append("user.jane", &["one", "two"]);
    let large = "x".repeat(3 << 20);
    mail.append("user.jane.a", &["three", &large]);
    mail.write(
        Scope::User(Text::from("jane")),
        vec![Change::Subscribe {
            mailbox: Text::from("user.jane"),
        }],
    );
    let before = mail.dump(&jane());
    let (mut told, mut at) = (0, 0);
    loop {
        let (progress, failed) = run_with_failure(&mail, at);
        if !failed {
            assert_eq!(progress.ended, Some(Ending::Done));
            break;
        }
        let reason = match progress.ended {
            Some(Ending::SomeFailed) => progress.failures[0].reason.clone(),
            Some(Ending::Storage(reason)) => reason,
            // Letting go of what was read may fail without anybody losing anything.
            Some(Ending::Done) => "a bad sector".to_owned(),
            other => panic!("ticket {at}: {other:?}"),
        };
        assert!(reason.contains("a bad sector"), "ticket {at}: {reason}");
        told += 1;
        at += 1;
    }
    assert!(told > 15, "{told} tickets");
    assert_eq!(mail.dump(&jane()), before);
}
