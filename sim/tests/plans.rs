//! Plans that once broke a rule, as data. Each is the shortest that did; `sim replay` and `sim story` take the same files.

use sim::plan::Plan;
use sim::run::execute;

fn finds_nothing(text: &str) {
    let plan: Plan = serde_json::from_str(text).expect("a plan");
    plan.check().expect("a plan that can be run");
    let (report, _) = execute(&plan, false);
    assert_eq!(report.finding, None);
}

/// A test for each file of `plans/`.
macro_rules! plans {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            finds_nothing(include_str!(concat!("plans/", stringify!($name), ".json")));
        }
    )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

plans! {
    deleted_and_sent_again_twice,
    deleted_and_sent_again_with_other_mail,
    deleted_and_sent_again_without_its_mail,
    flagged_and_deleted,
    made_and_deleted_with_a_third_server,
    made_and_deleted_within_a_round_trip,
    mail_for_a_mailbox_that_goes_to_and_fro,
    renamed_and_deleted,
    renamed_to_a_name_that_the_other_made,
    settled_by_both_at_different_seconds,
    two_inboxes_join_each_other,
    two_inboxes_join_each_other_by_hand,
    two_inboxes_join_each_other_over_a_long_way,
}

#[test]
fn every_file_has_its_test() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans")).expect("the folder");
    for file in files {
        let name = file.expect("an entry").file_name().into_string().expect("ASCII");
        let name = name.strip_suffix(".json").expect("plans only");
        assert!(NAMES.contains(&name), "{name} is run by no test");
    }
}
