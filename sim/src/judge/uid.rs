//! A UID names one message for ever.

use std::collections::BTreeMap;

use protocol::{Guid, Text};

use super::{Checker, Commit};

/// Under one UIDVALIDITY no UID that a reader could see ever names another message on the same server; and no UID is
/// above the mailbox's last.
#[derive(Default)]
pub struct OneMessageAUid {
    seen: BTreeMap<(usize, Text, u32, u32), Guid>,
}

impl Checker for OneMessageAUid {
    fn name(&self) -> &'static str {
        "a UID names one message"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        for (id, mailbox) in &commit.after.mailboxes {
            if let Some(uid) = mailbox
                .records
                .keys()
                .next_back()
                .filter(|uid| **uid > mailbox.last_uid)
            {
                return Err(format!(
                    "{} has UID {uid} above its last {}",
                    mailbox.name, mailbox.last_uid
                ));
            }
            let live = mailbox.records.values().filter(|record| !record.is_expunged());
            for record in live {
                let key = (commit.host, id.clone(), mailbox.uidvalidity, record.uid);
                let known = *self.seen.entry(key).or_insert(record.guid);
                if known != record.guid {
                    return Err(format!(
                        "UID {} of {} (UIDVALIDITY {}) was message {known} and is {}",
                        record.uid, mailbox.name, mailbox.uidvalidity, record.guid
                    ));
                }
            }
        }
        Ok(())
    }

    fn restored(&mut self, host: usize) {
        self.seen.retain(|key, _| key.0 != host);
    }
}
