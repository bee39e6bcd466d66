//! Runs plans, many at once.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use super::generate;
use super::plan::Plan;
use super::rules;
use super::sabotage::Sabotage;
use super::world::World;
use crate::plan::HOST_NAMES;
use crate::report::{Clock, Finding, Report, Verdict};
use crate::run::Many;
use crate::trace::{Happened, Kind, Trace};

/// What came of a run.
pub struct Outcome {
    /// Its counts.
    pub report: Report,
    /// What happened, when that was asked for.
    pub happened: Vec<Happened>,
    /// A hash of every byte that moved and every commit, with their times.
    pub hash: u64,
}

thread_local! {
    /// What panicked on this thread since this was last asked.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Has every panic noted: that of a spawned task reaches nobody otherwise.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.to_string();
            let noted = PANICKED.try_with(|noted| {
                if let Ok(mut noted) = noted.try_borrow_mut() {
                    noted.get_or_insert(text);
                }
            });
            if noted.is_err() {
                before(panic);
            }
        }));
    });
}

/// What panicked on this thread since the last call.
pub(super) fn panicked() -> Option<String> {
    PANICKED.with(|noted| noted.borrow_mut().take())
}

/// Runs one plan; a panic is a finding.
pub fn execute(plan: &Plan, traced: bool) -> Outcome {
    execute_with(plan, traced, None)
}

/// The same with something done wrong on purpose.
pub fn execute_with(plan: &Plan, traced: bool, sabotage: Option<Sabotage>) -> Outcome {
    watch_panics();
    // Of an earlier run, and none of this one's.
    drop(panicked());
    let ran = catch_unwind(AssertUnwindSafe(|| {
        World::new(plan, Trace::new(traced), sabotage).run()
    }));
    let (mut report, happened, hash) = ran.unwrap_or_default();
    if let Some(text) = panicked() {
        report.finding = Some(Finding {
            verdict: Verdict::Crash,
            rule: rules::PANICS.to_owned(),
            text,
            at_ms: report.simulated_ms,
        });
    }
    Outcome {
        report,
        happened,
        hash,
    }
}

/// Runs the plan of a seed.
pub fn seed(seed: u64) -> Report {
    execute(&generate(seed), false).report
}

/// Runs seeds from `first` on while `more` says so for the number of seeds begun, on so many threads; `told` hears of each
/// finding at once.
pub fn many(
    first: u64,
    threads: usize,
    more: impl Fn(u64) -> bool + Sync,
    told: impl Fn(u64, &Finding) + Sync,
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
                    let number = first.wrapping_add(nth);
                    let mut report = seed(number);
                    own.seeds += 1;
                    if let Some(finding) = report.finding.take() {
                        told(number, &finding);
                        own.found.push((number, finding));
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

/// A run as text, a line for each thing that happened.
pub fn story(plan: &Plan, outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "ring 2, seed {}, {} machines", plan.seed, plan.hosts);
    for (nth, link) in plan.links.iter().enumerate() {
        let how = if link.rolling {
            "following a log"
        } else {
            "run by run"
        };
        let _ = writeln!(
            out,
            "  client {nth}: {} to {}, {how}",
            HOST_NAMES[link.from], HOST_NAMES[link.to]
        );
    }
    let _ = writeln!(out, "  {:?}", plan.tuning);
    for what in &outcome.happened {
        let mark = match what.kind {
            Kind::Client => "mail   ",
            Kind::Message => "bytes  ",
            Kind::Storage => "stores ",
            Kind::Fault => "FAULT  ",
            Kind::Connection => "link   ",
            Kind::Verdict => "BROKEN ",
        };
        let time = Clock(what.at_ms).to_string();
        let _ = writeln!(out, "{time:>12}  {mark}{}: {}", HOST_NAMES[what.host], what.text);
    }
    let _ = match &outcome.report.finding {
        Some(finding) => writeln!(out, "{finding}"),
        None => writeln!(out, "no rule was broken"),
    };
    out
}
