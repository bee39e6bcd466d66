//! One open database file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use engine::name::Scope;
use engine::ticket::StoreError;
use protocol::{Guid, Text};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::Options;
use super::error::{Failure, Outcome, io_error};
use super::files::{Files, Identity};
use super::place::beside;
use super::schema::{self, State};

/// Beginning of the names of databases that are being made.
pub(crate) const UNFINISHED: &str = ".new-";

/// What is done when there is no file, or an empty one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// Make one.
    Create,
    /// Say so.
    Tell,
}

/// Keyword names are stored once a database; a number never changes its name once it is committed.
#[derive(Default)]
pub(crate) struct Keywords {
    pub(crate) ids: BTreeMap<Text, u64>,
    pub(crate) names: BTreeMap<u64, Text>,
}

/// A connection to the database of one scope, with what is worth remembering between requests.
pub(crate) struct Database {
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
    pub(crate) scope: Scope,
    pub(crate) keywords: Keywords,
    /// The part of a message that was read last, by content, so that it can never be stale.
    pub(crate) chunk: Option<(Guid, u64, Bytes)>,
    /// The next free message number within the open transaction.
    pub(crate) next_message: Option<i64>,
    /// Bytes of messages stored since the last checkpoint was wished for.
    pub(crate) new_bytes: u64,
    files: Arc<dyn Files>,
    identity: Option<Identity>,
}

impl Database {
    /// Opens the database of a scope; `None` when there is none and none is to be made.
    pub(crate) fn open(
        dir: &Path,
        scope: &Scope,
        absent: Absent,
        options: &Options,
    ) -> Result<Option<Self>, StoreError> {
        let path = super::place::database(dir, scope);
        let opened = Self::open_at(&path, scope, absent, options);
        opened.map_err(|failure| failure.in_scope(&path, scope, &*options.files))
    }

    fn open_at(path: &Path, scope: &Scope, absent: Absent, options: &Options) -> Outcome<Option<Self>> {
        let Some(conn) = connect(
            path,
            schema::MAIL_ID,
            schema::MAIL,
            absent,
            options,
            Some(owner_of(scope)),
        )?
        else {
            return Ok(None);
        };
        let database = Database::new(conn, path, scope, &options.files);
        database.check_scope(absent == Absent::Create)?;
        Ok(Some(database))
    }

    /// The database of a scope over a connection that only reads; `None` when it is not one that can be read so.
    pub(crate) fn over(
        conn: Connection,
        path: &Path,
        scope: &Scope,
        files: &Arc<dyn Files>,
    ) -> Outcome<Option<Self>> {
        if schema::state(&conn, schema::MAIL_ID, schema::MAIL, path)? != State::Current {
            return Ok(None);
        }
        let database = Database::new(conn, path, scope, files);
        database.check_scope(false)?;
        Ok(Some(database))
    }

    fn new(conn: Connection, path: &Path, scope: &Scope, files: &Arc<dyn Files>) -> Self {
        Database {
            conn,
            path: path.to_path_buf(),
            scope: scope.clone(),
            keywords: Keywords::default(),
            chunk: None,
            next_message: None,
            new_bytes: 0,
            identity: files.identity(path).ok(),
            files: Arc::clone(files),
        }
    }

    /// A database remembers whose it is, so that a file under a wrong name is noticed and not served as another's mail.
    fn check_scope(&self, writable: bool) -> Outcome<()> {
        let owner = owner_of(&self.scope);
        let stored = self.meta_value("scope")?;
        match stored {
            Some(stored) if stored == owner => Ok(()),
            Some(stored) => {
                let whose = stored.escape_ascii();
                Err(Failure::damaged(format!(
                    "it is the database of user \"{whose}\" under another's name"
                )))
            }
            None if writable => self.set_meta_value("scope", Some(owner)),
            None => Ok(()),
        }
    }

    /// Whether the path still names the file that is open; an operator may have removed or replaced it.
    pub(crate) fn is_in_place(&self) -> bool {
        self.identity == self.files.identity(&self.path).ok()
    }

    /// The error for the one who asked.
    pub(crate) fn fail(&self, failure: Failure) -> StoreError {
        failure.in_scope(&self.path, &self.scope, &*self.files)
    }

    /// Runs a statement without parameters.
    pub(crate) fn run(&self, sql: &str) -> Outcome<()> {
        self.conn.prepare_cached(sql)?.raw_execute()?;
        Ok(())
    }

    /// Fixes the state that the reads of the open transaction see.
    pub(crate) fn begin_read(&self) -> Outcome<()> {
        self.run("BEGIN DEFERRED")?;
        // SQLite takes its snapshot at the first read, not at BEGIN.
        self.meta_value("scope").map(drop)
    }

    /// Does several reads in one read transaction: they see one state, and take SQLite's lock once.
    pub(crate) fn within_read<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if !self.conn.is_autocommit() {
            return work(self);
        }
        self.run("BEGIN DEFERRED")?;
        let done = work(self);
        if !self.conn.is_autocommit() {
            self.run("ROLLBACK")?;
        }
        done
    }

    /// Opens the write transaction, waiting for the lock as long as the options say.
    pub(crate) fn begin_write(&mut self) -> Outcome<()> {
        self.next_message = None;
        self.run("BEGIN IMMEDIATE")
    }

    /// Ends the transaction without its changes. SQLite may have done so itself after an error.
    pub(crate) fn rollback(&mut self) -> Outcome<()> {
        self.forget_numbers();
        if self.conn.is_autocommit() {
            Ok(())
        } else {
            self.run("ROLLBACK")
        }
    }

    /// Forgets numbers that were given out by changes that are undone.
    pub(crate) fn forget_numbers(&mut self) {
        self.keywords = Keywords::default();
        self.next_message = None;
    }

    pub(crate) fn meta_value(&self, key: &str) -> Outcome<Option<Vec<u8>>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(statement
            .query_row([key], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()?
            .flatten())
    }

    pub(crate) fn set_meta_value(&self, key: &str, value: Option<&[u8]>) -> Outcome<()> {
        let sql = "INSERT INTO meta(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2";
        self.conn.prepare_cached(sql)?.execute((key, value))?;
        Ok(())
    }
}

/// Whose a scope's database says it is.
fn owner_of(scope: &Scope) -> &[u8] {
    match scope {
        Scope::User(user) => user.as_bytes(),
        Scope::Shared => b"",
    }
}

/// Opens a file of the store and sees that its schema is the newest one. A new mail database is that of `owner`.
pub(crate) fn connect(
    path: &Path,
    application_id: i32,
    migrations: &[&str],
    absent: Absent,
    options: &Options,
    owner: Option<&[u8]>,
) -> Outcome<Option<Connection>> {
    let create = absent == Absent::Create && !options.read_only;
    if !create && !is_there(path, options)? {
        return Ok(None);
    }
    let access = match (options.read_only, create) {
        (true, _) => OpenFlags::SQLITE_OPEN_READ_ONLY,
        (false, true) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        (false, false) => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    if create && !is_there(path, options)? {
        self::create(path, application_id, migrations, options, owner)?;
    }
    keep_log(path, options)?;
    let mut conn = open(path, access, &*options.files)?;
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(128);
    configure(&conn, options)?;
    let state = schema::state(&conn, application_id, migrations, path)?;
    if state == State::Empty && !create {
        return Ok(None);
    }
    if state != State::Current {
        if options.read_only {
            return Err(StoreError::ReadOnly {
                path: path.display().to_string(),
            }
            .into());
        }
        conn.pragma_update(None, "page_size", options.page_bytes)?;
        use_write_ahead_log(&conn)?;
        schema::migrate(&mut conn, application_id, migrations, path)?;
    }
    Ok(Some(conn))
}

/// Makes durable what is in the log. A process that was killed within a commit may have left a transaction there that is
/// whole, and which SQLite shows from now on, but which a power failure could still take away: and who saw it relies on it.
fn keep_log(path: &Path, options: &Options) -> Outcome<()> {
    let log = beside(path, "-wal");
    if options.read_only || !is_there(&log, options)? {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let synced = match options.files.sync(&log) {
        // Another connection has just removed it, after it had copied everything.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        synced => synced.and_then(|()| options.files.sync(folder)),
    };
    synced.map_err(|error| io_error(path, &error).into())
}

/// Makes a database that is there as a whole or not at all, for its owner alone, and survives a power failure.
///
/// It is filled under a temporary name without a single `fsync`, and synced once when it is complete: done in place,
/// SQLite needs nine of them, which is what a first replication of many small users would wait for.
fn create(
    path: &Path,
    application_id: i32,
    migrations: &[&str],
    options: &Options,
    owner: Option<&[u8]>,
) -> Outcome<()> {
    let failed = |error: &std::io::Error| Failure::Store(io_error(path, error));
    let folder = path.parent().unwrap_or(Path::new("."));
    let files = &*options.files;
    let made = files
        .make_file(folder, UNFINISHED)
        .map_err(|error| failed(&error))?;
    let filled = fill(&made, path, application_id, migrations, options, owner).and_then(|()| {
        files.give_to_owner(folder, &made);
        // Closed before it gets its name: closing a file gives up the locks that any connection of this process has on it.
        files
            .sync(&made)
            .and_then(|()| files.publish(&made, path))
            .or_else(|error| match error.kind() {
                // Somebody else was faster.
                std::io::ErrorKind::AlreadyExists => {
                    let _ = files.remove(&made);
                    Ok(())
                }
                _ => Err(error),
            })
            .map_err(|error| failed(&error))
    });
    if filled.is_err() {
        // What keeps the file from being removed is what went wrong already; the next start removes it.
        for suffix in ["", "-wal", "-shm"] {
            let _ = files.remove(&beside(&made, suffix));
        }
    }
    filled
}

/// Fills a file that nobody knows yet: tables, owner, write-ahead log. Nothing is synced.
fn fill(
    made: &Path,
    path: &Path,
    application_id: i32,
    migrations: &[&str],
    options: &Options,
    owner: Option<&[u8]>,
) -> Outcome<()> {
    let mut conn = open(made, OpenFlags::SQLITE_OPEN_READ_WRITE, &*options.files)?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.pragma_update(None, "page_size", options.page_bytes)?;
    conn.query_row("PRAGMA journal_mode = MEMORY", [], |_| Ok(()))?;
    schema::migrate(&mut conn, application_id, migrations, path)?;
    if let Some(owner) = owner {
        conn.execute("INSERT INTO meta(key, value) VALUES('scope', ?1)", [owner])?;
    }
    use_write_ahead_log(&conn)?;
    conn.close().map_err(|(_, error)| error.into())
}

/// A connection to a file, by way of its file system.
pub(crate) fn open(path: &Path, access: OpenFlags, files: &dyn Files) -> rusqlite::Result<Connection> {
    let access = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match files.vfs() {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, access, vfs),
        None => Connection::open_with_flags(path, access),
    }
}

fn is_there(path: &Path, options: &Options) -> Outcome<bool> {
    match options.files.identity(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(path, &error).into()),
    }
}

fn configure(conn: &Connection, options: &Options) -> Outcome<()> {
    let kib = i64::try_from(options.cache_bytes / 1024).unwrap_or(i64::MAX);
    conn.pragma_update(None, "cache_size", -kib)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "trusted_schema", "OFF")?;
    if let Some(pages) = options.pages_max {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    conn.pragma_update(None, "wal_autocheckpoint", options.checkpoint_pages)?;
    // After a large batch the journal file shrinks back to this.
    conn.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    Ok(())
}

fn use_write_ahead_log(conn: &Connection) -> Outcome<()> {
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("wal") {
        Ok(())
    } else {
        Err(Failure::damaged(format!(
            "its file system takes no write-ahead log (journal mode {mode})"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_configured_as_its_options_say() {
        let conn = Connection::open_in_memory().expect("opens");
        let options = Options {
            cache_bytes: 3 << 20,
            ..Options::default()
        };
        assert!(configure(&conn, &options).is_ok());
        let value = |name: &str| -> i64 {
            conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
                .expect("a number")
        };
        // Negative: in KiB.
        assert_eq!(value("cache_size"), -3072);
        assert_eq!(value("synchronous"), 2);
        assert_eq!(value("journal_size_limit"), 64 << 20);
    }
}
