//! What systemd is told of the daemon (`Type=notify`). Without `NOTIFY_SOCKET` nothing is said.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Tells the service manager what it has to know: once that the daemon has its channel, once that it ends, and as often as
/// the watchdog wants it that it is alive.
pub(crate) struct Manager {
    /// Time between two signs of life; `None` when nobody watches.
    every: Option<Duration>,
    alive_at: Option<Instant>,
    stopping: bool,
    /// Whether it is there to listen: a manager that has gone is not called again.
    listens: bool,
}

impl Manager {
    /// The one that started this process, when there is one.
    pub(crate) fn new() -> Manager {
        Manager {
            // Twice as often as needed, as the manual of sd_watchdog_enabled(3) has it.
            every: sd_notify::watchdog_enabled().map(|limit| limit / 2),
            alive_at: None,
            stopping: false,
            listens: true,
        }
    }

    /// Called at every turn of the daemon's loop, the first time when it has read its log.
    pub(crate) fn turn(&mut self, leaving: bool, now: Instant) {
        let mut news = Vec::new();
        let silent = self.alive_at.map(|at| now.duration_since(at));
        match (silent, self.every) {
            (None, _) => news.push(NotifyState::Ready),
            (Some(silent), Some(every)) if silent >= every => news.push(NotifyState::Watchdog),
            _ => {}
        }
        if leaving && !self.stopping {
            self.stopping = true;
            news.push(NotifyState::Stopping);
        }
        if news.is_empty() || !self.listens {
            return;
        }
        self.alive_at = Some(now);
        if let Err(error) = sd_notify::notify(&news) {
            self.listens = false;
            tracing::warn!("the service manager cannot be told how this daemon is: {error}");
        }
    }
}
