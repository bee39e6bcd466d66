//! Keys of the rolling daemon.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::lookup::{Lookup, count_to};
use super::{ConfigError, parse_duration};

/// Most connections of one channel.
const WORKERS_MAX: usize = 64;
/// Most failures of an entry before it is put aside.
const QUARANTINE_AFTER_MAX: usize = 1000;

/// Keys of the rolling daemon. "By channel" marks those with a form `CHANNEL_KEY`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RollingKeys {
    /// `sync_repeat_interval`, by channel: time between two looks at the log; 1 second. 0 looks every 100 ms.
    pub repeat_interval: Duration,
    /// `sync_reconnect_maxwait`: longest pause between two tries to connect; 20 minutes. `None` (0 or less) lets it grow
    /// without end.
    pub reconnect_maxwait: Option<Duration>,
    /// `sync_shutdown_file`, by channel: ends the daemon when it appears.
    pub shutdown_file: Option<PathBuf>,
    /// `mailtwin_workers`, by channel: connections at a time; 4, at most 64.
    pub workers: usize,
    /// `mailtwin_retry_wait`, by channel: pause before a refused entry is tried again, doubled each time; 5 seconds.
    pub retry_wait: Duration,
    /// `mailtwin_retry_maxwait`, by channel: longest such pause; 15 minutes, at least `mailtwin_retry_wait`.
    pub retry_maxwait: Duration,
    /// `mailtwin_quarantine_after`, by channel: refusals after which an entry is put aside, so that it is tried seldom and
    /// listed in the status; 6, at most 1,000.
    pub quarantine_after: usize,
    /// `mailtwin_quarantine_wait`, by channel: how long an entry must have failed before it is put aside; 5 minutes.
    pub quarantine_wait: Duration,
    /// `mailtwin_quarantine_retry`, by channel: pause between tries of an entry that was put aside; 1 hour.
    pub quarantine_retry: Duration,
    /// `mailtwin_metrics_listen`, by channel: where the daemon serves metrics and its status page; nowhere.
    pub metrics_listen: Vec<SocketAddr>,
    /// `mailtwin_wake`: whether the daemon is told of changes by the system at once, beside looking every
    /// `sync_repeat_interval`; yes.
    pub wake: bool,
}

impl RollingKeys {
    pub(super) fn read(lookup: Lookup<'_>) -> Result<RollingKeys, ConfigError> {
        let plain = lookup.plain();
        let retry_wait = lookup.duration("mailtwin_retry_wait", 5)?;
        Ok(RollingKeys {
            repeat_interval: lookup.duration("sync_repeat_interval", 1)?,
            reconnect_maxwait: plain
                .parsed("sync_reconnect_maxwait", limit)?
                .unwrap_or(Some(Duration::from_secs(20 * 60))),
            shutdown_file: lookup.path("sync_shutdown_file"),
            workers: lookup
                .parsed("mailtwin_workers", count_to(WORKERS_MAX))?
                .unwrap_or(4),
            retry_wait,
            retry_maxwait: lookup.duration("mailtwin_retry_maxwait", 900)?.max(retry_wait),
            quarantine_after: lookup
                .parsed("mailtwin_quarantine_after", count_to(QUARANTINE_AFTER_MAX))?
                .unwrap_or(6),
            quarantine_wait: lookup.duration("mailtwin_quarantine_wait", 300)?,
            quarantine_retry: lookup.duration("mailtwin_quarantine_retry", 3600)?,
            metrics_listen: lookup
                .parsed("mailtwin_metrics_listen", addresses)?
                .unwrap_or_default(),
            wake: plain.switch("mailtwin_wake", true)?,
        })
    }
}

/// A duration where zero and less mean none.
fn limit(text: &str) -> Result<Option<Duration>, super::ValueError> {
    let found = parse_duration(text.strip_prefix('-').unwrap_or(text), b's')?;
    Ok((!found.is_zero() && !text.starts_with('-')).then_some(found))
}

/// Addresses to serve metrics on.
pub(super) fn addresses(text: &str) -> Result<Vec<SocketAddr>, &'static str> {
    let read = |word: &str| word.parse().map_err(|_| "write ADDRESS:PORT or [IPV6]:PORT");
    text.split_ascii_whitespace().map(read).collect()
}
