//! Trying each mutant with the tests, and apart from that with the simulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::list::Mutant;
use super::process::End;
use super::results::{Judged, Results, Said};
use super::tree::Tree;
use super::trials::{Desk, Kind, Trial};

/// Runs `work` on all items with so many workers, each with a desk; the first error ends it.
fn share<T: Sync>(
    items: &[T],
    desks: &[Desk],
    work: impl Fn(&T, &Desk) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for desk in desks {
            let (next, failed, work) = (&next, &failed, &work);
            scope.spawn(move || {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(item, desk) {
                        next.store(items.len(), Ordering::Relaxed);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    }
                }
            });
        }
    });
    failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// Desks for so many workers.
///
/// # Errors
/// When their folders cannot be made.
pub fn desks(scratch: &Path, tree: &Tree, jobs: usize) -> Result<Vec<Desk>, String> {
    (0..jobs.max(1))
        .map(|worker| Desk::new(scratch, &tree.path, worker))
        .collect()
}

/// Runs all trials without a mutant; keeps those that end well, quickest first, and names the others.
///
/// # Errors
/// When a program cannot be started.
pub fn rehearse(trials: Vec<Trial>, desks: &[Desk]) -> Result<(Vec<Trial>, Vec<String>), String> {
    let (good, bad) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let trials: Vec<Mutex<Option<Trial>>> = trials.into_iter().map(|trial| Mutex::new(Some(trial))).collect();
    share(&trials, desks, |slot, desk| {
        let Some(mut trial) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let end = trial.rehearse(desk)?;
        desk.clear();
        if end.ok() {
            good.lock().unwrap_or_else(PoisonError::into_inner).push(trial);
        } else {
            bad.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(trial.name);
        }
        Ok(())
    })?;
    let mut good = good.into_inner().unwrap_or_else(PoisonError::into_inner);
    good.sort_by(|a, b| (a.took, &a.name).cmp(&(b.took, &b.name)));
    Ok((good, bad.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// Judges mutants and writes down each verdict at once. With `before`, only what is caught now changes the verdicts there.
///
/// # Errors
/// When a program cannot be started or a result cannot be written.
pub fn judge(
    mutants: &[(u32, &Mutant)],
    trials: &[Trial],
    desks: &[Desk],
    results: &Results,
    before: Option<&BTreeMap<String, Judged>>,
) -> Result<(), String> {
    let done = AtomicUsize::new(0);
    share(mutants, desks, |(number, mutant), desk| {
        let mut judged = Judged {
            id: mutant.id.clone(),
            commit: results.commit.clone(),
            viable: true,
            tests: try_all(*number, Kind::Test, trials, desk)?,
            ring1: try_all(*number, Kind::Ring1, trials, desk)?,
        };
        desk.clear();
        if let Some(before) = before.and_then(|before| before.get(&mutant.id)) {
            for (now, then) in [
                (&mut judged.tests, &before.tests),
                (&mut judged.ring1, &before.ring1),
            ] {
                if !now.caught() {
                    *now = then.clone();
                }
            }
        }
        let nth = done.fetch_add(1, Ordering::Relaxed) + 1;
        let (tests, ring1) = (judged.tests.word(), judged.ring1.word());
        println!(
            "{nth}/{} {} tests: {tests}, ring 1: {ring1} | {}: {}",
            mutants.len(),
            mutant.id,
            mutant.file,
            mutant.what
        );
        results.append(&judged)
    })
}

/// Tries a mutant with every trial of a kind that comes by it, until one notices.
fn try_all(number: u32, kind: Kind, trials: &[Trial], desk: &Desk) -> Result<Said, String> {
    let mut said = Said::Unreached;
    for trial in trials
        .iter()
        .filter(|trial| trial.kind == kind && trial.reached.contains(&number))
    {
        let how = match trial.with(number, desk)? {
            End::Code(0) => {
                said = Said::Missed;
                continue;
            }
            End::Code(code) => format!("exit {code}"),
            End::Killed => "killed".to_owned(),
            End::Late => "late".to_owned(),
        };
        return Ok(Said::Caught {
            by: trial.name.clone(),
            how,
        });
    }
    Ok(said)
}

/// How many trials of each kind come by each mutant.
pub fn reach(trials: &[Trial], kind: Kind) -> BTreeMap<u32, usize> {
    let mut reach = BTreeMap::new();
    for number in trials
        .iter()
        .filter(|trial| trial.kind == kind)
        .flat_map(|trial| &trial.reached)
    {
        *reach.entry(*number).or_default() += 1;
    }
    reach
}
