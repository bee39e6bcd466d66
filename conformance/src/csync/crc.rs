//! The two sync CRCs, recomputed from the records as a server sends them.

use super::dlist::Value;

/// CRC-32 as zlib has it, bit by bit: slow, and independent of any library under test.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

/// SYNC_CRC and SYNC_CRC_ANNOT of a mailbox, from its RECORD list. The thread id is hashed without
/// leading zeros, as every released version does.
pub fn mailbox(records: &[Value]) -> (u32, u32) {
    let live = records.iter().filter(|record| !is_expunged(record));
    live.fold((0, 12_345_678), |(basic, annotations), record| {
        (basic ^ basic_crc(record), annotations ^ annotation_crc(record))
    })
}

/// The flags of a record; a bare `NIL` among them is the keyword of that name.
pub fn flags(record: &Value) -> Vec<String> {
    let name = |flag: &Value| match flag {
        Value::Nil => "NIL".to_owned(),
        other => String::from_utf8_lossy(other.bytes()).into_owned(),
    };
    record
        .get("FLAGS")
        .map(|flags| flags.members().iter().map(name).collect())
        .unwrap_or_default()
}

/// Whether the record carries `\Expunged`.
pub fn is_expunged(record: &Value) -> bool {
    flags(record)
        .iter()
        .any(|flag| flag.eq_ignore_ascii_case("\\expunged"))
}

fn basic_crc(record: &Value) -> u32 {
    let flag_crc = flags(record)
        .iter()
        .fold(0, |sum, flag| sum ^ crc32(flag.to_ascii_lowercase().as_bytes()));
    let field = |key: &str| record.text(key).unwrap_or_default();
    let text = format!(
        "{} {} {} ({flag_crc}) {} {}",
        field("UID"),
        field("MODSEQ"),
        field("LAST_UPDATED"),
        field("INTERNALDATE"),
        field("GUID").to_ascii_lowercase()
    );
    crc32(text.as_bytes())
}

fn annotation_crc(record: &Value) -> u32 {
    let uid = record.text("UID").unwrap_or_default();
    let annotations = record.get("ANNOTATIONS").map(Value::members).unwrap_or_default();
    annotations.iter().fold(0, |sum, annotation| {
        let Some(user) = annotation.text("USERID") else {
            return sum;
        };
        let entry = annotation.text("ENTRY").unwrap_or_default();
        let mut value = annotation.get("VALUE").map(Value::bytes).unwrap_or_default();
        if entry == "/vendor/cmu/cyrus-imapd/thrid" {
            while value.len() > 1 && value[0] == b'0' {
                value = &value[1..];
            }
        }
        sum ^ crc32(&[format!("{uid} {entry} {user} ").as_bytes(), value].concat())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csync::dlist::read_named;

    #[test]
    fn known_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"\\seen"), 3_201_761_491);
        assert_eq!(
            crc32(b"1 3 1795408569 (0) 1795408569 197a96a5c2596a1449abce1c9300cadab59f016d"),
            1_240_879_431
        );
    }

    #[test]
    fn empty_and_expunged_mailboxes() {
        assert_eq!(mailbox(&[]), (0, 12_345_678));
        let (_, record) =
            read_named(b"R %(UID 1 MODSEQ 1 LAST_UPDATED 1 FLAGS (\\Expunged) INTERNALDATE 1 GUID 00)")
                .expect("readable");
        assert_eq!(mailbox(&[record]), (0, 12_345_678));
    }

    #[test]
    fn record_with_annotations() {
        let line = b"R %(UID 1 MODSEQ 3 LAST_UPDATED 1795408569 FLAGS () INTERNALDATE 1795408569 \
            GUID 197a96a5c2596a1449abce1c9300cadab59f016d ANNOTATIONS (\
            %(ENTRY /vendor/cmu/cyrus-imapd/savedate USERID \"\" MODSEQ 0 VALUE 1795408569) \
            %(ENTRY /vendor/cmu/cyrus-imapd/thrid USERID \"\" MODSEQ 0 VALUE 88894f44c9306106)))";
        let (_, record) = read_named(line).expect("readable");
        assert_eq!(
            mailbox(&[record]),
            (1_240_879_431, 12_345_678 ^ 2_425_638_768 ^ 555_034_341)
        );
    }
}
