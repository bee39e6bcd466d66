//! Message bytes: one row by SHA-1, and chunks of bounded size, so that any message streams both ways.
//!
//! A message's chunks have the numbers `id << CHUNK_BITS` and up, in order; an empty message has one empty chunk.

use bytes::Bytes;
use protocol::Guid;
use rusqlite::{OptionalExtension, params};
use sha1::{Digest, Sha1};

use super::database::Database;
use super::error::{Failure, Outcome};

/// Bytes of a chunk, but for the last one of a message.
pub(crate) const CHUNK_BYTES: u64 = 256 * 1024;
/// Room for the chunks of one message: 2^20 of them, 256 GiB.
pub(crate) const CHUNK_BITS: u32 = 20;
const SIZE_MAX: u64 = CHUNK_BYTES << CHUNK_BITS;

/// A stored message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) size: u64,
}

impl Database {
    pub(crate) fn find_message(&self, guid: &Guid) -> Outcome<Option<Stored>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT id, size FROM message WHERE guid = ?1")?;
        let found = statement.query_row([guid.as_bytes()], |row| {
            Ok(Stored {
                id: row.get(0)?,
                size: row.get::<_, i64>(1)?.cast_unsigned(),
            })
        });
        Ok(found.optional()?)
    }

    /// At most `len` bytes of a stored message from `offset` on.
    pub(crate) fn read_message(
        &mut self,
        guid: &Guid,
        stored: Stored,
        offset: u64,
        len: u64,
    ) -> Outcome<Bytes> {
        let end = offset.saturating_add(len).min(stored.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let (first, last) = (offset / CHUNK_BYTES, (end - 1) / CHUNK_BYTES);
        let from = (offset % CHUNK_BYTES) as usize;
        if first == last {
            let chunk = self.read_chunk(guid, stored, first)?;
            return Ok(chunk.slice(from..from + (end - offset) as usize));
        }
        let mut whole = Vec::with_capacity((end - offset) as usize);
        for number in first..=last {
            let chunk = self.read_chunk(guid, stored, number)?;
            let start = if number == first { from } else { 0 };
            let left = (end - offset) as usize - whole.len();
            whole.extend_from_slice(&chunk[start..chunk.len().min(start + left)]);
        }
        Ok(Bytes::from(whole))
    }

    /// One chunk, of exactly the length it has to have.
    pub(crate) fn read_chunk(&mut self, guid: &Guid, stored: Stored, number: u64) -> Outcome<Bytes> {
        if let Some((_, _, chunk)) = self.chunk.as_ref().filter(|(g, n, _)| g == guid && *n == number) {
            return Ok(chunk.clone());
        }
        let mut statement = self.conn.prepare_cached("SELECT data FROM chunk WHERE id = ?1")?;
        let at = chunk_id(stored.id, number).ok_or_else(|| wrong(guid, "has an impossible number"))?;
        let data = statement.query_row([at], |row| {
            Ok(Bytes::copy_from_slice(
                row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?,
            ))
        });
        let data = data
            .optional()?
            .ok_or_else(|| wrong(guid, "has lost a part of its bytes"))?;
        let expected = stored.size.saturating_sub(number * CHUNK_BYTES).min(CHUNK_BYTES);
        if data.len() as u64 != expected {
            return Err(wrong(guid, "has a part of the wrong length"));
        }
        if stored.size > CHUNK_BYTES {
            self.chunk = Some((*guid, number, data.clone()));
        }
        Ok(data)
    }

    /// Adds a holder to a message that is here; answers whether it is.
    pub(crate) fn hold_message(&self, guid: &Guid) -> Outcome<bool> {
        let sql = "UPDATE message SET holders = holders + 1 WHERE guid = ?1";
        Ok(self.conn.prepare_cached(sql)?.execute([guid.as_bytes()])? > 0)
    }

    /// Takes `count` holders from a message; without any it goes.
    pub(crate) fn release_message(&self, guid: &Guid, count: i64) -> Outcome<()> {
        let sql = "UPDATE message SET holders = holders - ?2 WHERE guid = ?1 RETURNING id, size, holders";
        let left = self
            .conn
            .prepare_cached(sql)?
            .query_row(params![guid.as_bytes(), count], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?.cast_unsigned(),
                    row.get::<_, i64>(2)?,
                ))
            });
        let Some((id, size, holders)) = left.optional()? else {
            return Ok(());
        };
        if holders > 0 {
            return Ok(());
        }
        let last = size.saturating_sub(1) / CHUNK_BYTES;
        let range = chunk_id(id, 0).zip(chunk_id(id, last));
        let (first, last) = range.ok_or_else(|| wrong(guid, "has an impossible number"))?;
        self.conn
            .prepare_cached("DELETE FROM chunk WHERE id BETWEEN ?1 AND ?2")?
            .execute([first, last])?;
        self.conn
            .prepare_cached("DELETE FROM message WHERE guid = ?1")?
            .execute([guid.as_bytes()])?;
        Ok(())
    }

    /// Stores a new message with one holder. `read` fills a buffer with the bytes from an offset on.
    pub(crate) fn insert_message(
        &mut self,
        guid: &Guid,
        size: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        if size > SIZE_MAX {
            return Err(wrong(guid, "is larger than a message can be"));
        }
        let id = self.new_message_id()?;
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO chunk(id, data) VALUES(?1, ?2)")?;
        let mut buffer = vec![0u8; size.min(CHUNK_BYTES) as usize];
        for number in 0..=size.saturating_sub(1) / CHUNK_BYTES {
            let offset = number * CHUNK_BYTES;
            let part = &mut buffer[..(size - offset).min(CHUNK_BYTES) as usize];
            read(offset, part)?;
            insert.execute(params![chunk_id(id, number), &*part])?;
        }
        self.new_bytes = self.new_bytes.saturating_add(size);
        let sql = "INSERT INTO message(guid, id, size, holders) VALUES(?1, ?2, ?3, 1)";
        self.conn
            .prepare_cached(sql)?
            .execute(params![guid.as_bytes(), id, size.cast_signed()])?;
        Ok(())
    }

    /// Copies a message from another database, with one holder; answers whether it is there. The bytes are hashed on
    /// the way, so that damage does not spread.
    pub(crate) fn copy_message(&mut self, source: &mut Database, guid: &Guid) -> Outcome<bool> {
        let Some(stored) = source
            .find_message(guid)
            .map_err(|failure| source.fail(failure))?
        else {
            return Ok(false);
        };
        let mut hasher = Sha1::new();
        self.insert_message(guid, stored.size, |offset, into| {
            let read = source.read_message(guid, stored, offset, into.len() as u64);
            let bytes = read.map_err(|failure| source.fail(failure))?;
            hasher.update(&bytes);
            into.copy_from_slice(&bytes);
            Ok(())
        })?;
        if Guid::from_bytes(hasher.finalize().into()) != *guid {
            return Err(source.fail(wrong(guid, "does not have its SHA-1")).into());
        }
        Ok(true)
    }

    fn new_message_id(&mut self) -> Outcome<i64> {
        let id = match self.next_message {
            Some(id) => id,
            None => {
                let mut statement = self.conn.prepare_cached("SELECT max(id) FROM chunk")?;
                let last: Option<i64> = statement.query_row([], |row| row.get(0))?;
                last.map_or(1, |last| (last >> CHUNK_BITS) + 1)
            }
        };
        self.next_message = Some(id + 1);
        Ok(id)
    }
}

/// The number of a message's chunk.
pub(crate) fn chunk_id(message: i64, number: u64) -> Option<i64> {
    let base = message.checked_mul(1 << CHUNK_BITS).filter(|base| *base >= 0)?;
    (number < 1 << CHUNK_BITS).then(|| base | number.cast_signed())
}

fn wrong(guid: &Guid, what: &str) -> Failure {
    Failure::damaged(format!("message {guid} {what}"))
}
