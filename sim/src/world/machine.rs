//! One end of a connection: a machine, its store session, what it has sent and asked for.

use std::collections::VecDeque;

use engine::flow::{Input, Now, Output, Waiting};
use engine::ticket::{Request, TicketId};
use engine::{Master, Replica};
use store::memory::MemorySession;

use super::storage::Transaction;

/// Either machine.
pub enum Machine {
    /// The client side.
    Master(Box<Master>),
    /// The server side.
    Replica(Box<Replica>),
}

impl Machine {
    /// Takes one thing that happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        match self {
            Machine::Master(machine) => machine.handle(now, input),
            Machine::Replica(machine) => machine.handle(now, input),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Output {
        match self {
            Machine::Master(machine) => machine.poll(),
            Machine::Replica(machine) => machine.poll(),
        }
    }
}

/// One end of a connection.
pub struct Side {
    /// Where it runs.
    pub host: usize,
    /// Dropped with the process: what is open is rolled back.
    pub session: MemorySession,
    /// The engine.
    pub machine: Machine,
    /// The transaction that is open in the session.
    pub transaction: Option<Transaction>,
    /// Tickets not yet answered.
    pub tickets: VecDeque<(TicketId, Request)>,
    /// Whether an answer is on its way.
    pub ticket_due: bool,
    /// Bytes on their way to the other end.
    pub sent: VecDeque<u8>,
    /// Whether an arrival is due.
    pub arrival_due: bool,
    /// Whether the machine has ended.
    pub closed: bool,
    /// What the machine said last that it waits for.
    pub waiting: Option<Waiting>,
}

impl Side {
    /// A machine with its session.
    pub fn new(host: usize, machine: Machine, session: MemorySession) -> Self {
        Side {
            host,
            session,
            machine,
            transaction: None,
            tickets: VecDeque::new(),
            ticket_due: false,
            sent: VecDeque::new(),
            arrival_due: false,
            closed: false,
            waiting: None,
        }
    }

    /// Whether it waits for its owner and nothing else.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_some_and(|waiting| waiting.for_owner)
    }
}
