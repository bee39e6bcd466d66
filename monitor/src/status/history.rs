//! The last hour of a channel, in samples.

use serde::{Deserialize, Serialize};

use super::ChannelStatus;

/// Time between two samples, milliseconds.
pub const SAMPLE_INTERVAL_MS: u64 = 10_000;

/// Samples kept: an hour of them.
pub const HISTORY_SAMPLES_MAX: usize = 360;

/// A channel at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// When, milliseconds since the epoch.
    pub at_ms: u64,
    /// Age of the oldest change not yet replicated, milliseconds.
    pub lag_ms: u64,
    /// Changes not yet replicated, without those in quarantine.
    pub waiting: u64,
    /// Whether there was a connection.
    pub connected: bool,
}

impl ChannelStatus {
    /// Adds a sample of the present when it is time for one, and drops what is too old. Call it as often as you like.
    ///
    /// Between two samples the worst is what counts: a lag that came and went again shows.
    pub fn sample(&mut self, now_ms: u64) {
        let sample = Sample {
            at_ms: now_ms,
            lag_ms: self.queue.lag_ms(now_ms),
            waiting: self.queue.waiting(),
            connected: self.workers.connected > 0,
        };
        match self.history.last_mut() {
            // A clock that was set back begins anew rather than waiting for its old time to come round.
            Some(last) if now_ms < last.at_ms => {
                self.history.clear();
                self.history.push(sample);
            }
            Some(last) if now_ms - last.at_ms < SAMPLE_INTERVAL_MS => {
                last.lag_ms = last.lag_ms.max(sample.lag_ms);
                last.waiting = last.waiting.max(sample.waiting);
                last.connected &= sample.connected;
            }
            _ => self.history.push(sample),
        }
        let oldest = now_ms.saturating_sub(SAMPLE_INTERVAL_MS * HISTORY_SAMPLES_MAX as u64);
        self.history.retain(|kept| kept.at_ms >= oldest);
        let over = self.history.len().saturating_sub(HISTORY_SAMPLES_MAX);
        self.history.drain(..over);
    }
}
