//! One bug of the simulator's: what is broken and who has to find it, and the fault that is planted.
//!
//! ```text
//! title: An OK goes out before the commit
//! breaks: CS-APPLY-2
//! profile: pair
//! found by: what was said to be done is there
//! ```
//!
//! stands in front of the edits that [`planted`] describes.

use anyhow::Result;
use clap::ValueEnum;
use planted::Fault;

use crate::plan::Profile;

/// The keys of the head.
pub(super) const KEYS: [&str; 4] = ["title", "breaks", "profile", "found by"];

/// A planted bug.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bug {
    /// What is planted.
    pub fault: Fault,
    /// What is broken, for people.
    pub title: String,
    /// Ids of the spec's rules that it breaks.
    pub breaks: Vec<String>,
    /// The profile whose seeds find it.
    pub profile: Profile,
    /// The rules of the judge of which one has to find it.
    pub found_by: Vec<String>,
}

impl Bug {
    /// The bug that a fault is.
    ///
    /// # Errors
    /// What its head lacks.
    pub fn of(fault: Fault) -> Result<Bug> {
        let profile = fault.value("profile")?;
        Ok(Bug {
            title: fault.value("title")?.to_owned(),
            breaks: fault.list("breaks")?,
            profile: Profile::from_str(profile, false)
                .map_err(|_| anyhow::anyhow!("there is no profile {profile}"))?,
            found_by: fault.list("found by")?,
            fault,
        })
    }

    /// Its name, that of its file.
    pub fn name(&self) -> &str {
        &self.fault.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "title: A\nbreaks: CS-APPLY-2; CS-CRC-1\nprofile: pair\nfound by: one; other\n\nfile: x.rs\n<<<\nb\n===\nd(PLANTED)\n>>>\n";

    fn read(text: &str) -> Result<Bug> {
        Bug::of(Fault::parse("a".to_owned(), text, &KEYS)?)
    }

    #[test]
    fn a_bug_is_read() {
        let bug = read(TEXT).expect("a bug");
        assert_eq!(bug.name(), "a");
        assert_eq!(bug.found_by, ["one", "other"]);
        assert_eq!(bug.breaks, ["CS-APPLY-2", "CS-CRC-1"]);
        assert!(read(&TEXT.replace("title: A\n", "")).is_err());
        assert!(read(&TEXT.replace("pair", "pears")).is_err());
    }
}
