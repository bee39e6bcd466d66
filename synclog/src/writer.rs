//! Appending to the logs of all channels, as Cyrus does. [CS-LOG-2]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::synclog::Action;
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::files::{FILE_MODE, create_folder, is_at};
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

    /// For channels as the configuration names them, `None` for the default one; `None` when there are none.
    ///
    /// # Errors
    /// [`LogError::BadChannel`].
    pub fn for_channels(sync_dir: &Path, channels: &[Option<String>]) -> Result<Option<Self>, LogError> {
        let names = channels.iter().map(|name| name.as_deref().unwrap_or_default());
        let channels = names.map(ChannelName::parse).collect::<Result<Vec<_>, _>>()?;
        Ok((!channels.is_empty()).then(|| Writer::new(sync_dir, channels)))
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
        self.append_lines(&lines, |file, path| {
            file.sync_all().map_err(LogError::io("sync", path))
        })
    }

    /// Appends whole lines; `written` has the file before its lock goes.
    pub(crate) fn append_lines(
        &self,
        lines: &[u8],
        mut written: impl FnMut(File, &Path) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        for channel in &self.channels {
            let path = channel.directory(&self.sync_dir).join("log");
            let done = append_to(&path, lines, &mut written);
            outcome = outcome.and(done);
        }
        outcome
    }
}

/// One open, lock, write.
fn append_to(
    path: &Path,
    lines: &[u8],
    written: &mut impl FnMut(File, &Path) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let _alone = alone();
    let mut file = open_locked(path)?;
    let before = file.metadata().map_err(LogError::io("look at", path))?.len();
    let unfinished = before > 0 && !ends_with_line(&file, path, before)?;
    if let Err(error) = write(&mut file, lines, unfinished) {
        // Half a line would spoil the next one.
        let _ = file.set_len(before);
        return Err(LogError::io("write to", path)(error));
    }
    written(file, path)
}

/// One write, as other writers do. Behind half a line that a full disk left, the line end comes first.
fn write(file: &mut File, lines: &[u8], unfinished: bool) -> io::Result<()> {
    if !unfinished {
        return file.write_all(lines);
    }
    let mut ended = Vec::with_capacity(lines.len() + 1);
    ended.push(b'\n');
    ended.extend_from_slice(lines);
    file.write_all(&ended)
}

fn ends_with_line(file: &File, path: &Path, length: u64) -> Result<bool, LogError> {
    use std::os::unix::fs::FileExt as _;
    let mut last = [0];
    file.read_exact_at(&mut last, length - 1)
        .map_err(LogError::io("read", path))?;
    Ok(last[0] == b'\n')
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
            .read(true)
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(path)
    };
    match (append(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(folder)?;
            append()
        }
        (opened, _) => opened,
    }
}

/// Log files that were written and not yet made durable, one handle a file.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: Vec<((u64, u64), File, PathBuf)>,
}

impl Unsynced {
    /// Keeps a handle; it must come from under [`alone`], for another one of the same file is closed.
    pub(crate) fn keep(&mut self, file: File, path: &Path) -> Result<(), LogError> {
        fcntl_lock(&file, FlockOperation::Unlock).map_err(LogError::io("unlock", path))?;
        let metadata = file.metadata().map_err(LogError::io("look at", path))?;
        let key = (metadata.dev(), metadata.ino());
        if !self.files.iter().any(|(known, ..)| *known == key) {
            self.files.push((key, file, path.to_path_buf()));
        }
        Ok(())
    }

    /// Makes all of it durable and lets go of the handles; what fails stays.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        for (_, file, path) in &self.files {
            file.sync_data().map_err(LogError::io("sync", path))?;
        }
        let _alone = alone();
        self.files.clear();
        Ok(())
    }
}

impl Drop for Unsynced {
    fn drop(&mut self) {
        let _alone = alone();
        self.files.clear();
    }
}
