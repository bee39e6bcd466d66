//! A fixed set of seeds of each profile, and that a seed is a run.

use sim::plan::{Profile, generate};
use sim::run::execute;

fn find_nothing(profile: Profile, seeds: u64) {
    for seed in 0..seeds {
        let (report, _) = execute(&generate(seed, profile), false);
        if let Some(finding) = report.finding {
            panic!("seed {seed} of {profile:?}: {finding}");
        }
    }
}

#[test]
fn pairs() {
    find_nothing(Profile::Pair, 100);
}

#[test]
fn both_sides_changed() {
    find_nothing(Profile::Split, 100);
}

#[test]
fn rolling() {
    find_nothing(Profile::Rolling, 100);
}

#[test]
fn meshes() {
    find_nothing(Profile::Mesh, 100);
}

#[test]
fn stores_from_backups() {
    find_nothing(Profile::Backup, 100);
}

#[test]
fn a_plan_is_a_run_to_the_letter() {
    for profile in Profile::ALL {
        for seed in 0..10 {
            let plan = generate(seed, profile);
            let (first, second) = (execute(&plan, true), execute(&plan, true));
            assert_eq!(first.0, second.0, "seed {seed} of {profile:?}");
            assert!(!first.1.is_empty());
            assert!(
                first.1 == second.1,
                "the traces of seed {seed} of {profile:?} differ"
            );
        }
    }
}

#[test]
fn a_saved_plan_is_the_plan() {
    for profile in Profile::ALL {
        let plan = generate(7, profile);
        let text = serde_json::to_string(&plan).expect("a plan is plain data");
        let back: sim::plan::Plan = serde_json::from_str(&text).expect("as written");
        assert_eq!(back, plan);
    }
}

#[test]
fn all_histories_of_two_operations_with_every_death() {
    let outcome = sim::exhaustive::run(2, 2, |_, _| {});
    assert_eq!(outcome.histories, 28);
    assert!(outcome.runs > 1_000, "{} runs", outcome.runs);
    assert!(outcome.found.is_empty(), "{:?}", outcome.found);
}

/// A seed that once broke a rule.
fn finds_nothing_now(seed: u64, profile: Profile) {
    let (report, _) = execute(&generate(seed, profile), false);
    assert_eq!(report.finding, None, "seed {seed} of {profile:?}");
}

#[test]
fn a_mailbox_is_not_deleted_by_a_stale_listing() {
    finds_nothing_now(344, Profile::Mesh);
}

#[test]
fn a_mailbox_that_comes_back_names_no_uid_twice() {
    finds_nothing_now(17_963, Profile::Split);
    finds_nothing_now(14_124, Profile::Split);
}

#[test]
fn a_deleted_mailbox_that_cannot_be_looked_at_is_not_moved_aside() {
    finds_nothing_now(12_075, Profile::Rolling);
    finds_nothing_now(7_348, Profile::Rolling);
}
