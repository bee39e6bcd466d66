//! Where the store's files are.

use std::path::{Path, PathBuf};

use engine::name::Scope;
use protocol::Text;
use sha1::{Digest, Sha1};

/// Longest user id, in its file name's spelling, that is spelled out; a longer one is cut and gets a hash.
const SPELLED_MAX: usize = 180;

/// File name extension of a user's database.
pub(crate) const EXTENSION: &str = "db";

/// The folder of the users' databases.
pub(crate) fn users_dir(dir: &Path) -> PathBuf {
    dir.join("users")
}

/// The database of a scope.
pub(crate) fn database(dir: &Path, scope: &Scope) -> PathBuf {
    match scope {
        Scope::User(user) => users_dir(dir).join(format!("{}.{EXTENSION}", spell(user))),
        Scope::Shared => dir.join("shared.db"),
    }
}

/// The file that SQLite puts beside a database.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// A user id as a file name: letters, digits and `@ _ - + =` as they are, a dot unless it comes first, the rest as
/// `%` and two hex digits.
pub(crate) fn spell(user: &[u8]) -> String {
    let mut spelled = String::with_capacity(user.len());
    for (at, byte) in user.iter().enumerate() {
        match byte {
            b'.' if at > 0 => spelled.push('.'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'@' | b'_' | b'-' | b'+' | b'=' => {
                spelled.push(char::from(*byte));
            }
            _ => spelled.push_str(&format!("%{byte:02X}")),
        }
    }
    if spelled.len() > SPELLED_MAX {
        spelled.truncate(SPELLED_MAX - 41);
        spelled.push('~');
        Sha1::digest(user)
            .iter()
            .for_each(|byte| spelled.push_str(&format!("{byte:02x}")));
    }
    spelled
}

/// The user whose database has this file name; `None` for a cut one and for files of others.
pub(crate) fn read_spelling(file_name: &str) -> Option<Text> {
    let spelled = file_name.strip_suffix(EXTENSION)?.strip_suffix('.')?.as_bytes();
    let mut user = Vec::with_capacity(spelled.len());
    let mut rest = spelled;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let digits = rest
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())?;
            user.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            user.push(*first);
        }
    }
    // Only the one spelling that this program would choose names a user.
    (spell(&user).as_bytes() == spelled && !user.is_empty()).then(|| Text::from(user))
}

/// Whether a file name is that of a user's database whose id was too long to be spelled out.
pub(crate) fn is_cut(file_name: &str) -> bool {
    file_name
        .strip_suffix(".db")
        .is_some_and(|spelled| spelled.len() == SPELLED_MAX && spelled.contains('~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_ids_are_readable() {
        assert_eq!(spell(b"jane.doe@example.org"), "jane.doe@example.org");
        assert_eq!(spell(b"../x y"), "%2E.%2Fx%20y");
        assert_eq!(spell(b".."), "%2E.");
        assert_eq!(read_spelling("jane.db"), Some(Text::from("jane")));
        for other in ["jane.db-wal", "jane", ".db", "j%zz.db", "%6aane.db"] {
            assert_eq!(read_spelling(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn spellings_are_safe_and_come_back(user in proptest::collection::vec(any::<u8>(), 1..500)) {
            let file = format!("{}.db", spell(&user));
            prop_assert!(file.len() < 200 && !file.starts_with('.') && !file.contains('/'));
            match read_spelling(&file) {
                Some(back) => prop_assert_eq!(back, Text::from(user)),
                None => prop_assert!(is_cut(&file)),
            }
        }
    }
}
