//! Group commit: consecutive APPLY commands of one scope share a transaction, and their answers wait for its commit.
//!
//! Each command is all or nothing by a savepoint of its own, so a refused one takes nothing of its neighbours with
//! it. No `OK` of a command that changes anything is encoded before the commit was answered; when the commit fails,
//! every one of them is answered `NO` with the reason. [CS-APPLY-2]

use protocol::decode::CommandDecoder;
use protocol::response::{Data, Final};

use super::answers::Asked;
use super::fail::Fail;
use super::session::Conn;
use crate::flow::StoreCall;
use crate::name::Scope;
use crate::ticket::{Change, Request, StoreError};

/// Commands in one transaction, at most.
const COMMANDS_MAX: usize = 512;
/// Records written in one transaction, as far as whole commands allow.
const RECORDS_MAX: usize = 50_000;

/// The open transaction and the answers that wait for it.
#[derive(Default)]
pub(super) struct Batch {
    open: Option<Scope>,
    /// Commands that are in the open transaction to stay.
    commands: usize,
    records: usize,
    /// Records of the command that runs.
    fresh: u64,
    /// Records of the commands that are in the open transaction to stay.
    kept: u64,
    /// Whether the command that runs has entered the transaction.
    entered: bool,
    /// Whether it has written.
    dirty: bool,
    held: Vec<Held>,
    /// The store could not even roll back.
    pub(super) broken: bool,
}

struct Held {
    asked: Asked,
    data: Vec<Data>,
    reply: Final,
    durable: bool,
}

impl Batch {
    /// Whether no answer waits and nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.held.is_empty()
    }
}

impl Conn {
    /// Whether a transaction of the scope is open, so that what is read of it may be lost again.
    pub(super) fn is_open(&self, scope: &Scope) -> bool {
        self.batch.open.as_ref() == Some(scope)
    }

    /// Enters a transaction of the scope, the open one if it fits.
    pub(super) async fn enter(&mut self, scope: &Scope) -> Result<(), Fail> {
        let fits =
            self.is_open(scope) && self.batch.commands < COMMANDS_MAX && self.batch.records < RECORDS_MAX;
        if !fits {
            self.settle().await;
        }
        if self.batch.open.is_none() {
            self.port.store(Request::Begin { scope: scope.clone() }).await?;
            self.batch.open = Some(scope.clone());
        } else if self.batch.commands > 0 {
            self.batch.entered = true;
            self.port.store(Request::Savepoint).await.map_err(Fail::Storage)?;
        }
        self.batch.entered = true;
        Ok(())
    }

    /// Writes in the open transaction; the answer is awaited through the call.
    pub(super) fn write_later(&mut self, changes: Vec<Change>) -> StoreCall<CommandDecoder> {
        self.batch.dirty = true;
        for change in &changes {
            if let Change::PutRecords { records, .. } = change {
                self.batch.records += records.len();
                self.batch.fresh += records.len() as u64;
            }
        }
        self.port.store(Request::Write(changes))
    }

    /// Writes in the open transaction.
    pub(super) async fn write(&mut self, changes: Vec<Change>) -> Result<(), Fail> {
        self.write_later(changes).await?;
        Ok(())
    }

    /// Ends a command: undoes a failed one, and answers it now or with the batch.
    pub(super) async fn conclude(&mut self, outcome: Result<Vec<Data>, Fail>) {
        let durable = self.batch.entered;
        let fresh = std::mem::take(&mut self.batch.fresh);
        match outcome {
            Ok(data) => {
                self.batch.kept += fresh;
                if durable {
                    self.batch.commands += 1;
                }
                self.answer(data, Final::Ok(protocol::Text::from_static(b"success")), durable);
            }
            Err(fail) => {
                self.undo(&fail).await;
                self.answer(Vec::new(), fail.to_final(), false);
            }
        }
        self.batch.entered = false;
        self.batch.dirty = false;
    }

    /// Undoes what the running command has done, for a command that never comes to its end.
    pub(super) async fn abandon(&mut self) {
        if self.batch.entered {
            self.undo(&Fail::other("the connection ended in the middle of the command"))
                .await;
            self.batch.entered = false;
            self.batch.dirty = false;
        }
    }

    /// Commits what is open and answers what waits for it.
    pub(super) async fn settle(&mut self) {
        if self.batch.open.take().is_some() {
            let request = if self.batch.commands > 0 {
                Request::Commit
            } else {
                Request::Rollback
            };
            match self.port.store(request).await {
                Ok(_) => self.count_records(self.batch.kept),
                Err(error) => {
                    self.roll_back().await;
                    self.fail_held(&error);
                }
            }
        }
        self.batch.commands = 0;
        self.batch.records = 0;
        self.batch.kept = 0;
        let held = std::mem::take(&mut self.batch.held);
        held.iter().for_each(|held| self.count(&held.asked, &held.reply));
        self.port.encode(|encoder| {
            for Held { data, reply, .. } in &held {
                data.iter().for_each(|line| encoder.data(line));
                encoder.final_line(reply);
            }
        });
    }

    /// Answers at once when nothing waits, else behind what waits.
    pub(super) fn answer(&mut self, data: Vec<Data>, reply: Final, durable: bool) {
        if self.broken_off {
            return;
        }
        if self.batch.is_idle() {
            self.count(&self.asked, &reply);
            self.port.encode(|encoder| {
                data.iter().for_each(|line| encoder.data(line));
                encoder.final_line(&reply);
            });
        } else {
            let asked = self.asked.clone();
            self.batch.held.push(Held {
                asked,
                data,
                reply,
                durable,
            });
        }
    }

    async fn undo(&mut self, fail: &Fail) {
        if !self.batch.entered {
            return;
        }
        if let Fail::Storage(error) = fail {
            return self.lose(error).await;
        }
        if self.batch.commands == 0 {
            self.batch.open = None;
            self.roll_back().await;
        } else if self.batch.dirty
            && let Err(error) = self.port.store(Request::RollbackToSavepoint).await
        {
            self.lose(&error).await;
        }
    }

    /// Gives the whole transaction up: every answer that waited for it becomes a refusal.
    async fn lose(&mut self, error: &StoreError) {
        self.batch.open = None;
        self.batch.commands = 0;
        self.batch.records = 0;
        self.batch.kept = 0;
        self.roll_back().await;
        self.fail_held(error);
    }

    fn fail_held(&mut self, error: &StoreError) {
        let reply = Fail::Storage(error.clone()).to_final();
        for held in self.batch.held.iter_mut().filter(|held| held.durable) {
            held.data.clear();
            held.reply = reply.clone();
        }
    }

    /// Rolls back, and a second time when the first fails. "Out of order" means that nothing was open any more.
    async fn roll_back(&mut self) {
        for _ in 0..2 {
            match self.port.store(Request::Rollback).await {
                Ok(_) | Err(StoreError::Misuse { .. }) => return,
                Err(_) => {}
            }
        }
        self.batch.broken = true;
    }
}
