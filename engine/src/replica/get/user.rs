//! `GET USER` and `GET META`. [CS-GET-6] [CS-GET-7]

use protocol::Text;
use protocol::command::Seen;
use protocol::response::Data;

use super::super::fail::Fail;
use super::super::line;
use super::super::session::Conn;
use super::{quota, sieve};
use crate::model::{Mailbox, UserMeta, UserSummary};
use crate::name::Scope;
use crate::ticket::{Select, StoreError};

/// Mailboxes, then quota roots, then, when there is a real mailbox, seen states, subscriptions and scripts. A user
/// who does not exist is an empty answer. [CS-GET-15]
pub(super) async fn user(conn: &mut Conn, user: Option<Text>) -> Result<(), Fail> {
    let user = user.ok_or_else(|| Fail::missing("the user id"))?;
    if user.is_empty() {
        return Ok(());
    }
    let UserSummary {
        mailboxes,
        quotas,
        meta,
        ..
    } = match conn.summary(&user).await {
        Err(StoreError::NotFound { .. }) => return Ok(()),
        summary => summary?,
    };
    for mailbox in &mailboxes {
        if !conn.shows(mailbox) {
            continue;
        }
        conn.looks.told(mailbox);
        conn.port.room().await;
        conn.port
            .encode(|encoder| encoder.data(&Data::Mailbox(Box::new(line::of_mailbox(mailbox, false)))));
    }
    for limits in &quotas {
        conn.port
            .encode(|encoder| encoder.data(&Data::Quota(quota::of_limits(limits))));
    }
    if mailboxes.iter().any(|mailbox| !mailbox.is_placeholder()) {
        return send_meta(conn, &user, &meta, &mailboxes).await;
    }
    Ok(())
}

/// A user's seen states, subscriptions and scripts, with or without an INBOX. [CS-GET-19]
pub(super) async fn meta(conn: &mut Conn, user: Option<Text>) -> Result<(), Fail> {
    let user = user.ok_or_else(|| Fail::missing("the user id"))?;
    if user.is_empty() {
        return Ok(());
    }
    conn.begin_read(&Scope::User(user.clone())).await?;
    let outcome = meta_within(conn, &user).await;
    conn.end_read(&Scope::User(user.clone())).await;
    outcome
}

async fn meta_within(conn: &mut Conn, user: &Text) -> Result<(), Fail> {
    let meta = conn.user_meta(user).await?;
    let mailboxes = conn
        .mailboxes(Select::Names(vec![sieve::mailbox_of(user)]))
        .await?;
    send_meta(conn, user, &meta, &mailboxes).await
}

/// [CS-GET-16] [CS-GET-29] [CS-GET-30]
async fn send_meta(conn: &mut Conn, user: &Text, meta: &UserMeta, mailboxes: &[Mailbox]) -> Result<(), Fail> {
    for seen in &meta.seen {
        conn.port.room().await;
        let line = Seen {
            userid: None,
            uniqueid: Some(seen.uniqueid.clone()),
            lastread: Some(seen.lastread),
            lastuid: Some(seen.lastuid),
            lastchange: Some(seen.lastchange),
            seenuids: Some(seen.seenuids.clone()),
        };
        conn.port.encode(|encoder| encoder.data(&Data::Seen(line)));
    }
    if !meta.subscriptions.is_empty() {
        conn.port
            .encode(|encoder| encoder.data(&Data::Lsub(meta.subscriptions.clone())));
    }
    // Scripts that are messages travel as such; those that came by commands are listed to every peer.
    if conn.sieve_mailbox && meta.scripts.is_empty() {
        return Ok(());
    }
    sieve::list(conn, user, meta, mailboxes).await
}
