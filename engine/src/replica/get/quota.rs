//! `GET QUOTA`. [CS-GET-7]

use protocol::Text;
use protocol::command::Quota;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::session::Conn;
use super::nonempty;
use crate::model::QuotaLimits;
use crate::name::Scope;

/// What the wire has for "unlimited".
pub(in super::super) const UNLIMITED: u32 = u32::MAX;

/// One line when the root exists.
pub(super) async fn run(conn: &mut Conn, root: Option<Text>) -> Result<(), Fail> {
    let root = nonempty(root).ok_or_else(|| Fail::missing("the quota root"))?;
    let quotas = conn.quotas(&Scope::of(&root)).await?;
    for limits in quotas.iter().filter(|limits| limits.root == root) {
        conn.port
            .encode(|encoder| encoder.data(&Data::Quota(of_limits(limits))));
    }
    Ok(())
}

/// A quota root as its line has it: every resource, unlimited ones as 4294967295, storage in both spellings.
pub(super) fn of_limits(limits: &QuotaLimits) -> Quota {
    let wire = |limit: Option<u32>| Some(limit.unwrap_or(UNLIMITED));
    Quota {
        root: Some(limits.root.clone()),
        limit: wire(limits.storage),
        storage: wire(limits.storage),
        message: wire(limits.message),
        annotation_storage: wire(limits.annotation_storage),
        num_folders: wire(limits.num_folders),
        modseq: Some(limits.modseq),
    }
}
