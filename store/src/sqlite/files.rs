//! The file system below a store, as far as the store reaches it beside SQLite.
//!
//! There is one in production, the operating system's. A simulator puts its own here, together with an SQLite VFS of the
//! same files, to see what a power failure leaves of them.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file system.
pub trait Files: Send + Sync + fmt::Debug {
    /// Name of the SQLite VFS that reaches the same files; `None` is SQLite's own for this system.
    fn vfs(&self) -> Option<&str>;

    /// What tells one file from another that has or had the same name.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is none, and others of the system.
    fn identity(&self, path: &Path) -> io::Result<Identity>;

    /// What tells one state of a file from another; `None` while a further change might not show in it, and when it cannot
    /// be told.
    fn settled(&self, path: &Path) -> Option<Mark>;

    /// Names in a folder, in no order.
    ///
    /// # Errors
    /// The system's.
    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Makes a folder with those above it, for the owner's eyes alone, that is still there after a power failure.
    ///
    /// # Errors
    /// The system's; not that it is there.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes an empty file of a new name that begins with `prefix`.
    ///
    /// # Errors
    /// The system's.
    fn make_file(&self, folder: &Path, prefix: &str) -> io::Result<PathBuf>;

    /// Gives a file another name in its folder, at once and durably.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when the name is taken, which stays as it is; the system's.
    fn publish(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// How long ago a file was changed last, as far as can be told.
    fn age(&self, path: &Path) -> Option<Duration>;

    /// Makes durable what was written to a file, by whatever way; or the names in a folder.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// Gives what was made in a folder to the folder's owner, where that is possible.
    fn give_to_owner(&self, folder: &Path, made: &Path);

    /// A file without a name, which is gone when it is dropped.
    ///
    /// # Errors
    /// The system's.
    fn scratch(&self, folder: &Path) -> io::Result<Box<dyn Scratch>>;
}

/// A file for as long as somebody has it open.
pub trait Scratch: Read + Write + Seek + Send {
    /// Cuts it, or makes it longer.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

/// What tells files apart: device and number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity(pub u64, pub u64);

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which file.
    pub identity: Identity,
    /// Bytes.
    pub size: u64,
    /// Time of the last change of content, or anything else that differs after each: seconds and nanoseconds.
    pub changed: (i64, i64),
    /// The same of the last change of anything.
    pub touched: (i64, i64),
}

/// The operating system's.
#[derive(Clone, Copy, Debug)]
pub struct SystemFiles;

/// Age of the last change from which times tell one change from the next: coarser than any file system counts.
const SETTLED: Duration = Duration::from_secs(3);

impl Files for SystemFiles {
    fn vfs(&self) -> Option<&str> {
        None
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        std::fs::metadata(path).map(|meta| identity(&meta))
    }

    #[cfg(unix)]
    fn settled(&self, path: &Path) -> Option<Mark> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(path).ok()?;
        let mark = Mark {
            identity: identity(&meta),
            size: meta.size(),
            changed: (meta.mtime(), meta.mtime_nsec()),
            touched: (meta.ctime(), meta.ctime_nsec()),
        };
        // Not changed of late, and not in the future either.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let since = |(seconds, nanoseconds): (i64, i64)| {
            let at = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
            now.checked_sub(at)
        };
        let is_settled = since(mark.changed)? >= SETTLED && since(mark.touched)? >= SETTLED;
        is_settled.then_some(mark)
    }

    #[cfg(not(unix))]
    fn settled(&self, _: &Path) -> Option<Mark> {
        None
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect()
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        // Mail and verifiers are for nobody else's eyes.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        let above = folder.ancestors().take(3);
        for folder in above.filter(|folder| !folder.as_os_str().is_empty()) {
            // Not every file system lets a folder be synced; those that do not need no such thing.
            if let Ok(handle) = File::open(folder) {
                let _ = handle.sync_all();
            }
        }
        Ok(())
    }

    fn make_file(&self, folder: &Path, prefix: &str) -> io::Result<PathBuf> {
        let file = tempfile::Builder::new().prefix(prefix).tempfile_in(folder)?;
        Ok(file.into_temp_path().keep()?)
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut temporary = tempfile::TempPath::try_from_path(from)?;
        // Whoever called decides what becomes of the file when this fails.
        temporary.disable_cleanup(true);
        temporary.persist_noclobber(to)?;
        match to.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn age(&self, path: &Path) -> Option<Duration> {
        let changed = std::fs::metadata(path).ok()?.modified().ok()?;
        SystemTime::now().duration_since(changed).ok()
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    #[cfg(unix)]
    fn give_to_owner(&self, folder: &Path, made: &Path) {
        use std::os::unix::fs::MetadataExt;
        let owner = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.uid(), metadata.gid()))
        };
        if let (Some((uid, gid)), Some(own)) = (owner(folder), owner(made))
            && own.0 != uid
        {
            // Refused, it is as it was; the server then says which file it cannot open.
            let _ = std::os::unix::fs::lchown(made, Some(uid), Some(gid));
        }
    }

    #[cfg(not(unix))]
    fn give_to_owner(&self, _: &Path, _: &Path) {}

    fn scratch(&self, folder: &Path) -> io::Result<Box<dyn Scratch>> {
        Ok(Box::new(tempfile::tempfile_in(folder)?))
    }
}

impl Scratch for File {
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}

#[cfg(unix)]
fn identity(meta: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Identity(meta.dev(), meta.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    Identity(0, 0)
}
