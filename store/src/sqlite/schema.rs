//! The tables, and how older files become newer ones.
//!
//! `PRAGMA application_id` tells our files from others, `PRAGMA user_version` counts the migrations a file has had.

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Failure, Outcome};
use engine::ticket::StoreError;
use std::path::Path;

/// "mtw1" of a mail database.
pub(crate) const MAIL_ID: i32 = 0x6d74_7731;
/// "mtwl" of the locator.
pub(crate) const LOCATOR_ID: i32 = 0x6d74_776c;

/// Migrations of a mail database, in order; the first one makes the tables. Text of the protocol is BLOB, because it
/// has no character set.
pub(crate) const MAIL: &[&str] = &["
CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE mailbox(
  id INTEGER PRIMARY KEY, uniqueid BLOB NOT NULL UNIQUE, name BLOB NOT NULL UNIQUE, jmapid BLOB,
  mbtype BLOB NOT NULL, partition BLOB NOT NULL, acl BLOB NOT NULL, options INTEGER NOT NULL, quotaroot BLOB,
  uidvalidity INTEGER NOT NULL, last_uid INTEGER NOT NULL, highestmodseq INTEGER NOT NULL,
  recentuid INTEGER NOT NULL, recenttime INTEGER NOT NULL, last_appenddate INTEGER NOT NULL,
  pop3_last_login INTEGER NOT NULL, pop3_show_after INTEGER NOT NULL, xconvmodseq INTEGER,
  raclmodseq INTEGER NOT NULL, createdmodseq INTEGER NOT NULL, foldermodseq INTEGER NOT NULL,
  deletedmodseq INTEGER NOT NULL, usergroups BLOB, compact_emailids INTEGER, version INTEGER,
  annotations BLOB NOT NULL, userflags BLOB NOT NULL, crc_basic INTEGER NOT NULL, crc_annot INTEGER NOT NULL);
CREATE TABLE record(
  mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL, last_updated INTEGER NOT NULL,
  flags INTEGER NOT NULL, keywords BLOB, internaldate INTEGER NOT NULL, size INTEGER NOT NULL,
  guid BLOB NOT NULL, held INTEGER NOT NULL, annotations BLOB, PRIMARY KEY(mailbox, uid)) WITHOUT ROWID;
CREATE INDEX record_modseq ON record(mailbox, modseq);
CREATE TABLE keyword(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);
CREATE TABLE message(
  guid BLOB PRIMARY KEY, id INTEGER NOT NULL, size INTEGER NOT NULL, holders INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE chunk(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE tombstone(
  uniqueid BLOB PRIMARY KEY, name BLOB NOT NULL, highestmodseq INTEGER NOT NULL,
  deleted_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE seen(
  uniqueid BLOB PRIMARY KEY, lastread INTEGER NOT NULL, lastuid INTEGER NOT NULL, lastchange INTEGER NOT NULL,
  seenuids BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE subscription(mailbox BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE script(
  name BLOB PRIMARY KEY, last_update INTEGER NOT NULL, guid BLOB NOT NULL, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE quota(
  root BLOB PRIMARY KEY, storage INTEGER, message INTEGER, annotation_storage INTEGER, num_folders INTEGER,
  modseq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE server_annotation(
  entry BLOB, userid BLOB, value BLOB NOT NULL, PRIMARY KEY(entry, userid)) WITHOUT ROWID;
CREATE TABLE credential(
  user BLOB, mechanism TEXT, salt BLOB NOT NULL, iterations INTEGER NOT NULL, stored_key BLOB NOT NULL,
  server_key BLOB NOT NULL, PRIMARY KEY(user, mechanism)) WITHOUT ROWID;
", "
CREATE TABLE deleted(
  uniqueid BLOB NOT NULL, uid INTEGER NOT NULL, guid BLOB NOT NULL, PRIMARY KEY(uniqueid, uid)) WITHOUT ROWID;
CREATE TRIGGER deleted_goes_with_its_tombstone AFTER DELETE ON tombstone
BEGIN DELETE FROM deleted WHERE uniqueid = OLD.uniqueid; END;
", "
ALTER TABLE tombstone ADD COLUMN uidvalidity INTEGER NOT NULL DEFAULT 0;
", "
ALTER TABLE tombstone ADD COLUMN gave_way INTEGER NOT NULL DEFAULT 0;
"];

/// Migrations of the locator.
pub(crate) const LOCATOR: &[&str] = &["
CREATE TABLE locator(uniqueid BLOB, scope BLOB, PRIMARY KEY(uniqueid, scope)) WITHOUT ROWID;
CREATE TABLE known(file TEXT PRIMARY KEY) WITHOUT ROWID;
"];

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Nothing in it yet.
    Empty,
    /// One of ours, of the newest version.
    Current,
    /// One of ours, to be brought forward.
    Older,
}

/// Looks at a file's marks.
pub(crate) fn state(
    conn: &Connection,
    application_id: i32,
    migrations: &[&str],
    path: &Path,
) -> Outcome<State> {
    let id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: u32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if id == 0 && version == 0 {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            return Ok(State::Empty);
        }
    }
    if id != application_id {
        return Err(Failure::damaged("it is a database of another program"));
    }
    let known = migrations.len() as u32;
    match version {
        _ if version > known => Err(StoreError::Newer {
            path: path.display().to_string(),
            found: version,
            known,
        }
        .into()),
        _ if version == known => Ok(State::Current),
        _ => Ok(State::Older),
    }
}

/// Makes the tables of an empty file, or brings an older one forward; all of it or nothing.
pub(crate) fn migrate(
    conn: &mut Connection,
    application_id: i32,
    migrations: &[&str],
    path: &Path,
) -> Outcome<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it since the look.
    let had = match state(&transaction, application_id, migrations, path)? {
        State::Current => return Ok(()),
        State::Empty => 0,
        State::Older => transaction.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))?,
    };
    for migration in migrations.iter().skip(had as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", application_id)?;
    transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a(x);";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1;";

    #[test]
    fn an_older_file_comes_forward() {
        let mut conn = Connection::open_in_memory().expect("opens");
        let path = Path::new("x.db");
        assert_eq!(state(&conn, 7, &[FIRST], path).expect("looks"), State::Empty);
        migrate(&mut conn, 7, &[FIRST], path).expect("creates");
        conn.execute("INSERT INTO a VALUES(41)", []).expect("inserts");
        assert_eq!(state(&conn, 7, &[FIRST], path).expect("looks"), State::Current);
        assert_eq!(
            state(&conn, 7, &[FIRST, SECOND], path).expect("looks"),
            State::Older
        );
        migrate(&mut conn, 7, &[FIRST, SECOND], path).expect("migrates");
        migrate(&mut conn, 7, &[FIRST, SECOND], path).expect("nothing left to do");
        let y: i64 = conn
            .query_row("SELECT y FROM a", [], |row| row.get(0))
            .expect("reads");
        assert_eq!(y, 42);
    }

    #[test]
    fn a_failing_migration_leaves_the_file_as_it_was() {
        let mut conn = Connection::open_in_memory().expect("opens");
        let path = Path::new("x.db");
        migrate(&mut conn, 7, &[FIRST], path).expect("creates");
        let broken = [FIRST, "ALTER TABLE a ADD COLUMN y; UPDATE nothing SET y = 1;"];
        assert!(migrate(&mut conn, 7, &broken, path).is_err());
        assert_eq!(state(&conn, 7, &[FIRST], path).expect("looks"), State::Current);
        assert!(
            conn.query_row("SELECT y FROM a", [], |row| row.get::<_, i64>(0))
                .is_err()
        );
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let mut conn = Connection::open_in_memory().expect("opens");
        let path = Path::new("x.db");
        migrate(&mut conn, 7, &[FIRST, SECOND], path).expect("creates");
        let newer = StoreError::Newer {
            path: "x.db".to_owned(),
            found: 2,
            known: 1,
        };
        assert!(matches!(state(&conn, 7, &[FIRST], path), Err(Failure::Store(error)) if error == newer));
        assert!(matches!(
            state(&conn, 8, &[FIRST], path),
            Err(Failure::Damaged(_))
        ));
    }
}
