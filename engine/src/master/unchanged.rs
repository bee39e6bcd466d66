//! A user in whom nothing differs, which is most of them: found with one look at the store, and nothing held. [CS-MASTER-63]
//!
//! It says yes only where the long way would find nothing to send and nothing to tell; whatever is in doubt goes the long
//! way, which looks again for itself.

use std::collections::{BTreeMap, BTreeSet};

use protocol::command::{Quota, Seen};
use protocol::response::{Data, Sieve};
use protocol::{Guid, MailboxLine, Text};

use super::folders::{is_placeholder, is_sieve_box, same_name};
use super::lines::{is_equal, placeholder_equal};
use super::meta::{same_limits, seen_of};
use super::retry::raised;
use super::run::Run;
use super::wire::Answer;
use crate::model::{Mailbox, UserMeta, UserSummary};
use crate::name;
use crate::ticket::{Reply, Request};

impl Run {
    /// Whether the user is the same here as in the replica's answer.
    pub(super) async fn is_unchanged(&mut self, user: &Text, answer: &Answer) -> bool {
        let has_mailboxes = answer.data.iter().any(|data| matches!(data, Data::Mailbox(_)));
        if answer.result.is_err() || !has_mailboxes {
            return false;
        }
        // An error is met again on the long way, which knows what to do about it.
        let request = Request::Summary { user: user.clone() };
        let Ok(Reply::Summary(mut ours)) = self.port.store(request).await else {
            return false;
        };
        let same_meta = self.has_same_meta(&ours, answer);
        if !self.peer.sieve_mailbox {
            ours.mailboxes.retain(|mailbox| !is_sieve_box(mailbox));
        }
        let same = same_meta && self.has_same_mailboxes(user, &ours, answer);
        if same {
            let compared = ours.mailboxes.len() as u64;
            self.count(|progress| progress.mailboxes += compared);
        }
        same
    }

    fn has_same_mailboxes(&self, user: &Text, ours: &UserSummary, answer: &Answer) -> bool {
        let inbox = name::inbox_of(user);
        let exists = |mailbox: &Mailbox| mailbox.name == inbox && !mailbox.is_placeholder();
        if !ours.mailboxes.iter().any(exists) {
            return false;
        }
        let mut theirs: BTreeMap<&Text, &MailboxLine> = BTreeMap::new();
        for data in &answer.data {
            let Data::Mailbox(line) = data else { continue };
            let Some(uniqueid) = &line.uniqueid else {
                return false;
            };
            if theirs.insert(uniqueid, line).is_some() {
                return false;
            }
        }
        if ours
            .tombstones
            .iter()
            .any(|tombstone| theirs.contains_key(&tombstone.uniqueid))
        {
            return false;
        }
        let all_same = ours.mailboxes.iter().all(|mailbox| {
            theirs
                .remove(&mailbox.uniqueid)
                .is_some_and(|line| self.is_same_mailbox(mailbox, line))
        });
        all_same && theirs.is_empty()
    }

    fn is_same_mailbox(&self, mailbox: &Mailbox, line: &MailboxLine) -> bool {
        let named_alike = line
            .mboxname
            .as_ref()
            .is_some_and(|name| same_name(name, &mailbox.name));
        if mailbox.is_placeholder() || is_placeholder(line) {
            return named_alike && mailbox.is_placeholder() && placeholder_equal(mailbox, Some(line));
        }
        named_alike && raised(mailbox, line).is_none() && is_equal(mailbox, line, &self.partition_of(mailbox))
    }

    fn has_same_meta(&self, ours: &UserSummary, answer: &Answer) -> bool {
        let mut theirs = Theirs::default();
        answer.data.iter().for_each(|data| theirs.learn(data));
        let subscriptions: BTreeSet<&Text> = ours.meta.subscriptions.iter().collect();
        let quotas = ours.quotas.iter().all(|limits| {
            theirs
                .quotas
                .remove(&limits.root)
                .is_some_and(|quota| same_limits(limits, quota))
        });
        let seen = ours.meta.seen.iter().all(|state| {
            theirs.seen.get(&state.uniqueid).is_some_and(|seen| {
                let wanted = Seen {
                    userid: seen.userid.clone(),
                    ..seen_of(state)
                };
                **seen == wanted
            })
        });
        quotas
            && theirs.quotas.is_empty()
            && seen
            && theirs.subscriptions == subscriptions
            && self.has_same_scripts(ours, &theirs)
    }

    fn has_same_scripts(&self, ours: &UserSummary, theirs: &Theirs<'_>) -> bool {
        let has_box = ours
            .mailboxes
            .iter()
            .any(|mailbox| is_sieve_box(mailbox) && !name::is_deleted(&mailbox.name));
        match (self.peer.sieve_mailbox, self.peer.is_mailtwin()) {
            // It lists no scripts, only a mailbox of them.
            (true, false) => {
                ours.meta.scripts.is_empty()
                    && theirs.scripts.is_empty()
                    && (has_box || !theirs.has_sieve_box)
            }
            (true, true) => same_scripts(&ours.meta, &theirs.scripts),
            // Ours may be messages, which only a look into them tells.
            (false, _) => !has_box && same_scripts(&ours.meta, &theirs.scripts),
        }
    }
}

/// What the replica told of a user beside the mailboxes.
#[derive(Default)]
struct Theirs<'a> {
    quotas: BTreeMap<&'a Text, &'a Quota>,
    seen: BTreeMap<&'a Text, &'a Seen>,
    subscriptions: BTreeSet<&'a Text>,
    scripts: Vec<&'a Sieve>,
    has_sieve_box: bool,
}

impl<'a> Theirs<'a> {
    fn learn(&mut self, data: &'a Data) {
        match data {
            Data::Mailbox(line) => {
                let is_box = |name: &Text| name::is_sieve(name) && !name::is_deleted(name);
                self.has_sieve_box |= line.mboxname.as_ref().is_some_and(is_box);
            }
            Data::Quota(quota) => self.quotas.extend(quota.root.as_ref().map(|root| (root, quota))),
            Data::Seen(seen) => self.seen.extend(seen.uniqueid.as_ref().map(|id| (id, seen))),
            Data::Lsub(names) => self.subscriptions.extend(names),
            Data::Sieve(script) => self.scripts.push(script),
            _ => {}
        }
    }
}

/// Whether a listing of scripts shows ours, the active one among them, and no others.
fn same_scripts(ours: &UserMeta, theirs: &[&Sieve]) -> bool {
    let mut left: BTreeMap<&[u8], Guid> = ours.scripts.iter().map(|s| (&s.name[..], s.guid)).collect();
    let mut active: Option<&[u8]> = None;
    for script in theirs {
        let Some(filename) = &script.filename else {
            return false;
        };
        if let Some(name) = filename.strip_suffix(b".bc") {
            active = active.or(script.isactive.then_some(name));
            continue;
        }
        let Some(name) = filename.strip_suffix(b".script") else {
            return false;
        };
        active = active.or(script.isactive.then_some(name));
        if left.remove(name).is_none_or(|guid| script.guid != Some(guid)) {
            return false;
        }
    }
    left.is_empty() && active == ours.active_script.as_ref().map(|name| &name[..])
}
