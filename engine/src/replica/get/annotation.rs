//! `GET ANNOTATION`. [CS-GET-12]

use protocol::Text;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::session::Conn;

/// A line for each annotation of a mailbox, or for the empty name of the server, sorted by entry and user. [CS-GET-32]
pub(super) async fn run(conn: &mut Conn, name: Option<Text>) -> Result<(), Fail> {
    let name = name.ok_or_else(|| Fail::missing("the mailbox name"))?;
    let mut found: Vec<(Text, Text, Text)> = if name.is_empty() {
        let annotations = conn.server_annotations().await?;
        annotations
            .into_iter()
            .map(|a| (a.entry, a.userid, a.value))
            .collect()
    } else {
        let mailbox = conn
            .mailbox(&name)
            .await?
            .ok_or_else(|| Fail::nonexistent(&name))?;
        mailbox
            .annotations
            .into_iter()
            .map(|a| (a.entry, a.userid, a.value))
            .collect()
    };
    found.sort();
    for (entry, userid, value) in found {
        conn.port.room().await;
        let line = Data::Annotation {
            mboxname: Some(name.clone()),
            entry: Some(entry),
            userid: Some(userid),
            value: Some(value),
        };
        conn.port.encode(|encoder| encoder.data(&line));
    }
    Ok(())
}
