//! Drives a machine over a store session without a runtime: at once, or ticket by ticket, or with tickets that fail.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use engine::flow::{Input, Now, Output, SaslReply, SaslRequest, Waiting};
use engine::replica::ReplicaConfig;
use engine::ticket::{Request, Session, StoreError, TicketId};
use engine::{Master, Replica};
use protocol::Limits;
use sha1::{Digest, Sha1};
use store::memory::MemoryStore;
use store::sqlite::SqliteStore;

/// The time at which all tests happen.
pub const NOW: Now = Now(1_800_000_000);

/// What both machines have.
pub trait Machine {
    fn handle(&mut self, now: Now, input: Input);
    fn poll(&mut self) -> Output;
}

impl Machine for Replica {
    fn handle(&mut self, now: Now, input: Input) {
        Replica::handle(self, now, input);
    }
    fn poll(&mut self) -> Output {
        Replica::poll(self)
    }
}

impl Machine for Master {
    fn handle(&mut self, now: Now, input: Input) {
        Master::handle(self, now, input);
    }
    fn poll(&mut self) -> Output {
        Master::poll(self)
    }
}

/// What opens store sessions.
pub trait Store {
    fn open(&self) -> Box<dyn Session>;
}

impl Store for MemoryStore {
    fn open(&self) -> Box<dyn Session> {
        Box::new(self.session())
    }
}

impl Store for SqliteStore {
    fn open(&self) -> Box<dyn Session> {
        Box::new(self.session())
    }
}

/// A machine, its store session and what it has said.
pub struct Driver<M> {
    pub machine: M,
    pub session: Box<dyn Session>,
    /// Bytes sent and not taken.
    pub sent: Vec<u8>,
    /// Every request ever made, in short.
    pub asked: Vec<&'static str>,
    /// Requests not answered yet.
    pub open: VecDeque<(TicketId, Request)>,
    /// Requests (counted from 0 over the machine's life) that fail without being done.
    pub failing: BTreeMap<usize, StoreError>,
    pub closed: bool,
    pub deflated: bool,
    /// The machine waits for a handshake.
    pub started_tls: bool,
    pub waiting: Option<Waiting>,
    executed: usize,
}

impl<M: Machine> Driver<M> {
    pub fn new(machine: M, store: &impl Store) -> Self {
        Driver {
            machine,
            session: store.open(),
            sent: Vec::new(),
            asked: Vec::new(),
            open: VecDeque::new(),
            failing: BTreeMap::new(),
            closed: false,
            deflated: false,
            started_tls: false,
            waiting: None,
            executed: 0,
        }
    }

    /// Carries out what the machine wants, but leaves storage requests open.
    pub fn poll(&mut self) {
        loop {
            match self.machine.poll() {
                Output::Send(bytes) => self.sent.extend_from_slice(&bytes),
                Output::Store(ticket, request) => {
                    self.asked.push(kind(&request));
                    self.open.push_back((ticket, request));
                }
                Output::Sasl(request) => self.machine.handle(NOW, Input::Sasl(sasl(request))),
                Output::StartDeflate { received } => {
                    self.deflated = true;
                    self.machine.handle(NOW, Input::Bytes(received));
                }
                Output::StartTls => self.started_tls = true,
                Output::Wait(waiting) => {
                    self.waiting = Some(waiting);
                    return;
                }
                Output::Closed => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    /// Answers the oldest open request; false when there is none.
    pub fn answer_one(&mut self) -> bool {
        let Some((ticket, request)) = self.open.pop_front() else {
            return false;
        };
        let answer = match self.failing.remove(&self.executed) {
            Some(error) => Err(error),
            None => self.session.execute(request),
        };
        self.executed += 1;
        self.machine.handle(NOW, Input::Stored(ticket, answer));
        self.poll();
        true
    }

    /// Goes on until the machine needs something from outside.
    pub fn settle(&mut self) {
        self.poll();
        while self.answer_one() {}
    }

    /// Gives bytes and settles.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.machine
            .handle(NOW, Input::Bytes(Bytes::copy_from_slice(bytes)));
        self.settle();
    }

    pub fn input(&mut self, input: Input) {
        self.machine.handle(NOW, input);
        self.settle();
    }

    /// What was sent since the last time, printable.
    pub fn take(&mut self) -> String {
        printable(&std::mem::take(&mut self.sent))
    }
}

/// Users: `admin` may replicate, `stranger` may not, both with their name as initial response or as answer.
fn sasl(request: SaslRequest) -> SaslReply {
    let judge = |said: &[u8]| match said {
        b"YWRtaW4=" => SaslReply::Success {
            admin: true,
            user: "admin".into(),
            last: None,
        },
        b"c2NyYW0=" => SaslReply::Success {
            admin: true,
            user: "scram".into(),
            last: Some(Bytes::from_static(b"dj0x")),
        },
        b"c3RyYW5nZXI=" => SaslReply::Success {
            admin: false,
            user: "stranger".into(),
            last: None,
        },
        _ => SaslReply::Failure {
            text: "authentication failure".into(),
        },
    };
    match request {
        SaslRequest::Start { mechanism, .. } if mechanism != "PLAIN" => SaslReply::Failure {
            text: "no mechanism available".into(),
        },
        SaslRequest::Start { initial: None, .. } => SaslReply::Send(Bytes::new()),
        SaslRequest::Start {
            initial: Some(said), ..
        }
        | SaslRequest::Step(said) => judge(&said),
        SaslRequest::Choose { .. } => SaslReply::Chosen {
            mechanism: "PLAIN".into(),
            initial: Some(Bytes::from_static(b"YWRtaW4=")),
        },
        SaslRequest::Abort => SaslReply::Failure {
            text: "aborted".into(),
        },
    }
}

/// The kind of a request.
pub fn kind(request: &Request) -> &'static str {
    match request {
        Request::Users { .. } => "Users",
        Request::Mailboxes(_) => "Mailboxes",
        Request::Tombstones { .. } => "Tombstones",
        Request::Deleted { .. } => "Deleted",
        Request::UserMeta { .. } => "UserMeta",
        Request::Quotas { .. } => "Quotas",
        Request::ServerAnnotations => "ServerAnnotations",
        Request::ChangedUids { .. } => "ChangedUids",
        Request::Records { .. } => "Records",
        Request::ReadMessage { .. } => "ReadMessage",
        Request::ReadMessages { .. } => "ReadMessages",
        Request::Summary { .. } => "Summary",
        Request::BeginRead { .. } => "BeginRead",
        Request::EndRead { .. } => "EndRead",
        Request::Reserve { .. } => "Reserve",
        Request::Stage(_) => "Stage",
        Request::ForgetStaged => "ForgetStaged",
        Request::Begin { .. } => "Begin",
        Request::Savepoint => "Savepoint",
        Request::RollbackToSavepoint => "RollbackToSavepoint",
        Request::Write(_) => "Write",
        Request::Commit => "Commit",
        Request::Expire { .. } => "Expire",
        Request::Rollback => "Rollback",
        Request::MoveMailbox { .. } => "MoveMailbox",
    }
}

/// Bytes for a person: CR left out, 8-bit escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => {}
            b'\n' | b'\t' | 0x20..0x7f => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// A configuration with partitions `default` and `other`, for a trusted peer.
pub fn config() -> ReplicaConfig {
    ReplicaConfig {
        servername: "replica.example".into(),
        version: "mailtwin test".into(),
        mechanisms: vec!["PLAIN".into(), "SCRAM-SHA-256".into()],
        compress: true,
        tls: None,
        partitions: vec!["default".into(), "other".into()],
        trusted: true,
        limits: Limits::default(),
        unauthenticated_bytes_max: 4096,
    }
}

/// A replica on a store, its banner taken.
pub fn replica(store: &impl Store) -> Driver<Replica> {
    let mut driver = Driver::new(Replica::new(config()), store);
    driver.settle();
    driver.take();
    driver
}

/// Does each line on its own and prints both sides. A line may hold several bytes of any kind; its end is added.
pub fn transcript(driver: &mut Driver<Replica>, lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("C: {line}\n"));
        driver.feed(format!("{line}\r\n").as_bytes());
        for reply in driver.take().lines() {
            text.push_str(&format!("S: {reply}\n"));
        }
        if driver.closed {
            text.push_str("S closed\n");
            break;
        }
    }
    text
}

/// SHA-1 as 40 hex digits.
pub fn guid(body: &[u8]) -> String {
    Sha1::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A file element of `APPLY MESSAGE`.
pub fn file(body: &str) -> String {
    format!("%{{default {} {}}}\r\n{body}", guid(body.as_bytes()), body.len())
}

/// `APPLY MESSAGE` of these bodies.
pub fn upload(bodies: &[&str]) -> String {
    let files: Vec<String> = bodies.iter().map(|body| file(body)).collect();
    format!("APPLY MESSAGE ({})", files.join(" "))
}

/// A record whose message is `body`, with `flags` as printed inside the parentheses.
pub fn record(uid: u32, modseq: u64, flags: &str, body: &str) -> String {
    format!(
        "%(UID {uid} MODSEQ {modseq} LAST_UPDATED 1700000000 FLAGS ({flags}) INTERNALDATE 1600000000 SIZE {} GUID {})",
        body.len(),
        guid(body.as_bytes())
    )
}

/// The needed keys of a `MAILBOX` line, without `RECORD`.
pub fn keys(name: &str, uniqueid: &str, last_uid: u32, highestmodseq: u64) -> String {
    format!(
        "UNIQUEID {uniqueid} MBOXNAME {name} LAST_UID {last_uid} HIGHESTMODSEQ {highestmodseq} RECENTUID 0 RECENTTIME 0 \
         LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY 1000 PARTITION default ACL \"anyone\tlrs\t\" OPTIONS P"
    )
}

/// `APPLY MAILBOX` with these records.
pub fn mailbox(name: &str, uniqueid: &str, last_uid: u32, highestmodseq: u64, records: &[String]) -> String {
    let keys = keys(name, uniqueid, last_uid, highestmodseq);
    format!("APPLY MAILBOX %({keys} RECORD ({}))", records.join(" "))
}

/// Everything a replica shows of a user, to compare states.
pub fn state(store: &impl Store, users: &[&str]) -> String {
    let mut driver = replica(store);
    let mut text = String::new();
    driver.feed(b"APPLY CAPABILITIES (SIEVE-MAILBOX)\r\n");
    driver.take();
    for user in users {
        driver.feed(format!("GET USER {user}\r\n").as_bytes());
        let found = driver.take();
        let names: Vec<String> = found
            .lines()
            .filter(|line| line.starts_with("* MAILBOX"))
            .filter_map(|line| line.split("MBOXNAME ").nth(1))
            .filter_map(|rest| rest.split(' ').next())
            .map(str::to_owned)
            .collect();
        text.push_str(&found);
        for name in names {
            driver.feed(format!("GET FULLMAILBOX {name}\r\n").as_bytes());
            text.push_str(&driver.take());
        }
        driver.feed(format!("GET META {user}\r\n").as_bytes());
        text.push_str(&driver.take());
    }
    driver.feed(b"GET ANNOTATION \"\"\r\n");
    text.push_str(&driver.take());
    text
}
