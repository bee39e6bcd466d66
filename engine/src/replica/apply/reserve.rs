//! `APPLY RESERVE`: which of the messages have to be uploaded. [CS-APPLY-7]

use std::collections::BTreeSet;

use protocol::Guid;
use protocol::command::Reserve;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::session::Conn;

/// Stages what is here already and lists the rest; the line is left out when nothing is missing. A partition that
/// does not exist matters only once something is to be staged on it. [CS-APPLY-8] [CS-APPLY-9]
/// [CS-APPLY-10]
pub(super) async fn run(conn: &mut Conn, reserve: Reserve) -> Result<Vec<Data>, Fail> {
    let partition = super::required(reserve.partition, "PARTITION")?;
    let mailboxes = super::required(reserve.mboxnames, "MBOXNAME")?;
    let guids = reserve
        .guids
        .ok_or_else(|| Fail::bad("GUID is missing, or holds something that is no GUID"))?;
    // A GUID may be named more than once, and is missing as often.
    let different = |guids: &[Guid]| guids.iter().collect::<BTreeSet<_>>().len();
    let wanted = different(&guids);
    let missing = conn.reserve(partition.clone(), mailboxes, guids).await?;
    if different(&missing) < wanted && !conn.knows_partition(&partition) {
        return Err(Fail::other(format!("unknown partition {partition}")));
    }
    Ok(if missing.is_empty() {
        Vec::new()
    } else {
        vec![Data::Missing(missing)]
    })
}
