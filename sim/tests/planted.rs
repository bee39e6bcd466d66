//! The planted bugs fit the sources as they are; `sim planted` builds them and looks for them.

use std::collections::BTreeSet;

use sim::judge::Judge;
use sim::planted::{self, Bug};
use sim::report::LIVENESS;

fn all() -> Vec<Bug> {
    planted::all().expect("all can be read")
}

#[test]
fn there_are_enough_of_them() {
    assert!(all().len() >= 20, "{}", all().len());
    let titles: BTreeSet<String> = all().into_iter().map(|bug| bug.title).collect();
    assert_eq!(titles.len(), all().len());
}

/// All are planted at once, one behind the other.
#[test]
fn every_edit_fits() {
    let faults: Vec<_> = all().into_iter().map(|bug| bug.fault).collect();
    let wrong = ::planted::unfit(&planted::sources(), &faults);
    assert!(
        wrong.is_empty(),
        "the sources have changed below planted bugs; their edits have to follow:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_bug_names_rules_that_there_are() {
    let judged = Judge::default().rules();
    let spec = planted::sources().join("spec");
    let pages = std::fs::read_dir(spec).expect("the spec is there");
    let pages = pages.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let spec: String = pages.collect();
    for bug in all() {
        for rule in &bug.found_by {
            assert!(
                judged.contains(&rule.as_str()) || LIVENESS.contains(&rule.as_str()),
                "{}: no rule of the judge is called `{rule}`",
                bug.name()
            );
        }
        for id in &bug.breaks {
            assert!(spec.contains(id.as_str()), "{}: the spec has no {id}", bug.name());
        }
    }
}
