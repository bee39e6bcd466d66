//! What a process is about to log, so that nothing is lost when it dies between a commit and its log. [CS-LOG-33]
//!
//! Each session has a file of its own, `<sync>/intents/<pid>-<n>`, of a fixed size that is written in place: making
//! a few lines durable costs one write to the disk and no change of the file system. The file is locked as long as
//! its session lives, so a leftover is known by its lock and not by a process id.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::synclog::{Action, Lines};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::files::{FILE_MODE, create_folder, if_there, is_at, remove, sync_folder_of};
use crate::writer::Unsynced;
use crate::{ChannelName, LogError, Writer};

/// Size of a file, bytes; when it is full the logs are made durable and it is begun anew.
const FILE_BYTES: u64 = 64 * 1024;

/// How often another process may take a new file for a leftover before that is given up.
const CREATE_TRIES: usize = 64;

/// First word of a file, before the channels.
const HEAD: &str = "#channels";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The intents of one session, and the logs it writes.
#[derive(Debug)]
pub(crate) struct Intents {
    writer: Writer,
    path: PathBuf,
    file: File,
    head: u64,
    end: u64,
    unsynced: Unsynced,
    /// Lines of commits whose log could not be written.
    owed: Vec<u8>,
}

impl Intents {
    pub(crate) fn create(writer: &Writer) -> Result<Intents, LogError> {
        let folder = writer.sync_dir().join("intents");
        create_folder(&folder).map_err(LogError::io("create", &folder))?;
        for _ in 0..CREATE_TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            let created = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(FILE_MODE)
                .open(&path);
            let file = match created {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(LogError::io("create", &path)(error)),
            };
            flock(&file, FlockOperation::LockExclusive).map_err(LogError::io("lock", &path))?;
            if is_at(&file, &path).map_err(LogError::io("look at", &path))? {
                return Intents::begin(writer, path, file);
            }
        }
        Err(LogError::Rotating { path: folder })
    }

    fn begin(writer: &Writer, path: PathBuf, file: File) -> Result<Intents, LogError> {
        let mut head = HEAD.to_owned();
        for channel in writer.channels() {
            head.push(' ');
            head.push_str(&channel.to_string());
        }
        head.push('\n');
        let mut bytes = head.into_bytes();
        let end = bytes.len() as u64;
        bytes.resize(FILE_BYTES as usize + bytes.len(), 0);
        file.write_all_at(&bytes, 0)
            .and_then(|()| file.sync_all())
            .map_err(LogError::io("write", &path))?;
        sync_folder_of(&path)?;
        Ok(Intents {
            writer: writer.clone(),
            path,
            file,
            head: end,
            end,
            unsynced: Unsynced::default(),
            owed: Vec::new(),
        })
    }

    /// Makes it durable that these lines are to be logged; before the commit.
    ///
    /// # Errors
    /// What the system said; the commit must not be made then.
    pub(crate) fn intend(&mut self, lines: &[u8]) -> Result<(), LogError> {
        self.pay()?;
        if self.end + lines.len() as u64 >= FILE_BYTES {
            self.unsynced.sync()?;
            self.end = self.head;
        }
        let mut bytes = lines.to_vec();
        // Whatever stands behind it is of an earlier time.
        bytes.push(0);
        self.file
            .write_all_at(&bytes, self.end)
            .and_then(|()| self.file.sync_data())
            .map_err(LogError::io("write", &self.path))?;
        self.end += lines.len() as u64;
        Ok(())
    }

    /// Logs what was intended; after the commit. What cannot be written is tried again with the next, and is not
    /// forgotten.
    pub(crate) fn log(&mut self, lines: &[u8]) {
        self.owed.extend_from_slice(lines);
        if let Err(error) = self.pay() {
            tracing::error!(%error, "cannot log a change for replication; it is kept in {}", self.path.display());
        }
    }

    fn pay(&mut self) -> Result<(), LogError> {
        let Intents {
            owed,
            unsynced,
            writer,
            ..
        } = self;
        writer.append_lines(owed, |file, path| unsynced.keep(file, path))?;
        owed.clear();
        Ok(())
    }

    /// Makes the logs durable; then the file is not needed any more, and is removed.
    pub(crate) fn close(&mut self) -> Result<(), LogError> {
        self.pay()?;
        self.unsynced.sync()?;
        remove(&self.path)
    }
}

impl Drop for Intents {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "changes are not in the logs yet; they are kept in {}", self.path.display());
        }
    }
}

/// Logs what processes that died were about to log; answers how many actions that were. Some of it may be in the logs
/// already, or may never have been committed: syncing it once more does no harm.
///
/// # Errors
/// What the system said; what is not in the logs stays where it is.
pub fn recover(sync_dir: &Path) -> Result<usize, LogError> {
    let folder = sync_dir.join("intents");
    let listed = if_there(fs::read_dir(&folder)).map_err(LogError::io("read", &folder))?;
    let mut count = 0;
    for entry in listed.into_iter().flatten() {
        let path = entry.map_err(LogError::io("read", &folder))?.path();
        count += recover_one(sync_dir, &path)?;
    }
    Ok(count)
}

fn recover_one(sync_dir: &Path, path: &Path) -> Result<usize, LogError> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let Some(file) = if_there(opened).map_err(LogError::io("open", path))? else {
        return Ok(0);
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(0),
        Err(error) => return Err(LogError::io("lock", path)(error)),
    }
    if !is_at(&file, path).map_err(LogError::io("look at", path))? {
        return Ok(0);
    }
    let bytes = fs::read(path).map_err(LogError::io("read", path))?;
    let (channels, actions) = read(&bytes);
    if !actions.is_empty() && !channels.is_empty() {
        tracing::info!(file = %path.display(), actions = actions.len(), "a process died; its changes are logged now");
        Writer::new(sync_dir, channels).append(&actions)?;
    }
    remove(path)?;
    Ok(actions.len())
}

/// Channels and actions of a file; a line without its end was never committed.
fn read(bytes: &[u8]) -> (Vec<ChannelName>, Vec<Action>) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    let Some(first) = bytes.iter().position(|&byte| byte == b'\n') else {
        return (Vec::new(), Vec::new());
    };
    let head = String::from_utf8_lossy(&bytes[..first]);
    let mut words = head.split(' ');
    if words.next() != Some(HEAD) {
        return (Vec::new(), Vec::new());
    }
    let channels = words.filter_map(|word| ChannelName::parse(word).ok()).collect();
    let actions = Lines::new(&bytes[first + 1..]).filter_map(Result::ok).collect();
    (channels, actions)
}
