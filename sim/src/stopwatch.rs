//! Wall-clock time of the simulator's own work: how long it may run, never what happens in a run.

use std::time::{Duration, Instant};

/// Measures from its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    #[allow(
        clippy::disallowed_methods,
        reason = "how long the simulator may run, not what happens in it"
    )]
    pub fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
