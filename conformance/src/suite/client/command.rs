//! `conformance client`: the scenarios for clients, and their report.

use super::super::profile::{self, Profile};
use super::super::report::{Judged, Report, Verdict, json, junit, table};
use super::super::rules::Rules;
use super::super::subjects::{Kind, Server};
use super::super::target::Target;
use super::super::{profiles_folder, run, scenarios_folder};
use super::play::{self, Client, Stage};
use super::script::{self, Script};
use crate::cyrus::{ADMIN, PASSWORD};
use crate::programs::Twin;
use crate::{Error, Result};
use clap::Args;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The options of `conformance client`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose client is judged: mailtwin, or cyrus-3.2, -3.6, -3.10, -3.12. A server with its store is started beside it.
    #[arg(long, value_name = "CLIENT", value_parser = super::super::command::kind, required_unless_present_any = ["command", "list"])]
    start: Option<Kind>,
    /// The client as a shell command, in which {address} and {arguments} stand for the replica's HOST:PORT and the
    /// arguments of a run, such as `-u alice`. It must log in to the replica as repladmin with the password secret.
    #[arg(long, value_name = "COMMAND", conflicts_with = "start", requires = "store")]
    command: Option<String>,
    /// With --command: HOST:PORT of a csync server over the client's own store, which the scenarios fill; an account
    /// repladmin with the password secret must be an administrator there.
    #[arg(long, value_name = "HOST:PORT", requires = "command")]
    store: Option<String>,
    /// What the client is known to do; `none` for the spec alone. The default is the one named after --start.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Only scenarios of this name, in which * stands for anything; as often as wanted.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Scenarios at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Plays each scenario so often; a verdict that changes is an error.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Seconds after which a run of the client counts as still running.
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=3600))]
    patience: u64,
    /// Shows the known deviations and the skips as well.
    #[arg(long)]
    explain: bool,
    /// Names the scenarios and plays none.
    #[arg(long)]
    list: bool,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes the report as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Arguments {
    /// The default options for a client by its name.
    pub fn of(name: &str) -> Arguments {
        Arguments {
            start: Kind::named(name),
            command: None,
            store: None,
            profile: None,
            only: Vec::new(),
            jobs: 4,
            repeat: 1,
            patience: 40,
            explain: false,
            list: false,
            json: None,
            junit: None,
        }
    }
}

/// All scripts.
///
/// # Errors
/// What is wrong with them, a line each.
pub fn load() -> Result<Vec<Script>> {
    script::all(&scenarios_folder()).map_err(|faults| Error::Unreadable(faults.join("\n")))
}

/// Runs the command; the text is for standard output.
///
/// # Errors
/// When the suite cannot run, or after a report that somebody has to look at, which is printed before.
pub fn client(arguments: &Arguments) -> Result<String> {
    let scripts = load()?;
    if arguments.list {
        let line = |one: &Script| {
            format!(
                "{}: {} [{}]",
                one.head.name,
                one.head.about,
                one.head.rules.join("] [")
            )
        };
        return Ok(scripts.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    let report = match (arguments.start, &arguments.command) {
        (Some(kind), _) => judged(kind, arguments, &scripts)?,
        (None, Some(command)) => {
            let store = Target::new(arguments.store.as_deref().unwrap_or_default(), ADMIN, PASSWORD);
            with_replica(&store, &Shell(command.clone()), command, arguments, &scripts)?
        }
        (None, None) => return Err(Error::Process("--start or --command".to_owned())),
    };
    let write = |file: &Option<PathBuf>, text: String| match file {
        Some(file) => std::fs::write(file, text).map_err(Error::io(format!("writing {}", file.display()))),
        None => Ok(()),
    };
    write(&arguments.json, format!("{:#}\n", json::value(&report)))?;
    write(&arguments.junit, junit::document(&report))?;
    let text = table::text(&report, arguments.explain);
    if report.is_good() {
        return Ok(text);
    }
    println!("{text}");
    let bad = report.scenarios.iter().filter(|one| one.verdict.is_bad()).count();
    Err(Error::Process(format!("{bad} scenarios need to be looked at")))
}

/// Judges the client of a known software by all scenarios.
///
/// # Errors
/// When it or the replica cannot be started.
pub fn judge(kind: Kind, repeat: u32) -> Result<Report> {
    let arguments = Arguments {
        repeat,
        ..Arguments::of(&kind.name())
    };
    judged(kind, &arguments, &load()?)
}

fn judged(kind: Kind, arguments: &Arguments, scripts: &[Script]) -> Result<Report> {
    let server = Server::start(kind)?;
    let name = format!("sync_client of {}", kind.name());
    let named = Arguments {
        profile: arguments
            .profile
            .clone()
            .or_else(|| Some(format!("client-{}", kind.name()))),
        only: arguments.only.clone(),
        start: None,
        command: None,
        store: None,
        json: None,
        junit: None,
        ..*arguments
    };
    with_replica(server.target(), &server, &name, &named, scripts)
}

fn with_replica(
    store: &Target,
    client: &dyn Client,
    name: &str,
    arguments: &Arguments,
    scripts: &[Script],
) -> Result<Report> {
    let mut replica = Twin::tcp("replica.example", &["mailtwin_compress: no"])?;
    replica.start()?;
    let there = Target::new(&replica.address(), ADMIN, PASSWORD);
    let stage = Stage {
        here: store,
        there: &there,
        client,
        run_limit: Duration::from_secs(arguments.patience),
    };
    let report = run_all(&stage, name, arguments, scripts);
    drop(replica);
    report
}

fn run_all(stage: &Stage<'_>, name: &str, arguments: &Arguments, scripts: &[Script]) -> Result<Report> {
    let started = Instant::now();
    let rules = super::super::command::read_rules()?;
    let folder = profiles_folder();
    let profile = match arguments.profile.as_deref() {
        None | Some("none") => None,
        Some(name) => Some(Profile::load(&folder, name).map_err(Error::Unreadable)?),
    };
    let is_meant = |script: &&Script| {
        arguments.only.is_empty()
            || arguments
                .only
                .iter()
                .any(|glob| profile::fits(glob, &script.head.name))
    };
    let meant: Vec<&Script> = scripts.iter().filter(is_meant).collect();
    let mut all = round(&meant, stage, arguments, profile.as_ref(), &rules);
    for repeat in 1..arguments.repeat {
        let next = round(&meant, stage, arguments, profile.as_ref(), &rules);
        for (first, next) in all.iter_mut().zip(next) {
            run::compare(first, next, repeat + 1);
        }
    }
    Ok(Report {
        judges: "client".to_owned(),
        target: name.to_owned(),
        greeting: String::new(),
        profile: profile
            .as_ref()
            .map_or_else(String::new, |profile| profile.name.clone()),
        profile_about: profile
            .as_ref()
            .map_or_else(String::new, |profile| profile.about.clone()),
        runs: arguments.repeat,
        scenarios: all,
        took: started.elapsed(),
    })
}

/// Each script once.
fn round(
    meant: &[&Script],
    stage: &Stage<'_>,
    arguments: &Arguments,
    profile: Option<&Profile>,
    rules: &Rules,
) -> Vec<Judged> {
    let id = run::run_id();
    let next = AtomicUsize::new(0);
    let all: Mutex<Vec<(usize, Judged)>> = Mutex::default();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(script) = meant.get(at) else { return };
            let mut one = run::unjudged(&script.head, rules, &scenarios_folder());
            let skip = profile
                .and_then(|profile| profile.skip(&script.head))
                .map(str::to_owned);
            if let Some(reason) = skip.or_else(|| lacks(&script.head.needs, stage.client)) {
                one.verdict = Verdict::Skipped;
                one.reason = reason;
            } else {
                let known = profile.and_then(|profile| profile.deviation(&script.head));
                let played = play::play(script, stage, &format!("t{id}c{at}"), known);
                run::settle(&mut one, played, known);
            }
            super::replica::lock(&all).push((at, one));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let mut all = all
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, one)| one).collect()
}

/// The first need that a client does not meet. `settings`: that it takes lines of configuration and has logs.
fn lacks(needs: &[String], client: &dyn Client) -> Option<String> {
    let is_met = |need: &&String| need.as_str() == "settings" && client.channel("x").is_some();
    let need = needs.iter().find(|need| !is_met(need))?;
    Some(format!("the client was given without {need}"))
}

/// A client that is a shell command.
struct Shell(String);

impl Client for Shell {
    fn command(&self, address: &str, arguments: &[String], settings: &[String]) -> Result<Command> {
        if !settings.is_empty() {
            return Err(Error::Process("a shell command takes no settings".to_owned()));
        }
        let line = self
            .0
            .replace("{address}", address)
            .replace("{arguments}", &arguments.join(" "));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        Ok(shell)
    }

    fn keys(&self) -> Option<[PathBuf; 2]> {
        None
    }

    fn channel(&self, _: &str) -> Option<[PathBuf; 2]> {
        None
    }
}
