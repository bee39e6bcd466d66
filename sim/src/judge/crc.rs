//! The CRCs that a store keeps up are those of its records.

use protocol::Record;
use protocol::SystemFlags;

use super::{Checker, Commit};

/// Both CRCs are recomputed from the records after every commit, by a computation of the judge's own. [CS-CRC-1]
pub struct CrcRecomputed;

impl Checker for CrcRecomputed {
    fn name(&self) -> &'static str {
        "the CRCs are those of the records"
    }

    fn committed(&mut self, commit: &Commit<'_>) -> Result<(), String> {
        for (id, mailbox) in &commit.after.mailboxes {
            if commit.before.mailboxes.get(id) == Some(mailbox) {
                continue;
            }
            let right = crcs_of(mailbox.records.values());
            if right != mailbox.crc {
                return Err(format!(
                    "{} has CRCs {:?}, its records make {right:?}",
                    mailbox.name, mailbox.crc
                ));
            }
        }
        Ok(())
    }
}

/// Both CRCs of these records.
pub(super) fn crcs_of<'a>(records: impl Iterator<Item = &'a Record>) -> (u32, u32) {
    let live = records.filter(|record| !record.is_expunged());
    live.fold((0, 12_345_678), |(basic, annot), record| {
        (basic ^ basic_of(record), annot ^ annot_of(record))
    })
}

/// [CS-CRC-3]
fn basic_of(record: &Record) -> u32 {
    let named = SystemFlags::ALL
        .iter()
        .filter(|(flag, _)| record.flags.system.contains(*flag) && *flag != SystemFlags::EXPUNGED);
    let system = named.fold(0, |sum, (_, name)| {
        sum ^ crc32(name.to_ascii_lowercase().as_bytes())
    });
    let flags = record.flags.keywords.iter();
    let flags = flags.fold(system, |sum, word| {
        sum ^ crc32(&word.as_bytes().to_ascii_lowercase())
    });
    let text = format!(
        "{} {} {} ({flags}) {} {}",
        record.uid, record.modseq, record.last_updated, record.internaldate, record.guid
    );
    crc32(text.as_bytes())
}

/// [CS-CRC-5]
fn annot_of(record: &Record) -> u32 {
    record.annotations.iter().fold(0, |sum, annotation| {
        let mut text = format!("{} ", record.uid).into_bytes();
        text.extend_from_slice(&annotation.entry);
        text.push(b' ');
        text.extend_from_slice(&annotation.userid);
        text.push(b' ');
        text.extend_from_slice(counted(&annotation.entry, &annotation.value));
        sum ^ crc32(&text)
    })
}

/// The thread id travels with leading zeros and counts without. [CS-CRC-6]
fn counted<'a>(entry: &[u8], value: &'a [u8]) -> &'a [u8] {
    if entry != b"/vendor/cmu/cyrus-imapd/thrid" {
        return value;
    }
    let zeros = value.iter().take_while(|byte| **byte == b'0').count();
    &value[zeros..]
}

/// Table of single bytes. [CS-CRC-2]
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xEDB8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        TABLE[usize::from((sum as u8) ^ byte)] ^ (sum >> 8)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_examples_of_the_spec() {
        assert_eq!(super::crc32(b"\\seen"), 3_201_761_491);
        assert_eq!(super::crc32(b"\\draft"), 1_255_147_686);
    }
}
