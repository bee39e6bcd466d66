//! `check`: what the test command runs of the simulator, with one line for each step.

use std::process::Command;

use anyhow::Result;
use sim::canary;
use sim::plan::{Profile, generate};
use sim::planted::name;
use sim::report::{Finding, Verdict};
use sim::run::{Many, execute, many};
use sim::stopwatch::Stopwatch;

/// Seeds of each profile that are run twice, with their traces compared.
const TWICE: u64 = 4;
/// What seeds come from where there is no commit.
const NO_COMMIT: u64 = 0x5eed;

/// Runs canaries, seeds twice, `seeds` fixed seeds of each profile, and as many that come from the commit.
pub fn run(seeds: u64, commit: Option<u64>) -> Result<u8> {
    let mut worst = 0;
    let mut step = |title: &str, code: u8, text: String| {
        let verdict = if code == 0 { "ok    " } else { "FAILED" };
        println!("{verdict} {title:<34} {text}");
        worst = worst.max(code);
    };
    let watch = Stopwatch::start();
    let missed = canary::ALL.iter().filter(|canary| !canary.is_found()).count();
    let all_well = missed == 0 && canary::honest().is_none() && canary::without().is_empty();
    step(
        "canaries",
        if all_well { 0 } else { Verdict::Harness.exit_code() },
        format!("{} of {} found", canary::ALL.len() - missed, canary::ALL.len()),
    );
    for profile in Profile::ALL {
        let differ: Vec<u64> = (0..TWICE).filter(|seed| !is_repeated(*seed, profile)).collect();
        let code = if differ.is_empty() {
            0
        } else {
            Verdict::Harness.exit_code()
        };
        let text = format!(
            "{TWICE} seeds twice, {} with another trace: {differ:?}",
            differ.len()
        );
        step(&format!("{}: the same again", name(profile)), code, text);
    }
    for profile in Profile::ALL {
        let all = many(0, profile, super::threads(None), |nth| nth < seeds);
        step(
            &format!("{}: fixed seeds", name(profile)),
            code_of(&all),
            told(&all, profile),
        );
    }
    let first = commit.or_else(of_head);
    let title = if first.is_some() {
        "seeds of the commit"
    } else {
        "no commit known, seeds instead"
    };
    let first = first.unwrap_or(NO_COMMIT);
    let all = many(first, Profile::Mixed, super::threads(None), |nth| nth < seeds);
    step(title, code_of(&all), told(&all, Profile::Mixed));
    println!("{:.0} s", watch.elapsed().as_secs_f64());
    Ok(worst)
}

/// Whether a seed's run is the same to the letter when it is run again.
fn is_repeated(seed: u64, profile: Profile) -> bool {
    let plan = generate(seed, profile);
    execute(&plan, true) == execute(&plan, true)
}

/// The seed that the commit's hash makes, where the sources are a git repository.
fn of_head() -> Option<u64> {
    let head = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    super::parse_seed(String::from_utf8(head.stdout).ok()?.trim())
        .ok()
        .filter(|_| head.status.success())
}

fn code_of(all: &Many) -> u8 {
    let codes = all
        .found
        .iter()
        .map(|(_, finding): &(u64, Finding)| finding.verdict.exit_code());
    codes.max().unwrap_or(0)
}

fn told(all: &Many, profile: Profile) -> String {
    let mut text = format!("{} seeds, {} findings", all.seeds, all.found.len());
    for (seed, finding) in &all.found {
        text.push_str(&format!(
            "\n       {finding}\n       repeat: cargo run --release -p sim -- run --seed {seed} --profile {}",
            name(profile)
        ));
    }
    text
}
