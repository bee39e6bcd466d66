//! `<mailbox:...>` and `<record:...>`: keyed lists with all keys that the protocol requires, so that a scenario writes only those
//! that it is about.

use super::scope::{Scope, guid};
use super::template::Template;
use crate::csync::{crc, dlist};

/// Keys of APPLY MAILBOX in the order of [CS-MBOX-2].
const MAILBOX_KEYS: &[&str] = &[
    "UNIQUEID",
    "MBOXNAME",
    "MBOXTYPE",
    "SYNC_CRC",
    "SYNC_CRC_ANNOT",
    "LAST_UID",
    "HIGHESTMODSEQ",
    "RECENTUID",
    "RECENTTIME",
    "LAST_APPENDDATE",
    "POP3_LAST_LOGIN",
    "POP3_SHOW_AFTER",
    "XCONVMODSEQ",
    "RACLMODSEQ",
    "USERGROUPS",
    "UIDVALIDITY",
    "PARTITION",
    "ACL",
    "OPTIONS",
    "QUOTAROOT",
    "CREATEDMODSEQ",
    "FOLDERMODSEQ",
    "ANNOTATIONS",
    "USERFLAGS",
    "SINCE_MODSEQ",
    "SINCE_CRC",
    "SINCE_CRC_ANNOT",
    "RECORD",
];

/// Keys of a record in the order of [CS-MBOX-3].
const RECORD_KEYS: &[&str] = &[
    "UID",
    "MODSEQ",
    "LAST_UPDATED",
    "FLAGS",
    "INTERNALDATE",
    "SIZE",
    "GUID",
    "ANNOTATIONS",
];

/// A date that all records and mailboxes have unless the scenario says otherwise.
const DATE: &str = "1700000000";

/// Keys and the bytes of their values, as they are to be sent.
type Pairs = Vec<(String, Vec<u8>)>;

/// `<mailbox:PATH KEY value ...>`. LAST_UID and HIGHESTMODSEQ follow from RECORD unless they are given; `auto` for SYNC_CRC and
/// SYNC_CRC_ANNOT is their value over RECORD; `-` leaves a key out.
///
/// # Errors
/// A text that is not made of keys and values.
pub fn mailbox(scope: &mut Scope<'_>, path: &str, body: &Template) -> Result<Vec<u8>, String> {
    let given = pairs(&scope.bytes(body)?)?;
    let records = given.iter().find(|(key, _)| key == "RECORD");
    let records = records.map_or_else(|| b"()".to_vec(), |(_, value)| value.clone());
    let read = dlist::read_named(&[b"X ", records.as_slice()].concat()).ok();
    let read = read.map(|(_, list)| list.members().to_vec()).unwrap_or_default();
    let highest = |key: &str| read.iter().filter_map(|record| record.number(key)).max();
    let user = path.split_once('/').map_or("", |(owner, _)| owner);
    let reader = if user == "shared" {
        "anyone".to_owned()
    } else {
        scope.user(user)
    };
    let (basic, annotations) = crc::mailbox(&read);
    let mut all: Pairs = Vec::new();
    let mut put = |key: &str, value: String| all.push((key.to_owned(), value.into_bytes()));
    put("UNIQUEID", scope.unique_id(path));
    put("MBOXNAME", word(&scope.mailbox_name(path)));
    put("LAST_UID", highest("UID").unwrap_or(0).to_string());
    put("HIGHESTMODSEQ", highest("MODSEQ").unwrap_or(1).max(1).to_string());
    for key in [
        "RECENTUID",
        "RECENTTIME",
        "LAST_APPENDDATE",
        "POP3_LAST_LOGIN",
        "POP3_SHOW_AFTER",
    ] {
        put(key, "0".to_owned());
    }
    put("UIDVALIDITY", "1000".to_owned());
    put("PARTITION", scope.target().partition.clone());
    put("ACL", format!("\"{reader}\tlrswipkxtecdan\t\""));
    put("OPTIONS", "P".to_owned());
    put("CREATEDMODSEQ", "1".to_owned());
    put("FOLDERMODSEQ", "1".to_owned());
    put("RECORD", "()".to_owned());
    let given = given
        .into_iter()
        .map(|(key, value)| match (key.as_str(), value.as_slice()) {
            ("SYNC_CRC", b"auto") => (key, basic.to_string().into_bytes()),
            ("SYNC_CRC_ANNOT", b"auto") => (key, annotations.to_string().into_bytes()),
            _ => (key, value),
        })
        .collect();
    Ok(printed(overlay(all, given), MAILBOX_KEYS))
}

/// `<record:MESSAGE KEY value ...>`: UID 1 and MODSEQ 2 unless they are given.
///
/// # Errors
/// A text that is not made of keys and values.
pub fn record(scope: &mut Scope<'_>, message: &str, body: &Template) -> Result<Vec<u8>, String> {
    let given = pairs(&scope.bytes(body)?)?;
    let bytes = scope.message(message);
    let usual = [
        ("UID", "1".to_owned()),
        ("MODSEQ", "2".to_owned()),
        ("LAST_UPDATED", DATE.to_owned()),
        ("FLAGS", "()".to_owned()),
        ("INTERNALDATE", DATE.to_owned()),
        ("SIZE", bytes.len().to_string()),
        ("GUID", guid(&bytes)),
    ];
    let usual = usual.map(|(key, value)| (key.to_owned(), value.into_bytes()));
    Ok(printed(overlay(usual.to_vec(), given), RECORD_KEYS))
}

/// The usual pairs, with those that are given in their place.
fn overlay(mut usual: Pairs, given: Pairs) -> Pairs {
    for (key, value) in given {
        usual.retain(|(known, _)| *known != key);
        if value != b"-" {
            usual.push((key, value));
        }
    }
    usual
}

fn printed(pairs: Pairs, order: &[&str]) -> Vec<u8> {
    let place = |key: &str| {
        order
            .iter()
            .position(|known| *known == key)
            .unwrap_or(order.len())
    };
    let mut pairs = pairs;
    pairs.sort_by_key(|(key, _)| place(key));
    let printed: Vec<Vec<u8>> = pairs
        .into_iter()
        .map(|(key, value)| [key.as_bytes(), b" ", &value].concat())
        .collect();
    [b"%(".as_slice(), &printed.join(&b' '), b")"].concat()
}

/// A text as an atom where that is possible.
pub fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"{()\"%*\\".contains(&byte);
    if !text.is_empty() && text != "NIL" && text.bytes().all(plain) {
        return text.to_owned();
    }
    String::from_utf8_lossy(&dlist::string(text.as_bytes())).into_owned()
}

/// Takes `KEY value KEY value` apart and keeps the bytes of each value, malformed ones too.
fn pairs(bytes: &[u8]) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let mut at = 0;
    loop {
        at = skip_blanks(bytes, at);
        if at == bytes.len() {
            return Ok(pairs);
        }
        let end = word_end(bytes, at);
        let key = String::from_utf8_lossy(&bytes[at..end]).into_owned();
        let start = skip_blanks(bytes, end);
        at = value_end(bytes, start);
        if at == start {
            return Err(format!("the key {key} has no value"));
        }
        pairs.push((key, bytes[start..at].to_vec()));
    }
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    let blanks = bytes[at..].iter().take_while(|byte| **byte == b' ').count();
    at + blanks
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    let length = bytes[at..].iter().take_while(|byte| **byte != b' ').count();
    at + length
}

/// Where the value that begins at `at` ends: behind its closing parenthesis, quote or literal, or before a blank.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' if depth == 0 => return at,
            b'(' => depth += 1,
            b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b'"' => {
                let rest = &bytes[at + 1..];
                at += 1 + rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
            }
            b'{' => {
                let end = bytes[at..].windows(2).position(|pair| pair == b"\r\n");
                if let Some(end) = end
                    && let Some(size) = dlist::announced(&bytes[at..at + end])
                {
                    at += end + 1 + size;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::super::template;
    use super::*;

    fn shown(text: &str) -> String {
        let target = Target::new("127.0.0.1:1", "admin", "x");
        let mut scope = Scope::new(&target, "t1");
        let bytes = scope
            .bytes(&template::parse(text).expect("readable"))
            .expect("values");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_mailbox_has_all_keys_in_their_order() {
        let line = shown("<mailbox:a OPTIONS - SYNC_CRC auto LAST_UID x NEW (a \"b )\" {3+}<crlf>a)b)>");
        assert!(line.starts_with("%(UNIQUEID "), "{line}");
        assert!(
            line.contains(" MBOXNAME user.t1.a SYNC_CRC 0 LAST_UID x HIGHESTMODSEQ 1 RECENTUID 0"),
            "{line}"
        );
        assert!(
            line.ends_with(" RECORD () NEW (a \"b )\" {3+}\r\na)b))"),
            "{line}"
        );
        assert!(!line.contains("OPTIONS"), "{line}");
    }

    #[test]
    fn records_raise_the_header() {
        let line = shown("<mailbox:a RECORD (<record:x UID 7 MODSEQ 9 FLAGS (\\Seen)> <record:y>)>");
        assert!(line.contains(" LAST_UID 7 HIGHESTMODSEQ 9 "), "{line}");
        assert!(
            line.contains("RECORD (%(UID 7 MODSEQ 9 LAST_UPDATED 1700000000 FLAGS (\\Seen) "),
            "{line}"
        );
    }
}
