//! What a run of the suite found, as data, and its forms for people and for programs.

pub mod html;
pub mod json;
pub mod junit;
pub mod table;

use super::play::Event;
use std::time::Duration;

/// What is said of one scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As the spec asks.
    Pass,
    /// Not as the spec asks, and the profile explains it.
    Deviates,
    /// Left out, with a reason.
    Skipped,
    /// Not as the spec asks, nor as the profile says.
    Fail,
    /// As the spec asks, though the profile says otherwise.
    UnexpectedPass,
    /// The suite could not tell.
    Error,
}

impl Verdict {
    /// All of them, in the order of reports.
    pub const ALL: [Verdict; 6] = [
        Verdict::Pass,
        Verdict::Deviates,
        Verdict::Skipped,
        Verdict::Fail,
        Verdict::UnexpectedPass,
        Verdict::Error,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Deviates => "deviates-as-known",
            Verdict::Skipped => "skipped",
            Verdict::Fail => "fail",
            Verdict::UnexpectedPass => "unexpected-pass",
            Verdict::Error => "error",
        }
    }

    /// Whether somebody has to look at it.
    pub fn is_bad(self) -> bool {
        matches!(self, Verdict::Fail | Verdict::UnexpectedPass | Verdict::Error)
    }
}

/// A scenario with its verdict.
#[derive(Debug, Clone)]
pub struct Judged {
    /// `subject/behaviour`, perhaps with `@variant`.
    pub name: String,
    /// Its subject.
    pub subject: String,
    /// What must hold.
    pub about: String,
    /// Its file, below the folder of scenarios.
    pub file: String,
    /// The rules that it shows: id and text.
    pub rules: Vec<(String, String)>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why: of a skip, an error, or a known deviation.
    pub reason: String,
    /// What else shows a known deviation.
    pub evidence: String,
    /// Where scenario and server part.
    pub difference: Option<Difference>,
    /// All that was said.
    pub transcript: Vec<Event>,
    /// How long it took.
    pub took: Duration,
}

/// Where scenario and server part.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Line of the scenario's file.
    pub line: usize,
    /// That line.
    pub expected: String,
    /// What came instead.
    pub heard: String,
    /// Where they part, in words.
    pub why: String,
}

/// A run of the suite.
#[derive(Debug, Clone)]
pub struct Report {
    /// `server` or `client`: what was judged.
    pub judges: String,
    /// Its address or command.
    pub target: String,
    /// What it says of itself: the last line of the banner.
    pub greeting: String,
    /// The profile's name; empty without one.
    pub profile: String,
    /// What the profile is about.
    pub profile_about: String,
    /// How often each scenario was played.
    pub runs: u32,
    /// All scenarios, in the order of their names.
    pub scenarios: Vec<Judged>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// The subjects, in the order of their names.
    pub fn subjects(&self) -> Vec<&str> {
        let mut subjects: Vec<&str> = self.scenarios.iter().map(|one| one.subject.as_str()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    /// How many scenarios of a subject, or of all, have a verdict.
    pub fn count(&self, subject: Option<&str>, verdict: Verdict) -> usize {
        let is_meant = |one: &&Judged| subject.is_none_or(|subject| subject == one.subject);
        self.scenarios
            .iter()
            .filter(is_meant)
            .filter(|one| one.verdict == verdict)
            .count()
    }

    /// Whether nobody has to look at anything.
    pub fn is_good(&self) -> bool {
        !self.scenarios.iter().any(|one| one.verdict.is_bad())
    }
}

/// Bytes for people: ASCII as it is, the rest escaped; of very long ones the beginning and the length.
pub fn shown(bytes: &[u8]) -> String {
    crate::error_text(bytes, SHOWN_BYTES)
}

/// Bytes of one line that a report shows.
const SHOWN_BYTES: usize = 4000;

#[cfg(test)]
pub(crate) mod tests {
    use super::super::play::Side;
    use super::*;

    pub(crate) fn report() -> Report {
        let one = |name: &str, verdict: Verdict| Judged {
            name: name.to_owned(),
            subject: "get".to_owned(),
            about: "a & b".to_owned(),
            file: format!("{name}.csync"),
            rules: vec![("CS-GET-6".to_owned(), "the rule".to_owned())],
            verdict,
            reason: "why".to_owned(),
            evidence: String::new(),
            difference: verdict.is_bad().then(|| Difference {
                line: 3,
                expected: "S: OK *".to_owned(),
                heard: "NO <x>".to_owned(),
                why: "the line is another".to_owned(),
            }),
            transcript: vec![Event {
                connection: "1".to_owned(),
                side: Side::Client,
                bytes: b"GET \x80\r\n".to_vec(),
            }],
            took: Duration::from_millis(5),
        };
        Report {
            judges: "server".to_owned(),
            target: "127.0.0.1:1".to_owned(),
            greeting: "* OK x".to_owned(),
            profile: "own".to_owned(),
            profile_about: "ours".to_owned(),
            runs: 1,
            scenarios: vec![
                one("get/a", Verdict::Pass),
                one("get/b", Verdict::Fail),
                one("get/c", Verdict::Skipped),
            ],
            took: Duration::from_secs(1),
        }
    }

    #[test]
    fn counts() {
        let report = report();
        assert_eq!(report.subjects(), ["get"]);
        assert_eq!(report.count(None, Verdict::Pass), 1);
        assert_eq!(report.count(Some("apply"), Verdict::Pass), 0);
        assert!(!report.is_good());
    }
}
