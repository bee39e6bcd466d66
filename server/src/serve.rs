//! From the store to the end of the last connection.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use net::config::Settings;
use net::listener::{Bound, Listener};
use net::server::{NewSession, Server, ServerConfig};
use store::sqlite::SqliteStore;
use synclog::{LoggingSession, Writer};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::counts::{self, Counts};
use crate::credentials::StoredVerifiers;
use crate::cyrus_master::CyrusMaster;
use crate::failure::Failure;
use crate::lifetime::{Lifetime, counting};
use crate::notify;

/// What was made before the runtime.
pub(crate) struct Prepared {
    pub(crate) config: ServerConfig,
    pub(crate) sockets: Vec<Bound>,
    pub(crate) store: SqliteStore,
    /// The pipe to Cyrus's master.
    pub(crate) status_pipe: Option<OwnedFd>,
    pub(crate) lifetime: Lifetime,
    /// Whether somebody reads standard output.
    pub(crate) announced: bool,
}

pub(crate) async fn serve(settings: &Settings, prepared: Prepared) -> Result<(), Failure> {
    let Prepared {
        config,
        sockets,
        store,
        status_pipe,
        lifetime,
        announced,
    } = prepared;
    let signals = Signals::new()?;
    let master = status_pipe.map(CyrusMaster::new).transpose()?.map(Arc::new);
    let verifiers = StoredVerifiers::new(&store);
    if sockets.iter().any(Bound::is_tcp) {
        warn_when_nobody_can_log_in(settings, &verifiers);
    }
    let log = change_log(settings)?;
    let listeners: Vec<Listener> = sockets.into_iter().map(Bound::listen).collect::<Result<_, _>>()?;
    let ready = ready_line(&listeners, settings);
    let sessions: NewSession = Arc::new(move || Box::new(LoggingSession::new(store.session(), log.clone())));
    let (notice, counts) = counting(master.clone());
    let meter = Counts::new(&config, &listeners);
    let server = Server::new(config, listeners, sessions, Arc::new(verifiers))
        .notice(notice)
        .metered(meter.clone());
    counts::serve(&settings.server_metrics_listen, meter, server.traffic()).await;
    if announced {
        announce(&ready);
    }
    notify::ready(&ready);
    let alive = tokio::spawn(notify::signs_of_life());
    let Signals {
        mut hangup,
        mut terminate,
        mut interrupt,
    } = signals;
    let drain = async {
        let why = tokio::select! {
            _ = hangup.recv() => "SIGHUP",
            why = lifetime.over(counts) => why,
            () = gone(master.as_deref()) => "Cyrus's master has gone",
        };
        tracing::info!("{why}: no new connection is taken");
        notify::status("takes no new connection, ends when those that there are have ended");
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        notify::stopping("finishes or rolls back what runs");
    };
    server.run_until(drain, stop).await;
    alive.abort();
    Ok(())
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

async fn gone(master: Option<&CyrusMaster>) {
    match master {
        Some(master) => master.gone().await,
        None => std::future::pending().await,
    }
}

/// Where what is applied is logged for servers further on; `None` without `sync_log` or where no channel wants it. What
/// an earlier process was about to log when it died is logged now. [CS-LOG-33]
fn change_log(settings: &Settings) -> Result<Option<Writer>, Failure> {
    if let Err(error) = synclog::recover(&settings.sync_dir) {
        tracing::warn!("{error}");
    }
    let channels = settings.log.written_by(settings.log.chain);
    Ok(Writer::for_channels(&settings.sync_dir, &channels)?)
}

fn ready_line(listeners: &[Listener], settings: &Settings) -> String {
    let shown: Vec<&str> = listeners.iter().map(Listener::shown).collect();
    format!(
        "sync_server ready on {} (store {})",
        shown.join(", "),
        settings.store.display()
    )
}

/// The one line on stdout; whoever started the server waits for it.
fn announce(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // A closed stdout is no reason not to serve.
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

fn warn_when_nobody_can_log_in(settings: &Settings, verifiers: &StoredVerifiers) {
    if settings.admins.is_empty() {
        tracing::warn!(
            "`admins` is not set, so nobody may replicate over TCP; add `admins: USER` to the configuration"
        );
    }
    let without: Vec<&str> = settings
        .admins
        .iter()
        .map(String::as_str)
        .filter(|admin| !verifiers.has_password(admin))
        .collect();
    if !without.is_empty() && without.len() == settings.admins.len() {
        let user = without[0];
        tracing::warn!(
            "no user of `admins` has a password here, so nobody can log in; run `mailtwin passwd {user}`"
        );
    }
}
