//! The suite of scenarios: its files, and our server judged by them; real Cyrus too where it is installed.

use conformance::cyrus::{self, Version};
use conformance::programs;
use conformance::suite::evidence;
use conformance::suite::profile::{self, Profile};
use conformance::suite::report::{Verdict, table};
use conformance::suite::subjects::Kind;
use conformance::suite::{command, profiles_folder, scenarios_folder, spec_folder};
use std::collections::BTreeSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn every_file_is_understood_and_cites_rules_that_exist() -> Outcome {
    let scenarios = command::load(&scenarios_folder())?;
    let rules = command::read_rules()?;
    let mut faults = Vec::new();
    let mut names = BTreeSet::new();
    for scenario in &scenarios {
        if !names.insert(scenario.name.clone()) {
            faults.push(format!("{} exists twice", scenario.name));
        }
        let unknown = scenario.rules.iter().filter(|id| !rules.contains_key(*id));
        faults.extend(unknown.map(|id| format!("{} cites {id}, which no page defines", scenario.name)));
    }
    let is_server = |name: &String| !name.starts_with("client-");
    for name in profile::names(&profiles_folder()).into_iter().filter(is_server) {
        let profile = Profile::load(&profiles_folder(), &name)?;
        faults.extend(
            profile
                .unknown(&scenarios)
                .into_iter()
                .map(|glob| format!("profile {name} speaks of {glob}, which is no scenario")),
        );
        let cited = profile.deviations().iter().flat_map(|deviation| &deviation.rules);
        let unknown = cited.filter(|id| !rules.contains_key(*id));
        faults.extend(unknown.map(|id| format!("profile {name} cites {id}, which no page defines")));
    }
    assert!(!scenarios.is_empty());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[test]
fn every_deviation_has_evidence_that_is_there() -> Outcome {
    let root = spec_folder().join("..");
    let mut faults = Vec::new();
    for name in profile::names(&profiles_folder()) {
        let profile = Profile::load(&profiles_folder(), &name)?;
        let version = Version::ALL.iter().find(|version| name.ends_with(version.name()));
        // What all versions have in common is listed in the file of each, too.
        for deviation in profile
            .deviations()
            .iter()
            .filter(|one| !one.scenarios.is_empty())
        {
            let version = version.map(|version| version.name());
            if let Err(fault) = evidence::check(&deviation.evidence, version, &root) {
                let (profile, scenarios) = (&deviation.profile, deviation.scenarios.join(" "));
                faults.push(format!("{profile}, as {name} takes it: {scenarios}: {fault}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

fn judge(kind: Kind) -> Outcome {
    let report = command::judge(kind, 1)?;
    let text = table::text(&report, false);
    println!("{text}");
    assert!(report.is_good(), "{text}");
    assert!(report.count(None, Verdict::Pass) > 0);
    Ok(())
}

#[test]
fn mailtwin_passes() -> Outcome {
    if !programs::usable("scenarios_mailtwin") {
        return Ok(());
    }
    judge(Kind::Mailtwin)
}

#[test]
fn cyrus_3_6_does_what_its_profile_says() -> Outcome {
    if !cyrus::usable("scenarios_cyrus") {
        return Ok(());
    }
    judge(Kind::Cyrus(Version::V3_6))
}
