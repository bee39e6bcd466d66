//! Small steps with files that the channel's files are made of.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::LogError;
use crate::writer::alone;

/// Permissions of files and folders, as Cyrus creates them. [CS-LOG-2]
pub(crate) const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o755;

/// Makes a folder with what is above it.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)
}

/// `None` for a file that is not there.
pub(crate) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the path still means the opened file.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    let there = if_there(fs::metadata(path))?;
    Ok(there.is_some_and(|there| there.ino() == opened.ino() && there.dev() == opened.dev()))
}

/// Waits until no writer holds the file any more, and reads it; a writer that comes later sees that its name has
/// changed and opens another one. [CS-LOG-3]
pub(crate) fn read_settled(path: &Path) -> Result<Vec<u8>, LogError> {
    let _alone = alone();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(LogError::io("open", path))?;
    fcntl_lock(&file, FlockOperation::LockExclusive).map_err(LogError::io("lock", path))?;
    fs::read(path).map_err(LogError::io("read", path))
}

/// Replaces a file as a whole, durably.
pub(crate) fn replace(path: &Path, bytes: &[u8], modified: Option<SystemTime>) -> Result<(), LogError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(new)
        .map_err(LogError::io("create", new))?;
    file.write_all(bytes).map_err(LogError::io("write", new))?;
    if let Some(modified) = modified {
        file.set_modified(modified)
            .map_err(LogError::io("set the time of", new))?;
    }
    file.sync_all().map_err(LogError::io("sync", new))?;
    fs::rename(new, path).map_err(LogError::io("rename", new))?;
    sync_folder_of(path)
}

/// Makes names in the file's folder durable.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), LogError> {
    let folder = path.parent().unwrap_or(path);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(LogError::io("sync", folder))
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), LogError> {
    if_there(fs::remove_file(path))
        .map(|_| ())
        .map_err(LogError::io("remove", path))
}

/// When the first line of a log was written: a log is born with its first line. Where the file system does not know,
/// the last change, which is later. Milliseconds since the epoch, not in the future.
pub(crate) fn born_ms(path: &Path) -> u64 {
    let Ok(metadata) = fs::metadata(path) else {
        return now_ms();
    };
    let times = [metadata.created(), metadata.modified()].into_iter().flatten();
    times.map(ms).fold(now_ms(), u64::min)
}

pub(crate) fn now_ms() -> u64 {
    ms(SystemTime::now())
}

fn ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
