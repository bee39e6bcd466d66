//! What a full compare settled, until the replica has taken it, unchanged meanwhile. [CS-SPLIT-63]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Text;

/// Mailboxes remembered; of more, the CRCs have to tell.
const REMEMBERED_MAX: usize = 4096;

/// The mailboxes that were compared in full, by unique id, and the replica's HIGHESTMODSEQ then. When that has risen since,
/// what was settled below it is not sent, and nothing but the CRCs tells that it lacks. Clones are the same connection's.
#[derive(Clone, Default)]
pub(super) struct Settled {
    open: Arc<Mutex<BTreeMap<Text, u64>>>,
}

impl Settled {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Text, u64>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A mailbox was compared in full, with a replica that had this HIGHESTMODSEQ. A later compare replaces an earlier one:
    /// it has seen all that the replica lacks.
    pub(super) fn note(&self, uniqueid: &Text, their_highestmodseq: u64) {
        let mut open = self.lock();
        if open.len() < REMEMBERED_MAX || open.contains_key(uniqueid) {
            open.insert(uniqueid.clone(), their_highestmodseq);
        }
    }

    /// Whether a mailbox was compared in full, and the replica may lack some of what came of it.
    pub(super) fn is_open(&self, uniqueid: &Text) -> bool {
        self.lock().contains_key(uniqueid)
    }

    /// The replica, which had this HIGHESTMODSEQ before, took all above that.
    pub(super) fn taken(&self, uniqueid: &Text, their_highestmodseq: u64) {
        let mut open = self.lock();
        if open.get(uniqueid) == Some(&their_highestmodseq) {
            open.remove(uniqueid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_compare_counts_until_it_was_taken() {
        let settled = Settled::default();
        let id = Text::from("1");
        assert!(!settled.is_open(&id));
        settled.note(&id, 10);
        settled.clone().note(&id, 12);
        settled.taken(&id, 10);
        assert!(settled.is_open(&id), "compared again meanwhile");
        settled.taken(&id, 16);
        assert!(settled.is_open(&id), "the replica changed meanwhile");
        settled.taken(&id, 12);
        assert!(!settled.is_open(&id));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let settled = Settled::default();
        let id = |number: usize| Text::from(format!("{number}").as_str());
        for number in 0..2 * REMEMBERED_MAX {
            settled.note(&id(number), 1);
        }
        assert_eq!(settled.lock().len(), REMEMBERED_MAX);
        settled.note(&id(0), 2);
        settled.taken(&id(0), 2);
        assert!(!settled.is_open(&id(0)));
    }
}
