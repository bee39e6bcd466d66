//! Runs plans, many at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::plan::{Plan, Profile, generate};
use crate::report::{Finding, Report, Verdict};
use crate::trace::{Happened, Trace};
use crate::world::World;

/// Runs one plan; a panic is a finding.
pub fn execute(plan: &Plan, traced: bool) -> (Report, Vec<Happened>) {
    let world = World::new(plan, Trace::new(traced));
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(done) => done,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let finding = Finding {
                verdict: Verdict::Crash,
                rule: "nothing panics".to_owned(),
                text: text.unwrap_or_else(|| "a panic without a text".to_owned()),
                at_ms: 0,
            };
            let report = Report {
                finding: Some(finding),
                ..Report::default()
            };
            (report, Vec::new())
        }
    }
}

/// Runs the plan of a seed.
pub fn seed(seed: u64, profile: Profile) -> Report {
    execute(&generate(seed, profile), false).0
}

/// What came of many seeds.
#[derive(Default)]
pub struct Many {
    /// All counts together.
    pub total: Report,
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds with findings, in order.
    pub found: Vec<(u64, Finding)>,
}

/// Runs seeds from `first` on until one has a finding, or `more` says that it is enough, on so many threads.
pub fn until_found(first: u64, profile: Profile, threads: usize, more: impl Fn(u64) -> bool + Sync) -> Many {
    let is_found = AtomicBool::new(false);
    let more = |nth| !is_found.load(Ordering::Relaxed) && more(nth);
    each(first, profile, threads, more, || {
        is_found.store(true, Ordering::Relaxed);
    })
}

/// Runs seeds from `first` on while `more` says so for the number of seeds begun, on so many threads.
pub fn many(first: u64, profile: Profile, threads: usize, more: impl Fn(u64) -> bool + Sync) -> Many {
    each(first, profile, threads, more, || {})
}

fn each(
    first: u64,
    profile: Profile,
    threads: usize,
    more: impl Fn(u64) -> bool + Sync,
    found: impl Fn() + Sync,
) -> Many {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Many::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut own = Many::default();
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if !more(nth) {
                        break;
                    }
                    let seed = first.wrapping_add(nth);
                    let mut report = self::seed(seed, profile);
                    own.seeds += 1;
                    if let Some(finding) = report.finding.take() {
                        own.found.push((seed, finding));
                        found();
                    }
                    own.total.add(report);
                }
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.seeds += own.seeds;
                all.found.append(&mut own.found);
                all.total.add(own.total);
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.found.sort_by_key(|(seed, _)| *seed);
    all
}
