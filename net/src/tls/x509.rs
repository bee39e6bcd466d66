//! The few fields of a certificate that messages and logins need: names and dates. Nothing here decides about trust.

use std::fmt;

/// Fields of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Certificate {
    /// Whose it is.
    pub(super) subject: Name,
    /// Who issued it.
    pub(super) issuer: Name,
    /// First second it is valid in, since the epoch.
    pub(super) not_before: i64,
    /// Last one.
    pub(super) not_after: i64,
}

impl Certificate {
    /// Reads a certificate in DER; `None` when it is none.
    pub(super) fn parse(der: &[u8]) -> Option<Certificate> {
        let mut outer = Der(der);
        let mut whole = Der(outer.expect(SEQUENCE)?);
        let mut fields = Der(whole.expect(SEQUENCE)?);
        fields.skip_if(VERSION);
        fields.expect(INTEGER)?;
        fields.expect(SEQUENCE)?;
        let issuer = Name::parse(fields.expect(SEQUENCE)?)?;
        let mut validity = Der(fields.expect(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = Name::parse(fields.expect(SEQUENCE)?)?;
        Some(Certificate {
            subject,
            issuer,
            not_before,
            not_after,
        })
    }

    /// The user name that the certificate stands for: its one common name. `None` when there is none or more than one,
    /// or when it holds what a name cannot. [CS-AUTH-14]
    pub(super) fn identity(&self) -> Option<&str> {
        let mut names = self.subject.values(COMMON_NAME);
        let name = names.next()?;
        let sound = !name.is_empty() && !name.chars().any(|c| c.is_control() || c == '\u{fffd}');
        (sound && names.next().is_none()).then_some(name)
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
}

/// A distinguished name: its attributes in order, as (object identifier's bytes, text).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name(Vec<(Vec<u8>, String)>);

const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// Short names of usual attributes.
const SHOWN: [(&[u8], &str); 7] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

impl Name {
    fn parse(der: &[u8]) -> Option<Name> {
        let mut attributes = Vec::new();
        let mut sets = Der(der);
        while !sets.0.is_empty() {
            let mut set = Der(sets.expect(SET)?);
            while !set.0.is_empty() {
                let mut pair = Der(set.expect(SEQUENCE)?);
                let kind = pair.expect(OBJECT_IDENTIFIER)?.to_vec();
                let (tag, value) = pair.next()?;
                attributes.push((kind, text(tag, value)));
            }
        }
        Some(Name(attributes))
    }

    fn values(&self, kind: &[u8]) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == kind)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for (kind, value) in &self.0 {
            if let Some((_, short)) = SHOWN.iter().find(|(known, _)| known == kind) {
                let separator = if shown > 0 { ", " } else { "" };
                write!(f, "{separator}{short}={}", value.escape_debug())?;
                shown += 1;
            }
        }
        if shown == 0 {
            f.write_str("nobody (empty name)")?;
        }
        Ok(())
    }
}

/// Seconds since the epoch as a date for people: `2026-11-23 11:05 UTC`.
pub(super) fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of the year 0, in eras of 400 years; a year begins in March, so that its odd day is its last.
    let since = days + 719_468;
    let (era, day_of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60
    )
}

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// Values one after the other, in distinguished encoding rules.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value with its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let count = usize::from(first & 0x7f);
            if !(1..=4).contains(&count) {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            let length = bytes
                .iter()
                .fold(0usize, |length, &byte| (length << 8) | usize::from(byte));
            (length, rest)
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, value)| value)
    }

    fn skip_if(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}

/// Text of the kinds that names are made of; what is no such text shows U+FFFD, which no name may hold.
fn text(tag: u8, value: &[u8]) -> String {
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => String::from_utf8_lossy(value).into_owned(),
        _ => "\u{fffd}".to_owned(),
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, the forms that certificates may use.
fn time((tag, value): (u8, &[u8])) -> Option<i64> {
    let (&zone, digits) = value.split_last()?;
    if zone != b'Z' || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut numbers = digits.chunks(2).map(|pair| {
        pair.iter()
            .fold(0i64, |number, &digit| number * 10 + i64::from(digit - b'0'))
    });
    let mut next = || numbers.next();
    let year = match (tag, digits.len()) {
        (UTC_TIME, 12) => match next()? {
            year @ 0..50 => 2000 + year,
            year => 1900 + year,
        },
        (GENERALIZED_TIME, 14) => next()? * 100 + next()?,
        _ => return None,
    };
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    if !(1..=12).contains(&month) {
        return None;
    }
    let (from_march, year) = if month > 2 {
        (month - 3, year)
    } else {
        (month + 9, year - 1)
    };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(change: impl FnOnce(&mut rcgen::CertificateParams)) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::default();
        change(&mut params);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn names_and_dates_are_read() {
        let der = certificate(|params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params
                .distinguished_name
                .push(rcgen::DnType::OrganizationName, "Müller & Co");
            params.distinguished_name.push(rcgen::DnType::CommonName, "repl");
            params.not_before = rcgen::date_time_ymd(2024, 2, 29);
            params.not_after = rcgen::date_time_ymd(2051, 12, 31);
        });
        let read = Certificate::parse(&der).expect("a certificate");
        assert_eq!(read.identity(), Some("repl"));
        assert_eq!(read.subject.to_string(), "O=Müller & Co, CN=repl");
        assert!(read.is_self_issued());
        assert_eq!(date(read.not_before), "2024-02-29 00:00 UTC");
        assert_eq!(date(read.not_after), "2051-12-31 00:00 UTC");
    }

    #[test]
    fn names_that_stand_for_nobody() {
        for name in ["", "a\0b", "a\nb"] {
            let der = certificate(|params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(rcgen::DnType::CommonName, name);
            });
            assert_eq!(
                Certificate::parse(&der).expect("a certificate").identity(),
                None,
                "{name:?}"
            );
        }
        let two = Certificate {
            subject: Name(vec![
                (COMMON_NAME.to_vec(), "a".to_owned()),
                (COMMON_NAME.to_vec(), "b".to_owned()),
            ]),
            issuer: Name(Vec::new()),
            not_before: 0,
            not_after: 0,
        };
        assert_eq!(two.identity(), None);
        assert_eq!(two.issuer.to_string(), "nobody (empty name)");
    }

    #[test]
    fn dates_for_people() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (4_102_444_800, "2100-01-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), shown);
        }
    }

    proptest! {
        #[test]
        fn dates_are_read_as_they_are_shown(seconds in 0i64..4_000_000_000) {
            let shown = date(seconds);
            let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
            let text = format!("{digits}00Z");
            prop_assert_eq!(time((GENERALIZED_TIME, text.as_bytes())), Some(seconds - seconds % 60));
        }

        #[test]
        fn broken_certificates_never_panic(at in 0usize..600, byte: u8, cut in 0usize..600) {
            let mut der = certificate(|_| {});
            if let Some(place) = der.get_mut(at) {
                *place = byte;
            }
            let _ = Certificate::parse(&der);
            let _ = Certificate::parse(&der[..cut.min(der.len())]);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Certificate::parse(&bytes);
        }
    }
}
