//! Dates of mbox `From ` lines and message headers, as seconds since the epoch.

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn month(word: &str) -> Option<i64> {
    const NAMES: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let word = word.to_ascii_lowercase();
    NAMES
        .iter()
        .position(|name| *name == word)
        .map(|at| at as i64 + 1)
}

/// `hh:mm` or `hh:mm:ss` as seconds.
fn clock(word: &str) -> Option<i64> {
    let mut parts = word.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    (parts.next().is_none() && hour < 24 && minute < 60 && second <= 60)
        .then_some(hour * 3600 + minute * 60 + second)
}

/// `+hhmm`, `-hhmm`, or a name, as seconds east.
fn zone(word: &str) -> Option<i64> {
    if let "UT" | "UTC" | "GMT" | "Z" = word {
        return Some(0);
    }
    let sign = if word.starts_with('-') { -1 } else { 1 };
    let digits = word.strip_prefix(['+', '-']).filter(|d| d.len() == 4)?;
    let all = number(digits, 4)?;
    Some(sign * (all / 100 * 3600 + all % 100 * 60))
}

fn number(word: &str, digits_max: usize) -> Option<i64> {
    let fine = !word.is_empty() && word.len() <= digits_max && word.bytes().all(|b| b.is_ascii_digit());
    fine.then(|| word.parse().ok())?
}

fn date(year: i64, month: i64, day: i64, seconds: i64) -> Option<i64> {
    let plausible = (1..=31).contains(&day) && (1900..=9999).contains(&year);
    plausible.then(|| days(year, month, day) * 86_400 + seconds)
}

/// The date behind the sender of a `From ` line: `Thu Jan  1 00:00:00 1970`, with a zone before or behind the year or
/// without one (then UTC). The sender may hold spaces. `None` when the line has none and thus begins no message.
pub fn of_from_line(line: &str) -> Option<i64> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let at = words.iter().enumerate().skip(1).position(|(at, word)| {
        clock(word).is_some()
            && at >= 2
            && month(words[at - 2]).is_some()
            && number(words[at - 1], 2).is_some()
    })? + 1;
    let (month, day, seconds) = (
        month(words[at - 2])?,
        number(words[at - 1], 2)?,
        clock(words[at])?,
    );
    let behind = words.get(at + 1..)?;
    let year_at = behind
        .iter()
        .take(2)
        .position(|word| word.len() == 4 && number(word, 4).is_some())?;
    let year = number(behind[year_at], 4)?;
    let zone_word = if year_at == 1 {
        behind.first()
    } else {
        behind.get(1)
    };
    let offset = zone_word.and_then(|word| zone(word)).unwrap_or(0);
    date(year, month, day, seconds - offset)
}

/// A `Date` header's value: `[Thu,] 1 Jan 1970 00:00:00 +0000`.
pub fn of_header(value: &str) -> Option<i64> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let words = if words.first()?.ends_with(',') {
        &words[1..]
    } else {
        &words[..]
    };
    let (day, month, year) = (
        number(words.first()?, 2)?,
        month(words.get(1)?)?,
        number(words.get(2)?, 4)?,
    );
    let year = match year {
        0..50 => year + 2000,
        50..1000 => year + 1900,
        _ => year,
    };
    let offset = words.get(4).and_then(|word| zone(word)).unwrap_or(0);
    date(year, month, day, clock(words.get(3)?)? - offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_lines() {
        for (line, time) in [
            ("From jane@example.org Thu Jan  1 00:00:00 1970", 0),
            ("From jane@example.org Sat Sep  9 01:46:40 2001", 1_000_000_000),
            (
                "From jane@example.org Sat Sep  9 03:46:40 2001 +0200",
                1_000_000_000,
            ),
            (
                "From jane@example.org Sat Sep  9 01:46:40 UTC 2001",
                1_000_000_000,
            ),
            ("From MAILER DAEMON Sat Sep  9 01:46 2001", 999_999_960),
            ("From  Thu Feb 29 12:00:00 2024", 1_709_208_000),
        ] {
            assert_eq!(of_from_line(line), Some(time), "{line}");
        }
        for none in [
            "From now on",
            "From ",
            "From jane Sat Sep 9 2001",
            "From jane Sat Foo 9 01:46:40 2001",
            "From 10:00 x",
        ] {
            assert_eq!(of_from_line(none), None, "{none}");
        }
    }

    #[test]
    fn headers() {
        for (value, time) in [
            ("Sun, 9 Sep 2001 01:46:40 +0000", 1_000_000_000),
            (" 9 Sep 2001 03:46:40 +0200 (CEST)", 1_000_000_000),
            ("Sat, 08 Sep 2001 18:46:40 -0700", 1_000_000_000),
            ("1 Jan 70 00:00 GMT", 0),
        ] {
            assert_eq!(of_header(value), Some(time), "{value}");
        }
        for none in [
            "",
            "yesterday",
            "Sun, 32 Sep 2001 01:46:40 +0000",
            "Sun, 9 Sep 2001 25:46:40 +0000",
        ] {
            assert_eq!(of_header(none), None, "{none}");
        }
    }
}
