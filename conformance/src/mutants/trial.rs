//! The suite run against one build with one mutant on: by the same commands that anybody runs.

use super::Program;
use crate::{Error, Result};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the suite may take over one mutant.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// A scenario that was not passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    /// Its name.
    pub(super) name: String,
    /// The rules that it cites.
    pub(super) rules: Vec<String>,
    /// The suite could not tell, which names nothing.
    pub(super) is_error: bool,
}

/// What a run of the suite came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Scenarios judged.
    pub(super) played: usize,
    /// Those that were not passed.
    pub(super) failed: Vec<Failed>,
}

/// How to run the suite.
pub(super) struct Trial<'a> {
    /// The folder of the programs.
    pub(super) programs: &'a Path,
    /// Which of them is judged.
    pub(super) program: Program,
    /// The mutant that is on in it, if any.
    pub(super) mutant: Option<&'a str>,
    /// Only these scenarios, all when empty.
    pub(super) only: &'a [String],
    /// Scenarios at the same time.
    pub(super) jobs: u16,
}

impl Trial<'_> {
    /// Runs the suite.
    ///
    /// # Errors
    /// A suite that cannot run, does not end, or leaves no report; a program that did not survive is one reason.
    pub(super) fn run(&self) -> Result<Outcome> {
        let place = tempfile::tempdir().map_err(Error::io("creating a folder for a report"))?;
        let report = place.path().join("report.json");
        let said = place.path().join("said");
        let said_file = File::create(&said).map_err(Error::io("creating a file for messages"))?;
        let this = std::env::current_exe().map_err(Error::io("asking for this executable's path"))?;
        let mut command = Command::new(this);
        command.arg(match self.program {
            Program::Server => "server",
            Program::Client => "client",
        });
        command
            .args(["--start", "mailtwin", "--jobs", &self.jobs.to_string()])
            .arg("--json")
            .arg(&report)
            .args(self.only.iter().flat_map(|name| ["--only", name]))
            .env("MAILTWIN_BIN_DIR", self.programs)
            .env_remove(planted::SWITCH_VARIABLE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(said_file));
        if let Some(mutant) = self.mutant {
            let switch = format!("{mutant}@{}", self.program.name());
            command.env(planted::SWITCH_VARIABLE, switch);
        }
        finish(&mut command)?;
        let text = std::fs::read_to_string(&report).map_err(|_| {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            Error::Process(format!("the suite left no report: {}", said.trim()))
        })?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Error::Unreadable(format!("the suite's report: {error}")))?;
        Ok(outcome(&value))
    }
}

fn finish(command: &mut Command) -> Result<()> {
    let mut child = command.spawn().map_err(Error::io("starting the suite"))?;
    let end = Instant::now() + LIMIT;
    loop {
        let ended = child.try_wait().map_err(Error::io("waiting for the suite"))?;
        if ended.is_some() {
            return Ok(());
        }
        if Instant::now() >= end {
            child.kill().map_err(Error::io("ending the suite"))?;
            child.wait().map_err(Error::io("waiting for the suite"))?;
            return Err(Error::Process(format!(
                "the suite did not end within {} minutes",
                LIMIT.as_secs() / 60
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn outcome(report: &Value) -> Outcome {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut outcome = Outcome::default();
    for scenario in list(&report["subjects"])
        .iter()
        .flat_map(|subject| list(&subject["scenarios"]))
    {
        outcome.played += 1;
        let is_error = match scenario["verdict"].as_str() {
            Some("pass" | "deviates-as-known" | "skipped") => continue,
            Some("fail") => false,
            _ => true,
        };
        outcome.failed.push(Failed {
            name: text(&scenario["name"]),
            rules: list(&scenario["rules"])
                .iter()
                .map(|rule| text(&rule["id"]))
                .collect(),
            is_error,
        });
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let scenario = |name: &str, verdict: &str| serde_json::json!({ "name": name, "verdict": verdict, "rules": [{ "id": "A-1" }] });
        let report = serde_json::json!({ "subjects": [
            { "scenarios": [scenario("a/b", "pass"), scenario("a/c", "fail")] },
            { "scenarios": [scenario("d/e", "error")] },
        ]});
        let outcome = outcome(&report);
        assert_eq!(outcome.played, 3);
        let names: Vec<_> = outcome
            .failed
            .iter()
            .map(|one| (one.name.as_str(), one.is_error))
            .collect();
        assert_eq!(names, [("a/c", false), ("d/e", true)]);
        assert_eq!(outcome.failed[0].rules, ["A-1"]);
    }
}
