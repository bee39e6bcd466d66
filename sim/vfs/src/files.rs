//! The disk as the store reaches it beside SQLite.

use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use store::sqlite::files::{Files, Identity, Mark, Scratch};

use crate::disk::{Disk, VFS};
use crate::fault::{Fault, Operation};
use crate::handle::{Handle, Refusal};
use crate::node::Entry;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn failure(fault: Fault) -> io::Error {
    io::Error::from_raw_os_error(if fault == Fault::Full { ENOSPC } else { EIO })
}

fn refused(refusal: Refusal) -> io::Error {
    match refusal {
        Refusal::Fault(fault) => failure(fault),
        Refusal::Busy => io::ErrorKind::ResourceBusy.into(),
        Refusal::Missing => io::ErrorKind::NotFound.into(),
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk {
    /// A path of the store as one of this disk.
    fn inside(&self, path: &Path) -> io::Result<PathBuf> {
        let path = path.strip_prefix(self.root());
        path.map(Path::to_path_buf).map_err(|_| missing())
    }
}

impl Files for Disk {
    fn vfs(&self) -> Option<&str> {
        Some(VFS)
    }

    fn identity(&self, path: &Path) -> io::Result<Identity> {
        let path = self.inside(path)?;
        let mut state = self.state();
        let (folder, name, entry) = state.resolve(&path)?;
        state
            .begin(Operation::Look, folder, name.len(), 1)
            .map_err(failure)?;
        match entry {
            Some(Entry::File(number) | Entry::Folder(number)) => Ok(Identity(1, number)),
            None => Err(missing()),
        }
    }

    /// Every change shows at once.
    fn settled(&self, path: &Path) -> Option<Mark> {
        let identity = self.identity(path).ok()?;
        let state = self.state();
        let file = state.files.get(&identity.1)?;
        let changed = (i64::try_from(file.version).ok()?, 0);
        Some(Mark {
            identity,
            size: file.bytes.len() as u64,
            changed,
            touched: changed,
        })
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let path = self.inside(folder)?;
        let mut state = self.state();
        let (_, _, Some(Entry::Folder(folder))) = state.resolve(&path)? else {
            return Err(missing());
        };
        state.begin(Operation::List, folder, 0, 0).map_err(failure)?;
        let names = state.folders.get(&folder).ok_or_else(missing)?.names.keys();
        Ok(names.map(OsString::from).collect())
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let path = self.inside(folder)?;
        let mut state = self.state();
        let mut made = PathBuf::new();
        let mut above = vec![0];
        for part in path.components() {
            made.push(part);
            let (at, name, entry) = state.resolve(&made)?;
            match entry {
                Some(Entry::Folder(folder)) => above.push(folder),
                Some(Entry::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    state
                        .begin(Operation::MakeFolder, at, name.len(), 0)
                        .map_err(failure)?;
                    above.push(state.make_folder(at, &name));
                    state.end(Operation::MakeFolder, at).map_err(failure)?;
                }
            }
        }
        for folder in above.into_iter().rev().take(3) {
            // As on a real one, what comes of it is not looked at.
            let _ = state.sync_folder(folder);
        }
        Ok(())
    }

    fn make_file(&self, folder: &Path, prefix: &str) -> io::Result<PathBuf> {
        let inside = self.inside(folder)?;
        let mut state = self.state();
        let (_, _, Some(Entry::Folder(number))) = state.resolve(&inside)? else {
            return Err(missing());
        };
        state
            .begin(Operation::Create, number, prefix.len(), 1)
            .map_err(failure)?;
        let name = format!("{prefix}{:06x}", state.chance.next_u64() & 0xff_ffff);
        let file = state.make_file(number, &name);
        state.end(Operation::Create, file).map_err(failure)?;
        Ok(folder.join(name))
    }

    fn publish(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.inside(from)?, self.inside(to)?);
        let mut state = self.state();
        let (folder, gone, entry) = state.resolve(&from)?;
        let entry = entry.ok_or_else(missing)?;
        let (_, new, taken) = state.resolve(&to)?;
        state
            .begin(Operation::Rename, folder, new.len(), 0)
            .map_err(failure)?;
        if taken.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(node) = state.folders.get_mut(&folder) {
            node.change(Some(&gone), Some((&new, entry)));
        }
        state.end(Operation::Rename, folder).map_err(failure)?;
        state.sync_folder(folder).map_err(failure)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        crate::handle::remove(self, &self.inside(path)?, false).map_err(refused)
    }

    /// Files of processes that are dead are old.
    fn age(&self, path: &Path) -> Option<Duration> {
        let path = self.inside(path).ok()?;
        let state = self.state();
        let (_, _, Some(Entry::File(file))) = state.resolve(&path).ok()? else {
            return None;
        };
        let lives = state.life - state.files.get(&file)?.life;
        Some(Duration::from_secs(24 * 60 * 60 * lives))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let path = self.inside(path)?;
        let mut state = self.state();
        let synced = match state.resolve(&path)?.2 {
            Some(Entry::File(file)) => state.sync_file(file),
            Some(Entry::Folder(folder)) => state.sync_folder(folder),
            None => return Err(missing()),
        };
        synced.map_err(failure)
    }

    fn give_to_owner(&self, _: &Path, _: &Path) {}

    fn scratch(&self, _: &Path) -> io::Result<Box<dyn Scratch>> {
        let handle = Handle::scratch(self).map_err(refused)?;
        Ok(Box::new(Cursor { handle, at: 0 }))
    }
}

/// A file with a place in it.
struct Cursor {
    handle: Handle,
    at: usize,
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.handle.read(self.at, into).map_err(refused)?;
        self.at += read;
        Ok(read)
    }
}

impl Write for Cursor {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.handle.write(self.at, data).map_err(refused)?;
        self.at += data.len();
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let from = match to {
            SeekFrom::Start(_) => 0,
            SeekFrom::Current(_) => self.at as i64,
            SeekFrom::End(_) => self.handle.len().map_err(refused)? as i64,
        };
        let by = match to {
            SeekFrom::Start(at) => i64::try_from(at).map_err(io::Error::other)?,
            SeekFrom::Current(by) | SeekFrom::End(by) => by,
        };
        self.at = usize::try_from(from + by).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at as u64)
    }
}

impl Scratch for Cursor {
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.handle.truncate(len).map_err(refused)
    }
}
