//! Work that was under way each time a connection was lost: it may be what the replica dies of. [CS-LOG-22] [CS-OPS-4]
//!
//! A lost connection is no entry's fault, as a rule, and its tasks are given out again. What is under way at two such ends
//! is done alone on its connection from then on; what ends a connection alone as well is called a failure, so that it
//! is tried again later and later, and put aside at last, while the rest goes on.

use std::collections::BTreeMap;

use engine::master::Work;

/// Lost connections after which work gets a connection of its own.
const ALONE_FROM: u32 = 2;
/// Lost connections after which work that was alone is to blame.
const BLAMED_FROM: u32 = 3;

/// Lost connections by what was under way.
#[derive(Default, Debug)]
pub(crate) struct Strikes {
    counts: BTreeMap<Work, u32>,
}

impl Strikes {
    /// A connection was lost with this under way. Answers how often that has happened when the work has to be blamed.
    pub(crate) fn lost(&mut self, work: &Work, alone: bool) -> Option<u32> {
        let count = self.counts.entry(work.clone()).or_default();
        *count += 1;
        let blamed = (alone && *count >= BLAMED_FROM).then_some(*count);
        if blamed.is_some() {
            // The next try is alone again, and to blame at once.
            *count = BLAMED_FROM - 1;
        }
        blamed
    }

    /// It came to an end, good or bad.
    pub(crate) fn ended(&mut self, work: &Work) {
        self.counts.remove(work);
    }

    /// Whether it must have a connection of its own.
    pub(crate) fn needs_to_be_alone(&self, work: &Work) -> bool {
        self.counts.get(work).is_some_and(|count| *count >= ALONE_FROM)
    }
}

#[cfg(test)]
mod tests {
    use protocol::Text;

    use super::*;

    #[test]
    fn the_culprit_is_found_and_others_are_not_blamed() {
        let (bad, good) = (Work::User(Text::from("bad")), Work::User(Text::from("good")));
        let mut strikes = Strikes::default();
        for _ in 0..2 {
            assert_eq!(strikes.lost(&bad, false), None);
            assert_eq!(strikes.lost(&good, false), None);
        }
        assert!(strikes.needs_to_be_alone(&bad) && strikes.needs_to_be_alone(&good));
        strikes.ended(&good);
        assert!(!strikes.needs_to_be_alone(&good));
        assert_eq!(strikes.lost(&bad, true), Some(3));
        assert!(strikes.needs_to_be_alone(&bad));
        assert_eq!(strikes.lost(&bad, true), Some(3), "again at once");
        assert_eq!(strikes.lost(&good, false), None);
    }
}
