//! Checks all that is stored: every byte hashed again, every CRC computed again, every reference followed.
//!
//! A damage is told with its mailbox and UID and ends nothing: what can still be read is checked. Only memory grows
//! with the store, by some 80 bytes for each message of the database that is being checked.

use std::collections::BTreeMap;
use std::fmt;

use engine::crc::SyncCrc;
use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{StoreError, UidSelect};
use protocol::{Guid, Record, Text};
use rusqlite::params;
use sha1::{Digest, Sha1};

use super::SqliteStore;
use super::database::{Absent, Database};
use super::error::{Failure, Outcome};
use super::mailbox::text;
use super::message::{CHUNK_BYTES, Stored, chunk_id};

/// Records looked at between two reports of progress.
const RECORDS_BATCH: u32 = 1000;
/// Bytes hashed between two reports of progress.
const PROGRESS_BYTES: u64 = 16 * 1024 * 1024;

/// How far the check is, and in the end what it covered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Database files.
    pub databases: u64,
    /// Mailboxes, placeholders included.
    pub mailboxes: u64,
    /// Records, expunged ones included.
    pub records: u64,
    /// Messages hashed.
    pub messages: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Damages told.
    pub damages: u64,
}

/// Something that is not as it has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// Whose database.
    pub scope: Scope,
    /// Name of the mailbox, when it is one mailbox's.
    pub mailbox: Option<Text>,
    /// The record, when it is one record's.
    pub uid: Option<u32>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.mailbox, self.uid) {
            (Some(mailbox), Some(uid)) => write!(f, "{mailbox} UID {uid}: {}", self.what),
            (Some(mailbox), None) => write!(f, "{mailbox}: {}", self.what),
            (None, _) => write!(f, "{}: {}", crate::words::scope(&self.scope), self.what),
        }
    }
}

/// What the check tells while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It got this far; several times a second.
    Progress(Totals),
    /// It found this.
    Damage(Damage),
}

/// Checks one scope, or all of the store when `only` is `None`. Sees one state of each database, and waits for nobody.
/// A database that cannot be opened or is locked is a damage like others.
pub fn verify(store: &SqliteStore, only: Option<&Scope>, tell: &mut dyn FnMut(Finding)) -> Totals {
    let mut check = Check {
        store,
        tell,
        totals: Totals::default(),
    };
    // What cannot be noted now is told below, with the mailboxes that it is about.
    let _ = store.inner.complete_locator();
    match only {
        Some(scope) => check.scope(scope),
        None => {
            match store.users() {
                Ok(users) => users.into_iter().for_each(|user| check.scope(&Scope::User(user))),
                Err(error) => check.damage(&Scope::Shared, None, None, error.to_string()),
            }
            check.scope(&Scope::Shared);
        }
    }
    (check.tell)(Finding::Progress(check.totals));
    check.totals
}

struct Check<'a> {
    store: &'a SqliteStore,
    tell: &'a mut dyn FnMut(Finding),
    totals: Totals,
}

/// What is known of a message once its bytes were read.
struct Seen {
    size: u64,
    holders: i64,
    found: i64,
    damage: Option<String>,
}

type Messages = BTreeMap<Guid, Seen>;

impl Check<'_> {
    fn damage(&mut self, scope: &Scope, mailbox: Option<&Text>, uid: Option<u32>, what: String) {
        self.totals.damages += 1;
        (self.tell)(Finding::Damage(Damage {
            scope: scope.clone(),
            mailbox: mailbox.cloned(),
            uid,
            what,
        }));
    }

    fn progress(&mut self) {
        (self.tell)(Finding::Progress(self.totals));
    }

    fn scope(&mut self, scope: &Scope) {
        let inner = &self.store.inner;
        match Database::open(&inner.dir, scope, Absent::Tell, &inner.options) {
            Ok(None) => {}
            Ok(Some(mut database)) => {
                self.totals.databases += 1;
                match database.begin_read() {
                    Ok(()) => self.database(scope, &mut database),
                    Err(failure) => self.failure(scope, &database, failure),
                }
            }
            Err(error) => {
                self.totals.databases += 1;
                self.damage(scope, None, None, error.to_string());
            }
        }
    }

    /// A part of a database that cannot be read.
    fn failure(&mut self, scope: &Scope, database: &Database, failure: Failure) {
        let what = reason(database, failure);
        self.damage(scope, None, None, what);
    }

    fn database(&mut self, scope: &Scope, database: &mut Database) {
        if let Err(failure) = self.structure(scope, database) {
            self.failure(scope, database, failure);
        }
        let mut messages = Messages::new();
        if let Err(failure) = self.messages(scope, database, &mut messages) {
            self.failure(scope, database, failure);
        }
        match database.uniqueids() {
            Ok(uniqueids) => {
                for uniqueid in uniqueids {
                    self.mailbox(scope, database, &uniqueid, &mut messages);
                }
            }
            Err(failure) => self.failure(scope, database, failure),
        }
        if let Err(failure) = self.orphans(scope, database) {
            self.failure(scope, database, failure);
        }
        self.holders(scope, &messages);
        if let Err(failure) = self.meta(scope, database) {
            self.failure(scope, database, failure);
        }
        self.progress();
    }

    /// What SQLite itself can tell of the file.
    fn structure(&mut self, scope: &Scope, database: &Database) -> Outcome<()> {
        let mut statement = database.conn.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line = text(row, 0)?;
            if line != "ok" {
                self.damage(scope, None, None, format!("{}: {line}", database.path.display()));
            }
        }
        Ok(())
    }

    /// Hashes every message, in the order in which the bytes lie in the file.
    fn messages(&mut self, scope: &Scope, database: &Database, messages: &mut Messages) -> Outcome<()> {
        let mut statement = database
            .conn
            .prepare("SELECT guid, id, size, holders FROM message ORDER BY id")?;
        let mut rows = statement.query([])?;
        let (mut told, mut chunks) = (self.totals.bytes, 0);
        while let Some(row) = rows.next()? {
            let Ok(guid) = row.get::<_, [u8; 20]>(0).map(Guid::from_bytes) else {
                self.damage(scope, None, None, "a message has no GUID of 20 bytes".to_owned());
                continue;
            };
            let stored = Stored {
                id: row.get(1)?,
                size: row.get::<_, i64>(2)?.cast_unsigned(),
            };
            let damage = match hash_message(database, stored, &mut chunks) {
                Ok(actual) if actual == guid => None,
                Ok(actual) => Some(format!("its bytes hash to {actual}")),
                Err(failure) => Some(reason(database, failure)),
            };
            self.totals.messages += 1;
            self.totals.bytes += stored.size;
            messages.insert(
                guid,
                Seen {
                    size: stored.size,
                    holders: row.get(3)?,
                    found: 0,
                    damage,
                },
            );
            if self.totals.bytes - told >= PROGRESS_BYTES || self.totals.messages.is_multiple_of(4096) {
                told = self.totals.bytes;
                self.progress();
            }
        }
        let all: i64 = database
            .conn
            .query_row("SELECT count(*) FROM chunk", [], |row| row.get(0))?;
        if all > chunks {
            self.damage(
                scope,
                None,
                None,
                format!("{} pieces of bytes belong to no message", all - chunks),
            );
        }
        Ok(())
    }

    fn mailbox(&mut self, scope: &Scope, database: &mut Database, uniqueid: &Text, messages: &mut Messages) {
        self.totals.mailboxes += 1;
        let mailbox = match database.mailbox_by_id(uniqueid) {
            Ok(Some(mailbox)) => mailbox,
            Ok(None) => return,
            Err(failure) => {
                let what = format!("mailbox with unique id {uniqueid}: {}", reason(database, failure));
                return self.damage(scope, None, None, what);
            }
        };
        let walked = self.records(scope, database, &mailbox, messages);
        let crc = match walked {
            Ok(crc) => crc,
            Err(failure) => {
                let what = reason(database, failure);
                return self.damage(scope, Some(&mailbox.name), None, what);
            }
        };
        if let Some(crc) = crc.filter(|crc| *crc != mailbox.crc && !mailbox.is_placeholder()) {
            let SyncCrc { basic, annot } = mailbox.crc;
            let what = format!(
                "sync CRCs are {} {}, but {basic} {annot} are stored",
                crc.basic, crc.annot
            );
            self.damage(scope, Some(&mailbox.name), None, what);
        }
        let locator = &self.store.inner.locator;
        if *scope != Scope::Shared && locator.is_there() {
            match locator.candidates(uniqueid) {
                Ok(known) if known.contains(scope) => {}
                Ok(_) => self.damage(
                    scope,
                    Some(&mailbox.name),
                    None,
                    "the locator does not know it".to_owned(),
                ),
                Err(error) => self.damage(scope, Some(&mailbox.name), None, error.to_string()),
            }
        }
    }

    /// Walks the records; the CRCs are those of all of them, or `None` when some cannot be read.
    fn records(
        &mut self,
        scope: &Scope,
        database: &mut Database,
        mailbox: &Mailbox,
        messages: &mut Messages,
    ) -> Outcome<Option<SyncCrc>> {
        let number = database.mailbox_number(&mailbox.uniqueid)?;
        let mut crc = Some(SyncCrc::EMPTY);
        let mut from = 0i64;
        loop {
            let uids = uids_from(database, number, from)?;
            let Some(last) = uids.last() else { return Ok(crc) };
            from = last + 1;
            for uid in uids {
                self.totals.records += 1;
                match read_one(database, number, uid) {
                    Ok((record, held)) => {
                        if let Some(crc) = crc.as_mut() {
                            crc.toggle(&record);
                        }
                        self.record(scope, mailbox, &record, held, messages);
                    }
                    Err(failure) => {
                        crc = None;
                        let what = reason(database, failure);
                        self.damage(scope, Some(&mailbox.name), u32::try_from(uid).ok(), what);
                    }
                }
            }
            self.progress();
        }
    }

    fn record(
        &mut self,
        scope: &Scope,
        mailbox: &Mailbox,
        record: &Record,
        held: bool,
        messages: &mut Messages,
    ) {
        let mut wrong = Vec::new();
        if record.uid == 0 || record.uid > mailbox.last_uid {
            wrong.push(format!(
                "its UID is above the mailbox's last, {}",
                mailbox.last_uid
            ));
        }
        if record.modseq > mailbox.highestmodseq {
            wrong.push(format!(
                "its modseq {} is above the mailbox's, {}",
                record.modseq, mailbox.highestmodseq
            ));
        }
        let guid = record.guid;
        match messages.get_mut(&guid) {
            _ if !held && !record.is_expunged() => wrong.push("it is live and names no message".to_owned()),
            None if held => wrong.push(format!("its message {guid} is lost")),
            Some(seen) if held => {
                seen.found += 1;
                if let Some(damage) = &seen.damage {
                    wrong.push(format!("message {guid}: {damage}"));
                }
                if seen.size != record.size {
                    wrong.push(format!(
                        "its size is {}, its message has {} bytes",
                        record.size, seen.size
                    ));
                }
            }
            _ => {}
        }
        for what in wrong {
            self.damage(scope, Some(&mailbox.name), Some(record.uid), what);
        }
    }

    /// Records of mailboxes that are not there.
    fn orphans(&mut self, scope: &Scope, database: &Database) -> Outcome<()> {
        let sql = "SELECT count(*) FROM record WHERE mailbox NOT IN (SELECT id FROM mailbox)";
        let orphans: i64 = database.conn.query_row(sql, [], |row| row.get(0))?;
        if orphans > 0 {
            self.damage(
                scope,
                None,
                None,
                format!("{orphans} records belong to no mailbox"),
            );
        }
        Ok(())
    }

    /// Messages whose count of holders is wrong, and damaged ones that no record named above.
    fn holders(&mut self, scope: &Scope, messages: &Messages) {
        for (guid, seen) in messages {
            if seen.holders != seen.found {
                let (holders, found) = (seen.holders, seen.found);
                let what = format!("message {guid}: {found} records hold it, but {holders} are counted");
                self.damage(scope, None, None, what);
            }
            if let Some(damage) = seen.damage.as_ref().filter(|_| seen.found == 0) {
                self.damage(
                    scope,
                    None,
                    None,
                    format!("message {guid}, which no record holds: {damage}"),
                );
            }
        }
    }

    fn meta(&mut self, scope: &Scope, database: &Database) -> Outcome<()> {
        database.tombstones()?;
        database.quotas()?;
        database.server_annotations()?;
        for script in database.user_meta()?.scripts {
            let actual = Guid::from_bytes(Sha1::digest(&script.content[..]).into());
            if actual != script.guid {
                let what = format!(
                    "sieve script {}: its content hashes to {actual}, not {}",
                    script.name, script.guid
                );
                self.damage(scope, None, None, what);
            }
        }
        Ok(())
    }
}

/// What went wrong, without the advice to run the check that is running.
fn reason(database: &Database, failure: Failure) -> String {
    match database.fail(failure) {
        StoreError::Corrupt { path, detail } => format!("{path}: {detail}"),
        other => other.to_string(),
    }
}

fn hash_message(database: &Database, stored: Stored, chunks: &mut i64) -> Outcome<Guid> {
    let mut statement = database
        .conn
        .prepare_cached("SELECT data FROM chunk WHERE id = ?1")?;
    let mut hasher = Sha1::new();
    let mut left = stored.size;
    for number in 0..=stored.size.saturating_sub(1) / CHUNK_BYTES {
        let expected = left.min(CHUNK_BYTES);
        let id =
            chunk_id(stored.id, number).ok_or_else(|| Failure::damaged("an impossible number of bytes"))?;
        let mut rows = statement.query([id])?;
        let row = rows
            .next()?
            .ok_or_else(|| Failure::damaged("a part of its bytes is lost"))?;
        *chunks += 1;
        let data = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        if data.len() as u64 != expected {
            return Err(Failure::damaged("a part of its bytes has the wrong length"));
        }
        hasher.update(data);
        left -= expected;
    }
    Ok(Guid::from_bytes(hasher.finalize().into()))
}

fn uids_from(database: &Database, mailbox: i64, from: i64) -> Outcome<Vec<i64>> {
    let sql = "SELECT uid FROM record WHERE mailbox = ?1 AND uid >= ?2 ORDER BY uid LIMIT ?3";
    let mut statement = database.conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![mailbox, from, RECORDS_BATCH], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read_one(database: &mut Database, mailbox: i64, uid: i64) -> Outcome<(Record, bool)> {
    let uid = u32::try_from(uid).map_err(|_| Failure::damaged(format!("UID {uid} cannot be")))?;
    let record = database.records(mailbox, UidSelect::List(vec![uid]))?.pop();
    let before = database.record_before(mailbox, uid)?;
    record
        .zip(before.map(|before| before.held))
        .ok_or_else(|| Failure::damaged(format!("UID {uid} cannot be found")))
}
