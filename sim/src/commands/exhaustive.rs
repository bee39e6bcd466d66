//! `exhaustive`: all small histories.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result};
use sim::exhaustive;
use sim::stopwatch::Stopwatch;

/// Histories between two signs of life.
const SIGN_OF_LIFE: u64 = 50;

pub fn run(operations: u32, threads: Option<usize>, save: &Path) -> Result<u8> {
    let watch = Stopwatch::start();
    let watched = std::io::stderr().is_terminal();
    let outcome = exhaustive::run(operations, super::threads(threads), |done, all| {
        if watched && done % SIGN_OF_LIFE == 0 {
            eprint!("\r{done} of {all} histories");
        }
    });
    if watched {
        eprintln!();
    }
    if !outcome.found.is_empty() {
        std::fs::create_dir_all(save).with_context(|| format!("cannot make {}", save.display()))?;
    }
    for (nth, (plan, finding)) in outcome.found.iter().enumerate() {
        let path = save.join(format!("exhaustive-{nth}.json"));
        std::fs::write(&path, serde_json::to_string_pretty(plan)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!(
            "{finding}\n  story: cargo run --release -p sim -- story {}",
            path.display()
        );
    }
    println!(
        "{} histories of up to {operations} operations, {} deaths, one at every storage ticket, {} runs in {:.0} s: {} findings",
        outcome.histories,
        outcome.runs.saturating_sub(outcome.histories),
        outcome.runs,
        watch.elapsed().as_secs_f64(),
        outcome.found.len()
    );
    let codes = outcome
        .found
        .iter()
        .map(|(_, finding)| finding.verdict.exit_code());
    Ok(codes.max().unwrap_or(0))
}
