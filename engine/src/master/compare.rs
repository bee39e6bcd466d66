//! Comparing a user here and there, by asking only. [CS-SPLIT-60] [CS-SPLIT-61]

use std::collections::{BTreeMap, BTreeSet};

use protocol::command::{Command, Get};
use protocol::response::{Code, Sieve};
use protocol::{MailboxLine, Record, Text};

use super::Ending;
use super::compare_fields::{
    FieldDiffers, differing_header, differing_quota, differing_record, differing_seen,
};
use super::folders::{is_placeholder, mailbox_lines};
use super::meta::RemoteMeta;
use super::plan::PlannedWhat;
use super::run::{Run, Tried, Trouble};
use crate::crc::SyncCrc;
use crate::model::{Mailbox, UserMeta};
use crate::name::{self, Scope};
use crate::ticket::{Select, StoreError};

/// Something that is not the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Whose: a user id; empty for what belongs to nobody.
    pub user: Text,
    /// What kind of thing it is about.
    pub kind: Kind,
    /// Internal name of the mailbox as it is here, or there when it is only there; a subscribed name, the unique id of a
    /// seen state, the name of a script, a quota root otherwise.
    pub about: Text,
    /// Identity of the mailbox; empty for what is no mailbox.
    pub uniqueid: Text,
    /// The message, when it is about one.
    pub uid: Option<u32>,
    /// How it differs.
    pub how: Differs,
}

/// Kinds of things that are compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A mailbox, or a message in it.
    Mailbox,
    /// A subscription.
    Subscription,
    /// A seen state.
    Seen,
    /// A sieve script.
    Script,
    /// A quota root.
    Quota,
    /// An annotation of the server.
    Annotation,
}

impl Kind {
    /// One word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Mailbox => "mailbox",
            Kind::Subscription => "subscription",
            Kind::Seen => "seen",
            Kind::Script => "script",
            Kind::Quota => "quota",
            Kind::Annotation => "annotation",
        }
    }
}

/// How something differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Differs {
    /// Only this side has it.
    OnlyHere,
    /// Only the replica has it.
    OnlyThere,
    /// Both have it, and these fields are not the same.
    Fields(Vec<FieldDiffers>),
}

/// What was compared of a mailbox that both sides have, equal or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compared {
    /// Whose: a user id; empty for a mailbox of nobody.
    pub user: Text,
    /// Internal name here.
    pub mailbox: Text,
    /// Identity.
    pub uniqueid: Text,
    /// Live messages here.
    pub messages_here: u64,
    /// Live messages there.
    pub messages_there: u64,
    /// CRCs here, of the records as they are.
    pub crc_here: SyncCrc,
    /// CRCs there, of the records as they are.
    pub crc_there: SyncCrc,
    /// UIDs that differ.
    pub uids_differing: u64,
    /// Whether values of the mailbox itself differ.
    pub header_differs: bool,
}

impl Compared {
    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.uids_differing == 0 && !self.header_differs
    }
}

impl Run {
    /// Compares these, one after the other; one that cannot be compared is a failure, the rest goes on.
    pub(super) async fn compare_scopes(&mut self, scopes: Vec<Scope>) -> Result<(), Ending> {
        self.count(|progress| progress.items_total = scopes.len() as u64);
        for scope in scopes {
            self.check_stop()?;
            let (label, result) = match scope {
                Scope::User(user) => {
                    self.start(user.to_string());
                    (user.to_string(), self.compare_user(&user).await)
                }
                Scope::Shared => {
                    let label = "shared mailboxes".to_owned();
                    self.start(label.clone());
                    (label, self.compare_shared().await)
                }
            };
            self.finish(label, result)?;
        }
        Ok(())
    }

    async fn compare_user(&mut self, user: &Text) -> Tried<()> {
        let scope = Scope::User(user.clone());
        let is_here = match self.begin_read(&scope).await {
            Err(StoreError::NotFound { .. }) => false,
            other => {
                other?;
                true
            }
        };
        let result = self.compare_with_replica(user, &scope).await;
        if is_here && !matches!(result, Err(Trouble::Halt(_))) {
            self.end_read().await?;
        }
        result
    }

    async fn compare_with_replica(&mut self, user: &Text, scope: &Scope) -> Tried<()> {
        let get = Command::Get(Get::User(Some(user.clone())));
        let sent = self.wire.send("GET USER", user, &get);
        let mut answer = self.wire.answer(sent).await?;
        if let Err(refusal) = &answer.result
            && refusal.code != Code::InvalidUser
        {
            return Err(refusal.clone().into());
        }
        answer.result = Ok(Text::EMPTY);
        let lines = mailbox_lines(&mut answer)?;
        let is_sieve_box = |name: &Text| name::is_sieve(name) && !name::is_deleted(name);
        let theirs = RemoteMeta {
            has_sieve_box: lines
                .iter()
                .any(|line| line.mboxname.as_ref().is_some_and(is_sieve_box)),
            ..RemoteMeta::from(answer)
        };
        let locals = self.local_mailboxes(Select::User(user.clone())).await?;
        if locals.is_empty() && lines.is_empty() {
            // Of one who was deleted here it is right that neither side has anything.
            return if self.local_tombstones(scope).await?.is_empty() {
                Err(Trouble::Item("neither side has this user".to_owned()))
            } else {
                Ok(())
            };
        }
        self.compare_mailboxes(user, locals, lines).await?;
        self.compare_meta(user, scope, theirs).await
    }

    pub(super) async fn compare_mailboxes(
        &mut self,
        user: &Text,
        locals: Vec<Mailbox>,
        lines: Vec<MailboxLine>,
    ) -> Tried<()> {
        let mut there: BTreeMap<Text, MailboxLine> = lines
            .into_iter()
            .filter(|line| !is_placeholder(line))
            .filter_map(|line| Some((line.uniqueid.clone()?, line)))
            .collect();
        let is_compared = |mailbox: &&Mailbox| !mailbox.is_placeholder();
        for mailbox in locals.iter().filter(is_compared) {
            self.check_stop()?;
            self.count(|progress| progress.mailboxes += 1);
            // Without the capability the replica does not list it; its scripts are compared as such.
            if !self.peer.sieve_mailbox && super::folders::is_sieve_box(mailbox) {
                there.remove(&mailbox.uniqueid);
                continue;
            }
            match there.remove(&mailbox.uniqueid) {
                None => self.differs_mailbox(user, &mailbox.name, &mailbox.uniqueid, None, Differs::OnlyHere),
                Some(line) => self.compare_mailbox(user, mailbox, &line).await?,
            }
        }
        for (uniqueid, line) in there {
            self.count(|progress| progress.mailboxes += 1);
            let name = line.mboxname.clone().unwrap_or_default();
            if self.peer.sieve_mailbox || !name::is_sieve(&name) {
                self.differs_mailbox(user, &name, &uniqueid, None, Differs::OnlyThere);
            }
        }
        Ok(())
    }

    async fn compare_mailbox(&mut self, user: &Text, mailbox: &Mailbox, line: &MailboxLine) -> Tried<()> {
        let there = line.mboxname.clone().unwrap_or_default();
        let Some(listing) = self.list_in_full(&there).await? else {
            self.differs_mailbox(user, &mailbox.name, &mailbox.uniqueid, None, Differs::OnlyHere);
            return Ok(());
        };
        let line = (*listing.line).clone();
        let mut pair = self.side_by_side(listing, Some(&mailbox.key()));
        let mut found = Compared {
            user: user.clone(),
            mailbox: mailbox.name.clone(),
            uniqueid: mailbox.uniqueid.clone(),
            messages_here: 0,
            messages_there: 0,
            crc_here: SyncCrc::EMPTY,
            crc_there: SyncCrc::EMPTY,
            uids_differing: 0,
            header_differs: false,
        };
        while let Some(facing) = self.next_facing(&mut pair).await? {
            found.take(&facing.ours, &facing.theirs);
            let (uid, how) = match (facing.ours, facing.theirs) {
                (Some(ours), Some(theirs)) => {
                    let fields = differing_record(&ours, &theirs);
                    if fields.is_empty() {
                        continue;
                    }
                    (ours.uid, Differs::Fields(fields))
                }
                // A side may forget what was expunged.
                (Some(one), None) | (None, Some(one)) if one.is_expunged() => continue,
                (Some(ours), None) => (ours.uid, Differs::OnlyHere),
                (None, Some(theirs)) => (theirs.uid, Differs::OnlyThere),
                (None, None) => continue,
            };
            found.uids_differing += 1;
            self.differs_mailbox(user, &mailbox.name, &mailbox.uniqueid, Some(uid), how);
        }
        let fields = differing_header(mailbox, &line, &self.partition_of(mailbox), &found);
        if !fields.is_empty() {
            found.header_differs = true;
            let how = Differs::Fields(fields);
            self.differs_mailbox(user, &mailbox.name, &mailbox.uniqueid, None, how);
        }
        self.count(|progress| progress.compared.push(found));
        Ok(())
    }

    async fn compare_meta(&mut self, user: &Text, scope: &Scope, theirs: RemoteMeta) -> Tried<()> {
        let scripts = (theirs.scripts, theirs.has_sieve_box);
        let ours = self.local_meta(user).await?;
        let here: BTreeSet<Text> = ours.subscriptions.iter().cloned().collect();
        self.compare_sets(user, Kind::Subscription, &here, &theirs.subscriptions);
        let mut seen: BTreeMap<Text, _> = theirs
            .seen
            .into_iter()
            .filter_map(|seen| seen.uniqueid.clone().map(|id| (id, seen)))
            .collect();
        for state in &ours.seen {
            let how = match seen.remove(&state.uniqueid) {
                None => Some(Differs::OnlyHere),
                Some(there) => some_fields(differing_seen(state, &there)),
            };
            self.differs(user, Kind::Seen, &state.uniqueid, how);
        }
        for id in seen.keys() {
            self.differs(user, Kind::Seen, id, Some(Differs::OnlyThere));
        }
        let mut quotas: BTreeMap<Text, _> = theirs
            .quotas
            .into_iter()
            .filter_map(|quota| quota.root.clone().map(|root| (root, quota)))
            .filter(|(root, _)| Scope::of(root) == *scope)
            .collect();
        for limits in self.local_quotas(scope).await? {
            let how = match quotas.remove(&limits.root) {
                None => Some(Differs::OnlyHere),
                Some(there) => some_fields(differing_quota(&limits, &there)),
            };
            self.differs(user, Kind::Quota, &limits.root, how);
        }
        for root in quotas.keys() {
            self.differs(user, Kind::Quota, root, Some(Differs::OnlyThere));
        }
        self.compare_scripts(user, scope, ours, scripts).await
    }

    /// What a real run would change about scripts is what differs: there are three ways in which a replica keeps them.
    async fn compare_scripts(
        &mut self,
        user: &Text,
        scope: &Scope,
        ours: UserMeta,
        theirs: (Vec<Sieve>, bool),
    ) -> Tried<()> {
        let mut reasons = Vec::new();
        self.sync_scripts(user, scope, ours, theirs, &mut reasons).await?;
        if let Some(text) = super::user::summary(&reasons) {
            return Err(Trouble::Item(text));
        }
        let mut planned = Vec::new();
        self.count(|progress| planned = progress.plan.take());
        for planned in planned {
            let how = match planned.what {
                PlannedWhat::PutScript => Differs::OnlyHere,
                PlannedWhat::RemoveScript => Differs::OnlyThere,
                other => Differs::Fields(vec![FieldDiffers {
                    field: "ISACTIVE",
                    here: (other == PlannedWhat::ActivateScript).to_string(),
                    there: (other != PlannedWhat::ActivateScript).to_string(),
                }]),
            };
            self.differs(user, Kind::Script, &planned.about, Some(how));
        }
        Ok(())
    }

    fn compare_sets(&self, user: &Text, kind: Kind, here: &BTreeSet<Text>, there: &BTreeSet<Text>) {
        for name in here.difference(there) {
            self.differs(user, kind, name, Some(Differs::OnlyHere));
        }
        for name in there.difference(here) {
            self.differs(user, kind, name, Some(Differs::OnlyThere));
        }
    }

    pub(super) fn differs(&self, user: &Text, kind: Kind, about: &Text, how: Option<Differs>) {
        let Some(how) = how else { return };
        self.tell_difference(Difference {
            user: user.clone(),
            kind,
            about: about.clone(),
            uniqueid: Text::EMPTY,
            uid: None,
            how,
        });
    }

    fn differs_mailbox(&self, user: &Text, name: &Text, uniqueid: &Text, uid: Option<u32>, how: Differs) {
        self.tell_difference(Difference {
            user: user.clone(),
            kind: Kind::Mailbox,
            about: name.clone(),
            uniqueid: uniqueid.clone(),
            uid,
            how,
        });
    }

    fn tell_difference(&self, difference: Difference) {
        self.count(|progress| {
            progress.differences_total += 1;
            progress.differences.push(difference);
        });
    }
}

impl Compared {
    fn take(&mut self, ours: &Option<Record>, theirs: &Option<Record>) {
        if let Some(ours) = ours {
            self.messages_here += u64::from(!ours.is_expunged());
            self.crc_here.toggle(ours);
        }
        if let Some(theirs) = theirs {
            self.messages_there += u64::from(!theirs.is_expunged());
            self.crc_there.toggle(theirs);
        }
    }
}

fn some_fields(fields: Vec<FieldDiffers>) -> Option<Differs> {
    (!fields.is_empty()).then_some(Differs::Fields(fields))
}
