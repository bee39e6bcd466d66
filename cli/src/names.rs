//! Mailbox names as people write them, and as files can have them.

use engine::name::{inbox_of, is_acceptable, owner};
use net::shown::is_risky;
use protocol::Text;

use crate::failure::{Exit, Failure, Result};
use crate::utf7;

/// Longest file name most file systems take, bytes.
const FILE_NAME_BYTES_MAX: usize = 255;

/// The user id, if an INBOX can have it.
pub fn user(text: &str) -> Result<Text> {
    let user = Text::from(text);
    let inbox = inbox_of(&user);
    if text.is_empty()
        || text.contains('/')
        || !is_acceptable(&inbox)
        || owner(&inbox).as_ref() != Some(&user)
    {
        let why = "it must be printable ASCII, without slash and caret";
        return Err(Failure::new(
            Exit::Data,
            format!("{text:?} cannot be a user id: {why}"),
        ));
    }
    Ok(user)
}

/// The internal name of what a person calls `INBOX`, `INBOX/Sub` or `Sub`; one of the user's internal names is taken
/// as it is.
pub fn of_user(user: &Text, text: &str) -> Result<Text> {
    if owner(text.as_bytes()).as_ref() == Some(user) && is_acceptable(text.as_bytes()) {
        return Ok(Text::from(text));
    }
    let mut parts: Vec<&str> = text.split('/').collect();
    if parts[0].eq_ignore_ascii_case("INBOX") {
        parts.remove(0);
    }
    below(&inbox_of(user), parts.iter().map(|part| to_part(part)))
        .ok_or_else(|| Failure::new(Exit::Data, format!("{text:?} cannot be the name of a mailbox")))
}

/// `root` with these parts behind it; `None` when that is no name.
pub fn below(root: &Text, parts: impl IntoIterator<Item = String>) -> Option<Text> {
    let mut name = root.to_string();
    for part in parts {
        name.push('.');
        name.push_str(&part);
    }
    // A `!` would make what stands before it a domain, and the mailbox another's.
    (is_acceptable(name.as_bytes()) && owner(name.as_bytes()) == owner(root)).then(|| Text::from(name))
}

/// The internal name of `USER/MAILBOX`, or of `user/USER/MAILBOX` as administrators write it; any other text is an
/// internal name already.
pub fn anywhere(text: &str) -> Result<Text> {
    let path = text.strip_prefix("user/").unwrap_or(text);
    match path.split_once('/') {
        Some((id, mailbox)) if !text.starts_with("user.") && !text.contains('!') => {
            of_user(&user(id)?, mailbox)
        }
        None if path != text => Ok(inbox_of(&user(path)?)),
        _ => Ok(Text::from(text)),
    }
}

/// A name for people: `INBOX`, `Sub/Below`, umlauts and all; another's or nobody's stays internal.
pub fn shown(user: &Text, name: &Text) -> String {
    let inbox = inbox_of(user);
    match name.strip_prefix(inbox.as_bytes()) {
        Some(b"") => "INBOX".to_owned(),
        Some([b'.', rest @ ..]) => {
            let parts = rest.split(|&b| b == b'.');
            let parts: Vec<String> = parts
                .map(|part| shown_part(&String::from_utf8_lossy(part)))
                .collect();
            parts.join("/")
        }
        _ => printable(&name.to_lossy()),
    }
}

/// Text with control characters made visible, for a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if is_risky(c) {
                c.escape_unicode().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

fn to_part(part: &str) -> String {
    utf7::encode(part).replace('.', "^")
}

fn shown_part(part: &str) -> String {
    printable(&utf7::decode(part).replace('^', "."))
}

/// The name of a mailbox's folder inside a Maildir: empty for the INBOX, `.Sub.Below` for others, and never anything
/// that leaves the Maildir. A slash or a byte outside printable ASCII is written as modified UTF-7 would write it; a
/// name too long for a file is cut, with a hash of the whole behind it.
pub fn to_folder(user: &Text, name: &Text) -> Option<String> {
    let inbox = inbox_of(user);
    let rest = name.strip_prefix(inbox.as_bytes())?;
    if rest.is_empty() {
        return Some(String::new());
    }
    let mut folder = String::from(".");
    for part in rest.strip_prefix(b".")?.split(|&b| b == b'.') {
        // A name with an empty part is none that anybody can have made.
        if part.is_empty() {
            return None;
        }
        if folder.len() > 1 {
            folder.push('.');
        }
        for &byte in part {
            match byte {
                b'/' => folder.push_str("&AC8-"),
                0x20..=0x7e => folder.push(char::from(byte)),
                _ => folder.push_str(&utf7::encode(&char::from(byte).to_string())),
            }
        }
    }
    if folder.len() > FILE_NAME_BYTES_MAX {
        let hash = crate::hash::guid_of(name).to_string();
        folder.truncate(FILE_NAME_BYTES_MAX - 41);
        folder.push('~');
        folder.push_str(&hash);
    }
    Some(folder)
}

/// The parts of the mailbox name that a Maildir++ folder stands for, `.Sub.Below`; `None` when it is none.
pub fn from_folder(folder: &str) -> Option<Vec<String>> {
    let rest = folder.strip_prefix('.').filter(|rest| !rest.is_empty())?;
    let parts: Vec<String> = rest
        .split('.')
        .map(|part| {
            let part = part.replace("&AC8-", "/");
            // Some programs write folder names in UTF-8.
            if part.is_ascii() {
                part
            } else {
                utf7::encode(&part).replace("&-", "&")
            }
        })
        .collect();
    parts.iter().all(|part| !part.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write() {
        let jane = user("jane.doe").unwrap();
        let name = |text| of_user(&jane, text).unwrap().to_string();
        assert_eq!(name("INBOX"), "user.jane^doe");
        assert_eq!(name("inbox/Sent"), "user.jane^doe.Sent");
        assert_eq!(name("Entwürfe/v1.2"), "user.jane^doe.Entw&APw-rfe.v1^2");
        assert_eq!(name("user.jane^doe.Sent"), "user.jane^doe.Sent");
        assert_eq!(name("user.joe"), "user.jane^doe.user^joe");
        for bad in ["", "/", "a//b", "INBOX/", "a!b", "a!user.joe"] {
            assert!(of_user(&jane, bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a/b", "a^b", "ä", "a\n"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
        assert_eq!(anywhere("jane/INBOX").unwrap(), Text::from("user.jane"));
        assert_eq!(anywhere("user/jane").unwrap(), Text::from("user.jane"));
        assert_eq!(
            anywhere("user/jane.doe/R&D").unwrap(),
            Text::from("user.jane^doe.R&-D")
        );
        assert_eq!(anywhere("user.jane.a/b").unwrap(), Text::from("user.jane.a/b"));
        assert_eq!(anywhere("shared.news").unwrap(), Text::from("shared.news"));
    }

    #[test]
    fn what_people_see() {
        let jane = user("jane").unwrap();
        let seen = |name: &str| shown(&jane, &Text::from(name));
        assert_eq!(seen("user.jane"), "INBOX");
        assert_eq!(seen("user.jane.Entw&APw-rfe.v1^2"), "Entwürfe/v1.2");
        assert_eq!(
            seen("user.jane.&ABs-[31m"),
            "\\u{1b}[31m",
            "no escape sequence reaches a terminal"
        );
        assert_eq!(seen("user.janet"), "user.janet");
    }

    #[test]
    fn folders_stay_inside() {
        let jane = user("jane").unwrap();
        let folder = |name: &str| to_folder(&jane, &Text::from(name));
        assert_eq!(folder("user.jane"), Some(String::new()));
        assert_eq!(folder("user.jane.a.b"), Some(".a.b".to_owned()));
        assert_eq!(
            folder("user.jane./etc/passwd"),
            Some(".&AC8-etc&AC8-passwd".to_owned())
        );
        for none in [
            "user.jane.../../x",
            "user.jane.",
            "user.jane..",
            "user.joe",
            "user.janet",
            "DELETED.user.jane.x",
        ] {
            assert_eq!(folder(none), None, "{none}");
        }
        let long = format!("user.jane.{}", "x".repeat(500));
        let (cut, other) = (folder(&long).unwrap(), folder(&format!("{long}y")).unwrap());
        assert_eq!(cut.len(), FILE_NAME_BYTES_MAX);
        assert_ne!(cut, other);
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder(rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let jane = user("jane").unwrap();
            let name = Text::from([b"user.jane.", &rest[..]].concat());
            if let Some(folder) = to_folder(&jane, &name) {
                prop_assert!(folder.len() <= FILE_NAME_BYTES_MAX);
                prop_assert!(folder.starts_with('.') && folder != "." && folder != "..");
                prop_assert!(folder.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'/'));
                prop_assert_eq!(std::path::Path::new(&folder).components().count(), 1);
            }
        }

        #[test]
        fn folder_names_come_back(parts in proptest::collection::vec(r"[\x22-%'-\-0-~]{1,20}", 1..4)) {
            let jane = user("jane").unwrap();
            let name = below(&inbox_of(&jane), parts.clone()).unwrap();
            let folder = to_folder(&jane, &name).unwrap();
            prop_assert_eq!(from_folder(&folder), Some(parts));
        }
    }
}
