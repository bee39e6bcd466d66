//! A message that a client expunged does not come back, whatever its UID.

use std::collections::BTreeSet;

use super::{Checker, Commit, Mail};

/// Where a client expunged the only copy of a message that was ever added, replication never shows it on that server again, as long as the
/// mailbox is there.
///
/// It may where the message was on its way to another UID meanwhile: an expunge means a UID, and what moved is not deleted on
/// doubt. So only those count that come while no master is at work and all servers have the message under one UID. Of messages
/// with several copies nobody can tell which one it is; a store that was replaced by an older one has all of its messages
/// back.
#[derive(Default)]
pub struct NeverReturns {
    gone: BTreeSet<(usize, Mail)>,
    is_off: bool,
}

impl Checker for NeverReturns {
    fn name(&self) -> &'static str {
        "no expunged message returns"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        if self.is_off {
            return Ok(());
        }
        // What was in a mailbox that went may come back with it, from a master that still has it. [CS-SPLIT-18]
        for (id, mailbox) in &commit.before.mailboxes {
            if !commit.after.mailboxes.contains_key(id) {
                for record in mailbox.records.values() {
                    let mail = (commit.owner.clone(), record.guid);
                    self.gone.remove(&(commit.host, mail));
                }
            }
        }
        for (id, record) in commit.after.live() {
            let mail = (commit.owner.clone(), record.guid);
            if commit.ledger.copies.get(&mail) != Some(&1) {
                continue;
            }
            if self.gone.contains(&(commit.host, mail)) {
                let name = commit
                    .after
                    .mailboxes
                    .get(id)
                    .map(|mailbox| mailbox.name.to_string());
                return Err(format!(
                    "a client expunged message {}, and it is back as UID {} of {}",
                    record.guid,
                    record.uid,
                    name.unwrap_or_default()
                ));
            }
        }
        let expunged = commit.client.filter(|_| commit.is_quiet);
        for guid in expunged.iter().flat_map(|note| &note.expunged) {
            let mail = (commit.owner.clone(), *guid);
            if is_at_one_place(commit, &mail) {
                self.gone.insert((commit.host, mail));
            }
        }
        Ok(())
    }

    fn restored(&mut self, _host: usize) {
        self.is_off = true;
    }
}

/// Whether all servers that show a message show it under the same UID of the same mailbox.
fn is_at_one_place(commit: &Commit<'_>, mail: &Mail) -> bool {
    let views = commit.views.iter().filter(|((_, owner), _)| *owner == mail.0);
    let live = views.flat_map(|(_, view)| view.live());
    let places = live.filter(|(_, record)| record.guid == mail.1);
    let places: BTreeSet<_> = places.map(|(id, record)| (id, record.uid)).collect();
    places.len() <= 1
}
