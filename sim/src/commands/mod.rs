//! The program's commands.

mod canary;
mod check;
mod coverage;
mod exhaustive;
mod one;
mod planted;
mod ring2;
mod run;
mod storage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sim::plan::Profile;

/// Exit code for wrong usage or files that cannot be read.
const USAGE: u8 = 64;

/// Runs servers that replicate to each other under faults chosen by a seed, and judges them.
///
/// Exit codes: 0 all well, 126 the simulator does not understand, 127 a panic, 128 something did not come about
/// (liveness), 129 something was that must never be (safety), 64 usage.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds, and prints the line that repeats what it finds.
    Run(RunArguments),
    /// Shows the judge a violation of each of its rules: it has to find every one.
    Canary {
        /// One line of JSON in place of a table.
        #[arg(long)]
        json: bool,
    },
    /// What the test command runs: canaries, seeds twice, fixed seeds of each profile, seeds that come from the commit.
    Check {
        /// How many seeds of each profile, and how many of the commit.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// The commit; that of the sources by default.
        #[arg(long, value_parser = parse_seed)]
        commit: Option<u64>,
    },
    /// Builds planted bugs into a copy of the sources, and runs seeds with each of them until it is found.
    Planted {
        /// Which; all by default.
        names: Vec<String>,
        /// Most seconds of seeds for each, apart from building.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// One line of JSON in place of a table.
        #[arg(long)]
        json: bool,
        /// Names them and does nothing.
        #[arg(long)]
        list: bool,
        /// Where the plans that found them are saved.
        #[arg(long, default_value = "target/sim-planted")]
        save: PathBuf,
    },
    /// Runs all small histories, each with a death at every storage ticket.
    Exhaustive {
        /// Operations of a history, at most.
        #[arg(long, default_value_t = 4)]
        operations: u32,
        /// Threads; as many as there are cores by default.
        #[arg(long)]
        threads: Option<usize>,
        /// Where plans with findings are saved.
        #[arg(long, default_value = "target/sim-findings")]
        save: PathBuf,
    },
    /// Runs seeds and tells what they reached: faults, changes, refusals, rules where both sides had changed.
    Coverage {
        /// How many seeds of each profile.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// One line of JSON in place of a table.
        #[arg(long)]
        json: bool,
    },
    /// Runs the durable store on a disk of its own, and crashes it at every sync of a workload.
    Storage(storage::StorageArguments),
    /// Runs a saved plan again.
    Replay {
        /// The plan, as `run` saved it.
        plan: PathBuf,
    },
    /// Makes a saved plan as small as it goes while it still breaks the same rule.
    Shrink {
        /// The plan.
        plan: PathBuf,
        /// Where to write the small one; beside the plan by default.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Tells what happened in a saved plan, as an HTML page or as text.
    Story {
        /// The plan.
        plan: PathBuf,
        /// Where to write the page; text to standard output when left out.
        #[arg(long)]
        html: Option<PathBuf>,
    },
}

#[derive(Args)]
struct RunArguments {
    /// 1: the engine in an event loop of its own. 2: the whole shell on a simulated network; there is one mix of faults.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    ring: u8,
    /// How many seeds, from `--first` on.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// As many as go into so many minutes.
    #[arg(long, conflicts_with = "seeds")]
    minutes: Option<u64>,
    /// As many as go into so many seconds.
    #[arg(long, conflicts_with_all = ["seeds", "minutes"])]
    seconds: Option<u64>,
    /// Stops at the first finding.
    #[arg(long)]
    until_found: bool,
    /// The first.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Just this one. A commit's hash is taken too.
    #[arg(long, value_parser = parse_seed, conflicts_with_all = ["seeds", "first", "minutes", "seconds"])]
    seed: Option<u64>,
    /// The mix of topologies, workloads and faults.
    #[arg(long, value_enum, default_value_t = Profile::Mixed)]
    profile: Profile,
    /// Threads; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Where plans with findings are saved.
    #[arg(long, default_value = "target/sim-findings")]
    save: PathBuf,
    /// One line of JSON in place of text.
    #[arg(long)]
    json: bool,
}

/// A decimal number, or hex digits such as a commit's hash, of which the first 16 count.
fn parse_seed(text: &str) -> Result<u64, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let hex = &text[..text.len().min(16)];
    u64::from_str_radix(hex, 16).map_err(|_| "a seed is a number or a hash in hex".to_owned())
}

/// As many threads as asked for, or as there are cores.
fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Does what the arguments say.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Run(arguments) if arguments.ring == 2 => ring2::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Canary { json } => canary::run(json),
        Command::Check { seeds, commit } => check::run(seeds, commit),
        Command::Planted {
            names,
            seconds,
            json,
            list,
            save,
        } => planted::run(&names, seconds, json, list, &save),
        Command::Exhaustive {
            operations,
            threads,
            save,
        } => exhaustive::run(operations, threads, &save),
        Command::Coverage { seeds, json } => coverage::run(seeds, json),
        Command::Storage(arguments) => storage::run(&arguments),
        Command::Replay { plan } => ring2::replay(&plan).unwrap_or_else(|| one::replay(&plan)),
        Command::Shrink { plan, output } => one::shrink(&plan, output),
        Command::Story { plan, html } => ring2::tell(&plan).unwrap_or_else(|| one::story(&plan, html)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}
