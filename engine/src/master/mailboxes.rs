//! Single mailboxes by name, and those of nobody. [CS-MASTER-51]

use std::collections::{BTreeMap, BTreeSet};

use protocol::Text;

use super::folders::Batch;
use super::run::{Run, Tried, Trouble};
use crate::model::{QuotaLimits, ServerAnnotation};
use crate::name::Scope;
use crate::ticket::{Select, StoreError};

/// What was told of nobody's quota roots and of the server.
#[derive(Default)]
pub(super) struct ToldShared {
    quotas: Vec<QuotaLimits>,
    annotations: Vec<ServerAnnotation>,
}

impl Run {
    /// Makes these mailboxes of one scope equal; each that fails is reported by its name. Once more when any of them went,
    /// was moved or came back here meanwhile. [CS-MASTER-71]
    pub(super) async fn do_group(&mut self, scope: Scope, names: Vec<Text>) -> Tried<()> {
        let mut failed = BTreeMap::new();
        for _ in 0..super::user::TELLS_MAX {
            failed = self.failed_of_group(scope.clone(), names.clone()).await?;
            let named = self.named.iter().flat_map(BTreeMap::keys);
            let ids = named.cloned().collect();
            if !self.has_moved(Select::Uniqueids(ids)).await? {
                break;
            }
        }
        for (name, reason) in failed {
            self.fail(name.to_string(), reason);
        }
        Ok(())
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
        self.note_names(&batch);
        Ok(std::mem::take(&mut batch.failed))
    }

    /// All mailboxes of nobody, their quotas, and the server's own annotations.
    pub(super) async fn do_shared(&mut self) -> Tried<()> {
        for _ in 1..super::user::TELLS_MAX {
            let result = self.do_shared_once().await;
            if matches!(result, Err(Trouble::Halt(_))) || !self.has_moved(Select::Shared).await? {
                return result;
            }
        }
        self.do_shared_once().await
    }

    /// Keeps under which names mailboxes were gone by, and on which partitions, and which were gone.
    pub(super) fn note_names(&mut self, batch: &Batch) {
        let real = batch.locals.iter().filter(|mailbox| !mailbox.is_placeholder());
        let names = real.map(|mailbox| {
            let place = (mailbox.name.clone(), mailbox.partition.clone());
            (mailbox.uniqueid.clone(), Some(place))
        });
        let gone = batch.tombstones.keys().map(|id| (id.clone(), None));
        self.named = (!self.config.dry_run).then(|| gone.chain(names).collect());
    }

    /// Whether any of these is gone, or has another name or partition by now, or is here again: another master of this store
    /// may have told so before what was told here. A partition is told by RENAME, or by what makes the mailbox, and by
    /// nothing else.
    /// [CS-MASTER-71]
    pub(super) async fn has_moved(&mut self, select: Select) -> Tried<bool> {
        let Some(named) = self.named.take().filter(|named| !named.is_empty()) else {
            return Ok(false);
        };
        let here = match self.local_mailboxes(select).await {
            Err(StoreError::NotFound { .. }) => Vec::new(),
            here => here?,
        };
        let here = here.into_iter().map(|m| (m.uniqueid, (m.name, m.partition)));
        let here: BTreeMap<Text, (Text, Text)> = here.collect();
        Ok(named.iter().any(|(id, place)| here.get(id) != place.as_ref()))
    }

    async fn do_shared_once(&mut self) -> Tried<()> {
        match self.begin_read(&Scope::Shared).await {
            Err(StoreError::NotFound { .. }) => return Ok(()),
            other => other?,
        }
        let result = self.sync_shared().await;
        if !matches!(result, Err(Trouble::Halt(_))) {
            self.end_read().await?;
        }
        let again = match (&result, self.told_shared.take()) {
            (Err(Trouble::Halt(_)), _) | (_, None) => Ok(()),
            (_, Some(told)) => self.tell_shared_again(told).await,
        };
        result.and(again)
    }

    /// What has changed here since it was told is told once more, as of a user. [CS-MASTER-66]
    async fn tell_shared_again(&mut self, mut told: ToldShared) -> Tried<()> {
        for _ in 0..super::user::TELLS_MAX {
            let now = ToldShared {
                quotas: self.local_quotas(&Scope::Shared).await?,
                annotations: self.local_server_annotations().await?,
            };
            let roots = super::user::differing(&told.quotas, &now.quotas);
            let is_noted = now.annotations == told.annotations;
            if roots.is_empty() && is_noted {
                return Ok(());
            }
            for root in &roots {
                self.do_quota(root).await?;
            }
            if !is_noted {
                self.do_server_annotations().await?;
            }
            told = now;
        }
        Ok(())
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
            self.note_names(&batch);
            reasons.extend(std::mem::take(&mut batch.failed).into_values());
        }
        let quotas = self.sync_shared_quotas(&mut reasons).await?;
        let annotations = self.sync_server_annotations(&mut reasons).await?;
        self.told_shared = (!self.config.dry_run).then_some(ToldShared { quotas, annotations });
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
