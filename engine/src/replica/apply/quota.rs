//! `APPLY QUOTA` and `APPLY UNQUOTA`. [CS-APPLY-36] [CS-APPLY-37] [CS-APPLY-38]

use protocol::Text;
use protocol::command::Quota;

use super::super::fail::Fail;
use super::super::get::quota::UNLIMITED;
use super::super::session::Conn;
use crate::model::QuotaLimits;
use crate::name::Scope;
use crate::ticket::Change;

/// Creates or replaces a root. A resource that is not named is unlimited; `LIMIT` is storage in its old spelling. A
/// modseq that is not sent is the one after what was there.
pub(super) async fn run(conn: &mut Conn, quota: Quota) -> Result<(), Fail> {
    let root = super::mailbox_name(quota.root, "ROOT")?;
    let scope = Scope::of(&root);
    conn.enter(&scope).await?;
    let modseq = match quota.modseq {
        Some(modseq) => modseq,
        None => {
            let there = conn
                .quotas(&scope)
                .await?
                .into_iter()
                .find(|limits| limits.root == root);
            there.map_or(0, |limits| limits.modseq).saturating_add(1)
        }
    };
    let limit = |value: Option<u32>| value.filter(|&value| value != UNLIMITED);
    let limits = QuotaLimits {
        storage: limit(quota.storage.or(quota.limit)),
        message: limit(quota.message),
        annotation_storage: limit(quota.annotation_storage),
        num_folders: limit(quota.num_folders),
        modseq,
        root,
    };
    conn.write(vec![Change::PutQuota(limits)]).await
}

/// Removes a root; one that does not exist is no error.
pub(super) async fn remove(conn: &mut Conn, root: Option<Text>) -> Result<(), Fail> {
    let root = super::mailbox_name(root, "the quota root")?;
    let scope = Scope::of(&root);
    if !conn.is_open(&scope)
        && conn
            .quotas(&scope)
            .await?
            .iter()
            .all(|limits| limits.root != root)
    {
        return Ok(());
    }
    conn.enter(&scope).await?;
    conn.write(vec![Change::RemoveQuota { root }]).await
}
