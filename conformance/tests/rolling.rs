//! Rolling replication under faults, in short: `conformance rolling` and `conformance crash` take longer.

use conformance::rolling::{self, CrashPlan, Fault, Plan, PoisonPlan, Shape};
use conformance::{cyrus, programs, rng};
use std::time::Duration;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn run(test: &str, shape: Shape, faults: &[Fault]) -> Outcome {
    if !cyrus::usable(test) || !programs::usable(test) {
        return Ok(());
    }
    let report = rolling::run(&Plan {
        shape,
        time: Duration::ZERO,
        fault: Duration::from_millis(300),
        faults: faults.to_vec(),
        rate: 20,
        seed: rng::seed(1),
    })?;
    println!("{}", report.table());
    assert!(
        report.deliveries > 20 && report.faults > 0 && report.facts > 100,
        "{report:?}"
    );
    let rows = report.json()["lags"].as_array().map_or(0, Vec::len);
    assert!(rows == report.rows.len() && rows > 3, "{report:?}");
    if shape == Shape::Mesh {
        assert!(report.kept > 0, "{report:?}");
    }
    Ok(())
}

#[test]
fn two_channels_out_of_cyrus() -> Outcome {
    run("two_channels", Shape::Two, &Fault::ALL)
}

#[test]
fn a_chain_of_three_and_back_into_cyrus() -> Outcome {
    run(
        "chain",
        Shape::Chain,
        &[Fault::Kill, Fault::Cut, Fault::KillClient],
    )
}

#[test]
fn a_mesh_that_both_sides_change() -> Outcome {
    run("mesh", Shape::Mesh, &[Fault::Kill, Fault::Cut, Fault::KillClient])
}

/// What fails always, what is locked and what is huge holds up nobody else. [CS-LOG-22] [CS-LOG-31]
#[test]
fn poison_lock_and_a_huge_message_hold_up_nobody() -> Outcome {
    if !programs::usable("poison") {
        return Ok(());
    }
    let report = rolling::poison(PoisonPlan {
        time: Duration::from_secs(3),
        huge: 32 * 1024 * 1024,
        rate: 20,
        workers: 4,
        factor: 2,
        slack: Duration::from_millis(200),
    })?;
    println!("{}", report.table());
    // Whether the lag is within the bound is for quiet machines; that others arrive at all while the lock is held is
    // for all.
    assert!(
        report.arrived_while_locked > 5 && report.poison_tries > 1 && report.facts > 100,
        "{report:?}"
    );
    Ok(())
}

/// [CS-LOG-32] [CS-LOG-33]
#[test]
fn what_is_queued_survives_kills_of_clients_servers_and_commands() -> Outcome {
    if !cyrus::usable("crash") || !programs::usable("crash") {
        return Ok(());
    }
    let report = rolling::crash(CrashPlan {
        kills: 8,
        seed: rng::seed(1),
    })?;
    println!("{report:?}");
    assert!(
        report.clients == 8 && report.undone > 0 && report.changes.iter().all(|&count| count > 0),
        "{report:?}"
    );
    Ok(())
}
