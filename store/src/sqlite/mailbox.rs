//! Mailbox rows.

use engine::crc::SyncCrc;
use engine::model::Mailbox;
use engine::name;
use engine::ticket::StoreError;
use protocol::{MailboxOptions, Text};
use rusqlite::{OptionalExtension, Row, params, types::ValueRef};

use super::codec;
use super::database::Database;
use super::error::{Failure, Outcome};
use crate::words;

const COLUMNS: &str = "uniqueid, name, jmapid, mbtype, partition, acl, options, quotaroot, uidvalidity, last_uid, \
    highestmodseq, recentuid, recenttime, last_appenddate, pop3_last_login, pop3_show_after, xconvmodseq, \
    raclmodseq, createdmodseq, foldermodseq, deletedmodseq, usergroups, compact_emailids, version, annotations, \
    userflags, crc_basic, crc_annot";

/// A text column.
pub(crate) fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Text> {
    Ok(optional_text(row, at)?.unwrap_or(Text::EMPTY))
}

pub(crate) fn optional_text(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Text>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        value => Ok(Some(Text::copy_from(
            value.as_bytes().map_err(rusqlite::Error::from)?,
        ))),
    }
}

/// A number of 64 bits without sign, kept in the bits of SQLite's signed ones.
pub(crate) fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::cast_unsigned)
}

fn read_mailbox(row: &Row<'_>) -> Outcome<Mailbox> {
    let name = text(row, 1)?;
    let list = |at| -> Outcome<&[u8]> { Ok(row.get_ref(at)?.as_blob().map_err(rusqlite::Error::from)?) };
    let wrong = |what: &str| Failure::damaged(format!("mailbox {name}: {what} cannot be read"));
    let annotations = codec::decode_annotations(list(24)?).map_err(|_| wrong("its annotations"))?;
    let userflags = codec::decode_names(list(25)?).map_err(|_| wrong("its keywords"))?;
    Ok(Mailbox {
        name,
        uniqueid: text(row, 0)?,
        jmapid: optional_text(row, 2)?,
        mbtype: text(row, 3)?,
        partition: text(row, 4)?,
        acl: text(row, 5)?,
        options: MailboxOptions::from_bits(row.get(6)?),
        quotaroot: optional_text(row, 7)?,
        uidvalidity: row.get(8)?,
        last_uid: row.get(9)?,
        highestmodseq: number(row, 10)?,
        recentuid: row.get(11)?,
        recenttime: row.get(12)?,
        last_appenddate: row.get(13)?,
        pop3_last_login: row.get(14)?,
        pop3_show_after: row.get(15)?,
        xconvmodseq: row.get::<_, Option<i64>>(16)?.map(i64::cast_unsigned),
        raclmodseq: number(row, 17)?,
        createdmodseq: number(row, 18)?,
        foldermodseq: number(row, 19)?,
        deletedmodseq: number(row, 20)?,
        usergroups: optional_text(row, 21)?,
        compact_emailids: row.get(22)?,
        version: row.get(23)?,
        annotations,
        userflags,
        crc: SyncCrc {
            basic: row.get(26)?,
            annot: row.get(27)?,
        },
    })
}

/// Reads.
impl Database {
    fn mailbox_where(&self, column: &str, value: &[u8]) -> Outcome<Option<Mailbox>> {
        let sql = format!("SELECT {COLUMNS} FROM mailbox WHERE {column} = ?1");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([value])?;
        rows.next()?.map(read_mailbox).transpose()
    }

    pub(crate) fn mailbox_by_name(&self, name: &[u8]) -> Outcome<Option<Mailbox>> {
        self.mailbox_where("name", name)
    }

    pub(crate) fn mailbox_by_id(&self, uniqueid: &[u8]) -> Outcome<Option<Mailbox>> {
        self.mailbox_where("uniqueid", uniqueid)
    }

    /// All, in byte order of names.
    pub(crate) fn all_mailboxes(&self) -> Outcome<Vec<Mailbox>> {
        let sql = format!("SELECT {COLUMNS} FROM mailbox ORDER BY name");
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        let mut mailboxes = Vec::new();
        while let Some(row) = rows.next()? {
            mailboxes.push(read_mailbox(row)?);
        }
        Ok(mailboxes)
    }

    /// The number a mailbox has within this database.
    pub(crate) fn mailbox_number(&self, uniqueid: &Text) -> Outcome<i64> {
        self.find_number(uniqueid)?
            .ok_or_else(|| words::no_mailbox(uniqueid).into())
    }

    fn find_number(&self, uniqueid: &[u8]) -> Outcome<Option<i64>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT id FROM mailbox WHERE uniqueid = ?1")?;
        Ok(statement.query_row([uniqueid], |row| row.get(0)).optional()?)
    }

    /// Unique ids of all mailboxes.
    pub(crate) fn uniqueids(&self) -> Outcome<Vec<Text>> {
        let mut statement = self.conn.prepare_cached("SELECT uniqueid FROM mailbox")?;
        let ids = statement
            .query_map([], |row| text(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(ids)
    }
}

/// Changes.
impl Database {
    /// Creates or replaces a mailbox; answers whether it is new here.
    pub(crate) fn put_mailbox(&mut self, mailbox: &Mailbox) -> Outcome<bool> {
        let holder = self.mailbox_by_name(&mailbox.name)?;
        if let Some(holder) = holder.filter(|holder| holder.uniqueid != mailbox.uniqueid) {
            if !holder.is_placeholder() {
                return Err(words::name_taken(&mailbox.name).into());
            }
            self.remove_mailbox(&holder.uniqueid)?;
        }
        self.forget_tombstone(&mailbox.uniqueid)?;
        let number = self.find_number(&mailbox.uniqueid)?;
        self.write_mailbox(number, mailbox)?;
        Ok(number.is_none())
    }

    fn write_mailbox(&self, number: Option<i64>, mailbox: &Mailbox) -> Outcome<()> {
        let mut annotations = Vec::new();
        codec::encode_annotations(&mailbox.annotations, &mut annotations);
        let sql = format!(
            "INSERT OR REPLACE INTO mailbox(id, {COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
             ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29)"
        );
        self.conn.prepare_cached(&sql)?.execute(params![
            number,
            &mailbox.uniqueid[..],
            &mailbox.name[..],
            mailbox.jmapid.as_deref(),
            &mailbox.mbtype[..],
            &mailbox.partition[..],
            &mailbox.acl[..],
            mailbox.options.bits(),
            mailbox.quotaroot.as_deref(),
            mailbox.uidvalidity,
            mailbox.last_uid,
            mailbox.highestmodseq.cast_signed(),
            mailbox.recentuid,
            mailbox.recenttime,
            mailbox.last_appenddate,
            mailbox.pop3_last_login,
            mailbox.pop3_show_after,
            mailbox.xconvmodseq.map(u64::cast_signed),
            mailbox.raclmodseq.cast_signed(),
            mailbox.createdmodseq.cast_signed(),
            mailbox.foldermodseq.cast_signed(),
            mailbox.deletedmodseq.cast_signed(),
            mailbox.usergroups.as_deref(),
            mailbox.compact_emailids,
            mailbox.version,
            annotations,
            codec::encode_names(&mailbox.userflags),
            mailbox.crc.basic,
            mailbox.crc.annot,
        ])?;
        Ok(())
    }

    /// Removes a mailbox with its records.
    pub(crate) fn remove_mailbox(&mut self, uniqueid: &Text) -> Outcome<()> {
        let number = self.mailbox_number(uniqueid)?;
        self.clear_records(number)?;
        self.conn
            .prepare_cached("DELETE FROM mailbox WHERE id = ?1")?
            .execute([number])?;
        Ok(())
    }

    /// Removes a mailbox and remembers that, with what it held. [CS-SPLIT-12]
    pub(crate) fn bury_mailbox(&mut self, tombstone: &engine::model::Tombstone) -> Outcome<()> {
        if let Some(number) = self.find_number(&tombstone.uniqueid)? {
            let sql = "INSERT OR REPLACE INTO deleted(uniqueid, uid, guid) \
                       SELECT ?1, uid, guid FROM record WHERE mailbox = ?2";
            self.conn
                .prepare_cached(sql)?
                .execute(params![&tombstone.uniqueid[..], number])?;
        }
        self.remove_mailbox(&tombstone.uniqueid)?;
        self.put_tombstone(tombstone)
    }

    /// Removes what belongs to the user; mailboxes below `DELETED.` and tombstones stay.
    pub(crate) fn remove_user(&mut self, deleted_at: i64) -> Outcome<()> {
        for mailbox in self
            .all_mailboxes()?
            .into_iter()
            .filter(|mailbox| !name::is_deleted(&mailbox.name))
        {
            self.bury_mailbox(&engine::model::Tombstone {
                uniqueid: mailbox.uniqueid,
                name: mailbox.name,
                highestmodseq: mailbox.highestmodseq,
                uidvalidity: mailbox.uidvalidity,
                deleted_at,
                gave_way: false,
            })?;
        }
        for table in ["seen", "subscription", "script", "quota"] {
            self.run(&format!("DELETE FROM {table}"))?;
        }
        self.set_meta_value("active_script", None)
    }
}

/// What [`engine::ticket::Request::Mailboxes`] answers for a user: INBOX and its tree, then the deleted ones.
pub(crate) fn in_user_order(mut mailboxes: Vec<Mailbox>) -> Vec<Mailbox> {
    mailboxes.sort_by_cached_key(|mailbox| name::is_deleted(&mailbox.name));
    mailboxes
}

/// Whether this error means that the database cannot be read at all, not that the wish was wrong.
pub(crate) fn is_unreadable(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt { .. } | StoreError::Newer { .. })
}
