//! `run --ring 2`, and its plans again: the shell on a simulated network.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sim::report::{Clock, Finding};
use sim::ring2::plan::Plan;
use sim::ring2::{execute, generate, many, story};
use sim::run::Many;
use sim::stopwatch::Stopwatch;

use super::RunArguments;

/// Runs seeds, and prints what came of them.
pub fn run(arguments: &RunArguments) -> Result<u8> {
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
    let told = |seed, finding: &Finding| eprintln!("seed {seed}: {finding}");
    let all = many(first, super::threads(arguments.threads), more, told);
    let took = watch.elapsed();
    save(arguments, &all)?;
    if arguments.json {
        println!("{}", json(&all, took));
    } else {
        print(arguments, &all, took);
    }
    let codes = all.found.iter().map(|(_, finding)| finding.verdict.exit_code());
    Ok(codes.max().unwrap_or(0))
}

/// Each plan with a finding becomes a file, which `replay` takes, with its story beside it.
fn save(arguments: &RunArguments, all: &Many) -> Result<()> {
    if all.found.is_empty() {
        return Ok(());
    }
    let folder = &arguments.save;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (seed, _) in &all.found {
        let plan = generate(*seed);
        let path = folder.join(format!("ring2-{seed}.json"));
        std::fs::write(&path, serde_json::to_string_pretty(&plan)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.with_extension("txt");
        std::fs::write(&path, story(&plan, &execute(&plan, true)))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn print(arguments: &RunArguments, all: &Many, took: Duration) {
    for (seed, finding) in &all.found {
        println!("seed {seed}: {finding}");
        println!("  repeat: cargo run --release -p sim -- run --ring 2 --seed {seed}");
        let story = arguments.save.join(format!("ring2-{seed}.txt"));
        println!("  story:  {}", story.display());
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
        "{} changes of clients, {} commits, {} storage requests, {} connections, {} processes died, {} bytes sent",
        total.changes, total.commits, total.tickets, total.connections, total.crashes, total.wire_bytes
    );
}

fn json(all: &Many, took: Duration) -> serde_json::Value {
    let total = &all.total;
    serde_json::json!({
        "ring": 2,
        "seeds": all.seeds,
        "seconds": took.as_secs_f64(),
        "simulated_ms": total.simulated_ms,
        "changes": total.changes,
        "commits": total.commits,
        "tickets": total.tickets,
        "connections": total.connections,
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

/// The plan in a file, when it is one of this ring.
fn load(path: &Path) -> Option<Plan> {
    let text = std::fs::read_to_string(path).ok()?;
    let plan: Plan = serde_json::from_str(&text).ok()?;
    plan.check().ok()?;
    Some(plan)
}

/// Runs a saved plan again; `None` when it is not one of this ring.
pub fn replay(path: &Path) -> Option<Result<u8>> {
    let outcome = execute(&load(path)?, false);
    match &outcome.report.finding {
        Some(finding) => println!("{finding}"),
        None => println!("no finding"),
    }
    Some(Ok(code(outcome.report.finding.as_ref())))
}

/// Tells what happens in a saved plan; `None` when it is not one of this ring.
pub fn tell(path: &Path) -> Option<Result<u8>> {
    let plan = load(path)?;
    let outcome = execute(&plan, true);
    print!("{}", story(&plan, &outcome));
    Some(Ok(code(outcome.report.finding.as_ref())))
}

fn code(finding: Option<&Finding>) -> u8 {
    finding.map_or(0, |finding| finding.verdict.exit_code())
}
