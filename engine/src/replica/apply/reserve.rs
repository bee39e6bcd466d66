//! `APPLY RESERVE`: which of the messages have to be uploaded. [CS-APPLY-6]

use protocol::command::Reserve;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::session::Conn;

/// Stages what is here already and lists the rest; the line is left out when nothing is missing.
pub(super) async fn run(conn: &mut Conn, reserve: Reserve) -> Result<Vec<Data>, Fail> {
    let partition = super::required(reserve.partition, "PARTITION")?;
    let mailboxes = super::required(reserve.mboxnames, "MBOXNAME")?;
    let guids = reserve
        .guids
        .ok_or_else(|| Fail::bad("GUID is missing, or holds something that is no GUID"))?;
    if !conn.knows_partition(&partition) {
        return Err(Fail::other(format!("unknown partition {partition}")));
    }
    let missing = conn.reserve(partition, mailboxes, guids).await?;
    Ok(if missing.is_empty() {
        Vec::new()
    } else {
        vec![Data::Missing(missing)]
    })
}
