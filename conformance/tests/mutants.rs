//! The mutants fit the sources as they are; `conformance mutants` builds them and lets the suite judge them.

use conformance::mutants::{self, Program};
use conformance::suite::client::command as clients;
use conformance::suite::{command as servers, scenarios_folder};
use std::collections::BTreeSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn there_are_enough_of_them() -> Outcome {
    let all = mutants::all()?;
    let of = |program: Program| all.iter().filter(|mutant| mutant.program == program).count();
    assert!(of(Program::Server) >= 36, "{}", of(Program::Server));
    assert!(of(Program::Client) >= 8, "{}", of(Program::Client));
    let titles: BTreeSet<&str> = all.iter().map(|mutant| mutant.title.as_str()).collect();
    assert_eq!(titles.len(), all.len());
    Ok(())
}

/// All are planted at once, one behind the other.
#[test]
fn every_edit_fits() -> Outcome {
    let faults: Vec<_> = mutants::all()?.into_iter().map(|mutant| mutant.fault).collect();
    let wrong = planted::unfit(&mutants::sources(), &faults);
    assert!(
        wrong.is_empty(),
        "the sources have changed below mutants; their edits have to follow:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn every_mutant_breaks_a_rule_that_a_scenario_of_its_kind_cites() -> Outcome {
    let rules = servers::read_rules()?;
    let scenarios = servers::load(&scenarios_folder())?;
    let scripts = clients::load()?;
    let mut faults = Vec::new();
    for mutant in mutants::all()? {
        if !rules.contains_key(&mutant.breaks) {
            faults.push(format!(
                "{} breaks {}, which no page defines",
                mutant.name(),
                mutant.breaks
            ));
        }
        let is_cited = match mutant.program {
            Program::Server => scenarios.iter().any(|one| one.rules.contains(&mutant.breaks)),
            Program::Client => scripts.iter().any(|one| one.head.rules.contains(&mutant.breaks)),
        };
        if !is_cited {
            faults.push(format!(
                "{} breaks {}, which no scenario cites",
                mutant.name(),
                mutant.breaks
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
