//! `APPLY RENAME`. [CS-APPLY-16] [CS-APPLY-17] [CS-APPLY-18] [CS-APPLY-19] [CS-APPLY-20] [CS-APPLY-54] [CS-EXC-21]
//! [CS-EXC-33]

use protocol::Text;
use protocol::response::Code;

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::model::Mailbox;
use crate::name::{Scope, is_acceptable};
use crate::ticket::{Change, Request, Select};

/// Gives a mailbox another name, another partition, or both. Identity, records, UIDVALIDITY and CRCs stay; mailboxes
/// below it are not touched, and none is created above it. FOLDERMODSEQ stays too: the master sends its own right
/// after, and takes a higher one here for a change it has not seen. [CS-APPLY-52]
pub(super) async fn run(
    conn: &mut Conn,
    oldmboxname: Option<Text>,
    newmboxname: Option<Text>,
    partition: Option<Text>,
) -> Result<(), Fail> {
    let old = super::mailbox_name(oldmboxname, "OLDMBOXNAME")?;
    let new = super::mailbox_name(newmboxname, "NEWMBOXNAME")?;
    let (from, to) = (Scope::of(&old), Scope::of(&new));
    // Looked up before anything is opened, so that no database comes to be for a source that does not exist.
    let source = conn.mailbox(&old).await?;
    // Only a placeholder has none; a line without it is none of a mailbox, whether there is one or not.
    if partition.is_none() && !source.as_ref().is_some_and(Mailbox::is_placeholder) {
        return Err(Fail::missing("PARTITION"));
    }
    let source = source.ok_or_else(|| Fail::nonexistent(&old))?;
    if from == to {
        conn.enter(&from).await?;
        let source = conn.mailbox(&old).await?.ok_or_else(|| Fail::nonexistent(&old))?;
        let target = renamed(conn, source, &new, partition).await?;
        conn.write(vec![Change::PutMailbox(Box::new(target))]).await?;
        conn.looks.moved(&old, &new);
        return Ok(());
    }
    conn.settle().await;
    let key = source.key();
    let target = renamed(conn, source, &new, partition).await?;
    conn.port
        .store(Request::MoveMailbox {
            from: key,
            to: Box::new(target),
        })
        .await?;
    conn.looks.moved(&old, &new);
    Ok(())
}

/// The mailbox as it will be, if it may be.
async fn renamed(
    conn: &Conn,
    mut mailbox: Mailbox,
    new: &Text,
    partition: Option<Text>,
) -> Result<Mailbox, Fail> {
    if conn.looks.is_another(&mailbox) {
        return Err(Fail::Refused(
            Code::SyncChanged,
            format!("{} is another mailbox than when you looked at it", mailbox.name),
        ));
    }
    if mailbox.name == *new {
        if partition
            .as_ref()
            .is_none_or(|partition| *partition == mailbox.partition)
        {
            return Err(Fail::other(format!("{new} has this name and partition already")));
        }
    } else {
        if !is_acceptable(new) {
            return Err(Fail::other(format!("{new} is no acceptable mailbox name")));
        }
        let taken = conn.mailboxes(Select::Names(vec![new.clone()])).await?;
        if taken.iter().any(|other| !other.is_placeholder()) {
            return Err(Fail::other(format!("mailbox {new} exists already")));
        }
    }
    if let Some(partition) = partition {
        if !conn.knows_partition(&partition) {
            return Err(Fail::other(format!("unknown partition {partition}")));
        }
        mailbox.partition = partition;
    }
    mailbox.name = new.clone();
    Ok(mailbox)
}
