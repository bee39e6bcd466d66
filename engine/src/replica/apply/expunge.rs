//! `APPLY EXPUNGE`. [CS-APPLY-14] [CS-APPLY-15] [CS-EXC-13]

use protocol::{SystemFlags, Text};

use super::super::fail::Fail;
use super::super::session::Conn;
use super::writer::{RECORDS_AT_ONCE, Writer};
use crate::name::Scope;
use crate::ticket::UidSelect;

/// Marks records expunged and changes nothing else of them, no modseq either: the peer that asks for it will send
/// the records again. UIDs that do not exist are skipped.
pub(super) async fn run(
    conn: &mut Conn,
    mboxname: Option<Text>,
    uniqueid: Option<Text>,
    uids: Option<Vec<u32>>,
) -> Result<(), Fail> {
    let name = super::required(mboxname, "MBOXNAME")?;
    let uniqueid = super::required(uniqueid, "UNIQUEID")?;
    let mut uids = super::required(uids, "UID")?;
    if conn.mailbox(&name).await?.is_none() {
        return Err(Fail::nonexistent(&name));
    }
    conn.enter(&Scope::of(&name)).await?;
    let mut mailbox = match conn.mailbox(&name).await? {
        Some(mailbox) if !mailbox.is_placeholder() => mailbox,
        _ => return Err(Fail::nonexistent(&name)),
    };
    if mailbox.uniqueid != uniqueid {
        return Err(Fail::moved(format!(
            "{name} has the unique id {}",
            mailbox.uniqueid
        )));
    }
    uids.sort_unstable();
    uids.dedup();
    let key = mailbox.key();
    let mut writer = Writer::new(&mailbox, false, Vec::new());
    let mut has_changed = false;
    for uids in uids.chunks(RECORDS_AT_ONCE) {
        let mut records = conn.records(&key, UidSelect::List(uids.to_vec())).await?;
        records.retain(|record| !record.is_expunged());
        has_changed |= !records.is_empty();
        for mut record in records {
            mailbox.crc.toggle(&record);
            record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED);
            writer.push(record);
        }
        writer.write(conn, &mailbox).await?;
    }
    if has_changed {
        writer.finish(conn, mailbox).await
    } else {
        Ok(())
    }
}
