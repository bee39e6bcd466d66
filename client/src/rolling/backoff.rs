//! When to try to connect again. [CS-LOG-25] [CS-OPS-5] [CS-EXC-37]

use std::time::Duration;

/// Pauses after the first failures: a replica that is started again is back within seconds.
const FIRST: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// Counts failures in a row.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure: 1, 2, 4, 8, 15, 30, 60 ... seconds, never more than `most`.
    pub(crate) fn failed(&mut self, most: Option<Duration>) -> Duration {
        let number = self.failures as usize;
        self.failures = self.failures.saturating_add(1);
        let pause = FIRST.get(number).copied().unwrap_or_else(|| {
            let doublings = (number - FIRST.len() + 1).min(20) as u32;
            FIRST[FIRST.len() - 1] * 2u32.pow(doublings)
        });
        most.map_or(pause, |most| pause.min(most))
    }

    /// A connection worked.
    pub(crate) fn worked(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [CS-LOG-25]
    #[test]
    fn pauses_grow_to_the_limit() {
        let mut backoff = Backoff::default();
        let most = Some(Duration::from_secs(100));
        let pauses: Vec<u64> = (0..9).map(|_| backoff.failed(most).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 15, 30, 60, 100, 100]);
        backoff.worked();
        assert_eq!(backoff.failed(most).as_secs(), 1);
        let mut endless = Backoff::default();
        let last = (0..100).map(|_| endless.failed(None)).last();
        assert_eq!(last, Some(Duration::from_secs(15 << 20)));
    }
}
