//! Comparing what belongs to nobody: shared mailboxes, their quotas, the server's annotations. [CS-SPLIT-62]
//!
//! The protocol has no listing of them: only what this side has, had or names by its unique id can be asked for.

use std::collections::{BTreeMap, BTreeSet};

use protocol::command::{Command, Get};
use protocol::response::Data;
use protocol::{MailboxLine, Text};

use super::compare::{Differs, Kind};
use super::compare_fields::{FieldDiffers, differing_quota};
use super::folders::mailbox_lines;
use super::run::{Run, Tried, Trouble};
use crate::model::Mailbox;
use crate::name::Scope;
use crate::ticket::{Select, StoreError};

/// Unique ids asked for by one command.
const IDS_AT_ONCE: usize = 512;

impl Run {
    /// Compares what belongs to nobody.
    pub(super) async fn compare_shared(&mut self) -> Tried<()> {
        let is_here = match self.begin_read(&Scope::Shared).await {
            Err(StoreError::NotFound { .. }) => false,
            other => {
                other?;
                true
            }
        };
        let result = self.compare_shared_with_replica().await;
        if is_here && !matches!(result, Err(Trouble::Halt(_))) {
            self.end_read().await?;
        }
        result
    }

    async fn compare_shared_with_replica(&mut self) -> Tried<()> {
        let nobody = Text::EMPTY;
        let locals = self.local_mailboxes(Select::Shared).await?;
        let lines = self.shared_there(&locals).await?;
        let mut roots: BTreeSet<Text> = lines
            .iter()
            .filter_map(|line| line.quotaroot.clone())
            .filter(|root| !root.is_empty() && Scope::of(root) == Scope::Shared)
            .collect();
        self.compare_mailboxes(&nobody, locals, lines).await?;
        let ours = self.local_quotas(&Scope::Shared).await?;
        roots.extend(ours.iter().map(|limits| limits.root.clone()));
        for root in roots {
            let limits = ours.iter().find(|limits| limits.root == root);
            let there = self.quota_there(&root).await?;
            let how = match (limits, there) {
                (Some(limits), Some(there)) => {
                    let fields = differing_quota(limits, &there);
                    (!fields.is_empty()).then_some(Differs::Fields(fields))
                }
                (Some(_), None) => Some(Differs::OnlyHere),
                (None, Some(_)) => Some(Differs::OnlyThere),
                (None, None) => None,
            };
            self.differs(&nobody, Kind::Quota, &root, how);
        }
        self.compare_server_annotations().await
    }

    /// What the replica has of the names and the unique ids of this side.
    async fn shared_there(&mut self, locals: &[Mailbox]) -> Tried<Vec<MailboxLine>> {
        let mut names: BTreeSet<Text> = locals.iter().map(|mailbox| mailbox.name.clone()).collect();
        let tombstones = self.local_tombstones(&Scope::Shared).await?;
        names.extend(tombstones.into_iter().map(|tombstone| tombstone.name));
        let names: Vec<Text> = names.into_iter().collect();
        let mut lines = self.get_mailboxes(&names).await?;
        if !self.peer.takes_unknown_ids() {
            return Ok(lines);
        }
        let found: BTreeSet<Text> = lines.iter().filter_map(|line| line.uniqueid.clone()).collect();
        let lacking: Vec<Text> = locals
            .iter()
            .filter(|mailbox| !mailbox.is_placeholder() && !found.contains(&mailbox.uniqueid))
            .map(|mailbox| mailbox.uniqueid.clone())
            .collect();
        for block in lacking.chunks(IDS_AT_ONCE) {
            let get = Command::Get(Get::Uniqueids(Some(block.to_vec())));
            let sent = self.wire.send("GET UNIQUEIDS", &Text::EMPTY, &get);
            lines.append(&mut mailbox_lines(&mut self.wire.answer(sent).await?)?);
        }
        Ok(lines)
    }

    async fn quota_there(&mut self, root: &Text) -> Tried<Option<protocol::command::Quota>> {
        let get = Command::Get(Get::Quota(Some(root.clone())));
        let sent = self.wire.send("GET QUOTA", root, &get);
        let answer = self.wire.answer(sent).await?;
        answer.result?;
        Ok(answer.data.into_iter().find_map(|data| match data {
            Data::Quota(quota) => Some(quota),
            _ => None,
        }))
    }

    async fn compare_server_annotations(&mut self) -> Tried<()> {
        let ours = self.local_server_annotations().await?;
        let get = Command::Get(Get::Annotation(Some(Text::EMPTY)));
        let sent = self.wire.send("GET ANNOTATION", &Text::EMPTY, &get);
        let answer = self.wire.answer(sent).await?;
        let mut there: BTreeMap<(Text, Text), Text> = BTreeMap::new();
        // A replica that keeps none refuses to list them.
        let data = answer.result.map_or_else(|_| Vec::new(), |_| answer.data);
        for data in data {
            if let Data::Annotation {
                entry: Some(entry),
                userid,
                value: Some(value),
                ..
            } = data
            {
                there.insert((entry, userid.unwrap_or_default()), value);
            }
        }
        for a in ours {
            let how = match there.remove(&(a.entry.clone(), a.userid.clone())) {
                None => Some(Differs::OnlyHere),
                Some(value) if value == a.value => None,
                Some(value) => Some(Differs::Fields(vec![FieldDiffers {
                    field: "VALUE",
                    here: a.value.to_string(),
                    there: value.to_string(),
                }])),
            };
            self.differs(&Text::EMPTY, Kind::Annotation, &a.entry, how);
        }
        for (entry, _) in there.into_keys() {
            self.differs(&Text::EMPTY, Kind::Annotation, &entry, Some(Differs::OnlyThere));
        }
        Ok(())
    }
}
