//! The databases a session has open: few, because there may be many users.

use std::path::PathBuf;

use engine::name::Scope;
use engine::ticket::StoreError;

use super::Options;
use super::database::{Absent, Database};

/// Open databases, the one used last at the end.
pub(crate) struct Pool {
    dir: PathBuf,
    options: Options,
    open: Vec<Database>,
}

impl Pool {
    pub(crate) fn new(dir: PathBuf, options: Options) -> Self {
        Pool {
            dir,
            options,
            open: Vec::new(),
        }
    }

    /// Whether a scope's database is open.
    pub(crate) fn has(&self, scope: &Scope) -> bool {
        self.open.iter().any(|database| database.scope == *scope)
    }

    /// Takes a scope's database out of the pool, opening it when needed; `None` when there is none and none is to be
    /// made.
    pub(crate) fn take(&mut self, scope: &Scope, absent: Absent) -> Result<Option<Database>, StoreError> {
        if let Some(at) = self.open.iter().position(|database| database.scope == *scope) {
            let database = self.open.remove(at);
            if database.is_in_place() {
                return Ok(Some(database));
            }
        }
        Database::open(&self.dir, scope, absent, &self.options)
    }

    /// Puts a database back, without a transaction, and closes the one unused for longest.
    pub(crate) fn put(&mut self, database: Database) {
        self.open.push(database);
        if self.open.len() > self.options.connections.max(1) {
            drop(self.open.remove(0));
        }
    }

    /// Closes all that are in the pool.
    pub(crate) fn clear(&mut self) {
        self.open = Vec::new();
    }

    /// Works with a scope's database; `None` when there is none.
    pub(crate) fn with<T>(
        &mut self,
        scope: &Scope,
        work: impl FnOnce(&mut Database) -> super::error::Outcome<T>,
    ) -> Result<Option<T>, StoreError> {
        let Some(mut database) = self.take(scope, Absent::Tell)? else {
            return Ok(None);
        };
        let done = work(&mut database).map_err(|failure| database.fail(failure));
        self.put(database);
        done.map(Some)
    }
}
