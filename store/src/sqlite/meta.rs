//! What belongs to a user or the server beside the mailboxes.

use engine::model::{
    QuotaLimits, SeenState, ServerAnnotation, SieveScript, Tombstone, UserMeta, UserSummary,
};
use protocol::{Guid, Text};
use rusqlite::{Row, params};

use super::database::Database;
use super::error::Outcome;
use super::mailbox::{in_user_order, number, text};
use crate::words;

const ACTIVE_SCRIPT: &str = "active_script";

/// Reads.
impl Database {
    fn all<T>(&self, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Outcome<Vec<T>> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }

    /// What a deleted mailbox held, from above a UID on. [CS-SPLIT-12]
    pub(crate) fn deleted(&self, uniqueid: &[u8], above_uid: u32, limit: u32) -> Outcome<Vec<(u32, Guid)>> {
        let sql = "SELECT uid, guid FROM deleted WHERE uniqueid = ?1 AND uid > ?2 ORDER BY uid LIMIT ?3";
        let mut statement = self.conn.prepare_cached(sql)?;
        let rows = statement.query_map(params![uniqueid, above_uid, limit], |row| {
            Ok((row.get(0)?, Guid::from_bytes(row.get::<_, [u8; 20]>(1)?)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(crate) fn tombstones(&self) -> Outcome<Vec<Tombstone>> {
        self.all(
            "SELECT uniqueid, name, highestmodseq, deleted_at, uidvalidity, gave_way FROM tombstone ORDER BY uniqueid",
            |row| {
                Ok(Tombstone {
                    uniqueid: text(row, 0)?,
                    name: text(row, 1)?,
                    highestmodseq: number(row, 2)?,
                    deleted_at: row.get(3)?,
                    uidvalidity: row.get(4)?,
                    gave_way: row.get(5)?,
                })
            },
        )
    }

    pub(crate) fn user_meta(&self) -> Outcome<UserMeta> {
        let seen = "SELECT uniqueid, lastread, lastuid, lastchange, seenuids FROM seen ORDER BY uniqueid";
        let scripts = "SELECT name, last_update, guid, content FROM script ORDER BY name";
        Ok(UserMeta {
            seen: self.all(seen, |row| {
                Ok(SeenState {
                    uniqueid: text(row, 0)?,
                    lastread: row.get(1)?,
                    lastuid: row.get(2)?,
                    lastchange: row.get(3)?,
                    seenuids: text(row, 4)?,
                })
            })?,
            subscriptions: self.all("SELECT mailbox FROM subscription ORDER BY mailbox", |row| {
                text(row, 0)
            })?,
            scripts: self.all(scripts, |row| {
                Ok(SieveScript {
                    name: text(row, 0)?,
                    last_update: row.get(1)?,
                    guid: Guid::from_bytes(row.get(2)?),
                    content: text(row, 3)?,
                })
            })?,
            active_script: self.meta_value(ACTIVE_SCRIPT)?.map(Text::from),
        })
    }

    pub(crate) fn summary(&self) -> Outcome<UserSummary> {
        Ok(UserSummary {
            mailboxes: in_user_order(self.all_mailboxes()?),
            tombstones: self.tombstones()?,
            quotas: self.quotas()?,
            meta: self.user_meta()?,
        })
    }

    pub(crate) fn quotas(&self) -> Outcome<Vec<QuotaLimits>> {
        let sql =
            "SELECT root, storage, message, annotation_storage, num_folders, modseq FROM quota ORDER BY root";
        self.all(sql, |row| {
            Ok(QuotaLimits {
                root: text(row, 0)?,
                storage: row.get(1)?,
                message: row.get(2)?,
                annotation_storage: row.get(3)?,
                num_folders: row.get(4)?,
                modseq: number(row, 5)?,
            })
        })
    }

    pub(crate) fn server_annotations(&self) -> Outcome<Vec<ServerAnnotation>> {
        self.all(
            "SELECT entry, userid, value FROM server_annotation ORDER BY entry, userid",
            |row| {
                Ok(ServerAnnotation {
                    entry: text(row, 0)?,
                    userid: text(row, 1)?,
                    value: text(row, 2)?,
                })
            },
        )
    }
}

/// Changes.
impl Database {
    fn change(&self, sql: &str, params: impl rusqlite::Params) -> Outcome<usize> {
        Ok(self.conn.prepare_cached(sql)?.execute(params)?)
    }

    /// Forgets that a mailbox was deleted: it is there again. A trigger forgets with it what it held.
    pub(crate) fn forget_tombstone(&self, uniqueid: &[u8]) -> Outcome<()> {
        self.change("DELETE FROM tombstone WHERE uniqueid = ?1", [uniqueid])
            .map(drop)
    }

    pub(crate) fn put_tombstone(&self, tombstone: &Tombstone) -> Outcome<()> {
        let sql = "INSERT OR REPLACE INTO tombstone(uniqueid, name, highestmodseq, deleted_at, uidvalidity, gave_way) \
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        let (uniqueid, name) = (&tombstone.uniqueid[..], &tombstone.name[..]);
        let modseq = tombstone.highestmodseq.cast_signed();
        let (deleted_at, uidvalidity) = (tombstone.deleted_at, tombstone.uidvalidity);
        let values = params![
            uniqueid,
            name,
            modseq,
            deleted_at,
            uidvalidity,
            tombstone.gave_way
        ];
        self.change(sql, values).map(drop)
    }

    pub(crate) fn put_seen(&self, seen: &SeenState) -> Outcome<()> {
        let sql = "INSERT OR REPLACE INTO seen(uniqueid, lastread, lastuid, lastchange, seenuids) \
                   VALUES(?1, ?2, ?3, ?4, ?5)";
        let (uniqueid, seenuids) = (&seen.uniqueid[..], &seen.seenuids[..]);
        self.change(
            sql,
            params![uniqueid, seen.lastread, seen.lastuid, seen.lastchange, seenuids],
        )
        .map(drop)
    }

    pub(crate) fn subscribe(&self, mailbox: &[u8]) -> Outcome<()> {
        self.change(
            "INSERT OR IGNORE INTO subscription(mailbox) VALUES(?1)",
            [mailbox],
        )
        .map(drop)
    }

    pub(crate) fn unsubscribe(&self, mailbox: &[u8]) -> Outcome<()> {
        self.change("DELETE FROM subscription WHERE mailbox = ?1", [mailbox])
            .map(drop)
    }

    pub(crate) fn put_quota(&self, quota: &QuotaLimits) -> Outcome<()> {
        let sql = "INSERT OR REPLACE INTO quota(root, storage, message, annotation_storage, num_folders, modseq) \
                   VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        let params = params![
            &quota.root[..],
            quota.storage,
            quota.message,
            quota.annotation_storage,
            quota.num_folders,
            quota.modseq.cast_signed()
        ];
        self.change(sql, params).map(drop)
    }

    pub(crate) fn remove_quota(&self, root: &[u8]) -> Outcome<()> {
        self.change("DELETE FROM quota WHERE root = ?1", [root]).map(drop)
    }

    pub(crate) fn put_script(&self, script: &SieveScript) -> Outcome<()> {
        let sql = "INSERT OR REPLACE INTO script(name, last_update, guid, content) VALUES(?1, ?2, ?3, ?4)";
        let params = params![
            &script.name[..],
            script.last_update,
            script.guid.as_bytes(),
            &script.content[..]
        ];
        self.change(sql, params).map(drop)
    }

    pub(crate) fn remove_script(&self, name: &[u8]) -> Outcome<()> {
        self.change("DELETE FROM script WHERE name = ?1", [name])?;
        match self.meta_value(ACTIVE_SCRIPT)? {
            Some(active) if active == name => self.set_meta_value(ACTIVE_SCRIPT, None),
            _ => Ok(()),
        }
    }

    pub(crate) fn activate_script(&self, name: Option<&Text>) -> Outcome<()> {
        if let Some(name) = name {
            let mut statement = self.conn.prepare_cached("SELECT 1 FROM script WHERE name = ?1")?;
            if !statement.exists([&name[..]])? {
                return Err(words::no_script(name).into());
            }
        }
        self.set_meta_value(ACTIVE_SCRIPT, name.map(|name| &name[..]))
    }

    pub(crate) fn put_server_annotation(&self, annotation: &ServerAnnotation) -> Outcome<()> {
        let sql = "INSERT OR REPLACE INTO server_annotation(entry, userid, value) VALUES(?1, ?2, ?3)";
        self.change(
            sql,
            [
                &annotation.entry[..],
                &annotation.userid[..],
                &annotation.value[..],
            ],
        )
        .map(drop)
    }

    pub(crate) fn remove_server_annotation(&self, entry: &[u8], userid: &[u8]) -> Outcome<()> {
        self.change(
            "DELETE FROM server_annotation WHERE entry = ?1 AND userid = ?2",
            [entry, userid],
        )
        .map(drop)
    }
}
