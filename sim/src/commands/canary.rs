//! `canary`: shows the judge one violation of each rule after the other.

use anyhow::Result;
use sim::canary;
use sim::report::Verdict;

pub fn run(json: bool) -> Result<u8> {
    let honest = canary::honest();
    let without = canary::without();
    let missed = canary::ALL.iter().filter(|canary| !canary.is_found()).count();
    if json {
        let all: Vec<_> = canary::ALL
            .iter()
            .map(|canary| {
                serde_json::json!({
                    "rule": canary.rule,
                    "how": canary.how,
                    "found": canary.is_found(),
                    "named": canary.sing(),
                })
            })
            .collect();
        println!(
            "{}",
            serde_json::json!({ "canaries": all, "honest": honest, "without": without })
        );
    } else {
        print(honest, &without, missed);
    }
    let all_well = missed == 0 && honest.is_none() && without.is_empty();
    Ok(if all_well { 0 } else { Verdict::Harness.exit_code() })
}

fn print(honest: Option<&str>, without: &[&str], missed: usize) {
    println!("{:<45} {:<52} found", "rule", "broken how");
    for canary in canary::ALL {
        let found = match canary.sing() {
            Some(rule) if rule == canary.rule => "yes".to_owned(),
            Some(rule) => format!("NO, taken for: {rule}"),
            None => "NO".to_owned(),
        };
        println!("{:<45} {:<52} {found}", canary.rule, canary.how);
    }
    match honest {
        None => println!("{:<45} {:<52} none", "(no rule)", "not at all"),
        Some(rule) => println!("{:<45} {:<52} NO, taken for: {rule}", "(no rule)", "not at all"),
    }
    for rule in without {
        println!("{rule:<45} {:<52} NO canary", "");
    }
    println!(
        "{} canaries, {missed} missed, {} rules without one",
        canary::ALL.len(),
        without.len()
    );
}
