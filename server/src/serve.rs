//! From the configuration to the end of the last connection.

use std::io::Write as _;
use std::sync::Arc;

use net::address::ListenAddress;
use net::config::{Service, Settings};
use net::listener::Listener;
use net::server::{NewSession, Server, ServerConfig};
use net::tls::ServerTls;
use store::sqlite::{Options, SqliteStore};
use synclog::{LoggingSession, Writer};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::credentials::StoredVerifiers;
use crate::failure::Failure;

/// Threads that carry bytes; each busy store has one of its own beside these.
const WORKERS: usize = 2;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let settings = Settings::load(&args.config, Service::SyncServer)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let store = SqliteStore::open(&settings.store, Options::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(serve(args, &settings, store))
}

async fn serve(args: &Args, settings: &Settings, store: SqliteStore) -> Result<(), Failure> {
    let config = ServerConfig {
        tls: ServerTls::new(&settings.tls)?,
        ..ServerConfig::from_settings(settings)
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let addresses = if args.listen.is_empty() {
        &settings.listen
    } else {
        &args.listen
    };
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(Listener::bind(address, settings.socket_mode).await?);
    }
    let verifiers = StoredVerifiers::new(&store);
    if addresses
        .iter()
        .any(|address| matches!(address, ListenAddress::Tcp { .. }))
    {
        warn_when_nobody_can_log_in(settings, &verifiers);
    }
    announce(&listeners, settings);
    let log = change_log(settings)?;
    let sessions: NewSession = Arc::new(move || Box::new(LoggingSession::new(store.session(), log.clone())));
    let server = Server::new(config, listeners, sessions, Arc::new(verifiers));
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    Ok(())
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

/// The one line on stdout; whoever started the server waits for it.
fn announce(listeners: &[Listener], settings: &Settings) {
    let shown: Vec<&str> = listeners.iter().map(Listener::shown).collect();
    let mut stdout = std::io::stdout().lock();
    // A closed stdout is no reason not to serve.
    let _ = writeln!(
        stdout,
        "sync_server ready on {} (store {})",
        shown.join(", "),
        settings.store.display()
    );
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
