//! The compact encodings inside columns: annotations, lists of names, keyword numbers.
//!
//! All numbers are LEB128 varints. Decoding takes any bytes and answers what is wrong with them; it never panics and
//! never allocates more than the bytes account for.

use protocol::{Annotation, Text};

/// An encoding that cannot have been written by this program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Damaged;

/// Any annotation: entry, user id, modseq, value.
const VERBATIM: u8 = 0;
/// The thread id as eight bytes.
const THRID: u8 = 1;
/// The base thread id as eight bytes.
const BASETHRID: u8 = 2;
/// Virtual annotations with a decimal value, as a number.
const SAVEDATE: u8 = 3;
const CREATEDMODSEQ: u8 = 4;
const INTERNALDATE_NSEC: u8 = 5;

const HEX: [(u8, &[u8]); 2] = [(THRID, Annotation::THRID), (BASETHRID, Annotation::BASETHRID)];
const DECIMAL: [(u8, &[u8]); 3] = [
    (SAVEDATE, Annotation::SAVEDATE),
    (CREATEDMODSEQ, Annotation::CREATEDMODSEQ),
    (INTERNALDATE_NSEC, Annotation::INTERNALDATE_NSEC),
];

/// Encodes annotations in their order. The virtual ones take a tag and a number when their value is written as Cyrus
/// writes it, and travel verbatim otherwise, so what is decoded is what was encoded, byte for byte.
pub(crate) fn encode_annotations(annotations: &[Annotation], out: &mut Vec<u8>) {
    for annotation in annotations {
        if encode_virtual(annotation, out).is_none() {
            out.push(VERBATIM);
            put_bytes(out, &annotation.entry);
            put_bytes(out, &annotation.userid);
            put_number(out, annotation.modseq);
            put_bytes(out, &annotation.value);
        }
    }
}

fn encode_virtual(annotation: &Annotation, out: &mut Vec<u8>) -> Option<()> {
    if annotation.modseq != 0 || !annotation.userid.is_empty() {
        return None;
    }
    let entry = annotation.entry.as_bytes();
    if let Some((tag, _)) = HEX.iter().find(|(_, name)| *name == entry) {
        let number = parse_hex16(&annotation.value)?;
        out.push(*tag);
        out.extend_from_slice(&number.to_be_bytes());
        return Some(());
    }
    let (tag, _) = DECIMAL.iter().find(|(_, name)| *name == entry)?;
    let number = parse_decimal(&annotation.value)?;
    out.push(*tag);
    put_number(out, number);
    Some(())
}

/// Decodes what [`encode_annotations`] made.
pub(crate) fn decode_annotations(bytes: &[u8]) -> Result<Vec<Annotation>, Damaged> {
    let mut reader = Reader(bytes);
    let mut annotations = Vec::new();
    while let Some(tag) = reader.byte() {
        annotations.push(if tag == VERBATIM {
            Annotation {
                entry: reader.text()?,
                userid: reader.text()?,
                modseq: reader.number()?,
                value: reader.text()?,
            }
        } else if let Some((_, name)) = HEX.iter().find(|(known, _)| *known == tag) {
            virtual_annotation(name, format!("{:016x}", reader.fixed64()?))
        } else if let Some((_, name)) = DECIMAL.iter().find(|(known, _)| *known == tag) {
            virtual_annotation(name, reader.number()?.to_string())
        } else {
            return Err(Damaged);
        });
    }
    Ok(annotations)
}

fn virtual_annotation(entry: &'static [u8], value: String) -> Annotation {
    Annotation {
        entry: Text::from_static(entry),
        userid: Text::EMPTY,
        modseq: 0,
        value: Text::from(value),
    }
}

/// Encodes names in their order.
pub(crate) fn encode_names(names: &[Text]) -> Vec<u8> {
    let mut out = Vec::new();
    names.iter().for_each(|name| put_bytes(&mut out, name));
    out
}

/// Decodes what [`encode_names`] made.
pub(crate) fn decode_names(bytes: &[u8]) -> Result<Vec<Text>, Damaged> {
    let mut reader = Reader(bytes);
    let mut names = Vec::new();
    while !reader.0.is_empty() {
        names.push(reader.text()?);
    }
    Ok(names)
}

/// Encodes numbers in their order.
pub(crate) fn encode_numbers(numbers: impl IntoIterator<Item = u64>, out: &mut Vec<u8>) {
    numbers.into_iter().for_each(|number| put_number(out, number));
}

/// Decodes what [`encode_numbers`] made.
pub(crate) fn decode_numbers(bytes: &[u8]) -> Result<Vec<u64>, Damaged> {
    let mut reader = Reader(bytes);
    let mut numbers = Vec::new();
    while !reader.0.is_empty() {
        numbers.push(reader.number()?);
    }
    Ok(numbers)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Sixteen lower-case hex digits, and nothing else that would not print back the same.
fn parse_hex16(digits: &[u8]) -> Option<u64> {
    if digits.len() != 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => Some(number << 4 | u64::from(digit - b'0')),
        b'a'..=b'f' => Some(number << 4 | u64::from(digit - b'a' + 10)),
        _ => None,
    })
}

/// A decimal number without leading zeros or sign.
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| match digit {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte().ok_or(Damaged)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Damaged);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    fn fixed64(&mut self) -> Result<u64, Damaged> {
        let bytes = self.take(8)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self) -> Result<Text, Damaged> {
        let len = usize::try_from(self.number()?).map_err(|_| Damaged)?;
        Ok(Text::copy_from(self.take(len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_of_more_than_64_bits_is_damage() {
        let number = |last: u8| {
            let mut bytes = [0xff; 10];
            bytes[9] = last;
            Reader(&bytes).number()
        };
        assert_eq!(number(1).ok(), Some(u64::MAX));
        assert_eq!(number(0).ok(), Some(u64::MAX >> 1));
        assert!(number(2).is_err());
        assert!(number(0x81).is_err(), "an eleventh byte");
    }

    fn entry() -> impl Strategy<Value = Text> {
        prop_oneof![
            Just(Text::from_static(Annotation::THRID)),
            Just(Text::from_static(Annotation::BASETHRID)),
            Just(Text::from_static(Annotation::SAVEDATE)),
            Just(Text::from_static(Annotation::CREATEDMODSEQ)),
            Just(Text::from_static(Annotation::INTERNALDATE_NSEC)),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(Text::from),
        ]
    }

    fn value() -> impl Strategy<Value = Text> {
        prop_oneof![
            "[0-9a-f]{16}".prop_map(Text::from),
            "[0-9A-F]{15,17}".prop_map(Text::from),
            "0?[0-9]{0,22}".prop_map(Text::from),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Text::from),
        ]
    }

    fn annotation() -> impl Strategy<Value = Annotation> {
        let userid = prop_oneof![Just(Text::EMPTY), Just(Text::from("jane"))];
        let modseq = prop_oneof![Just(0u64), any::<u64>()];
        (entry(), userid, modseq, value()).prop_map(|(entry, userid, modseq, value)| Annotation {
            entry,
            userid,
            modseq,
            value,
        })
    }

    proptest! {
        #[test]
        fn annotations_come_back(annotations in proptest::collection::vec(annotation(), 0..8)) {
            let mut bytes = Vec::new();
            encode_annotations(&annotations, &mut bytes);
            prop_assert_eq!(decode_annotations(&bytes), Ok(annotations));
        }

        #[test]
        fn names_and_numbers_come_back(
            names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
            numbers in proptest::collection::vec(any::<u64>(), 0..8),
        ) {
            let names: Vec<Text> = names.into_iter().map(Text::from).collect();
            prop_assert_eq!(decode_names(&encode_names(&names)), Ok(names));
            let mut bytes = Vec::new();
            encode_numbers(numbers.iter().copied(), &mut bytes);
            prop_assert_eq!(decode_numbers(&bytes), Ok(numbers));
        }

        #[test]
        fn any_bytes_decode_or_are_damaged(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_annotations(&bytes);
            let _ = decode_names(&bytes);
            let _ = decode_numbers(&bytes);
        }
    }

    #[test]
    fn virtual_annotations_are_small() {
        let shared = |entry, value: &str| Annotation {
            entry: Text::from_static(entry),
            userid: Text::EMPTY,
            modseq: 0,
            value: Text::from(value),
        };
        let annotations = [
            shared(Annotation::THRID, "0d6e45cef6923db3"),
            shared(Annotation::SAVEDATE, "1795408569"),
            shared(Annotation::CREATEDMODSEQ, "7"),
        ];
        let mut bytes = Vec::new();
        encode_annotations(&annotations, &mut bytes);
        assert_eq!(bytes.len(), 9 + 6 + 2);
    }

    #[test]
    fn damage_is_told() {
        assert_eq!(decode_annotations(&[9]), Err(Damaged));
        assert_eq!(decode_annotations(&[THRID, 1, 2]), Err(Damaged));
        assert_eq!(
            decode_annotations(&[VERBATIM, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            Err(Damaged)
        );
        assert_eq!(decode_numbers(&[0x80]), Err(Damaged));
        assert_eq!(decode_numbers(&[0xff; 11]), Err(Damaged));
        assert_eq!(decode_names(&[3, b'a']), Err(Damaged));
    }
}
