//! Storage tickets under faults: each may fail, and the process may die within it.

use bytes::Bytes;
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StoreError};
use protocol::Text;
use store::memory::MemorySession;
use synclog::Actions;

use super::World;
use super::read::owner_of;
use crate::judge::Note;
use crate::plan::Moment;
use crate::trace::Kind;

/// A transaction that is open.
pub struct Transaction {
    /// Its scope.
    pub scope: Scope,
    /// What it logs.
    pub actions: Actions,
    /// What it does to the ledger, when a client's.
    pub note: Option<Note>,
}

/// How a ticket ended.
pub enum Stored {
    /// With an answer.
    Answer(Result<Reply, StoreError>),
    /// The process died, for so many milliseconds.
    Died(u64),
}

/// What of a request the disk is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touches {
    Nothing,
    Reads,
    Writes,
}

impl World {
    /// Does a ticket of a process on `host`.
    pub(super) fn store(
        &mut self,
        host: usize,
        session: &mut MemorySession,
        transaction: &mut Option<Transaction>,
        request: Request,
    ) -> Stored {
        self.report.tickets += 1;
        if !self.is_calm {
            self.report.tickets_of[host] += 1;
        }
        let crash = self.crash_moment(host);
        let touches = touches(&request);
        if let Some((Moment::Before, down_ms)) = crash {
            return Stored::Died(down_ms);
        }
        if let Some(error) = self.disk_error(host, touches) {
            self.tell(host, None, Kind::Fault, || {
                format!("{error} at {}", brief(&request))
            });
            return Stored::Answer(Err(error));
        }
        if touches == Touches::Writes {
            self.tell(host, None, Kind::Storage, || brief(&request));
        }
        match &request {
            Request::Commit | Request::MoveMailbox { .. } => {
                return self.commit(host, session, transaction, request, crash);
            }
            Request::Begin { scope } => {
                *transaction = Some(Transaction {
                    scope: scope.clone(),
                    actions: Actions::default(),
                    note: None,
                });
            }
            Request::Savepoint => {
                if let Some(transaction) = transaction {
                    transaction.actions.savepoint();
                }
            }
            Request::RollbackToSavepoint => {
                if let Some(transaction) = transaction {
                    transaction.actions.rollback();
                }
            }
            Request::Write(changes) => learn(session, transaction, changes),
            Request::Rollback => *transaction = None,
            _ => {}
        }
        let mut answer = session.execute(request);
        if let Some((_, down_ms)) = crash {
            return Stored::Died(down_ms);
        }
        if let (Some(transaction), Ok(Reply::Mailboxes(found))) = (transaction, &answer) {
            for mailbox in found {
                let name = Some(mailbox.name.clone());
                transaction.actions.learn(mailbox.uniqueid.clone(), name);
            }
        }
        if self.hosts[host].disk.corrupt && corrupt(&mut answer) {
            self.hosts[host].disk.corrupt = false;
            self.tell(host, None, Kind::Fault, || {
                "a bit of a message was read wrong".to_owned()
            });
        }
        Stored::Answer(answer)
    }

    /// A commit: intend, commit, log, answer; the process may die between any two of them.
    fn commit(
        &mut self,
        host: usize,
        session: &mut MemorySession,
        transaction: &mut Option<Transaction>,
        request: Request,
        crash: Option<(Moment, u64)>,
    ) -> Stored {
        let (scopes, actions, note) = match (&request, transaction.take()) {
            (Request::MoveMailbox { from, to }, _) => {
                let mut actions = Actions::default();
                let before = name_of(session, &from.uniqueid);
                actions.moved(before, &to.name);
                (vec![from.scope.clone(), Scope::of(&to.name)], actions, None)
            }
            (_, Some(open)) => (vec![open.scope], open.actions, open.note),
            (_, None) => (Vec::new(), Actions::default(), None),
        };
        let lines = actions.lines().unwrap_or_default();
        self.hosts[host].intents.extend_from_slice(&lines);
        if let Some((Moment::Intended, down_ms)) = crash {
            return Stored::Died(down_ms);
        }
        let answer = session.execute(request);
        if answer.is_ok() {
            for scope in &scopes {
                self.committed(host, &owner_of(scope), note.as_ref());
            }
        }
        if let Some((Moment::Unlogged, down_ms)) = crash {
            return Stored::Died(down_ms);
        }
        if let Some((Moment::Torn, down_ms)) = crash {
            let half = lines
                .len()
                .min(1 + lines.iter().position(|byte| *byte == b'\n').unwrap_or(0) / 2);
            self.log(host, &lines[..half]);
            return Stored::Died(down_ms);
        }
        self.hosts[host].intents.clear();
        self.log(host, &lines);
        match crash {
            Some((_, down_ms)) => Stored::Died(down_ms),
            None => Stored::Answer(answer),
        }
    }

    /// Whether the process dies at this ticket.
    fn crash_moment(&mut self, host: usize) -> Option<(Moment, u64)> {
        let crash = &mut self.hosts[host].disk.crash;
        match crash {
            Some((0, moment, down_ms)) => {
                let dies = (*moment, *down_ms);
                *crash = None;
                Some(dies)
            }
            Some((nth, ..)) => {
                *nth -= 1;
                None
            }
            None => None,
        }
    }

    fn disk_error(&mut self, host: usize, touches: Touches) -> Option<StoreError> {
        let disk = self.hosts[host].disk;
        if touches == Touches::Writes && disk.full_until_ms > self.now_ms {
            return Some(StoreError::Full {
                path: "the store".to_owned(),
            });
        }
        let (until_ms, one_in) = disk.errors?;
        let fails = touches != Touches::Nothing
            && until_ms > self.now_ms
            && self.chance.one_in(usize::try_from(one_in).unwrap_or(1));
        fails.then(|| StoreError::Io {
            path: "the store".to_owned(),
            detail: "input/output error".to_owned(),
        })
    }
}

/// Tells a transaction what is about to change.
fn learn(session: &mut MemorySession, transaction: &mut Option<Transaction>, changes: &[Change]) {
    let Some(open) = transaction else { return };
    for id in open.actions.unknown(changes) {
        let name = name_of(session, &id);
        open.actions.learn(id, name);
    }
    for request in open.actions.wanted(&open.scope, changes) {
        if let Ok(reply) = session.execute(request) {
            open.actions.know(reply);
        }
    }
    for change in changes {
        open.actions.add(&open.scope, change);
    }
}

fn name_of(session: &mut MemorySession, id: &Text) -> Option<Text> {
    match session.execute(Request::Mailboxes(Select::Uniqueids(vec![id.clone()]))) {
        Ok(Reply::Mailboxes(found)) => found.into_iter().next().map(|mailbox| mailbox.name),
        _ => None,
    }
}

fn touches(request: &Request) -> Touches {
    match request {
        Request::Commit
        | Request::Write(_)
        | Request::Stage(_)
        | Request::Begin { .. }
        | Request::MoveMailbox { .. }
        | Request::Expire { .. } => Touches::Writes,
        Request::EndRead { .. }
        | Request::ForgetStaged
        | Request::Rollback
        | Request::Savepoint
        | Request::RollbackToSavepoint => Touches::Nothing,
        _ => Touches::Reads,
    }
}

/// Flips a bit of message bytes, if there are some.
fn corrupt(answer: &mut Result<Reply, StoreError>) -> bool {
    let flip = |data: &mut Bytes| {
        let mut bytes = data.to_vec();
        let Some(last) = bytes.last_mut() else {
            return false;
        };
        *last ^= 1;
        *data = Bytes::from(bytes);
        true
    };
    match answer {
        Ok(Reply::Bytes { data, .. }) => flip(data),
        Ok(Reply::Messages(messages)) => messages.iter_mut().flatten().any(flip),
        _ => false,
    }
}

/// A request for people.
fn brief(request: &Request) -> String {
    match request {
        Request::Begin { scope } => format!("begin {scope:?}"),
        Request::Commit => "commit".to_owned(),
        Request::Stage(parts) => format!("stage {} parts", parts.len()),
        Request::MoveMailbox { to, .. } => format!("move to {}", to.name),
        Request::Write(changes) => {
            let names: Vec<String> = changes.iter().map(brief_change).collect();
            names.join(", ")
        }
        other => {
            let text = format!("{other:?}");
            text.chars().take(120).collect()
        }
    }
}

fn brief_change(change: &Change) -> String {
    match change {
        Change::PutMailbox(mailbox) => format!(
            "put mailbox {} (last UID {}, modseq {})",
            mailbox.name, mailbox.last_uid, mailbox.highestmodseq
        ),
        Change::PutRecords { records, .. } => {
            let shown = records.iter().take(4).map(|record| {
                let expunged = if record.is_expunged() { " expunged" } else { "" };
                format!("{}@{}{expunged}", record.uid, record.modseq)
            });
            format!(
                "put {} records {}",
                records.len(),
                shown.collect::<Vec<_>>().join(" ")
            )
        }
        other => {
            let text = format!("{other:?}");
            text.chars().take(100).collect()
        }
    }
}
