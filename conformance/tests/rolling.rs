//! Rolling replication out of a real Cyrus under faults; `conformance rolling` takes longer.

use conformance::rolling::{self, Fault, Plan, Shape};
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
        fault: Duration::from_millis(500),
        faults: faults.to_vec(),
        rate: 20,
        seed: rng::seed(1),
    })?;
    println!("{}", report.table);
    assert!(
        report.deliveries > 20 && report.faults > 0 && report.facts > 100,
        "{report:?}"
    );
    Ok(())
}

#[test]
fn two_channels_out_of_cyrus() -> Outcome {
    run("two_channels", Shape::Two, &Fault::ALL)
}
