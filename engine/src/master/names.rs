//! A name that is one mailbox's here and another's on the replica. Identity is the unique id; so the other one makes
//! way, and if it holds mail, it keeps that under another name. [CS-SPLIT-20]

use std::sync::PoisonError;

use protocol::command::{Apply, Command};
use protocol::{MailboxLine, Text};

use super::Job;
use super::ask::RecordCursor;
use super::decision::Deed;
use super::folders::{Batch, is_placeholder, same_name};
use super::plan::PlannedWhat;
use super::run::{Run, Tried, Trouble};
use super::wire::Sent;
use crate::model::{Mailbox, Tombstone};
use crate::name::{self, Scope};
use crate::ticket::{Change, Request, Select};

/// Seconds that one of two masters waits for the other one to join their INBOXes.
const JOIN_WAIT_S: i64 = 5;

/// Tries to find a free name.
const TRIES_MAX: u32 = 1000;

/// A name of the replica is not what it was a moment ago.
fn changed_meanwhile(name: &Text) -> Trouble {
    Trouble::Item(format!(
        "{name} changed on the replica meanwhile; the next run goes on"
    ))
}

impl Run {
    /// Makes sure that no other mailbox of the replica has the name of one of ours. Failures are noted in the batch.
    pub(super) async fn clear_names(&mut self, batch: &mut Batch) -> Tried<()> {
        for index in 0..batch.locals.len() {
            let mailbox = &batch.locals[index];
            if mailbox.is_placeholder() {
                continue;
            }
            let Some(line) = in_the_way(batch, mailbox) else {
                continue;
            };
            let name = mailbox.name.clone();
            match self.clear_one(batch, index, &line).await {
                Ok(()) => {}
                Err(Trouble::Item(reason)) => batch.fail(&name, reason),
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }

    async fn clear_one(&mut self, batch: &mut Batch, index: usize, line: &MailboxLine) -> Tried<()> {
        let (Some(there), Some(uniqueid)) = (line.mboxname.clone(), line.uniqueid.clone()) else {
            return Ok(());
        };
        if batch.tombstones.contains_key(&uniqueid) && batch.failed.contains_key(&there) {
            // Deleted here, but it could not be looked at: to move it aside would keep for good what has to go.
            return Err(Trouble::Item(format!(
                "{there}: the mailbox of this name on the replica was deleted here, and what it holds could not be read; \
                 the next run goes on"
            )));
        }
        let is_new_there = !batch.remotes.contains_key(&batch.locals[index].uniqueid);
        if self.yields(batch, index, line).await? {
            return self.join(batch, index, line, "CS-SPLIT-29").await;
        }
        if line.last_uid == Some(0) && is_new_there && self.peer.replaces_unused() {
            // The replica lets it give way to what is sent. [CS-MBOX-18]
            self.decide_on(&there, &uniqueid, "CS-SPLIT-21", Deed::GiveWay);
            batch.remotes.remove(&uniqueid);
            return Ok(());
        }
        if !self.holds_mail(line).await? {
            self.still_there(line).await?;
            self.decide_on(&there, &uniqueid, "CS-SPLIT-22", Deed::GiveWay);
            let changed = self.delete_there(batch, vec![(there.clone(), uniqueid)]).await?;
            return if changed.is_empty() {
                Ok(())
            } else {
                Err(changed_meanwhile(&there))
            };
        }
        if name::is_inbox(&there) {
            self.lets_the_other_join(&batch.locals[index].uniqueid, &uniqueid)?;
            return self.join(batch, index, line, "CS-SPLIT-24").await;
        }
        if name::is_sieve(&there) {
            // Scripts are the master's; a second mailbox of scripts would make no sense to anybody.
            let to = self.free_deleted_name(batch, &there).await?;
            return self.rename_aside(batch, &uniqueid, &to, "CS-SPLIT-28").await;
        }
        let to = self.free_aside_name(batch, &there, &uniqueid).await?;
        self.rename_aside(batch, &uniqueid, &to, "CS-SPLIT-23").await
    }

    /// UNMAILBOX goes by name alone, so right before it the name must still be that of the mailbox that is meant, and no
    /// mail have come to it.
    async fn still_there(&mut self, line: &MailboxLine) -> Tried<()> {
        let name = line.mboxname.clone().unwrap_or_default();
        let lines = self.get_mailboxes(std::slice::from_ref(&name)).await?;
        let is_same = |now: &MailboxLine| now.uniqueid == line.uniqueid && now.last_uid == line.last_uid;
        if lines.iter().any(is_same) {
            return Ok(());
        }
        Err(changed_meanwhile(&name))
    }

    /// Whether it is ours that makes way, because neither holds mail and the replica's has the lower unique id. Two masters
    /// that made the same mailbox at once would else exchange theirs for ever. [CS-SPLIT-29]
    async fn yields(&mut self, batch: &Batch, index: usize, line: &MailboxLine) -> Tried<bool> {
        let ours = &batch.locals[index];
        let is_lower = line
            .uniqueid
            .as_ref()
            .is_some_and(|theirs| *theirs < ours.uniqueid);
        if !is_lower || !self.config.copyback || name::is_sieve(&ours.name) {
            return Ok(false);
        }
        let mut cursor = RecordCursor::new(&ours.key());
        while cursor.peek(&self.port).await?.is_some() {
            if cursor.take_all().iter().any(|record| !record.is_expunged()) {
                return Ok(false);
            }
        }
        Ok(!self.holds_mail(line).await?)
    }

    /// Of two masters that replicate to each other all the time, the one whose INBOX has the lower unique id gives the other
    /// one a few seconds to take it over, lest they exchange the two. [CS-SPLIT-45]
    fn lets_the_other_join(&self, ours: &Text, theirs: &Text) -> Tried<()> {
        if ours > theirs || !self.config.copyback || !matches!(self.config.job, Job::Tasks) {
            return Ok(());
        }
        let now = self.port.now().0;
        let pair = (ours.clone(), theirs.clone());
        let mut met = self.hesitations.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *met.entry(pair).or_insert(now);
        if (since..since.saturating_add(JOIN_WAIT_S)).contains(&now) {
            self.blame.note_waiting();
            return Err(Trouble::Item(
                "the INBOX there is another mailbox than the one here; if that server is a master as well, it joins the two \
                 within a few seconds, else this one does then"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether the replica's mailbox has a live message.
    pub(super) async fn holds_mail(&mut self, line: &MailboxLine) -> Tried<bool> {
        let Some(name) = line.mboxname.as_ref().filter(|_| line.last_uid != Some(0)) else {
            return Ok(false);
        };
        let Some(listing) = self.list_in_full(name).await? else {
            return Ok(false);
        };
        if listing.line.uniqueid != line.uniqueid {
            let pair = self.side_by_side(listing, None);
            self.end_side_by_side(pair).await?;
            return Err(changed_meanwhile(name));
        }
        let mut pair = self.side_by_side(listing, None);
        let mut found = false;
        while !found && let Some(facing) = self.next_facing(&mut pair).await? {
            found = facing.theirs.is_some_and(|theirs| !theirs.is_expunged());
        }
        self.end_side_by_side(pair).await?;
        Ok(found)
    }

    /// Renames a mailbox of the replica that is not ours by this name.
    pub(super) async fn rename_aside(
        &mut self,
        batch: &mut Batch,
        uniqueid: &Text,
        to: &Text,
        rule: &'static str,
    ) -> Tried<()> {
        let Some(line) = batch.remotes.get(uniqueid).cloned() else {
            return Ok(());
        };
        let from = line.mboxname.clone().unwrap_or_default();
        self.decide_on(&from, uniqueid, rule, Deed::MoveAside { to: to.clone() });
        if self.config.dry_run {
            self.plan_item(&batch.scope, to, PlannedWhat::RenameMailbox { from });
        } else {
            let command = Apply::Rename {
                oldmboxname: Some(from.clone()),
                newmboxname: Some(to.clone()),
                partition: line.partition.clone().flatten().or(Some(Text::EMPTY)),
                uidvalidity: line.uidvalidity,
                local: self.config.local_only,
            };
            let sent = self.wire.send("APPLY RENAME", &from, &Command::Apply(command));
            self.wire.answer(sent).await?.result?;
            self.notice(format!(
                "{from} on the replica is not the mailbox of that name here; it keeps its mail as {to}"
            ));
        }
        if let Some(line) = batch.remotes.get_mut(uniqueid) {
            line.mboxname = Some(to.clone());
        }
        Ok(())
    }

    /// Sends UNMAILBOX.
    pub(super) fn send_unmailbox(&mut self, name: &Text) -> Sent {
        let command = Apply::Unmailbox {
            mboxname: Some(name.clone()),
            local: self.config.local_only,
        };
        self.wire.send("APPLY UNMAILBOX", name, &Command::Apply(command))
    }

    /// Whether a mailbox of another identity has the name here.
    pub(super) async fn is_taken_here(&mut self, batch: &Batch, name: &Text, uniqueid: &Text) -> Tried<bool> {
        let is_other = |m: &Mailbox| m.name == *name && m.uniqueid != *uniqueid && !m.is_placeholder();
        if batch.locals.iter().any(is_other) {
            return Ok(true);
        }
        let here = self.local_mailboxes(Select::Names(vec![name.clone()])).await?;
        Ok(here.iter().any(is_other))
    }

    /// `NAME-split-xxxxxxxx`, free on both sides; where both masters of a pair meet the same mailbox, they say the same.
    pub(super) async fn free_aside_name(
        &mut self,
        batch: &Batch,
        name: &Text,
        uniqueid: &Text,
    ) -> Tried<Text> {
        let short: String = uniqueid
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .take(8)
            .map(|byte| char::from(*byte))
            .collect();
        self.free_name(batch, name, |number| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.extend_from_slice(format!("-split-{short}").as_bytes());
            if number > 0 {
                bytes.extend_from_slice(format!("-{number}").as_bytes());
            }
            Text::from(bytes)
        })
        .await
    }

    /// `DELETED.NAME.time`, free on both sides. [CS-MBOX-45]
    pub(super) async fn free_deleted_name(&mut self, batch: &Batch, name: &Text) -> Tried<Text> {
        let now = self.port.now().0.clamp(0, i64::from(u32::MAX)) as u32;
        self.free_name(batch, name, |number| {
            name::deleted_name(name, now.wrapping_add(number))
        })
        .await
    }

    async fn free_name(
        &mut self,
        batch: &Batch,
        name: &Text,
        candidate: impl Fn(u32) -> Text,
    ) -> Tried<Text> {
        for number in 0..TRIES_MAX {
            let wanted = candidate(number);
            if batch
                .remotes
                .values()
                .any(|line| line.mboxname.as_ref() == Some(&wanted))
                || batch.locals.iter().any(|mailbox| mailbox.name == wanted)
            {
                continue;
            }
            let asked = vec![wanted.clone()];
            if self
                .local_mailboxes(Select::Names(asked.clone()))
                .await?
                .is_empty()
                && self.get_mailboxes(&asked).await?.is_empty()
            {
                return Ok(wanted);
            }
        }
        Err(Trouble::Item(format!(
            "{name}: no free name was found for the replica's mailbox of that name; rename it there"
        )))
    }

    /// Both sides have a mailbox of their own: ours takes over the replica's identity, and both are merged.
    /// [CS-SPLIT-24] [CS-SPLIT-29]
    async fn join(
        &mut self,
        batch: &mut Batch,
        index: usize,
        line: &MailboxLine,
        rule: &'static str,
    ) -> Tried<()> {
        let old = batch.locals[index].clone();
        let uniqueid = line.uniqueid.clone().unwrap_or_default();
        if !self.config.copyback {
            return Err(Trouble::Item(format!(
                "{}: the INBOX there is another mailbox than the one here (unique ids {uniqueid} and {}), and holds mail; \
                 a run with copyback (without -O) joins them",
                old.name, old.uniqueid
            )));
        }
        let former = old.uniqueid.clone();
        self.decide_on(&old.name, &uniqueid, rule, Deed::JoinInbox { former });
        if self.config.dry_run {
            return self.plan_join(batch, &old, line).await;
        }
        self.end_read().await?;
        let known_as = self.former_name(batch, &old).await?;
        let joined = self.change_identity(&old, line, known_as.as_ref()).await;
        if let Err(halt @ Trouble::Halt(_)) = joined {
            return Err(halt);
        }
        self.begin_read(&batch.scope).await?;
        let joined = joined?;
        self.notice(format!(
            "{}: the replica had a mailbox of its own of this name; both are one now, under the unique id {uniqueid}",
            old.name
        ));
        batch.locals[index] = joined;
        self.merge(batch, index).await?;
        if let Some(now) = self.local_mailbox(&batch.locals[index].key()).await? {
            batch.locals[index] = now;
        }
        // The compare had it expunge what moved.
        let lines = self.get_mailboxes(std::slice::from_ref(&old.name)).await?;
        batch.learn(lines)
    }

    /// The name under which the replica has this mailbox of ours, if it has it and that name is free here.
    async fn former_name(&mut self, batch: &Batch, old: &Mailbox) -> Tried<Option<Text>> {
        let there = batch.remotes.get(&old.uniqueid);
        let Some(name) = there.and_then(|line| line.mboxname.clone()) else {
            return Ok(None);
        };
        let is_taken = self.is_taken_here(batch, &name, &old.uniqueid).await?;
        Ok((!is_taken && Scope::of(&name) == batch.scope).then_some(name))
    }

    async fn change_identity(
        &mut self,
        old: &Mailbox,
        line: &MailboxLine,
        known_as: Option<&Text>,
    ) -> Tried<Mailbox> {
        let scope = Scope::of(&old.name);
        self.done(Request::Begin { scope: scope.clone() }).await?;
        match self.write_identity(&scope, old, line, known_as).await {
            Ok(joined) => {
                self.done(Request::Commit).await?;
                Ok(joined)
            }
            Err(why) => self.roll_back(why).await,
        }
    }

    async fn write_identity(
        &mut self,
        scope: &Scope,
        old: &Mailbox,
        line: &MailboxLine,
        known_as: Option<&Text>,
    ) -> Tried<Mailbox> {
        let uniqueid = line.uniqueid.clone().unwrap_or_default();
        let now = self.local_mailbox(&old.key()).await?;
        let taken = self
            .local_mailboxes(Select::Uniqueids(vec![uniqueid.clone()]))
            .await?;
        if now.as_ref() != Some(old) || !taken.is_empty() {
            return Err(Trouble::Item(format!(
                "{}: it changed here meanwhile; the next run goes on",
                old.name
            )));
        }
        let mut leaving = old.clone();
        leaving.name = known_as.cloned().unwrap_or_else(|| name::former_inbox(&old.name));
        let mut joined = old.clone();
        joined.uniqueid = uniqueid.clone();
        // Above both, so that the values of the two are told and compared, whatever they are.
        joined.highestmodseq = joined
            .highestmodseq
            .max(line.highestmodseq.unwrap_or(0))
            .saturating_add(1);
        joined.foldermodseq = joined.highestmodseq;
        // One that was never used was deleted by nobody. [CS-SPLIT-43] Unless the replica has it too, by another name, where
        // it would stay.
        let gave_way = old.last_uid == 0 && known_as.is_none();
        let last_name = if gave_way { &old.name } else { &leaving.name };
        let tombstone = Tombstone {
            uniqueid: old.uniqueid.clone(),
            // Not the INBOX's name: that would say that its user was deleted. [CS-SPLIT-17]
            name: last_name.clone(),
            highestmodseq: if gave_way {
                old.highestmodseq
            } else {
                joined.highestmodseq
            },
            uidvalidity: old.uidvalidity,
            deleted_at: self.port.now().0,
            gave_way,
        };
        self.write(vec![
            Change::PutMailbox(Box::new(leaving)),
            Change::PutMailbox(Box::new(joined.clone())),
        ])
        .await?;
        let mut cursor = RecordCursor::new(&old.key());
        while cursor.peek(&self.port).await?.is_some() {
            let records = cursor.take_all();
            self.write(vec![Change::PutRecords {
                uniqueid: uniqueid.clone(),
                partition: joined.partition.clone(),
                records,
            }])
            .await?;
        }
        let mut changes = vec![Change::RemoveMailbox {
            uniqueid: old.uniqueid.clone(),
            tombstone: Some(tombstone),
        }];
        if let Scope::User(user) = scope {
            let states = self.local_meta(user).await?.seen;
            for mut state in states.into_iter().filter(|state| state.uniqueid == old.uniqueid) {
                state.uniqueid = uniqueid.clone();
                changes.push(Change::PutSeen(state));
            }
        }
        self.write(changes).await?;
        Ok(joined)
    }
}

/// The replica's mailbox that has this one's name, is another one, and will not leave the name by itself.
fn in_the_way(batch: &Batch, mailbox: &Mailbox) -> Option<MailboxLine> {
    let is_ours = |id: &Text| {
        batch
            .locals
            .iter()
            .any(|m| m.uniqueid == *id && !batch.failed.contains_key(&m.name))
    };
    batch
        .remotes
        .iter()
        .find(|(id, line)| {
            **id != mailbox.uniqueid
                && !is_placeholder(line)
                && line
                    .mboxname
                    .as_ref()
                    .is_some_and(|name| same_name(name, &mailbox.name))
                && !is_ours(id)
        })
        .map(|(_, line)| line.clone())
}
