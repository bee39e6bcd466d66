//! Variants of a server's imapd.conf for single programs.

use crate::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes the imapd.conf of `folder` anew beside it, with `lines` (`KEY: VALUE`) in place of those of the same key, and
/// without the line of a key alone; the name of the new file. Without lines it is the old one.
///
/// # Errors
/// When it cannot be read or written.
pub fn file(folder: &Path, lines: &[String]) -> Result<String> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let usual = "imapd.conf".to_owned();
    if lines.is_empty() {
        return Ok(usual);
    }
    let old = std::fs::read_to_string(folder.join(&usual)).map_err(Error::io("reading imapd.conf"))?;
    let name = format!("imapd-{}.conf", COUNT.fetch_add(1, Ordering::Relaxed));
    std::fs::write(folder.join(&name), changed(&old, lines)).map_err(Error::io(format!("writing {name}")))?;
    Ok(name)
}

fn changed(old: &str, lines: &[String]) -> String {
    let key = |line: &str| line.split(':').next().unwrap_or_default().trim().to_owned();
    let kept = old
        .lines()
        .filter(|line| lines.iter().all(|new| key(new) != key(line)));
    let added = lines.iter().map(String::as_str).filter(|line| line.contains(':'));
    let all = kept.chain(added);
    all.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_the_place_of_its_key() {
        let lines = ["b: 3".to_owned(), "c: 4".to_owned(), "d".to_owned()];
        assert_eq!(changed("a: 1\nb: 2\nd: 5\n", &lines), "a: 1\nb: 3\nc: 4\n");
    }
}
