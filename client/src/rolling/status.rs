//! What the daemon tells the world: its status file, and the page with metrics.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::rolling::Queue;
use metrics_exporter_prometheus::PrometheusHandle;
use monitor::health::Thresholds;
use monitor::http::Source;
use monitor::status::{
    self, ChannelStatus, FILE_NAME, Publisher, QUARANTINE_LISTED_MAX, Quarantined, State, Workers,
};
use monitor::view::ChannelView;
use tokio::net::TcpListener;

use crate::pool::Pool;

/// The status of one channel, shared with those who serve it.
pub(crate) struct Status {
    shared: Arc<Mutex<ChannelStatus>>,
    publisher: Option<Publisher>,
}

impl Status {
    /// A daemon that begins; `folder` is the channel's, `None` publishes no file.
    pub(crate) fn new(channel: Option<&str>, replica: String, folder: Option<&Path>, now_ms: u64) -> Self {
        let mut status = ChannelStatus::starting(channel, replica, now_ms);
        status.program = format!("sync_client {}", env!("CARGO_PKG_VERSION"));
        Status {
            shared: Arc::new(Mutex::new(status)),
            publisher: folder.map(|folder| Publisher::new(folder.join(FILE_NAME))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ChannelStatus> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something went wrong.
    pub(crate) fn failed(&self, now_ms: u64, code: &str, text: &str) {
        self.lock().failed(now_ms, code, text);
    }

    /// Changes are done.
    pub(crate) fn succeeded(&self, now_ms: u64, changes: u64) {
        self.lock().succeeded(now_ms, changes);
    }

    /// A connection was made again.
    pub(crate) fn reconnected(&self) {
        self.lock().totals.reconnects += 1;
    }

    /// The replica is another one now.
    pub(crate) fn set_replica(&self, replica: String) {
        self.lock().replica = replica;
    }

    /// Takes over how things stand, and writes the file when it is worth it.
    pub(crate) fn publish(&mut self, state: State, pool: &Pool, wanted: usize, queue: &Queue, now_ms: u64) {
        let mut status = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        status.state = state;
        status.workers = workers(pool, wanted);
        let counters = pool.counters();
        status.totals.messages = counters.messages();
        status.totals.bytes_sent = counters.traffic.sent();
        status.totals.bytes_received = counters.traffic.received();
        let counts = queue.state();
        status.queue = status::Queue {
            queued: counts.queued as u64,
            in_flight: counts.in_flight as u64,
            deferred: counts.deferred as u64,
            quarantined: counts.quarantined as u64,
            oldest_logged_at_ms: counts.oldest_logged_at_ms,
        };
        // Only as many as are listed are made into text; all are counted above.
        let listed = queue.quarantined().take(QUARANTINE_LISTED_MAX);
        status.set_quarantine(listed.map(shown));
        status.queue.quarantined = counts.quarantined as u64;
        match &mut self.publisher {
            Some(publisher) => publisher.publish(&mut status, now_ms),
            None => status.sample(now_ms),
        }
    }

    /// Serves the page on these addresses for as long as the program runs. An address that cannot be had is told, and
    /// replication goes on without it.
    pub(crate) async fn serve(&self, addresses: &[SocketAddr]) {
        if addresses.is_empty() {
            return;
        }
        let metrics = match monitor::metrics::install() {
            Ok(handle) => handle,
            Err(error) => {
                tracing::warn!("no metrics: {error}");
                return;
            }
        };
        tokio::spawn(monitor::metrics::upkeep(metrics.clone()));
        let page: Arc<dyn Source> = Arc::new(Page {
            shared: Arc::clone(&self.shared),
            metrics,
        });
        for address in addresses {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let shown = listener
                        .local_addr()
                        .map_or_else(|_| address.to_string(), |bound| bound.to_string());
                    tracing::info!("metrics and status page on http://{shown}/");
                    tokio::spawn(monitor::http::serve(listener, Arc::clone(&page)));
                }
                Err(error) => tracing::warn!(
                    "cannot serve metrics on {address}: {error}; replication goes on without them (each daemon needs \
                     an address of its own: CHANNEL_mailtwin_metrics_listen)"
                ),
            }
        }
    }
}

fn workers(pool: &Pool, wanted: usize) -> Workers {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let connected = pool.iter().filter(|c| c.ready);
    let busy = pool.iter().filter(|c| c.ready && !c.flights.is_empty());
    Workers {
        busy: count(busy.count()),
        connected: count(connected.count()),
        total: count(wanted),
    }
}

fn shown(entry: &engine::rolling::Quarantined) -> Quarantined {
    let mut line = Vec::new();
    let action = match entry.action.print(&mut line) {
        Ok(()) => String::from_utf8_lossy(line.trim_ascii_end()).into_owned(),
        Err(_) => format!("{:?}", entry.action),
    };
    Quarantined {
        action,
        logged_at_ms: entry.logged_at_ms,
        since_ms: entry.since_ms,
        attempts: entry.attempts,
        reason: entry.reason.clone(),
    }
}

/// The page of this one channel.
struct Page {
    shared: Arc<Mutex<ChannelStatus>>,
    metrics: PrometheusHandle,
}

impl Page {
    fn status(&self) -> ChannelStatus {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Source for Page {
    fn now_ms(&self) -> u64 {
        super::now_ms()
    }

    fn channels(&self) -> Vec<ChannelView> {
        vec![ChannelView::of(
            self.status(),
            true,
            super::now_ms(),
            &Thresholds::default(),
        )]
    }

    fn metrics(&self) -> String {
        monitor::metrics::observe(&self.status(), super::now_ms());
        self.metrics.render()
    }
}
