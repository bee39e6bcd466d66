//! Appending to the logs of all channels, as Cyrus does. [CS-LOG-2]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::synclog::Action;
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::{ChannelName, LogError};

/// How often a log may be renamed between opening and locking it before that is given up.
const OPEN_TRIES: usize = 64;

/// fcntl locks are a process's, not a thread's, and closing any handle of the file drops them: within a process
/// one thread at a time may have a log open.
static LOGS: Mutex<()> = Mutex::new(());

/// Holds off other threads of this process from every log.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    LOGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to the logs of all channels of a configuration.
#[derive(Clone, Debug)]
pub struct Writer {
    sync_dir: PathBuf,
    channels: Vec<ChannelName>,
}

impl Writer {
    /// For these channels; nothing is opened or created before something is written.
    pub fn new(sync_dir: &Path, channels: Vec<ChannelName>) -> Self {
        Writer {
            sync_dir: sync_dir.to_path_buf(),
            channels,
        }
    }

    /// The channels.
    pub fn channels(&self) -> &[ChannelName] {
        &self.channels
    }

    /// The folder that holds the channels' files.
    pub fn sync_dir(&self) -> &Path {
        &self.sync_dir
    }

    /// Appends the actions to every channel, durably: one open, lock, write and fsync a channel.
    ///
    /// # Errors
    /// An action that no line can hold (nothing is written then), or what the system said; the channels after the one
    /// that failed are still written, and the first failure is told.
    pub fn append(&self, actions: &[Action]) -> Result<(), LogError> {
        let mut lines = Vec::new();
        for action in actions {
            action.print(&mut lines)?;
        }
        self.append_lines(&lines)
    }

    /// As [`Writer::append`], for whole lines.
    pub(crate) fn append_lines(&self, lines: &[u8]) -> Result<(), LogError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for channel in &self.channels {
            let done = append_to(&channel.directory(&self.sync_dir), lines);
            outcome = outcome.and(done);
        }
        outcome
    }
}

/// One open, lock, write, fsync. The lock goes with the handle.
fn append_to(directory: &Path, lines: &[u8]) -> Result<(), LogError> {
    let path = directory.join("log");
    let _alone = alone();
    let mut file = open_locked(&path)?;
    file.write_all(lines).map_err(LogError::io("write to", &path))?;
    file.sync_all().map_err(LogError::io("sync", &path))
}

fn open_locked(path: &Path) -> Result<File, LogError> {
    for _ in 0..OPEN_TRIES {
        let file = open(path).map_err(LogError::io("open", path))?;
        fcntl_lock(&file, FlockOperation::LockExclusive).map_err(LogError::io("lock", path))?;
        if is_at(&file, path).map_err(LogError::io("look at", path))? {
            return Ok(file);
        }
    }
    Err(LogError::Rotating {
        path: path.to_path_buf(),
    })
}

fn open(path: &Path) -> io::Result<File> {
    let append = || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)
    };
    match (append(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
            append()
        }
        (opened, _) => opened,
    }
}

/// Whether the path still means the opened file.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok(there.ino() == opened.ino() && there.dev() == opened.dev()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
