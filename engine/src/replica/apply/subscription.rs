//! `APPLY SUB` and `APPLY UNSUB`. Neither the mailbox nor the user has to exist. [CS-APPLY-24]

use protocol::Text;

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::name::Scope;
use crate::ticket::Change;

/// Subscribes.
pub(super) async fn sub(conn: &mut Conn, mboxname: Option<Text>, userid: Option<Text>) -> Result<(), Fail> {
    let mailbox = super::mailbox_name(mboxname, "MBOXNAME")?;
    conn.enter(&super::user_scope(userid)?).await?;
    conn.write(vec![Change::Subscribe { mailbox }]).await
}

/// Unsubscribes; not being subscribed is fine.
pub(super) async fn unsub(conn: &mut Conn, mboxname: Option<Text>, userid: Option<Text>) -> Result<(), Fail> {
    let mailbox = super::mailbox_name(mboxname, "MBOXNAME")?;
    let scope = super::user_scope(userid)?;
    if let Scope::User(user) = &scope
        && !conn.is_open(&scope)
        && !conn.user_meta(user).await?.subscriptions.contains(&mailbox)
    {
        return Ok(());
    }
    conn.enter(&scope).await?;
    conn.write(vec![Change::Unsubscribe { mailbox }]).await
}
