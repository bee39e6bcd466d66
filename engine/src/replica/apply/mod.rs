//! The APPLY commands. [CS-APPLY-1]

mod annotation;
mod buried;
mod capabilities;
mod delete;
mod expunge;
pub(super) mod header;
pub(super) mod mailbox;
pub(super) mod message;
mod quota;
mod rename;
mod reserve;
mod seen;
mod sieve;
mod subscription;
pub(super) mod writer;

use protocol::Text;
use protocol::command::Apply;
use protocol::response::Data;

use super::fail::{Fail, unknown_keyword};
use super::session::Conn;
use crate::name::Scope;

/// Longest user id taken, bytes.
const USERID_BYTES_MAX: usize = 255;

/// Does a command that came as one line; what it returns precedes the `OK`.
pub(super) async fn run(conn: &mut Conn, command: Apply) -> Result<Vec<Data>, Fail> {
    match command {
        Apply::Reserve(reserve) => return reserve::run(conn, reserve).await,
        Apply::Capabilities(names) => return capabilities::run(conn, names).await,
        Apply::Force => capabilities::force(conn).await,
        Apply::Expunge {
            mboxname,
            uniqueid,
            uids,
        } => expunge::run(conn, mboxname, uniqueid, uids).await?,
        Apply::Rename {
            oldmboxname,
            newmboxname,
            partition,
            ..
        } => {
            rename::run(conn, oldmboxname, newmboxname, partition).await?;
        }
        Apply::Unmailbox { mboxname, .. } => delete::mailbox(conn, mboxname).await?,
        Apply::Unuser { userid, .. } => delete::user(conn, userid).await?,
        Apply::Sub { mboxname, userid } => subscription::sub(conn, mboxname, userid).await?,
        Apply::Unsub { mboxname, userid } => subscription::unsub(conn, mboxname, userid).await?,
        Apply::Seen(seen) => seen::run(conn, seen).await?,
        Apply::Quota(quota) => quota::run(conn, quota).await?,
        Apply::Unquota { root } => quota::remove(conn, root).await?,
        Apply::Sieve {
            userid,
            filename,
            last_update,
            content,
        } => {
            sieve::put(conn, userid, filename, last_update, content).await?;
        }
        Apply::Unsieve { userid, filename } => sieve::remove(conn, userid, filename).await?,
        Apply::ActivateSieve { userid, filename } => sieve::activate(conn, userid, filename).await?,
        Apply::UnactivateSieve { userid } => sieve::deactivate(conn, userid).await?,
        Apply::Annotation {
            mboxname,
            entry,
            userid,
            value,
        } => {
            annotation::set(conn, mboxname, entry, userid, value).await?;
        }
        Apply::Unannotation {
            mboxname,
            entry,
            userid,
        } => {
            annotation::remove(conn, mboxname, entry, userid).await?;
        }
        Apply::Unknown(keyword) => return Err(unknown_keyword(&keyword)),
    }
    Ok(Vec::new())
}

/// A value that the command cannot do without. [CS-APPLY-4]
fn required<T>(value: Option<T>, key: &str) -> Result<T, Fail> {
    value.ok_or_else(|| Fail::missing(key))
}

/// The scope of a user id that can have one.
fn user_scope(userid: Option<Text>) -> Result<Scope, Fail> {
    let user = required(userid, "USERID")?;
    if user.is_empty() || user.len() > USERID_BYTES_MAX || user.iter().any(u8::is_ascii_control) {
        return Err(Fail::bad(format!(
            "USERID must have 1 to {USERID_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(Scope::User(user))
}

/// A mailbox name that can be looked up and kept.
fn mailbox_name(name: Option<Text>, key: &str) -> Result<Text, Fail> {
    let name = required(name, key)?;
    if name.is_empty() {
        Err(Fail::bad(format!("{key} is empty")))
    } else {
        Ok(name)
    }
}
