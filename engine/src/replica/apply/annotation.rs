//! `APPLY ANNOTATION` and `APPLY UNANNOTATION`: annotations of a mailbox, or for the empty name of the server. No
//! modseq changes with them, and those of a mailbox have none of their own. [CS-APPLY-33] [CS-APPLY-35]

use protocol::{Annotation, Text};

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::model::ServerAnnotation;
use crate::name::Scope;
use crate::ticket::Change;

/// Sets an annotation.
pub(super) async fn set(
    conn: &mut Conn,
    mboxname: Option<Text>,
    entry: Option<Text>,
    userid: Option<Text>,
    value: Option<Text>,
) -> Result<(), Fail> {
    let name = super::required(mboxname, "MBOXNAME")?;
    let entry = super::required(entry, "ENTRY")?;
    let userid = super::required(userid, "USERID")?;
    let value = super::required(value, "VALUE")?;
    if !entry.starts_with(b"/") {
        return Err(Fail::other(format!(
            "{entry} is no annotation entry: it must begin with a slash"
        )));
    }
    if name.is_empty() {
        conn.enter(&Scope::Shared).await?;
        let annotation = ServerAnnotation { entry, userid, value };
        return conn.write(vec![Change::PutServerAnnotation(annotation)]).await;
    }
    change(conn, &name, |annotations| {
        match annotations
            .iter_mut()
            .find(|a| a.entry == entry && a.userid == userid)
        {
            Some(annotation) => annotation.value = value,
            None => annotations.push(Annotation {
                entry,
                userid,
                modseq: 0,
                value,
            }),
        }
    })
    .await
}

/// Removes an annotation; an absent one is no error. [CS-APPLY-34]
pub(super) async fn remove(
    conn: &mut Conn,
    mboxname: Option<Text>,
    entry: Option<Text>,
    userid: Option<Text>,
) -> Result<(), Fail> {
    let name = super::required(mboxname, "MBOXNAME")?;
    let entry = super::required(entry, "ENTRY")?;
    let userid = super::required(userid, "USERID")?;
    if name.is_empty() {
        conn.enter(&Scope::Shared).await?;
        return conn
            .write(vec![Change::RemoveServerAnnotation { entry, userid }])
            .await;
    }
    change(conn, &name, |annotations| {
        annotations.retain(|a| a.entry != entry || a.userid != userid)
    })
    .await
}

async fn change(conn: &mut Conn, name: &Text, work: impl FnOnce(&mut Vec<Annotation>)) -> Result<(), Fail> {
    if conn.mailbox(name).await?.is_none() {
        return Err(Fail::nonexistent(name));
    }
    conn.enter(&Scope::of(name)).await?;
    let mut mailbox = conn.mailbox(name).await?.ok_or_else(|| Fail::nonexistent(name))?;
    work(&mut mailbox.annotations);
    conn.write(vec![Change::PutMailbox(Box::new(mailbox))]).await
}
