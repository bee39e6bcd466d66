//! `APPLY UNMAILBOX` and `APPLY UNUSER`. [CS-APPLY-21] [CS-APPLY-23]

use protocol::Text;
use protocol::response::Code;

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::model::{Mailbox, Tombstone, UserMeta};
use crate::name::{self, Scope};
use crate::ticket::{Change, Select};

/// Removes a mailbox at once, and remembers that it was removed; what is below it stays, and no place
/// holder is left. [CS-APPLY-22] [CS-EXC-14]
pub(super) async fn mailbox(conn: &mut Conn, mboxname: Option<Text>) -> Result<(), Fail> {
    let name = super::required(mboxname, "the mailbox name")?;
    if conn.mailbox(&name).await?.is_none() {
        return Err(Fail::nonexistent(&name));
    }
    conn.enter(&Scope::of(&name)).await?;
    let mailbox = conn
        .mailbox(&name)
        .await?
        .ok_or_else(|| Fail::nonexistent(&name))?;
    refuse_stale(conn, &mailbox)?;
    conn.looks.forget(&name);
    let tombstone = tombstone_of(&mailbox, conn.port.now().0);
    conn.write(vec![Change::RemoveMailbox {
        uniqueid: mailbox.uniqueid,
        tombstone: Some(tombstone),
    }])
    .await
}

/// A peer that was told of this mailbox on this connection, and of something else than there is now, has to look again.
/// [CS-APPLY-53]
fn refuse_stale(conn: &Conn, mailbox: &Mailbox) -> Result<(), Fail> {
    if conn.looks.is_stale(mailbox) {
        return Err(Fail::Refused(
            Code::SyncChanged,
            format!("{} has changed since you looked at it", mailbox.name),
        ));
    }
    Ok(())
}

/// What is remembered of a mailbox that goes.
pub(in super::super) fn tombstone_of(mailbox: &Mailbox, deleted_at: i64) -> Tombstone {
    Tombstone {
        uniqueid: mailbox.uniqueid.clone(),
        name: mailbox.name.clone(),
        highestmodseq: mailbox.highestmodseq,
        uidvalidity: mailbox.uidvalidity,
        deleted_at,
        gave_way: false,
    }
}

/// Removes a user with everything but what lies below `DELETED.`; the empty name, and that of no user, is no error.
/// [CS-EXC-17]
pub(super) async fn user(conn: &mut Conn, userid: Option<Text>) -> Result<(), Fail> {
    let user = super::required(userid, "the user id")?;
    if user.is_empty() {
        return Ok(());
    }
    let scope = super::user_scope(Some(user.clone()))?;
    if !conn.is_open(&scope) && is_unknown(conn, &user, &scope).await? {
        return Ok(());
    }
    conn.enter(&scope).await?;
    let mut going = conn.mailboxes(Select::User(user.clone())).await?;
    going.retain(|mailbox| !name::is_deleted(&mailbox.name));
    for mailbox in &going {
        refuse_stale(conn, mailbox)?;
    }
    for mailbox in &going {
        conn.looks.forget(&mailbox.name);
    }
    let deleted_at = conn.port.now().0;
    conn.write(vec![Change::RemoveUser { deleted_at }]).await
}

/// Whether nothing is kept of the user: a transaction would make a database for nobody.
async fn is_unknown(conn: &Conn, user: &Text, scope: &Scope) -> Result<bool, Fail> {
    Ok(conn.mailboxes(Select::User(user.clone())).await?.is_empty()
        && conn.user_meta(user).await? == UserMeta::default()
        && conn.quotas(scope).await?.is_empty())
}
