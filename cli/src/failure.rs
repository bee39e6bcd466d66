//! What can go wrong for an operator, and the exit code that says so.

use std::io;
use std::path::Path;

use engine::local::LocalError;
use engine::ticket::StoreError;

/// Exit codes, those of `sysexits.h` where it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Verify found damage, compared sides differ, or a channel is not fine.
    Unequal = 1,
    /// Wrong command line.
    Usage = 2,
    /// Mail that cannot be read.
    Data = 65,
    /// No such user, mailbox, message or file.
    NoInput = 66,
    /// The target of an export exists already.
    CannotCreate = 73,
    /// The store or a file failed.
    Io = 74,
    /// In use by another program, or a replica cannot be reached.
    Locked = 75,
    /// A login was refused.
    NoPermission = 77,
    /// Wrong configuration.
    Config = 78,
}

/// A command that failed: the code for scripts, the text for people.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// What happened and what to do, without a final period.
    pub text: String,
}

/// What every command gives.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// With this exit code and text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Failure {
            exit,
            text: text.into(),
        }
    }

    /// A file that could not be read or written.
    pub fn file(path: &Path, error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::NotFound {
            Exit::NoInput
        } else {
            Exit::Io
        };
        Failure::new(exit, format!("{}: {error}", path.display()))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::Locked { .. } => Exit::Locked,
            StoreError::NotFound { .. } => Exit::NoInput,
            _ => Exit::Io,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Failure::new(Exit::Data, error.to_string())
    }
}
