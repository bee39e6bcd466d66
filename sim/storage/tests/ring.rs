//! A fixed set of seeds without a finding, the same twice, and for each kind of rule a run that breaks it.

use sim_storage::damage::damage;
use sim_storage::finding::{Finding, Halt, Rule};
use sim_storage::run::run;
use sim_storage::scenario::Scenario;
use sim_storage::server::Server;
use sim_storage::sweep::{Effort, seed, workload};
use sim_storage::workload::generate;
use sim_vfs::{Lies, Loss, Plan, Point};
use store::sqlite::files::Files;

const SMALL: Effort = Effort {
    steps: 8,
    changes: 10,
    failures: 40,
    replica: None,
};

#[test]
fn fixed_seeds_find_nothing_and_are_the_same_twice() {
    // The fourth has a replica.
    for number in [0, 3] {
        let totals = seed(number, &SMALL, &|_| false);
        assert_eq!(totals.found, [], "seed {number}");
        assert!(
            totals.syncs > 20 && totals.crashes > 6 * totals.syncs,
            "{totals:?}"
        );
        assert!(totals.told > 4 && totals.told <= totals.failures, "{totals:?}");
        if number == 0 {
            assert_eq!(seed(number, &SMALL, &|_| false), totals);
        }
    }
}

/// Rules that runs break in which every sync crashes and nothing that was not synced survives.
fn broken_by(lies: Lies) -> Vec<Rule> {
    let workload = workload(0, &SMALL);
    let calm = run(0, &workload, Scenario::default(), lies);
    assert_eq!(calm.finding, None, "without a crash a lie harms nobody");
    let found = (0..calm.counts[0].syncs).filter_map(|nth| {
        let plan = Plan::Crash {
            at: Point::Sync(nth),
            loss: Loss::Lost,
        };
        let scenario = Scenario {
            plan,
            ..Scenario::default()
        };
        run(0, &workload, scenario, lies)
            .finding
            .map(|finding| finding.rule)
    });
    found.collect()
}

#[test]
fn canary_a_store_that_acknowledges_before_its_files_are_synced() {
    let broken = broken_by(Lies {
        files: true,
        folders: false,
    });
    assert!(
        broken.contains(&Rule::Exact) || broken.contains(&Rule::Opens),
        "{broken:?}"
    );
    assert!(broken.len() > 5);
}

#[test]
fn canary_a_folder_that_is_not_synced() {
    let broken = broken_by(Lies {
        files: false,
        folders: true,
    });
    assert!(broken.contains(&Rule::Exact), "{broken:?}");
}

/// A server with mail in it, and what its check says after something was done to it.
fn checked(harm: impl FnOnce(&mut Server)) -> Option<Finding> {
    let workload = generate(5, 0, false);
    let mut server = Server::new(5, &workload);
    for (nth, step) in workload.steps.iter().enumerate() {
        assert!(server.perform(nth, step, Plan::Calm).is_ok(), "{step:?}");
    }
    assert!(server.check().is_ok());
    server.stop();
    harm(&mut server);
    match server.check() {
        Ok(()) => None,
        Err(Halt::Finding(finding)) => Some(finding),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn canary_each_look_at_a_server_can_fail() {
    let rule = |finding: Option<Finding>| finding.map(|finding| finding.rule);
    assert_eq!(rule(checked(|_| ())), None);
    assert_eq!(
        rule(checked(|server| {
            let name = server.dir.join("users");
            server.disk.make_file(&name, "stray").expect("made");
        })),
        Some(Rule::Tidy)
    );
    assert_eq!(
        rule(checked(|server| {
            server.logins.insert(1, 7);
        })),
        Some(Rule::Exact)
    );
    assert_eq!(
        rule(checked(|server| {
            let name = server.dir.join("users/jane.db");
            server.disk.remove(&name).expect("removed");
        })),
        Some(Rule::Exact)
    );
    assert_eq!(
        rule(checked(|server| {
            let name = server.dir.join("locator.db");
            let inside = name
                .strip_prefix(server.disk.root())
                .expect("on the disk")
                .to_path_buf();
            (0..16).for_each(|offset| assert!(server.disk.flip(&inside, offset, 3)));
        })),
        Some(Rule::Opens)
    );
}

/// Where what is stored can be told from what was stored, it is.
#[test]
fn turned_bits_of_mail_are_told() {
    let mut told = 0;
    for number in 0..4 {
        let damages = damage(number, &SMALL, 60).expect("a calm workload");
        told += damages.refused + damages.verified;
        for (what, _) in damages.shown {
            // Nothing says what an ACL or a subscription was; of messages and records all is known.
            let is_mail = ["Records(", "Messages(", "guid: ", "flags: "]
                .iter()
                .any(|word| what.starts_with(word));
            assert!(!is_mail, "{what}");
        }
    }
    assert!(told > 40, "{told}");
}
