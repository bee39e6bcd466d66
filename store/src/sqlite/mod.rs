//! The durable store: one SQLite database a user, one for what belongs to nobody, one that says who has which mailbox.
//!
//! ```text
//! DIR/users/<user id>.db   mailboxes, records, message bytes, seen states, subscriptions, scripts, quotas of one user
//! DIR/shared.db            the same for mailboxes of nobody; annotations of the server; credentials
//! DIR/locator.db           unique id -> users who may have it; made again from the others when it is lost
//! ```
//!
//! A user's file can be opened with any SQLite, copied while the server is stopped (or with `sqlite3 FILE .backup` at
//! any time), and deleted; it depends on no other file. All transactions are durable when they are answered: write-ahead log, one
//! `fsync` a commit. Names are percent-encoded where a file name cannot hold them.

mod checkpoint;
mod codec;
pub mod credentials;
mod database;
mod error;
mod expire;
pub mod files;
mod locator;
mod mailbox;
mod message;
mod meta;
mod place;
mod pool;
mod record;
mod schema;
mod session;
mod still;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::name::Scope;
use engine::ticket::StoreError;
use protocol::Text;

use self::checkpoint::Checkpointer;
use self::database::{Absent, Database};
use self::error::io_error;
use self::files::{Files, SystemFiles};
use self::locator::Locator;
pub use self::session::SqliteSession;
use crate::staging::StagingTotal;
use crate::words;

/// Age at which nobody can still be making a database.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// How a store is used. The defaults suit a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a request waits for a lock that another connection holds before it answers
    /// [`StoreError::Locked`].
    pub busy_timeout: Duration,
    /// Bytes of staged messages a session keeps in memory; the rest goes to a temporary file in the store's folder.
    pub staging_bytes: usize,
    /// Bytes of staged messages that all sessions together keep in memory.
    pub staging_total_bytes: usize,
    /// Bytes of page cache for each open database.
    pub cache_bytes: usize,
    /// Databases a session keeps open while it does not use them, at least 1.
    pub connections: usize,
    /// Nothing is written, created or migrated; [`engine::ticket::Request::Begin`] answers
    /// [`StoreError::ReadOnly`].
    pub read_only: bool,
    /// Page size of databases made from now on: a power of two, 512 to 65,536 bytes. Large ones are much faster where
    /// whole messages are written, and make a small user's file larger (`docs/ARCHITECTURE.md` has the figures).
    pub page_bytes: u32,
    /// Pages in the write-ahead log at which a commit copies them into the database itself, because the background
    /// did not keep up.
    pub checkpoint_pages: u32,
    /// Bytes of new messages after which the background copies the write-ahead log into the database.
    pub checkpoint_bytes: u64,
    /// Most pages a database may have; more is [`StoreError::Full`]. `None` leaves it to the disk.
    pub pages_max: Option<u32>,
    /// The file system; the operating system's unless a simulator has its own.
    pub files: Arc<dyn Files>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            busy_timeout: Duration::from_secs(10),
            staging_bytes: 16 * 1024 * 1024,
            staging_total_bytes: 256 * 1024 * 1024,
            cache_bytes: 8 * 1024 * 1024,
            connections: 4,
            read_only: false,
            page_bytes: 32_768,
            checkpoint_pages: 4_096,
            checkpoint_bytes: 1024 * 1024,
            pages_max: None,
            files: Arc::new(SystemFiles),
        }
    }
}

/// The store in a folder; clones are the same store.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) staging_total: Arc<StagingTotal>,
    pub(crate) locator: Locator,
    pub(crate) checkpointer: Checkpointer,
    /// Whether the locator knows all that could be read.
    located: AtomicBool,
}

impl SqliteStore {
    /// Opens the store in `dir`, and makes the folder when there is none.
    ///
    /// # Errors
    /// Those of [`StoreError`] that concern the folder and the locator; users' databases are looked at when they are
    /// used.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<Self, StoreError> {
        let dir = dir.as_ref().to_path_buf();
        if !options.read_only {
            let users = place::users_dir(&dir);
            if options.files.identity(&users).is_err() {
                let made = options.files.make_folder(&users);
                made.map_err(|error| io_error(&users, &error))?;
            }
            options.files.give_to_owner(&dir, &users);
            remove_unfinished(&*options.files, &[&dir, &users]);
        } else if let Err(error) = options.files.names(&dir) {
            return Err(io_error(&dir, &error));
        }
        let locator = Locator::open(&dir, &options)?;
        let store = SqliteStore {
            inner: Arc::new(Inner {
                dir,
                staging_total: StagingTotal::new(options.staging_total_bytes),
                checkpointer: Checkpointer::new(&options),
                located: AtomicBool::new(false),
                options,
                locator,
            }),
        };
        store.inner.complete_locator()?;
        Ok(store)
    }

    /// A session for one connection.
    pub fn session(&self) -> SqliteSession {
        SqliteSession::new(Arc::clone(&self.inner))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Everyone who has a database here, with or without an INBOX, in byte order.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn users(&self) -> Result<Vec<Text>, StoreError> {
        self.inner.users(b"")
    }

    /// The database file of a user, whether it exists or not.
    pub fn user_file(&self, user: &[u8]) -> PathBuf {
        place::database(&self.inner.dir, &Scope::User(Text::copy_from(user)))
    }

    /// Makes the locator again from the users' databases.
    ///
    /// # Errors
    /// Those of writing the locator; a damaged user database is left out.
    pub fn rebuild_locator(&self) -> Result<(), StoreError> {
        self.inner.located.store(false, Ordering::Release);
        self.inner.locator.clear()?;
        self.inner.complete_locator().map(drop)
    }
}

impl Inner {
    /// Whether the locator knows the mailboxes of all users, after a try to have it so: databases that were put here by
    /// someone else are noted, and what could not be read the last time. Damaged ones are left out: they are reported to
    /// whoever asks for them, and must not keep the others from work.
    ///
    /// # Errors
    /// Those of the locator and of listing the folder.
    pub(crate) fn complete_locator(&self) -> Result<bool, StoreError> {
        if self.options.read_only || self.located.load(Ordering::Acquire) {
            return Ok(self.locator.is_there());
        }
        let mut is_complete = true;
        for user in self.users(b"")? {
            let scope = Scope::User(user);
            let file = self.file_name(&scope);
            if self.locator.knows(&file)? {
                continue;
            }
            let opened = Database::open(&self.dir, &scope, Absent::Tell, &self.options);
            let read = opened.and_then(|database| match database {
                Some(database) => database
                    .uniqueids()
                    .map(Some)
                    .map_err(|failure| database.fail(failure)),
                None => Ok(None),
            });
            match read {
                Ok(Some(uniqueids)) => self.locator.note(&file, &scope, &uniqueids)?,
                Ok(None) => {}
                Err(error) => is_complete &= mailbox::is_unreadable(&error),
            }
        }
        self.located.store(is_complete, Ordering::Release);
        Ok(is_complete)
    }

    /// A connection of one's own to a scope's database, which is made when there is none.
    pub(crate) fn open_for_write(&self, scope: &Scope) -> Result<Database, StoreError> {
        if self.options.read_only {
            let path = place::database(&self.dir, scope).display().to_string();
            return Err(StoreError::ReadOnly { path });
        }
        let opened = Database::open(&self.dir, scope, Absent::Create, &self.options)?;
        opened.ok_or_else(|| words::misuse("a database that is neither there nor made"))
    }

    /// Users with a database whose id starts with the prefix, in byte order.
    pub(crate) fn users(&self, prefix: &[u8]) -> Result<Vec<Text>, StoreError> {
        let dir = place::users_dir(&self.dir);
        let names = match self.options.files.names(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&dir, &error)),
        };
        let mut users = Vec::new();
        for name in names {
            let Some(name) = name.to_str() else { continue };
            let user = match place::read_spelling(name) {
                Some(user) => Some(user),
                None if place::is_cut(name) => self.owner_of(&dir.join(name)),
                None => None,
            };
            users.extend(user.filter(|user| user.starts_with(prefix)));
        }
        users.sort_unstable();
        Ok(users)
    }

    /// Whose a database with a cut name is, by its own word; `None` when it cannot say.
    fn owner_of(&self, path: &Path) -> Option<Text> {
        let conn = database::connect(
            path,
            schema::MAIL_ID,
            schema::MAIL,
            Absent::Tell,
            &self.options,
            None,
        )
        .ok()??;
        let sql = "SELECT value FROM meta WHERE key = 'scope'";
        conn.query_row(sql, [], |row| mailbox::text(row, 0)).ok()
    }

    /// The file name of a scope's database.
    pub(crate) fn file_name(&self, scope: &Scope) -> String {
        let path = place::database(&self.dir, scope);
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Removes what a process left that died while it made a database. One that is young may be in the making elsewhere.
fn remove_unfinished(files: &dyn Files, folders: &[&Path]) {
    for folder in folders {
        // What cannot be listed or removed takes room and harms nothing.
        for name in files.names(folder).unwrap_or_default() {
            let path = folder.join(&name);
            let is_unfinished = name
                .as_encoded_bytes()
                .starts_with(database::UNFINISHED.as_bytes());
            if is_unfinished && files.age(&path).is_some_and(|age| age >= ABANDONED) {
                let _ = files.remove(&path);
            }
        }
    }
}
