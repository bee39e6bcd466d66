//! A change of one place in the sources.

use anyhow::{Result, bail, ensure};

/// The word in an edit that stands for "this fault is on".
const CONDITION: &str = "PLANTED";

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

impl Edit {
    /// Reads an edit of `file`, of which `<<<` was read already, up to `>>>`.
    ///
    /// # Errors
    /// An edit that does not end, is of no lines, or has no switch.
    pub(crate) fn read<'a>(file: String, lines: &mut impl Iterator<Item = &'a str>) -> Result<Edit> {
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

    /// The text of the file with the edit made, for the fault of this name.
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

    #[test]
    fn an_edit_fits_once_or_fails() {
        let mut lines = "b\n  c\n===\nd(PLANTED)\n>>>".lines();
        let edit = Edit::read("x.rs".to_owned(), &mut lines).expect("an edit");
        assert_eq!(edit.before, ["b", "  c"]);
        assert_eq!(
            edit.apply("a", "a\n    b\n    c\ne\n").expect("it fits"),
            "a\nd(::protocol::planted::is_on(\"a\"))\ne\n"
        );
        assert!(edit.apply("a", "a\nb\nx\nc\n").is_err());
        assert!(edit.apply("a", "b\nc\nb\nc\n").is_err());
    }

    #[test]
    fn what_could_not_be_switched_off_is_no_edit() {
        for text in ["b\n===\nd\n>>>", "b\n===\nd(PLANTED)", "\n===\nd(PLANTED)\n>>>"] {
            assert!(
                Edit::read("x.rs".to_owned(), &mut text.lines()).is_err(),
                "{text}"
            );
        }
    }
}
