//! The second ring: a fixed set of seeds, a seed is a run, and every rule can be broken.

use sim::plan::{Deed, Link};
use sim::ring2::plan::{Chop, Manner, Plan, Step, Tuning, What};
use sim::ring2::rules::{self, End, Left, Patience, Progress, RULES};
use sim::ring2::sabotage::Sabotage;
use sim::ring2::{execute, execute_with, generate};

#[test]
fn a_fixed_set_of_seeds() {
    for seed in 0..12 {
        let report = execute(&generate(seed), false).report;
        if let Some(finding) = report.finding {
            panic!("seed {seed}: {finding}");
        }
        assert!(report.connections > 0, "seed {seed} connects nobody");
    }
}

#[test]
fn a_seed_is_a_run_to_the_byte() {
    for seed in 0..4 {
        let plan = generate(seed);
        let (first, second) = (execute(&plan, true), execute(&plan, true));
        assert_eq!(first.report, second.report, "seed {seed}");
        assert_eq!(first.hash, second.hash, "bytes of seed {seed}");
        assert!(!first.happened.is_empty());
        assert!(
            first.happened == second.happened,
            "the traces of seed {seed} differ"
        );
    }
}

#[test]
fn a_saved_plan_is_the_plan() {
    for seed in 0..50 {
        let plan = generate(seed);
        assert_eq!(plan.check(), Ok(()));
        let text = serde_json::to_string(&plan).expect("a plan is plain data");
        let back: Plan = serde_json::from_str(&text).expect("as written");
        assert_eq!(back, plan);
    }
}

/// Each thing that is done wrong on purpose breaks its rule within a few seeds.
fn breaks(sabotage: Sabotage) {
    let all = Sabotage::ALL.into_iter();
    let rule = all
        .into_iter()
        .find(|(one, _)| *one == sabotage)
        .map(|(_, rule)| rule);
    let found = (0..400).find_map(|seed| {
        let finding = execute_with(&generate(seed), false, Some(sabotage))
            .report
            .finding?;
        Some((seed, finding.rule))
    });
    let (seed, found) = found.unwrap_or_else(|| panic!("nothing found {sabotage:?}"));
    assert_eq!(Some(found.as_str()), rule, "seed {seed}");
}

#[test]
fn silent_peers_that_are_waited_for_too_long_are_seen() {
    breaks(Sabotage::PatientPeers);
}

#[test]
fn strangers_that_stay_are_seen() {
    breaks(Sabotage::PatientLogins);
}

/// A server is told to stop while somebody asks much and reads nothing.
fn stopped_beside_a_deaf_peer() -> Plan {
    let mut plan = generate(0);
    (plan.hosts, plan.links) = (
        2,
        vec![Link {
            from: 0,
            to: 1,
            rolling: false,
        }],
    );
    plan.tuning = Tuning {
        tick_ms: 10,
        latency_ms_max: 5,
        bytes_per_ms: 0,
        chop: Chop::default(),
        store_ms_max: 0,
        peer_timeout_ms: 6_000,
        grace_ms: 50,
        connections_max: 64,
        busy_max: 64,
        ..plan.tuning
    };
    let step = |at_ms, what| Step { at_ms, what };
    plan.steps = vec![
        step(0, What::Deed(Deed::Create { user: 0, folder: 0 })),
        step(
            500,
            What::Stranger {
                host: 1,
                manner: Manner::Deaf,
            },
        ),
        step(
            4_000,
            What::Stop {
                host: 1,
                drain_ms: 0,
                down_ms: 1,
            },
        ),
    ];
    plan
}

#[test]
fn a_server_that_does_not_stop_is_seen() {
    let plan = stopped_beside_a_deaf_peer();
    assert_eq!(execute(&plan, false).report.finding, None, "it does stop");
    let sabotaged = execute_with(&plan, false, Some(Sabotage::LongGrace));
    let finding = sabotaged.report.finding.expect("a server that goes on");
    assert_eq!(finding.rule, rules::SERVER_STOPS);
}

#[test]
fn a_client_that_does_not_stop_is_seen() {
    breaks(Sabotage::DeafClients);
}

#[test]
fn what_a_server_leaves_behind_is_seen() {
    breaks(Sabotage::Leak);
}

#[test]
fn a_program_that_spins_is_seen() {
    breaks(Sabotage::Spin);
}

#[test]
fn a_panic_in_a_task_is_seen() {
    breaks(Sabotage::Panic);
}

#[test]
fn an_ok_without_a_commit_is_seen() {
    breaks(Sabotage::LostCommits);
}

#[test]
fn clients_that_do_nothing_in_calm_are_seen() {
    breaks(Sabotage::Sleepers);
}

#[test]
fn every_rule_is_broken_by_a_sabotage() {
    for rule in RULES {
        let broken = Sabotage::ALL.iter().any(|(_, breaks)| *breaks == rule);
        assert!(broken, "nothing breaks `{rule}`");
    }
}

#[test]
fn limits_are_kept_from_both_sides() {
    let patience = Patience {
        idle_ms: 100,
        login_ms: 50,
    };
    let end = |opened_ms, moved_ms, stranger| End {
        opened_ms,
        moved_ms,
        stranger,
    };
    let rule = |end: End, now_ms| rules::outlives(&end, now_ms, patience).map_err(|broken| broken.rule);
    assert_eq!(rule(end(0, 0, false), 100), Ok(()));
    assert_eq!(rule(end(0, 0, false), 101), Err(rules::OUTLIVES));
    assert_eq!(rule(end(0, 60, false), 101), Ok(()));
    assert_eq!(rule(end(0, 40, true), 50), Ok(()));
    assert_eq!(rule(end(0, 50, true), 51), Err(rules::STRANGERS));
    assert!(rules::server_stops(10, 20, 10).is_ok() && rules::server_stops(10, 21, 10).is_err());
    assert!(rules::spins(rules::POLLS_MAX).is_ok() && rules::spins(rules::POLLS_MAX + 1).is_err());
    let left = Left {
        tasks: 1,
        ..Left::default()
    };
    assert!(rules::leftovers(&Left::default()).is_ok() && rules::leftovers(&left).is_err());
    let link = |runs, done| Progress { runs, done };
    assert!(rules::settles(&link(9, true), 3, 99, 9).is_ok());
    assert!(rules::settles(&link(3, false), 3, 9, 9).is_ok());
    assert!(rules::settles(&link(4, false), 3, 9, 9).is_err());
    assert!(rules::settles(&link(3, false), 3, 10, 9).is_err());
}
