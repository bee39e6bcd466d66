//! The SIEVE commands: scripts of peers that do not send them as messages. [CS-APPLY-26]
//! [CS-APPLY-27] [CS-APPLY-28] [CS-EXC-22]

use protocol::Text;

use super::super::fail::Fail;
use super::super::get::sieve::{COMPILED, SOURCE, guid_of, strip_extension};
use super::super::session::Conn;
use crate::model::SieveScript;
use crate::name::Scope;
use crate::ticket::Change;

/// Keeps a script. Files that are no source (compiled scripts of older peers) are taken and not kept.
pub(super) async fn put(
    conn: &mut Conn,
    userid: Option<Text>,
    filename: Option<Text>,
    last_update: Option<i64>,
    content: Option<Text>,
) -> Result<(), Fail> {
    let scope = super::user_scope(userid)?;
    let filename = super::required(filename, "FILENAME")?;
    let last_update = super::required(last_update, "LAST_UPDATE")?;
    let content = super::required(content, "CONTENT")?;
    let Some(name) = strip_extension(&filename, SOURCE) else {
        return Ok(());
    };
    let script = SieveScript {
        name,
        last_update,
        guid: guid_of(&content),
        content,
    };
    conn.enter(&scope).await?;
    conn.write(vec![Change::PutScript(script)]).await
}

/// Removes a script. [CS-APPLY-29]
pub(super) async fn remove(
    conn: &mut Conn,
    userid: Option<Text>,
    filename: Option<Text>,
) -> Result<(), Fail> {
    let scope = super::user_scope(userid.clone())?;
    let filename = super::required(filename, "FILENAME")?;
    let Some(name) = strip_extension(&filename, SOURCE) else {
        return withdraw(conn, userid, &filename).await;
    };
    existing(conn, userid, &name).await?;
    conn.enter(&scope).await?;
    conn.write(vec![Change::RemoveScript { name }]).await
}

/// Masters from 3.6 on remove the compiled file of a script that is active no more, and do not say so otherwise.
/// [CS-EXC-26]
async fn withdraw(conn: &mut Conn, userid: Option<Text>, filename: &Text) -> Result<(), Fail> {
    let user = super::required(userid.clone(), "USERID")?;
    let name = strip_extension(filename, COMPILED);
    if name.is_some() && conn.user_meta(&user).await?.active_script == name {
        return deactivate(conn, userid).await;
    }
    Ok(())
}

/// Makes a script the active one, named by its compiled file. [CS-APPLY-30]
pub(super) async fn activate(
    conn: &mut Conn,
    userid: Option<Text>,
    filename: Option<Text>,
) -> Result<(), Fail> {
    let scope = super::user_scope(userid.clone())?;
    let filename = super::required(filename, "FILENAME")?;
    let name = strip_extension(&filename, COMPILED)
        .ok_or_else(|| Fail::other(format!("{filename} does not end in .bc")))?;
    existing(conn, userid, &name).await?;
    conn.enter(&scope).await?;
    conn.write(vec![Change::ActivateScript { name: Some(name) }])
        .await
}

/// Makes no script the active one. [CS-APPLY-31]
pub(super) async fn deactivate(conn: &mut Conn, userid: Option<Text>) -> Result<(), Fail> {
    let scope = super::user_scope(userid)?;
    if let Scope::User(user) = &scope
        && !conn.is_open(&scope)
        && conn.user_meta(user).await?.active_script.is_none()
    {
        return Ok(());
    }
    conn.enter(&scope).await?;
    conn.write(vec![Change::ActivateScript { name: None }]).await
}

async fn existing(conn: &Conn, userid: Option<Text>, name: &Text) -> Result<(), Fail> {
    let user = super::required(userid, "USERID")?;
    let meta = conn.user_meta(&user).await?;
    if meta.scripts.iter().any(|script| script.name == *name) {
        return Ok(());
    }
    Err(Fail::other(format!("{user} has no script {name}")))
}
