//! `conformance`: the longer runs of the suite, by hand.

use conformance::kill::{self, Client, Server};
use conformance::{rng, walk};
use std::collections::BTreeMap;
use std::process::ExitCode;

const USAGE: &str =
    "usage: conformance kill [--rounds N] [--seed N] [--client stock|own] [--server stock|own]
       conformance walk [--rounds N] [--seed N] [--changes N] [--over tcp|unix]

kill   replicates into sync_server and kills it at N (100) random moments, restarting it each time; nothing
       answered OK may be missing, and at the end the replica must equal the master.
walk   changes a Cyrus at random, replicates it into sync_server and from there into a second Cyrus, and
       compares all three; N (20) times.

Both need root, Cyrus 3.6 and our programs beside this one (cargo build -p server -p client -p cli) or in
MAILTWIN_BIN_DIR. The seed decides everything that is random; MAILTWIN_SEED sets it as well.

Exit codes: 0 all well, 1 something failed, 64 usage.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match parse(&arguments) {
        Some(("kill", options)) => run_kill(&options),
        Some(("walk", options)) => run_walk(&options),
        _ => None,
    };
    match done {
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(64)
        }
        Some(Ok(line)) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Some(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Options = BTreeMap<String, String>;

fn parse(arguments: &[String]) -> Option<(&str, Options)> {
    let (command, rest) = arguments.split_first()?;
    let pair = |pair: &[String]| Some((pair.first()?.strip_prefix("--")?.to_owned(), pair.get(1)?.clone()));
    let options: Option<Options> = rest.chunks(2).map(pair).collect();
    Some((command.as_str(), options?))
}

/// The number given, or the default; `None` when it is no number.
fn number(options: &Options, name: &str, default: u64) -> Option<u64> {
    options.get(name).map_or(Some(default), |text| text.parse().ok())
}

fn only_known(options: &Options, known: &[&str]) -> Option<()> {
    options
        .keys()
        .all(|name| known.contains(&name.as_str()))
        .then_some(())
}

fn run_kill(options: &Options) -> Option<conformance::Result<String>> {
    only_known(options, &["rounds", "seed", "client", "server"])?;
    let is_stock = |name: &str| match options.get(name).map(String::as_str) {
        None | Some("own") => Some(false),
        Some("stock") => Some(true),
        Some(_) => None,
    };
    let plan = kill::Plan {
        kills: u32::try_from(number(options, "rounds", 100)?).ok()?,
        seed: number(options, "seed", rng::seed(1))?,
        client: if is_stock("client")? {
            Client::Stock
        } else {
            Client::Own
        },
        server: if is_stock("server")? {
            Server::Stock
        } else {
            Server::Own
        },
    };
    let told = kill::run(plan).map(|report| {
        format!(
            "{} kills, {} runs finished before theirs; {} commands answered OK, {} checks of what they promised, \
             nothing missing; {} facts equal at the end; seed {}",
            report.kills, report.finished_early, report.acknowledged, report.checked, report.facts, plan.seed
        )
    });
    Some(told)
}

fn run_walk(options: &Options) -> Option<conformance::Result<String>> {
    only_known(options, &["rounds", "seed", "changes", "over"])?;
    let plan = walk::Plan {
        rounds: u32::try_from(number(options, "rounds", 20)?).ok()?,
        unix: match options.get("over").map(String::as_str) {
            None | Some("tcp") => false,
            Some("unix") => true,
            Some(_) => return None,
        },
        changes: usize::try_from(number(options, "changes", 25)?).ok()?,
        seed: number(options, "seed", rng::seed(1))?,
    };
    let told = walk::run(plan).map(|facts| {
        format!(
            "{} rounds, {facts} facts equal in the last; seed {}",
            plan.rounds, plan.seed
        )
    });
    Some(told)
}
