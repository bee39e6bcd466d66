//! Messages that have arrived and are not yet named by any mailbox.
//!
//! Bytes go to an append-only log: its end is kept in memory, and what no longer fits there moves to an unlinked
//! temporary file, so neither one huge message nor a million small ones cost memory. Staged messages are not durable;
//! they become so with the transaction whose records name them. A message that the server already has in another scope
//! is not copied here but remembered by where it is.
//!
//! The partition a message was announced for is not kept: a record may use every staged message. Cyrus looks only at
//! the record's own partition; being more generous loses nothing, because the SHA-1 names the bytes.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::name::Scope;
use engine::ticket::{RefusedMessage, StagePart, StoreError};
use protocol::Guid;
use sha1::{Digest, Sha1};

use crate::sqlite::files::{Files, Scratch};

/// Where a staged message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Staged<'a> {
    /// In the log.
    Here {
        /// Where it begins in the log.
        offset: u64,
        /// Its bytes.
        size: u64,
    },
    /// Stored in this scope when it was reserved; it may be gone since.
    Elsewhere(&'a Scope),
}

#[derive(Clone, Copy)]
enum Entry {
    Here { offset: u64, size: u64 },
    Elsewhere(u32),
}

struct Incoming {
    announced: Guid,
    size: u64,
    start: u64,
    received: u64,
    hasher: Sha1,
}

/// Buffers up to so many bytes stay with a session between two batches; larger ones are given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Folder and file system of the temporary files.
pub(crate) type Place = (PathBuf, Arc<dyn Files>);

/// Memory that the sessions of a store may use for staged messages together. Where it is used up, messages go to the
/// temporary file at once: an upload gets slower, and is never refused.
#[derive(Debug)]
pub(crate) struct StagingTotal {
    used: AtomicUsize,
    max: usize,
}

impl StagingTotal {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(StagingTotal {
            used: AtomicUsize::new(0),
            max,
        })
    }
}

/// What one session has staged.
pub(crate) struct Staging {
    log: Log,
    index: BTreeMap<Guid, Entry>,
    scopes: Vec<Scope>,
    incoming: Option<Incoming>,
}

impl Staging {
    /// At most `memory_max` bytes stay in memory, and no more than `total` has left; the rest goes to a temporary file in
    /// `place`. Without a place all stays in memory.
    pub(crate) fn new(memory_max: usize, total: Arc<StagingTotal>, place: Option<Place>) -> Self {
        Staging {
            log: Log {
                flushed: 0,
                tail: Vec::new(),
                memory_max,
                total,
                charged: 0,
                place,
                file: None,
            },
            index: BTreeMap::new(),
            scopes: Vec::new(),
            incoming: None,
        }
    }

    /// Takes the next pieces of the stream; answers the messages that were completed and were not what was announced.
    pub(crate) fn stage(&mut self, parts: Vec<StagePart>) -> Result<Vec<RefusedMessage>, StoreError> {
        let mut refused = Vec::new();
        for part in parts {
            match (part, self.incoming.is_some()) {
                (StagePart::Open { guid, size, .. }, false) => {
                    let start = self.log.len();
                    self.incoming = Some(Incoming {
                        announced: guid,
                        size,
                        start,
                        received: 0,
                        hasher: Sha1::new(),
                    });
                }
                (StagePart::Data(bytes), true) => self.append(&bytes)?,
                (StagePart::Close, true) => refused.extend(self.close()?),
                (StagePart::Abort, true) => {
                    if let Some(incoming) = self.incoming.take() {
                        self.log.truncate(incoming.start)?;
                    }
                }
                (StagePart::Open { .. }, true) => return Err(misuse("a message opened within a message")),
                (_, false) => return Err(misuse("a part of a message that was not opened")),
            }
        }
        Ok(refused)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(incoming) = self.incoming.as_mut() else {
            return Ok(());
        };
        incoming.hasher.update(bytes);
        // What exceeds the announced size is hashed for the report but never kept.
        let room = incoming.size.saturating_sub(incoming.received);
        incoming.received = incoming.received.saturating_add(bytes.len() as u64);
        let kept = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let start = incoming.start;
        self.log.append(&bytes[..kept]).inspect_err(|_| {
            self.incoming = None;
            // The error that matters is the one of the write; a log that keeps some dead bytes harms nobody.
            let _ = self.log.truncate(start);
        })
    }

    fn close(&mut self) -> Result<Option<RefusedMessage>, StoreError> {
        let Some(incoming) = self.incoming.take() else {
            return Ok(None);
        };
        let actual = Guid::from_bytes(incoming.hasher.finalize().into());
        if actual != incoming.announced || incoming.received != incoming.size {
            self.log.truncate(incoming.start)?;
            return Ok(Some(RefusedMessage {
                announced: incoming.announced,
                actual,
            }));
        }
        if let Some(Entry::Here { .. }) = self.index.get(&actual) {
            self.log.truncate(incoming.start)?;
        } else {
            self.index.insert(
                actual,
                Entry::Here {
                    offset: incoming.start,
                    size: incoming.size,
                },
            );
        }
        Ok(None)
    }

    /// Where a message is, if it is staged.
    pub(crate) fn find(&self, guid: &Guid) -> Option<Staged<'_>> {
        match *self.index.get(guid)? {
            Entry::Here { offset, size } => Some(Staged::Here { offset, size }),
            Entry::Elsewhere(scope) => Some(Staged::Elsewhere(self.scopes.get(scope as usize)?)),
        }
    }

    /// Remembers that a message is stored in `scope`; one that is staged already stays as it is.
    pub(crate) fn refer(&mut self, guid: Guid, scope: &Scope) {
        let at = self
            .scopes
            .iter()
            .position(|known| known == scope)
            .unwrap_or_else(|| {
                self.scopes.push(scope.clone());
                self.scopes.len() - 1
            });
        self.index.entry(guid).or_insert(Entry::Elsewhere(at as u32));
    }

    /// Where these messages are stored that were remembered by [`Staging::refer`]; they may be gone from there by now.
    pub(crate) fn elsewhere(&self, guids: &[Guid]) -> BTreeMap<Scope, Vec<Guid>> {
        let mut found: BTreeMap<Scope, Vec<Guid>> = BTreeMap::new();
        for guid in guids {
            if let Some(Staged::Elsewhere(scope)) = self.find(guid) {
                found.entry(scope.clone()).or_default().push(*guid);
            }
        }
        found
    }

    /// Forgets that a message is stored somewhere else; one whose bytes are staged stays.
    pub(crate) fn unrefer(&mut self, guid: &Guid) {
        if matches!(self.index.get(guid), Some(Entry::Elsewhere(_))) {
            self.index.remove(guid);
        }
    }

    /// Reads bytes of the log into `into`, which lie wholly within it.
    pub(crate) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), StoreError> {
        self.log.read(offset, into)
    }

    /// Drops everything, a message that is under way included, and gives memory and disk back.
    pub(crate) fn forget(&mut self) {
        self.index = BTreeMap::new();
        self.scopes = Vec::new();
        self.incoming = None;
        self.log.clear();
    }

    /// Gives the memory back that holds nothing; what is staged stays.
    pub(crate) fn rest(&mut self) {
        self.log.tail.shrink_to_fit();
        self.log.charge();
    }
}

/// The bytes: `[0, flushed)` in the file, the rest in `tail`.
struct Log {
    flushed: u64,
    tail: Vec<u8>,
    memory_max: usize,
    total: Arc<StagingTotal>,
    /// Bytes of `tail` that `total` counts.
    charged: usize,
    place: Option<Place>,
    file: Option<Box<dyn Scratch>>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.tail = Vec::new();
        self.charge();
    }
}

impl Log {
    /// Tells the total what the buffer holds now.
    fn charge(&mut self) {
        let held = self.tail.capacity();
        if held >= self.charged {
            self.total.used.fetch_add(held - self.charged, Ordering::Relaxed);
        } else {
            self.total.used.fetch_sub(self.charged - held, Ordering::Relaxed);
        }
        self.charged = held;
    }

    /// Whether the buffer can take so many bytes more without using more memory than there is for all.
    fn has_room(&self, bytes: usize) -> bool {
        let needed = self.tail.len() + bytes;
        needed <= self.memory_max
            && (needed <= self.tail.capacity()
                || self.total.used.load(Ordering::Relaxed) + needed - self.charged <= self.total.max)
    }

    fn len(&self) -> u64 {
        self.flushed + self.tail.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.place.is_some() && !self.has_room(bytes.len()) {
            self.spill(bytes)
        } else {
            self.tail.extend_from_slice(bytes);
            self.charge();
            Ok(())
        }
    }

    fn spill(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.file.is_none()
            && let Some((folder, files)) = &self.place
        {
            self.file = Some(files.scratch(folder).map_err(|error| self.failure(&error))?);
        }
        let written = match self.file.as_mut() {
            Some(file) => file
                .seek(SeekFrom::Start(self.flushed))
                .and_then(|_| file.write_all(&self.tail))
                .and_then(|()| file.write_all(bytes)),
            None => Ok(()),
        };
        written.map_err(|error| self.failure(&error))?;
        self.flushed += (self.tail.len() + bytes.len()) as u64;
        self.tail.clear();
        if self.total.used.load(Ordering::Relaxed) > self.total.max {
            self.tail = Vec::new();
            self.charge();
        }
        Ok(())
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), StoreError> {
        let from_file = self.flushed.saturating_sub(offset).min(into.len() as u64) as usize;
        let (head, rest) = into.split_at_mut(from_file);
        if let (Some(file), false) = (self.file.as_mut(), head.is_empty()) {
            let read = file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(head));
            read.map_err(|error| self.failure(&error))?;
        }
        let at = (offset + from_file as u64 - self.flushed.min(offset + from_file as u64)) as usize;
        let found = self
            .tail
            .get(at..at + rest.len())
            .ok_or_else(|| misuse("a read behind the staged bytes"))?;
        rest.copy_from_slice(found);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> Result<(), StoreError> {
        if len >= self.flushed {
            self.tail.truncate((len - self.flushed) as usize);
            return Ok(());
        }
        self.tail.clear();
        self.flushed = len;
        match &mut self.file {
            Some(file) => file.set_len(len).map_err(|error| self.failure(&error)),
            None => Ok(()),
        }
    }

    fn clear(&mut self) {
        self.flushed = 0;
        self.file = None;
        self.tail.clear();
        // Two batches in a row are the rule, and so is silence for hours behind them.
        if self.tail.capacity() > KEPT_BYTES {
            self.tail = Vec::new();
            self.charge();
        }
    }

    fn failure(&self, error: &std::io::Error) -> StoreError {
        let folder = self.place.as_ref().map(|(folder, _)| folder.as_path());
        let path = folder.unwrap_or(std::path::Path::new("")).display();
        let path = format!("{path} (temporary file for uploads)");
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full { path },
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                StoreError::ReadOnly { path }
            }
            _ => StoreError::Io {
                path,
                detail: error.to_string(),
            },
        }
    }
}

fn misuse(what: &'static str) -> StoreError {
    StoreError::Misuse { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use protocol::Text;

    use crate::sqlite::files::SystemFiles;

    fn in_folder(dir: &tempfile::TempDir) -> Option<Place> {
        Some((dir.path().to_path_buf(), Arc::new(SystemFiles)))
    }

    fn staging(memory_max: usize, place: Option<Place>) -> Staging {
        Staging::new(memory_max, StagingTotal::new(usize::MAX), place)
    }

    /// Both sides of the limit on all sessions together: what does not fit goes to the file, and comes back whole.
    /// [CS-LIMIT-17]
    #[test]
    fn sessions_share_their_memory() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let total = StagingTotal::new(1 << 20);
        let session = || Staging::new(1 << 20, Arc::clone(&total), in_folder(&dir));
        let used = || total.used.load(Ordering::Relaxed);
        let put = |staging: &mut Staging, data: &[u8]| {
            let parts = vec![
                open(guid_of(data), data.len() as u64),
                StagePart::Data(Bytes::copy_from_slice(data)),
                StagePart::Close,
            ];
            assert_eq!(staging.stage(parts).expect("stages"), []);
            let Some(Staged::Here { offset, .. }) = staging.find(&guid_of(data)) else {
                panic!("staged")
            };
            let mut back = vec![0; data.len()];
            staging.read(offset, &mut back).expect("reads");
            assert!(back == data);
        };
        let (mut first, mut second) = (session(), session());
        put(&mut first, &message(1, 600_000));
        assert!(first.log.file.is_none());
        put(&mut second, &message(2, 400_000));
        assert!(second.log.file.is_none(), "both fit");
        assert!(used() <= 1 << 20);
        put(&mut second, &message(3, 500_000));
        assert!(second.log.file.is_some(), "one message too many");
        assert!(used() <= 1 << 20);
        drop(first);
        second.forget();
        put(&mut second, &message(4, 1_000_000));
        assert!(second.log.file.is_none(), "the room is back");
        drop(second);
        assert_eq!(used(), 0);
    }

    fn guid_of(data: &[u8]) -> Guid {
        Guid::from_bytes(Sha1::digest(data).into())
    }

    fn open(guid: Guid, size: u64) -> StagePart {
        StagePart::Open {
            partition: Text::from("default"),
            guid,
            size,
        }
    }

    fn message(seed: u8, len: usize) -> Vec<u8> {
        (0..len).map(|at| seed.wrapping_add((at % 251) as u8)).collect()
    }

    /// [CS-LIMIT-16]
    #[test]
    fn what_spills_reads_back_across_the_border() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut staging = staging(1000, in_folder(&dir));
        let messages: Vec<Vec<u8>> = (0..40).map(|n| message(n, 37 * usize::from(n))).collect();
        for data in &messages {
            let mut parts = vec![open(guid_of(data), data.len() as u64)];
            parts.extend(
                data.chunks(100)
                    .map(|c| StagePart::Data(Bytes::copy_from_slice(c))),
            );
            parts.push(StagePart::Close);
            for part in parts {
                assert_eq!(staging.stage(vec![part]).expect("stages"), []);
            }
        }
        assert!(staging.log.file.is_some() && staging.log.tail.len() <= 1000);
        for data in &messages {
            let Some(Staged::Here { offset, size }) = staging.find(&guid_of(data)) else {
                panic!("staged")
            };
            assert_eq!(size, data.len() as u64);
            let mut back = vec![0; data.len()];
            staging.read(offset, &mut back).expect("reads");
            assert_eq!(&back, data);
        }
        let mut beyond = [0u8; 4];
        assert!(staging.read(staging.log.len() - 2, &mut beyond).is_err());
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("lists").count(),
            0,
            "the file has no name"
        );
        staging.forget();
        assert_eq!(staging.find(&guid_of(&messages[3])), None);
    }

    #[test]
    fn wrong_messages_are_refused_and_leave_no_bytes() {
        let mut staging = staging(16, None);
        let (good, other) = (guid_of(b"good"), guid_of(b"other"));
        let data = |text: &'static [u8]| StagePart::Data(Bytes::from_static(text));
        let refused = staging
            .stage(vec![
                open(other, 4),
                data(b"good"),
                StagePart::Close,
                open(good, 5),
                data(b"good"),
                StagePart::Close,
                open(good, 3),
                data(b"good"),
                StagePart::Close,
                open(good, 4),
                data(b"go"),
                StagePart::Abort,
            ])
            .expect("stages");
        let wrong = |announced| RefusedMessage {
            announced,
            actual: good,
        };
        assert_eq!(refused, [wrong(other), wrong(good), wrong(good)]);
        assert_eq!(staging.log.len(), 0);
        assert_eq!(staging.find(&good), None);
        assert_eq!(
            staging.stage(vec![open(good, 4), data(b"good"), StagePart::Close]),
            Ok(vec![])
        );
        assert_eq!(staging.find(&good), Some(Staged::Here { offset: 0, size: 4 }));
    }

    #[test]
    fn parts_out_of_order_are_misuse() {
        let mut staging = staging(16, None);
        assert!(matches!(
            staging.stage(vec![StagePart::Close]),
            Err(StoreError::Misuse { .. })
        ));
        staging.stage(vec![open(Guid::NULL, 1)]).expect("opens");
        assert!(matches!(
            staging.stage(vec![open(Guid::NULL, 1)]),
            Err(StoreError::Misuse { .. })
        ));
    }

    #[test]
    fn references_give_way_to_bytes_only() {
        let mut staging = staging(16, None);
        let guid = guid_of(b"x");
        let (a, b) = (Scope::User(Text::from("a")), Scope::Shared);
        staging.refer(guid, &a);
        staging.refer(guid, &b);
        assert_eq!(staging.find(&guid), Some(Staged::Elsewhere(&a)));
        for (text, scope) in [(b"y", &b), (b"z", &a), (b"u", &b)] {
            staging.refer(guid_of(text), scope);
            assert_eq!(staging.find(&guid_of(text)), Some(Staged::Elsewhere(scope)));
        }
        let parts = vec![
            open(guid, 1),
            StagePart::Data(Bytes::from_static(b"x")),
            StagePart::Close,
        ];
        staging.stage(parts).expect("stages");
        assert_eq!(staging.find(&guid), Some(Staged::Here { offset: 0, size: 1 }));
    }
}
