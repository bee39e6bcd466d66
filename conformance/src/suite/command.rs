//! `conformance server`: the suite against one server, and its reports.

use super::profile::{self, Profile};
use super::report::{Report, Verdict, json, junit, table};
use super::rules::{self, Rules};
use super::run::{self, Bench, Options};
use super::scenario::{self, Judges, Scenario};
use super::subjects::{self, Kind, Server};
use super::target::Target;
use crate::{Error, Result};
use clap::Args;
use std::path::{Path, PathBuf};

/// The account that the scenarios log in with unless `--user` says otherwise.
const USER: &str = "cyrus";

/// The options of `conformance server`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The server under test. The scenarios make users of their own there, whose ids begin with t, and remove them.
    #[arg(long, value_name = "HOST:PORT", required_unless_present_any = ["start", "list"], conflicts_with = "start")]
    target: Option<String>,
    /// Starts a server in a temporary folder, on a loopback port, and judges it: mailtwin, or cyrus-3.2, -3.6, -3.10, -3.12,
    /// which `conformance cyrus --install` sets up.
    #[arg(long, value_name = "SERVER", value_parser = kind)]
    start: Option<Kind>,
    /// An administrator of the server (`admins`).
    #[arg(long, value_name = "NAME", default_value = USER)]
    user: String,
    /// A file whose first line is the administrator's password; else MAILTWIN_TEST_PASSWORD is.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The server's partition.
    #[arg(long, value_name = "NAME", default_value = "default")]
    partition: String,
    /// Another partition; without it, scenarios that need one are skipped.
    #[arg(long, value_name = "NAME")]
    second_partition: Option<String>,
    /// An account that is no administrator; without it, scenarios that need one are skipped.
    #[arg(long, value_name = "NAME", requires = "ordinary_password_file")]
    ordinary_user: Option<String>,
    /// A file whose first line is that account's password.
    #[arg(long, value_name = "FILE", requires = "ordinary_user")]
    ordinary_password_file: Option<PathBuf>,
    /// A Unix socket of the same server.
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
    /// What the server has that its banner does not tell, such as conversations; several with commas.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    feature: Vec<String>,
    /// What the server is known to do; `none` for the spec alone. The default goes by the banner.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Only scenarios of this name, in which * stands for anything; as often as wanted.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Scenarios at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// How often each scenario is played; a verdict that changes is an error.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Leaves what the scenarios made in the server.
    #[arg(long)]
    keep: bool,
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
    /// The folder of the scenarios, in place of this source tree's.
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
}

/// A subject by its name, for the command line.
pub(super) fn kind(name: &str) -> std::result::Result<Kind, String> {
    Kind::named(name)
        .ok_or_else(|| "write mailtwin, cyrus-3.2, cyrus-3.6, cyrus-3.10 or cyrus-3.12".to_owned())
}

/// Runs the command; the text is for standard output.
///
/// # Errors
/// When the suite cannot run, or after a report that somebody has to look at, which is printed before.
pub fn server(arguments: &Arguments) -> Result<String> {
    let folder = arguments
        .scenarios
        .clone()
        .unwrap_or_else(super::scenarios_folder);
    let scenarios = load(&folder)?;
    if arguments.list {
        return Ok(listed(&scenarios));
    }
    let options = Options {
        jobs: arguments.jobs.into(),
        repeat: arguments.repeat,
        only: arguments.only.clone(),
        keep: arguments.keep,
    };
    let started = match arguments.start {
        Some(kind) => Some(Server::start(kind)?),
        None => None,
    };
    let target = match &started {
        Some(server) => server.target().clone(),
        None => {
            let mut target = target(arguments)?;
            run::greet(&mut target)?;
            target
        }
    };
    let profile = arguments.profile.as_deref();
    let mut report = report_on(&scenarios, &folder, target, started, profile, &options)?;
    if let Some(kind) = arguments.start {
        with_features(&mut report, kind, &scenarios, profile, &options)?;
    }
    written(arguments, &report)?;
    let text = table::text(&report, arguments.explain);
    if report.is_good() {
        return Ok(text);
    }
    println!("{text}");
    let bad: usize = Verdict::ALL
        .into_iter()
        .filter(|verdict| verdict.is_bad())
        .map(|verdict| report.count(None, verdict))
        .sum();
    Err(Error::Process(format!("{bad} scenarios need to be looked at")))
}

/// Starts a server, judges it by all scenarios, and ends it.
///
/// # Errors
/// When it cannot be started, or does not survive.
pub fn judge(kind: Kind, repeat: u32) -> Result<Report> {
    let folder = super::scenarios_folder();
    let scenarios = load(&folder)?;
    let server = Server::start(kind)?;
    let options = Options {
        jobs: 4,
        repeat,
        only: Vec::new(),
        keep: false,
    };
    let target = server.target().clone();
    let mut report = report_on(&scenarios, &folder, target, Some(server), None, &options)?;
    with_features(&mut report, kind, &scenarios, None, &options)?;
    Ok(report)
}

/// Plays the scenarios that need a feature on a server that has them, and puts their verdicts into the report.
fn with_features(
    report: &mut Report,
    kind: Kind,
    scenarios: &[Scenario],
    profile: Option<&str>,
    options: &Options,
) -> Result<()> {
    let has = |need: &String| subjects::features(kind).contains(&need.as_str());
    let meant: Vec<Scenario> = scenarios
        .iter()
        .filter(|one| {
            one.needs.iter().any(has) && report.scenarios.iter().any(|there| there.name == one.name)
        })
        .cloned()
        .collect();
    if meant.is_empty() {
        return Ok(());
    }
    let server = Server::start_with_features(kind)?;
    let target = server.target().clone();
    let found = report_on(
        &meant,
        &super::scenarios_folder(),
        target,
        Some(server),
        profile,
        options,
    )?;
    report.took += found.took;
    for one in found.scenarios {
        if let Some(place) = report.scenarios.iter_mut().find(|there| there.name == one.name) {
            *place = one;
        }
    }
    Ok(())
}

fn report_on(
    scenarios: &[Scenario],
    folder: &Path,
    target: Target,
    mut started: Option<Server>,
    profile: Option<&str>,
    options: &Options,
) -> Result<Report> {
    let profile = chosen(profile, &target)?;
    let rules = read_rules()?;
    let renew = || {
        if let Some(server) = &started {
            server.renew();
        }
    };
    let bench = Bench {
        target: &target,
        profile: profile.as_ref(),
        rules: &rules,
        folder,
        renew: &renew,
    };
    let report = run::run(scenarios, &bench, options);
    if let Some(server) = &mut started {
        server.check()?;
    }
    Ok(report)
}

/// All scenarios of a folder.
///
/// # Errors
/// What is wrong with them, a line each.
pub fn load(folder: &Path) -> Result<Vec<Scenario>> {
    scenario::all(folder).map_err(|faults| Error::Unreadable(faults.join("\n")))
}

/// The spec's rules.
///
/// # Errors
/// When the pages cannot be read.
pub fn read_rules() -> Result<Rules> {
    rules::load(&super::spec_folder()).map_err(Error::io("reading the spec"))
}

/// The profile that was asked for, else the one that the banner speaks of.
///
/// # Errors
/// A profile that is not there or cannot be understood.
pub fn chosen(name: Option<&str>, target: &Target) -> Result<Option<Profile>> {
    let folder = super::profiles_folder();
    let greeting = target.banner.last().map_or("", String::as_str);
    let found = match name {
        Some("none") => Ok(None),
        Some(name) => Profile::load(&folder, name).map(Some),
        None => profile::recognised(&folder, greeting),
    };
    found.map_err(Error::Unreadable)
}

fn listed(scenarios: &[Scenario]) -> String {
    let line = |one: &Scenario| {
        let judges = if one.judges == Judges::Client {
            "  (client)"
        } else {
            ""
        };
        format!("{}{judges}: {} [{}]", one.name, one.about, one.rules.join("] ["))
    };
    let lines: Vec<String> = scenarios.iter().map(line).collect();
    lines.join("\n")
}

fn target(arguments: &Arguments) -> Result<Target> {
    let address = arguments.target.as_deref().unwrap_or_default();
    let password = match &arguments.password_file {
        Some(file) => first_line(file)?,
        None => std::env::var("MAILTWIN_TEST_PASSWORD").map_err(|_| {
            Error::Process(
                "give the administrator's password: --password-file or MAILTWIN_TEST_PASSWORD".into(),
            )
        })?,
    };
    let mut target = Target::new(address, &arguments.user, &password);
    target.partition.clone_from(&arguments.partition);
    target.partition2.clone_from(&arguments.second_partition);
    target.socket.clone_from(&arguments.socket);
    target.features.clone_from(&arguments.feature);
    target.ordinary.clone_from(&arguments.ordinary_user);
    if let Some(file) = &arguments.ordinary_password_file {
        target.ordinary_password = first_line(file)?;
    }
    Ok(target)
}

fn first_line(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).map_err(Error::io(format!("reading {}", file.display())))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn written(arguments: &Arguments, report: &Report) -> Result<()> {
    let write = |file: &Path, text: String| {
        std::fs::write(file, text).map_err(Error::io(format!("writing {}", file.display())))
    };
    if let Some(file) = &arguments.json {
        write(file, format!("{:#}\n", json::value(report)))?;
    }
    if let Some(file) = &arguments.junit {
        write(file, junit::document(report))?;
    }
    Ok(())
}
