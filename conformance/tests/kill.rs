//! `sync_server` killed at random moments; few rounds here, `conformance kill --rounds 100` does more.

use conformance::kill::{self, Client, Plan, Server};
use conformance::{cyrus, programs, rng};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ROUNDS: u32 = 10;

#[test]
fn while_our_client_replicates() -> Outcome {
    if cyrus::usable("kill_own") && programs::usable("kill_own") {
        run(Client::Own, Server::Own, ROUNDS)?;
    }
    Ok(())
}

#[test]
fn while_the_stock_client_replicates() -> Outcome {
    if cyrus::usable("kill_stock") && programs::usable("kill_stock") {
        run(Client::Stock, Server::Own, ROUNDS)?;
    }
    Ok(())
}

/// The judge itself: what it asks for, Cyrus keeps.
#[test]
fn a_stock_pair_keeps_its_promises() -> Outcome {
    if cyrus::usable("kill_stock_pair") {
        run(Client::Stock, Server::Stock, ROUNDS / 2)?;
    }
    Ok(())
}

fn run(client: Client, server: Server, rounds: u32) -> Outcome {
    let wished = std::env::var("MAILTWIN_KILL_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let rounds = wished.unwrap_or(rounds);
    let report = kill::run(Plan {
        kills: rounds,
        seed: rng::seed(1),
        client,
        server,
    })?;
    println!("{report:?}");
    assert!(
        report.kills == rounds,
        "too few runs were interrupted: {report:?}"
    );
    Ok(())
}
