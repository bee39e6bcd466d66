//! Runs seeds of a simulator that has the bugs built in, one of them switched on, until one seed finds it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Deserialize;

use planted::SWITCH_VARIABLE;

use super::Bug;
use crate::plan::Profile;

/// What found a bug.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// The rule that was broken.
    pub rule: String,
    /// What was seen.
    pub text: String,
}

/// What came of a hunt.
#[derive(Clone, PartialEq, Debug, Deserialize)]
struct Told {
    seeds: u64,
    findings: Vec<Found>,
}

/// Runs seeds for at most so many seconds, until one has a finding. Answers with it, if there is one, and the seeds run.
///
/// # Errors
/// A simulator that does not start, or says something else than it should.
pub fn hunt(program: &Path, bug: &Bug, seconds: u64, save: &Path) -> Result<(Option<Found>, u64)> {
    let done = Command::new(program)
        .env(SWITCH_VARIABLE, bug.name())
        .args(["run", "--json", "--until-found", "--profile", &name(bug.profile)])
        .args(["--seconds", &seconds.to_string()])
        .arg("--save")
        .arg(save.join(bug.name()))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&done.stdout);
    let Some(line) = text.lines().last() else {
        bail!(
            "the simulator with {} ended with {} and no word",
            bug.name(),
            done.status
        );
    };
    let told: Told = serde_json::from_str(line)
        .with_context(|| format!("the simulator with {} said: {line}", bug.name()))?;
    Ok((told.findings.into_iter().next(), told.seeds))
}

/// The name of a profile in commands.
pub fn name(profile: Profile) -> String {
    profile
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}
