//! Planning of what belongs to a user beside the mailboxes.

use protocol::{Guid, Text};

use crate::flow::Now;
use crate::model::{QuotaLimits, SieveScript};
use crate::ticket::Change;

/// Plans a subscription or its end. The mailbox need not exist.
pub fn subscribe(mailbox: Text, subscribed: bool) -> Vec<Change> {
    vec![if subscribed {
        Change::Subscribe { mailbox }
    } else {
        Change::Unsubscribe { mailbox }
    }]
}

/// Plans the limits of a quota root; `modseq` of the limits given is not used. Limits that stand already give no
/// change.
pub fn put_quota(existing: &[QuotaLimits], limits: QuotaLimits) -> Vec<Change> {
    let before = existing.iter().find(|q| q.root == limits.root);
    let modseq = existing.iter().map(|q| q.modseq).max().unwrap_or(0);
    if before.is_some_and(|q| {
        *q == QuotaLimits {
            modseq: q.modseq,
            ..limits.clone()
        }
    }) {
        return Vec::new();
    }
    vec![Change::PutQuota(QuotaLimits {
        modseq: modseq.saturating_add(1),
        ..limits
    })]
}

/// Plans the end of a quota root.
pub fn remove_quota(root: Text) -> Vec<Change> {
    vec![Change::RemoveQuota { root }]
}

/// Plans a script as it is to be from now on; `guid` is the SHA-1 of the content.
pub fn put_script(now: Now, name: Text, content: Text, guid: Guid) -> Vec<Change> {
    vec![Change::PutScript(SieveScript {
        name,
        last_update: now.0,
        guid,
        content,
    })]
}

/// Plans which script is active; `None` for none.
pub fn activate_script(name: Option<Text>) -> Vec<Change> {
    vec![Change::ActivateScript { name }]
}

/// Plans the end of a script.
pub fn remove_script(name: Text) -> Vec<Change> {
    vec![Change::RemoveScript { name }]
}

/// Plans the end of the scope's user: mailboxes leave tombstones.
pub fn remove_user(now: Now) -> Vec<Change> {
    vec![Change::RemoveUser { deleted_at: now.0 }]
}
