//! What a master was told is done is on the replica.

use std::collections::BTreeSet;

use protocol::{Guid, Text};

use super::{Checker, Kept, MailboxView, Owner, ScopeView};

/// When a task has ended well, every message that was on the master from its beginning to its end, in a mailbox it was
/// about, is committed on the replica, unless it went with a store that was replaced by an older one.
pub struct OkIsThere;

impl Checker for OkIsThere {
    fn name(&self) -> &'static str {
        "what was said to be done is there"
    }

    fn kept(&mut self, kept: &Kept<'_>) -> Result<(), String> {
        // A user without INBOX is none: a run over all passes by, and there is nothing to be kept.
        // [CS-MASTER-2] It goes for a moment when another master puts its own in the place of one that was never used.
        if kept.names.is_none() && !kept.owner.is_empty() {
            let began = inbox(kept.began, kept.owner);
            if began.is_none() || began != inbox(kept.master, kept.owner) {
                return Ok(());
            }
        }
        let there: BTreeSet<Guid> = kept.replica.live().map(|(_, record)| record.guid).collect();
        for (id, began) in &kept.began.mailboxes {
            let is_named = kept.names.is_none_or(|names| names.contains(&began.name));
            let now = kept.master.mailboxes.get(id).filter(|now| now.name == began.name);
            let Some(now) = now.filter(|_| is_named) else {
                continue;
            };
            // Nobody could have told that there was something to do. [CS-CRC-11]
            let is_twin =
                |twin: &MailboxView, of: &MailboxView| twin.is_twin_of(of) || twin.before(of).is_twin_of(of);
            let twin = kept.replica.mailboxes.get(id);
            if twin.is_some_and(|twin| is_twin(twin, began) || is_twin(twin, now)) {
                continue;
            }
            for (uid, record) in began.records.iter().filter(|(_, record)| !record.is_expunged()) {
                let stayed = now.records.get(uid).is_some_and(|now| now == record);
                let mail = (kept.owner.clone(), record.guid);
                let is_rolled_back = || kept.ledger.rolled_back.contains(&(kept.to, mail.clone()));
                if stayed
                    && !is_rolled_back()
                    && !there.contains(&record.guid)
                    && !kept.ledger.may_miss(&mail)
                {
                    return Err(format!(
                        "{} was said to be replicated, and UID {uid} ({}) is not there",
                        began.name, record.guid
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The identity of a user's INBOX.
fn inbox<'a>(view: &'a ScopeView, owner: &Owner) -> Option<&'a Text> {
    let name = format!("user.{owner}");
    let mut mailboxes = view.mailboxes.iter();
    let inbox = mailboxes.find(|(_, mailbox)| mailbox.name.as_bytes() == name.as_bytes());
    inbox.map(|(id, _)| id)
}
