//! The report for a terminal: a table by subject, then what somebody has to look at.

use super::super::play::Side;
use super::{Judged, Report, Verdict, shown};
use std::fmt::Write as _;

/// Characters of a rule's text, and of a line of a transcript, that are shown.
const SHOWN_CHARS: usize = 600;

/// The table and the details of everything that is bad; with `explain`, the known deviations as well.
pub fn text(report: &Report, explain: bool) -> String {
    let mut text = table(report);
    for one in &report.scenarios {
        if one.verdict.is_bad() {
            details(one, &mut text);
        }
    }
    if explain {
        for one in report
            .scenarios
            .iter()
            .filter(|one| one.verdict == Verdict::Deviates)
        {
            let heard = one.difference.as_ref().map_or("", |found| found.heard.as_str());
            let _ = writeln!(
                text,
                "\ndeviates {}: {}\n  heard   {}",
                one.name,
                one.reason,
                cut(heard)
            );
        }
        for one in report
            .scenarios
            .iter()
            .filter(|one| one.verdict == Verdict::Skipped)
        {
            let _ = writeln!(text, "\nskipped {}: {}", one.name, one.reason);
        }
    }
    text
}

/// The table alone.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    let profile = match report.profile.as_str() {
        "" => "no profile: the spec alone".to_owned(),
        name => format!("profile {name}"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} {}, {profile}\n{}\n",
        report.judges, report.target, report.greeting
    );
    let subjects = report.subjects();
    let width = subjects.iter().map(|name| name.len()).max().unwrap_or(0).max(7);
    let _ = writeln!(
        text,
        "{:width$}  {:>5} {:>8} {:>7} {:>5} {:>10} {:>5}",
        "subject", "pass", "deviates", "skipped", "fail", "unexpected", "error"
    );
    for subject in subjects {
        let _ = writeln!(text, "{}", row(report, subject, Some(subject), width));
    }
    let _ = writeln!(text, "{}", row(report, "all", None, width));
    text
}

fn row(report: &Report, name: &str, subject: Option<&str>, width: usize) -> String {
    let count = |verdict| report.count(subject, verdict);
    format!(
        "{name:width$}  {:>5} {:>8} {:>7} {:>5} {:>10} {:>5}",
        count(Verdict::Pass),
        count(Verdict::Deviates),
        count(Verdict::Skipped),
        count(Verdict::Fail),
        count(Verdict::UnexpectedPass),
        count(Verdict::Error)
    )
}

fn details(one: &Judged, text: &mut String) {
    let _ = writeln!(text, "\n{} {}: {}", one.verdict.name(), one.name, one.about);
    for (id, rule) in &one.rules {
        let _ = writeln!(text, "  [{id}] {}", cut(rule));
    }
    if !one.reason.is_empty() {
        let _ = writeln!(text, "  {}", one.reason);
    }
    if let Some(found) = &one.difference {
        let _ = writeln!(text, "  {}:{}", one.file, found.line);
        let _ = writeln!(text, "  expected  {}", cut(&found.expected));
        let _ = writeln!(text, "  heard     {}", cut(&found.heard));
        let _ = writeln!(text, "  because   {}", cut(&found.why));
    }
    for event in &one.transcript {
        let side = match event.side {
            Side::Client => "C",
            Side::Server => "S",
            Side::Note => "-",
        };
        let _ = writeln!(
            text,
            "    {side} {:>5}  {}",
            event.connection,
            cut(&shown(&event.bytes))
        );
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_its_details() {
        let text = text(&super::super::tests::report(), true);
        assert!(
            text.contains("get          1        0       1     1          0     0"),
            "{text}"
        );
        assert!(text.contains("fail get/b: a & b"), "{text}");
        assert!(text.contains("get/b.csync:3"), "{text}");
        assert!(text.contains("[CS-GET-6] the rule"), "{text}");
        assert!(text.contains("skipped get/c: why"), "{text}");
        assert!(!text.contains("get/a"), "{text}");
    }
}
