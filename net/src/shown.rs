//! Words of other machines as people see them: on a terminal nothing of them works, it is only seen. [CS-NAME-9]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a character works on a terminal instead of being seen: controls, and changes of direction.
pub fn is_risky(c: char) -> bool {
    c.is_control() || turns(c)
}

/// Whether a character changes the direction of what stands behind it.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with risky characters, line ends and tabs excepted, as JSON writes them (`\u001b`).
pub fn tame(text: &str) -> Cow<'_, str> {
    escape(text, |c| !matches!(c, '\n' | '\t') && is_risky(c))
}

fn escape(text: &str, works: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&works) {
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

/// Where log lines go: changes of direction are made visible there. Controls of other machines are escaped before, and
/// colours are the log's own.
#[derive(Debug)]
pub struct Straight<W>(pub W);

impl<W: Write> Write for Straight<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.is_ascii() => self.0.write_all(escape(text, turns).as_bytes())?,
            _ => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
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
    #[test]
    fn lines_go_one_way() {
        let mut line = Straight(Vec::new());
        line.write_all("\u{1b}[31m ü \u{202e}evil\n".as_bytes())
            .expect("written");
        assert_eq!(line.0, "\u{1b}[31m ü \\u202eevil\n".as_bytes());
    }
}
