//! The full compare: walks through both sides' records, decides what becomes of each that is not alike, takes over here
//! what has to come here in one transaction, and has the replica expunge what was deleted here. The update that follows makes
//! both equal; it also takes away there what moved. [CS-MASTER-31] [CS-MASTER-32] [CS-MASTER-50]
//!
//! Nothing is locked while the replica lists or sends messages. What was found is carried out only if the mailbox here
//! is still what it was found on. At most [`ITEMS_HELD_MAX`] differing UIDs are held at a time; a mailbox with more is
//! done in several passes, each of which leaves fewer. [CS-SPLIT-30]

use protocol::command::{Apply, Command};
use protocol::{MailboxLine, Record, Text};

use super::ask::RECORDS_AT_ONCE;
use super::folders::Batch;
use super::listing::{DeletedCursor, Facing};
use super::merge_plan::{Found, Item, Resolved, Sides, resolve};
use super::merge_rules::{self, Judged};
use super::plan::Sending;
use super::run::{Run, Tried, Trouble};
use crate::model::{Mailbox, MailboxKey};
use crate::ticket::{Change, Request};

/// Differing UIDs held between the walk and the transaction.
pub(super) const ITEMS_HELD_MAX: usize = 16_384;
/// UIDs in one `APPLY EXPUNGE`.
const EXPUNGE_UIDS_MAX: usize = 50_000;
/// Times that a compare begins anew because the mailbox changed here meanwhile.
const ATTEMPTS_MAX: usize = 4;

/// Which mailbox of ours faces the replica's.
#[derive(Clone)]
pub(super) enum Ours {
    /// One that is here.
    Here(Mailbox),
    /// One that was deleted here; as it would come back, without records. [CS-SPLIT-12]
    Deleted(Mailbox),
}

impl Ours {
    pub(super) fn mailbox(&self) -> &Mailbox {
        match self {
            Ours::Here(mailbox) | Ours::Deleted(mailbox) => mailbox,
        }
    }

    fn is_here(&self) -> bool {
        matches!(self, Ours::Here(_))
    }
}

/// What was so before the first of several passes. [CS-SPLIT-30]
#[derive(Clone, Copy)]
pub(super) struct Earlier {
    /// Our LAST_UID.
    pub(super) our_last_uid: u32,
    /// The higher of both HIGHESTMODSEQs: what is above it here was settled by a pass, and only waits to be sent.
    pub(super) highestmodseq: u64,
    /// That of the replica.
    their_highestmodseq: u64,
}

/// What came of carrying out.
enum Carried {
    /// Done.
    Done,
    /// The mailbox was changed here meanwhile.
    Overtaken,
}

impl Run {
    /// Merges the replica's state of a mailbox into ours. Reads of the batch see the result.
    pub(super) async fn merge(&mut self, batch: &mut Batch, index: usize) -> Tried<()> {
        let ours = Ours::Here(batch.locals[index].clone());
        self.merge_mailbox(batch, ours, None).await
    }

    /// The same for a mailbox that may have been deleted here, and whose name there may be another.
    pub(super) async fn merge_mailbox(
        &mut self,
        batch: &mut Batch,
        ours: Ours,
        there: Option<&Text>,
    ) -> Tried<()> {
        let key = ours.mailbox().key();
        let there = there.unwrap_or(&ours.mailbox().name).clone();
        let mut ours = ours;
        let mut earlier: Option<Earlier> = None;
        let mut overtaken = 0;
        batch.moved.remove(&key.uniqueid);
        loop {
            self.check_stop()?;
            if ours.is_here() {
                let Some(now) = self.local_mailbox(&key).await? else {
                    return Err(Trouble::Item("the mailbox was deleted here meanwhile".to_owned()));
                };
                ours = Ours::Here(now);
            }
            let (found, _) = self.survey(&ours, &there, earlier).await?;
            let theirs = found.sides.their_highestmodseq;
            let begun = Earlier {
                our_last_uid: found.sides.our_last_uid,
                highestmodseq: found.before.highestmodseq.max(theirs),
                their_highestmodseq: earlier.map_or(theirs, |first| first.their_highestmodseq.min(theirs)),
            };
            let is_last = found.is_complete;
            let resolved = resolve(found, self.port.now().0)?;
            let wanted = resolved.wanted.clone();
            // What is staged here is forgotten as a whole, so one item at a time fetches and writes.
            let turn = self.merging.take().await;
            self.fetch(&resolved.after, &resolved.line, wanted).await?;
            if !resolved.is_here {
                // Only what was deleted here: it has to go while that is still known.
                let uids = resolved.expunge_there.clone();
                self.expunge_there(&there, &key.uniqueid, uids).await?;
            }
            self.end_read().await?;
            let carried = self.carry_out(&key, &resolved).await;
            drop(turn);
            if let Err(halt @ Trouble::Halt(_)) = carried {
                return Err(halt);
            }
            self.begin_read(&batch.scope).await?;
            match carried? {
                Carried::Done => {
                    self.tell_merged(&resolved);
                    self.settled.note(&key.uniqueid, begun.their_highestmodseq);
                    let mut uids = if resolved.is_here {
                        resolved.expunge_there
                    } else {
                        Vec::new()
                    };
                    if is_last {
                        batch.moved.insert(key.uniqueid.clone(), resolved.moved);
                    } else {
                        // The next pass has to find it gone.
                        uids.extend(resolved.moved.iter().map(|record| record.uid));
                        uids.sort_unstable();
                    }
                    self.expunge_there(&there, &key.uniqueid, uids).await?;
                    ours = Ours::Here(resolved.after);
                    earlier.get_or_insert(begun);
                    if is_last {
                        return Ok(());
                    }
                }
                Carried::Overtaken => {
                    overtaken += 1;
                    if overtaken >= ATTEMPTS_MAX {
                        return Err(Trouble::Item(format!(
                            "{}: it was changed here again and again while it was compared with the replica; the next run goes on",
                            ours.mailbox().name
                        )));
                    }
                }
            }
        }
    }

    fn tell_merged(&self, resolved: &Resolved) {
        let expunged = resolved.expunge_there.len() + resolved.moved.len();
        resolved
            .decisions
            .iter()
            .for_each(|decision| self.decide(decision.clone()));
        self.notice(format!(
            "{}: compared in full with the replica; {} records changed here, {expunged} expunged there",
            resolved.after.name,
            resolved.writes.len()
        ));
    }

    /// Walks through both sides, and holds what is not alike; beside that, what an update without a full compare would
    /// send. Nothing is changed.
    pub(super) async fn survey(
        &mut self,
        ours: &Ours,
        there: &Text,
        earlier: Option<Earlier>,
    ) -> Tried<(Found, Sending)> {
        let source = ours.is_here().then(|| ours.mailbox().key());
        self.walk(ours, source, there, earlier).await
    }

    /// The same for a mailbox of ours that would take over another identity.
    pub(super) async fn survey_as(
        &mut self,
        old: &Mailbox,
        joined: Mailbox,
        there: &Text,
    ) -> Tried<(Found, Sending)> {
        self.walk(&Ours::Here(joined), Some(old.key()), there, None).await
    }

    async fn walk(
        &mut self,
        ours: &Ours,
        source: Option<MailboxKey>,
        there: &Text,
        earlier: Option<Earlier>,
    ) -> Tried<(Found, Sending)> {
        let Some(listing) = self.list_in_full(there).await? else {
            return Err(Trouble::Item(format!(
                "{there}: the replica gave no full listing"
            )));
        };
        let line: MailboxLine = (*listing.line).clone();
        let mut pair = self.side_by_side(listing, source.as_ref());
        let sides = match Sides::new(ours.mailbox(), &line, earlier.map(|pass| pass.our_last_uid)) {
            Ok(sides) => sides,
            Err(reason) => {
                self.end_side_by_side(pair).await?;
                return Err(Trouble::Item(reason));
            }
        };
        let mut deleted = (!ours.is_here()).then(|| DeletedCursor::new(ours.mailbox().key()));
        let mut found = Found::new(ours.mailbox().clone(), ours.is_here(), line, sides);
        let mut sending = Sending::default();
        while let Some(facing) = self.next_facing(&mut pair).await? {
            sending.take(&facing, &found.sides);
            let judged = match self.judge(&facing, &mut deleted, &found.sides, earlier).await {
                Ok(judged) => judged,
                Err(why) => {
                    self.end_side_by_side(pair).await?;
                    return Err(why);
                }
            };
            found.take(Item {
                judged,
                ours: facing.ours,
                theirs: facing.theirs,
            });
            // What was deleted here is known in the first pass only, so that one has to find all of it.
            if found.items.len() >= ITEMS_HELD_MAX && deleted.is_none() {
                self.end_side_by_side(pair).await?;
                found.is_complete = false;
                break;
            }
        }
        Ok((found, sending))
    }

    async fn judge(
        &self,
        facing: &Facing,
        deleted: &mut Option<DeletedCursor>,
        sides: &Sides,
        earlier: Option<Earlier>,
    ) -> Tried<Judged> {
        let is_settled = |ours: &Record| earlier.is_some_and(|pass| ours.modseq > pass.highestmodseq);
        Ok(match (&facing.ours, &facing.theirs) {
            (Some(ours), Some(theirs)) if ours.guid == theirs.guid && is_settled(ours) => Judged::nothing(),
            (Some(ours), Some(theirs)) => merge_rules::both(ours, theirs, sides),
            (Some(ours), None) => merge_rules::only_ours(ours, facing.more_follow, sides),
            (None, Some(theirs)) => {
                let was_ours = match deleted {
                    None => false,
                    Some(cursor) => self.was_ours(cursor, theirs).await?,
                };
                merge_rules::only_theirs(theirs, was_ours, sides)
            }
            (None, None) => Judged::nothing(),
        })
    }

    /// Writes what was resolved, all in one transaction.
    async fn carry_out(&mut self, key: &MailboxKey, resolved: &Resolved) -> Tried<Carried> {
        if resolved.is_change() {
            self.done(Request::Begin {
                scope: key.scope.clone(),
            })
            .await?;
            match self.write_resolved(key, resolved).await {
                Ok(true) => self.done(Request::Commit).await?,
                Ok(false) => {
                    self.done(Request::Rollback).await?;
                    self.done(Request::ForgetStaged).await?;
                    return Ok(Carried::Overtaken);
                }
                Err(why) => return self.roll_back(why).await,
            }
            self.done(Request::ForgetStaged).await?;
        }
        Ok(Carried::Done)
    }

    /// False when the mailbox is not what it was any more.
    async fn write_resolved(&mut self, key: &MailboxKey, resolved: &Resolved) -> Tried<bool> {
        let now = self.local_mailbox(key).await?;
        let expected = resolved.is_here.then_some(&resolved.before);
        if now.as_ref() != expected {
            return Ok(false);
        }
        if !resolved.is_here {
            self.check_user_is_here(key, &resolved.after.name).await?;
        }
        self.write(vec![Change::PutMailbox(Box::new(resolved.after.clone()))])
            .await?;
        for records in resolved.writes.chunks(RECORDS_AT_ONCE) {
            self.write(vec![Change::PutRecords {
                uniqueid: resolved.after.uniqueid.clone(),
                partition: resolved.after.partition.clone(),
                records: records.to_vec(),
            }])
            .await?;
        }
        Ok(true)
    }

    /// Has the replica expunge; what it refuses is worth a word only, for the update finds it again. [CS-MASTER-50]
    pub(super) async fn expunge_there(&mut self, name: &Text, uniqueid: &Text, uids: Vec<u32>) -> Tried<()> {
        for uids in uids.chunks(EXPUNGE_UIDS_MAX) {
            let command = Apply::Expunge {
                mboxname: Some(name.clone()),
                uniqueid: Some(uniqueid.clone()),
                uids: Some(uids.to_vec()),
            };
            let sent = self.wire.send("APPLY EXPUNGE", name, &Command::Apply(command));
            if let Err(refusal) = self.wire.answer(sent).await?.result {
                self.notice(refusal.text);
            }
        }
        Ok(())
    }
}
