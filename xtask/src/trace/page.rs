//! The trace as a page and as lines on a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Trace;
use super::citations::Kind;
use super::rules::Rule;

/// What stands in a row of a rule that something shows.
const SHOWN: &str = "✓";

/// The page.
pub fn write(trace: &Trace) -> String {
    let mut out = String::from(
        "# Which code, test and scenario stands for which rule\n\n\
         Written by `cargo xtask trace`, which reads who cites the ids of [the spec](../spec/README.md); a test fails when an id is cited\n\
         that no page defines, and when a rule that something showed is shown by nothing any more. *Code* implements the rule, a *test* (the\n\
         simulator and the suite's own code among them) or a *scenario* fails when it is broken, *evidence* is a recording, vector or probe of\n\
         real servers. Numbers count the places; the files are named once each.\n\n",
    );
    let _ = write!(out, "```\n{}```\n", summary(trace));

    let bare: Vec<&Rule> = trace
        .rules
        .iter()
        .filter(|rule| !rule.withdrawn && !trace.shown(&rule.id))
        .collect();
    let _ = write!(out, "\n## Shown by nothing ({})\n\n", bare.len());
    for rule in bare {
        let code = if trace.has(&rule.id, Kind::Code) {
            "in the code"
        } else {
            "not in the code either"
        };
        let _ = writeln!(
            out,
            "- [{}](../spec/{}), {code}: {}",
            rule.id, rule.page, rule.text
        );
    }

    let mut area = "";
    for rule in trace.rules.iter().filter(|rule| !rule.withdrawn) {
        if rule.area() != area {
            area = rule.area();
            let _ = write!(
                out,
                "\n## CS-{area}\n\n| rule | shown | code | tests | scenarios, evidence |\n|---|---|---|---|---|\n"
            );
        }
        let shown = if trace.shown(&rule.id) { SHOWN } else { "" };
        let _ = writeln!(
            out,
            "| [{}](../spec/{}) {} | {shown} | {} | {} | {} |",
            rule.id,
            rule.page,
            rule.text,
            places(trace, &rule.id, &[Kind::Code]),
            places(trace, &rule.id, &[Kind::Test]),
            places(trace, &rule.id, &[Kind::Scenario, Kind::Evidence]),
        );
    }
    out
}

/// Files that cite a rule, each with how often when more than once.
fn places(trace: &Trace, id: &str, kinds: &[Kind]) -> String {
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for citation in kinds.iter().flat_map(|kind| trace.of(id, *kind)) {
        *files.entry(citation.file.as_str()).or_default() += 1;
    }
    let shown: Vec<String> = files
        .into_iter()
        .map(|(file, count)| {
            if count == 1 {
                format!("`{file}`")
            } else {
                format!("`{file}` {count}")
            }
        })
        .collect();
    shown.join(", ")
}

/// The ids that a page says are shown.
pub fn shown(page: &str) -> Vec<String> {
    page.lines()
        .filter(|line| line.contains(&format!(" | {SHOWN} | ")))
        .filter_map(|line| line.strip_prefix("| [")?.split(']').next())
        .map(str::to_owned)
        .collect()
}

/// Counts by area, as lines.
pub fn summary(trace: &Trace) -> String {
    let mut areas: Vec<(&str, [usize; 5])> = Vec::new();
    for rule in trace.rules.iter().filter(|rule| !rule.withdrawn) {
        let at = areas
            .iter()
            .position(|(area, _)| *area == rule.area())
            .unwrap_or_else(|| {
                areas.push((rule.area(), [0; 5]));
                areas.len() - 1
            });
        let counts = &mut areas[at].1;
        let scenario = trace.has(&rule.id, Kind::Scenario);
        let facts = [
            true,
            trace.has(&rule.id, Kind::Code),
            trace.has(&rule.id, Kind::Test),
            scenario,
            trace.shown(&rule.id),
        ];
        for (count, fact) in counts.iter_mut().zip(facts) {
            *count += usize::from(fact);
        }
    }
    let total = areas.iter().fold([0; 5], |mut sum, (_, counts)| {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        sum
    });
    areas.push(("all", total));
    let mut out = String::from("area      rules   in code  in tests  in scenarios  shown\n");
    for (area, [rules, code, tests, scenarios, shown]) in areas {
        let _ = writeln!(
            out,
            "{area:<9} {rules:>5} {code:>9} {tests:>9} {scenarios:>13} {shown:>6}"
        );
    }
    out
}
