//! The GET commands. Each reads one state of its scope; data lines are sent as they come. [CS-GET-2] [CS-GET-3]
//! [CS-GET-4]

mod annotation;
mod fetch;
mod mailboxes;
pub(super) mod quota;
pub(super) mod sieve;
mod user;

use protocol::Record;
use protocol::command::Get;

use super::fail::{Fail, unknown_keyword};
use super::session::Conn;
use crate::model::Mailbox;
use crate::name::{Scope, is_sieve};
use crate::ticket::{Request, StoreError};

/// Answers a GET up to its final line.
pub(super) async fn run(conn: &mut Conn, get: Get) -> Result<(), Fail> {
    match get {
        Get::User(user) => user::user(conn, user).await,
        Get::Meta(user) => user::meta(conn, user).await,
        Get::Mailboxes(names) => mailboxes::by_name(conn, names).await,
        Get::Uniqueids(ids) => mailboxes::by_uniqueid(conn, ids).await,
        Get::FullMailbox(name) => mailboxes::full(conn, name).await,
        Get::Quota(root) => quota::run(conn, root).await,
        Get::Annotation(name) => annotation::run(conn, name).await,
        Get::Fetch(fetch) => fetch::run(conn, fetch).await,
        Get::FetchSieve { userid, filename } => sieve::fetch(conn, userid, filename).await,
        Get::Unknown(keyword) => Err(unknown_keyword(&keyword)),
    }
}

impl Conn {
    /// Holds the scope's state for the reads that follow. A scope that does not exist yet holds nothing.
    async fn begin_read(&self, scope: &Scope) -> Result<(), Fail> {
        match self.port.store(Request::BeginRead { scope: scope.clone() }).await {
            Ok(_) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the held state go. Nothing hangs on the answer: the reads are done.
    async fn end_read(&self, scope: &Scope) {
        let _ = self.port.store(Request::EndRead { scope: scope.clone() }).await;
    }

    /// Whether this peer is shown the mailbox: `#sieve` ones only when it asked for them. [CS-GET-17]
    fn shows(&self, mailbox: &Mailbox) -> bool {
        self.sieve_mailbox || !(is_sieve(&mailbox.name) || super::mbtype::is_sieve(&mailbox.mbtype))
    }
}

/// The highest UID of a chunk of records.
fn last_uid(records: &[Record]) -> Option<u32> {
    records.last().map(|record| record.uid)
}
