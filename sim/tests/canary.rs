//! Every rule of the judge can be broken: a planted violation of each is found by the rule it breaks, and by no other.

use sim::canary;

#[test]
fn an_honest_history_breaks_nothing() {
    assert_eq!(canary::honest(), None);
}

#[test]
fn every_canary_is_found_by_the_rule_it_breaks() {
    for canary in canary::ALL {
        assert_eq!(canary.sing(), Some(canary.rule), "{}", canary.how);
    }
}

#[test]
fn every_rule_has_a_canary() {
    assert_eq!(canary::without(), Vec::<&str>::new());
}
