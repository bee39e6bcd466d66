//! Connections between a master and a replica, byte by byte and ticket by ticket.

use bytes::Bytes;
use engine::flow::{Input, Output};
use engine::master::{Ending, Job, Master, MasterConfig, Progress};
use engine::replica::{Replica, ReplicaConfig};
use engine::ticket::StoreError;
use protocol::Text;
use protocol::limits::Limits;

use super::host::Began;
use super::machine::{Machine, Side};
use super::storage::Stored;
use super::{Due, PEER_TIMEOUT_MS, World};
use crate::plan::Dialect;
use crate::report::Verdict;
use crate::trace::{Kind, shown};

/// The master's side.
pub const MASTER: usize = 0;
/// The replica's side.
pub const REPLICA: usize = 1;

/// Who began a connection.
#[derive(Clone, Debug)]
pub enum Owning {
    /// A channel of a host.
    Channel(usize, usize),
    /// A run in the calm at the end, with what the master showed when it began.
    Run(Began),
    /// A run by hand over a link, of all users or one, with what the master showed when it began.
    ByHand(Began, Option<usize>),
}

/// A connection.
pub struct Connection {
    /// Which link it is on.
    pub link: usize,
    /// Who began it.
    pub owning: Owning,
    /// Both ends, as long as they live.
    pub sides: [Option<Side>; 2],
    /// Bytes until it breaks.
    pub break_after: Option<u64>,
    /// Whether an end may be gone without the other knowing.
    pub silent: bool,
    /// Whether nothing goes over it any more: what is sent is lost, and never comes in part.
    pub severed: bool,
}

/// What came of a run by hand.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) progress: Progress,
}

impl World {
    /// Begins a run over a link, if the way is open and both are up.
    pub(super) fn begin_run(&mut self, link: usize, user: Option<usize>) {
        let Some(way) = self.links.get(link).copied() else {
            return;
        };
        let job = job_of(user);
        let owners = self.shown(way.from, &job);
        self.unfinished.insert((link, user));
        self.connect(link, job, Owning::ByHand(owners, user));
    }

    /// What a host shows of those whom a run is about.
    pub(super) fn shown(&self, host: usize, job: &Job) -> Began {
        match job {
            Job::Users(users) => users
                .iter()
                .map(|user| (user.clone(), self.view_of(host, user)))
                .collect(),
            _ => self.views_of(host),
        }
    }

    /// Makes a connection; `None` when it is refused.
    pub(super) fn connect(&mut self, link: usize, job: Job, owning: Owning) -> Option<u32> {
        let way = self.links[link];
        let refused =
            !self.hosts[way.from].up || !self.hosts[way.to].up || self.ways[link].cut_until_ms > self.now_ms;
        if refused {
            return None;
        }
        self.report.connections += 1;
        self.note_late(link);
        let id = self.next_connection;
        self.next_connection += 1;
        self.tell(way.from, Some(way.to), Kind::Connection, || {
            format!("connection {id}: {job:?}")
        });
        let dialect = self.dialects[way.to];
        self.report.reached(dialect.name());
        let master = MasterConfig {
            authenticate: false,
            pipeline_bytes_max: self.tuning.pipeline_bytes_max,
            step_messages_max: self.tuning.step_messages_max,
            items_at_once: self.tuning.items_at_once,
            ..MasterConfig::new(job)
        };
        let side =
            |host: usize, machine: Machine| Some(Side::new(host, machine, self.hosts[host].store.session()));
        let sides = [
            side(way.from, Machine::Master(Box::new(Master::new(master)))),
            side(
                way.to,
                Machine::Replica(Box::new(Replica::new(replica_config(dialect)))),
            ),
        ];
        let connection = Connection {
            link,
            owning,
            sides,
            break_after: self.ways[link].break_after.take(),
            silent: false,
            severed: false,
        };
        self.connections.insert(id, connection);
        self.pump(id, MASTER);
        self.pump(id, REPLICA);
        Some(id)
    }

    /// Notes whether the replica is still at what a dead master had sent: the next one looks before that is done, and no log
    /// tells of it again. A run over all finds it.
    fn note_late(&mut self, link: usize) {
        let mut others = self.connections.values().filter(|other| other.link == link);
        self.is_log_lost |= others.any(|other| {
            let replica = other.sides[REPLICA].as_ref();
            other.sides[MASTER].is_none() && replica.is_some_and(|side| side.transaction.is_some())
        });
    }

    /// Carries out what a machine wants done, until it waits.
    pub(super) fn pump(&mut self, id: u32, at: usize) {
        loop {
            let Some(side) = self.side(id, at) else { return };
            match side.machine.poll() {
                Output::Send(bytes) => self.send(id, at, &bytes),
                Output::Store(ticket, request) => {
                    side.tickets.push_back((ticket, request));
                    self.due_ticket(id, at);
                }
                Output::Wait(waiting) => {
                    side.waiting = Some(waiting);
                    break;
                }
                Output::Closed => {
                    side.closed = true;
                    side.waiting = None;
                    self.closed(id, at);
                    return;
                }
                other => {
                    let text = format!("a machine asked for {other:?}");
                    self.found(Verdict::Harness, "machines ask for what there is", text);
                    return;
                }
            }
        }
        if at == MASTER {
            self.master_moved(id);
        }
    }

    pub(super) fn side(&mut self, id: u32, at: usize) -> Option<&mut Side> {
        self.connections.get_mut(&id)?.sides[at].as_mut()
    }

    fn send(&mut self, id: u32, at: usize, bytes: &Bytes) {
        let connection = self.connections.get_mut(&id);
        let Some(connection) = connection.filter(|connection| !connection.severed) else {
            return;
        };
        let length = bytes.len() as u64;
        let breaks = match &mut connection.break_after {
            Some(left) => {
                *left = left.saturating_sub(length);
                *left == 0
            }
            None => false,
        };
        let way = self.links[connection.link];
        let (from, to) = if at == MASTER {
            (way.from, way.to)
        } else {
            (way.to, way.from)
        };
        if let Some(side) = connection.sides[at].as_mut() {
            side.sent.extend(bytes);
        }
        self.report.wire_bytes += length;
        self.tell(from, Some(to), Kind::Message, || shown(bytes));
        if breaks {
            self.tell(from, Some(to), Kind::Fault, || "the connection breaks".to_owned());
            self.sever(id, false);
        } else {
            self.due_arrival(id, at);
        }
    }

    fn due_arrival(&mut self, id: u32, at: usize) {
        let Some(side) = self.side(id, at) else { return };
        if side.arrival_due {
            return;
        }
        side.arrival_due = true;
        let on_the_way = self.a_while(self.noise.latency_ms_max);
        self.after(on_the_way, Due::Arrive(id, at));
    }

    fn due_ticket(&mut self, id: u32, at: usize) {
        let Some(side) = self.side(id, at) else { return };
        if side.ticket_due || side.tickets.is_empty() {
            return;
        }
        side.ticket_due = true;
        let takes = self.a_while(self.noise.store_ms_max);
        self.after(takes, Due::Ticket(id, at));
    }

    /// Bytes of side `at` arrive at the other.
    pub(super) fn arrive(&mut self, id: u32, at: usize) {
        let most = if self.noise.pieces {
            1 + self.chance.below(3_000)
        } else {
            usize::MAX
        };
        let Some(side) = self.side(id, at) else { return };
        side.arrival_due = false;
        let count = side.sent.len().min(most);
        let bytes: Vec<u8> = side.sent.drain(..count).collect();
        let (more, ended) = (!side.sent.is_empty(), side.closed);
        if more {
            self.due_arrival(id, at);
        }
        if !bytes.is_empty() {
            self.give(id, 1 - at, Input::Bytes(Bytes::from(bytes)));
        }
        if ended && !more {
            self.remove_side(id, at);
            self.eof(id, 1 - at);
        }
    }

    fn give(&mut self, id: u32, at: usize, input: Input) {
        let Some(host) = self.side(id, at).map(|side| side.host) else {
            return;
        };
        let now = self.clock(host);
        if let Some(side) = self.side(id, at).filter(|side| !side.closed) {
            side.machine.handle(now, input);
            self.pump(id, at);
        }
    }

    /// The first open ticket of a side is answered.
    pub(super) fn ticket(&mut self, id: u32, at: usize) {
        let Some(mut side) = self.connections.get_mut(&id).and_then(|c| c.sides[at].take()) else {
            return;
        };
        side.ticket_due = false;
        let Some((ticket, request)) = side.tickets.pop_front() else {
            self.put_back(id, at, side);
            return;
        };
        let host = side.host;
        let stored = self.store(host, &mut side.session, &mut side.transaction, request);
        self.put_back(id, at, side);
        match stored {
            Stored::Died(down_ms) => self.crash(host, down_ms, false),
            Stored::Answer(answer) => {
                if let Err(error) = &answer {
                    let name = error_name(error);
                    self.report.reached(name);
                }
                self.due_ticket(id, at);
                self.give(id, at, Input::Stored(ticket, answer));
            }
        }
    }

    fn put_back(&mut self, id: u32, at: usize, side: Side) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sides[at] = Some(side);
        }
    }

    /// A machine has ended by itself: its last bytes go out, then the other end sees the end.
    fn closed(&mut self, id: u32, at: usize) {
        if at == MASTER {
            self.master_moved(id);
            self.master_ended(id);
        }
        let Some(side) = self.side(id, at) else { return };
        if side.sent.is_empty() {
            self.remove_side(id, at);
            self.due_eof(id, 1 - at);
        }
    }

    fn due_eof(&mut self, id: u32, at: usize) {
        let on_the_way = self.a_while(self.noise.latency_ms_max);
        self.after(on_the_way, Due::Eof(id, at));
    }

    pub(super) fn eof(&mut self, id: u32, at: usize) {
        self.give(id, at, Input::Eof);
        // The shell of a master closes when its peer does, whatever it still wanted to say.
        if let Some(side) = self.side(id, at) {
            side.sent.clear();
        }
        self.forget_if_over(id);
    }

    /// The peer was silent for too long: the shell ends the connection.
    pub(super) fn time_out(&mut self, id: u32, at: usize) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if !connection.silent || connection.sides[at].is_none() {
            return;
        }
        self.lose(id, at);
    }

    /// A side ends without its machine's doing.
    fn lose(&mut self, id: u32, at: usize) {
        if at == MASTER {
            self.master_moved(id);
            self.master_ended(id);
        }
        self.remove_side(id, at);
        self.forget_if_over(id);
    }

    fn remove_side(&mut self, id: u32, at: usize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.sides[at] = None;
        }
        self.forget_if_over(id);
    }

    fn forget_if_over(&mut self, id: u32) {
        let over = self
            .connections
            .get(&id)
            .is_some_and(|connection| connection.sides.iter().all(Option::is_none));
        if over {
            self.connections.remove(&id);
        }
    }

    /// The process of `host` died: its ends of connections are gone.
    pub(super) fn drop_sides(&mut self, host: usize, silent: bool) {
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            for at in [MASTER, REPLICA] {
                if self.side(id, at).is_none_or(|side| side.host != host) {
                    continue;
                }
                self.report.broken += 1;
                self.remove_side(id, at);
                self.peer_is_gone(id, 1 - at, silent);
            }
        }
    }

    fn peer_is_gone(&mut self, id: u32, at: usize, silent: bool) {
        if silent {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.silent = true;
            }
            self.after(PEER_TIMEOUT_MS, Due::TimeOut(id, at));
        } else {
            self.due_eof(id, at);
        }
    }

    /// A way is cut.
    pub(super) fn cut(&mut self, link: usize, for_ms: u64, silent: bool) {
        let until = self.now_ms + for_ms;
        let Some(way) = self.ways.get_mut(link) else {
            return;
        };
        way.cut_until_ms = way.cut_until_ms.max(until);
        way.silent = silent;
        let ends = self.links[link];
        self.tell(ends.from, Some(ends.to), Kind::Fault, || {
            format!(
                "the way is cut for {for_ms} ms{}",
                if silent { ", silently" } else { "" }
            )
        });
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            if self
                .connections
                .get(&id)
                .is_some_and(|connection| connection.link == link)
            {
                self.sever(id, silent);
            }
        }
    }

    /// Nothing goes over a connection any more.
    fn sever(&mut self, id: u32, silent: bool) {
        self.report.broken += 1;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.severed = true;
        }
        for at in [MASTER, REPLICA] {
            if let Some(side) = self.side(id, at) {
                side.sent.clear();
                self.peer_is_gone(id, at, silent);
            }
        }
    }

    /// The machine of a master has ended, or was ended.
    fn master_ended(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(Machine::Master(master)) = connection.sides[MASTER].as_ref().map(|side| &side.machine)
        else {
            return;
        };
        let progress = master.progress();
        let (link, owning) = (connection.link, connection.owning.clone());
        for decision in progress.decisions.iter() {
            let rule = decision.rule;
            self.report.reached(rule);
        }
        let way = self.links[link];
        self.tell(way.from, Some(way.to), Kind::Connection, || {
            format!(
                "connection {id} ends: {:?}, failures {:?}",
                progress.ended, progress.failures
            )
        });
        match owning {
            Owning::Run(began) => self.run_ended(link, &began, Ended { progress }),
            Owning::ByHand(began, user) => {
                if progress.ended == Some(Ending::Done) {
                    self.unfinished
                        .retain(|(of, who)| *of != link || user.is_some() && *who != user);
                }
                self.run_ended(link, &began, Ended { progress });
            }
            Owning::Channel(host, channel) => {
                let worked = progress.ready;
                self.channel_lost(host, channel, worked);
            }
        }
    }

    fn run_ended(&mut self, link: usize, began: &Began, ended: Ended) {
        if ended.progress.ended == Some(Ending::Done) {
            for (owner, began) in began {
                self.kept(self.links[link], owner, None, began);
            }
        }
        self.last_run = Some(ended);
    }
}

/// What is asked for by hand.
pub(super) fn job_of(user: Option<usize>) -> Job {
    match user {
        Some(user) => Job::Users(vec![super::client::user_of(user)]),
        None => Job::AllUsers { prefix: Text::EMPTY },
    }
}

fn error_name(error: &StoreError) -> &'static str {
    match error {
        StoreError::Locked { .. } => "store: locked",
        StoreError::Full { .. } => "store: full",
        StoreError::Io { .. } => "store: I/O error",
        StoreError::NotFound { .. } => "store: not found",
        StoreError::NotStaged { .. } => "store: not staged",
        StoreError::Conflict { .. } => "store: conflict",
        _ => "store: other error",
    }
}

fn replica_config(dialect: Dialect) -> ReplicaConfig {
    ReplicaConfig {
        servername: "sim".into(),
        version: dialect.version().into(),
        mechanisms: Vec::new(),
        compress: false,
        tls: None,
        partitions: Vec::new(),
        trusted: true,
        limits: Limits::default(),
        unauthenticated_bytes_max: 1 << 20,
    }
}
