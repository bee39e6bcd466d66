//! What belongs to a user or the server beside mailboxes: quotas, subscriptions, seen states, annotations of the
//! server. [CS-MASTER-4] [CS-MASTER-5] [CS-MASTER-7]

use std::collections::{BTreeMap, BTreeSet};

use protocol::Text;
use protocol::command::{Apply, Command, Get, Quota, Seen};
use protocol::response::{Code, Data, Sieve};

use super::run::{Run, Tried};
use super::wire::{Answer, Sent};
use crate::model::{QuotaLimits, SeenState, ServerAnnotation, UserMeta};
use crate::name::{Scope, inbox_of};
use crate::ticket::{Select, StoreError};

/// `LIMIT` of a root without a storage limit.
const UNLIMITED: u32 = u32::MAX;

/// What the replica told of a user beside the mailboxes.
#[derive(Default)]
pub(super) struct RemoteMeta {
    pub(super) quotas: Vec<Quota>,
    pub(super) seen: Vec<Seen>,
    pub(super) subscriptions: BTreeSet<Text>,
    pub(super) scripts: Vec<Sieve>,
    /// Whether the replica has a `#sieve` mailbox of the user.
    pub(super) has_sieve_box: bool,
}

impl From<Answer> for RemoteMeta {
    fn from(answer: Answer) -> Self {
        let mut meta = RemoteMeta::default();
        for data in answer.data {
            match data {
                Data::Quota(quota) => meta.quotas.push(quota),
                Data::Seen(seen) => meta.seen.push(seen),
                Data::Lsub(names) => meta.subscriptions.extend(names),
                Data::Sieve(script) => meta.scripts.push(script),
                _ => {}
            }
        }
        meta
    }
}

impl Run {
    /// Makes a user's data beside the mailboxes equal. [CS-MASTER-54]
    ///
    /// Nothing is done for a user who has no INBOX here: there is nothing to go by, and all there would be taken for
    /// removed.
    pub(super) async fn do_meta(&mut self, user: &Text) -> Tried<()> {
        if !self.has_inbox(user).await? {
            self.absent(user);
            return Ok(());
        }
        let theirs = self.meta_there(user).await?;
        let scope = Scope::User(user.clone());
        let mut reasons = Vec::new();
        self.sync_meta(user, &scope, theirs, &mut reasons).await?;
        match super::user::summary(&reasons) {
            None => Ok(()),
            Some(text) => Err(super::run::Trouble::Item(text)),
        }
    }

    /// Whether the user has an INBOX here.
    pub(super) async fn has_inbox(&mut self, user: &Text) -> Tried<bool> {
        let inbox = match self.local_mailboxes(Select::Names(vec![inbox_of(user)])).await {
            Err(StoreError::NotFound { .. }) => Vec::new(),
            found => found?,
        };
        Ok(inbox.iter().any(|mailbox| !mailbox.is_placeholder()))
    }

    /// What the replica has of a user, with an INBOX or without, beside mailboxes and quotas.
    pub(super) async fn meta_there(&mut self, user: &Text) -> Tried<RemoteMeta> {
        let get = Command::Get(Get::Meta(Some(user.clone())));
        let sent = self.wire.send("GET META", user, &get);
        let answer = self.wire.answer(sent).await?;
        answer.result.as_ref().map_err(Clone::clone)?;
        Ok(RemoteMeta::from(answer))
    }

    /// Sends a command whose refusal is a reason of failure.
    pub(super) async fn apply(
        &mut self,
        asked: &mut Vec<Sent>,
        what: &'static str,
        about: &Text,
        apply: Apply,
    ) -> Tried<()> {
        if self.config.dry_run {
            self.plan_apply(&apply);
            return Ok(());
        }
        self.wire.bound(self.config.pipeline_bytes_max).await?;
        asked.push(self.wire.send(what, about, &Command::Apply(apply)));
        Ok(())
    }

    /// Takes the answers of such commands.
    pub(super) async fn settle_applied(&mut self, asked: Vec<Sent>, reasons: &mut Vec<String>) -> Tried<()> {
        for sent in asked {
            if let Err(refusal) = self.wire.answer(sent).await?.result {
                reasons.push(refusal.text);
            }
        }
        Ok(())
    }

    /// Makes the replica's quota roots equal to these of ours.
    pub(super) async fn match_quotas(
        &mut self,
        scope: &Scope,
        ours: Vec<QuotaLimits>,
        theirs: &[Quota],
        reasons: &mut Vec<String>,
    ) -> Tried<()> {
        let mut there: BTreeMap<Text, &Quota> = theirs
            .iter()
            .filter_map(|quota| quota.root.clone().map(|root| (root, quota)))
            .collect();
        let mut asked = Vec::new();
        for limits in ours {
            let same = there
                .remove(&limits.root)
                .is_some_and(|quota| same_limits(&limits, quota));
            if !same {
                let root = limits.root.clone();
                self.apply(&mut asked, "APPLY QUOTA", &root, Apply::Quota(quota_of(limits)))
                    .await?;
            }
        }
        for root in there.into_keys().filter(|root| Scope::of(root) == *scope) {
            let command = Apply::Unquota {
                root: Some(root.clone()),
            };
            self.apply(&mut asked, "APPLY UNQUOTA", &root, command).await?;
        }
        self.settle_applied(asked, reasons).await
    }

    /// Quota roots of shared mailboxes: the replica is asked for ours one by one, and keeps what we do not know; answers
    /// those of ours that were gone by.
    pub(super) async fn sync_shared_quotas(&mut self, reasons: &mut Vec<String>) -> Tried<Vec<QuotaLimits>> {
        let ours = self.local_quotas(&Scope::Shared).await?;
        let mut asked = Vec::new();
        for limits in &ours {
            self.wire.bound(self.config.pipeline_bytes_max).await?;
            asked.push(self.wire.send(
                "GET QUOTA",
                &limits.root,
                &Command::Get(Get::Quota(Some(limits.root.clone()))),
            ));
        }
        let mut theirs = Vec::new();
        for sent in asked {
            let answer = self.wire.answer(sent).await?;
            match answer.result {
                Ok(_) => theirs.extend(RemoteMeta::from(answer).quotas),
                Err(refusal) => reasons.push(refusal.text),
            }
        }
        self.match_quotas(&Scope::Shared, ours.clone(), &theirs, reasons)
            .await?;
        Ok(ours)
    }

    /// Subscriptions, scripts and seen states of a user; answers those of ours that were gone by.
    pub(super) async fn sync_meta(
        &mut self,
        user: &Text,
        scope: &Scope,
        theirs: RemoteMeta,
        reasons: &mut Vec<String>,
    ) -> Tried<UserMeta> {
        let ours = self.local_meta(user).await?;
        let told = ours.clone();
        let mut asked = Vec::new();
        self.sync_subscriptions(user, &ours, &theirs.subscriptions, &mut asked)
            .await?;
        self.sync_seen(user, &ours.seen, theirs.seen, &mut asked).await?;
        self.settle_applied(asked, reasons).await?;
        let scripts = (theirs.scripts, theirs.has_sieve_box);
        self.sync_scripts(user, scope, ours, scripts, reasons).await?;
        Ok(told)
    }

    async fn sync_subscriptions(
        &mut self,
        user: &Text,
        ours: &UserMeta,
        theirs: &BTreeSet<Text>,
        asked: &mut Vec<Sent>,
    ) -> Tried<()> {
        for name in ours.subscriptions.iter().filter(|name| !theirs.contains(*name)) {
            let command = Apply::Sub {
                mboxname: Some(name.clone()),
                userid: Some(user.clone()),
            };
            self.apply(asked, "APPLY SUB", name, command).await?;
        }
        let wanted: BTreeSet<&Text> = ours.subscriptions.iter().collect();
        for name in theirs.iter().filter(|name| !wanted.contains(name)) {
            let command = Apply::Unsub {
                mboxname: Some(name.clone()),
                userid: Some(user.clone()),
            };
            self.apply(asked, "APPLY UNSUB", name, command).await?;
        }
        Ok(())
    }

    /// Nothing is ever deleted of the replica's seen states: it has none that we would have deleted. [CS-MASTER-7]
    async fn sync_seen(
        &mut self,
        user: &Text,
        ours: &[SeenState],
        theirs: Vec<Seen>,
        asked: &mut Vec<Sent>,
    ) -> Tried<()> {
        let there: BTreeMap<Text, Seen> = theirs
            .into_iter()
            .filter_map(|seen| seen.uniqueid.clone().map(|id| (id, seen)))
            .collect();
        for state in ours {
            let mut wanted = seen_of(state);
            let same = there.get(&state.uniqueid).is_some_and(|seen| {
                wanted.userid = seen.userid.clone();
                *seen == wanted
            });
            if !same {
                wanted.userid = Some(user.clone());
                self.apply(asked, "APPLY SEEN", &state.uniqueid, Apply::Seen(wanted))
                    .await?;
            }
        }
        Ok(())
    }

    /// Annotations of the server; a replica that keeps none is told of in a notice only. Answers those of ours that were
    /// gone by.
    pub(super) async fn sync_server_annotations(
        &mut self,
        reasons: &mut Vec<String>,
    ) -> Tried<Vec<ServerAnnotation>> {
        let ours = self.local_server_annotations().await?;
        let get = Command::Get(Get::Annotation(Some(Text::EMPTY)));
        let sent = self.wire.send("GET ANNOTATION", &Text::EMPTY, &get);
        let answer = self.wire.answer(sent).await?;
        if let Err(refusal) = answer.result {
            if !matches!(refusal.code, Code::MailboxNonexistent | Code::ProtocolError) {
                reasons.push(refusal.text);
            } else if !ours.is_empty() {
                self.notice(format!(
                    "annotations of the server are not replicated: {}",
                    refusal.text
                ));
            }
            return Ok(ours);
        }
        let mut there: BTreeMap<(Text, Text), Text> = BTreeMap::new();
        for data in answer.data {
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
        let mut asked = Vec::new();
        let server = Some(Text::EMPTY);
        for a in ours.iter().cloned() {
            if there.remove(&(a.entry.clone(), a.userid.clone())).as_ref() != Some(&a.value) {
                let (entry, userid, value) = (Some(a.entry.clone()), Some(a.userid), Some(a.value));
                let command = Apply::Annotation {
                    mboxname: server.clone(),
                    entry,
                    userid,
                    value,
                };
                self.apply(&mut asked, "APPLY ANNOTATION", &a.entry, command)
                    .await?;
            }
        }
        for (entry, userid) in there.into_keys() {
            let command = Apply::Unannotation {
                mboxname: server.clone(),
                entry: Some(entry.clone()),
                userid: Some(userid),
            };
            self.apply(&mut asked, "APPLY UNANNOTATION", &entry, command)
                .await?;
        }
        self.settle_applied(asked, reasons).await?;
        Ok(ours)
    }
}

/// A seen state as it travels, without its reader.
pub(super) fn seen_of(state: &SeenState) -> Seen {
    Seen {
        userid: None,
        uniqueid: Some(state.uniqueid.clone()),
        lastread: Some(state.lastread),
        lastuid: Some(state.lastuid),
        lastchange: Some(state.lastchange),
        seenuids: Some(state.seenuids.clone()),
    }
}

fn quota_of(limits: QuotaLimits) -> Quota {
    Quota {
        root: Some(limits.root),
        limit: Some(limits.storage.unwrap_or(UNLIMITED)),
        storage: limits.storage,
        message: limits.message,
        annotation_storage: limits.annotation_storage,
        num_folders: limits.num_folders,
        modseq: (limits.modseq > 0).then_some(limits.modseq),
    }
}

/// Whether the limits agree; their modseqs do not matter.
pub(super) fn same_limits(ours: &QuotaLimits, theirs: &Quota) -> bool {
    let limit = |value: Option<u32>| value.filter(|limit| *limit != UNLIMITED);
    limit(theirs.storage.or(theirs.limit)) == limit(ours.storage)
        && limit(theirs.message) == limit(ours.message)
        && limit(theirs.annotation_storage) == limit(ours.annotation_storage)
        && limit(theirs.num_folders) == limit(ours.num_folders)
}
