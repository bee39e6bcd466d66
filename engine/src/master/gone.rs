//! Mailboxes that were deleted here and are still on the replica: deleted there by identity and by what they held, or,
//! when they hold mail that was never here, brought back. [CS-SPLIT-10] [CS-SPLIT-11] [CS-SPLIT-12]

use std::collections::BTreeSet;

use protocol::command::{Apply, Command, Get};
use protocol::response::Code;
use protocol::{MailboxLine, Text};

use super::decision::{Decision, Deed};
use super::folders::{Batch, is_placeholder, same_name};
use super::full::Ours;
use super::listing::DeletedCursor;
use super::plan::PlannedWhat;
use super::run::{Run, Tried, Trouble};
use crate::crc::SyncCrc;
use crate::model::{Mailbox, MailboxKey, Tombstone};
use crate::name;
use crate::ticket::{Reply, Request, Select, StoreError};

/// Looks at a mailbox that is to be deleted on the replica and changes there.
const LOOKS_MAX: usize = 4;

/// What becomes of a mailbox of the replica that was deleted here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It holds nothing that was not deleted here.
    Delete,
    /// It holds mail that was never here; `reused` when some of it has a UID that was another message's here.
    Revive {
        /// Whether readers here may know one of its UIDs as another message.
        reused: bool,
    },
    /// The replica has it no more, or another one has its name by now.
    Gone,
}

impl Run {
    /// Decides about the replica's mailboxes that were deleted here; answers the names of those to be deleted there.
    pub(super) async fn judge_buried(&mut self, batch: &mut Batch) -> Tried<Vec<(Text, Text)>> {
        self.judge_these(batch, None).await
    }

    /// The same of those with these identities.
    async fn judge_these(
        &mut self,
        batch: &mut Batch,
        only: Option<&BTreeSet<Text>>,
    ) -> Tried<Vec<(Text, Text)>> {
        let ours: BTreeSet<Text> = batch
            .locals
            .iter()
            .map(|mailbox| mailbox.uniqueid.clone())
            .collect();
        let mut buried: Vec<(Text, Text)> = batch
            .remotes
            .iter()
            .filter(|(id, _)| !ours.contains(*id) && batch.tombstones.contains_key(*id))
            .filter(|(id, _)| only.is_none_or(|only| only.contains(*id)))
            .filter_map(|(id, line)| Some((line.mboxname.clone()?, id.clone())))
            .collect();
        // Children go before their parents.
        buried.sort_by(|a, b| b.cmp(a));
        let mut dead = Vec::new();
        for (name, uniqueid) in buried {
            self.check_stop()?;
            let Some(line) = batch.remotes.get(&uniqueid).cloned() else {
                continue;
            };
            match self.fate_of(batch, &line).await {
                Ok(Fate::Delete) => {
                    self.decide_on(&name, &uniqueid, "CS-SPLIT-11", Deed::DeleteMailbox);
                    dead.push((name, uniqueid));
                }
                // Both joined the other's at once: names are cleared next, and both become one then. [CS-SPLIT-45]
                Ok(Fate::Revive { .. }) if is_swapped(batch, &name, &uniqueid) => {}
                Ok(Fate::Revive { .. }) if !self.config.copyback => {
                    self.decide_on(&name, &uniqueid, "CS-SPLIT-41", Deed::LeaveMailbox);
                    self.notice(format!(
                        "{name} was deleted here and holds mail on the replica that was never here; it is left there"
                    ));
                }
                Ok(Fate::Revive { reused }) => match self.revive(batch, &line, reused).await {
                    Ok(()) => {}
                    Err(Trouble::Item(reason)) => batch.fail(&name, reason),
                    Err(halt) => return Err(halt),
                },
                Ok(Fate::Gone) => {
                    batch.remotes.remove(&uniqueid);
                }
                Err(Trouble::Item(reason)) => batch.fail(&name, reason),
                Err(halt) => return Err(halt),
            }
        }
        Ok(dead)
    }

    /// What was never used and gave its name to another mailbox here was deleted by nobody. It goes on the replica only
    /// where it is unused too, is as it was here then or before, and nothing has its name here; while something has, the two
    /// of one name settle it. [CS-SPLIT-43]
    pub(super) async fn heed_what_gave_way(&mut self, batch: &mut Batch) -> Tried<()> {
        let gave_way = batch.tombstones.values().filter(|t| t.gave_way);
        let gave_way: Vec<Tombstone> = gave_way.cloned().collect();
        for tombstone in gave_way {
            let there = batch.remotes.get(&tombstone.uniqueid);
            let left_at = there.and_then(|line| left_over(line, &tombstone)).cloned();
            let goes = match &left_at {
                Some(name) => !self.is_taken_here(batch, name, &tombstone.uniqueid).await?,
                None => false,
            };
            if !goes {
                batch.tombstones.remove(&tombstone.uniqueid);
            }
        }
        Ok(())
    }

    /// Tells a decision about a whole mailbox.
    pub(super) fn decide_on(&self, name: &Text, uniqueid: &Text, rule: &'static str, what: Deed) {
        self.decide(Decision {
            mailbox: name.clone(),
            uniqueid: uniqueid.clone(),
            uid: None,
            guid: None,
            rule,
            what,
        });
    }

    /// Whether the replica's mailbox holds a live message that the one deleted here did not hold. [CS-SPLIT-12]
    pub(super) async fn fate_of(&mut self, batch: &Batch, line: &MailboxLine) -> Tried<Fate> {
        let (Some(name), Some(uniqueid)) = (&line.mboxname, &line.uniqueid) else {
            return Ok(Fate::Gone);
        };
        if is_placeholder(line) || line.last_uid == Some(0) {
            return Ok(Fate::Delete);
        }
        let Some(listing) = self.list_in_full(name).await? else {
            return Ok(Fate::Gone);
        };
        let is_it = listing.line.uniqueid.as_ref() == Some(uniqueid);
        let mut pair = self.side_by_side(listing, None);
        let mut deleted = DeletedCursor::new(MailboxKey {
            scope: batch.scope.clone(),
            uniqueid: uniqueid.clone(),
        });
        let mut fate = if is_it { Fate::Delete } else { Fate::Gone };
        let mut unknown_uid = None;
        while fate == Fate::Delete
            && unknown_uid.is_none()
            && let Some(facing) = self.next_facing(&mut pair).await?
        {
            let Some(theirs) = facing.theirs.filter(|theirs| !theirs.is_expunged()) else {
                continue;
            };
            match self.was_ours(&mut deleted, &theirs).await {
                Ok(true) => {}
                Ok(false) => unknown_uid = Some(theirs.uid),
                Err(why) => {
                    self.end_side_by_side(pair).await?;
                    return Err(why);
                }
            }
        }
        self.end_side_by_side(pair).await?;
        if let Some(uid) = unknown_uid {
            let reused = self.knew_from(batch, uniqueid, uid).await?;
            fate = Fate::Revive { reused };
        }
        Ok(fate)
    }

    /// Whether a mailbox that was deleted here had this UID or a higher one.
    async fn knew_from(&mut self, batch: &Batch, uniqueid: &Text, uid: u32) -> Tried<bool> {
        let request = Request::Deleted {
            scope: batch.scope.clone(),
            uniqueid: uniqueid.clone(),
            above_uid: uid.saturating_sub(1),
            limit: 1,
        };
        match self.port.store(request).await? {
            Reply::Deleted(held) => Ok(!held.is_empty()),
            _ => Err(StoreError::Misuse {
                what: "an answer of another kind than asked for",
            }
            .into()),
        }
    }

    /// Brings a mailbox back with the mail that was never here; what was deleted here is expunged on the replica.
    /// [CS-SPLIT-13] [CS-SPLIT-14] [CS-SPLIT-15]
    async fn revive(&mut self, batch: &mut Batch, line: &MailboxLine, reused: bool) -> Tried<()> {
        let (Some(there), Some(uniqueid)) = (line.mboxname.clone(), line.uniqueid.clone()) else {
            return Ok(());
        };
        let name = self.revived_name(batch, &there, &uniqueid).await?;
        self.decide_on(&there, &uniqueid, "CS-SPLIT-13", Deed::ReviveMailbox);
        let mut line = line.clone();
        if name != there {
            self.rename_aside(batch, &uniqueid, &name, "CS-SPLIT-15").await?;
            line.mboxname = Some(name.clone());
        }
        if self.config.dry_run {
            return self.plan_revival(batch, &line, &there).await;
        }
        let mut mailbox = mailbox_of(&line);
        let had = batch
            .tombstones
            .get(&uniqueid)
            .map_or(0, |buried| buried.uidvalidity);
        mailbox.uidvalidity = mailbox.uidvalidity.max(had);
        if reused {
            mailbox.uidvalidity = mailbox.uidvalidity.saturating_add(1);
        }
        let key = mailbox.key();
        self.merge_mailbox(batch, Ours::Deleted(mailbox), Some(&name))
            .await?;
        self.notice(format!(
            "{there} was deleted here, but holds mail on the replica that was never here: it is back as {name}"
        ));
        if let Some(now) = self.local_mailbox(&key).await? {
            batch.tombstones.remove(&now.uniqueid);
            batch.locals.push(now);
            let lines = self.get_mailboxes(std::slice::from_ref(&name)).await?;
            batch.learn(lines)?;
        }
        Ok(())
    }

    /// The name under which a mailbox comes back: its own, unless that is another's by now, or its user went too.
    async fn revived_name(&mut self, batch: &Batch, there: &Text, uniqueid: &Text) -> Tried<Text> {
        if name::is_deleted(there) {
            return Ok(there.clone());
        }
        let tombstones: Vec<&Tombstone> = batch.tombstones.values().collect();
        if went_with_user(&tombstones, there, uniqueid) || self.is_deleted_user(there).await? {
            // It may be another person's mail: for administrators only.
            return self.free_deleted_name(batch, there).await;
        }
        if self.is_taken_here(batch, there, uniqueid).await? {
            return self.free_aside_name(batch, there, uniqueid).await;
        }
        Ok(there.clone())
    }

    /// Whether all that is left here of a mailbox's user is an INBOX that was deleted. One that came back as such has no
    /// tombstone any more.
    async fn is_deleted_user(&self, name: &Text) -> Tried<bool> {
        let Some(user) = name::owner(name) else {
            return Ok(false);
        };
        let inbox = name::inbox_of(&user);
        let locals = self.local_mailboxes(Select::User(user)).await?;
        let is_here = locals
            .iter()
            .any(|mailbox| mailbox.name == inbox && !mailbox.is_placeholder());
        Ok(!is_here && locals.iter().any(|mailbox| name::is_deleted_inbox(&mailbox.name)))
    }

    /// Fails when a mailbox is about to come back under the name of a user who went since that was chosen: it would be
    /// nobody's.
    pub(super) async fn check_user_is_here(&self, key: &MailboxKey, name: &Text) -> Tried<()> {
        let tombstones = self.local_tombstones(&key.scope).await?;
        let tombstones: Vec<&Tombstone> = tombstones.iter().collect();
        if went_with_user(&tombstones, name, &key.uniqueid) {
            return Err(Trouble::Item(format!(
                "{name}: its user was deleted here meanwhile; the next run goes on"
            )));
        }
        Ok(())
    }

    /// Removes what the replica has left of a user who was deleted here, once none of the mailboxes is left there:
    /// subscriptions, seen states, scripts, quotas. `had_some` tells whether it had any. [CS-SPLIT-17]
    pub(super) async fn remove_departed(
        &mut self,
        user: &Text,
        batch: &Batch,
        had_some: bool,
        reasons: &mut Vec<String>,
    ) -> Tried<()> {
        let inbox = name::inbox_of(user);
        let was_here = batch.tombstones.values().any(|t| t.name == inbox)
            || batch.locals.iter().any(|m| name::is_deleted_inbox(&m.name));
        let left = batch
            .remotes
            .values()
            .filter(|line| !is_placeholder(line))
            .filter_map(|line| line.mboxname.as_ref())
            // Cyrus before 3.6 removes deleted mailboxes with the user.
            .any(|name| !name::is_deleted(name) || !self.peer.takes_unknown_ids());
        if !was_here || left || !batch.failed.is_empty() {
            return Ok(());
        }
        if !had_some && !self.has_meta(user).await? {
            return Ok(());
        }
        if self.is_made_anew(&inbox).await? {
            self.notice(format!(
                "{user} was made anew here meanwhile, and is not removed on the replica"
            ));
            self.made_anew = true;
            return Ok(());
        }
        let command = Apply::Unuser {
            userid: Some(user.clone()),
            local: self.config.local_only,
        };
        let mut asked = Vec::new();
        self.apply(&mut asked, "APPLY UNUSER", user, command).await?;
        if !asked.is_empty() {
            self.notice(format!("{user} was deleted here, and is removed on the replica"));
        }
        self.settle_applied(asked, reasons).await
    }

    /// Whether an INBOX is here by now. UNUSER names nothing but a user, and another connection may have made the new one's
    /// INBOX there, with mail in it by now. [CS-SPLIT-17]
    async fn is_made_anew(&mut self, inbox: &Text) -> Tried<bool> {
        self.end_read().await?;
        let here = match self.local_mailboxes(Select::Names(vec![inbox.clone()])).await {
            Err(StoreError::NotFound { .. }) => Vec::new(),
            here => here?,
        };
        Ok(here
            .iter()
            .any(|mailbox| mailbox.name == *inbox && !mailbox.is_placeholder()))
    }

    /// Whether the replica has something of a user beside mailboxes: a run may have ended behind the last of them.
    async fn has_meta(&mut self, user: &Text) -> Tried<bool> {
        let get = Command::Get(Get::Meta(Some(user.clone())));
        let sent = self.wire.send("GET META", user, &get);
        let answer = self.wire.answer(sent).await?;
        Ok(answer.result.is_ok() && !answer.data.is_empty())
    }

    /// Deletes these mailboxes on the replica. What changed there since it was looked at is looked at again: mail may have
    /// come that was never here. [CS-SPLIT-44]
    pub(super) async fn delete_dead(&mut self, batch: &mut Batch, mut dead: Vec<(Text, Text)>) -> Tried<()> {
        for _ in 0..LOOKS_MAX {
            let changed = self.delete_there(batch, dead).await?;
            if changed.is_empty() {
                return Ok(());
            }
            let names: Vec<Text> = changed.iter().map(|(name, _)| name.clone()).collect();
            let ids: BTreeSet<Text> = changed.into_iter().map(|(_, id)| id).collect();
            batch.remotes.retain(|id, _| !ids.contains(id));
            let lines = self.get_mailboxes(&names).await?;
            batch.learn(lines)?;
            dead = self.judge_these(batch, Some(&ids)).await?;
        }
        for (name, _) in dead {
            let reason = format!("{name} changes on the replica all the time; the next run goes on");
            batch.fail(&name, reason);
        }
        Ok(())
    }

    /// Deletes these mailboxes on the replica; answers those that have changed since they were looked at.
    pub(super) async fn delete_there(
        &mut self,
        batch: &mut Batch,
        dead: Vec<(Text, Text)>,
    ) -> Tried<Vec<(Text, Text)>> {
        let mut changed = Vec::new();
        let mut asked = Vec::new();
        for (name, uniqueid) in dead {
            if self.config.dry_run {
                self.plan_item(&batch.scope, &name, PlannedWhat::DeleteMailbox);
                batch.remotes.remove(&uniqueid);
                continue;
            }
            asked.push((self.send_unmailbox(&name), name, uniqueid));
            self.wire.room().await?;
        }
        for (sent, name, uniqueid) in asked {
            match self.wire.answer(sent).await?.result {
                Err(refusal) if refusal.code == Code::SyncChanged => changed.push((name, uniqueid)),
                Err(refusal) if refusal.code != Code::MailboxNonexistent => batch.fail(&name, refusal.text),
                _ => {
                    self.notice(format!("deleted {name} on the replica"));
                    batch.remotes.remove(&uniqueid);
                }
            }
        }
        Ok(changed)
    }
}

/// The name of what gave way here, when the replica has it unused and as it was here then or before. A rename there since
/// would have raised its modseq.
fn left_over<'a>(line: &'a MailboxLine, tombstone: &Tombstone) -> Option<&'a Text> {
    let name = line.mboxname.as_ref().filter(|_| line.last_uid == Some(0))?;
    let is_older = line.highestmodseq.unwrap_or(0) < tombstone.highestmodseq;
    (is_older || same_name(name, &tombstone.name)).then_some(name)
}

/// Whether the replica's INBOX has the identity that the one here had before it took over another one.
fn is_swapped(batch: &Batch, name: &Text, uniqueid: &Text) -> bool {
    let was_joined = |tombstone: &Tombstone| tombstone.name == name::former_inbox(name);
    name::is_inbox(name)
        && batch.tombstones.get(uniqueid).is_some_and(was_joined)
        && batch
            .locals
            .iter()
            .any(|mailbox| mailbox.name == *name && !mailbox.is_placeholder())
}

/// Whether the mailbox was deleted here with its user, or before. An INBOX that gave way was deleted by nobody.
fn went_with_user(tombstones: &[&Tombstone], name: &Text, uniqueid: &Text) -> bool {
    let Some(user) = name::owner(name).filter(|_| !name::is_deleted(name)) else {
        return false;
    };
    let inbox = name::inbox_of(&user);
    let buried = tombstones.iter().find(|t| t.uniqueid == *uniqueid);
    let buried_at = buried.map(|t| t.deleted_at);
    tombstones
        .iter()
        .any(|t| t.name == inbox && !t.gave_way && Some(t.deleted_at) >= buried_at)
}

/// A mailbox with the replica's values and nothing in it.
pub(super) fn mailbox_of(line: &MailboxLine) -> Mailbox {
    Mailbox {
        name: line.mboxname.clone().unwrap_or_default(),
        uniqueid: line.uniqueid.clone().unwrap_or_default(),
        jmapid: line.jmapid.clone(),
        mbtype: line.mboxtype.clone().unwrap_or_default(),
        partition: line.partition.clone().flatten().unwrap_or_default(),
        acl: line.acl.clone().flatten().unwrap_or_default(),
        options: line.options.unwrap_or_default(),
        quotaroot: line.quotaroot.clone(),
        uidvalidity: line.uidvalidity.unwrap_or(1),
        last_uid: 0,
        highestmodseq: line.highestmodseq.unwrap_or(0),
        recentuid: line.recentuid.unwrap_or(0),
        recenttime: line.recenttime.unwrap_or(0),
        last_appenddate: line.last_appenddate.unwrap_or(0),
        pop3_last_login: line.pop3_last_login.unwrap_or(0),
        pop3_show_after: line.pop3_show_after.unwrap_or(0),
        xconvmodseq: line.xconvmodseq,
        raclmodseq: line.raclmodseq.unwrap_or(0),
        createdmodseq: line.createdmodseq.unwrap_or(0),
        foldermodseq: line.foldermodseq.unwrap_or(0),
        deletedmodseq: 0,
        usergroups: line.usergroups.clone(),
        compact_emailids: line.compact_emailids,
        version: line.version,
        annotations: line.annotations.clone().unwrap_or_default(),
        userflags: line.userflags.clone().unwrap_or_default(),
        crc: SyncCrc::EMPTY,
    }
}
