//! `planted`: builds every planted bug into a copy of the sources, and runs seeds until it is found.

use std::path::{Path, PathBuf};

use anyhow::Result;
use planted::Tree;
use sim::planted::{self as bugs, Bug, Found};
use sim::report::Verdict;
use sim::stopwatch::Stopwatch;

/// What came of one bug.
struct Row {
    bug: Bug,
    outcome: Outcome,
    seeds: u64,
    ran_s: f64,
}

enum Outcome {
    Found(Found),
    /// By a rule that is not the one it breaks.
    FoundOtherwise(Found),
    /// The seed finds something without the bug, too.
    NotByTheBug(Found),
    Missed,
    /// It could not be run.
    Failed(String),
}

pub fn run(names: &[String], seconds: u64, json: bool, list: bool, save: &Path) -> Result<u8> {
    let chosen = bugs::named(names)?;
    if list {
        for bug in &chosen {
            println!("{:<40} {}", bug.name(), bug.title);
        }
        return Ok(0);
    }
    let tree = Tree::new(bugs::sources(), &target().join("planted"));
    eprintln!("building a copy of the sources with all bugs in it ...");
    let watch = Stopwatch::start();
    // All of them, so that another choice builds nothing anew.
    let all: Vec<_> = bugs::all()?.into_iter().map(|bug| bug.fault).collect();
    tree.plant(&all)?;
    let program = tree.build(&["sim"])?.join("sim");
    eprintln!("built in {:.0} s", watch.elapsed().as_secs_f64());
    let mut rows = Vec::new();
    if !json {
        println!(
            "{:<38} {:<8} {:<44} {:>6} {:>6} {:>5}",
            "bug", "profile", "found by", "seed", "seeds", "s"
        );
    }
    for bug in chosen {
        let row = one(&program, bug, seconds, save);
        if !json {
            print(&row);
        }
        rows.push(row);
    }
    let found = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Found(_)))
        .count();
    if json {
        println!("{}", serde_json::Value::Array(rows.iter().map(told).collect()));
    } else {
        println!(
            "{} bugs planted, {found} found within {seconds} s each",
            rows.len()
        );
    }
    Ok(if found == rows.len() {
        0
    } else {
        Verdict::Harness.exit_code()
    })
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| bugs::sources().join("target"), PathBuf::from)
}

fn one(program: &Path, bug: Bug, seconds: u64, save: &Path) -> Row {
    let watch = Stopwatch::start();
    let hunted = bugs::hunt(program, &bug, seconds, save);
    let ran_s = watch.elapsed().as_secs_f64();
    let (outcome, seeds) = match hunted {
        Ok((Some(found), seeds)) => (judge(&bug, found), seeds),
        Ok((None, seeds)) => (Outcome::Missed, seeds),
        Err(error) => (Outcome::Failed(format!("{error:#}")), 0),
    };
    Row {
        bug,
        outcome,
        seeds,
        ran_s,
    }
}

fn judge(bug: &Bug, found: Found) -> Outcome {
    if sim::run::seed(found.seed, bug.profile).finding.is_some() {
        Outcome::NotByTheBug(found)
    } else if bug.found_by.contains(&found.rule) {
        Outcome::Found(found)
    } else {
        Outcome::FoundOtherwise(found)
    }
}

fn print(row: &Row) {
    let (by, seed) = match &row.outcome {
        Outcome::Found(found) => (found.rule.clone(), found.seed.to_string()),
        Outcome::FoundOtherwise(found) => (format!("OTHER: {}", found.rule), found.seed.to_string()),
        Outcome::NotByTheBug(found) => (format!("WITHOUT IT, TOO: {}", found.rule), found.seed.to_string()),
        Outcome::Missed => ("NOT FOUND".to_owned(), "-".to_owned()),
        Outcome::Failed(_) => ("FAILED".to_owned(), "-".to_owned()),
    };
    println!(
        "{:<38} {:<8} {by:<44} {seed:>6} {:>6} {:>5.1}",
        row.bug.name(),
        bugs::name(row.bug.profile),
        row.seeds,
        row.ran_s
    );
    if let Outcome::Failed(why) = &row.outcome {
        eprintln!("{}: {why}", row.bug.name());
    }
}

fn told(row: &Row) -> serde_json::Value {
    let (outcome, found) = match &row.outcome {
        Outcome::Found(found) => ("found", Some(found)),
        Outcome::FoundOtherwise(found) => ("found by another rule", Some(found)),
        Outcome::NotByTheBug(found) => ("found without it, too", Some(found)),
        Outcome::Missed => ("missed", None),
        Outcome::Failed(why) => (why.as_str(), None),
    };
    serde_json::json!({
        "bug": row.bug.name(),
        "title": row.bug.title,
        "breaks": row.bug.breaks,
        "profile": bugs::name(row.bug.profile),
        "outcome": outcome,
        "rule": found.map(|found| &found.rule),
        "text": found.map(|found| &found.text),
        "seed": found.map(|found| found.seed),
        "seeds": row.seeds,
        "seconds": row.ran_s,
    })
}
