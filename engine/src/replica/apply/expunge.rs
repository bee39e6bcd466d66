//! `APPLY EXPUNGE`. [CS-APPLY-14] [CS-EXC-13]

use protocol::{SystemFlags, Text};

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::name::Scope;
use crate::ticket::{Change, UidSelect};

/// Records worked on at once.
const RECORDS_AT_ONCE: usize = 512;

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
    let mut changes = Vec::new();
    for uids in uids.chunks(RECORDS_AT_ONCE) {
        let mut records = conn.records(&key, UidSelect::List(uids.to_vec())).await?;
        records.retain(|record| !record.is_expunged());
        for record in &mut records {
            mailbox.crc.toggle(record);
            record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED);
        }
        if !records.is_empty() {
            let (uniqueid, partition) = (mailbox.uniqueid.clone(), mailbox.partition.clone());
            changes.push(Change::PutRecords {
                uniqueid,
                partition,
                records,
            });
        }
    }
    if !changes.is_empty() {
        changes.push(Change::PutMailbox(Box::new(mailbox)));
        conn.write(changes).await?;
    }
    Ok(())
}
