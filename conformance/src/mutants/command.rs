//! `conformance mutants`: builds all mutants at once, and lets the suite judge one after the other.

use super::table::{self, Row};
use super::trial::Trial;
use super::{Mutant, Program};
use crate::suite::client::command as clients;
use crate::suite::command as servers;
use crate::suite::{profile, scenarios_folder};
use crate::{Error, Result};
use clap::Args;
use planted::Tree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the mutated programs need.
const PACKAGES: [&str; 4] = ["server", "client", "cli", "cyr_synclog"];

/// The options of `conformance mutants`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only mutants of this name, in which * stands for anything; as often as wanted.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Plays only the scenarios that cite the broken rule: a quick look, which does not tell what else fails.
    #[arg(long)]
    cited: bool,
    /// Scenarios at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Names the mutants and builds nothing.
    #[arg(long)]
    list: bool,
    /// Prints JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Runs the command; the text is for standard output.
///
/// # Errors
/// When the mutants cannot be built, when the programs without a mutant are not passed by the suite, or, after the table, when
/// the suite does not name the rule that a mutant breaks.
pub fn mutants(arguments: &Arguments) -> Result<String> {
    let all = super::all()?;
    let is_meant = |mutant: &&Mutant| {
        arguments.only.is_empty()
            || arguments
                .only
                .iter()
                .any(|glob| profile::fits(glob, mutant.name()))
    };
    let meant: Vec<Mutant> = all.iter().filter(is_meant).cloned().collect();
    if meant.is_empty() {
        return Err(Error::Unreadable(
            "no mutant has such a name; --list names them".to_owned(),
        ));
    }
    if arguments.list {
        let line = |one: &Mutant| format!("{:<44} {:<14} {}", one.name(), one.breaks, one.title);
        return Ok(meant.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    let programs = built(&all)?;
    controlled(&meant, &programs, arguments)?;
    let mut rows = Vec::new();
    if !arguments.json {
        println!("{}", table::heading());
    }
    for mutant in meant {
        let row = judged(mutant, &programs, arguments)?;
        if !arguments.json {
            println!("{}", table::line(&row));
        }
        rows.push(row);
    }
    let text = if arguments.json {
        format!("{:#}", table::json(&rows))
    } else {
        table::total(&rows)
    };
    let missed = rows.iter().filter(|row| !row.is_named()).count();
    if missed == 0 {
        return Ok(text);
    }
    println!("{text}");
    Err(Error::Process(format!(
        "the suite does not name the rules that {missed} mutants break"
    )))
}

/// Builds all mutants, so that another choice builds nothing anew; answers with the folder of the programs.
fn built(all: &[Mutant]) -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| super::sources().join("target"), PathBuf::from);
    let tree = Tree::new(super::sources(), &target.join("mutants"));
    eprintln!("building a copy of the sources with all mutants in it ...");
    let started = Instant::now();
    let faults: Vec<_> = all.iter().map(|mutant| mutant.fault.clone()).collect();
    let programs = tree.plant(&faults).and_then(|()| tree.build(&PACKAGES));
    let programs = programs.map_err(|error| Error::Process(format!("{error:#}")))?;
    eprintln!("built in {:.0} s", started.elapsed().as_secs_f64());
    Ok(programs)
}

/// The control: without a mutant the same programs have to pass everything.
fn controlled(meant: &[Mutant], programs: &Path, arguments: &Arguments) -> Result<()> {
    for program in [Program::Server, Program::Client] {
        let mutants: Vec<&Mutant> = meant.iter().filter(|one| one.program == program).collect();
        if mutants.is_empty() {
            continue;
        }
        let only = if arguments.cited {
            citing(program, &mutants)?
        } else {
            Vec::new()
        };
        let started = Instant::now();
        let outcome = Trial {
            programs,
            program,
            mutant: None,
            only: &only,
            jobs: arguments.jobs,
        }
        .run()?;
        if !outcome.failed.is_empty() {
            let names: Vec<&str> = outcome.failed.iter().map(|one| one.name.as_str()).collect();
            return Err(Error::Process(format!(
                "without a mutant {} does not pass: {}",
                program.name(),
                names.join(", ")
            )));
        }
        eprintln!(
            "without a mutant {} passes {} scenarios; {:.0} s",
            program.name(),
            outcome.played,
            started.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn judged(mutant: Mutant, programs: &Path, arguments: &Arguments) -> Result<Row> {
    let started = Instant::now();
    let only = if arguments.cited {
        citing(mutant.program, &[&mutant])?
    } else {
        Vec::new()
    };
    let outcome = if arguments.cited && only.is_empty() {
        Err(format!("no scenario cites {}", mutant.breaks))
    } else {
        let trial = Trial {
            programs,
            program: mutant.program,
            mutant: Some(mutant.name()),
            only: &only,
            jobs: arguments.jobs,
        };
        trial.run().map_err(|error| error.to_string())
    };
    Ok(Row {
        mutant,
        outcome,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The scenarios for a program that cite a rule which one of these mutants breaks.
fn citing(program: Program, mutants: &[&Mutant]) -> Result<Vec<String>> {
    let heads: Vec<(String, Vec<String>)> = match program {
        Program::Server => {
            let scenarios = servers::load(&scenarios_folder())?.into_iter();
            scenarios.map(|one| (one.name, one.rules)).collect()
        }
        Program::Client => {
            let scripts = clients::load()?.into_iter();
            scripts.map(|one| (one.head.name, one.head.rules)).collect()
        }
    };
    let cites = |rules: &[String]| mutants.iter().any(|mutant| rules.contains(&mutant.breaks));
    let citing = heads.into_iter().filter(|(_, rules)| cites(rules));
    let names: BTreeSet<String> = citing.map(|(name, _)| name).collect();
    Ok(names.into_iter().collect())
}
