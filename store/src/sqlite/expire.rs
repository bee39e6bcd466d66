//! Dropping what was deleted long ago.

use engine::ticket::Expired;
use protocol::{Guid, SystemFlags};
use rusqlite::{OptionalExtension, params};

use super::database::Database;
use super::error::Outcome;

/// Records handled at a time.
const BATCH: u32 = 10_000;

impl Database {
    /// What [`engine::ticket::Request::Expire`] says.
    pub(crate) fn expire(&mut self, before: i64) -> Outcome<Expired> {
        let mut expired = Expired::default();
        let find =
            "SELECT mailbox, uid, guid FROM record WHERE held AND flags & ?1 AND last_updated < ?2 LIMIT ?3";
        let release = "UPDATE record SET held = 0 WHERE mailbox = ?1 AND uid = ?2";
        loop {
            let mut found: Vec<(i64, u32, Guid)> = Vec::new();
            {
                let mut statement = self.conn.prepare_cached(find)?;
                let mut rows = statement.query(params![SystemFlags::EXPUNGED.bits(), before, BATCH])?;
                while let Some(row) = rows.next()? {
                    found.push((row.get(0)?, row.get(1)?, Guid::from_bytes(row.get(2)?)));
                }
            }
            for (mailbox, uid, guid) in &found {
                self.conn
                    .prepare_cached(release)?
                    .execute(params![mailbox, uid])?;
                let size = self.size_of(guid)?;
                self.release_message(guid, 1)?;
                if let (Some(size), None) = (size, self.size_of(guid)?) {
                    expired.messages += 1;
                    expired.bytes += size;
                }
            }
            expired.records += found.len() as u64;
            if found.len() < BATCH as usize {
                break;
            }
        }
        let forget = "DELETE FROM tombstone WHERE deleted_at < ?1";
        expired.tombstones = self.conn.prepare_cached(forget)?.execute([before])? as u64;
        Ok(expired)
    }

    fn size_of(&self, guid: &Guid) -> Outcome<Option<u64>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT size FROM message WHERE guid = ?1")?;
        let size = statement.query_row([guid.as_bytes()], |row| row.get::<_, i64>(0));
        Ok(size.optional()?.map(i64::cast_unsigned))
    }
}
