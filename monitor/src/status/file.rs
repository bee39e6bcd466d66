//! The file in which a daemon publishes its status, beside the log of its channel.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{ChannelStatus, FORMAT};

/// Name of the file in the channel's folder.
pub const FILE_NAME: &str = "mailtwin-status.json";

/// Largest file that is read, bytes: far more than any daemon writes.
pub const SIZE_BYTES_MAX: u64 = 4 << 20;

/// Shortest time between two writes, milliseconds.
const WRITE_INTERVAL_MIN_MS: u64 = 1_000;

/// Longest time between two writes, milliseconds, so that a reader can tell a quiet daemon from a dead one.
const WRITE_INTERVAL_MAX_MS: u64 = 10_000;

/// Why a status cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The system said no.
    #[error("status file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("status file {} cannot be understood ({detail}); a running sync_client writes it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// Written by a newer program.
    #[error("status file {} has format {found}, this program knows {FORMAT}; use a newer mailtwin", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// Reads and writes status files.
#[derive(Clone, Copy, Debug)]
pub struct StatusFile;

impl StatusFile {
    /// Where a channel's status is: `<configdirectory>/sync/[CHANNEL/]mailtwin-status.json`. The default channel's
    /// name is `None` or empty.
    pub fn path(configdirectory: &Path, channel: Option<&str>) -> PathBuf {
        let sync = configdirectory.join("sync");
        match channel {
            Some(name) if !name.is_empty() => sync.join(name).join(FILE_NAME),
            _ => sync.join(FILE_NAME),
        }
    }

    /// Replaces the file, so that a reader finds either the old or the new status whole. Makes the folder (0755) when
    /// it is missing; the file is 0640. One daemon a channel may write.
    ///
    /// # Errors
    /// [`StatusError::Io`]; the file is then as before.
    pub fn write(path: &Path, status: &ChannelStatus) -> Result<(), StatusError> {
        let failed = |source| StatusError::Io {
            path: path.to_path_buf(),
            source,
        };
        let bytes = serde_json::to_vec(status).map_err(|error| failed(error.into()))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let fresh = path.with_extension("json-new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&fresh)
            .map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        drop(file);
        // No fsync: after a crash of the machine no daemon runs, and an empty file says so as well as an old one.
        fs::rename(&fresh, path).map_err(failed)
    }

    /// Reads the file; `None` when there is none.
    ///
    /// # Errors
    /// [`StatusError`]; one who monitors tells it and goes on with the other channels.
    pub fn read(path: &Path) -> Result<Option<ChannelStatus>, StatusError> {
        let failed = |source| StatusError::Io {
            path: path.to_path_buf(),
            source,
        };
        let damaged = |detail: String| StatusError::Damaged {
            path: path.to_path_buf(),
            detail,
        };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(SIZE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > SIZE_BYTES_MAX {
            return Err(damaged(format!("it has more than {SIZE_BYTES_MAX} bytes")));
        }
        let version =
            serde_json::from_slice::<Versioned>(&bytes).map_err(|error| damaged(error.to_string()))?;
        if version.version > FORMAT {
            return Err(StatusError::Newer {
                path: path.to_path_buf(),
                found: version.version,
            });
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| damaged(error.to_string()))
    }
}

/// The part of the file that every format has.
#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

/// Writes a status whenever it is worth it: at most once a second, at least every ten seconds, at once when the state
/// changed.
#[derive(Debug)]
pub struct Publisher {
    path: PathBuf,
    written: Option<ChannelStatus>,
    failing: bool,
}

impl Publisher {
    /// Publishes into this file; see [`StatusFile::path`].
    pub fn new(path: PathBuf) -> Self {
        Publisher {
            path,
            written: None,
            failing: false,
        }
    }

    /// Call it whenever something changed, and about once a second. Takes the history's sample and stamps the status.
    /// A file that cannot be written is logged once and never stops replication.
    pub fn publish(&mut self, status: &mut ChannelStatus, now_ms: u64) {
        status.sample(now_ms);
        if !self.is_due(status, now_ms) {
            return;
        }
        status.updated_at_ms = now_ms;
        match StatusFile::write(&self.path, status) {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!("{error}; replication goes on without it");
            }
            Err(_) => {}
        }
        self.written = Some(status.clone());
    }

    fn is_due(&self, status: &ChannelStatus, now_ms: u64) -> bool {
        let Some(written) = &self.written else {
            return true;
        };
        if written.state != status.state || now_ms < written.updated_at_ms {
            return true;
        }
        let age_ms = now_ms - written.updated_at_ms;
        let changed = || {
            let mut same_time = status.clone();
            same_time.updated_at_ms = written.updated_at_ms;
            same_time != *written
        };
        age_ms >= WRITE_INTERVAL_MAX_MS || (age_ms >= WRITE_INTERVAL_MIN_MS && changed())
    }
}
