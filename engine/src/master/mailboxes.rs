//! Single mailboxes by name, and those of nobody. [CS-MASTER-51]

use std::collections::{BTreeMap, BTreeSet};

use protocol::Text;

use super::folders::Batch;
use super::run::{Run, Tried, Trouble};
use crate::name::Scope;
use crate::ticket::{Select, StoreError};

impl Run {
    /// Makes these mailboxes of one scope equal; each that fails is reported by its name.
    pub(super) async fn do_group(&mut self, scope: Scope, names: Vec<Text>) -> Tried<()> {
        self.failed_of_group(scope, names).await.map(|failed| {
            failed
                .into_iter()
                .for_each(|(name, reason)| self.fail(name.to_string(), reason));
        })
    }

    /// The same; answers what failed, for a task of its own.
    pub(super) async fn try_group(&mut self, scope: Scope, names: Vec<Text>) -> Tried<Vec<String>> {
        let failed = self.failed_of_group(scope, names).await?;
        Ok(failed.into_values().collect())
    }

    async fn failed_of_group(&mut self, scope: Scope, names: Vec<Text>) -> Tried<BTreeMap<Text, String>> {
        match self.begin_read(&scope).await {
            Err(StoreError::NotFound { .. }) => {
                names
                    .iter()
                    .for_each(|name| self.notice(format!("{name} does not exist here")));
                return Ok(BTreeMap::new());
            }
            other => other?,
        }
        let result = self.sync_group(scope, names).await;
        if !matches!(result, Err(Trouble::Halt(_))) {
            self.end_read().await?;
        }
        result
    }

    async fn sync_group(&mut self, scope: Scope, names: Vec<Text>) -> Tried<BTreeMap<Text, String>> {
        let mut wanted = names.clone();
        // Parents are created before their children.
        wanted.sort();
        wanted.dedup();
        let locals = self.local_mailboxes(Select::Names(wanted.clone())).await?;
        let tombstones = self.local_tombstones(&scope).await?;
        for name in &wanted {
            let known = locals.iter().any(|m| m.name == *name) || tombstones.iter().any(|t| t.name == *name);
            if !known {
                self.notice(format!("{name} does not exist here"));
            }
        }
        let remotes = self.get_mailboxes(&wanted).await?;
        let mut batch = Batch::new(scope, locals, remotes, tombstones)?;
        self.sync_folders(&mut batch).await?;
        Ok(std::mem::take(&mut batch.failed))
    }

    /// All mailboxes of nobody, their quotas, and the server's own annotations.
    pub(super) async fn do_shared(&mut self) -> Tried<()> {
        match self.begin_read(&Scope::Shared).await {
            Err(StoreError::NotFound { .. }) => return Ok(()),
            other => other?,
        }
        let result = self.sync_shared().await;
        if !matches!(result, Err(Trouble::Halt(_))) {
            self.end_read().await?;
        }
        result
    }

    async fn sync_shared(&mut self) -> Tried<()> {
        let locals = self.local_mailboxes(Select::Shared).await?;
        let tombstones = self.local_tombstones(&Scope::Shared).await?;
        let mut names: BTreeSet<Text> = locals.iter().map(|mailbox| mailbox.name.clone()).collect();
        names.extend(tombstones.iter().map(|tombstone| tombstone.name.clone()));
        let names: Vec<Text> = names.into_iter().collect();
        let mut reasons = Vec::new();
        if !names.is_empty() {
            let remotes = self.get_mailboxes(&names).await?;
            let mut batch = Batch::new(Scope::Shared, locals, remotes, tombstones)?;
            self.sync_folders(&mut batch).await?;
            reasons.extend(std::mem::take(&mut batch.failed).into_values());
        }
        self.sync_shared_quotas(&mut reasons).await?;
        self.sync_server_annotations(&mut reasons).await?;
        match super::user::summary(&reasons) {
            None => Ok(()),
            Some(text) => Err(Trouble::Item(text)),
        }
    }
}

/// Names by whose they are.
pub(super) fn by_scope(names: Vec<Text>) -> BTreeMap<Scope, Vec<Text>> {
    let mut groups: BTreeMap<Scope, Vec<Text>> = BTreeMap::new();
    for name in names {
        groups.entry(Scope::of(&name)).or_default().push(name);
    }
    groups
}
