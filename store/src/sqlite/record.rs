//! Record rows.

use std::collections::BTreeMap;

use engine::ticket::UidSelect;
use protocol::{Flags, Guid, Record, SystemFlags, Text};
use rusqlite::{OptionalExtension, Row, params};

use super::codec;
use super::database::Database;
use super::error::{Failure, Outcome};
use super::mailbox::number;

const COLUMNS: &str =
    "uid, modseq, last_updated, flags, keywords, internaldate, size, guid, annotations, held";

/// Keywords are interned; this bounds what a hostile peer makes a session remember.
const KEYWORDS_REMEMBERED_MAX: usize = 10_000;

/// A record whose keywords are still numbers.
struct Raw {
    record: Record,
    keywords: Vec<u64>,
    held: bool,
}

fn read_record(row: &Row<'_>) -> Outcome<Raw> {
    let uid = row.get(0)?;
    let wrong = |what: &str| Failure::damaged(format!("UID {uid}: {what} cannot be read"));
    let blob = |at| -> Outcome<&[u8]> {
        Ok(row
            .get_ref(at)?
            .as_blob_or_null()
            .map_err(rusqlite::Error::from)?
            .unwrap_or_default())
    };
    let guid = <[u8; 20]>::try_from(blob(7)?).map_err(|_| wrong("its GUID"))?;
    let record = Record {
        uid,
        modseq: number(row, 1)?,
        last_updated: row.get(2)?,
        flags: Flags {
            system: SystemFlags::from_bits(row.get(3)?),
            keywords: Vec::new(),
        },
        internaldate: row.get(5)?,
        size: number(row, 6)?,
        guid: Guid::from_bytes(guid),
        annotations: codec::decode_annotations(blob(8)?).map_err(|_| wrong("its annotations"))?,
    };
    let keywords = codec::decode_numbers(blob(4)?).map_err(|_| wrong("its keywords"))?;
    Ok(Raw {
        record,
        keywords,
        held: row.get(9)?,
    })
}

/// Reads.
impl Database {
    /// UIDs of records above a modseq, ascending; 0 means all. The cost follows what is found, not what exists.
    pub(crate) fn changed_uids(&self, mailbox: i64, since_modseq: u64) -> Outcome<Vec<u32>> {
        // Modseqs of 2^63 and more are negative to SQLite.
        let since = since_modseq.cast_signed();
        let (low, high) = match since_modseq {
            0 => (i64::MIN, i64::MAX),
            _ if since < 0 => (since.saturating_add(1), -1),
            _ => (since.saturating_add(1), i64::MAX),
        };
        let mut uids = Vec::new();
        if !(since == i64::MAX || since == -1) {
            self.uids_between(mailbox, low, high, &mut uids)?;
        }
        if since_modseq != 0 && since >= 0 {
            self.uids_between(mailbox, i64::MIN, -1, &mut uids)?;
        }
        uids.sort_unstable();
        Ok(uids)
    }

    fn uids_between(&self, mailbox: i64, low: i64, high: i64, into: &mut Vec<u32>) -> Outcome<()> {
        let sql =
            "SELECT uid FROM record INDEXED BY record_modseq WHERE mailbox = ?1 AND modseq BETWEEN ?2 AND ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([mailbox, low, high])?;
        while let Some(row) = rows.next()? {
            into.push(row.get(0)?);
        }
        Ok(())
    }

    pub(crate) fn records(&mut self, mailbox: i64, uids: UidSelect) -> Outcome<Vec<Record>> {
        let raw = match uids {
            UidSelect::List(mut uids) => {
                uids.sort_unstable();
                uids.dedup();
                self.listed_records(mailbox, &uids)?
            }
            UidSelect::From { uid, limit } => self.following_records(mailbox, uid, limit)?,
        };
        raw.into_iter().map(|raw| self.name_keywords(raw)).collect()
    }

    fn listed_records(&self, mailbox: i64, uids: &[u32]) -> Outcome<Vec<Raw>> {
        let sql = format!("SELECT {COLUMNS} FROM record WHERE mailbox = ?1 AND uid = ?2");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut found = Vec::with_capacity(uids.len());
        for uid in uids {
            let mut rows = statement.query(params![mailbox, uid])?;
            if let Some(row) = rows.next()? {
                found.push(read_record(row)?);
            }
        }
        Ok(found)
    }

    fn following_records(&self, mailbox: i64, uid: u32, limit: u32) -> Outcome<Vec<Raw>> {
        let sql =
            format!("SELECT {COLUMNS} FROM record WHERE mailbox = ?1 AND uid >= ?2 ORDER BY uid LIMIT ?3");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![mailbox, uid, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read_record(row)?);
        }
        Ok(found)
    }

    fn name_keywords(&mut self, raw: Raw) -> Outcome<Record> {
        let Raw {
            mut record, keywords, ..
        } = raw;
        for id in keywords {
            let name = self.keyword_name(id)?;
            let uid = record.uid;
            let name =
                name.ok_or_else(|| Failure::damaged(format!("UID {uid}: keyword {id} has no name")))?;
            record.flags.keywords.push(name);
        }
        Ok(record)
    }

    fn keyword_name(&mut self, id: u64) -> Outcome<Option<Text>> {
        if let Some(name) = self.keywords.names.get(&id) {
            return Ok(Some(name.clone()));
        }
        let mut statement = self
            .conn
            .prepare_cached("SELECT name FROM keyword WHERE id = ?1")?;
        let name = statement
            .query_row([id.cast_signed()], |row| super::mailbox::text(row, 0))
            .optional()?;
        if let Some(name) = &name
            && self.keywords.names.len() < KEYWORDS_REMEMBERED_MAX
        {
            self.keywords.names.insert(id, name.clone());
        }
        Ok(name)
    }

    /// Walks all records of a mailbox with whether each holds a message, in UID order.
    pub(crate) fn walk_records(
        &mut self,
        mailbox: i64,
        from: u32,
        limit: u32,
        mut visit: impl FnMut(Record, bool) -> Outcome<()>,
    ) -> Outcome<usize> {
        let raw = self.following_records(mailbox, from, limit)?;
        let count = raw.len();
        for raw in raw {
            let held = raw.held;
            visit(self.name_keywords(raw)?, held)?;
        }
        Ok(count)
    }
}

/// What a record row says about its message.
pub(crate) struct Before {
    pub(crate) guid: Guid,
    pub(crate) held: bool,
}

/// Changes.
impl Database {
    /// Highest UID of any record of the mailbox; 0 when it has none.
    pub(crate) fn highest_uid(&self, mailbox: i64) -> Outcome<u32> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT max(uid) FROM record WHERE mailbox = ?1")?;
        Ok(statement
            .query_row([mailbox], |row| row.get::<_, Option<u32>>(0))?
            .unwrap_or(0))
    }

    /// The message of a record that is about to be replaced.
    pub(crate) fn record_before(&self, mailbox: i64, uid: u32) -> Outcome<Option<Before>> {
        let sql = "SELECT guid, held FROM record WHERE mailbox = ?1 AND uid = ?2";
        let mut statement = self.conn.prepare_cached(sql)?;
        let row = statement.query_row(params![mailbox, uid], |row| {
            Ok(Before {
                guid: Guid::from_bytes(row.get::<_, [u8; 20]>(0)?),
                held: row.get(1)?,
            })
        });
        Ok(row.optional()?)
    }

    /// Writes a record's row; its message is the caller's care.
    pub(crate) fn write_record(&mut self, mailbox: i64, record: &Record, held: bool) -> Outcome<()> {
        let keywords = self.number_keywords(&record.flags.keywords)?;
        let mut annotations = Vec::new();
        codec::encode_annotations(&record.annotations, &mut annotations);
        let sql = "INSERT OR REPLACE INTO record(mailbox, uid, modseq, last_updated, flags, keywords, internaldate, \
                   size, guid, annotations, held) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        self.conn.prepare_cached(sql)?.execute(params![
            mailbox,
            record.uid,
            record.modseq.cast_signed(),
            record.last_updated,
            record.flags.system.bits(),
            (!keywords.is_empty()).then_some(keywords),
            record.internaldate,
            record.size.cast_signed(),
            record.guid.as_bytes(),
            (!annotations.is_empty()).then_some(annotations),
            held,
        ])?;
        Ok(())
    }

    fn number_keywords(&mut self, names: &[Text]) -> Outcome<Vec<u8>> {
        let mut out = Vec::new();
        for name in names {
            let id = self.keyword_id(name)?;
            codec::encode_numbers([id], &mut out);
        }
        Ok(out)
    }

    fn keyword_id(&mut self, name: &Text) -> Outcome<u64> {
        if let Some(id) = self.keywords.ids.get(name) {
            return Ok(*id);
        }
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO keyword(name) VALUES(?1)")?
            .execute([&name[..]])?;
        let mut statement = self
            .conn
            .prepare_cached("SELECT id FROM keyword WHERE name = ?1")?;
        let id: i64 = statement.query_row([&name[..]], |row| row.get(0))?;
        if self.keywords.ids.len() < KEYWORDS_REMEMBERED_MAX {
            self.keywords.ids.insert(name.clone(), id.cast_unsigned());
        }
        Ok(id.cast_unsigned())
    }

    /// Removes all records of a mailbox and the messages that only they hold.
    pub(crate) fn clear_records(&mut self, mailbox: i64) -> Outcome<()> {
        const BATCH: u32 = 10_000;
        let held =
            "SELECT uid, guid, held FROM record WHERE mailbox = ?1 AND uid >= ?2 ORDER BY uid LIMIT ?3";
        let mut from = 0i64;
        loop {
            let mut holders = BTreeMap::<Guid, i64>::new();
            let mut count = 0;
            {
                let mut statement = self.conn.prepare_cached(held)?;
                let mut rows = statement.query(params![mailbox, from, BATCH])?;
                while let Some(row) = rows.next()? {
                    count += 1;
                    from = row.get::<_, i64>(0)?.saturating_add(1);
                    if row.get(2)? {
                        *holders.entry(Guid::from_bytes(row.get(1)?)).or_default() += 1;
                    }
                }
            }
            for (guid, count) in &holders {
                self.release_message(guid, *count)?;
            }
            if count < BATCH {
                break;
            }
        }
        self.conn
            .prepare_cached("DELETE FROM record WHERE mailbox = ?1")?
            .execute([mailbox])?;
        Ok(())
    }
}
