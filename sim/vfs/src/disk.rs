//! The disk: a tree of files and folders, the faults it is in for, and counts of what was asked of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::chance::Chance;
use crate::fault::{Fault, Lies, Loss, Operation, Plan, Point};
use crate::node::{Entry, FileNode, FolderNode, NodeId};

/// Name of the SQLite VFS that reaches all disks, each below its own [`Disk::root`].
pub const VFS: &str = "mailtwin-sim";

/// Disks that are there, by number.
static DISKS: Mutex<BTreeMap<u64, Weak<Inner>>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct Disk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    number: u64,
    state: Mutex<State>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.remove(&self.number);
    }
}

/// What was asked of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Operations that can fail.
    pub operations: u64,
    /// Those that change something.
    pub changes: u64,
    /// Syncs of files and folders.
    pub syncs: u64,
    /// A number that says what all operations were: which, of which file, where and how long. Not what was written: SQLite
    /// draws numbers of its own.
    pub trace: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<NodeId, FileNode>,
    pub(crate) folders: BTreeMap<NodeId, FolderNode>,
    next_node: NodeId,
    /// The process that runs; what earlier ones have open is dead.
    pub(crate) life: u64,
    pub(crate) next_holder: u64,
    down: bool,
    plan: Plan,
    faulted: Option<String>,
    lies: Lies,
    counts: Counts,
    pub(crate) chance: Chance,
}

/// The folder that is always there.
const ROOT: NodeId = 0;

impl Disk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        crate::shim::register();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let state = State {
            files: BTreeMap::new(),
            folders: BTreeMap::from([(ROOT, FolderNode::default())]),
            next_node: 1,
            life: 0,
            next_holder: 0,
            down: false,
            plan: Plan::Calm,
            faulted: None,
            lies: Lies::default(),
            counts: Counts::default(),
            chance: Chance::new(seed),
        };
        let inner = Arc::new(Inner {
            number,
            state: Mutex::new(state),
        });
        let mut disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        disks.insert(number, Arc::downgrade(&inner));
        Disk { inner }
    }

    /// The folder that is the disk.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/sim-disk-{}", self.inner.number))
    }

    /// The disk of a path, and the path on it.
    pub(crate) fn of(path: &Path) -> Option<(Disk, PathBuf)> {
        let mut parts = path.components();
        let Some(Component::RootDir) = parts.next() else {
            return None;
        };
        let number = parts.next()?.as_os_str().to_str()?;
        let number = number.strip_prefix("sim-disk-")?.parse().ok()?;
        let disks = DISKS.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = disks.get(&number)?.upgrade()?;
        Some((Disk { inner }, parts.as_path().to_path_buf()))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is to happen from here on; operations, changes and syncs are counted from the disk's beginning.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.state();
        state.plan = plan;
        state.faulted = None;
    }

    /// Has syncs lie.
    pub fn lie(&self, lies: Lies) {
        self.state().lies = lies;
    }

    /// What was asked of it so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Whether it crashed, and nothing can be done until [`Disk::start`].
    pub fn is_down(&self) -> bool {
        self.state().down
    }

    /// The operation that the plan met last, in words.
    pub fn faulted(&self) -> Option<String> {
        self.state().faulted.clone()
    }

    /// Crashes.
    pub fn crash(&self, loss: Loss) {
        self.state().crash(loss);
    }

    /// Runs again, for a new process; nothing is in for it any more.
    pub fn start(&self) {
        let mut state = self.state();
        state.life += 1;
        state.down = false;
        state.plan = Plan::Calm;
    }

    /// All files by path below the root, with their lengths in bytes.
    pub fn list(&self) -> Vec<(PathBuf, usize)> {
        let state = self.state();
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::new(), ROOT)];
        while let Some((path, folder)) = open.pop() {
            for (name, entry) in state.folders.get(&folder).into_iter().flat_map(|f| &f.names) {
                match entry {
                    Entry::File(file) => {
                        let len = state.files.get(file).map_or(0, |file| file.bytes.len());
                        found.push((path.join(name), len));
                    }
                    Entry::Folder(folder) => open.push((path.join(name), *folder)),
                }
            }
        }
        found.sort();
        found
    }

    /// Turns a bit of a file over where it lies; false when there is no such byte.
    pub fn flip(&self, path: &Path, offset: usize, bit: u8) -> bool {
        let mut state = self.state();
        let Ok((_, _, Some(Entry::File(file)))) = state.resolve(path) else {
            return false;
        };
        let Some(file) = state.files.get_mut(&file) else {
            return false;
        };
        let is_there = offset < file.bytes.len();
        file.flip(offset, bit);
        is_there
    }
}

impl State {
    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    /// Counts an operation; fails when the plan says so.
    pub(crate) fn begin(
        &mut self,
        operation: Operation,
        on: u64,
        at: usize,
        len: usize,
    ) -> Result<(), Fault> {
        if self.down {
            return Err(Fault::Io);
        }
        let number = self.counts.operations;
        self.counts.operations += 1;
        for part in [operation as u64, on, at as u64, len as u64] {
            self.counts.trace = (self.counts.trace ^ part).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let Plan::Fail {
            operation: failing,
            fault,
            lasting,
        } = self.plan
        else {
            return Ok(());
        };
        let is_due = number == failing || (lasting && number > failing);
        let is_apt = match fault {
            Fault::Io => true,
            Fault::Full => operation.needs_room(),
            Fault::Short => operation == Operation::Read,
        };
        if !(is_due && is_apt) {
            return Ok(());
        }
        self.faulted = Some(format!(
            "{operation:?} of {}, {len} bytes at {at}",
            self.name_of(on)
        ));
        Err(fault)
    }

    /// Counts a change that was done; crashes when the plan says so.
    pub(crate) fn end(&mut self, operation: Operation, on: u64) -> Result<(), Fault> {
        let change = self.counts.changes;
        self.counts.changes += 1;
        let sync = self.counts.syncs;
        let is_sync = matches!(operation, Operation::Sync | Operation::SyncFolder);
        self.counts.syncs += u64::from(is_sync);
        let Plan::Crash { at, loss } = self.plan else {
            return Ok(());
        };
        if at == Point::Change(change) || (is_sync && at == Point::Sync(sync)) {
            self.faulted = Some(format!("{operation:?} of {}", self.name_of(on)));
            self.crash(loss);
            return Err(Fault::Io);
        }
        Ok(())
    }

    fn crash(&mut self, loss: Loss) {
        self.down = true;
        self.files.values_mut().for_each(|file| file.crash(loss));
        self.folders.values_mut().for_each(|folder| folder.crash(loss));
    }

    /// Syncs a file, unless it is a lie.
    pub(crate) fn sync_file(&mut self, file: NodeId) -> Result<(), Fault> {
        if let Err(fault) = self.begin(Operation::Sync, file, 0, 0) {
            if let Some(node) = self.files.get_mut(&file).filter(|_| !self.down) {
                node.fail_sync(&mut self.chance);
            }
            return Err(fault);
        }
        // A crash comes while it is under way.
        self.end(Operation::Sync, file)?;
        if let Some(node) = self.files.get_mut(&file).filter(|_| !self.lies.files) {
            node.sync();
        }
        Ok(())
    }

    /// Syncs a folder, unless it is a lie.
    pub(crate) fn sync_folder(&mut self, folder: NodeId) -> Result<(), Fault> {
        self.begin(Operation::SyncFolder, folder, 0, 0)?;
        self.end(Operation::SyncFolder, folder)?;
        if let Some(node) = self.folders.get_mut(&folder).filter(|_| !self.lies.folders) {
            node.sync();
        }
        Ok(())
    }

    /// The folder of a path, the name within, and what has it; no error for a name that is free.
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<(NodeId, String, Option<Entry>)> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let mut at = ROOT;
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            let name = part.as_os_str().to_str().ok_or_else(missing)?;
            let folder = self.folders.get(&at).ok_or_else(missing)?;
            let entry = folder.names.get(name).copied();
            if parts.peek().is_none() {
                return Ok((at, name.to_owned(), entry));
            }
            match entry {
                Some(Entry::Folder(next)) => at = next,
                _ => return Err(missing()),
            }
        }
        Ok((ROOT, String::new(), Some(Entry::Folder(ROOT))))
    }

    /// Makes a file under a free name.
    pub(crate) fn make_file(&mut self, folder: NodeId, name: &str) -> NodeId {
        let number = self.make_scratch();
        if let Some(folder) = self.folders.get_mut(&folder) {
            folder.change(None, Some((name, Entry::File(number))));
        }
        number
    }

    /// Makes a file without a name.
    pub(crate) fn make_scratch(&mut self) -> NodeId {
        let number = self.next_node;
        self.next_node += 1;
        self.files.insert(number, FileNode::new(self.life));
        number
    }

    /// Makes a folder under a free name.
    pub(crate) fn make_folder(&mut self, folder: NodeId, name: &str) -> NodeId {
        let number = self.next_node;
        self.next_node += 1;
        self.folders.insert(number, FolderNode::default());
        if let Some(folder) = self.folders.get_mut(&folder) {
            folder.change(None, Some((name, Entry::Folder(number))));
        }
        number
    }

    /// A file or folder for people.
    fn name_of(&self, node: NodeId) -> String {
        let names = self.folders.values().flat_map(|folder| &folder.names);
        let mut named =
            names.filter(|(_, entry)| matches!(entry, Entry::File(n) | Entry::Folder(n) if *n == node));
        match named.next() {
            Some((name, _)) => name.clone(),
            None if node == ROOT => "the store's folder".to_owned(),
            None => format!("file {node} without a name"),
        }
    }
}
