//! SCRAM verifiers of those who may log in. Kept with the shared mailboxes; the password itself is nowhere.

use engine::name::Scope;
use engine::ticket::StoreError;
use protocol::Text;
use rusqlite::{OptionalExtension, params};

use super::SqliteStore;
use super::database::{Absent, Database};
use super::error::Outcome;
use super::mailbox::text;

/// What a server keeps to check one user by one mechanism (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// Name of the mechanism, such as `SCRAM-SHA-256`.
    pub mechanism: String,
    /// Salt.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Hash of the client key.
    pub stored_key: Vec<u8>,
    /// Server key.
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verifier({}, {} rounds, ..)", self.mechanism, self.iterations)
    }
}

/// The verifiers of a store.
#[derive(Clone)]
pub struct Credentials {
    store: SqliteStore,
}

/// Each call opens the database for itself: logging in is rare, and whoever changes a password does one thing.
///
/// # Errors
/// Every call answers what the database of the shared mailboxes has to say: locked, damaged, full and so on.
impl Credentials {
    /// Those of this store.
    pub fn of(store: &SqliteStore) -> Self {
        Credentials { store: store.clone() }
    }

    /// Replaces everything that is known of a user; durable when it returns.
    pub fn put(&self, user: &[u8], verifiers: &[Verifier]) -> Result<(), StoreError> {
        self.write(|database| {
            remove(database, user)?;
            let sql = "INSERT INTO credential(user, mechanism, salt, iterations, stored_key, server_key) \
                       VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
            let mut insert = database.conn.prepare_cached(sql)?;
            for verifier in verifiers {
                let Verifier {
                    mechanism,
                    salt,
                    iterations,
                    stored_key,
                    server_key,
                } = verifier;
                insert.execute(params![user, mechanism, salt, iterations, stored_key, server_key])?;
            }
            Ok(())
        })
    }

    /// The verifier of a user for a mechanism, by the name it was put under.
    pub fn get(&self, user: &[u8], mechanism: &str) -> Result<Option<Verifier>, StoreError> {
        let found = self.read(|database| {
            let sql = "SELECT salt, iterations, stored_key, server_key FROM credential \
                       WHERE user = ?1 AND mechanism = ?2";
            let mut statement = database.conn.prepare_cached(sql)?;
            let found = statement.query_row(params![user, mechanism], |row| {
                Ok(Verifier {
                    mechanism: mechanism.to_owned(),
                    salt: row.get(0)?,
                    iterations: row.get(1)?,
                    stored_key: row.get(2)?,
                    server_key: row.get(3)?,
                })
            });
            Ok(found.optional()?)
        });
        found.map(Option::flatten)
    }

    /// Forgets a user; answers whether there was one.
    pub fn remove(&self, user: &[u8]) -> Result<bool, StoreError> {
        self.write(|database| remove(database, user))
    }

    /// Everyone who may log in, in byte order.
    pub fn users(&self) -> Result<Vec<Text>, StoreError> {
        let found = self.read(|database| {
            let sql = "SELECT DISTINCT user FROM credential ORDER BY user";
            let mut statement = database.conn.prepare_cached(sql)?;
            let users = statement
                .query_map([], |row| text(row, 0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(users)
        });
        found.map(Option::unwrap_or_default)
    }

    fn read<T>(&self, work: impl FnOnce(&Database) -> Outcome<T>) -> Result<Option<T>, StoreError> {
        let store = &self.store.inner;
        match Database::open(&store.dir, &Scope::Shared, Absent::Tell, &store.options)? {
            Some(database) => work(&database)
                .map(Some)
                .map_err(|failure| database.fail(failure)),
            None => Ok(None),
        }
    }

    fn write<T>(&self, work: impl FnOnce(&Database) -> Outcome<T>) -> Result<T, StoreError> {
        let mut database = self.store.inner.open_for_write(&Scope::Shared)?;
        let done = database.begin_write().and_then(|()| {
            let done = work(&database)?;
            database.run("COMMIT")?;
            Ok(done)
        });
        // Closing the connection takes back what was not committed.
        done.map_err(|failure| database.fail(failure))
    }
}

fn remove(database: &Database, user: &[u8]) -> Outcome<bool> {
    Ok(database
        .conn
        .prepare_cached("DELETE FROM credential WHERE user = ?1")?
        .execute([user])?
        > 0)
}
