//! A file that a connection of SQLite has open.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};

use crate::disk::{Disk, State};
use crate::fault::{Fault, Operation};
use crate::locks::{Holder, Level};
use crate::node::{Entry, FileNode, NodeId, Shared};

/// Why a handle could not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// By the plan.
    Fault(Fault),
    /// Others are in the way.
    Busy,
    /// There is no such file.
    Missing,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Fault(fault)
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// It is made when it is missing.
    pub create: bool,
    /// Its name is made durable with its first sync: SQLite does so for journals.
    pub names_too: bool,
    /// It goes when it is closed.
    pub fleeting: bool,
}

/// An open file.
#[derive(Debug)]
pub struct Handle {
    disk: Disk,
    file: NodeId,
    folder: NodeId,
    name: String,
    life: u64,
    holder: Holder,
    purpose: Purpose,
    shared: Option<Arc<Shared>>,
}

impl Handle {
    /// Opens a file of a disk.
    pub fn open(disk: &Disk, path: &Path, purpose: Purpose) -> Result<Handle, Refusal> {
        let mut state = disk.state();
        let (folder, name, entry) = state.resolve(path).map_err(|_| Refusal::Missing)?;
        let operation = if entry.is_none() && purpose.create {
            Operation::Create
        } else {
            Operation::Open
        };
        state.begin(operation, folder, name.len(), 0)?;
        let file = match entry {
            Some(Entry::File(file)) => file,
            None if purpose.create => {
                let file = state.make_file(folder, &name);
                state.end(Operation::Create, file)?;
                file
            }
            _ => return Err(Refusal::Missing),
        };
        let holder = state.next_holder;
        state.next_holder += 1;
        Ok(Handle {
            disk: disk.clone(),
            file,
            folder,
            name,
            life: state.life,
            holder,
            purpose,
            shared: None,
        })
    }

    /// Opens a file that nobody else sees.
    pub fn scratch(disk: &Disk) -> Result<Handle, Refusal> {
        let mut state = disk.state();
        state.begin(Operation::Create, 0, 0, 0)?;
        let file = state.make_scratch();
        let holder = state.next_holder;
        state.next_holder += 1;
        Ok(Handle {
            disk: disk.clone(),
            file,
            folder: 0,
            name: String::new(),
            life: state.life,
            holder,
            purpose: Purpose {
                create: true,
                names_too: false,
                fleeting: true,
            },
            shared: None,
        })
    }

    /// What an operation works with, once it is counted and neither failed nor asked by a process that is dead.
    fn begin<T>(
        &self,
        operation: Operation,
        (at, len): (usize, usize),
        work: impl FnOnce(&mut FileNode) -> T,
    ) -> Result<T, Refusal> {
        let mut state = self.disk.state();
        self.is_alive(&state)?;
        state.begin(operation, self.file, at, len)?;
        let file = state.files.get_mut(&self.file).ok_or(Refusal::Missing)?;
        let done = work(file);
        if operation.changes() {
            file.life = self.life;
            state.end(operation, self.file)?;
        }
        Ok(done)
    }

    fn is_alive(&self, state: &State) -> Result<(), Refusal> {
        if state.life == self.life {
            Ok(())
        } else {
            Err(Refusal::Fault(Fault::Io))
        }
    }

    /// Reads what there is, or a part of it; answers how much.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<usize, Refusal> {
        let mut copied = 0;
        let span = (offset, into.len());
        let done = self.begin(Operation::Read, span, |file| {
            let found = file.bytes.get(offset..).unwrap_or_default();
            copied = found.len().min(into.len());
            into[..copied].copy_from_slice(&found[..copied]);
        });
        match done {
            Ok(()) => Ok(copied),
            Err(Refusal::Fault(Fault::Short)) => {
                let some = into.len().div_ceil(2);
                let copy = |file: &mut FileNode| {
                    let found = file.bytes.get(offset..).unwrap_or_default();
                    let copied = found.len().min(some);
                    into[..copied].copy_from_slice(&found[..copied]);
                    copied
                };
                Ok(self.alive(copy).unwrap_or_default())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes; when that fails, a part may have been written.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result<(), Refusal> {
        let span = (offset, data.len());
        let done = self.begin(Operation::Write, span, |file| file.write(offset, data));
        if done.is_err() {
            let mut state = self.disk.state();
            let part = state.chance.below(data.len() + 1);
            if state.life == self.life
                && !state.is_down()
                && let Some(file) = state.files.get_mut(&self.file)
            {
                file.write(offset, &data[..part]);
            }
        }
        done
    }

    /// Sets the length.
    pub fn truncate(&self, len: usize) -> Result<(), Refusal> {
        self.begin(Operation::Truncate, (len, 0), |file| file.truncate(len))
    }

    /// Makes it durable, and its name where that is wanted.
    pub fn sync(&mut self) -> Result<(), Refusal> {
        let mut state = self.disk.state();
        self.is_alive(&state)?;
        state.sync_file(self.file)?;
        if std::mem::take(&mut self.purpose.names_too) {
            // SQLite does not look at what comes of this.
            let _ = state.sync_folder(self.folder);
        }
        Ok(())
    }

    /// Its length.
    pub fn len(&self) -> Result<usize, Refusal> {
        self.begin(Operation::Look, (0, 0), |file| file.bytes.len())
    }

    /// Whether its name is that of another file by now, or of none.
    pub fn has_moved(&self) -> bool {
        let state = self.disk.state();
        let folder = state.folders.get(&self.folder);
        let entry = folder.and_then(|folder| folder.names.get(&self.name));
        state.life != self.life || entry != Some(&Entry::File(self.file))
    }

    /// Takes a lock.
    pub fn lock(&self, level: Level) -> Result<(), Refusal> {
        let taken = self.begin(Operation::Lock, (0, 0), |file| {
            file.locks.take(self.holder, level)
        })?;
        if taken { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Weakens a lock.
    pub fn unlock(&self, level: Level) {
        self.alive(|file| file.locks.weaken(self.holder, level));
    }

    /// Whether anybody is about to write.
    pub fn is_reserved(&self) -> bool {
        self.alive(|file| file.locks.is_reserved()).unwrap_or_default()
    }

    /// Works with the file unless the process is dead.
    fn alive<T>(&self, work: impl FnOnce(&mut FileNode) -> T) -> Option<T> {
        let mut state = self.disk.state();
        self.is_alive(&state).ok()?;
        state.files.get_mut(&self.file).map(work)
    }

    /// A region of the shared memory, of so many bytes, made if that is wanted; it stays where it is while this is open.
    pub fn map(
        &mut self,
        region: usize,
        bytes: usize,
        make: bool,
    ) -> Result<Option<*const AtomicU64>, Refusal> {
        let shared = match &self.shared {
            Some(shared) => Arc::clone(shared),
            None => self.begin(Operation::Map, (region, bytes), |file| {
                Arc::clone(file.shared.get_or_insert_default())
            })?,
        };
        self.shared = Some(Arc::clone(&shared));
        let mut regions = shared.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if regions.len() <= region && make {
            self.begin(Operation::Map, (region, bytes), |_| ())?;
            regions.resize_with(region + 1, || {
                std::iter::repeat_with(AtomicU64::default)
                    .take(bytes / 8)
                    .collect()
            });
        }
        Ok(regions.get(region).map(|region| region.as_ptr()))
    }

    /// Takes slots of the shared memory.
    pub fn take_slots(&self, first: usize, count: usize, alone: bool) -> Result<(), Refusal> {
        let taken = self.begin(Operation::Lock, (first, count), |file| {
            file.locks.take_slots(self.holder, first, count, alone)
        })?;
        if taken { Ok(()) } else { Err(Refusal::Busy) }
    }

    /// Gives slots back.
    pub fn give_slots(&self, first: usize, count: usize) {
        self.alive(|file| file.locks.give_slots(self.holder, first, count));
    }

    /// Lets go of the shared memory; it goes with the last, as SQLite's own does.
    pub fn unmap(&mut self) {
        self.give_slots(0, 8);
        let Some(own) = self.shared.take() else { return };
        self.alive(|file| {
            if file
                .shared
                .as_ref()
                .is_some_and(|shared| Arc::ptr_eq(shared, &own))
                && Arc::strong_count(&own) == 2
            {
                file.shared = None;
            }
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.unmap();
        self.alive(|file| file.locks.leave(self.holder));
        if self.purpose.fleeting {
            let mut state = self.disk.state();
            state.files.remove(&self.file);
            if !self.name.is_empty()
                && state.life == self.life
                && let Some(folder) = state.folders.get_mut(&self.folder)
            {
                folder.change(Some(&self.name), None);
            }
        }
    }
}

/// Removes a file.
pub fn remove(disk: &Disk, path: &Path, names_too: bool) -> Result<(), Refusal> {
    let mut state = disk.state();
    let (folder, name, entry) = state.resolve(path).map_err(|_| Refusal::Missing)?;
    state.begin(Operation::Remove, folder, name.len(), 0)?;
    let Some(Entry::File(file)) = entry else {
        return Err(Refusal::Missing);
    };
    if let Some(folder) = state.folders.get_mut(&folder) {
        folder.change(Some(&name), None);
    }
    state.end(Operation::Remove, file)?;
    if names_too {
        state.sync_folder(folder)?;
    }
    Ok(())
}

/// Whether there is a file that is not empty, as SQLite wants to know it.
pub fn is_there(disk: &Disk, path: &Path) -> Result<bool, Refusal> {
    let mut state = disk.state();
    let Ok((folder, name, entry)) = state.resolve(path) else {
        return Ok(false);
    };
    state.begin(Operation::Look, folder, name.len(), 0)?;
    let Some(Entry::File(file)) = entry else {
        return Ok(false);
    };
    Ok(state.files.get(&file).is_some_and(|file| !file.bytes.is_empty()))
}

/// A disk for files that belong to none: SQLite's own temporary ones. It never fails.
pub fn elsewhere() -> (Disk, PathBuf) {
    let disk = Disk::new(0);
    let root = disk.root();
    (disk, root)
}
