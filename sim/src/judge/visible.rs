//! A reader sees whole transactions.

use super::{Checker, ScopeView};

/// Between commits a reader sees what the last one left: nothing staged, no half of a batch.
pub struct OnlyCommitted;

impl Checker for OnlyCommitted {
    fn name(&self) -> &'static str {
        "readers see whole transactions"
    }

    fn read(&mut self, committed: &ScopeView, read: &ScopeView) -> Result<(), String> {
        if committed == read {
            return Ok(());
        }
        let difference = committed.difference(read, false);
        Err(difference.unwrap_or_else(|| "values that no reader asks for differ".to_owned()))
    }
}
