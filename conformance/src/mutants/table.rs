//! What came of each mutant, for people and for programs.

use super::Mutant;
use super::trial::{Failed, Outcome};
use serde_json::{Value, json};

/// What came of one mutant.
pub(super) struct Row {
    pub(super) mutant: Mutant,
    /// What the suite said, or why it could not say anything.
    pub(super) outcome: std::result::Result<Outcome, String>,
    pub(super) seconds: f64,
}

impl Row {
    /// The failed scenario that shows the broken rule: it cites it, and of such the one that cites least beside it.
    pub(super) fn shown_by(&self) -> Option<&Failed> {
        let failed = self.failed().iter();
        let citing = failed.filter(|one| !one.is_error && one.rules.contains(&self.mutant.breaks));
        citing.min_by_key(|one| one.rules.len())
    }

    /// Whether the suite names the broken rule.
    pub(super) fn is_named(&self) -> bool {
        self.shown_by().is_some()
    }

    fn failed(&self) -> &[Failed] {
        self.outcome.as_ref().map_or(&[], |outcome| &outcome.failed)
    }

    /// Failed scenarios that cite the rule, and others.
    fn counts(&self) -> (usize, usize) {
        let citing = self.failed().iter();
        let citing = citing.filter(|one| !one.is_error && one.rules.contains(&self.mutant.breaks));
        let citing = citing.count();
        (citing, self.failed().len() - citing)
    }

    fn word(&self) -> &'static str {
        match &self.outcome {
            Ok(_) if self.is_named() => "named",
            Ok(outcome) if outcome.failed.is_empty() => "NOT SEEN",
            Ok(_) => "NOT NAMED",
            Err(_) => "FAILED",
        }
    }
}

/// The heading of the table.
pub(super) fn heading() -> String {
    format!(
        "{:<44} {:<14} {:<10} {:>6} {:>6} {:>5}  {}",
        "mutant", "broken rule", "", "citing", "others", "s", "shown by"
    )
}

/// A line of the table: the scenarios that failed and cite the rule, those that failed beside them, and one that shows it.
pub(super) fn line(row: &Row) -> String {
    let (citing, others) = row.counts();
    let shown = match (&row.outcome, row.shown_by()) {
        (Err(why), _) => why.lines().next().unwrap_or_default().to_owned(),
        (Ok(_), Some(shown)) => shown.name.clone(),
        (Ok(_), None) => row
            .failed()
            .first()
            .map_or(String::new(), |one| format!("({})", one.name)),
    };
    format!(
        "{:<44} {:<14} {:<10} {citing:>6} {others:>6} {:>5.1}  {shown}",
        row.mutant.name(),
        row.mutant.breaks,
        row.word(),
        row.seconds
    )
}

/// The table's last line.
pub(super) fn total(rows: &[Row]) -> String {
    let named = rows.iter().filter(|row| row.is_named()).count();
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    format!(
        "{} mutants, {named} named by the suite, {} not; {seconds:.0} s",
        rows.len(),
        rows.len() - named
    )
}

/// All rows as JSON.
pub(super) fn json(rows: &[Row]) -> Value {
    Value::Array(rows.iter().map(value).collect())
}

fn value(row: &Row) -> Value {
    let failed: Vec<Value> = row
        .failed()
        .iter()
        .map(|one| json!({ "name": one.name, "rules": one.rules, "error": one.is_error }))
        .collect();
    json!({
        "mutant": row.mutant.name(),
        "title": row.mutant.title,
        "mistake": row.mutant.mistake,
        "program": row.mutant.program.name(),
        "breaks": row.mutant.breaks,
        "named": row.is_named(),
        "shown_by": row.shown_by().map(|one| &one.name),
        "played": row.outcome.as_ref().map_or(0, |outcome| outcome.played),
        "failed": failed,
        "trouble": row.outcome.as_ref().err(),
        "seconds": row.seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Program;
    use super::*;
    use planted::Fault;

    fn row(failed: &[(&str, &[&str], bool)]) -> Row {
        let text = "title: t\n\nfile: x.rs\n<<<\na\n===\nb(PLANTED)\n>>>\n";
        let failed = failed.iter().map(|(name, rules, is_error)| Failed {
            name: (*name).to_owned(),
            rules: rules.iter().map(|&rule| rule.to_owned()).collect(),
            is_error: *is_error,
        });
        Row {
            mutant: Mutant {
                fault: Fault::parse("m".to_owned(), text, &["title"]).expect("a fault"),
                title: "t".to_owned(),
                breaks: "A-1".to_owned(),
                mistake: String::new(),
                program: Program::Server,
            },
            outcome: Ok(Outcome {
                played: 9,
                failed: failed.collect(),
            }),
            seconds: 1.0,
        }
    }

    #[test]
    fn only_a_scenario_that_failed_and_cites_the_rule_names_it() {
        assert_eq!(row(&[]).word(), "NOT SEEN");
        assert_eq!(row(&[("a", &["A-2"], false)]).word(), "NOT NAMED");
        assert_eq!(row(&[("a", &["A-1"], true)]).word(), "NOT NAMED");
        let two = row(&[
            ("a", &["A-2", "A-1"], false),
            ("b", &["A-1"], false),
            ("c", &["A-12"], false),
        ]);
        assert_eq!(two.word(), "named");
        assert_eq!(two.shown_by().map(|one| one.name.as_str()), Some("b"));
        assert_eq!(two.counts(), (2, 1));
    }
}
