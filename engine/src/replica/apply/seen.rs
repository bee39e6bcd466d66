//! `APPLY SEEN`. [CS-APPLY-25]

use protocol::command::Seen;

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::model::SeenState;
use crate::ticket::Change;

/// Overwrites a reader's state of one mailbox; nothing is merged.
pub(super) async fn run(conn: &mut Conn, seen: Seen) -> Result<(), Fail> {
    let scope = super::user_scope(seen.userid)?;
    let state = SeenState {
        uniqueid: super::mailbox_name(seen.uniqueid, "UNIQUEID")?,
        lastread: super::required(seen.lastread, "LASTREAD")?,
        lastuid: super::required(seen.lastuid, "LASTUID")?,
        lastchange: super::required(seen.lastchange, "LASTCHANGE")?,
        seenuids: super::required(seen.seenuids, "SEENUIDS")?,
    };
    conn.enter(&scope).await?;
    conn.write(vec![Change::PutSeen(state)]).await
}
