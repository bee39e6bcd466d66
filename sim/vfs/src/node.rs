//! A file or a folder: what is seen of it, what is durable, and what lies between.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use crate::chance::Chance;
use crate::fault::Loss;
use crate::locks::Locks;

/// What a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Number of a file or folder.
pub type NodeId = u64;

/// Memory that connections of one file share: regions that stay where they are.
#[derive(Default, Debug)]
pub struct Shared {
    /// The regions, in words.
    pub regions: Mutex<Vec<Box<[AtomicU64]>>>,
}

/// A file.
#[derive(Default, Debug)]
pub struct FileNode {
    /// What is read.
    pub bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Unsynced>,
    /// Counts changes.
    pub version: u64,
    /// The process it was changed by last.
    pub life: u64,
    /// Who holds it.
    pub locks: Locks,
    /// Shared memory, while somebody has it.
    pub shared: Option<Arc<Shared>>,
}

#[derive(Clone, Debug)]
enum Unsynced {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

impl FileNode {
    /// An empty file that a process made.
    pub fn new(life: u64) -> Self {
        FileNode {
            life,
            ..FileNode::default()
        }
    }

    /// Writes, and makes the file longer where needed.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        put(&mut self.bytes, offset, data);
        let data = data.to_vec();
        self.pending.push(Unsynced::Write { offset, data });
        self.version += 1;
    }

    /// Sets the length.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.resize(len, 0);
        self.pending.push(Unsynced::Truncate(len));
        self.version += 1;
    }

    /// Makes all durable.
    pub fn sync(&mut self) {
        for unsynced in self.pending.drain(..) {
            unsynced.apply(&mut self.durable);
        }
    }

    /// A sync that failed. Systems may then count as written what is not: it is read until the machine goes down, and no
    /// later sync writes it.
    pub fn fail_sync(&mut self, chance: &mut Chance) {
        if chance.one_in(2) {
            let pending = std::mem::take(&mut self.pending);
            survive(&mut self.durable, pending, Loss::Torn(chance.next_u64()));
        }
    }

    /// What a crash leaves.
    pub fn crash(&mut self, loss: Loss) {
        self.locks = Locks::default();
        self.shared = None;
        if loss == Loss::Killed {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        survive(&mut self.durable, pending, loss);
        self.bytes.clone_from(&self.durable);
        self.version += 1;
    }

    /// Turns a bit over where it lies.
    pub fn flip(&mut self, offset: usize, bit: u8) {
        for bytes in [&mut self.bytes, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}

impl Unsynced {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Unsynced::Write { offset, data } => put(bytes, *offset, data),
            Unsynced::Truncate(len) => bytes.resize(*len, 0),
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// Adds to what is durable what of the rest came through.
fn survive(durable: &mut Vec<u8>, pending: Vec<Unsynced>, loss: Loss) {
    match loss {
        Loss::Lost => {}
        Loss::Kept | Loss::Killed => pending.iter().for_each(|unsynced| unsynced.apply(durable)),
        Loss::Torn(seed) => {
            let mut chance = Chance::new(seed);
            // Many systems write roughly in order, some do not.
            let in_order = chance.one_in(3);
            let last = chance.below(pending.len() + 1);
            for (nth, unsynced) in pending.iter().enumerate() {
                let fate = match nth.cmp(&last) {
                    std::cmp::Ordering::Less if in_order => 0,
                    std::cmp::Ordering::Greater if in_order => 1,
                    _ => chance.below(3),
                };
                match (fate, unsynced) {
                    (0, _) => unsynced.apply(durable),
                    (2, Unsynced::Write { offset, data }) => tear(durable, *offset, data, &mut chance),
                    _ => {}
                }
            }
        }
    }
}

/// Writes some sectors of the data.
fn tear(durable: &mut Vec<u8>, offset: usize, data: &[u8], chance: &mut Chance) {
    let before = durable.len();
    let has_room = chance.one_in(2);
    if has_room && before < offset + data.len() {
        // The length came through and the bytes did not: the room holds what was there, or nothing.
        let filler = if chance.one_in(2) {
            0
        } else {
            chance.next_u64() as u8
        };
        durable.resize(offset + data.len(), filler);
    }
    let mut at = 0;
    while at < data.len() {
        // Sectors are those of the file.
        let end = (SECTOR_BYTES - (offset + at) % SECTOR_BYTES + at).min(data.len());
        if chance.one_in(2) {
            put(durable, offset + at, &data[at..end]);
        }
        at = end;
    }
}

/// A name in a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Of a file.
    File(NodeId),
    /// Of a folder.
    Folder(NodeId),
}

/// A folder.
#[derive(Default, Debug)]
pub struct FolderNode {
    /// What is seen.
    pub names: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    pending: Vec<Renamed>,
}

/// A change of names that happens as a whole: made, removed or given another name.
#[derive(Clone, Debug)]
struct Renamed {
    gone: Option<String>,
    new: Option<(String, Entry)>,
}

impl Renamed {
    fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, entry)) = &self.new {
            names.insert(name.clone(), *entry);
        }
    }
}

impl FolderNode {
    /// Takes a name away, gives one, or both at once.
    pub fn change(&mut self, gone: Option<&str>, new: Option<(&str, Entry)>) {
        let renamed = Renamed {
            gone: gone.map(str::to_owned),
            new: new.map(|(name, entry)| (name.to_owned(), entry)),
        };
        renamed.apply(&mut self.names);
        self.pending.push(renamed);
    }

    /// Makes all names durable.
    pub fn sync(&mut self) {
        self.pending.clear();
        self.durable.clone_from(&self.names);
    }

    /// What a crash leaves. A file may lose its name, and one may have two.
    pub fn crash(&mut self, loss: Loss) {
        let mut chance = match loss {
            Loss::Killed => return,
            Loss::Torn(seed) => Chance::new(!seed),
            Loss::Kept | Loss::Lost => Chance::new(0),
        };
        for renamed in std::mem::take(&mut self.pending) {
            let survives = match loss {
                Loss::Lost => false,
                Loss::Torn(_) => chance.one_in(2),
                Loss::Kept | Loss::Killed => true,
            };
            if survives {
                renamed.apply(&mut self.durable);
            }
        }
        self.names.clone_from(&self.durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> FileNode {
        let mut file = FileNode::default();
        file.write(0, &[1; 2048]);
        file.sync();
        file.write(512, &[2; 1024]);
        file.write(2048, &[3; 512]);
        file
    }

    #[test]
    fn what_was_synced_is_there_whatever_happens() {
        for (loss, expected) in [(Loss::Lost, 2048), (Loss::Kept, 2560), (Loss::Killed, 2560)] {
            let mut file = written();
            file.crash(loss);
            assert_eq!(file.bytes.len(), expected, "{loss:?}");
        }
        let mut file = written();
        file.crash(Loss::Killed);
        file.crash(Loss::Lost);
        assert_eq!(file.bytes, [1; 2048], "a killed process made nothing durable");
        let mut file = written();
        file.sync();
        file.crash(Loss::Lost);
        assert_eq!(file.bytes.len(), 2560);
    }

    #[test]
    fn torn_writes_leave_sectors_of_either() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut file = written();
            file.crash(Loss::Torn(seed));
            assert!(file.bytes.len() >= 2048 && file.bytes[..512] == [1; 512]);
            for sector in file.bytes[512..2048].chunks(512) {
                assert!(sector == [1; 512] || sector == [2; 512]);
            }
            seen.insert(file.bytes.clone());
        }
        assert!(seen.len() > 8, "all kinds: {}", seen.len());
    }

    #[test]
    fn a_failed_sync_may_forget() {
        let outcomes = (0..40).map(|seed| {
            let mut file = written();
            file.fail_sync(&mut Chance::new(seed));
            let shown = file.bytes.clone();
            file.sync();
            file.crash(Loss::Lost);
            file.bytes == shown
        });
        let kept = outcomes.filter(|is_kept| *is_kept).count();
        assert!(kept > 5 && kept < 35, "{kept}");
    }

    #[test]
    fn names_are_the_folders() {
        let mut folder = FolderNode::default();
        folder.change(None, Some(("a", Entry::File(1))));
        folder.sync();
        folder.change(Some("a"), Some(("b", Entry::File(1))));
        folder.crash(Loss::Lost);
        assert_eq!(folder.names.keys().collect::<Vec<_>>(), ["a"]);
        folder.change(Some("a"), Some(("b", Entry::File(1))));
        folder.crash(Loss::Kept);
        assert_eq!(folder.names.keys().collect::<Vec<_>>(), ["b"]);
    }
}
