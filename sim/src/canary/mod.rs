//! Every rule of the judge can be broken: histories made by hand, each of which breaks one rule, and honest ones that break
//! none.
//!
//! A judge that never fails proves nothing, so each checker is shown at least one violation, and has to be the one that
//! names it.

mod history;
mod made;

use crate::judge::Judge;

/// A history that breaks a rule.
#[derive(Clone, Copy)]
pub struct Canary {
    /// The rule.
    pub rule: &'static str,
    /// How it is broken, for people.
    pub how: &'static str,
    sing: fn() -> Option<&'static str>,
}

impl Canary {
    /// Has the judge look at it; answers with the rule that it names.
    pub fn sing(&self) -> Option<&'static str> {
        (self.sing)()
    }

    /// Whether the judge names the rule that is broken.
    pub fn is_found(&self) -> bool {
        self.sing() == Some(self.rule)
    }
}

/// All of them, grouped by rule.
pub const ALL: [Canary; 28] = history::ALL;

/// Histories that break nothing; answers with the rule that is named wrongly.
pub fn honest() -> Option<&'static str> {
    history::honest()
}

/// Rules of the judge that no canary breaks.
pub fn without() -> Vec<&'static str> {
    let mut rules = Judge::default().rules();
    rules.retain(|rule| ALL.iter().all(|canary| canary.rule != *rule));
    rules
}
