//! Modseqs never go back.

use super::{Checker, Commit};

/// A mailbox's and a record's modseq never fall while UIDVALIDITY stays, and no record's is above its mailbox's.
pub struct ModseqsRise;

impl Checker for ModseqsRise {
    fn name(&self) -> &'static str {
        "modseqs never go back"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        for (id, mailbox) in &commit.after.mailboxes {
            let name = &mailbox.name;
            let top = mailbox.records.values().max_by_key(|record| record.modseq);
            if let Some(record) = top.filter(|record| record.modseq > mailbox.highestmodseq) {
                return Err(format!(
                    "UID {} of {name} has modseq {}, the mailbox {}",
                    record.uid, record.modseq, mailbox.highestmodseq
                ));
            }
            let before = commit.before.mailboxes.get(id);
            let Some(before) = before.filter(|before| before.uidvalidity == mailbox.uidvalidity) else {
                continue;
            };
            if before.highestmodseq > mailbox.highestmodseq {
                return Err(format!(
                    "HIGHESTMODSEQ of {name} went from {} to {}",
                    before.highestmodseq, mailbox.highestmodseq
                ));
            }
            for (uid, record) in &mailbox.records {
                if before
                    .records
                    .get(uid)
                    .is_some_and(|before| before.modseq > record.modseq)
                {
                    return Err(format!(
                        "the modseq of UID {uid} of {name} went back to {}",
                        record.modseq
                    ));
                }
            }
        }
        Ok(())
    }
}
