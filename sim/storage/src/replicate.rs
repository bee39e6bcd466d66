//! A whole replication session between two servers: the real machines on a wire in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use engine::flow::{Input, Now, Output};
use engine::master::{Job, Master, MasterConfig};
use engine::name::Scope;
use engine::replica::{Replica, ReplicaConfig};
use engine::ticket::Session;
use protocol::limits::Limits;
use protocol::{Record, Text};

use crate::deeds::owner;
use crate::finding::{Finding, Rule};
use crate::mirror::Mirror;
use crate::show::{mailboxes, records};
use crate::workload::OWNERS;

/// When it all happens, in seconds since the epoch.
const NOW: Now = Now(2_000_000_000);
/// Turns after which a session counts as stuck.
const TURNS_MAX: usize = 1_000_000;

/// How a session ended.
pub enum Ended {
    /// The master had no more to do; what failed, in words.
    Done(Vec<String>),
    /// A disk failed.
    Cut,
}

enum Machine {
    Master(Box<Master>),
    Replica(Box<Replica>),
}

struct Side<'a> {
    machine: Machine,
    mirror: &'a mut Mirror,
    sent: VecDeque<u8>,
    closed: bool,
}

impl Side<'_> {
    /// Gives an input and does all that follows; false when the disk failed.
    fn give(&mut self, mut input: Option<Input>) -> bool {
        loop {
            if let Some(input) = input.take() {
                match &mut self.machine {
                    Machine::Master(machine) => machine.handle(NOW, input),
                    Machine::Replica(machine) => machine.handle(NOW, input),
                }
            }
            let output = match &mut self.machine {
                Machine::Master(machine) => machine.poll(),
                Machine::Replica(machine) => machine.poll(),
            };
            match output {
                Output::Send(bytes) => self.sent.extend(bytes),
                Output::Store(ticket, request) => {
                    let answer = self.mirror.execute(request);
                    if self.mirror.is_hit() {
                        return false;
                    }
                    input = Some(Input::Stored(ticket, answer));
                }
                // No layers here: neither logs in, nor deflates.
                Output::StartDeflate { received } if !received.is_empty() => {
                    input = Some(Input::Bytes(received));
                }
                Output::Sasl(_) | Output::StartTls | Output::StartDeflate { .. } => {}
                Output::Wait(_) => return true,
                Output::Closed => {
                    self.closed = true;
                    return true;
                }
            }
        }
    }
}

/// Runs one session over all users and shared mailboxes.
///
/// # Errors
/// A finding.
pub fn replicate(master: &mut Mirror, replica: &mut Mirror) -> Result<Ended, Finding> {
    let job = Job::AllUsers { prefix: Text::EMPTY };
    let config = MasterConfig {
        authenticate: false,
        ..MasterConfig::new(job)
    };
    let there = ReplicaConfig {
        servername: "replica.example.org".to_owned(),
        version: "mailtwin 0.1.0".to_owned(),
        mechanisms: vec!["PLAIN".to_owned()],
        compress: false,
        tls: None,
        partitions: Vec::new(),
        trusted: true,
        limits: Limits::default(),
        unauthenticated_bytes_max: 1 << 16,
    };
    let side = |machine, mirror| Side {
        machine,
        mirror,
        sent: VecDeque::new(),
        closed: false,
    };
    let mut master = side(Machine::Master(Box::new(Master::new(config))), master);
    let mut replica = side(Machine::Replica(Box::new(Replica::new(there))), replica);
    let mut works = replica.give(None) && master.give(None);
    for _ in 0..TURNS_MAX {
        if let Some(finding) = master.mirror.finding.take().or(replica.mirror.finding.take()) {
            return Err(finding);
        }
        if !works {
            return Ok(Ended::Cut);
        }
        if master.closed {
            let Machine::Master(machine) = &master.machine else {
                return Ok(Ended::Done(Vec::new()));
            };
            let failures = machine.progress().failures;
            return Ok(Ended::Done(
                failures.iter().map(|failure| format!("{failure:?}")).collect(),
            ));
        }
        let to_replica: Bytes = master.sent.drain(..).collect::<Vec<u8>>().into();
        let to_master: Bytes = replica.sent.drain(..).collect::<Vec<u8>>().into();
        works = match (to_replica.is_empty(), to_master.is_empty()) {
            (false, _) if !replica.closed => {
                replica.sent.extend(to_master);
                replica.give(Some(Input::Bytes(to_replica)))
            }
            (_, false) => master.give(Some(Input::Bytes(to_master))),
            _ => master.give(Some(Input::Eof)),
        };
    }
    Err(Finding::new(Rule::Equal, "a replication does not end"))
}

/// Mailboxes and messages that have to be alike on both sides.
type Mail = Vec<(Text, Text, u32, Vec<Record>)>;

fn mail(session: &mut dyn Session, scope: &Scope) -> Mail {
    let found = mailboxes(session, scope).unwrap_or_default();
    let real = found.into_iter().filter(|mailbox| !mailbox.is_placeholder());
    real.map(|mailbox| {
        let records = records(session, &mailbox).unwrap_or_default();
        let live = records.into_iter().filter(|record| !record.is_expunged());
        (
            mailbox.name,
            mailbox.uniqueid,
            mailbox.uidvalidity,
            live.collect(),
        )
    })
    .collect()
}

/// Whether the replica has what the master has.
///
/// # Errors
/// A finding.
pub fn equal(master: &mut dyn Session, replica: &mut dyn Session) -> Result<(), Finding> {
    for scope in (0..OWNERS).map(owner) {
        let (here, there) = (mail(master, &scope), mail(replica, &scope));
        // A user without an INBOX is nobody to replicate.
        let is_user = here
            .iter()
            .any(|(name, ..)| *name == crate::deeds::folder_name(&scope, 0));
        if is_user && here != there {
            let text = crate::show::apart(&format!("{there:?}"), &format!("{here:?}"));
            return Err(Finding::new(Rule::Equal, format!("{scope:?}: {text}")));
        }
    }
    Ok(())
}
