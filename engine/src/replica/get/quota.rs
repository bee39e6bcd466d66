//! `GET QUOTA`. [CS-GET-11]

use protocol::Text;
use protocol::command::Quota;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::model::QuotaLimits;
use crate::name::Scope;

/// What the wire has for "unlimited".
pub(in super::super) const UNLIMITED: u32 = u32::MAX;

/// One line when the root exists.
pub(super) async fn run(conn: &mut Conn, root: Option<Text>) -> Result<(), Fail> {
    let root = root.ok_or_else(|| Fail::missing("the quota root"))?;
    let quotas = conn.quotas(&Scope::of(&root)).await?;
    for limits in quotas.iter().filter(|limits| limits.root == root) {
        conn.port
            .encode(|encoder| encoder.data(&Data::Quota(of_limits(limits))));
    }
    Ok(())
}

/// A quota root as its line has it: storage in both spellings, the old one as 4294967295 when it is unlimited; other
/// resources only when they are limited. [CS-GET-28]
pub(super) fn of_limits(limits: &QuotaLimits) -> Quota {
    Quota {
        root: Some(limits.root.clone()),
        limit: Some(limits.storage.unwrap_or(UNLIMITED)),
        storage: limits.storage,
        message: limits.message,
        annotation_storage: limits.annotation_storage,
        num_folders: limits.num_folders,
        modseq: Some(limits.modseq),
    }
}
