//! What the server counts, for Prometheus and for people.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use engine::replica::Answers;
use metrics_exporter_prometheus::PrometheusHandle;
use monitor::http::Source;
use monitor::serving::{Answered, ServerError, ServerStatus, Serving};
use monitor::view::ChannelView;
use net::listener::Listener;
use net::meter::{Event, Meter};
use net::server::ServerConfig;
use net::traffic::Traffic;
use tokio::net::TcpListener;

/// Takes note of what happens.
pub(crate) struct Counts(Serving);

impl Counts {
    /// From nothing, for a server like this.
    pub(crate) fn new(config: &ServerConfig, listeners: &[Listener]) -> Arc<Self> {
        Arc::new(Counts(Serving::new(ServerStatus {
            program: format!("sync_server {}", env!("CARGO_PKG_VERSION")),
            pid: std::process::id(),
            started_at_ms: now_ms(),
            listens: listeners
                .iter()
                .map(|listener| listener.shown().to_owned())
                .collect(),
            open_max: config.connections_max as u64,
            busy_max: config.busy_max as u64,
            ..ServerStatus::default()
        })))
    }
}

impl Meter for Counts {
    fn note(&self, event: Event<'_>) {
        let Counts(serving) = self;
        match event {
            Event::Connected => serving.connected(),
            Event::Disconnected => serving.disconnected(),
            Event::WorkBegan => serving.work_began(),
            Event::WorkEnded => serving.work_ended(),
            Event::Login { mechanism, accepted } => serving.login(mechanism, accepted),
            Event::Answered(answers) => serving.answered(answered(answers), now_ms()),
            Event::Turn { took } => serving.turn(took),
            Event::Stored { kind, took } => serving.stored(kind, took),
        }
    }
}

fn answered(answers: &Answers) -> Answered {
    Answered {
        commands: answers
            .commands
            .iter()
            .map(|(kind, &count)| (kind.word(), count))
            .collect(),
        errors: answers.refused.clone(),
        messages: answers.messages,
        message_bytes: answers.message_bytes,
        records: answers.records,
        last_error: answers.refusals.last().map(|refusal| ServerError {
            at_ms: now_ms(),
            code: refusal.code,
            text: refusal.text.clone(),
            about: refusal.about.clone(),
        }),
    }
}

/// Serves metrics and page on these addresses for as long as the program runs. An address that cannot be had is told, and
/// the server serves its peers without it.
pub(crate) async fn serve(addresses: &[SocketAddr], counts: Arc<Counts>, traffic: Arc<Traffic>) {
    if addresses.is_empty() {
        return;
    }
    let metrics = match monitor::metrics::install() {
        Ok(handle) => handle,
        Err(error) => {
            tracing::warn!(%error, "no metrics");
            return;
        }
    };
    tokio::spawn(monitor::metrics::upkeep(metrics.clone()));
    let page: Arc<dyn Source> = Arc::new(Page {
        counts,
        traffic,
        metrics,
    });
    for address in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let shown = listener
                    .local_addr()
                    .map_or_else(|_| address.to_string(), |bound| bound.to_string());
                tracing::info!(address = shown, "metrics and status page on http://{shown}/");
                tokio::spawn(monitor::http::serve(listener, Arc::clone(&page)));
            }
            Err(error) => tracing::warn!(
                %address,
                %error,
                "cannot serve metrics (`mailtwin_server_metrics_listen`); mail is replicated without them"
            ),
        }
    }
}

struct Page {
    counts: Arc<Counts>,
    traffic: Arc<Traffic>,
    metrics: PrometheusHandle,
}

impl Page {
    fn status(&self) -> ServerStatus {
        let mut status = self.counts.0.status();
        status.bytes_received = self.traffic.received();
        status.bytes_sent = self.traffic.sent();
        status
    }
}

impl Source for Page {
    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn channels(&self) -> Vec<ChannelView> {
        Vec::new()
    }

    fn server(&self) -> Option<ServerStatus> {
        Some(self.status())
    }

    fn metrics(&self) -> String {
        monitor::metrics::observe_server(&self.status());
        self.metrics.render()
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
