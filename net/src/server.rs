//! A replication server: listeners, a replica for each connection, an orderly end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine::Replica;
use engine::replica::{ReplicaConfig, ReplicaTls};
use engine::ticket::Session;
use protocol::Text;
use protocol::limits::Limits;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::Settings;
use crate::driver::{self, End, Options};
use crate::listener::Listener;
use crate::sasl::{NoSasl, SaslLayer, ServerSasl, Verifiers, inside_tls, mechanisms};
use crate::stream::{Origin, Stream};
use crate::tls::{ServerTls, TlsSide};

/// How long to wait before accepting again when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What a server needs beside its listeners.
#[derive(Clone)]
pub struct ServerConfig {
    /// Name in the banner.
    pub servername: String,
    /// Program and version in the banner.
    pub version: String,
    /// Users who may replicate.
    pub admins: Vec<String>,
    /// The only mechanisms to offer, in capitals; empty for all.
    pub mechanisms: Vec<String>,
    /// Whether PLAIN is offered to peers that are not on this machine.
    pub allow_plaintext: bool,
    /// Certificates for STARTTLS; `None` does not offer it. [`ServerConfig::from_settings`] leaves this to the caller,
    /// for the files may not be readable.
    pub tls: Option<ServerTls>,
    /// Whether nobody may log in outside of TLS; Unix sockets, which need no login, excepted.
    pub tls_required: bool,
    /// How long a peer may be connected without logging in.
    pub login_timeout: Duration,
    /// Whether deflate is offered.
    pub compress: bool,
    /// Partitions that exist; empty accepts any name.
    pub partitions: Vec<String>,
    /// Bytes a peer may send before it is logged in.
    pub unauthenticated_bytes_max: u64,
    /// How long a peer may be silent.
    pub peer_timeout: Duration,
    /// How long connections may go on after the server was told to stop.
    pub shutdown_grace: Duration,
    /// Delay of the answer to a failed login.
    pub failed_login_pause: Duration,
    /// Connections served at a time; more wait to be accepted.
    pub connections_max: usize,
}

impl ServerConfig {
    /// As a configuration file says.
    pub fn from_settings(settings: &Settings) -> Self {
        ServerConfig {
            servername: settings.servername.clone(),
            version: format!("mailtwin {}", env!("CARGO_PKG_VERSION")),
            admins: settings.admins.clone(),
            mechanisms: settings.server_mechanisms.clone(),
            allow_plaintext: settings.allow_plaintext,
            tls: None,
            tls_required: settings.tls.required,
            login_timeout: settings.service.login_timeout,
            compress: settings.server_compress,
            partitions: settings.partitions.keys().cloned().collect(),
            unauthenticated_bytes_max: settings.unauthenticated_bytes_max,
            peer_timeout: settings.sync_timeout,
            shutdown_grace: settings.shutdown_grace,
            failed_login_pause: settings.failed_login_pause,
            connections_max: settings.connections_max,
        }
    }
}

/// Opens a store session for a new connection.
pub type NewSession = Arc<dyn Fn() -> Box<dyn Session> + Send + Sync>;

/// A server that is about to serve.
pub struct Server {
    config: ServerConfig,
    listeners: Vec<Listener>,
    sessions: NewSession,
    verifiers: Arc<dyn Verifiers>,
    notice: Notice,
}

/// What happens to connections, for whoever counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// One was accepted.
    Accepted,
    /// One has ended.
    Ended,
}

/// Is told of each connection; must not block.
pub type Notice = Arc<dyn Fn(Connection) + Send + Sync>;

/// How far the server is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    Serving,
    /// No connection is accepted any more; those that there are go on.
    Draining,
    Stopping,
}

impl Server {
    /// Puts a server together; nothing is accepted before [`Server::run`].
    pub fn new(
        config: ServerConfig,
        listeners: Vec<Listener>,
        sessions: NewSession,
        verifiers: Arc<dyn Verifiers>,
    ) -> Self {
        Server {
            config,
            listeners,
            sessions,
            verifiers,
            notice: Arc::new(|_| {}),
        }
    }

    /// Has `notice` told of each connection.
    pub fn notice(self, notice: Notice) -> Self {
        Server { notice, ..self }
    }

    /// Serves until `stop` completes, then lets every connection finish or roll back what runs and say BYE, within the
    /// grace; returns when all are gone. [CS-CONN-26]
    pub async fn run(self, stop: impl Future<Output = ()>) {
        self.run_until(std::future::pending(), stop).await;
    }

    /// The same, and when `drain` completes first, no connection is accepted any more and those that there are go on to
    /// their own end, or until `stop` completes. [CS-SVC-12]
    pub async fn run_until(self, drain: impl Future<Output = ()>, stop: impl Future<Output = ()>) {
        let (tell, told) = watch::channel(Phase::Serving);
        let shared = Arc::new(Shared {
            permits: Arc::new(Semaphore::new(self.config.connections_max.max(1))),
            admins: Arc::from(self.config.admins.clone()),
            config: self.config,
            sessions: self.sessions,
            verifiers: self.verifiers,
            notice: self.notice,
        });
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, Arc::clone(&shared), told.clone()));
        }
        // Every task holds a receiver, so a failed send means that there is nobody to tell.
        let orders = async {
            let mut stop = std::pin::pin!(stop);
            tokio::select! {
                () = &mut stop => {}
                () = drain => {
                    let _ = tell.send(Phase::Draining);
                    stop.await;
                }
            }
            let _ = tell.send(Phase::Stopping);
            std::future::pending::<()>().await;
        };
        let ended = async { while accepting.join_next().await.is_some() {} };
        tokio::select! {
            () = ended => {}
            () = orders => {}
        }
    }
}

struct Shared {
    config: ServerConfig,
    admins: Arc<[String]>,
    sessions: NewSession,
    verifiers: Arc<dyn Verifiers>,
    permits: Arc<Semaphore>,
    notice: Notice,
}

/// Says of a connection that it began, and, whatever ends it, that it has ended.
struct Counted(Notice);

impl Counted {
    fn new(notice: Notice) -> Self {
        notice(Connection::Accepted);
        Counted(notice)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.0)(Connection::Ended);
    }
}

/// Accepts until told to stop, then waits for the connections it began.
async fn accept(listener: Listener, shared: Arc<Shared>, told: watch::Receiver<Phase>) {
    let mut connections = JoinSet::new();
    let mut stop = Box::pin(reached(Phase::Draining, told.clone()));
    loop {
        let next = async {
            let permit = Arc::clone(&shared.permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, origin)) => {
                let (shared, told) = (Arc::clone(&shared), told.clone());
                let counted = Counted::new(Arc::clone(&shared.notice));
                connections.spawn(async move {
                    serve(stream, origin, &shared, told).await;
                    drop((permit, counted));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end.
async fn serve(stream: Stream, origin: Origin, shared: &Shared, told: watch::Receiver<Phase>) {
    let config = &shared.config;
    let trusted = origin == Origin::UnixSocket;
    let offered = if trusted {
        Vec::new()
    } else {
        let plain = origin.is_local() || config.allow_plaintext;
        let all = (!config.tls_required).then(|| mechanisms(&config.mechanisms, plain));
        all.unwrap_or_default()
    };
    let inside = inside_tls(&config.mechanisms);
    let sasl: Box<dyn SaslLayer> = if trusted {
        Box::new(NoSasl)
    } else {
        Box::new(
            ServerSasl::new(
                Arc::clone(&shared.verifiers),
                Arc::clone(&shared.admins),
                offered.clone(),
            )
            .inside_tls(inside.clone()),
        )
    };
    let replica = Replica::new(ReplicaConfig {
        servername: config.servername.clone(),
        version: config.version.clone(),
        mechanisms: offered,
        compress: config.compress,
        tls: config.tls.is_some().then_some(ReplicaTls { mechanisms: inside }),
        partitions: config
            .partitions
            .iter()
            .map(|name| Text::from(name.as_str()))
            .collect(),
        trusted,
        limits: Limits::default(),
        unauthenticated_bytes_max: config.unauthenticated_bytes_max,
    });
    let options = Options {
        peer_timeout: config.peer_timeout,
        login_timeout: config.peer_timeout,
        login_within: Some(config.login_timeout),
        handshake_timeout: config.login_timeout,
        tls: config.tls.clone().map(TlsSide::Server),
        shutdown_grace: config.shutdown_grace,
        failed_login_pause: config.failed_login_pause,
        trusted,
        tells_reason: true,
        ..Options::default()
    };
    tracing::info!(%origin, "connected");
    let session = (shared.sessions)();
    let (_, end) = driver::drive(
        replica,
        stream,
        session,
        sasl,
        reached(Phase::Stopping, told),
        options,
        |_| {},
    )
    .await;
    match end {
        End::Closed => tracing::info!(%origin, "closed"),
        End::Broken(_) => tracing::error!(%origin, %end, "ended by a bug"),
        End::Lost(_) | End::TimedOut(_) => tracing::info!(%origin, %end, "ended"),
        End::Tls(_) | End::Injected | End::NoLogin(_) | End::Inflate(_) | End::Stopped => {
            tracing::warn!(%origin, %end, "ended")
        }
    }
}

/// Completes when the server has come to this phase or a later one.
async fn reached(phase: Phase, mut told: watch::Receiver<Phase>) {
    if told.wait_for(|&now| now >= phase).await.is_err() {
        std::future::pending::<()>().await;
    }
}
