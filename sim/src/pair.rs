//! One connection between a master and a replica, byte by byte and ticket by ticket.

use std::collections::VecDeque;

use anyhow::{Result, bail};
use bytes::Bytes;
use engine::flow::{Input, Now, Output};
use engine::master::{Ending, Master, MasterConfig, Progress};
use engine::replica::{Replica, ReplicaConfig};
use engine::ticket::{Request, Session, TicketId};

use crate::seeded::Seeded;

/// Events after which a connection counts as stuck.
const EVENTS_MAX: usize = 2_000_000;

/// What may go wrong on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// The connection breaks after this many events.
    pub cut_after: Option<usize>,
    /// Whether bytes arrive in pieces of random length; otherwise as they were sent.
    pub cut_bytes: bool,
}

/// Faults switched off.
pub const CALM: Faults = Faults {
    cut_after: None,
    cut_bytes: false,
};

trait Machine {
    fn handle(&mut self, now: Now, input: Input);
    fn poll(&mut self) -> Output;
}

impl Machine for Master {
    fn handle(&mut self, now: Now, input: Input) {
        Master::handle(self, now, input);
    }
    fn poll(&mut self) -> Output {
        Master::poll(self)
    }
}

impl Machine for Replica {
    fn handle(&mut self, now: Now, input: Input) {
        Replica::handle(self, now, input);
    }
    fn poll(&mut self) -> Output {
        Replica::poll(self)
    }
}

/// One side: a machine, its store session, what it has sent and asked for.
struct Side<'a, M> {
    machine: M,
    session: Box<dyn Session + 'a>,
    sent: VecDeque<u8>,
    tickets: VecDeque<(TicketId, Request)>,
    closed: bool,
}

impl<'a, M: Machine> Side<'a, M> {
    fn new(machine: M, session: Box<dyn Session + 'a>) -> Self {
        Side {
            machine,
            session,
            sent: VecDeque::new(),
            tickets: VecDeque::new(),
            closed: false,
        }
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            match self.machine.poll() {
                Output::Send(bytes) => self.sent.extend(bytes),
                Output::Store(ticket, request) => self.tickets.push_back((ticket, request)),
                Output::Wait(_) => return Ok(()),
                Output::Closed => {
                    self.closed = true;
                    return Ok(());
                }
                other => bail!("a side asked for {other:?}, which this harness does not offer"),
            }
        }
    }

    fn give(&mut self, now: Now, input: Input) -> Result<()> {
        self.machine.handle(now, input);
        self.drain()
    }

    fn answer_ticket(&mut self, now: Now) -> Result<()> {
        if let Some((ticket, request)) = self.tickets.pop_front() {
            let answer = self.session.execute(request);
            self.give(now, Input::Stored(ticket, answer))?;
        }
        Ok(())
    }
}

/// One thing that can happen next, with the most bytes it may move.
type Step = fn(&mut Side<'_, Master>, &mut Side<'_, Replica>, Now, usize) -> Result<()>;

/// Runs one connection to its end.
///
/// # Errors
/// When neither side can go on although both are open (stuck), or after too many events.
pub fn connect(
    master: (MasterConfig, Box<dyn Session + '_>),
    replica: (ReplicaConfig, Box<dyn Session + '_>),
    now: Now,
    faults: Faults,
    seeded: &mut Seeded,
) -> Result<Progress> {
    let mut master = Side::new(Master::new(master.0), master.1);
    let mut replica = Side::new(Replica::new(replica.0), replica.1);
    master.drain()?;
    replica.drain()?;
    let mut cut = false;
    for event in 0..EVENTS_MAX {
        if faults.cut_after == Some(event) {
            cut = true;
            master.sent.clear();
            replica.sent.clear();
            master.give(now, Input::Eof)?;
            replica.give(now, Input::Eof)?;
        }
        let mut choices: Vec<Step> = Vec::new();
        if !cut && !master.sent.is_empty() && !replica.closed {
            choices.push(|m, r, now, n| {
                let bytes: Vec<u8> = m.sent.drain(..n.min(m.sent.len())).collect();
                r.give(now, Input::Bytes(Bytes::from(bytes)))
            });
        }
        if !cut && !replica.sent.is_empty() && !master.closed {
            choices.push(|m, r, now, n| {
                let bytes: Vec<u8> = r.sent.drain(..n.min(r.sent.len())).collect();
                m.give(now, Input::Bytes(Bytes::from(bytes)))
            });
        }
        if !master.tickets.is_empty() {
            choices.push(|m, _, now, _| m.answer_ticket(now));
        }
        if !replica.tickets.is_empty() {
            choices.push(|_, r, now, _| r.answer_ticket(now));
        }
        let Some(choice) = seeded.pick(&choices) else {
            if master.closed {
                return Ok(master.machine.progress());
            }
            if replica.closed && !cut {
                cut = true;
                master.give(now, Input::Eof)?;
                continue;
            }
            bail!("stuck: neither side can go on, {:?}", master.machine.progress());
        };
        let length = if faults.cut_bytes {
            1 + seeded.below(4_096)
        } else {
            usize::MAX
        };
        choice(&mut master, &mut replica, now, length)?;
    }
    bail!("no end after {EVENTS_MAX} events")
}

/// Whether a run ended with everything equal.
pub fn is_done(progress: &Progress) -> bool {
    progress.ended == Some(Ending::Done)
}
