//! Reading a database that nobody writes to, from its file alone: without the log, the shared memory and the locks that
//! SQLite makes and removes for every connection, which cost many times what a few small reads do.
//!
//! While there is no log beside the file, all that was committed is in the file, and the file changes only when a log
//! that came and went was copied into it. So what was read is one committed state if there was no log before and after,
//! and the file is the same by identity, size and times. File systems count time in steps: a file changed a moment ago
//! could be changed again without showing it, and is read the usual way.

use std::path::Path;

use engine::name::Scope;
use rusqlite::OpenFlags;

use super::Options;
use super::database::{Database, open};
use super::error::Outcome;
use super::place::{self, beside};

/// What `work` reads; `None` when the file may have been changed meanwhile, cannot be read so, or is not there.
pub(crate) fn read<T>(
    dir: &Path,
    scope: &Scope,
    options: &Options,
    work: impl FnOnce(&mut Database) -> Outcome<T>,
) -> Option<T> {
    let path = place::database(dir, scope);
    let log = beside(&path, "-wal");
    let journal = beside(&path, "-journal");
    let files = &*options.files;
    // A file that cannot be looked at may be there.
    let is_missing = |path: &Path| match files.identity(path) {
        Ok(_) => false,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    let is_alone = || is_missing(&log) && is_missing(&journal);
    let before = files.settled(&path)?;
    if !is_alone() {
        return None;
    }
    let access = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let conn = open(Path::new(&uri(&path)?), access, files).ok()?;
    conn.pragma_update(None, "trusted_schema", "OFF").ok()?;
    let mut database = Database::over(conn, &path, scope, &options.files).ok()??;
    let found = work(&mut database).ok()?;
    drop(database);
    let is_same = is_alone() && files.settled(&path)? == before;
    is_same.then_some(found)
}

/// The file as SQLite is to open it: as one that does not change, which the caller sees to. `None` for paths that are no
/// text.
fn uri(path: &Path) -> Option<String> {
    let mut uri = String::from("file:");
    for byte in std::path::absolute(path).ok()?.to_str()?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    Some(uri)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use engine::model::UserSummary;
    use engine::ticket::{Change, Reply, Request, Session};
    use protocol::Text;

    use super::*;
    use crate::sqlite::{Options, SqliteStore};

    fn subscribe(session: &mut dyn Session, scope: &Scope, mailbox: &str) {
        let mailbox = Text::from(mailbox);
        for request in [
            Request::Begin { scope: scope.clone() },
            Request::Write(vec![Change::Subscribe { mailbox }]),
            Request::Commit,
        ] {
            session.execute(request).expect("written");
        }
    }

    fn summary(session: &mut dyn Session, user: &str) -> UserSummary {
        let request = Request::Summary {
            user: Text::from(user),
        };
        let Ok(Reply::Summary(summary)) = session.execute(request) else {
            panic!("no summary")
        };
        *summary
    }

    #[test]
    fn a_file_is_read_alone_only_when_nobody_has_it_and_it_is_settled() {
        let dir = tempfile::tempdir().expect("a folder");
        // A name that means something in an URI.
        let user = "a%20b?c#d&e=1";
        let scope = Scope::User(Text::from(user));
        let read_alone = || {
            read(dir.path(), &scope, &Options::default(), |database| {
                database.summary()
            })
        };
        let store = SqliteStore::open(dir.path(), Options::default()).expect("a store");
        assert_eq!(read_alone(), None, "there is nothing yet");
        let mut session = store.session();
        subscribe(&mut session, &scope, "one");
        assert_eq!(read_alone(), None, "a session has it open");
        drop(session);
        drop(store);
        // A moment ago is too fresh; whether this look comes early enough to see that is the machine's affair.
        let deadline = Instant::now() + Duration::from_secs(60);
        let found = loop {
            if let Some(found) = read_alone() {
                break found;
            }
            assert!(Instant::now() < deadline, "it never settles");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(found.meta.subscriptions, [Text::from("one")]);
        let files: Vec<_> = std::fs::read_dir(place::users_dir(dir.path()))
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(files.len(), 1, "no log, no shared memory: {files:?}");

        let store = SqliteStore::open(dir.path(), Options::default()).expect("a store");
        let (mut writer, mut reader) = (store.session(), store.session());
        assert_eq!(summary(&mut reader, user), found);
        subscribe(&mut writer, &scope, "two");
        assert_eq!(read_alone(), None);
        assert_eq!(summary(&mut reader, user).meta.subscriptions.len(), 2);
        assert_eq!(summary(&mut reader, "nobody"), UserSummary::default());
    }

    #[test]
    fn a_change_while_it_is_read_is_noticed() {
        let dir = tempfile::tempdir().expect("a folder");
        let scope = Scope::User(Text::from("jane"));
        let store = SqliteStore::open(dir.path(), Options::default()).expect("a store");
        subscribe(&mut store.session(), &scope, "one");
        let deadline = Instant::now() + Duration::from_secs(60);
        while read(dir.path(), &scope, &Options::default(), |database| {
            database.summary()
        })
        .is_none()
        {
            assert!(Instant::now() < deadline, "it never settles");
            std::thread::sleep(Duration::from_millis(50));
        }
        // The whole of another's change, log and all, happens between two reads.
        let found = read(dir.path(), &scope, &Options::default(), |database| {
            let before = database.summary()?;
            subscribe(&mut store.session(), &scope, "two");
            Ok(before)
        });
        assert_eq!(found, None);
    }
}
