//! `storage`: the durable store on a disk that crashes and fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use sim::stopwatch::Stopwatch;
use sim_storage::damage::{Damages, damage};
use sim_storage::finding::{Finding, Severity};
use sim_storage::scenario::Scenario;
use sim_storage::sweep::{self, Effort, Totals};

/// Findings after which a seed is left.
const FINDINGS_MAX: usize = 10;
/// Bits turned over for each seed.
const BITS: u64 = 50;

#[derive(Args)]
pub struct StorageArguments {
    /// How many seeds, from `--first` on. Each is a workload, of which every sync is crashed in six ways.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The first.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Just this one.
    #[arg(long, value_parser = super::parse_seed, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Just this scenario of the seed, as a finding names it.
    #[arg(long, requires = "seed")]
    scenario: Option<Scenario>,
    /// Every operation fails once, and the disk crashes behind every change.
    #[arg(long)]
    thorough: bool,
    /// Threads; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// One line of JSON in place of text.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &StorageArguments) -> Result<u8> {
    let effort = if arguments.thorough {
        Effort {
            changes: u64::MAX,
            failures: u64::MAX,
            ..Effort::default()
        }
    } else {
        Effort::default()
    };
    let watch = Stopwatch::start();
    let (totals, damages) = match (arguments.seed, arguments.scenario) {
        (Some(seed), Some(scenario)) => (sweep::one(seed, &effort, scenario), Damages::default()),
        _ => many(arguments, &effort),
    };
    let took = watch.elapsed();
    if arguments.json {
        println!("{}", json(&totals, &damages, took));
    } else {
        print(&totals, &damages, took);
    }
    let codes = totals.found.iter().map(|(_, _, finding)| exit_code(finding));
    Ok(codes.max().unwrap_or(0))
}

/// As those of the other rings.
fn exit_code(finding: &Finding) -> u8 {
    match finding.rule.severity() {
        Severity::Safety => 129,
        Severity::Liveness => 128,
        Severity::Crash => 127,
    }
}

fn many(arguments: &StorageArguments, effort: &Effort) -> (Totals, Damages) {
    let (first, seeds) = arguments
        .seed
        .map_or((arguments.first, arguments.seeds), |seed| (seed, 1));
    let next = AtomicU64::new(0);
    let all = Mutex::new((Totals::default(), Damages::default()));
    std::thread::scope(|scope| {
        for _ in 0..super::threads(arguments.threads) {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= seeds {
                        return;
                    }
                    let seed = first.wrapping_add(nth);
                    let mut totals = sweep::seed(seed, effort, &|so_far| so_far.found.len() >= FINDINGS_MAX);
                    let damages = damage(seed, effort, BITS);
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    match damages {
                        Ok(damages) => all.1.add(damages),
                        Err(finding) => totals.found.push((seed, Scenario::default(), finding)),
                    }
                    all.0.add(totals);
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.0
        .found
        .sort_by_key(|(seed, scenario, _)| (*seed, scenario.to_string()));
    all
}

fn repeat(seed: u64, scenario: &Scenario) -> String {
    format!("cargo run --release -p sim -- storage --seed {seed} --scenario {scenario}")
}

fn print(totals: &Totals, damages: &Damages, took: Duration) {
    for (seed, scenario, finding) in &totals.found {
        println!("seed {seed}, {scenario}: {finding}");
        println!("  repeat: {}", repeat(*seed, scenario));
    }
    let seconds = took.as_secs_f64().max(1e-9);
    println!(
        "{} workloads with {} sync points, {} changes and {} operations of disks",
        totals.seeds, totals.syncs, totals.changes, totals.operations
    );
    println!(
        "{} runs in {seconds:.1} s, {} crashes ({:.0} a second), {} failed operations ({} told), {} commits: {} findings",
        totals.runs,
        totals.crashes,
        totals.crashes as f64 / seconds,
        totals.failures,
        totals.told,
        totals.commits,
        totals.found.len()
    );
    for (variant, runs) in &totals.variants {
        println!("  {runs:>7}  {variant}");
    }
    if damages.bits > 0 {
        println!(
            "{} bits turned over: {} made an answer an error, {} were told by the check, {} show nowhere, {} show and nobody tells",
            damages.bits,
            damages.refused,
            damages.verified,
            damages.nowhere,
            damages.shown.values().sum::<u64>()
        );
    }
}

fn json(totals: &Totals, damages: &Damages, took: Duration) -> serde_json::Value {
    serde_json::json!({
        "seeds": totals.seeds,
        "seconds": took.as_secs_f64(),
        "runs": totals.runs,
        "syncs": totals.syncs,
        "changes": totals.changes,
        "operations": totals.operations,
        "crashes": totals.crashes,
        "failures": totals.failures,
        "failures_told": totals.told,
        "commits": totals.commits,
        "variants": totals.variants,
        "bits": {
            "all": damages.bits,
            "refused": damages.refused,
            "verified": damages.verified,
            "nowhere": damages.nowhere,
            "shown": damages.shown,
        },
        "findings": totals.found.iter().map(|(seed, scenario, finding)| serde_json::json!({
            "seed": seed,
            "scenario": scenario.to_string(),
            "rule": finding.rule.name(),
            "text": finding.text,
            "repeat": repeat(*seed, scenario),
        })).collect::<Vec<_>>(),
    })
}
