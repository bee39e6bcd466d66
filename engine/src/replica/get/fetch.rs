//! `GET FETCH`: one message's bytes, streamed. [CS-GET-13] [CS-GET-20] [CS-GET-33]

use protocol::command::{Fetch, FileHead};
use protocol::response::{Code, Data, StreamingData};
use protocol::{Guid, Text};

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::name::Scope;
use crate::ticket::{StoreError, UidSelect};

/// Bytes asked of the store at once.
const CHUNK_BYTES: u32 = 256 * 1024;

/// The message of a UID. Its mailbox is found by name; the partition says nothing here, because messages are kept by
/// user and not by partition.
pub(super) async fn run(conn: &mut Conn, fetch: Fetch) -> Result<(), Fail> {
    let name = fetch.mboxname.ok_or_else(|| Fail::missing("MBOXNAME"))?;
    let partition = fetch.partition.ok_or_else(|| Fail::missing("PARTITION"))?;
    let uniqueid = fetch.uniqueid.ok_or_else(|| Fail::missing("UNIQUEID"))?;
    let guid = fetch.guid.ok_or_else(|| Fail::missing("GUID"))?;
    let uid = fetch.uid.ok_or_else(|| Fail::missing("UID"))?;
    let scope = Scope::of(&name);
    conn.begin_read(&scope).await?;
    let outcome = within(conn, &scope, &name, &uniqueid, partition, guid, uid).await;
    conn.end_read(&scope).await;
    outcome
}

async fn within(
    conn: &mut Conn,
    scope: &Scope,
    name: &Text,
    uniqueid: &Text,
    partition: Text,
    guid: Guid,
    uid: u32,
) -> Result<(), Fail> {
    let mailbox = match conn.mailbox(name).await? {
        Some(mailbox) if mailbox.uniqueid == *uniqueid => mailbox,
        _ => return Err(Fail::nonexistent(name)),
    };
    let records = conn.records(&mailbox.key(), UidSelect::List(vec![uid])).await?;
    let Some(record) = records.first() else {
        return Err(Fail::Refused(
            Code::MailboxNonexistent,
            format!("{name} has no UID {uid}"),
        ));
    };
    if record.guid != guid {
        conn.port.encode(|encoder| encoder.data(&Data::MessageNil));
        return Ok(());
    }
    match conn.message_part(scope, guid, 0, CHUNK_BYTES).await {
        Ok((size, first)) => {
            send(
                conn,
                scope,
                FileHead {
                    partition,
                    guid,
                    size,
                },
                first,
            )
            .await
        }
        Err(StoreError::Corrupt { .. }) => {
            conn.port.encode(|encoder| encoder.data(&Data::MessageNil));
            Ok(())
        }
        Err(StoreError::NotFound { .. }) => Err(Fail::Refused(
            Code::MailboxNonexistent,
            format!("UID {uid} of {name} has no message"),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Sends the file. The next chunk is asked for while the one before goes out.
async fn send(conn: &mut Conn, scope: &Scope, head: FileHead, first: bytes::Bytes) -> Result<(), Fail> {
    let (guid, size) = (head.guid, head.size);
    conn.port
        .encode(|encoder| encoder.begin_data(&StreamingData::Message(head)));
    let mut sent = 0u64;
    let mut chunk = first;
    loop {
        let room = usize::try_from(size - sent).unwrap_or(usize::MAX);
        chunk.truncate(room);
        sent += chunk.len() as u64;
        let is_short = chunk.is_empty();
        conn.port.send_bytes(chunk);
        if sent == size {
            conn.port.encode(|encoder| encoder.end());
            return Ok(());
        }
        if is_short {
            return Err(conn.break_off());
        }
        conn.port.room().await;
        chunk = match conn.message_part(scope, guid, sent, CHUNK_BYTES).await {
            Ok((_, chunk)) => chunk,
            Err(_) => return Err(conn.break_off()),
        };
    }
}
