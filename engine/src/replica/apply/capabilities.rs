//! `APPLY CAPABILITIES` and `APPLY FORCE`. [CS-APPLY-50] [CS-APPLY-49]

use protocol::Text;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::session::Conn;

/// The one capability there is to enable. [CS-APPLY-51]
const SIEVE_MAILBOX: &[u8] = b"SIEVE-MAILBOX";

/// Enables what is known of the names, and echoes that as spelled. A peer of Cyrus's cannot do without the line.
pub(super) async fn run(conn: &mut Conn, names: Option<Vec<Text>>) -> Result<Vec<Data>, Fail> {
    let names = super::required(names, "the list of capabilities")?;
    conn.settle().await;
    let enabled: Vec<Text> = names
        .into_iter()
        .filter(|name| name.eq_ignore_ascii_case(SIEVE_MAILBOX))
        .collect();
    conn.sieve_mailbox |= !enabled.is_empty();
    Ok(vec![Data::Enabled(enabled)])
}

/// From here on, and on this connection only, the peer's values win. [CS-EXC-6]
pub(super) async fn force(conn: &mut Conn) {
    conn.settle().await;
    conn.force = true;
}
