//! Many targets for so many seconds each, some of them at once, and a table of what they did.

use std::sync::Mutex;
use std::time::Instant;

use super::Place;
use crate::step;

/// What one target's run came to.
struct Outcome {
    target: String,
    seconds: u64,
    ok: bool,
    statistics: Statistics,
}

/// What libFuzzer says at its end.
#[derive(Debug, Default, PartialEq)]
struct Statistics {
    executions: u64,
    new_inputs: u64,
    slowest_seconds: u64,
    edges: u64,
}

/// Fuzzes the targets, `jobs` of them at a time. What each printed goes to a file of its own and, when it failed, to stdout.
///
/// False when any failed.
pub fn run(place: &Place, targets: &[String], seconds: u64, jobs: usize) -> bool {
    println!(
        "\n── fuzz {} targets for {seconds} s each, {jobs} at a time",
        targets.len()
    );
    let waiting = Mutex::new(targets.iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, targets.len().max(1)) {
            scope.spawn(|| {
                while let Some(target) = waiting.lock().ok().and_then(|mut waiting| waiting.next()) {
                    let outcome = one(place, target, seconds);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by(|one, other| one.target.cmp(&other.target));
    print(&outcomes);
    // A thread that died left its target without an outcome.
    outcomes.len() == targets.len() && outcomes.iter().all(|outcome| outcome.ok)
}

fn one(place: &Place, target: &str, seconds: u64) -> Outcome {
    let started = Instant::now();
    let finished = place.fuzz(target, seconds);
    let outcome = Outcome {
        target: target.to_owned(),
        seconds: started.elapsed().as_secs(),
        ok: finished.ok,
        statistics: statistics(&finished.output),
    };
    match save(place, target, &finished) {
        Ok(()) if finished.ok => println!("   {target}: nothing found in {} s", outcome.seconds),
        Ok(()) => println!("{}\n   {target}: FAILED", last_lines(&finished.output)),
        Err(error) => println!(
            "{}\n   {target}: its log cannot be written: {error}",
            last_lines(&finished.output)
        ),
    }
    outcome
}

fn save(place: &Place, target: &str, finished: &step::Finished) -> std::io::Result<()> {
    let folder = place.made.join("logs");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{target}.log")), &finished.output)
}

/// The part of the output that tells of a failure.
fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn statistics(output: &str) -> Statistics {
    let stat = |name: &str| {
        let line = output.lines().rfind(|line| line.starts_with(name))?;
        line.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    let edges = || {
        let line = output.lines().rfind(|line| line.contains(" cov: "))?;
        let (_, rest) = line.split_once(" cov: ")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    Statistics {
        executions: stat("stat::number_of_executed_units:").unwrap_or(0),
        new_inputs: stat("stat::new_units_added:").unwrap_or(0),
        slowest_seconds: stat("stat::slowest_unit_time_sec:").unwrap_or(0),
        edges: edges().unwrap_or(0),
    }
}

fn print(outcomes: &[Outcome]) {
    println!(
        "\n{:<18} {:>7} {:>12} {:>9} {:>11} {:>7} {:>10}",
        "target", "seconds", "executions", "a second", "new inputs", "edges", "slowest s"
    );
    for outcome in outcomes {
        let Statistics {
            executions,
            new_inputs,
            slowest_seconds,
            edges,
        } = outcome.statistics;
        println!(
            "{:<18} {:>7} {executions:>12} {:>9} {new_inputs:>11} {edges:>7} {slowest_seconds:>10} {}",
            outcome.target,
            outcome.seconds,
            executions / outcome.seconds.max(1),
            if outcome.ok { "" } else { "FAILED" }
        );
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.ok).count();
    println!(
        "{} targets, {} executions, {failed} with a finding",
        outcomes.len(),
        outcomes
            .iter()
            .map(|outcome| outcome.statistics.executions)
            .sum::<u64>()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read() {
        let said = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 28Mb\n\
                    #84488\tDONE   cov: 1384 ft: 3853 corp: 490/12Kb lim: 116 exec/s: 6499 rss: 29Mb\n\
                    Done 84488 runs in 13 second(s)\n\
                    stat::number_of_executed_units: 84488\n\
                    stat::average_exec_per_sec:     6499\n\
                    stat::new_units_added:          47\n\
                    stat::slowest_unit_time_sec:    1\n";
        let expected = Statistics {
            executions: 84488,
            new_inputs: 47,
            slowest_seconds: 1,
            edges: 1384,
        };
        assert_eq!(statistics(said), expected);
        assert_eq!(statistics("no such program"), Statistics::default());
    }

    #[test]
    fn a_failure_shows_by_its_last_lines() {
        let long: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let shown = last_lines(&long.join("\n"));
        assert!(shown.starts_with("40\n") && shown.ends_with("\n99"));
        assert_eq!(last_lines("one\ntwo"), "one\ntwo");
    }
}
