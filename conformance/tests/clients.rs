//! The scenarios for clients: their files, our `sync_client`, and that of Cyrus 3.6.

use conformance::suite::client::command::{Arguments, client, load};
use conformance::suite::command::read_rules;
use conformance::{cyrus, programs};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn every_file_reads_and_cites_rules_that_there_are() -> Outcome {
    let (scripts, rules) = (load()?, read_rules()?);
    assert!(!scripts.is_empty());
    for script in scripts {
        for rule in &script.head.rules {
            assert!(rules.contains_key(rule), "{}: {rule}", script.head.name);
        }
    }
    Ok(())
}

#[test]
fn our_client_is_as_the_spec_asks_or_as_its_profile_says() -> Outcome {
    if programs::usable("clients: ours") {
        println!("{}", client(&Arguments::of("mailtwin"))?);
    }
    Ok(())
}

#[test]
fn the_client_of_cyrus_is_as_its_profile_says() -> Outcome {
    if programs::usable("clients: Cyrus") && cyrus::usable("clients: Cyrus") {
        println!("{}", client(&Arguments::of("cyrus-3.6"))?);
    }
    Ok(())
}
