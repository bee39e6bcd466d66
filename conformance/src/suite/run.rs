//! Plays many scenarios and judges each.

use super::play::{self, Outcome, Played};
use super::profile::{self, Deviation, Profile};
use super::report::{Difference, Judged, Report, Verdict};
use super::rules::Rules;
use super::scenario::{Judges, Scenario};
use super::target::Target;
use super::wire::Wire;
use crate::suite::matching::Heard;
use crate::{Error, Result};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Scenarios at the same time.
    pub jobs: usize,
    /// How often each is played; all runs must give the same verdict.
    pub repeat: u32,
    /// Only these, with `*` for anything; all when empty.
    pub only: Vec<String>,
    /// Whether what the scenarios made stays in the server.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            jobs: 4,
            repeat: 1,
            only: Vec::new(),
            keep: false,
        }
    }
}

/// What a run needs besides the scenarios.
pub struct Bench<'a> {
    /// The server.
    pub target: &'a Target,
    /// What is known of it.
    pub profile: Option<&'a Profile>,
    /// The texts of the rules.
    pub rules: &'a Rules,
    /// The folder of the scenarios, which their names are shown below.
    pub folder: &'a Path,
    /// Makes the server forget what a scenario left in its processes.
    pub renew: &'a (dyn Fn() + Sync),
}

/// Reads a server's banner into its target.
///
/// # Errors
/// When nobody listens there, or what listens says no csync banner.
pub fn greet(target: &mut Target) -> Result<()> {
    let mut wire =
        Wire::connect(&target.address).map_err(Error::io(format!("connecting to {}", target.address)))?;
    target.banner.clear();
    loop {
        match wire.line(play::PATIENCE) {
            Heard::Line(line) if line.starts_with(b"* ") => {
                let line = String::from_utf8_lossy(&line).into_owned();
                let is_last = line.starts_with("* OK");
                target.banner.push(line);
                if is_last {
                    return Ok(());
                }
            }
            heard => {
                let what = format!(
                    "{} in place of a csync banner at {}",
                    heard.shown(),
                    target.address
                );
                return Err(Error::Unreadable(what));
            }
        }
    }
}

/// Plays all scenarios that judge servers and were asked for.
pub fn run(scenarios: &[Scenario], bench: &Bench<'_>, options: &Options) -> Report {
    let started = Instant::now();
    let is_meant = |scenario: &&Scenario| {
        let named = |glob: &String| profile::fits(glob, &scenario.name);
        scenario.judges == Judges::Server && (options.only.is_empty() || options.only.iter().any(named))
    };
    let meant: Vec<&Scenario> = scenarios.iter().filter(is_meant).collect();
    let mut judged: Vec<Judged> = Vec::new();
    for repeat in 0..options.repeat.max(1) {
        let round = round(&meant, bench, options);
        if repeat == 0 {
            judged = round;
        } else {
            let pairs = judged.iter_mut().zip(round);
            pairs.for_each(|(first, next)| compare(first, next, repeat + 1));
        }
    }
    Report {
        judges: "server".to_owned(),
        target: bench.target.address.clone(),
        greeting: bench.target.banner.last().cloned().unwrap_or_default(),
        profile: bench
            .profile
            .map_or_else(String::new, |profile| profile.name.clone()),
        profile_about: bench
            .profile
            .map_or_else(String::new, |profile| profile.about.clone()),
        runs: options.repeat.max(1),
        scenarios: judged,
        took: started.elapsed(),
    }
}

/// A verdict that changes from run to run is an error.
pub(super) fn compare(first: &mut Judged, next: Judged, run: u32) {
    if first.verdict == next.verdict || first.verdict == Verdict::Error {
        return;
    }
    let reason = format!(
        "{} in the first run, {} in run {run}",
        first.verdict.name(),
        next.verdict.name()
    );
    if next.verdict.is_bad() || !first.verdict.is_bad() {
        *first = next;
    }
    first.verdict = Verdict::Error;
    first.reason = reason;
}

/// Each scenario once. Those that leave something behind come last, one at a time.
fn round(scenarios: &[&Scenario], bench: &Bench<'_>, options: &Options) -> Vec<Judged> {
    let run = run_id();
    let stem = |at: usize| format!("t{run}q{at}");
    let next = AtomicUsize::new(0);
    let judged: Mutex<Vec<(usize, Judged)>> = Mutex::new(Vec::new());
    let keep = |at: usize, one: Judged| {
        // A panic elsewhere has been reported there; what was judged still counts.
        let mut all = judged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.push((at, one));
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(scenario) = scenarios.get(at) else { return };
                    if scenario.leaves.is_none() {
                        keep(at, judge(scenario, bench, &stem(at), options.keep));
                    }
                }
            });
        }
    });
    for (at, scenario) in scenarios
        .iter()
        .enumerate()
        .filter(|(_, one)| one.leaves.is_some())
    {
        keep(at, judge(scenario, bench, &stem(at), options.keep));
        (bench.renew)();
    }
    let mut judged = judged
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    judged.sort_by_key(|(at, _)| *at);
    judged.into_iter().map(|(_, one)| one).collect()
}

/// Letters and digits that no other run has used.
pub(super) fn run_id() -> String {
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since.as_millis() as u64;
    let round = ROUNDS.fetch_add(1, Ordering::Relaxed) as u64;
    let mut number = (millis << 12) ^ (u64::from(std::process::id()) << 4) ^ round;
    let mut text = String::new();
    while number > 0 {
        let digit = (number % 36) as u32;
        text.insert(0, char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
    }
    text
}

fn judge(scenario: &Scenario, bench: &Bench<'_>, stem: &str, keep: bool) -> Judged {
    let mut judged = unjudged(scenario, bench.rules, bench.folder);
    let skip = bench
        .profile
        .and_then(|profile| profile.skip(scenario))
        .map(str::to_owned);
    if let Some(reason) = skip.or_else(|| bench.target.lacks(&scenario.needs)) {
        judged.verdict = Verdict::Skipped;
        judged.reason = reason;
        return judged;
    }
    let known = bench.profile.and_then(|profile| profile.deviation(scenario));
    let played = play::play(scenario, bench.target, stem, known, keep);
    settle(&mut judged, played, known);
    judged
}

/// Gives a scenario that was played its verdict.
pub(super) fn settle(judged: &mut Judged, played: Played, known: Option<&Deviation>) {
    let is_known = played.is_known;
    judged.transcript = played.transcript;
    judged.took = played.took;
    match (played.outcome, known) {
        (Outcome::Broken(reason), _) => {
            judged.verdict = Verdict::Error;
            judged.reason = reason;
        }
        (Outcome::Passed, None) => judged.verdict = Verdict::Pass,
        (Outcome::Passed, Some(known)) => {
            judged.verdict = Verdict::UnexpectedPass;
            judged.reason = format!("profile {} says that it does: {}", known.profile, known.does_text);
        }
        (Outcome::Failed(failure), known) => {
            judged.verdict = if is_known {
                Verdict::Deviates
            } else {
                Verdict::Fail
            };
            judged.difference = Some(Difference {
                line: failure.line,
                expected: failure.expected,
                heard: failure.heard.shown(),
                why: failure.why,
            });
            if let Some(known) = known {
                judged.evidence.clone_from(&known.evidence);
                judged.reason = if is_known {
                    known.reason.clone()
                } else {
                    format!(
                        "not as profile {} says, either: {}",
                        known.profile, known.does_text
                    )
                };
            }
        }
    }
}

/// A scenario without a verdict.
pub(super) fn unjudged(scenario: &Scenario, rules: &Rules, folder: &Path) -> Judged {
    let rule = |id: &String| {
        let text = rules.get(id).cloned().unwrap_or_default();
        (id.clone(), text)
    };
    let file = scenario.path.strip_prefix(folder).unwrap_or(&scenario.path);
    Judged {
        name: scenario.name.clone(),
        subject: scenario.subject.clone(),
        about: scenario.about.clone(),
        file: file.display().to_string(),
        rules: scenario.rules.iter().map(rule).collect(),
        verdict: Verdict::Error,
        reason: String::new(),
        evidence: String::new(),
        difference: None,
        transcript: Vec::new(),
        took: Duration::ZERO,
    }
}
