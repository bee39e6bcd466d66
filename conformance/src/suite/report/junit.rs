//! The report as JUnit XML, for what shows the results of tests.

use super::super::play::Side;
use super::{Judged, Report, Verdict, shown};
use std::fmt::Write as _;

/// The report as an XML document.
pub fn document(report: &Report) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let count = |verdict| report.count(None, verdict);
    let failures = count(Verdict::Fail) + count(Verdict::UnexpectedPass);
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "<testsuites name=\"csync {}\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\">",
        escaped(&report.greeting),
        report.scenarios.len(),
        count(Verdict::Error),
        count(Verdict::Skipped),
        report.took.as_secs_f64(),
    );
    for subject in report.subjects() {
        suite(report, subject, &mut xml);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(report: &Report, subject: &str, xml: &mut String) {
    let count = |verdict| report.count(Some(subject), verdict);
    let cases: Vec<&Judged> = report
        .scenarios
        .iter()
        .filter(|one| one.subject == subject)
        .collect();
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
        escaped(subject),
        cases.len(),
        count(Verdict::Fail) + count(Verdict::UnexpectedPass),
        count(Verdict::Error),
        count(Verdict::Skipped),
    );
    for one in cases {
        case(one, xml);
    }
    xml.push_str("  </testsuite>\n");
}

fn case(one: &Judged, xml: &mut String) {
    let _ = write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&one.subject),
        escaped(&one.name),
        one.took.as_secs_f64()
    );
    let element = match one.verdict {
        Verdict::Pass => return xml.push_str("/>\n"),
        Verdict::Deviates => {
            let _ = writeln!(
                xml,
                ">\n      <system-out>deviates as known: {}</system-out>\n    </testcase>",
                escaped(&one.reason)
            );
            return;
        }
        Verdict::Skipped => {
            let _ = writeln!(
                xml,
                ">\n      <skipped message=\"{}\"/>\n    </testcase>",
                escaped(&one.reason)
            );
            return;
        }
        Verdict::Error => "error",
        Verdict::Fail | Verdict::UnexpectedPass => "failure",
    };
    let _ = writeln!(
        xml,
        ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>",
        escaped(&message(one)),
        escaped(&details(one))
    );
}

fn message(one: &Judged) -> String {
    match &one.difference {
        Some(found) => format!("line {}: {}; heard: {}", found.line, found.why, found.heard),
        None => format!("{}: {}", one.verdict.name(), one.reason),
    }
}

fn details(one: &Judged) -> String {
    let mut text = format!("{}\n", one.about);
    for (id, rule) in &one.rules {
        let _ = writeln!(text, "[{id}] {rule}");
    }
    for event in &one.transcript {
        let side = match event.side {
            Side::Client => "C",
            Side::Server => "S",
            Side::Note => "-",
        };
        let _ = writeln!(text, "{side}{} {}", event.connection, shown(&event.bytes));
    }
    text
}

/// Text for XML; control characters that XML cannot hold become `?`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document() {
        let xml = document(&super::super::tests::report());
        assert!(
            xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""),
            "{xml}"
        );
        assert!(xml.contains("heard: NO &lt;x&gt;"), "{xml}");
        assert!(xml.contains("a &amp; b"), "{xml}");
        assert!(xml.contains("C1 GET \\x80\\r\\n"), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), 3);
    }
}
