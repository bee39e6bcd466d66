//! `run`: many seeds.

use std::time::Duration;

use anyhow::{Context, Result};
use sim::plan::generate;
use sim::planted::name;
use sim::report::Clock;
use sim::run::{Many, many, until_found};
use sim::stopwatch::Stopwatch;

use super::RunArguments;

pub fn run(arguments: &RunArguments) -> Result<u8> {
    let threads = super::threads(arguments.threads);
    let watch = Stopwatch::start();
    let most = arguments
        .minutes
        .map(|minutes| 60 * minutes)
        .or(arguments.seconds);
    let most = most.map(Duration::from_secs);
    let (first, seeds) = arguments
        .seed
        .map_or((arguments.first, arguments.seeds), |seed| (seed, 1));
    let more = |nth: u64| most.map_or(nth < seeds, |most| watch.elapsed() < most);
    let profile = arguments.profile;
    let all = if arguments.until_found {
        until_found(first, profile, threads, more)
    } else {
        many(first, profile, threads, more)
    };
    save(arguments, &all)?;
    let took = watch.elapsed();
    if arguments.json {
        println!("{}", json(arguments, &all, took));
    } else {
        print(arguments, &all, took);
    }
    let worst = all
        .found
        .iter()
        .map(|(_, finding)| finding.verdict.exit_code())
        .max();
    Ok(worst.unwrap_or(0))
}

/// Each plan with a finding becomes a file, which `replay`, `shrink` and `story` take.
fn save(arguments: &RunArguments, all: &Many) -> Result<()> {
    if all.found.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.save)
        .with_context(|| format!("cannot make {}", arguments.save.display()))?;
    for (seed, _) in &all.found {
        let path = arguments.save.join(format!("{seed}.json"));
        let plan = serde_json::to_string_pretty(&generate(*seed, arguments.profile))?;
        std::fs::write(&path, plan).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn print(arguments: &RunArguments, all: &Many, took: Duration) {
    for (seed, finding) in &all.found {
        let profile = arguments.profile;
        println!("seed {seed}: {finding}");
        println!(
            "  repeat: cargo run --release -p sim -- run --seed {seed} --profile {}",
            name(profile)
        );
        println!(
            "  story:  cargo run --release -p sim -- story {}",
            arguments.save.join(format!("{seed}.json")).display()
        );
    }
    let total = &all.total;
    println!(
        "{} seeds in {:.1} s ({:.0} a second), {} simulated, {} findings",
        all.seeds,
        took.as_secs_f64(),
        all.seeds as f64 / took.as_secs_f64().max(1e-9),
        Clock(total.simulated_ms),
        all.found.len()
    );
    println!(
        "{} changes of clients, {} commits, {} storage tickets, {} connections ({} broken), {} crashes, {} bytes sent",
        total.changes,
        total.commits,
        total.tickets,
        total.connections,
        total.broken,
        total.crashes,
        total.wire_bytes
    );
}

fn json(arguments: &RunArguments, all: &Many, took: Duration) -> serde_json::Value {
    let total = &all.total;
    serde_json::json!({
        "profile": name(arguments.profile),
        "seeds": all.seeds,
        "seconds": took.as_secs_f64(),
        "simulated_ms": total.simulated_ms,
        "changes": total.changes,
        "commits": total.commits,
        "tickets": total.tickets,
        "connections": total.connections,
        "broken": total.broken,
        "crashes": total.crashes,
        "wire_bytes": total.wire_bytes,
        "reached": total.reached,
        "findings": all.found.iter().map(|(seed, finding)| serde_json::json!({
            "seed": seed,
            "verdict": finding.verdict,
            "rule": finding.rule,
            "text": finding.text,
            "at_ms": finding.at_ms,
        })).collect::<Vec<_>>(),
    })
}
