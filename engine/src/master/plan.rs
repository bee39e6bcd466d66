//! Dry runs: what a run would do, found out by asking only. [CS-SPLIT-50]

use protocol::command::Apply;
use protocol::{MailboxLine, Record, Text};

use super::ask::RecordCursor;
use super::folders::{Batch, is_placeholder};
use super::full::{ITEMS_HELD_MAX, Ours};
use super::gone::mailbox_of;
use super::listing::Facing;
use super::merge_plan::{Found, Sides, resolve};
use super::run::{Run, Tried, Trouble};
use super::update::Todo;
use crate::crc::SyncCrc;
use crate::model::Mailbox;
use crate::name::Scope;

/// One thing that a run would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Whose: a user id; empty for mailboxes of nobody and the server.
    pub user: Text,
    /// Internal name of the mailbox, root of the quota, name of the script or entry of the annotation.
    pub about: Text,
    /// What.
    pub what: PlannedWhat,
}

/// What a run would do about something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlannedWhat {
    /// Creates the mailbox on the replica.
    CreateMailbox,
    /// Renames it on the replica.
    RenameMailbox {
        /// Its present internal name there.
        from: Text,
    },
    /// Moves it to another partition of the replica.
    MoveMailbox {
        /// The partition.
        partition: Text,
    },
    /// Deletes it on the replica.
    DeleteMailbox,
    /// Sends the mailbox's values and records.
    SendMailbox {
        /// Records.
        records: u64,
        /// Messages, at most: some may be found on the replica.
        messages: u64,
        /// Bytes of these.
        bytes: u64,
        /// Records whose flags or annotations change there.
        changed: u64,
        /// Messages expunged there.
        expunged: u64,
    },
    /// Compares it in full and merges: the decisions say how; some records change here.
    MergeMailbox {
        /// Records that change or are added at the master.
        here: u64,
        /// Messages fetched from the replica, and their bytes.
        fetched: u64,
        /// Bytes of these.
        fetched_bytes: u64,
        /// Records expunged on the replica.
        expunged_there: u64,
    },
    /// Sets a quota root on the replica.
    PutQuota,
    /// Removes a quota root there.
    RemoveQuota,
    /// Subscribes there.
    Subscribe,
    /// Ends a subscription there.
    Unsubscribe,
    /// Sends a seen state of this mailbox (unique id).
    Seen,
    /// Sends a script.
    PutScript,
    /// Removes one there.
    RemoveScript,
    /// Makes a script the active one there.
    ActivateScript,
    /// Leaves no script active there.
    DeactivateScript,
    /// Sets an annotation of the server there.
    PutAnnotation,
    /// Removes one there.
    RemoveAnnotation,
    /// Removes what is left of a deleted user there.
    RemoveUser,
}

impl PlannedWhat {
    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            PlannedWhat::CreateMailbox => "create_mailbox",
            PlannedWhat::RenameMailbox { .. } => "rename_mailbox",
            PlannedWhat::MoveMailbox { .. } => "move_mailbox",
            PlannedWhat::DeleteMailbox => "delete_mailbox",
            PlannedWhat::SendMailbox { .. } => "send_mailbox",
            PlannedWhat::MergeMailbox { .. } => "merge_mailbox",
            PlannedWhat::PutQuota => "put_quota",
            PlannedWhat::RemoveQuota => "remove_quota",
            PlannedWhat::Subscribe => "subscribe",
            PlannedWhat::Unsubscribe => "unsubscribe",
            PlannedWhat::Seen => "seen",
            PlannedWhat::PutScript => "put_script",
            PlannedWhat::RemoveScript => "remove_script",
            PlannedWhat::ActivateScript => "activate_script",
            PlannedWhat::DeactivateScript => "deactivate_script",
            PlannedWhat::PutAnnotation => "put_annotation",
            PlannedWhat::RemoveAnnotation => "remove_annotation",
            PlannedWhat::RemoveUser => "remove_user",
        }
    }
}

impl Run {
    /// Notes something that a real run would do.
    pub(super) fn plan_item(&self, scope: &Scope, about: &Text, what: PlannedWhat) {
        let user = match scope {
            Scope::User(user) => user.clone(),
            Scope::Shared => Text::EMPTY,
        };
        let about = about.clone();
        self.count(|progress| progress.plan.push(Planned { user, about, what }));
    }

    /// Notes what a command would do to the user's data beside the mailboxes.
    pub(super) fn plan_apply(&self, apply: &Apply) {
        let user_of = |user: &Option<Text>| Scope::User(user.clone().unwrap_or_default());
        let of = |text: &Option<Text>| text.clone().unwrap_or_default();
        let script = |filename: &Option<Text>| {
            let name = of(filename);
            let bare = name.strip_suffix(b".script").or(name.strip_suffix(b".bc"));
            bare.map_or_else(|| name.clone(), Text::copy_from)
        };
        let (scope, about, what) = match apply {
            Apply::Quota(quota) => (
                Scope::of(&of(&quota.root)),
                of(&quota.root),
                PlannedWhat::PutQuota,
            ),
            Apply::Unquota { root } => (Scope::of(&of(root)), of(root), PlannedWhat::RemoveQuota),
            Apply::Sub { mboxname, userid } => (user_of(userid), of(mboxname), PlannedWhat::Subscribe),
            Apply::Unsub { mboxname, userid } => (user_of(userid), of(mboxname), PlannedWhat::Unsubscribe),
            Apply::Seen(seen) => (user_of(&seen.userid), of(&seen.uniqueid), PlannedWhat::Seen),
            Apply::Sieve { userid, filename, .. } => {
                (user_of(userid), script(filename), PlannedWhat::PutScript)
            }
            Apply::Unsieve { userid, filename } => {
                (user_of(userid), script(filename), PlannedWhat::RemoveScript)
            }
            Apply::ActivateSieve { userid, filename } => {
                (user_of(userid), script(filename), PlannedWhat::ActivateScript)
            }
            Apply::UnactivateSieve { userid } => {
                (user_of(userid), Text::EMPTY, PlannedWhat::DeactivateScript)
            }
            Apply::Annotation { entry, .. } => (Scope::Shared, of(entry), PlannedWhat::PutAnnotation),
            Apply::Unannotation { entry, .. } => (Scope::Shared, of(entry), PlannedWhat::RemoveAnnotation),
            Apply::Unuser { userid, .. } => (user_of(userid), of(userid), PlannedWhat::RemoveUser),
            Apply::Unmailbox { mboxname, .. } => {
                let name = of(mboxname);
                (Scope::of(&name), name, PlannedWhat::DeleteMailbox)
            }
            _ => return,
        };
        self.plan_item(&scope, &about, what);
    }

    /// Notes what a real run would do about the batch's mailboxes that are not equal.
    pub(super) async fn plan_updates(&mut self, batch: &mut Batch, todo: Todo) -> Tried<()> {
        let merges = todo.merge.into_iter().map(|index| (index, true));
        for (index, must_merge) in todo.send.into_iter().map(|index| (index, false)).chain(merges) {
            self.check_stop()?;
            let mailbox = batch.locals[index].clone();
            if batch.planned.contains(&mailbox.name) {
                continue;
            }
            let planned = self.plan_update(batch, &mailbox, must_merge).await;
            match planned {
                Ok(()) => {}
                Err(Trouble::Item(reason)) => batch.fail(&mailbox.name, reason),
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }

    async fn plan_update(&mut self, batch: &Batch, mailbox: &Mailbox, must_merge: bool) -> Tried<()> {
        let line = batch
            .remotes
            .get(&mailbox.uniqueid)
            .filter(|line| !is_placeholder(line));
        if line.is_none() {
            self.plan_item(&batch.scope, &mailbox.name, PlannedWhat::CreateMailbox);
        }
        let mut sending = Sending::default();
        let Some(line) = line.filter(|_| !mailbox.is_placeholder()) else {
            if !mailbox.is_placeholder() {
                let mut cursor = RecordCursor::new(&mailbox.key());
                while cursor.peek(&self.port).await?.is_some() {
                    cursor.take_all().iter().for_each(|record| sending.adds(record));
                }
            }
            self.plan_item(&batch.scope, &mailbox.name, sending.planned());
            return Ok(());
        };
        let there = line.mboxname.clone().unwrap_or_default();
        let ours = Ours::Here(mailbox.clone());
        let (found, sending) = self.survey(&ours, &there, None).await?;
        if !(must_merge && self.config.copyback) && sending.is_accepted(&found) {
            self.plan_item(&batch.scope, &mailbox.name, sending.planned());
            return Ok(());
        }
        if !self.config.copyback {
            return Err(Trouble::Item(format!(
                "{}: both sides have changed it; the replica would refuse it, and a run without -O would compare it in full",
                mailbox.name
            )));
        }
        self.plan_merge(&batch.scope, found, sending)
    }

    /// Notes the outcome of a full compare, its decisions included.
    fn plan_merge(&mut self, scope: &Scope, found: Found, mut sending: Sending) -> Tried<()> {
        if !found.is_complete {
            self.notice(format!(
                "{}: more than {ITEMS_HELD_MAX} UIDs differ; the plan shows the first of them",
                found.before.name
            ));
        }
        let resolved = resolve(found, self.port.now().0)?;
        resolved
            .decisions
            .iter()
            .for_each(|decision| self.decide(decision.clone()));
        let fetched_bytes = resolved
            .wanted
            .iter()
            .fold(0, |all: u64, record| all.saturating_add(record.size));
        let what = PlannedWhat::MergeMailbox {
            here: resolved.writes.len() as u64,
            fetched: resolved.wanted.len() as u64,
            fetched_bytes,
            expunged_there: (resolved.expunge_there.len() + resolved.moved.len()) as u64,
        };
        self.plan_item(scope, &resolved.after.name, what);
        if !resolved.writes.is_empty() {
            sending.records += resolved.writes.len() as u64;
            self.plan_item(scope, &resolved.after.name, sending.planned());
        }
        Ok(())
    }

    /// Notes that a mailbox would come back here, and with what.
    pub(super) async fn plan_revival(
        &mut self,
        batch: &Batch,
        line: &MailboxLine,
        there: &Text,
    ) -> Tried<()> {
        let ours = Ours::Deleted(mailbox_of(line));
        let (found, _) = self.survey(&ours, there, None).await?;
        self.plan_merge(&batch.scope, found, Sending::default())
    }

    /// Notes that two INBOXes would become one.
    pub(super) async fn plan_join(
        &mut self,
        batch: &mut Batch,
        old: &Mailbox,
        line: &MailboxLine,
    ) -> Tried<()> {
        let mut joined = old.clone();
        joined.uniqueid = line.uniqueid.clone().unwrap_or_default();
        let (found, sending) = self.survey_as(old, joined, &old.name).await?;
        batch.planned.insert(old.name.clone());
        self.plan_merge(&batch.scope, found, sending)
    }
}

/// What an update would send, and what the replica would make of it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Sending {
    records: u64,
    messages: u64,
    bytes: u64,
    changed: u64,
    expunged: u64,
    refused: bool,
    /// Of the records that the replica would have.
    crc: Option<SyncCrc>,
}

impl Sending {
    fn adds(&mut self, record: &Record) {
        self.records += 1;
        if !record.is_expunged() {
            self.messages += 1;
            self.bytes = self.bytes.saturating_add(record.size);
        }
    }

    /// Takes the next UID of both sides, as the replica would judge what is sent of it. [CS-MBOX-30]
    pub(super) fn take(&mut self, facing: &Facing, sides: &Sides) {
        let crc = self.crc.get_or_insert(SyncCrc::EMPTY);
        let goes = facing
            .ours
            .as_ref()
            .filter(|ours| ours.modseq > sides.their_highestmodseq);
        match (goes, &facing.theirs) {
            (Some(ours), Some(theirs)) => {
                crc.toggle(ours);
                self.records += 1;
                match (ours.is_expunged(), theirs.is_expunged()) {
                    (true, true) => {}
                    (true, false) => self.expunged += 1,
                    (false, _) => self.changed += 1,
                }
                let both_gone = ours.is_expunged() && theirs.is_expunged();
                self.refused |= !both_gone && (ours.guid != theirs.guid || theirs.is_expunged());
            }
            (Some(ours), None) => {
                crc.toggle(ours);
                if ours.uid > sides.their_last_uid {
                    self.adds(ours);
                } else {
                    self.records += 1;
                    self.refused |= !ours.is_expunged();
                }
            }
            (None, Some(theirs)) => crc.toggle(theirs),
            (None, None) => {}
        }
    }

    /// Whether the replica would take the update as it is.
    fn is_accepted(&self, found: &Found) -> bool {
        found.is_complete && !self.refused && self.crc.is_none_or(|crc| crc.agrees_with(found.crc()))
    }

    fn planned(&self) -> PlannedWhat {
        PlannedWhat::SendMailbox {
            records: self.records,
            messages: self.messages,
            bytes: self.bytes,
            changed: self.changed,
            expunged: self.expunged,
        }
    }
}
