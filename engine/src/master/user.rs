//! One user: folders, then quotas, subscriptions, scripts and seen states. [CS-MASTER-1] [CS-MASTER-2]

use std::collections::BTreeSet;

use protocol::Text;
use protocol::command::{Command, Get};
use protocol::response::Code;

use super::ahead::Listing;
use super::folders::{Batch, is_placeholder, mailbox_lines};
use super::meta::RemoteMeta;
use super::run::{Run, Tried, Trouble};
use super::wire::{Answer, Sent};
use crate::model::{QuotaLimits, UserMeta};
use crate::name::{self, Scope};
use crate::ticket::{Select, StoreError};

/// Reasons named in one failure; the rest is counted.
const REASONS_MAX: usize = 5;

/// Times that what a user has beside mailboxes is told in one run, when it changes all the time.
pub(super) const TELLS_MAX: usize = 4;

/// What was told of a user beside mailboxes.
#[derive(PartialEq)]
pub(super) struct Told {
    meta: UserMeta,
    quotas: Vec<QuotaLimits>,
}

/// A user who was asked for, and the place that the answer takes.
pub(super) struct AskedUser {
    sent: Sent,
    listing: Listing,
}

impl Run {
    /// Asks the replica for a user.
    pub(super) fn ask_user(&mut self, user: &Text) -> AskedUser {
        let get = Command::Get(Get::User(Some(user.clone())));
        AskedUser {
            sent: self.wire.send("GET USER", user, &get),
            listing: self.ahead.ask(),
        }
    }

    /// Makes the replica's copy of a user equal; `asked` is the `GET USER` that was sent ahead. Once more when mailboxes
    /// went, were renamed or came back here meanwhile. [CS-MASTER-71]
    pub(super) async fn do_user(&mut self, user: &Text, mut asked: AskedUser) -> Tried<()> {
        for _ in 1..TELLS_MAX {
            let result = self.do_user_once(user, asked).await;
            if matches!(result, Err(Trouble::Halt(_))) {
                return result;
            }
            // What the former one left is not the new one's. [CS-MASTER-68]
            let made_anew = std::mem::take(&mut self.made_anew);
            if !self.has_moved(Select::User(user.clone())).await? && !made_anew {
                return result;
            }
            asked = self.ask_user(user);
        }
        self.do_user_once(user, asked).await
    }

    async fn do_user_once(&mut self, user: &Text, asked: AskedUser) -> Tried<()> {
        let AskedUser { sent, mut listing } = asked;
        let answer = self.wire.answer(sent).await?;
        // What it told is needed until the user is done, when this is dropped.
        listing.answered(answer.data.len());
        if self.is_unchanged(user, &answer).await {
            return Ok(());
        }
        let scope = Scope::User(user.clone());
        match self.begin_read(&scope).await {
            Err(StoreError::NotFound { .. }) => {
                self.absent(user);
                return Ok(());
            }
            other => other?,
        }
        let result = self.sync_user(user, scope, answer).await;
        if !matches!(result, Err(Trouble::Halt(_))) {
            self.end_read().await?;
        }
        let again = match (&result, self.told.take()) {
            (Err(Trouble::Halt(_)), _) | (_, None) => Ok(()),
            (_, Some(told)) => self.tell_again(user, told).await,
        };
        result.and(again)
    }

    /// What a user has beside mailboxes is told without a word of when it was so, and another master of this store may
    /// have told something newer meanwhile: what has changed here since is told once more. [CS-MASTER-66]
    async fn tell_again(&mut self, user: &Text, mut told: Told) -> Tried<()> {
        let scope = Scope::User(user.clone());
        for _ in 0..TELLS_MAX {
            let now = Told {
                meta: self.local_meta(user).await?,
                quotas: self.local_quotas(&scope).await?,
            };
            if now == told {
                return Ok(());
            }
            for root in &differing(&told.quotas, &now.quotas) {
                self.do_quota(root).await?;
            }
            if now.meta != told.meta {
                self.do_meta(user).await?;
            }
            told = now;
        }
        Ok(())
    }

    /// Whether there was another user of this name here.
    fn was_removed(&self, batch: &Batch, inbox: &Text) -> bool {
        self.departs
            || batch
                .tombstones
                .values()
                .any(|tombstone| tombstone.name == *inbox)
    }

    pub(super) fn absent(&self, user: &Text) {
        self.notice(format!(
            "{user} does not exist here; the replica's copy, if any, is left as it is"
        ));
    }

    async fn sync_user(&mut self, user: &Text, scope: Scope, mut answer: Answer) -> Tried<()> {
        if answer
            .result
            .as_ref()
            .is_err_and(|refusal| refusal.code == Code::InvalidUser)
        {
            answer.result = Ok(Text::EMPTY);
        }
        let locals = self.local_mailboxes(Select::User(user.clone())).await?;
        let tombstones = self.local_tombstones(&scope).await?;
        let inbox = name::inbox_of(user);
        let exists = locals
            .iter()
            .any(|mailbox| mailbox.name == inbox && !mailbox.is_placeholder());
        // What came back as a deleted mailbox has no tombstone any more. [CS-SPLIT-17]
        let had_inbox = || locals.iter().any(|mailbox| name::is_deleted_inbox(&mailbox.name));
        if !exists && tombstones.is_empty() && !had_inbox() {
            self.absent(user);
            return Ok(());
        }
        let remotes = mailbox_lines(&mut answer)?;
        let is_sieve_box = |name: &Text| name::is_sieve(name) && !name::is_deleted(name);
        let has_sieve_box = remotes
            .iter()
            .any(|line| line.mboxname.as_ref().is_some_and(is_sieve_box));
        // A log may have told of the mailboxes one by one, before it tells of the user.
        let had_some = self.departs
            || remotes
                .iter()
                .any(|line| line.mboxname.as_ref().is_some_and(|name| !name::is_deleted(name)));
        let had_real = remotes.iter().any(|line| !is_placeholder(line));
        let mut batch = Batch::new(scope.clone(), locals, remotes, tombstones)?;
        self.sync_folders(&mut batch).await?;
        self.note_names(&batch);
        let mut reasons: Vec<String> = batch.failed.values().cloned().collect();
        if exists {
            let mut theirs = RemoteMeta::from(answer);
            // Of one without mailboxes nothing was told, and what a removed user left would stay. [CS-MASTER-68]
            if !had_real && self.was_removed(&batch, &inbox) {
                let quotas = std::mem::take(&mut theirs.quotas);
                theirs = self.meta_there(user).await?;
                theirs.quotas = quotas;
            }
            theirs.has_sieve_box = has_sieve_box;
            let quotas = self.local_quotas(&scope).await?;
            self.match_quotas(&scope, quotas.clone(), &theirs.quotas, &mut reasons)
                .await?;
            let meta = self.sync_meta(user, &scope, theirs, &mut reasons).await?;
            self.told = (!self.config.dry_run).then_some(Told { meta, quotas });
        } else {
            let has_some = had_some || !answer.data.is_empty();
            self.remove_departed(user, &batch, has_some, &mut reasons).await?;
        }
        match summary(&reasons) {
            None => Ok(()),
            Some(text) => Err(Trouble::Item(text)),
        }
    }
}

/// Roots whose limits are not the same in both.
pub(super) fn differing(told: &[QuotaLimits], now: &[QuotaLimits]) -> BTreeSet<Text> {
    let differs = |quota: &&QuotaLimits| !told.contains(quota) || !now.contains(quota);
    let both = told.iter().chain(now).filter(differs);
    both.map(|quota| quota.root.clone()).collect()
}

/// Several reasons as one text; `None` for none.
pub(super) fn summary(reasons: &[String]) -> Option<String> {
    if reasons.is_empty() {
        return None;
    }
    let mut text = reasons[..reasons.len().min(REASONS_MAX)].join("; ");
    if reasons.len() > REASONS_MAX {
        text.push_str(&format!("; and {} more", reasons.len() - REASONS_MAX));
    }
    Some(text)
}
