//! What was expunged stays so.

use std::collections::BTreeSet;

use protocol::Text;

use super::{Checker, Commit};

/// A UID that was expunged on a server is never live there again under the same UIDVALIDITY. What was expunged in a mailbox
/// that was then deleted, with nobody else knowing, comes back with the mailbox. [CS-SPLIT-18]
#[derive(Default)]
pub struct ExpungedStays {
    gone: BTreeSet<(usize, Text, u32, u32)>,
}

impl Checker for ExpungedStays {
    fn name(&self) -> &'static str {
        "what was expunged stays so"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        let after = &commit.after.mailboxes;
        for id in commit
            .before
            .mailboxes
            .keys()
            .filter(|id| !after.contains_key(*id))
        {
            self.gone.retain(|key| key.0 != commit.host || key.1 != *id);
        }
        for (id, mailbox) in after {
            for record in mailbox.records.values() {
                let key = (commit.host, id.clone(), mailbox.uidvalidity, record.uid);
                if record.is_expunged() {
                    self.gone.insert(key);
                } else if self.gone.contains(&key) {
                    return Err(format!(
                        "UID {} of {} was expunged and is back",
                        record.uid, mailbox.name
                    ));
                }
            }
        }
        Ok(())
    }

    fn restored(&mut self, host: usize) {
        self.gone.retain(|key| key.0 != host);
    }
}
