//! The folder phase: a batch of local mailboxes against what the replica has. [CS-MASTER-9]

use std::collections::{BTreeMap, BTreeSet};

use protocol::command::{Command, Get};
use protocol::response::{Code, Data};
use protocol::{MailboxLine, Record, Text};

use super::decision::Deed;
use super::run::{Run, Tried, Trouble};
use super::wire::Answer;
use crate::model::{Mailbox, Tombstone};
use crate::name::{self, Scope};
use crate::ticket::Select;

/// Names in one `GET MAILBOXES`.
pub(super) const NAMES_AT_ONCE: usize = 1000;

/// Mailboxes of one scope that are made equal together.
pub(super) struct Batch {
    /// Whose.
    pub(super) scope: Scope,
    /// Ours, parents before children.
    pub(super) locals: Vec<Mailbox>,
    /// The replica's, by identity.
    pub(super) remotes: BTreeMap<Text, MailboxLine>,
    /// Ours that were deleted, by identity.
    pub(super) tombstones: BTreeMap<Text, Tombstone>,
    /// What went wrong, by mailbox name.
    pub(super) failed: BTreeMap<Text, String>,
    /// Names of mailboxes of which a dry run has told all already.
    pub(super) planned: BTreeSet<Text>,
    /// Records of the replica's, by identity of their mailbox, whose messages have another UID here since a full compare:
    /// expunged, as the next update tells of them. [CS-MASTER-50]
    pub(super) moved: BTreeMap<Text, Vec<Record>>,
}

impl Batch {
    /// A batch; fails when the replica's lines lack what identifies them.
    pub(super) fn new(
        scope: Scope,
        locals: Vec<Mailbox>,
        remotes: Vec<MailboxLine>,
        tombstones: Vec<Tombstone>,
    ) -> Tried<Self> {
        let mut batch = Batch {
            scope,
            locals,
            remotes: BTreeMap::new(),
            tombstones: tombstones.into_iter().map(|t| (t.uniqueid.clone(), t)).collect(),
            failed: BTreeMap::new(),
            planned: BTreeSet::new(),
            moved: BTreeMap::new(),
        };
        batch.learn(remotes)?;
        Ok(batch)
    }

    /// Takes newer lines of the replica. Who had such a name before has it no more: commands go by names. [CS-SPLIT-48]
    pub(super) fn learn(&mut self, lines: Vec<MailboxLine>) -> Tried<()> {
        let named: BTreeMap<&Text, &Text> = lines
            .iter()
            .filter_map(|line| line.mboxname.as_ref().zip(line.uniqueid.as_ref()))
            .collect();
        self.remotes.retain(|id, line| {
            let now = line.mboxname.as_ref().and_then(|name| named.get(name));
            now.is_none_or(|now| *now == id)
        });
        for line in lines {
            let (Some(uniqueid), Some(_)) = (&line.uniqueid, &line.mboxname) else {
                return Err(Trouble::Item(
                    "the replica listed a mailbox without UNIQUEID or MBOXNAME".to_owned(),
                ));
            };
            self.remotes.insert(uniqueid.clone(), line);
        }
        Ok(())
    }

    /// Modseq and UID up to which the replica has the mailbox.
    pub(super) fn base_of(&self, mailbox: &Mailbox) -> (u64, u32) {
        match self.remotes.get(&mailbox.uniqueid) {
            Some(line) if !is_placeholder(line) => {
                (line.highestmodseq.unwrap_or(0), line.last_uid.unwrap_or(0))
            }
            _ => (0, 0),
        }
    }

    /// Notes a failure; the first of a mailbox counts.
    pub(super) fn fail(&mut self, name: &Text, reason: String) {
        self.failed.entry(name.clone()).or_insert(reason);
    }
}

/// Whether two names are the same mailbox's: Cyrus tells the hexadecimal time behind a deleted mailbox's name without
/// its leading zeros. [CS-VER-24]
pub(super) fn same_name(theirs: &Text, ours: &Text) -> bool {
    if theirs == ours {
        return true;
    }
    let split = |name: &Text| {
        let at = name
            .iter()
            .rposition(|&b| b == b'.')
            .filter(|_| name::is_deleted(name))?;
        let digits = name[at + 1..]
            .iter()
            .position(|&b| b != b'0')
            .map_or(name.len(), |zeros| at + 1 + zeros);
        Some((Text::copy_from(&name[..at]), Text::copy_from(&name[digits..])))
    };
    split(theirs).is_some_and(|there| split(ours) == Some(there))
}

/// Whether a replica's line is that of an intermediate.
pub(super) fn is_placeholder(line: &MailboxLine) -> bool {
    line.mboxtype
        .as_ref()
        .is_some_and(|letters| letters.contains(&b'i'))
}

/// The mailbox lines of an answer; a mailbox that does not exist is an empty answer.
pub(super) fn mailbox_lines(answer: &mut Answer) -> Tried<Vec<MailboxLine>> {
    match &answer.result {
        Err(refusal) if refusal.code != Code::MailboxNonexistent => return Err(refusal.clone().into()),
        _ => {}
    }
    let mut lines = Vec::new();
    answer.data.retain_mut(|data| match data {
        Data::Mailbox(line) => {
            lines.push(std::mem::take(&mut **line));
            false
        }
        _ => true,
    });
    Ok(lines)
}

impl Run {
    /// Makes the replica's mailboxes equal to the batch's; failures of single mailboxes are noted in the batch.
    pub(super) async fn sync_folders(&mut self, batch: &mut Batch) -> Tried<()> {
        if !self.peer.sieve_mailbox {
            batch.locals.retain(|mailbox| !is_sieve_box(mailbox));
        }
        self.find_elsewhere(batch).await?;
        self.heed_what_gave_way(batch).await?;
        let had_some = !batch.remotes.is_empty();
        self.delete_remotes(batch).await?;
        self.clear_names(batch).await?;
        let renamings = self.renamings(batch)?;
        self.rename_remotes(batch).await?;
        self.note_renamed(batch, &renamings);
        self.raise_locals(batch).await?;
        let todo = self.compare(batch);
        if self.config.dry_run {
            return self.plan_updates(batch, todo).await;
        }
        if had_some {
            self.reserve(batch, &todo.send).await?;
        }
        let made = self.makes(batch, &todo);
        self.update_all(batch, todo).await?;
        self.look_at_made(batch, &made).await
    }

    /// Asks for mailboxes by name, in blocks.
    pub(super) async fn get_mailboxes(&mut self, names: &[Text]) -> Tried<Vec<MailboxLine>> {
        let mut asked = Vec::new();
        for block in names.chunks(NAMES_AT_ONCE) {
            let get = Command::Get(Get::Mailboxes(Some(block.to_vec())));
            asked.push(self.wire.send("GET MAILBOXES", &Text::EMPTY, &get));
            self.wire.room().await?;
        }
        let mut lines = Vec::new();
        for sent in asked {
            lines.append(&mut mailbox_lines(&mut self.wire.answer(sent).await?)?);
        }
        Ok(lines)
    }

    /// Asks for those of our identities that were not among the names listed: the replica may have them under a name
    /// that we gave up, another user's among them.
    pub(super) async fn find_elsewhere(&mut self, batch: &mut Batch) -> Tried<()> {
        if !self.peer.takes_unknown_ids() {
            return Ok(());
        }
        let lacking: Vec<Text> = batch
            .locals
            .iter()
            .filter(|mailbox| !mailbox.is_placeholder() && !batch.remotes.contains_key(&mailbox.uniqueid))
            .map(|mailbox| mailbox.uniqueid.clone())
            .collect();
        let mut asked = Vec::new();
        for block in lacking.chunks(NAMES_AT_ONCE) {
            let get = Command::Get(Get::Uniqueids(Some(block.to_vec())));
            asked.push(self.wire.send("GET UNIQUEIDS", &Text::EMPTY, &get));
            self.wire.room().await?;
        }
        for sent in asked {
            let lines = mailbox_lines(&mut self.wire.answer(sent).await?)?;
            batch.learn(lines)?;
        }
        Ok(())
    }

    /// Deletes what we know to be deleted, and only that; adds to the batch what lives here under another name, or comes
    /// back. [CS-MASTER-11] [CS-SPLIT-10]
    async fn delete_remotes(&mut self, batch: &mut Batch) -> Tried<()> {
        let dead = self.judge_buried(batch).await?;
        let ours: BTreeSet<&Text> = batch.locals.iter().map(|mailbox| &mailbox.uniqueid).collect();
        let mut unknown = Vec::new();
        for (uniqueid, line) in batch.remotes.iter().filter(|(id, _)| !ours.contains(id)) {
            let Some(name) = line.mboxname.clone() else {
                continue;
            };
            if !batch.tombstones.contains_key(uniqueid)
                && !is_placeholder(line)
                && (self.peer.sieve_mailbox || !name::is_sieve(&name))
            {
                unknown.push((name, uniqueid.clone()));
            }
        }
        self.adopt_renamed(batch, unknown).await?;
        self.delete_dead(batch, dead).await
    }

    /// The replica's mailboxes that are not in the batch: some live here under another name.
    async fn adopt_renamed(&mut self, batch: &mut Batch, unknown: Vec<(Text, Text)>) -> Tried<()> {
        if unknown.is_empty() {
            return Ok(());
        }
        let ids = unknown.iter().map(|(_, id)| id.clone()).collect();
        let mut alive: BTreeMap<Text, Mailbox> = self
            .local_mailboxes(Select::Uniqueids(ids))
            .await?
            .into_iter()
            .map(|m| (m.uniqueid.clone(), m))
            .collect();
        for (name, uniqueid) in unknown {
            match alive.remove(&uniqueid) {
                Some(mailbox) if Scope::of(&mailbox.name) == batch.scope => batch.locals.push(mailbox),
                Some(mailbox) => {
                    self.notice(format!(
                        "{name} on the replica is {} here, and moves with its owner",
                        mailbox.name
                    ));
                }
                // It has to make way, and is told of then.
                None if batch.locals.iter().any(|m| m.name == name && !m.is_placeholder()) => {}
                None => {
                    self.decide_on(&name, &uniqueid, "CS-SPLIT-16", Deed::LeaveMailbox);
                    self.notice(format!("{name} exists only on the replica; it is left as it is"));
                }
            }
        }
        batch
            .locals
            .sort_by(|a, b| (name::is_deleted(&a.name), &a.name).cmp(&(name::is_deleted(&b.name), &b.name)));
        Ok(())
    }
}

/// Whether it is a mailbox of scripts.
pub(super) fn is_sieve_box(mailbox: &Mailbox) -> bool {
    mailbox.mbtype.contains(&b'f') || name::is_sieve(&mailbox.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_the_mailbox_told_last() {
        let line = |id: &str, name: &str| MailboxLine {
            uniqueid: Some(Text::from(id)),
            mboxname: Some(Text::from(name)),
            ..MailboxLine::default()
        };
        let scope = Scope::User(Text::from("x"));
        let listing = vec![line("1", "user.x.a"), line("2", "user.x.b")];
        let Ok(mut batch) = Batch::new(scope, Vec::new(), listing, Vec::new()) else {
            panic!("lines with all that identifies them");
        };
        let names = |batch: &Batch| -> Vec<String> {
            let lines = batch.remotes.iter();
            lines
                .map(|(id, line)| format!("{id} {}", line.mboxname.clone().unwrap_or_default()))
                .collect()
        };
        assert!(
            batch
                .learn(vec![line("3", "user.x.a"), line("2", "user.x.b")])
                .is_ok()
        );
        assert_eq!(names(&batch), ["2 user.x.b", "3 user.x.a"]);
        assert!(batch.learn(vec![line("3", "user.x.b")]).is_ok());
        assert_eq!(names(&batch), ["3 user.x.b"]);
    }

    #[test]
    fn deleted_names_may_lose_zeros() {
        let same = |a: &str, b: &str| same_name(&Text::from(a), &Text::from(b));
        assert!(same("DELETED.user.x.a.5B0", "DELETED.user.x.a.000005B0"));
        assert!(same("user.x", "user.x"));
        assert!(!same("user.x.5B0", "user.x.000005B0"));
        assert!(!same("DELETED.user.x.a.5B0", "DELETED.user.x.b.5B0"));
        assert!(!same("DELETED.user.x.a.5B0", "DELETED.user.x.a.5B00"));
    }
}
