//! Values: switches and durations, read as Cyrus reads them.

use std::time::Duration;

/// Why a value cannot be read; the texts follow "NAME: ".
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ValueError {
    /// Not a switch.
    #[error("write `yes` or `no`")]
    Switch,
    /// Not a duration.
    #[error("write a duration such as `90`, `30m` or `1h30m` (units d, h, m, s)")]
    Duration,
}

/// A switch: decided by how it begins, in lower case: `y`, `t`, `1`, `on` are yes; `n`, `f`, `0`, `of` are no.
///
/// # Errors
/// Anything else.
pub fn parse_bool(text: &str) -> Result<bool, ValueError> {
    match text.as_bytes() {
        [b'1' | b'y' | b't', ..] | [b'o', b'n', ..] => Ok(true),
        [b'0' | b'n' | b'f', ..] | [b'o', b'f', ..] => Ok(false),
        _ => Err(ValueError::Switch),
    }
}

/// A duration: digits with units `d h m s`, combined at will; a bare number counts `unit`s, one of those letters.
///
/// # Errors
/// No digits, another unit, or more than 2,147,483,647 seconds.
pub fn parse_duration(text: &str, unit: u8) -> Result<Duration, ValueError> {
    let mut seconds = 0u64;
    let mut number: Option<u64> = None;
    let bytes = text.as_bytes();
    let implied = bytes.last().is_some_and(u8::is_ascii_digit).then_some(unit);
    for byte in bytes.iter().copied().chain(implied) {
        if byte.is_ascii_digit() {
            let digit = u64::from(byte - b'0');
            number = Some(
                number
                    .unwrap_or(0)
                    .checked_mul(10)
                    .and_then(|n| n.checked_add(digit))
                    .ok_or(ValueError::Duration)?,
            );
            continue;
        }
        let factor = match byte {
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(ValueError::Duration),
        };
        let number = number.take().ok_or(ValueError::Duration)?;
        seconds = number
            .checked_mul(factor)
            .and_then(|n| n.checked_add(seconds))
            .ok_or(ValueError::Duration)?;
    }
    if bytes.is_empty() || seconds > i32::MAX as u64 {
        return Err(ValueError::Duration);
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches() {
        for yes in ["yes", "y", "1", "true", "t", "on"] {
            assert_eq!(parse_bool(yes), Ok(true), "{yes}");
        }
        for no in ["no", "n", "0", "false", "f", "off"] {
            assert_eq!(parse_bool(no), Ok(false), "{no}");
        }
        for bad in ["", "o", "Yes", "2", "maybe"] {
            assert_eq!(parse_bool(bad), Err(ValueError::Switch), "{bad}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("90", 90),
            ("30m", 1800),
            ("1h30m", 5400),
            ("1d", 86_400),
            ("1m1", 61),
            ("0", 0),
            ("5s5s", 10),
        ] {
            assert_eq!(
                parse_duration(text, b's'),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("30", b'm'), Ok(Duration::from_secs(1800)));
        for bad in [
            "",
            "m",
            "-5",
            "5w",
            "5 m",
            "99999999999999999999",
            "2147483648",
            "1hm",
        ] {
            assert_eq!(parse_duration(bad, b's'), Err(ValueError::Duration), "{bad}");
        }
    }
}
