//! What went wrong below, said as a [`StoreError`] that names the file.

use std::io::Write;
use std::path::Path;

use engine::name::Scope;
use engine::ticket::StoreError;
use rusqlite::{ErrorCode, ffi};

use super::files::Files;
use crate::words;

/// An error of one database before its path is known.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite or a conversion said so.
    Sql(rusqlite::Error),
    /// What was read cannot be right.
    Damaged(String),
    /// Already final.
    Store(StoreError),
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl Failure {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Failure::Damaged(detail.into())
    }

    /// The error for the one who asked. `held` names what a lock is on.
    pub(crate) fn at(self, path: &Path, held: &str, files: &dyn Files) -> StoreError {
        match self {
            Failure::Store(error) => error,
            Failure::Damaged(detail) => StoreError::Corrupt {
                path: path.display().to_string(),
                detail,
            },
            Failure::Sql(error) => sql_error(error, path, held, files),
        }
    }

    /// The same for the database of a scope.
    pub(crate) fn in_scope(self, path: &Path, scope: &Scope, files: &dyn Files) -> StoreError {
        self.at(path, &words::scope(scope), files)
    }
}

fn sql_error(error: rusqlite::Error, path: &Path, held: &str, files: &dyn Files) -> StoreError {
    use rusqlite::Error as Sql;
    let place = path.display().to_string();
    match error {
        Sql::SqliteFailure(code, message) => failure(code, message, path, held, files),
        Sql::SqlInputError { error, msg, .. } => failure(error, Some(msg), path, held, files),
        // A column that does not hold what this program writes there.
        Sql::FromSqlConversionFailure(..)
        | Sql::IntegralValueOutOfRange(..)
        | Sql::InvalidColumnType(..)
        | Sql::QueryReturnedNoRows
        | Sql::Utf8Error(..) => StoreError::Corrupt {
            path: place,
            detail: error.to_string(),
        },
        other => StoreError::Io {
            path: place,
            detail: other.to_string(),
        },
    }
}

fn failure(
    error: ffi::Error,
    message: Option<String>,
    path: &Path,
    held: &str,
    files: &dyn Files,
) -> StoreError {
    let place = path.display().to_string();
    let detail = message.unwrap_or_else(|| error.to_string());
    match error.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            StoreError::Locked {
                what: held.to_owned(),
            }
        }
        ErrorCode::DiskFull => StoreError::Full { path: place },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly { path: place },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt { path: place, detail },
        // Damage to the schema shows as SQL that does not fit it.
        ErrorCode::Unknown if detail.contains("no such table") || detail.contains("no such column") => {
            StoreError::Corrupt { path: place, detail }
        }
        ErrorCode::SystemIoFailure if error.extended_code == ffi::SQLITE_IOERR_CORRUPTFS => {
            StoreError::Corrupt { path: place, detail }
        }
        ErrorCode::CannotOpen | ErrorCode::SystemIoFailure if let Some(reason) = probe(path, files) => reason,
        _ => StoreError::Io {
            path: place,
            detail: format!("{detail} ({error})"),
        },
    }
}

/// SQLite says only "unable to open" when the folder does not let it create its journal, and "disk I/O error" when there is
/// no room to sync what was written: what a file of our own meets there says more.
fn probe(path: &Path, files: &dyn Files) -> Option<StoreError> {
    const BYTES: usize = 64 * 1024;
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = files
        .scratch(folder)
        .and_then(|mut file| file.write_all(&[0; BYTES]));
    match io_error(path, &written.err()?) {
        reason @ (StoreError::Full { .. } | StoreError::ReadOnly { .. }) => Some(reason),
        _ => None,
    }
}

/// An error of the file system on a path of the store.
pub(crate) fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    let path = path.display().to_string();
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
            StoreError::ReadOnly { path }
        }
        _ => StoreError::Io {
            path,
            detail: error.to_string(),
        },
    }
}
