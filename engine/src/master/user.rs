//! One user: folders, then quotas, subscriptions, scripts and seen states. [CS-MASTER-1] [CS-MASTER-2]

use protocol::Text;
use protocol::command::{Command, Get};
use protocol::response::Code;

use super::ahead::Listing;
use super::folders::{Batch, mailbox_lines};
use super::meta::RemoteMeta;
use super::run::{Run, Tried, Trouble};
use super::wire::{Answer, Sent};
use crate::name::{self, Scope};
use crate::ticket::{Select, StoreError};

/// Reasons named in one failure; the rest is counted.
const REASONS_MAX: usize = 5;

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

    /// Makes the replica's copy of a user equal; `asked` is the `GET USER` that was sent ahead.
    pub(super) async fn do_user(&mut self, user: &Text, asked: AskedUser) -> Tried<()> {
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
        result
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
        if !exists && tombstones.is_empty() {
            self.absent(user);
            return Ok(());
        }
        let remotes = mailbox_lines(&mut answer)?;
        let is_sieve_box = |name: &Text| name::is_sieve(name) && !name::is_deleted(name);
        let has_sieve_box = remotes
            .iter()
            .any(|line| line.mboxname.as_ref().is_some_and(is_sieve_box));
        let had_some = remotes
            .iter()
            .any(|line| line.mboxname.as_ref().is_some_and(|name| !name::is_deleted(name)));
        let mut batch = Batch::new(scope.clone(), locals, remotes, tombstones)?;
        self.sync_folders(&mut batch).await?;
        let mut reasons: Vec<String> = batch.failed.values().cloned().collect();
        if exists {
            let theirs = RemoteMeta {
                has_sieve_box,
                ..RemoteMeta::from(answer)
            };
            self.sync_quotas(&scope, &theirs.quotas, &mut reasons).await?;
            self.sync_meta(user, &scope, theirs, &mut reasons).await?;
        } else {
            self.remove_departed(user, &batch, had_some, &mut reasons).await?;
        }
        match summary(&reasons) {
            None => Ok(()),
            Some(text) => Err(Trouble::Item(text)),
        }
    }
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
