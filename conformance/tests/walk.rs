//! A short random walk there and back; `conformance walk` takes longer ones.

use conformance::walk::{self, Plan};
use conformance::{cyrus, programs, rng};

#[test]
fn random_changes_there_and_back() -> Result<(), Box<dyn std::error::Error>> {
    if !cyrus::usable("walk") || !programs::usable("walk") {
        return Ok(());
    }
    let facts = walk::run(Plan {
        rounds: 4,
        changes: 40,
        seed: rng::seed(1),
        unix: false,
    })?;
    println!("{facts} facts equal");
    Ok(())
}
