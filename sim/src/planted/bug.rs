//! One bug: a head that says what is broken and who has to find it, and edits of source files.
//!
//! ```text
//! title: An OK goes out before the commit
//! breaks: CS-APPLY-2
//! profile: pair
//! found by: what was said to be done is there
//!
//! file: engine/src/replica/batch.rs
//! <<<
//! lines as they are
//! ===
//! lines as they become, where PLANTED is a condition that is true when the bug is on
//! >>>
//! ```
//!
//! All bugs are built at once, and a run switches one on: so no two may be in the same lines, and each has to leave the code as
//! it was while it is off.
//!
//! Lines are compared without the space around them, so that a change of indentation does no harm; any other change of
//! these lines makes the edit fail, and a test says so.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::plan::Profile;

/// The word in an edit that stands for "this bug is on".
const CONDITION: &str = "PLANTED";

/// A planted bug.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bug {
    /// Its name, that of its file.
    pub name: String,
    /// What is broken, for people.
    pub title: String,
    /// Ids of the spec's rules that it breaks.
    pub breaks: Vec<String>,
    /// The profile whose seeds find it.
    pub profile: Profile,
    /// The rules of the judge of which one has to find it.
    pub found_by: Vec<String>,
    /// The edits, in order.
    pub edits: Vec<Edit>,
}

/// A change of one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The file, from the root of the sources.
    pub file: String,
    /// Lines that are there exactly once.
    pub before: Vec<String>,
    /// What they become.
    pub after: Vec<String>,
}

impl Bug {
    /// Reads a bug.
    ///
    /// # Errors
    /// What its head lacks, or which line makes no sense.
    pub fn parse(name: String, text: &str) -> Result<Bug> {
        let mut head = Vec::new();
        let mut edits = Vec::new();
        let mut file = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim().is_empty() {
                continue;
            }
            if line == "<<<" {
                let file: Option<String> = file.clone();
                let file = file.context("an edit comes before the file it is of")?;
                edits.push(edit(file, &mut lines)?);
            } else if let Some(named) = line.strip_prefix("file: ") {
                file = Some(named.trim().to_owned());
            } else if let Some((key, value)) = line.split_once(": ") {
                head.push((key, value.trim()));
            } else {
                bail!("this line is neither a key with its value nor the beginning of an edit: {line}");
            }
        }
        ensure!(!edits.is_empty(), "there is no edit");
        let value = |key: &str| {
            let found = head.iter().find(|(named, _)| *named == key);
            found
                .map(|(_, value)| *value)
                .with_context(|| format!("the head has no `{key}`"))
        };
        let list = |key: &str| -> Result<Vec<String>> {
            let items = value(key)?.split("; ");
            Ok(items.map(|item| item.trim().to_owned()).collect())
        };
        let profile = value("profile")?;
        Ok(Bug {
            title: value("title")?.to_owned(),
            breaks: list("breaks")?,
            profile: Profile::from_str(profile, false)
                .map_err(|_| anyhow::anyhow!("there is no profile {profile}"))?,
            found_by: list("found by")?,
            name,
            edits,
        })
    }
}

fn edit<'a>(file: String, lines: &mut impl Iterator<Item = &'a str>) -> Result<Edit> {
    let mut part = |end: &str| -> Result<Vec<String>> {
        let mut part = Vec::new();
        for line in lines.by_ref() {
            if line == end {
                return Ok(part);
            }
            part.push(line.to_owned());
        }
        bail!("an edit of {file} has no line `{end}`")
    };
    let (before, after) = (part("===")?, part(">>>")?);
    ensure!(
        after.iter().any(|line| line.contains(CONDITION)),
        "an edit of {file} does not say {CONDITION}, so it could not be switched off"
    );
    ensure!(
        before.iter().any(|line| !line.trim().is_empty()),
        "an edit of {file} does not say which lines it is of"
    );
    Ok(Edit { file, before, after })
}

impl Edit {
    /// The text of the file with the edit made, for the bug of this name.
    ///
    /// # Errors
    /// When the lines are not there exactly once.
    pub fn apply(&self, name: &str, text: &str) -> Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let is_here = |at: &usize| {
            let here = lines.iter().skip(*at).map(|line| line.trim());
            here.take(self.before.len())
                .eq(self.before.iter().map(|line| line.trim()))
        };
        let places: Vec<usize> = (0..lines.len()).filter(is_here).collect();
        let [at] = places.as_slice() else {
            bail!(
                "{} has the lines of this edit {} times, and should have them once:\n{}",
                self.file,
                places.len(),
                self.before.join("\n")
            );
        };
        let kept = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let switch = super::switch(name);
        let after = self.after.iter().map(|line| line.replace(CONDITION, &switch));
        let after: String = after.map(|line| format!("{line}\n")).collect();
        Ok([
            kept(&lines[..*at]),
            after,
            kept(&lines[*at + self.before.len()..]),
        ]
        .concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title: A\nbreaks: CS-APPLY-2; CS-CRC-1\nprofile: pair\nfound by: one; other\n\nfile: x.rs\n<<<\nb\n  c\n===\nd(PLANTED)\n>>>\n";

    #[test]
    fn a_bug_is_read() {
        let bug = Bug::parse("a".to_owned(), TEXT).expect("a bug");
        assert_eq!(bug.found_by, ["one", "other"]);
        assert_eq!(bug.breaks, ["CS-APPLY-2", "CS-CRC-1"]);
        assert_eq!(bug.edits[0].before, ["b", "  c"]);
        assert!(Bug::parse("a".to_owned(), &TEXT.replace("title", "titel")).is_err());
        assert!(Bug::parse("a".to_owned(), &TEXT.replace(">>>", "")).is_err());
        assert!(Bug::parse("a".to_owned(), &TEXT.replace("PLANTED", "")).is_err());
    }

    #[test]
    fn an_edit_fits_once_or_fails() {
        let bug = Bug::parse("a".to_owned(), TEXT).expect("a bug");
        let edit = &bug.edits[0];
        assert_eq!(
            edit.apply("a", "a\n    b\n    c\ne\n").expect("it fits"),
            "a\nd(::protocol::planted::is_on(\"a\"))\ne\n"
        );
        assert!(edit.apply("a", "a\nb\nx\nc\n").is_err());
        assert!(edit.apply("a", "b\nc\nb\nc\n").is_err());
    }
}
