//! How many listings of users are asked for ahead of the work on them: many small ones, few large ones, so that what
//! is held of their answers stays bounded. [CS-MASTER-61]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::decode::ReplyDecoder;

use crate::flow::Port;

/// Lines held and expected at most, unless a single listing has more.
const LINES_MAX: usize = 65_536;

/// Lines expected of a listing when nothing is known, and at least.
const LINES_EXPECTED: usize = 1024;

/// What is asked for and held; clones are the same connection's.
#[derive(Clone)]
pub(super) struct Ahead {
    port: Port<ReplyDecoder>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// Listings that are not answered.
    open: usize,
    /// Lines of those that are.
    held: usize,
    /// Lines that the next one may have: rises with a large one at once, and falls slowly.
    expected: usize,
}

/// One listing, from the question until what it told is needed no more.
pub(super) struct Listing {
    ahead: Ahead,
    /// `None` while it is not answered.
    lines: Option<usize>,
}

impl Ahead {
    /// Nothing is asked for.
    pub(super) fn new(port: Port<ReplyDecoder>) -> Self {
        Ahead {
            port,
            shared: Arc::new(Mutex::new(Shared {
                open: 0,
                held: 0,
                expected: LINES_EXPECTED,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more may be asked for: always when there is none.
    pub(super) fn may_ask(&self) -> bool {
        let shared = self.lock();
        let expected = (shared.open + 1).saturating_mul(shared.expected);
        (shared.open == 0 && shared.held == 0) || shared.held.saturating_add(expected) <= LINES_MAX
    }

    /// Takes note that one is asked for.
    pub(super) fn ask(&self) -> Listing {
        self.lock().open += 1;
        Listing {
            ahead: self.clone(),
            lines: None,
        }
    }
}

impl Listing {
    /// Takes note of the answer.
    pub(super) fn answered(&mut self, lines: usize) {
        if self.lines.is_some() {
            return;
        }
        self.lines = Some(lines);
        let mut shared = self.ahead.lock();
        shared.open -= 1;
        shared.held += lines;
        shared.expected = (shared.expected / 8 * 7).max(lines).max(LINES_EXPECTED);
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let mut shared = self.ahead.lock();
        match self.lines {
            None => shared.open -= 1,
            Some(lines) => shared.held -= lines,
        }
        drop(shared);
        self.ahead.port.moved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::limits::Limits;

    fn ahead() -> Ahead {
        Ahead::new(Port::orphan(ReplyDecoder::new(Limits::default())))
    }

    #[test]
    fn what_is_expected_and_held_stays_bounded() {
        let ahead = ahead();
        let mut open: Vec<Listing> = Vec::new();
        while ahead.may_ask() {
            open.push(ahead.ask());
        }
        assert_eq!(open.len(), LINES_MAX / LINES_EXPECTED);
    }

    #[test]
    fn a_listing_counts_until_it_is_dropped() {
        let ahead = ahead();
        let mut large = ahead.ask();
        large.answered(LINES_MAX);
        // Only the first answer counts.
        large.answered(1);
        assert!(!ahead.may_ask());
        drop(large);
        let (unanswered, mut small) = (ahead.ask(), ahead.ask());
        small.answered(7);
        drop((unanswered, small));
        let shared = ahead.lock();
        assert_eq!((shared.open, shared.held), (0, 0));
        assert_eq!(shared.expected, LINES_MAX / 8 * 7);
    }
}
