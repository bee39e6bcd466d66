//! What was committed is there after a crash, and nothing else is.

use super::{Checker, ScopeView};

/// A server that comes back shows what it showed when its process died.
pub struct Durable;

impl Checker for Durable {
    fn name(&self) -> &'static str {
        "a crash changes nothing that was committed"
    }

    fn restarted(&mut self, before: &ScopeView, after: &ScopeView) -> Result<(), String> {
        match before.difference(after, false) {
            Some(difference) => Err(difference),
            None if before != after => Err("tombstones or CRCs differ".to_owned()),
            None => Ok(()),
        }
    }
}
