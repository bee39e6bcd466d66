//! What a run can find, and why a step can end early.

use std::fmt;

use engine::ticket::StoreError;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Something that must never be.
    Safety,
    /// Something that must come about and did not.
    Liveness,
    /// A panic.
    Crash,
}

/// A rule of the storage ring.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// After a crash or failure the store opens by itself.
    Opens,
    /// The store's own check finds nothing wrong.
    Verifies,
    /// What was acknowledged is there, and nothing else is, but for what was about to be acknowledged: all of it or none.
    Exact,
    /// Answers are those of the model.
    Answers,
    /// A failure of the disk is told as what it is.
    Told,
    /// When the disk works, so does the store.
    WorksAgain,
    /// Nothing is left over from what did not come about.
    Tidy,
    /// A damaged byte is told, or shows nowhere.
    Damage,
    /// Master and replica are equal in the end.
    Equal,
    /// Nothing panics.
    NoPanic,
}

impl Rule {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Opens => "the store opens again",
            Rule::Verifies => "verify finds nothing",
            Rule::Exact => "what was acknowledged is there, exactly",
            Rule::Answers => "answers are the model's",
            Rule::Told => "a failure is told as what it is",
            Rule::WorksAgain => "the store works when the disk does",
            Rule::Tidy => "nothing is left over",
            Rule::Damage => "damage is told",
            Rule::Equal => "in the end all are equal",
            Rule::NoPanic => "nothing panics",
        }
    }

    /// How bad breaking it is.
    pub fn severity(self) -> Severity {
        match self {
            Rule::Verifies | Rule::Exact | Rule::Answers | Rule::Told | Rule::Damage => Severity::Safety,
            Rule::Opens | Rule::WorksAgain | Rule::Tidy | Rule::Equal => Severity::Liveness,
            Rule::NoPanic => Severity::Crash,
        }
    }
}

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which.
    pub rule: Rule,
    /// What was seen.
    pub text: String,
}

impl Finding {
    /// Of this rule.
    pub fn new(rule: Rule, text: impl Into<String>) -> Self {
        let text = text.into();
        Finding { rule, text }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.text)
    }
}

/// Why a step ended early.
#[derive(Debug)]
pub enum Halt {
    /// The disk failed or crashed, and the store said so.
    Disk(StoreError),
    /// Store and model refused, in the same words.
    Refused(StoreError),
    /// A broken rule.
    Finding(Finding),
}

impl From<Finding> for Halt {
    fn from(finding: Finding) -> Self {
        Halt::Finding(finding)
    }
}
