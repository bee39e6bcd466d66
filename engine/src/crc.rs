//! The two sync CRCs of a mailbox. [CS-CRC-1]
//!
//! Both are an XOR over the records that are not expunged, so a change costs one record taken out and one put in,
//! never a walk over the mailbox.

use protocol::{Annotation, Flags, Record, SystemFlags};

/// Value of the annotation CRC of an empty mailbox. [CS-CRC-4]
pub const ANNOT_CRC_START: u32 = 12_345_678;

/// Both sync CRCs of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncCrc {
    /// Over the records' own values.
    pub basic: u32,
    /// Over the records' annotations, virtual ones included.
    pub annot: u32,
}

impl SyncCrc {
    /// The CRCs of a mailbox without records.
    pub const EMPTY: SyncCrc = SyncCrc {
        basic: 0,
        annot: ANNOT_CRC_START,
    };

    /// Puts a record in, or takes one out that was in: the operation is its own inverse.
    pub fn toggle(&mut self, record: &Record) {
        self.basic ^= record_basic(record);
        self.annot ^= record_annot(record);
    }

    /// Whether two pairs agree: each value equal, or 0 on either side, which switches its check off. [CS-CRC-9]
    pub fn agrees_with(self, other: SyncCrc) -> bool {
        let same = |a: u32, b: u32| a == b || a == 0 || b == 0;
        same(self.basic, other.basic) && same(self.annot, other.annot)
    }
}

/// A record's share of the basic CRC; 0 when it is expunged. [CS-CRC-3] [CS-CRC-7]
pub fn record_basic(record: &Record) -> u32 {
    if record.is_expunged() {
        return 0;
    }
    let mut text = Vec::with_capacity(128);
    push_decimal(&mut text, u64::from(record.uid), b' ');
    push_decimal(&mut text, record.modseq, b' ');
    push_signed(&mut text, record.last_updated);
    text.extend_from_slice(b" (");
    push_decimal(&mut text, u64::from(flag_crc(&record.flags)), b')');
    text.push(b' ');
    push_signed(&mut text, record.internaldate);
    text.push(b' ');
    text.extend_from_slice(&record.guid.to_hex());
    crc32fast::hash(&text)
}

/// A record's share of the annotation CRC; 0 when it is expunged. [CS-CRC-4] [CS-CRC-7]
pub fn record_annot(record: &Record) -> u32 {
    if record.is_expunged() || record.annotations.is_empty() {
        return 0;
    }
    let mut text = Vec::with_capacity(256);
    record.annotations.iter().fold(0, |sum, annotation| {
        text.clear();
        push_annotation(&mut text, record.uid, annotation);
        sum ^ crc32fast::hash(&text)
    })
}

/// XOR of the CRC of each flag name in lower case; `\Expunged` is not a flag here. [CS-CRC-3]
pub fn flag_crc(flags: &Flags) -> u32 {
    const SYSTEM: [(SystemFlags, u32); 5] = [
        (SystemFlags::SEEN, 3_201_761_491),
        (SystemFlags::DELETED, 301_770_925),
        (SystemFlags::ANSWERED, 2_050_749_261),
        (SystemFlags::FLAGGED, 3_986_028_895),
        (SystemFlags::DRAFT, 1_255_147_686),
    ];
    let system = SYSTEM
        .iter()
        .filter(|(flag, _)| flags.system.contains(*flag))
        .fold(0, |sum, (_, crc)| sum ^ crc);
    flags.keywords.iter().fold(system, |sum, name| {
        sum ^ crc32fast::hash(&name.to_ascii_lowercase())
    })
}

/// The string whose CRC is an annotation's share, of a virtual one too. [CS-CRC-5] [CS-CRC-6]
fn push_annotation(text: &mut Vec<u8>, uid: u32, annotation: &Annotation) {
    push_decimal(text, u64::from(uid), b' ');
    text.extend_from_slice(&annotation.entry);
    text.push(b' ');
    text.extend_from_slice(&annotation.userid);
    text.push(b' ');
    // The wire has the thread id in 16 digits; it is hashed as a number without leading zeros.
    let value: &[u8] = if annotation.entry.as_bytes() == Annotation::THRID {
        let zeros = annotation
            .value
            .iter()
            .take_while(|&&digit| digit == b'0')
            .count();
        let digits = &annotation.value[zeros..];
        if digits.is_empty() { b"0" } else { digits }
    } else {
        &annotation.value
    };
    text.extend_from_slice(value);
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64, then: u8) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.push(then);
}

fn push_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_decimal(out, number.unsigned_abs(), b' ');
    out.pop();
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Guid, Text};

    fn record(uid: u32, modseq: u64, keywords: &[&str], seen: bool, guid: &str) -> Record {
        Record {
            uid,
            modseq,
            last_updated: 1_795_408_569,
            flags: Flags {
                system: if seen {
                    SystemFlags::SEEN
                } else {
                    SystemFlags::NONE
                },
                keywords: keywords.iter().map(|k| Text::from(*k)).collect(),
            },
            internaldate: 1_795_408_569,
            size: 0,
            guid: Guid::parse(guid.as_bytes()).expect("40 hex digits"),
            annotations: Vec::new(),
        }
    }

    #[test]
    fn basic_crc_of_a_live_mailbox() {
        let records = [
            record(1, 3, &[], false, "197a96a5c2596a1449abce1c9300cadab59f016d"),
            record(
                2,
                4,
                &["MyFlag"],
                true,
                "5cad9d2301a480fed60ecbaf0b6e7176472ed9b7",
            ),
            record(3, 5, &[], false, "f18b73078ca260b914fbc644aa606522ce921425"),
            record(
                4,
                6,
                &["myflag"],
                true,
                "802ee2b726a282a6bf22b466fb1f9e31de7ac253",
            ),
            record(5, 7, &[], false, "455dcc08ceaf8abf6d08179f04dcf4c452778a41"),
        ];
        assert_eq!(record_basic(&records[0]), 1_240_879_431);
        let mut crc = SyncCrc::EMPTY;
        records.iter().for_each(|r| crc.toggle(r));
        assert_eq!(
            crc,
            SyncCrc {
                basic: 4_240_797_161,
                annot: ANNOT_CRC_START
            }
        );
        records.iter().for_each(|r| crc.toggle(r));
        assert_eq!(crc, SyncCrc::EMPTY);
    }

    #[test]
    fn annotation_crc_hashes_the_thread_id_as_a_number() {
        let mut r = record(13, 1, &[], false, "197a96a5c2596a1449abce1c9300cadab59f016d");
        let shared = |entry: &'static [u8], value: &str| Annotation {
            entry: Text::from_static(entry),
            userid: Text::EMPTY,
            modseq: 0,
            value: Text::from(value),
        };
        r.annotations = vec![shared(Annotation::THRID, "0d6e45cef6923db3")];
        assert_eq!(record_annot(&r), 885_201_193);
        r.uid = 1;
        r.annotations = vec![shared(b"/comment", "shared note")];
        assert_eq!(record_annot(&r), 3_038_038_233);
    }

    #[test]
    fn zero_switches_a_check_off() {
        let crc = |basic, annot| SyncCrc { basic, annot };
        assert!(crc(1, 2).agrees_with(crc(1, 2)));
        assert!(crc(0, 2).agrees_with(crc(1, 0)));
        assert!(!crc(1, 2).agrees_with(crc(1, 3)));
        assert!(!crc(4, 2).agrees_with(crc(1, 2)));
    }
}
