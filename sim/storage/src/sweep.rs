//! All scenarios of a seed: counted in one run, gone through in the others.

use std::collections::BTreeMap;

use sim_vfs::chance::Chance;
use sim_vfs::{Fault, Lies, Loss, Plan, Point};

use crate::finding::{Finding, Rule};
use crate::run::{Outcome, run};
use crate::scenario::Scenario;
use crate::server::Again;
use crate::workload::{Workload, generate};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Steps of a workload behind the first few.
    pub steps: usize,
    /// Crashes behind other changes than syncs, at most; all syncs are crashed in any case.
    pub changes: u64,
    /// Operations that fail, at most.
    pub failures: u64,
    /// Whether the seed's workload has a replica. `None` lets every fourth seed have one.
    pub replica: Option<bool>,
}

impl Default for Effort {
    fn default() -> Self {
        Effort {
            steps: 40,
            changes: 200,
            failures: 300,
            replica: None,
        }
    }
}

/// What came of many runs.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Workloads.
    pub seeds: u64,
    /// Runs of these.
    pub runs: u64,
    /// Syncs of files and folders in the workloads, each crashed in every variant.
    pub syncs: u64,
    /// Changes of the disks in the workloads.
    pub changes: u64,
    /// Operations of the disks in the workloads.
    pub operations: u64,
    /// Times a server died and began again.
    pub crashes: u64,
    /// Runs in which an operation failed.
    pub failures: u64,
    /// Of these, failures that the store told of; it can do without the rest.
    pub told: u64,
    /// Transactions acknowledged.
    pub commits: u64,
    /// Runs by kind of scenario.
    pub variants: BTreeMap<&'static str, u64>,
    /// What was found: seed, scenario, rule.
    pub found: Vec<(u64, Scenario, Finding)>,
    /// A number that says what all disks were asked.
    pub trace: u64,
}

impl Totals {
    fn count(&mut self, seed: u64, scenario: Scenario, outcome: Outcome) {
        self.runs += 1;
        self.crashes += outcome.crashes;
        self.commits += outcome.commits;
        for counts in &outcome.counts {
            self.trace = (self.trace.rotate_left(5) ^ counts.trace).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if matches!(scenario.plan, Plan::Fail { .. }) && outcome.hit.is_some() {
            self.failures += 1;
            self.told += u64::from(outcome.told);
        }
        *self.variants.entry(variant(&scenario)).or_default() += 1;
        if let Some(finding) = outcome.finding {
            self.found.push((seed, scenario, finding));
        }
    }

    /// Adds the counts of another.
    pub fn add(&mut self, mut other: Totals) {
        self.seeds += other.seeds;
        self.runs += other.runs;
        self.syncs += other.syncs;
        self.changes += other.changes;
        self.operations += other.operations;
        self.crashes += other.crashes;
        self.failures += other.failures;
        self.told += other.told;
        self.commits += other.commits;
        for (variant, runs) in other.variants {
            *self.variants.entry(variant).or_default() += runs;
        }
        self.found.append(&mut other.found);
        self.trace ^= other.trace;
    }
}

/// The kind of a scenario.
fn variant(scenario: &Scenario) -> &'static str {
    match (scenario.plan, scenario.again.is_some()) {
        (Plan::Calm, _) => "calm",
        (Plan::Crash { loss: Loss::Lost, .. }, _) => "crash, nothing survives",
        (Plan::Crash { loss: Loss::Kept, .. }, _) => "crash, all survives",
        (
            Plan::Crash {
                loss: Loss::Killed, ..
            },
            _,
        ) => "process killed, then a crash",
        (
            Plan::Crash {
                loss: Loss::Torn(_), ..
            },
            false,
        ) => "crash, any part survives",
        (
            Plan::Crash {
                loss: Loss::Torn(_), ..
            },
            true,
        ) => "crash, and another on the way up",
        (Plan::Fail { .. }, true) => "failure, then a crash",
        (
            Plan::Fail {
                fault: Fault::Full, ..
            },
            _,
        ) => "disk full",
        (
            Plan::Fail {
                fault: Fault::Short, ..
            },
            _,
        ) => "short read",
        (Plan::Fail { .. }, _) => "input/output error",
    }
}

/// The workload of a seed.
pub fn workload(seed: u64, effort: &Effort) -> Workload {
    let with_replica = effort.replica.unwrap_or(seed % 4 == 3);
    generate(seed, effort.steps, with_replica)
}

/// Runs one scenario of a seed.
pub fn one(seed: u64, effort: &Effort, scenario: Scenario) -> Totals {
    let mut totals = Totals::default();
    let outcome = run(seed, &workload(seed, effort), scenario, Lies::default());
    totals.count(seed, scenario, outcome);
    totals
}

/// Runs all scenarios of a seed, unless `enough` says so before the next.
pub fn seed(seed: u64, effort: &Effort, enough: &dyn Fn(&Totals) -> bool) -> Totals {
    let workload = workload(seed, effort);
    let mut totals = Totals {
        seeds: 1,
        ..Totals::default()
    };
    let calm = run(seed, &workload, Scenario::default(), Lies::default());
    let counts = calm.counts.clone();
    for counts in &counts {
        totals.syncs += counts.syncs;
        totals.changes += counts.changes;
        totals.operations += counts.operations;
    }
    let is_well = calm.finding.is_none();
    totals.count(seed, Scenario::default(), calm);
    if !is_well {
        return totals;
    }
    let again = run(seed, &workload, Scenario::default(), Lies::default());
    if again.counts != counts {
        let finding = Finding::new(Rule::Answers, "the same workload asked the disk other things");
        totals.found.push((seed, Scenario::default(), finding));
    }
    for scenario in scenarios(seed, effort, &counts) {
        if enough(&totals) {
            break;
        }
        let outcome = run(seed, &workload, scenario, Lies::default());
        totals.count(seed, scenario, outcome);
    }
    totals
}

/// What is to go wrong in a workload that asked the disks so much.
fn scenarios(seed: u64, effort: &Effort, counts: &[sim_vfs::Counts]) -> Vec<Scenario> {
    let mut chance = Chance::new(seed);
    let mut all = Vec::new();
    for (disk, counts) in counts.iter().enumerate() {
        for nth in 0..counts.syncs {
            let at = Point::Sync(nth);
            let mut crash = |loss, again| {
                let plan = Plan::Crash { at, loss };
                all.push(Scenario { disk, plan, again });
            };
            let mut torn = || Loss::Torn(chance.next_u64() % 1_000_000);
            crash(Loss::Lost, None);
            crash(Loss::Kept, None);
            crash(torn(), None);
            crash(torn(), None);
            let (first, second) = (torn(), torn());
            let delay = chance.below(40) as u64;
            let soon = |loss| Some(Again { delay, loss });
            crash(first, soon(second));
            crash(
                Loss::Killed,
                soon(if delay.is_multiple_of(2) {
                    Loss::Lost
                } else {
                    second
                }),
            );
        }
        for nth in sample(&mut chance, counts.changes, effort.changes) {
            let plan = Plan::Crash {
                at: Point::Change(nth),
                loss: Loss::Torn(chance.next_u64() % 1_000_000),
            };
            all.push(Scenario {
                disk,
                plan,
                again: None,
            });
        }
        for operation in sample(&mut chance, counts.operations, effort.failures) {
            let (fault, lasting) = match chance.below(6) {
                0 | 1 => (Fault::Io, false),
                2 => (Fault::Io, true),
                3 => (Fault::Full, true),
                4 => (Fault::Short, false),
                _ => (Fault::Full, false),
            };
            let plan = Plan::Fail {
                operation,
                fault,
                lasting,
            };
            let loss = Loss::Torn(chance.next_u64() % 1_000_000);
            let again = chance.one_in(4).then_some(Again { delay: 0, loss });
            all.push(Scenario { disk, plan, again });
        }
    }
    all
}

/// So many of the numbers below a bound, one from each stretch.
fn sample(chance: &mut Chance, bound: u64, most: u64) -> Vec<u64> {
    let stretch = bound.div_ceil(most.max(1)).max(1);
    let starts = (0..bound).step_by(usize::try_from(stretch).unwrap_or(usize::MAX));
    starts
        .map(|start| (start + chance.below(stretch as usize) as u64).min(bound - 1))
        .take(usize::try_from(most).unwrap_or(usize::MAX))
        .collect()
}
