//! The report as JSON: what other programs, and the HTML page, are made from.

use super::super::play::{Event, Side};
use super::{Difference, Judged, Report, Verdict, shown};
use serde_json::{Map, Value, json};

/// The report as one JSON object.
pub fn value(report: &Report) -> Value {
    let subjects: Vec<Value> = report
        .subjects()
        .into_iter()
        .map(|subject| {
            let scenarios: Vec<Value> = report
                .scenarios
                .iter()
                .filter(|one| one.subject == subject)
                .map(scenario)
                .collect();
            json!({ "name": subject, "counts": counts(report, Some(subject)), "scenarios": scenarios })
        })
        .collect();
    json!({
        "format": 1,
        "judges": report.judges,
        "target": report.target,
        "greeting": report.greeting,
        "profile": report.profile,
        "profile_about": report.profile_about,
        "runs": report.runs,
        "seconds": report.took.as_secs_f64(),
        "counts": counts(report, None),
        "subjects": subjects,
    })
}

fn counts(report: &Report, subject: Option<&str>) -> Value {
    let counts: Map<String, Value> = Verdict::ALL
        .into_iter()
        .map(|verdict| (verdict.name().to_owned(), report.count(subject, verdict).into()))
        .collect();
    Value::Object(counts)
}

fn scenario(one: &Judged) -> Value {
    let rules: Vec<Value> = one
        .rules
        .iter()
        .map(|(id, text)| json!({ "id": id, "text": text }))
        .collect();
    json!({
        "name": one.name,
        "about": one.about,
        "file": one.file,
        "rules": rules,
        "verdict": one.verdict.name(),
        "reason": one.reason,
        "evidence": one.evidence,
        "difference": one.difference.as_ref().map(difference),
        "seconds": one.took.as_secs_f64(),
        "transcript": one.transcript.iter().map(event).collect::<Vec<Value>>(),
    })
}

fn difference(found: &Difference) -> Value {
    json!({ "line": found.line, "expected": found.expected, "heard": found.heard, "why": found.why })
}

fn event(event: &Event) -> Value {
    let side = match event.side {
        Side::Client => "C",
        Side::Server => "S",
        Side::Note => "note",
    };
    json!({ "connection": event.connection, "side": side, "text": shown(&event.bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form() {
        let value = value(&super::super::tests::report());
        assert_eq!(value["counts"]["fail"], 1);
        let scenario = &value["subjects"][0]["scenarios"][1];
        assert_eq!(scenario["verdict"], "fail");
        assert_eq!(scenario["difference"]["line"], 3);
        assert_eq!(scenario["transcript"][0]["text"], "GET \\x80\\r\\n");
        assert!(value["subjects"][0]["scenarios"][0]["difference"].is_null());
    }
}
