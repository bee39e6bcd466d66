//! What a value is worth as a string, a number, a list: types are asked for, not declared. `[CS-DLIST-12]`

use crate::grammar::{Pair, Value};
use crate::{Annotation, Guid, Text};

/// The pairs of a keyed list; of any other value there are none.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'v, 'a>(&'v [Pair<'a>]);

impl<'v, 'a> Fields<'v, 'a> {
    pub(crate) fn of(value: &'v Value<'a>) -> Self {
        match value {
            Value::KvList(pairs) => Fields(pairs),
            _ => Fields(&[]),
        }
    }

    pub(crate) fn of_pairs(pairs: &'v [Pair<'a>]) -> Self {
        Fields(pairs)
    }

    /// The first value of this key; keys are case-sensitive. `[CS-DLIST-3]` `[CS-DLIST-13]`
    pub(crate) fn get(self, key: &str) -> Option<&'v Value<'a>> {
        self.0
            .iter()
            .find(|(name, _)| name.as_ref() == key.as_bytes())
            .map(|(_, value)| value)
    }

    pub(crate) fn text(self, key: &str) -> Option<Text> {
        text(self.get(key)?)
    }

    /// A string that may also be an explicit `NIL`.
    pub(crate) fn nullable_text(self, key: &str) -> Option<Option<Text>> {
        match self.get(key)? {
            Value::Nil => Some(None),
            value => text(value).map(Some),
        }
    }

    pub(crate) fn u64(self, key: &str) -> Option<u64> {
        number(self.get(key)?)
    }

    pub(crate) fn u32(self, key: &str) -> Option<u32> {
        u32::try_from(self.u64(key)?).ok()
    }

    pub(crate) fn date(self, key: &str) -> Option<i64> {
        date(self.get(key)?)
    }

    pub(crate) fn guid(self, key: &str) -> Option<Guid> {
        guid(self.get(key)?)
    }

    /// The items of a list; a single string, or NIL, counts as an empty one.
    pub(crate) fn items(self, key: &str) -> Option<Vec<&'v Value<'a>>> {
        Some(items(self.get(key)?).unwrap_or_default())
    }

    /// The strings of a list, others left out.
    pub(crate) fn texts(self, key: &str) -> Option<Vec<Text>> {
        Some(texts(&self.items(key)?))
    }
}

/// The string that a value is.
pub(crate) fn text(value: &Value<'_>) -> Option<Text> {
    match value {
        Value::Text(bytes) => Some(Text::copy_from(bytes)),
        _ => None,
    }
}

/// The strings among some values.
pub(crate) fn texts(items: &[&Value<'_>]) -> Vec<Text> {
    items.iter().copied().filter_map(text).collect()
}

/// The items of a list, which of a keyed one are its values; `None` when the value is no list. `[CS-DLIST-12]`
pub(crate) fn items<'v, 'a>(value: &'v Value<'a>) -> Option<Vec<&'v Value<'a>>> {
    match value {
        Value::List(items) => Some(items.iter().collect()),
        Value::KvList(pairs) => Some(pairs.iter().map(|(_, value)| value).collect()),
        _ => None,
    }
}

/// A number: nothing but digits, in 64 bits.
pub(crate) fn number(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Text(digits) => decimal(digits),
        _ => None,
    }
}

/// Seconds since the epoch; Cyrus may print them negative.
fn date(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Text(text) => match text.split_first() {
            Some((b'-', digits)) => 0i64.checked_sub_unsigned(decimal(digits)?),
            _ => i64::try_from(decimal(text)?).ok(),
        },
        _ => None,
    }
}

/// Forty hex digits.
pub(crate) fn guid(value: &Value<'_>) -> Option<Guid> {
    match value {
        Value::Text(hex) => Guid::parse(hex),
        _ => None,
    }
}

/// The GUIDs of a list; `None` when one of them is none.
pub(crate) fn guids(items: &[&Value<'_>]) -> Option<Vec<Guid>> {
    items.iter().copied().map(guid).collect()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            None
        } else {
            number.checked_mul(10)?.checked_add(u64::from(digit))
        }
    })
}

/// An annotation's entry name, without an allocation if it is one that most messages have.
pub(crate) fn annotation_entry(name: &[u8]) -> Text {
    const KNOWN: [&[u8]; 8] = [
        Annotation::THRID,
        Annotation::SAVEDATE,
        Annotation::CREATEDMODSEQ,
        Annotation::INTERNALDATE_NSEC,
        Annotation::BASETHRID,
        b"/comment",
        b"/altsubject",
        b"/vendor/cmu/cyrus-imapd/snoozed",
    ];
    match KNOWN.into_iter().find(|&known| known == name) {
        Some(known) => Text::from_static(known),
        None => Text::copy_from(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{date, number};
    use crate::grammar::Value;

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.as_bytes().into())
    }

    #[test]
    fn a_number_is_nothing_but_digits_in_range() {
        assert_eq!(number(&text("0")), Some(0));
        assert_eq!(number(&text("007")), Some(7));
        assert_eq!(number(&text("18446744073709551615")), Some(u64::MAX));
        for bad in [
            "",
            "18446744073709551616",
            "1:",
            "1/",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x1",
            "1e3",
        ] {
            assert_eq!(number(&text(bad)), None, "{bad}");
        }
        assert_eq!(number(&Value::Nil), None);
        assert_eq!(number(&Value::List(vec![text("1")])), None);
    }

    #[test]
    fn a_date_may_be_negative() {
        assert_eq!(date(&text("-9223372036854775808")), Some(i64::MIN));
        assert_eq!(date(&text("9223372036854775807")), Some(i64::MAX));
        for bad in [
            "",
            "-",
            "--1",
            "-9223372036854775809",
            "9223372036854775808",
            "+1",
        ] {
            assert_eq!(date(&text(bad)), None, "{bad}");
        }
    }
}
