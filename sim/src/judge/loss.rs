//! No message goes away that no client removed.

use std::collections::BTreeSet;

use protocol::Guid;

use super::{Checker, Commit, End, Mail};

/// After every commit everything that was live is live somewhere in the user's mail, or a client removed it; at the end
/// every message that a client added and none removed is on every server.
///
/// A server may lack a message for as long as another has it: where two messages had one UID, the replica's is expunged
/// there once the master holds it, and comes back under a new UID. [CS-SPLIT-1]
pub struct Loss;

/// Whether another server shows a message.
fn is_elsewhere(commit: &Commit<'_>, mail: &Mail) -> bool {
    let others = commit.views.iter();
    let mut others = others.filter(|((host, owner), _)| *host != commit.host && *owner == mail.0);
    others.any(|(_, view)| view.live().any(|(_, record)| record.guid == mail.1))
}

/// Whether a message is in a mailbox that no master can tell from the one of this server. [CS-CRC-11]
fn is_hidden(end: &End<'_>, host: usize, mail: &Mail) -> bool {
    let Some(here) = end.views.get(&(host, mail.0.clone())) else {
        return false;
    };
    let others = end.views.iter().filter(|((_, owner), _)| *owner == mail.0);
    others.flat_map(|(_, view)| &view.mailboxes).any(|(id, there)| {
        let has = || there.records.values().any(|record| record.guid == mail.1);
        let twin = here.mailboxes.get(id);
        has() && twin.is_some_and(|twin| twin.is_twin_of(there))
    })
}

impl Checker for Loss {
    fn name(&self) -> &'static str {
        "nothing is lost"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        let after: BTreeSet<Guid> = commit.after.live().map(|(_, record)| record.guid).collect();
        for (id, record) in commit.before.live() {
            let mail = (commit.owner.clone(), record.guid);
            if !after.contains(&record.guid) && !commit.ledger.may_miss(&mail) && !is_elsewhere(commit, &mail)
            {
                let name = commit
                    .before
                    .mailboxes
                    .get(id)
                    .map(|mailbox| mailbox.name.to_string());
                return Err(format!(
                    "message {} (UID {} of {}) went away, and no client removed it",
                    record.guid,
                    record.uid,
                    name.unwrap_or_default()
                ));
            }
        }
        Ok(())
    }

    fn settled(&mut self, end: &End<'_>) -> Result<(), String> {
        for mail in end.ledger.added.iter().filter(|mail| !end.ledger.may_miss(mail)) {
            let has = |host: usize| {
                let view = end.views.get(&(host, mail.0.clone()));
                view.is_some_and(|view| view.live().any(|(_, record)| record.guid == mail.1))
            };
            let anywhere = (0..end.hosts).any(has);
            for host in 0..end.hosts {
                // Asked only of what is not there: it compares whole mailboxes.
                let is_excused = || anywhere && !end.restored.is_empty() || is_hidden(end, host, mail);
                if !has(host) && !is_excused() {
                    return Err(format!(
                        "message {} of {} is not on {}",
                        mail.1,
                        mail.0,
                        crate::plan::HOST_NAMES[host]
                    ));
                }
            }
        }
        Ok(())
    }
}
