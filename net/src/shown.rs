//! Words of other machines as people see them: on a terminal nothing of them works, it is only seen. [CS-NAME-9]

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character works on a terminal instead of being seen: controls, and changes of direction.
pub fn is_risky(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with risky characters, line ends and tabs excepted, as JSON writes them (`\u001b`).
pub fn tame(text: &str) -> Cow<'_, str> {
    let works = |c: char| !matches!(c, '\n' | '\t') && is_risky(c);
    if !text.contains(works) {
        return Cow::Borrowed(text);
    }
    let mut tame = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if works(c) {
            // Writing to a string cannot fail.
            let _ = write!(tame, "\\u{:04x}", u32::from(c));
        } else {
            tame.push(c);
        }
    }
    Cow::Owned(tame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_is_seen() {
        assert_eq!(tame("Entwürfe\tx\n"), "Entwürfe\tx\n");
        assert_eq!(
            tame("\u{1b}[31m\u{7}\r\u{9b}5m\u{202e}"),
            "\\u001b[31m\\u0007\\u000d\\u009b5m\\u202e"
        );
    }
}
