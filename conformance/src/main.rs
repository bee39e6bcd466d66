//! `conformance`: the suite against a server, and the longer runs by hand.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand, ValueEnum};
use conformance::cyrus::command::{self, Wish};
use conformance::cyrus::{self, Version};
use conformance::kill::{self, Client, Server};
use conformance::matrix::{self, Subject};
use conformance::mutants;
use conformance::rolling::{self, Fault, Shape};
use conformance::suite;
use conformance::{Error, Result, rng, walk};
use std::process::ExitCode;
use std::time::Duration;

/// Judges csync servers by the written spec; and longer runs against real Cyrus and against our programs: what holds for
/// minutes, under faults and after kills.
///
/// All but `server --target` need root, Debian's Cyrus 3.6 and our programs beside this one (cargo build -p server -p client -p cli -p
/// cyr_synclog) or in MAILTWIN_BIN_DIR. The seed decides everything that is random; each failure begins with it.
///
/// Exit codes: 0 all well; 1 something failed, or a bound was exceeded; 64 wrong arguments.
#[derive(Debug, Parser)]
#[command(name = "conformance", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays the scenarios of the suite against a csync server and judges it by the spec.
    ///
    /// Prints a table by subject, and for everything that is not as the spec asks, nor as the profile says, the rule and the
    /// bytes that show it.
    Server(Box<suite::command::Arguments>),
    /// Judges every known subject as server and as client, and every pair of them with --matrix, in one report.
    All(suite::all::Arguments),
    /// Plays the scenarios of the suite against a csync client, by a replica that does what they say, and judges it by the spec.
    Client(Box<suite::client::command::Arguments>),
    /// Builds our programs with one rule broken on purpose each, and looks whether the suite names the rule.
    ///
    /// The mutants are the files of conformance/mutants. Fails when a rule is not named, or when the programs without a mutant
    /// do not pass. Needs cargo; what it builds is kept in the folder mutants of cargo's target folder.
    Mutants(mutants::command::Arguments),
    /// Replicates into sync_server and kills it at random moments, restarting it each time.
    ///
    /// Nothing answered OK may be missing, and at the end the replica must equal the master.
    Kill(Kill),
    /// Changes a Cyrus at random, replicates it into sync_server and from there into a second Cyrus, and compares all three.
    Walk(Walk),
    /// Lets mail arrive for minutes while servers, clients and links between them fail, and measures how late it shows.
    ///
    /// Every server must catch up by itself; nothing may be lost, and at the end all must be equal. Prints lags (median,
    /// 95 %, maximum) for each server and kind of fault.
    Rolling(Rolling),
    /// Kills the rolling client at random moments, and with it the server and the commands that write its log.
    ///
    /// Each change is named by one line of the log; at the end nothing may be missing.
    Crash(Crash),
    /// Sets up real Cyrus servers and keeps them running on loopback ports until it is interrupted.
    ///
    /// A version that this system does not have gets a root file system of its own from Debian's packages, made once by
    /// debootstrap below MAILTWIN_ROOTS (/var/tmp/mailtwin-roots); MAILTWIN_DEBIAN_MIRROR names another mirror. Needs root.
    Cyrus(CyrusArguments),
    /// Replicates between every ordered pair of Cyrus 3.2, 3.6, 3.10, 3.12 and mailtwin: at first, later, rolling, after both sides
    /// changed, and back; and says what is equal, what is not, and why not.
    ///
    /// Fails when something is not equal for no known reason, or is equal against expectation. Makes the servers' roots when
    /// they are missing, as `conformance cyrus` does.
    Matrix(Matrix),
}

#[derive(Debug, Args)]
struct Matrix {
    /// Who sends; several with commas.
    #[arg(long, value_name = "SERVER", value_delimiter = ',', default_value = "3.2,3.6,3.10,3.12,mailtwin", value_parser = subject)]
    masters: Vec<Subject>,
    /// Who takes; several with commas.
    #[arg(long, value_name = "SERVER", value_delimiter = ',', default_value = "3.2,3.6,3.10,3.12,mailtwin", value_parser = subject)]
    replicas: Vec<Subject>,
    /// Prints JSON instead of the table.
    #[arg(long)]
    json: bool,
}

fn subject(text: &str) -> std::result::Result<Subject, String> {
    Subject::named(text).ok_or_else(|| "write 3.2, 3.6, 3.10, 3.12 or mailtwin".to_owned())
}

#[derive(Debug, Args)]
struct CyrusArguments {
    /// 3.2, 3.6, 3.10, 3.12 or all; several with commas.
    #[arg(long, value_name = "VERSION", value_delimiter = ',', required = true, value_parser = versions)]
    version: Vec<Versions>,
    /// Only makes the roots that are missing.
    #[arg(long, conflicts_with = "remove")]
    install: bool,
    /// Removes the roots instead.
    #[arg(long)]
    remove: bool,
    /// A line for imapd.conf, in place of the usual one of that key; may be repeated.
    #[arg(long = "line", value_name = "KEY:VALUE", value_parser = line)]
    lines: Vec<(String, String)>,
}

/// The versions that one word names.
#[derive(Debug, Clone)]
struct Versions(Vec<Version>);

fn versions(text: &str) -> std::result::Result<Versions, String> {
    if text == "all" {
        return Ok(Versions(Version::ALL.to_vec()));
    }
    let version = Version::named(text).ok_or("write 3.2, 3.6, 3.10, 3.12 or all")?;
    Ok(Versions(vec![version]))
}

fn line(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once(':').ok_or("write KEY:VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, Args)]
struct Kill {
    /// Runs that are to be interrupted.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: u32,
    /// Whose sync_client.
    #[arg(long, value_enum, default_value_t = Whose::Own)]
    client: Whose,
    /// Whose sync_server.
    #[arg(long, value_enum, default_value_t = Whose::Own)]
    server: Whose,
    #[command(flatten)]
    seed: Seed,
}

#[derive(Debug, Args)]
struct Walk {
    /// How many times changes are made and carried.
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: u32,
    /// Changes in a round.
    #[arg(long, value_name = "N", default_value_t = 25)]
    changes: usize,
    /// How the servers are reached.
    #[arg(long, value_enum, default_value_t = Over::Tcp)]
    over: Over,
    #[command(flatten)]
    seed: Seed,
}

#[derive(Debug, Args)]
struct Rolling {
    /// How long mail arrives; with faults at least until each has happened once at each hop, with --poison without and
    /// then with the harm.
    #[arg(long, value_name = "M", default_value_t = 5.0, value_parser = amount)]
    minutes: f64,
    /// The servers.
    #[arg(long, value_enum, default_value_t = ShapeName::Two)]
    shape: ShapeName,
    /// What goes wrong; several with commas.
    #[arg(
        long,
        value_enum,
        value_name = "FAULT",
        value_delimiter = ',',
        default_value = "all"
    )]
    faults: Vec<FaultName>,
    /// How long a fault lasts, and the calm after it.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = amount)]
    fault_time: f64,
    /// Operations a second, by LMTP and by IMAP each.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Instead: an entry that always fails, a locked user and a huge message in one log, and what that does to the
    /// others' lag. Fails when their 95 % lag is more than --factor times what it was without, plus --slack.
    #[arg(long, conflicts_with_all = ["shape", "faults", "fault_time", "seed"])]
    poison: bool,
    /// With --poison: size of the huge message, MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, requires = "poison")]
    huge: u64,
    /// With --poison: connections of the rolling client.
    #[arg(long, value_name = "N", default_value_t = 4, requires = "poison", value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// With --poison: the bound, times the lag without.
    #[arg(long, value_name = "N", default_value_t = 2, requires = "poison")]
    factor: u32,
    /// With --poison: the bound, in addition.
    #[arg(long, value_name = "MS", default_value_t = 200, requires = "poison")]
    slack: u64,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    seed: Seed,
}

#[derive(Debug, Args)]
struct Crash {
    /// How often the rolling client is killed.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rounds: u32,
    #[command(flatten)]
    seed: Seed,
}

#[derive(Debug, Args)]
struct Seed {
    /// Decides everything that is random; MAILTWIN_SEED sets it as well.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Seed {
    fn value(&self) -> u64 {
        self.seed.unwrap_or_else(|| rng::seed(1))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// Ours.
    Own,
    /// Cyrus's.
    Stock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Over {
    /// A loopback port.
    Tcp,
    /// A Unix socket.
    Unix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShapeName {
    /// Cyrus on two channels to a mailtwin each.
    Two,
    /// Cyrus to mailtwin, and on to another and to a second Cyrus.
    Chain,
    /// Two mailtwins to each other, both changed, one fed by a Cyrus, and one offsite.
    Mesh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FaultName {
    /// Each of the others.
    All,
    /// No fault.
    None,
    /// SIGTERM to the server.
    Stop,
    /// SIGKILL to the server.
    Kill,
    /// The link closes connections, new ones too.
    Cut,
    /// The link carries nothing and closes nothing.
    Stall,
    /// The way to the server ends, the way back does not.
    HalfClose,
    /// SIGKILL to the client.
    KillClient,
}

fn amount(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "write a number".to_owned())?;
    if (0.0..=10_000.0).contains(&number) {
        Ok(number)
    } else {
        Err("write a number from 0 to 10000".to_owned())
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Without anything to print to there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let done = match arguments.command {
        Command::Server(options) => suite::command::server(&options),
        Command::All(options) => suite::all::all(&options),
        Command::Client(options) => suite::client::command::client(&options),
        Command::Mutants(options) => mutants::command::mutants(&options),
        Command::Kill(options) => run_kill(&options),
        Command::Walk(options) => run_walk(&options),
        Command::Rolling(options) if options.poison => run_poison(&options),
        Command::Rolling(options) => run_rolling(&options),
        Command::Crash(options) => run_crash(&options),
        Command::Cyrus(options) => run_cyrus(&options),
        Command::Matrix(options) => run_matrix(&options),
    };
    match done {
        Ok(text) if text.is_empty() => ExitCode::SUCCESS,
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_kill(options: &Kill) -> Result<String> {
    let plan = kill::Plan {
        kills: options.rounds,
        seed: options.seed.value(),
        client: match options.client {
            Whose::Own => Client::Own,
            Whose::Stock => Client::Stock,
        },
        server: match options.server {
            Whose::Own => Server::Own,
            Whose::Stock => Server::Stock,
        },
    };
    let report = kill::run(plan)?;
    Ok(format!(
        "{} kills, {} runs finished before theirs; {} commands answered OK, {} checks of what they promised, nothing \
         missing; {} facts equal at the end; seed {}",
        report.kills, report.finished_early, report.acknowledged, report.checked, report.facts, plan.seed
    ))
}

fn run_walk(options: &Walk) -> Result<String> {
    let plan = walk::Plan {
        rounds: options.rounds,
        unix: options.over == Over::Unix,
        changes: options.changes,
        seed: options.seed.value(),
    };
    let facts = walk::run(plan)?;
    Ok(format!(
        "{} rounds, {facts} facts equal in the last; seed {}",
        plan.rounds, plan.seed
    ))
}

fn run_rolling(options: &Rolling) -> Result<String> {
    let report = rolling::run(&rolling::Plan {
        shape: match options.shape {
            ShapeName::Two => Shape::Two,
            ShapeName::Chain => Shape::Chain,
            ShapeName::Mesh => Shape::Mesh,
        },
        time: Duration::from_secs_f64(options.minutes * 60.0),
        fault: Duration::from_secs_f64(options.fault_time),
        faults: faults(&options.faults),
        rate: options.rate,
        seed: options.seed.value(),
    })?;
    Ok(if options.json {
        report.json().to_string()
    } else {
        report.table()
    })
}

fn faults(names: &[FaultName]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for name in names {
        faults.extend(match name {
            FaultName::All => &Fault::ALL[..],
            FaultName::None => &[],
            FaultName::Stop => &[Fault::Stop],
            FaultName::Kill => &[Fault::Kill],
            FaultName::Cut => &[Fault::Cut],
            FaultName::Stall => &[Fault::Stall],
            FaultName::HalfClose => &[Fault::HalfClose],
            FaultName::KillClient => &[Fault::KillClient],
        });
    }
    faults.sort();
    faults.dedup();
    faults
}

fn run_poison(options: &Rolling) -> Result<String> {
    let report = rolling::poison(rolling::PoisonPlan {
        time: Duration::from_secs_f64(options.minutes * 60.0),
        huge: options.huge * 1024 * 1024,
        rate: options.rate,
        workers: options.workers,
        factor: options.factor,
        slack: Duration::from_millis(options.slack),
    })?;
    let text = if options.json {
        report.json().to_string()
    } else {
        report.table()
    };
    if report.within() {
        return Ok(text);
    }
    println!("{text}");
    Err(Error::Process("the others' lag is beyond the bound".into()))
}

fn run_crash(options: &Crash) -> Result<String> {
    let plan = rolling::CrashPlan {
        kills: options.rounds,
        seed: options.seed.value(),
    };
    let report = rolling::crash(plan)?;
    let [fed, logged, quiet] = report.changes;
    Ok(format!(
        "{} clients ({} with entries under way), {} servers and {} commands killed; {fed} mailboxes made by a Cyrus, {logged} by commands that log, \
         {quiet} named by Cyrus's cyr_synclog alone: all there, {} facts equal; seed {}",
        report.clients, report.undone, report.servers, report.commands, report.facts, plan.seed
    ))
}

fn run_cyrus(options: &CyrusArguments) -> Result<String> {
    let mut versions: Vec<Version> = options.version.iter().flat_map(|some| some.0.clone()).collect();
    versions.sort();
    versions.dedup();
    let wish = match (options.install, options.remove) {
        (_, true) => Wish::Remove,
        (true, _) => Wish::Install,
        _ => Wish::Run,
    };
    command::run(&versions, wish, &options.lines)?;
    Ok(String::new())
}

fn run_matrix(options: &Matrix) -> Result<String> {
    let say = |text: &str| eprintln!("{text} ...");
    for subject in options.masters.iter().chain(&options.replicas) {
        if let Subject::Cyrus(version) = subject {
            cyrus::install(*version, &say)?;
        }
    }
    let cells = matrix::run(&options.masters, &options.replicas, &say)?;
    let text = if options.json {
        matrix::json(&cells).to_string()
    } else {
        matrix::table(&cells)
    };
    if cells.iter().all(matrix::Cell::expected) {
        return Ok(text);
    }
    println!("{text}");
    Err(Error::Process("not everything is as expected".into()))
}
