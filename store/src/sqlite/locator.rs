//! Which scopes may hold a mailbox of a given unique id.
//!
//! A hint, in a file of its own so that no user waits behind another's transaction: entries are made durable before
//! the mailbox is, never trusted without a look into the database they name, and can be made again from the users'
//! databases at any time. That happens by itself for databases that the locator has not seen, such as restored ones.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use engine::name::Scope;
use engine::ticket::StoreError;
use protocol::Text;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::Options;
use super::database::{Absent, connect};
use super::error::Outcome;
use super::files::Files;
use super::schema;

/// The open locator.
pub(crate) struct Locator {
    path: PathBuf,
    files: Arc<dyn Files>,
    conn: Mutex<Option<Connection>>,
}

impl Locator {
    /// Opens or makes the locator of a store; in a read-only store there may be none, and it then knows nothing.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        let path = dir.join("locator.db");
        let options = Options {
            cache_bytes: 1024 * 1024,
            ..options.clone()
        };
        let conn = connect(
            &path,
            schema::LOCATOR_ID,
            schema::LOCATOR,
            Absent::Create,
            &options,
            None,
        )
        .map_err(|failure| failure.at(&path, "the locator", &*options.files))?;
        Ok(Locator {
            path,
            files: options.files,
            conn: Mutex::new(conn),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Outcome<T>) -> Result<Option<T>, StoreError> {
        // A panic under the lock would leave at most an open transaction, which the next statement reports.
        let mut conn = self.conn.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(conn) = conn.as_mut() else {
            return Ok(None);
        };
        work(conn)
            .map(Some)
            .map_err(|failure| failure.at(&self.path, "the locator", &*self.files))
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Makes it durable that `scope`'s database, in this file, may hold these mailboxes.
    pub(crate) fn note(&self, file: &str, scope: &Scope, uniqueids: &[Text]) -> Result<(), StoreError> {
        let Scope::User(user) = scope else { return Ok(()) };
        let noted = self.with(|conn| {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for uniqueid in uniqueids {
                let sql = "INSERT OR IGNORE INTO locator(uniqueid, scope) VALUES(?1, ?2)";
                transaction
                    .prepare_cached(sql)?
                    .execute([&uniqueid[..], &user[..]])?;
            }
            transaction
                .prepare_cached("INSERT OR IGNORE INTO known(file) VALUES(?1)")?
                .execute([file])?;
            transaction.commit()?;
            Ok(())
        });
        noted.map(drop)
    }

    /// Forgets that a scope may hold a mailbox.
    pub(crate) fn forget(&self, scope: &Scope, uniqueid: &Text) -> Result<(), StoreError> {
        let Scope::User(user) = scope else { return Ok(()) };
        let sql = "DELETE FROM locator WHERE uniqueid = ?1 AND scope = ?2";
        self.with(|conn| {
            Ok(conn
                .prepare_cached(sql)?
                .execute(params![&uniqueid[..], &user[..]])?)
        })
        .map(drop)
    }

    /// The users who may have a mailbox.
    pub(crate) fn candidates(&self, uniqueid: &Text) -> Result<Vec<Scope>, StoreError> {
        let found = self.with(|conn| {
            let mut statement = conn.prepare_cached("SELECT scope FROM locator WHERE uniqueid = ?1")?;
            let rows = statement.query_map([&uniqueid[..]], |row| super::mailbox::text(row, 0))?;
            Ok(rows
                .map(|user| user.map(Scope::User))
                .collect::<rusqlite::Result<_>>()?)
        });
        found.map(Option::unwrap_or_default)
    }

    /// Whether the mailboxes of this database file are noted.
    pub(crate) fn knows(&self, file: &str) -> Result<bool, StoreError> {
        let known = self.with(|conn| {
            let mut statement = conn.prepare_cached("SELECT 1 FROM known WHERE file = ?1")?;
            Ok(statement.query_row([file], |_| Ok(())).optional()?.is_some())
        });
        known.map(|known| known.unwrap_or(false))
    }

    /// Forgets everything, to be noted again.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        self.with(|conn| {
            Ok(conn.execute_batch("BEGIN IMMEDIATE; DELETE FROM locator; DELETE FROM known; COMMIT")?)
        })
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_from_its_first_note_on() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let locator = Locator::open(dir.path(), &Options::default()).expect("opens");
        assert_eq!(locator.knows("jane.db"), Ok(false));
        let jane = Scope::User(Text::from("jane"));
        locator.note("jane.db", &jane, &[]).expect("notes");
        assert_eq!(locator.knows("jane.db"), Ok(true));
        assert_eq!(locator.knows("joe.db"), Ok(false));
        locator.clear().expect("clears");
        assert_eq!(locator.knows("jane.db"), Ok(false));
    }
}
