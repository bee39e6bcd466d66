//! Small cases, all of them: every history of a few operations on two servers that replicate to each other, and every
//! storage ticket of it as the moment at which a process dies.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::plan::{Deed, Link, Moment, Noise, Plan, Profile, Step, What};
use crate::report::Finding;
use crate::run::execute;

/// What can be done in a history, on either server: a message arrives, the first one is flagged, the first one is expunged,
/// everything is replicated to the other.
const OPERATIONS: usize = 8;
/// Most messages of a history.
const MESSAGES_MAX: usize = 3;
/// Between two operations; longer than anything takes.
const PACE_MS: u64 = 1_000;

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// Histories.
    pub histories: u64,
    /// Runs, each history once in peace and once for each moment of death.
    pub runs: u64,
    /// Plans that break a rule, with what they break.
    pub found: Vec<(Plan, Finding)>,
}

/// Findings after which nothing more is looked at.
const FOUND_MAX: usize = 20;

/// Runs all histories of up to so many operations, on so many threads. `tell` gets the histories done and their number,
/// now and then.
pub fn run(operations: u32, threads: usize, tell: impl Fn(u64, u64) + Sync) -> Outcome {
    let all = histories(operations);
    let next = AtomicUsize::new(0);
    let runs = AtomicU64::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(history) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (count, mut broken) = every_death(history);
                    runs.fetch_add(count, Ordering::Relaxed);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.append(&mut broken);
                    if found.len() >= FOUND_MAX {
                        return;
                    }
                    tell(next.load(Ordering::Relaxed) as u64, all.len() as u64);
                }
            });
        }
    });
    Outcome {
        histories: all.len() as u64,
        runs: runs.into_inner(),
        found: found.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

/// All sequences of operations that could happen: nothing is flagged or expunged where nothing can be.
fn histories(operations: u32) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut longest: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..operations {
        let mut longer = Vec::new();
        for history in &longest {
            for operation in 0..OPERATIONS {
                let arrived = history.iter().filter(|done| **done < 2).count();
                let is_arrival = operation < 2;
                let needs_mail = (2..6).contains(&operation);
                if (is_arrival && arrived >= MESSAGES_MAX) || (needs_mail && arrived == 0) {
                    continue;
                }
                longer.push([history.as_slice(), &[operation]].concat());
            }
        }
        all.extend(longer.iter().cloned());
        longest = longer;
    }
    all
}

/// One history, in peace and with each death. Answers the runs and what was broken.
fn every_death(history: &[usize]) -> (u64, Vec<(Plan, Finding)>) {
    let calm = plan(history);
    let (report, _) = execute(&calm, false);
    let mut runs = 1;
    let mut found = Vec::new();
    if let Some(finding) = report.finding {
        return (runs, vec![(calm, finding)]);
    }
    for (host, tickets) in report.tickets_of.iter().enumerate().take(calm.hosts) {
        for nth in 0..*tickets {
            let mut plan = calm.clone();
            let death = What::CrashAtTicket {
                nth,
                moment: Moment::Before,
                down_ms: 1,
            };
            let step = Step {
                at_ms: 0,
                host,
                what: death,
            };
            plan.steps.insert(0, step);
            runs += 1;
            if let Some(finding) = execute(&plan, false).0.finding {
                found.push((plan, finding));
            }
        }
    }
    (runs, found)
}

/// Two servers with one INBOX between them, then the history.
fn plan(history: &[usize]) -> Plan {
    let link = |from, to| Link {
        from,
        to,
        rolling: false,
    };
    let beginning = [
        (0, What::Client(Deed::Create { user: 0, folder: 0 })),
        (0, What::Run { link: 0, user: None }),
    ];
    let mut arrived = 0;
    let happenings = history.iter().map(|operation| {
        let (kind, host) = (operation / 2, operation % 2);
        let what = match kind {
            0 => {
                arrived += 1;
                What::Client(Deed::Append {
                    user: 0,
                    folder: 0,
                    bodies: vec![arrived],
                    flags: 0,
                })
            }
            1 => What::Client(Deed::Flag {
                user: 0,
                folder: 0,
                nth: 0,
                flags: if host == 0 { 4 } else { 2 },
            }),
            2 => What::Client(Deed::Expunge {
                user: 0,
                folder: 0,
                nth: 0,
            }),
            _ => What::Run {
                link: host,
                user: None,
            },
        };
        (host, what)
    });
    let steps = beginning.into_iter().chain(happenings).enumerate();
    Plan {
        seed: 0,
        profile: Profile::Mesh,
        hosts: 2,
        links: vec![link(0, 1), link(1, 0)],
        dialects: Vec::new(),
        noise: Noise {
            pieces: false,
            latency_ms_max: 0,
            store_ms_max: 0,
        },
        steps: steps
            .map(|(nth, (host, what))| Step {
                at_ms: nth as u64 * PACE_MS,
                host,
                what,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_counted_by_hand() {
        // A message on either server, or a run of either.
        assert_eq!(histories(1).len(), 4);
        // Behind a message anything, behind a run what is possible at first.
        assert_eq!(histories(2).len(), 4 + 2 * 8 + 2 * 4);
    }
}
