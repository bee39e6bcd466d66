//! Text for the page: nothing that comes from outside reaches it unescaped.

use std::fmt;

use crate::health::span;

/// Escapes text for HTML, in elements and in quoted attributes. Controls and characters that turn the direction of
/// writing are shown as codes, so that no name can look like another one.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ if c.is_control() || is_invisible(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                _ => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}

/// The same for a message: what stands between backticks is set as code.
pub struct Message<'a>(pub &'a str);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((before, behind)) = rest.split_once('`') {
            let Some((code, after)) = behind.split_once('`') else {
                break;
            };
            write!(f, "{}<code>{}</code>", Escaped(before), Escaped(code))?;
            rest = after;
        }
        write!(f, "{}", Escaped(rest))
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A moment as its age, with the exact time behind it.
pub fn ago(at_ms: u64, now_ms: u64) -> String {
    let age_ms = now_ms.saturating_sub(at_ms);
    let age = if age_ms < 1000 {
        "now".to_owned()
    } else {
        format!("{} ago", span(age_ms))
    };
    format!(
        "<time datetime=\"{0}\" title=\"{1}\">{age}</time>",
        Utc(at_ms, 'T', "Z"),
        Utc(at_ms, ' ', " UTC")
    )
}

/// A moment in UTC: milliseconds since the epoch, what stands between date and time, what stands behind.
pub struct Utc(pub u64, pub char, pub &'static str);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}{}{hour:02}:{minute:02}:{second:02}{}",
            self.1, self.2
        )
    }
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day is a year's last one; 719,468 days lie before 1970.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// `1 234 567` with narrow spaces that do not break.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Bytes in decimal units.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let (mut value, mut unit) = (number as f64 / 1000.0, 0);
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_through() {
        let text = Escaped("<script>alert(\"1\" & '2')</script>\u{202e}\n\u{1b}[31m").to_string();
        assert_eq!(
            text,
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;\\u{202e}\\u{a}\\u{1b}[31m"
        );
    }

    #[test]
    fn code_in_messages() {
        for (text, html) in [
            (
                "run `a <b>`, then `c`.",
                "run <code>a &lt;b&gt;</code>, then <code>c</code>.",
            ),
            ("a lone ` stays", "a lone ` stays"),
            ("`</code>`", "<code>&lt;/code&gt;</code>"),
            ("", ""),
        ] {
            assert_eq!(Message(text).to_string(), html);
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (1_798_761_600, "2027-01-01 00:00:00"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(Utc(seconds * 1000, ' ', "").to_string(), text);
        }
        let _ = Utc(u64::MAX, ' ', "").to_string();
    }

    #[test]
    fn numbers() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(bytes(999_950), "1.0 MB");
    }
}
