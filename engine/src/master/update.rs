//! A batch's mailboxes to the replica: what differs, what is under way, what was refused. [CS-MASTER-16]

use std::collections::VecDeque;

use super::folders::{Batch, is_placeholder};
use super::issue::Issued;
use super::lines::{is_equal, needs_merge, placeholder_equal};
use super::retry::Rung;
use super::run::{Run, Tried, Trouble};
use super::wire::Refusal;

/// Mailboxes under way at most.
const MAILBOXES_MAX: usize = 64;
/// Small mailboxes of an item sent without a pause for others.
const SPOKEN_MAX: usize = 64;
/// Mailboxes, and records of them in memory, whose lines wait for the answers to their uploads.
const HELD_MAILBOXES_MAX: usize = 64;
const HELD_RECORDS_MAX: usize = 8192;

/// What the comparison found.
pub(super) struct Todo {
    /// Indexes of mailboxes that differ.
    pub(super) send: Vec<usize>,
    /// Indexes of mailboxes of which the replica has changes of its own.
    pub(super) merge: Vec<usize>,
}

/// Mailboxes on their way, in order.
#[derive(Default)]
struct Pipeline {
    /// Uploaded, their lines not sent.
    held: VecDeque<Issued>,
    /// All sent, not all answered.
    sent: VecDeque<Issued>,
    refused: Vec<(usize, Rung)>,
}

impl Run {
    /// Sorts the batch's mailboxes by what has to be done about them.
    pub(super) fn compare(&mut self, batch: &Batch) -> Todo {
        let mut todo = Todo {
            send: Vec::new(),
            merge: Vec::new(),
        };
        for (index, mailbox) in batch.locals.iter().enumerate() {
            self.count(|progress| progress.mailboxes += 1);
            if batch.failed.contains_key(&mailbox.name) {
                continue;
            }
            let line = batch.remotes.get(&mailbox.uniqueid);
            if mailbox.is_placeholder() {
                if !placeholder_equal(mailbox, line) {
                    todo.send.push(index);
                }
                continue;
            }
            match line.filter(|line| !is_placeholder(line)) {
                Some(line) if is_equal(mailbox, line, &self.partition_of(mailbox)) => {
                    if self.settled.is_open(&mailbox.uniqueid) {
                        todo.merge.push(index);
                    }
                }
                Some(line) if self.config.copyback && needs_merge(mailbox, line) => todo.merge.push(index),
                _ => todo.send.push(index),
            }
        }
        todo
    }

    /// Sends all that differs; what is refused goes through the retry ladder once everything else is through.
    pub(super) async fn update_all(&mut self, batch: &mut Batch, todo: Todo) -> Tried<()> {
        let mut pipeline = Pipeline::default();
        let sent = self.send_all(batch, todo.send, &mut pipeline).await;
        self.speaking = None;
        sent?;
        while let Some(issued) = pipeline.sent.pop_front() {
            self.settle_into(issued, &mut pipeline.refused).await?;
        }
        let merges = todo.merge.into_iter().map(|index| (index, Rung::Merge));
        for (index, rung) in pipeline.refused.into_iter().chain(merges) {
            self.check_stop()?;
            if let Err(why) = self.climb(batch, index, rung).await {
                batch.fail_at(index, why)?;
            }
        }
        Ok(())
    }

    async fn send_all(&mut self, batch: &mut Batch, todo: Vec<usize>, pipeline: &mut Pipeline) -> Tried<()> {
        for (count, index) in todo.into_iter().enumerate() {
            self.check_stop()?;
            if count % SPOKEN_MAX == SPOKEN_MAX - 1 {
                self.speaking = None;
            }
            // A replica that makes what comes for one user durable at once gets it in one go. [CS-MASTER-65]
            if self.peer.is_mailtwin() && self.speaking.is_none() {
                self.speaking = Some(self.speakers.take().await);
            }
            match self.issue(batch, index, true).await {
                Ok(issued) => pipeline.held.push_back(issued),
                Err(why) => batch.fail_at(index, why)?,
            }
            let records: usize = pipeline.held.iter().map(Issued::held_records).sum();
            let all = self.peer.is_mailtwin()
                || pipeline.held.len() >= HELD_MAILBOXES_MAX
                || records >= HELD_RECORDS_MAX
                || self.uploads.is_full();
            if all {
                self.send_held(batch, pipeline).await?;
            }
        }
        self.send_held(batch, pipeline).await
    }

    /// Sends the lines that waited for their uploads.
    async fn send_held(&mut self, batch: &mut Batch, pipeline: &mut Pipeline) -> Tried<()> {
        // One wait for all, then all lines at once.
        for issued in &mut pipeline.held {
            self.hear_uploads(issued).await?;
        }
        while let Some(issued) = pipeline.held.pop_front() {
            let index = issued.index;
            match self.commit(batch, issued).await {
                Ok(issued) => pipeline.sent.push_back(issued),
                Err(why) => batch.fail_at(index, why)?,
            }
            if pipeline.sent.len() > MAILBOXES_MAX
                && let Some(issued) = pipeline.sent.pop_front()
            {
                self.settle_into(issued, &mut pipeline.refused).await?;
            }
        }
        self.restart_when_full();
        Ok(())
    }

    async fn settle_into(&mut self, issued: Issued, refused: &mut Vec<(usize, Rung)>) -> Tried<()> {
        let index = issued.index;
        let base = issued.base.clone();
        if let Some(refusal) = self.settle(issued).await? {
            refused.push((index, Rung::Refused(refusal)));
        } else if base.is_some_and(|(uniqueid, _)| self.settled.is_open(&uniqueid)) {
            refused.push((index, Rung::Merge));
        }
        Ok(())
    }

    /// Waits for a mailbox's answers; the first refusal counts.
    pub(super) async fn settle(&mut self, mut issued: Issued) -> Tried<Option<Refusal>> {
        while let Some(sent) = issued.sent.pop_front() {
            if let Err(refusal) = self.wire.answer(sent).await?.result {
                self.uploads.doubt();
                issued.refused.get_or_insert(refusal);
            }
        }
        if let (None, Some((uniqueid, base))) = (&issued.refused, &issued.base) {
            self.settled.taken(uniqueid, *base);
        }
        Ok(issued.refused)
    }
}

impl Batch {
    /// Notes why a mailbox failed; what ends the run is handed on.
    fn fail_at(&mut self, index: usize, why: Trouble) -> Tried<()> {
        match why {
            Trouble::Item(reason) => {
                let name = self.locals[index].name.clone();
                self.fail(&name, reason);
                Ok(())
            }
            Trouble::Halt(_) => Err(why),
        }
    }
}
