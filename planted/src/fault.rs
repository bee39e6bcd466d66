//! One fault: a head for whoever judges, and edits of source files.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::Edit;

/// A planted fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Its name, that of its file.
    pub name: String,
    /// Keys and values of its head, in order.
    head: Vec<(String, String)>,
    /// The edits, in order; at least one.
    pub edits: Vec<Edit>,
}

impl Fault {
    /// Reads a fault, whose head may have these keys, each once.
    ///
    /// # Errors
    /// Which line makes no sense, or that there is no edit.
    pub fn parse(name: String, text: &str, keys: &[&str]) -> Result<Fault> {
        let mut head: Vec<(String, String)> = Vec::new();
        let mut edits = Vec::new();
        let mut file: Option<String> = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim().is_empty() {
                continue;
            }
            if line == "<<<" {
                let file = file.clone().context("an edit comes before the file it is of")?;
                edits.push(Edit::read(file, &mut lines)?);
            } else if let Some(named) = line.strip_prefix("file: ") {
                file = Some(named.trim().to_owned());
            } else if let Some((key, value)) = line.split_once(": ") {
                ensure!(
                    keys.contains(&key),
                    "there is no key `{key}`; write {}",
                    keys.join(", ")
                );
                ensure!(
                    head.iter().all(|(known, _)| known != key),
                    "the key `{key}` is there twice"
                );
                head.push((key.to_owned(), value.trim().to_owned()));
            } else {
                bail!("this line is neither a key with its value nor the beginning of an edit: {line}");
            }
        }
        ensure!(!edits.is_empty(), "there is no edit");
        Ok(Fault { name, head, edits })
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the head lacks it.
    pub fn value(&self, key: &str) -> Result<&str> {
        let found = self.head.iter().find(|(named, _)| named == key);
        found
            .map(|(_, value)| value.as_str())
            .with_context(|| format!("the head has no `{key}`"))
    }

    /// The value of a key, as a list divided by `; `.
    ///
    /// # Errors
    /// When the head lacks it.
    pub fn list(&self, key: &str) -> Result<Vec<String>> {
        let items = self.value(key)?.split("; ");
        Ok(items.map(|item| item.trim().to_owned()).collect())
    }
}

/// All faults of a folder, by name: its files that end in `.extension`.
///
/// # Errors
/// What cannot be read, or is no fault as [`Fault::parse`] wants it.
pub fn all(folder: &Path, extension: &str, keys: &[&str]) -> Result<Vec<Fault>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut faults = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_none_or(|found| found != extension) {
            continue;
        }
        let name = path.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        faults.push(Fault::parse(name, &text, keys).with_context(|| path.display().to_string())?);
    }
    faults.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "title: A\nbreaks: CS-APPLY-2; CS-CRC-1\n\nfile: x.rs\n<<<\nb\n  c\n===\nd(PLANTED)\n>>>\n";

    fn read(text: &str) -> Result<Fault> {
        Fault::parse("a".to_owned(), text, &["title", "breaks"])
    }

    #[test]
    fn a_fault_is_read() {
        let fault = read(TEXT).expect("a fault");
        assert_eq!(fault.value("title").expect("it is there"), "A");
        assert_eq!(
            fault.list("breaks").expect("it is there"),
            ["CS-APPLY-2", "CS-CRC-1"]
        );
        assert!(fault.value("profile").is_err());
        assert_eq!(fault.edits[0].before, ["b", "  c"]);
    }

    #[test]
    fn what_is_none_says_why() {
        assert!(read(&TEXT.replace("title", "titel")).is_err());
        assert!(read(&TEXT.replace("breaks", "title")).is_err());
        assert!(read(&TEXT.replace(">>>", "")).is_err());
        assert!(read(&TEXT.replace("PLANTED", "")).is_err());
        assert!(read("title: A\n").is_err());
    }
}
