//! `mailtwin check`: whether a configuration can work, before anything depends on it.

mod connect;
mod local;
mod settings;

use std::path::Path;

use net::config::{Config, ConfigError, Service, Settings};
use serde::Serialize;

use crate::failure::{Exit, Failure, Result};
use crate::names::printable;
use crate::output;
use crate::status::args::CheckArgs;
use crate::status::channels;
use crate::table;

/// Most wrong values that are looked for, so that the search ends whatever the file holds.
const ERRORS_MAX: usize = 200;

/// How it is with one thing that was checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and may not be what was meant.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// The channel that it is about; `None` is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What was found, and what to do.
    pub text: String,
}

/// What was found about everything, in order.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one.
    pub fn add(&mut self, verdict: Verdict, channel: Option<&str>, text: impl Into<String>) {
        let finding = Finding {
            verdict,
            channel: channel.map(str::to_owned),
            text: text.into(),
        };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    fn count(&self, verdict: Verdict) -> u64 {
        self.0.iter().filter(|finding| finding.verdict == verdict).count() as u64
    }
}

/// A channel with the settings that count for it.
#[derive(Serialize)]
struct Effective {
    channel: Option<String>,
    settings: Vec<settings::Setting>,
}

/// Everything, for programs.
#[derive(Serialize)]
struct Report<'a> {
    configuration: String,
    findings: &'a [Finding],
    channels: Vec<Effective>,
}

/// Checks and tells.
///
/// # Errors
/// [`Exit::Config`] when something is wrong; warnings alone are fine.
pub fn run(path: &Path, args: &CheckArgs) -> Result<()> {
    let mut findings = Findings::default();
    if let Err(error) = std::fs::File::open(path) {
        // All else would follow from this.
        let text = format!("{}: {error}; `-C FILE` names the configuration", path.display());
        findings.add(Verdict::Error, None, text.clone());
        tell(path, args, &findings, Vec::new())?;
        return Err(Failure::new(Exit::Config, "the configuration cannot be read"));
    }
    let config = read(path, &mut findings);
    let mut effective = Vec::new();
    match channels(&config, args.channel.as_deref()) {
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        // All that is wrong with values has been told.
        Err(_) => {}
        Ok(found) => {
            check(&config, &found, args, &mut findings);
            effective = found
                .iter()
                .map(|settings| Effective {
                    channel: settings.channel.clone(),
                    settings: settings::of(&config, settings),
                })
                .collect();
        }
    }
    tell(path, args, &findings, effective)?;
    match findings.count(Verdict::Error) {
        0 => Ok(()),
        errors => Err(Failure::new(
            Exit::Config,
            format!("{} to put right", table::count(errors, "error")),
        )),
    }
}

/// Reads the file as all programs do, and finds every wrong line and value.
fn read(path: &Path, findings: &mut Findings) -> Config {
    let (mut config, errors) = Config::load_all(path, Service::SyncClient);
    for error in errors {
        findings.add(Verdict::Error, None, error.to_string());
    }
    for service in [Service::SyncServer, Service::SyncClient] {
        let (config, _) = Config::load_all(path, service);
        for warning in config.warnings() {
            findings.add(Verdict::Warning, None, warning.to_string());
        }
    }
    for _ in 0..ERRORS_MAX {
        let Some(error) = first_error(&config, findings) else {
            break;
        };
        findings.add(Verdict::Error, None, error.to_string());
        match error {
            ConfigError::Line { place, .. } => config = config.without(&place),
            _ => break,
        }
    }
    let (server, _) = Config::load_all(path, Service::SyncServer);
    if let Err(error) = Settings::from_config(&server) {
        findings.add(Verdict::Error, None, error.to_string());
    }
    config
}

/// The first value that no program can take, for any channel; warnings about values by the way.
fn first_error(config: &Config, findings: &mut Findings) -> Option<ConfigError> {
    let names = match config.channels() {
        Ok(names) => names,
        Err(error) => return Some(error),
    };
    for name in std::iter::once(None).chain(names) {
        match Settings::for_channel(config, name.as_deref()) {
            Err(error) => return Some(error),
            Ok(settings) => {
                for warning in &settings.warnings {
                    findings.add(Verdict::Warning, None, warning.to_string());
                }
            }
        }
    }
    None
}

fn check(config: &Config, found: &[Settings], args: &CheckArgs, findings: &mut Findings) {
    local::file(config, findings);
    local::clock(findings);
    if let Ok(settings) = Settings::from_config(config) {
        local::places(&settings, findings);
    }
    if found.is_empty() {
        let text = "no channel: set `sync_host` (or `CHANNEL_sync_host`) to replicate from here; a replica needs none";
        findings.add(Verdict::Warning, None, text);
    }
    for settings in found {
        local::channel(settings, findings);
        if !args.offline {
            connect::try_out(settings, findings);
        }
    }
}

fn tell(path: &Path, args: &CheckArgs, findings: &Findings, effective: Vec<Effective>) -> Result<()> {
    if args.json {
        return output::print_json(&Report {
            configuration: path.display().to_string(),
            findings: &findings.0,
            channels: effective,
        });
    }
    output::to_stdout(|out| {
        for one in &effective {
            writeln!(out, "{}", title(one.channel.as_deref()))?;
            for setting in &one.settings {
                let place = setting
                    .place
                    .as_deref()
                    .map_or_else(String::new, |place| format!("  ({place})"));
                writeln!(out, "  {}: {}{place}", setting.key, printable(&setting.value))?;
            }
        }
        for finding in &findings.0 {
            let word = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "WARNING",
                Verdict::Error => "ERROR",
            };
            let about = finding
                .channel
                .as_deref()
                .map_or_else(String::new, |name| format!("{}: ", title(Some(name))));
            writeln!(out, "{word}: {about}{}", printable(&finding.text))?;
        }
        writeln!(
            out,
            "{}, {}",
            table::count(findings.count(Verdict::Error), "error"),
            table::count(findings.count(Verdict::Warning), "warning")
        )
    })
}

fn title(channel: Option<&str>) -> String {
    match channel {
        None | Some("") => "default channel".to_owned(),
        Some(name) => format!("channel {}", printable(name)),
    }
}
