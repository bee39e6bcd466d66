//! `cargo run --release -p sim -- run --seeds N`, or `--seed S` to repeat one.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sim::run::{self, Report};

/// Runs master and replica under faults chosen by a seed.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds; exit code 1 when one breaks a rule, with the line that repeats it.
    Run {
        /// How many, from `--first` on.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// Just this one.
        #[arg(long, conflicts_with_all = ["seeds", "first"])]
        seed: Option<u64>,
    },
}

fn main() -> ExitCode {
    let Command::Run { seeds, first, seed } = Arguments::parse().command;
    let range = seed.map_or(first..first.saturating_add(seeds), |seed| {
        seed..seed.saturating_add(1)
    });
    let mut total = Report::default();
    let mut failed = 0u64;
    for seed in range.clone() {
        match run::run(seed) {
            Ok(report) => {
                total.changes += report.changes;
                total.connections += report.connections;
                total.cut += report.cut;
                total.repaired += report.repaired;
            }
            Err(error) => {
                failed += 1;
                eprintln!(
                    "seed {seed}: {error:#}\n  repeat with: cargo run --release -p sim -- run --seed {seed}"
                );
            }
        }
    }
    println!(
        "{} seeds: {failed} failed; {} changes, {} connections, {} of them cut, {} mailboxes repaired",
        range.end - range.start,
        total.changes,
        total.connections,
        total.cut,
        total.repaired
    );
    ExitCode::from(u8::from(failed > 0))
}
