//! What can go wrong with a log.

use std::path::{Path, PathBuf};

use protocol::synclog::Unprintable;

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The name of a channel is a folder's name.
    #[error(
        "{name:?} cannot be the name of a channel: it must be one part of a path, or `\"\"` for the default channel"
    )]
    BadChannel {
        /// As configured.
        name: String,
    },
    /// Another process reads the channel. [CS-LOG-4]
    #[error("{}: another process{} reads this channel already; a channel has one reader, so stop that one or use another channel", path.display(), holder.map_or_else(String::new, |pid| format!(" (pid {pid})")))]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, if it says.
        holder: Option<u32>,
    },
    /// A name that no log can hold.
    #[error("{0}")]
    Unprintable(#[from] Unprintable),
    /// The file was replaced under the writer again and again. [CS-LOG-2]
    #[error("{} was renamed 64 times while it was opened; is more than one reader at work on the channel?", path.display())]
    Rotating {
        /// The log.
        path: PathBuf,
    },
    /// What the system said.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl LogError {
    pub(crate) fn io<E: Into<std::io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> LogError {
        let path = path.to_path_buf();
        move |source| LogError::Io {
            what,
            path,
            source: source.into(),
        }
    }
}
