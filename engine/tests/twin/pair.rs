//! A master and a replica on one wire in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use engine::flow::{Input, Now, Output, SaslReply, SaslRequest};
use engine::master::{Job, Master, MasterConfig, Progress, Task, TaskId, TaskResult, Work};
use engine::replica::{Replica, ReplicaConfig};
use engine::ticket::Session;
use protocol::Text;
use protocol::limits::Limits;
use store::memory::MemoryStore;

/// Steps after which a run counts as stuck.
const STEPS_MAX: usize = 1_000_000;

/// How the wire behaves.
#[derive(Clone, Copy, Default)]
pub struct Wire {
    /// Bytes arrive in pieces whose lengths come from this seed; 0 delivers what was sent at once.
    pub split: u64,
    /// The master's connection ends after this many bytes to it.
    pub cut_to_master: Option<usize>,
    /// The replica hears so many bytes of the master, and then the connection has ended for both.
    pub cut_to_replica: Option<usize>,
    /// This byte to the master arrives changed by this mask; a wire that is stuck afterwards ends.
    pub flip: Option<(usize, u8)>,
    /// The master is asked to stop after this many bytes to it.
    pub stop_after: Option<usize>,
}

/// What a run left behind.
pub struct Outcome {
    /// The master's counters.
    pub progress: Progress,
    /// All that the master said.
    pub said: Vec<u8>,
    /// Bytes that the replica said.
    pub heard: usize,
    /// What came of tasks, in the order in which they ended.
    pub results: Vec<TaskResult>,
}

impl Outcome {
    /// The master's lines, for runs without message bytes.
    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.said)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Lines that change something.
    pub fn changing(&self) -> Vec<String> {
        let quiet = [
            "GET ",
            "EXIT",
            "APPLY CAPABILITIES ",
            "APPLY RESERVE ",
            "AUTHENTICATE ",
            "COMPRESS ",
            "RESTART",
        ];
        self.lines()
            .into_iter()
            .filter(|line| !quiet.iter().any(|start| line.starts_with(start)))
            .collect()
    }
}

/// A master's configuration for a job.
pub fn master_config(job: Job) -> MasterConfig {
    MasterConfig {
        authenticate: false,
        pipeline_bytes_max: 16 << 20,
        ..MasterConfig::new(job)
    }
}

/// The job of one user.
pub fn user(name: &str) -> Job {
    Job::Users(vec![Text::from(name)])
}

/// A replica that calls itself this in its banner.
pub fn replica_config(version: &str) -> ReplicaConfig {
    ReplicaConfig {
        servername: "twin.example.org".to_owned(),
        version: version.to_owned(),
        mechanisms: vec!["PLAIN".to_owned()],
        compress: true,
        tls: None,
        partitions: Vec::new(),
        trusted: true,
        limits: Limits::default(),
        unauthenticated_bytes_max: 1 << 16,
    }
}

/// A small generator, so that a seed says all.
struct Pieces(u64);

impl Pieces {
    fn next(&mut self, most: usize) -> usize {
        if self.0 == 0 {
            return most;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let scale = [1, 3, 40, 700, 20_000][(self.0 >> 40) as usize % 5];
        (1 + (self.0 >> 20) as usize % scale).min(most)
    }
}

enum Machine {
    Master(Box<Master>),
    Replica(Box<Replica>),
}

struct Side {
    machine: Machine,
    session: Box<dyn Session>,
    sent: VecDeque<u8>,
    transcript: Vec<u8>,
    closed: bool,
}

impl Side {
    fn give(&mut self, input: Input) {
        match &mut self.machine {
            Machine::Master(master) => master.handle(Now(2_000_000_000), input),
            Machine::Replica(replica) => replica.handle(Now(2_000_000_000), input),
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            let output = match &mut self.machine {
                Machine::Master(master) => master.poll(),
                Machine::Replica(replica) => replica.poll(),
            };
            match output {
                Output::Send(bytes) => {
                    self.transcript.extend_from_slice(&bytes);
                    self.sent.extend(bytes);
                }
                Output::Store(ticket, request) => {
                    let answer = self.session.execute(request);
                    self.give(Input::Stored(ticket, answer));
                    return;
                }
                Output::Sasl(request) => {
                    let reply = match request {
                        SaslRequest::Choose { .. } => SaslReply::Chosen {
                            mechanism: "PLAIN".to_owned(),
                            initial: Some(Bytes::from_static(b"AGFkbWluAHNlY3JldA==")),
                        },
                        _ => SaslReply::Success {
                            admin: true,
                            user: "admin".to_owned(),
                            last: None,
                        },
                    };
                    self.give(Input::Sasl(reply));
                    return;
                }
                // The layer is left out: both sides speak plainly on.
                Output::StartDeflate { received } => {
                    if !received.is_empty() {
                        self.give(Input::Bytes(received));
                        return;
                    }
                }
                Output::StartTls => panic!("neither side has TLS"),
                Output::Wait(_) => return,
                Output::Closed => {
                    self.closed = true;
                    return;
                }
            }
        }
    }
}

/// Runs a master over one store against a replica over another until the master has ended.
pub fn connect(
    config: MasterConfig,
    master: &MemoryStore,
    replica: &MemoryStore,
    version: &str,
    wire: Wire,
) -> Outcome {
    let (ours, theirs) = (Box::new(master.session()), Box::new(replica.session()));
    connect_sessions(config, ours, theirs, version, wire)
}

/// The same over two sessions with stores.
pub fn connect_sessions(
    config: MasterConfig,
    master: Box<dyn Session>,
    replica: Box<dyn Session>,
    version: &str,
    wire: Wire,
) -> Outcome {
    let trusted = !config.authenticate;
    converse((Master::new(config), master), replica, (version, trusted), wire)
}

/// Runs a master that is given these tasks, numbered from 0, and nothing more.
pub fn tasks(works: Vec<Work>, master: &MemoryStore, replica: &MemoryStore) -> Outcome {
    let mut machine = Master::new(master_config(Job::Tasks));
    let now = Now(2_000_000_000);
    for (id, work) in (0..).map(TaskId).zip(works) {
        machine.give(now, Task { id, work });
    }
    machine.retire(now);
    let (ours, theirs) = (Box::new(master.session()), Box::new(replica.session()));
    converse((machine, ours), theirs, ("mailtwin 0.1.0", true), Wire::default())
}

/// A master and its session, a replica's session, what the replica calls itself and whether it trusts everybody.
fn converse(
    (machine, ours): (Master, Box<dyn Session>),
    theirs: Box<dyn Session>,
    (version, trusted): (&str, bool),
    wire: Wire,
) -> Outcome {
    let there = ReplicaConfig {
        trusted,
        ..replica_config(version)
    };
    let side = |machine, session| Side {
        machine,
        session,
        sent: VecDeque::new(),
        transcript: Vec::new(),
        closed: false,
    };
    let mut master = side(Machine::Master(Box::new(machine)), ours);
    let mut replica = side(Machine::Replica(Box::new(Replica::new(there))), theirs);
    let mut pieces = Pieces(wire.split);
    let mut heard = 0;
    let mut told = 0;
    let mut ended = false;
    replica.drain();
    master.drain();
    for _ in 0..STEPS_MAX {
        let Machine::Master(machine) = &mut master.machine else {
            unreachable!("the master is a master")
        };
        if master.closed {
            return Outcome {
                progress: machine.progress(),
                results: machine.take_results(),
                said: master.transcript,
                heard,
            };
        }
        if !master.sent.is_empty() && !replica.closed && !ended {
            let left = wire.cut_to_replica.map_or(usize::MAX, |cut| cut - told);
            let length = pieces.next(master.sent.len()).min(left);
            let bytes: Vec<u8> = master.sent.drain(..length).collect();
            told += length;
            replica.give(Input::Bytes(bytes.into()));
            if told == wire.cut_to_replica.unwrap_or(usize::MAX) {
                ended = true;
                master.give(Input::Eof);
                continue;
            }
        }
        let left = wire.cut_to_master.map_or(usize::MAX, |cut| cut - heard);
        if !replica.sent.is_empty() && left > 0 {
            let length = pieces.next(replica.sent.len()).min(left);
            let mut bytes: Vec<u8> = replica.sent.drain(..length).collect();
            if let Some((at, mask)) = wire.flip
                && (heard..heard + length).contains(&at)
            {
                bytes[at - heard] ^= mask;
            }
            heard += length;
            master.give(Input::Bytes(bytes.into()));
            if wire.stop_after.is_some_and(|at| heard >= at) {
                master.give(Input::Shutdown);
            }
        } else if !ended && (left == 0 || replica.closed || (wire.flip.is_some() && master.sent.is_empty())) {
            ended = true;
            master.give(Input::Eof);
        } else {
            assert!(
                !master.sent.is_empty() || master.closed,
                "stuck after: {}",
                tail(&master.transcript)
            );
            if ended {
                master.sent.clear();
            }
        }
    }
    panic!("no end after {STEPS_MAX} steps");
}

fn tail(bytes: &[u8]) -> String {
    bytes[bytes.len().saturating_sub(400)..]
        .escape_ascii()
        .to_string()
}

/// Runs a job between two stores on a plain wire, with our own replica.
pub fn sync(job: Job, master: &MemoryStore, replica: &MemoryStore) -> Outcome {
    connect(
        master_config(job),
        master,
        replica,
        "mailtwin 0.1.0",
        Wire::default(),
    )
}

/// The same with a replica that claims to be a Cyrus.
pub fn sync_as_cyrus(job: Job, master: &MemoryStore, replica: &MemoryStore) -> Outcome {
    connect(master_config(job), master, replica, "3.6.1", Wire::default())
}
