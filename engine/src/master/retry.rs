//! What to do about a mailbox that was refused. [CS-MASTER-30]

use protocol::MailboxLine;
use protocol::response::Code;

use super::decision::Deed;
use super::folders::{Batch, is_placeholder};
use super::lines::is_equal;
use super::run::{Run, Tried, Trouble};
use super::wire::Refusal;
use crate::model::{Mailbox, MailboxKey};
use crate::ticket::{Change, Request};

/// Where the climb begins.
pub(super) enum Rung {
    /// The first try was refused.
    Refused(Refusal),
    /// The comparison showed that only a full compare can help.
    Merge,
}

/// What has been tried on one mailbox.
#[derive(Default)]
struct Tries {
    plain: bool,
    merged: bool,
    fresh: bool,
    moved: bool,
    unstaged: bool,
    verified: bool,
}

impl Run {
    /// Tries harder, step by step, until the mailbox is accepted or nothing is left to try.
    pub(super) async fn climb(&mut self, batch: &mut Batch, index: usize, rung: Rung) -> Tried<()> {
        let mut tries = Tries::default();
        let mut next = match rung {
            Rung::Refused(refusal) => Some(refusal),
            Rung::Merge => {
                tries.plain = true;
                tries.merged = true;
                self.merge_and_try(batch, index).await?
            }
        };
        loop {
            let Some(refusal) = next else {
                if tries.verified || !self.settled.is_open(&batch.locals[index].uniqueid) {
                    return Ok(());
                }
                tries.verified = true;
                next = self.merge_and_try(batch, index).await?;
                continue;
            };
            next = match refusal.code {
                Code::SyncChecksum if !tries.plain => {
                    tries.plain = true;
                    self.once_more(batch, index, false).await?
                }
                Code::SyncChecksum if !tries.merged && self.config.copyback => {
                    tries.merged = true;
                    self.merge_and_try(batch, index).await?
                }
                Code::SyncChanged if !tries.fresh => {
                    tries.fresh = true;
                    self.once_more(batch, index, true).await?
                }
                // It counted on what was uploaded for another, and that was refused. [CS-MASTER-62]
                Code::BadParameters if !tries.unstaged && self.peer.is_mailtwin() => {
                    tries.unstaged = true;
                    self.once_more(batch, index, true).await?
                }
                Code::MailboxMoved if !tries.moved => {
                    tries.moved = true;
                    self.find_moved(batch, index, &refusal).await?;
                    self.once_more(batch, index, true).await?
                }
                // The other side settles it, too. [CS-SPLIT-49]
                Code::SyncChecksum if tries.merged && self.lets_the_other_settle(batch, index) => {
                    self.blame.note_waiting();
                    return Err(refusal.into());
                }
                _ => return Err(refusal.into()),
            };
        }
    }

    /// One more try after a full compare. What came from the replica under another UID is there still, though expunged:
    /// it is asked for and not uploaded.
    async fn merge_and_try(&mut self, batch: &mut Batch, index: usize) -> Tried<Option<Refusal>> {
        self.merge(batch, index).await?;
        if !self.refresh(batch, index).await? {
            return Ok(None);
        }
        if self.is_settled(batch, index) {
            return Ok(None);
        }
        self.reserve(batch, &[index]).await?;
        self.send_again(batch, index, false).await
    }

    /// Whether a full compare found both sides equal, and the replica is still as it was in that. [CS-SPLIT-63]
    fn is_settled(&self, batch: &Batch, index: usize) -> bool {
        let mailbox = &batch.locals[index];
        let Some(line) = batch.remotes.get(&mailbox.uniqueid) else {
            return false;
        };
        // What a compare writes here has a modseq above all that the replica has. No difference in LAST_APPENDDATE alone is
        // worth an update, but it goes with one that was begun.
        let is_same = line.last_appenddate == Some(mailbox.last_appenddate);
        let has_moved = batch
            .moved
            .get(&mailbox.uniqueid)
            .is_some_and(|moved| !moved.is_empty());
        if has_moved || !is_same || !is_equal(mailbox, line, &self.partition_of(mailbox)) {
            return false;
        }
        self.settled.taken(&mailbox.uniqueid, mailbox.highestmodseq);
        !self.settled.is_open(&mailbox.uniqueid)
    }

    /// One more try with both sides' present state.
    async fn once_more(&mut self, batch: &mut Batch, index: usize, since: bool) -> Tried<Option<Refusal>> {
        if !self.refresh(batch, index).await? {
            return Ok(None);
        }
        self.send_again(batch, index, since).await
    }

    /// Learns both sides' present state of a mailbox; false when it is not here any more: there is nothing to send then,
    /// and the next run deletes it there.
    async fn refresh(&mut self, batch: &mut Batch, index: usize) -> Tried<bool> {
        let key = batch.locals[index].key();
        let Some(mailbox) = self.local_mailbox(&key).await? else {
            return Ok(false);
        };
        let name = mailbox.name.clone();
        batch.locals[index] = mailbox;
        let lines = self.get_mailboxes(std::slice::from_ref(&name)).await?;
        batch.remotes.remove(&key.uniqueid);
        batch.learn(lines)?;
        Ok(true)
    }

    async fn send_again(&mut self, batch: &Batch, index: usize, since: bool) -> Tried<Option<Refusal>> {
        let issued = self.issue(batch, index, since).await?;
        let issued = self.commit(batch, issued).await?;
        self.settle(issued).await
    }

    /// The replica says that the name or the identity is taken: by whom, and can that be helped? [CS-SPLIT-20]
    async fn find_moved(&mut self, batch: &mut Batch, index: usize, refusal: &Refusal) -> Tried<()> {
        let mailbox = batch.locals[index].clone();
        let there = self.get_mailboxes(std::slice::from_ref(&mailbox.name)).await?;
        let Some(id) = there
            .iter()
            .filter_map(|line| line.uniqueid.clone())
            .find(|id| *id != mailbox.uniqueid)
        else {
            return Err(refusal.clone().into());
        };
        batch.learn(there)?;
        let dead = self.judge_buried(batch).await?;
        let mut failed = std::mem::take(&mut batch.failed);
        self.delete_dead(batch, dead).await?;
        self.clear_names(batch).await?;
        let fresh = std::mem::take(&mut batch.failed);
        let mine = fresh.get(&mailbox.name).cloned();
        failed.extend(fresh);
        batch.failed = failed;
        match mine {
            Some(reason) => Err(Trouble::Item(format!(
                "{}; the mailbox of that name there has unique id {id}: {reason}",
                refusal.text
            ))),
            None => Ok(()),
        }
    }

    /// Lifts our values that never go back to the replica's, where those are higher. [CS-MASTER-23]
    pub(super) async fn raise_locals(&mut self, batch: &mut Batch) -> Tried<()> {
        if !self.config.copyback {
            return Ok(());
        }
        let low: Vec<MailboxKey> = batch
            .locals
            .iter()
            .filter(|m| {
                batch
                    .remotes
                    .get(&m.uniqueid)
                    .is_some_and(|line| raised(m, line).is_some())
            })
            .map(Mailbox::key)
            .collect();
        if low.is_empty() {
            return Ok(());
        }
        if self.config.dry_run {
            self.plan_raise(batch);
            return Ok(());
        }
        self.end_read().await?;
        let changed = self.raise_in_transaction(batch, &low).await;
        self.begin_read(&batch.scope).await?;
        changed?;
        for mailbox in &mut batch.locals {
            if let Some(now) = self.local_mailbox(&mailbox.key()).await? {
                *mailbox = now;
            }
        }
        Ok(())
    }

    /// Notes what would be raised here, and goes on as if it were.
    fn plan_raise(&self, batch: &mut Batch) {
        for index in 0..batch.locals.len() {
            let mailbox = &batch.locals[index];
            let line = batch.remotes.get(&mailbox.uniqueid);
            if let Some(higher) = line.and_then(|line| raised(mailbox, line)) {
                self.decide_on(&higher.name, &higher.uniqueid, "CS-MASTER-23", Deed::RaiseHere);
                batch.locals[index] = higher;
            }
        }
    }

    async fn raise_in_transaction(&mut self, batch: &Batch, low: &[MailboxKey]) -> Tried<()> {
        self.done(Request::Begin {
            scope: batch.scope.clone(),
        })
        .await?;
        let mut changes = Vec::new();
        for key in low {
            let now = match self.local_mailbox(key).await {
                Ok(now) => now,
                Err(error) => return self.roll_back(error.into()).await,
            };
            let line = batch.remotes.get(&key.uniqueid);
            if let (Some(now), Some(line)) = (now, line)
                && let Some(higher) = raised(&now, line)
            {
                self.decide_on(&now.name, &now.uniqueid, "CS-MASTER-23", Deed::RaiseHere);
                self.notice(format!(
                    "{}: UIDVALIDITY or modseqs raised here to the replica's",
                    now.name
                ));
                changes.push(Change::PutMailbox(Box::new(higher)));
            }
        }
        if let Err(error) = self.write(changes).await {
            return self.roll_back(error.into()).await;
        }
        self.done(Request::Commit).await?;
        Ok(())
    }

    /// Undoes the open transaction and answers the reason.
    pub(super) async fn roll_back<T>(&mut self, why: Trouble) -> Tried<T> {
        self.done(Request::Rollback).await?;
        Err(why)
    }
}

/// The mailbox with the replica's higher values; `None` when none is higher.
pub(super) fn raised(mailbox: &Mailbox, line: &MailboxLine) -> Option<Mailbox> {
    if mailbox.is_placeholder() || is_placeholder(line) {
        return None;
    }
    let mut higher = mailbox.clone();
    higher.uidvalidity = higher.uidvalidity.max(line.uidvalidity.unwrap_or(0));
    higher.foldermodseq = higher.foldermodseq.max(line.foldermodseq.unwrap_or(0));
    if higher.raclmodseq > 0 {
        higher.raclmodseq = higher.raclmodseq.max(line.raclmodseq.unwrap_or(0));
    }
    (higher != *mailbox).then_some(higher)
}
