//! `conformance`: the longer runs of the suite, by hand.

use conformance::kill::{self, Client, Plan, Server};
use std::process::ExitCode;

const USAGE: &str =
    "usage: conformance kill [--rounds N] [--seed N] [--client stock|own] [--server stock|own]

kill   replicates into sync_server and kills it at random moments, then restarts it; at the end the
       replica must equal the master. Needs root, Cyrus 3.6 and our programs beside this one
       (cargo build -p server -p client -p cli) or in MAILTWIN_BIN_DIR.

Exit codes: 0 all promises kept, 1 something failed, 64 usage.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(plan) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    match kill::run(plan) {
        Ok(report) => {
            println!(
                "{} kills, {} runs finished before theirs; {} commands answered OK, {} checks of what they \
                 promised, nothing missing; {} facts equal at the end; seed {}",
                report.kills,
                report.finished_early,
                report.acknowledged,
                report.checked,
                report.facts,
                plan.seed
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<Plan> {
    let mut plan = Plan {
        kills: 100,
        seed: conformance::rng::seed(1),
        client: Client::Own,
        server: Server::Own,
    };
    let (command, options) = arguments.split_first()?;
    if command != "kill" {
        return None;
    }
    for option in options.chunks(2) {
        let [name, value] = option else { return None };
        match name.as_str() {
            "--rounds" => plan.kills = value.parse().ok()?,
            "--seed" => plan.seed = value.parse().ok()?,
            "--client" => {
                plan.client = match value.as_str() {
                    "stock" => Client::Stock,
                    "own" => Client::Own,
                    _ => return None,
                }
            }
            "--server" => {
                plan.server = match value.as_str() {
                    "stock" => Server::Stock,
                    "own" => Server::Own,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(plan)
}
