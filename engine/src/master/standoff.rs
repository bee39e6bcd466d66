//! Two masters of each other that settle the same at the same moment, each by its own: neither takes what the other sends,
//! and both settle again. [CS-SPLIT-49]

use std::collections::BTreeMap;
use std::sync::PoisonError;

use protocol::Text;

use super::Job;
use super::folders::Batch;
use super::run::Run;

/// Times that one lets the other go first; more than that is trouble of another kind, and has to be told as such.
const TIMES_MAX: u32 = 3;

/// After so many seconds it is another matter.
const FORGOTTEN_AFTER_S: i64 = 600;

/// Mailboxes from which on old ones are looked for.
const PRUNE_FROM: usize = 64;

/// The mailboxes that the replica did not take though they had just been settled, by unique id: how often, and when first, in
/// seconds since the epoch.
#[derive(Default)]
pub(super) struct Standoffs {
    met: BTreeMap<Text, (u32, i64)>,
}

impl Standoffs {
    /// Whether to let the other one go first once more.
    fn yields(&mut self, uniqueid: &Text, now: i64) -> bool {
        let is_over = |since: i64| now.abs_diff(since) > FORGOTTEN_AFTER_S.unsigned_abs();
        if self.met.len() >= PRUNE_FROM {
            self.met.retain(|_, (_, since)| !is_over(*since));
        }
        let (times, since) = self.met.entry(uniqueid.clone()).or_insert((0, now));
        if is_over(*since) {
            (*times, *since) = (0, now);
        }
        *times = times.saturating_add(1);
        *times <= TIMES_MAX
    }
}

impl Run {
    /// Whether a mailbox that was compared in full and refused all the same should wait for the replica's own master. Both
    /// sides see the same two CRCs, and the one with the lower waits.
    pub(super) fn lets_the_other_settle(&self, batch: &Batch, index: usize) -> bool {
        let mailbox = &batch.locals[index];
        let Some(line) = batch.remotes.get(&mailbox.uniqueid) else {
            return false;
        };
        let ours = (Some(mailbox.crc.basic), Some(mailbox.crc.annot));
        let is_lower = ours < (line.sync_crc, line.sync_crc_annot);
        if !is_lower || !matches!(self.config.job, Job::Tasks) {
            return false;
        }
        let mut standoffs = self.standoffs.lock().unwrap_or_else(PoisonError::into_inner);
        standoffs.yields(&mailbox.uniqueid, self.port.now().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_yields_a_few_times_and_again_much_later() {
        let mut standoffs = Standoffs::default();
        let id = Text::from("1");
        for _ in 0..TIMES_MAX {
            assert!(standoffs.yields(&id, 100));
        }
        assert!(!standoffs.yields(&id, 100));
        assert!(!standoffs.yields(&id, 100 + FORGOTTEN_AFTER_S));
        assert!(standoffs.yields(&Text::from("2"), 100), "each for itself");
        assert!(standoffs.yields(&id, 101 + FORGOTTEN_AFTER_S));
    }

    #[test]
    fn old_ones_are_forgotten() {
        let mut standoffs = Standoffs::default();
        for number in 0..1000 {
            let id = Text::from(format!("{number}").as_str());
            assert!(standoffs.yields(&id, i64::from(number) * 100));
        }
        assert!(standoffs.met.len() <= PRUNE_FROM + 1);
    }
}
