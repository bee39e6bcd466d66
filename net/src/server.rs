//! A replication server: listeners, a replica for each connection, an orderly end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::Replica;
use engine::replica::{ReplicaConfig, ReplicaTls};
use engine::ticket::Session;
use protocol::Text;
use protocol::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::config::Settings;
use crate::driver::{self, End, Options, Places};
use crate::guests::{Guest, GuestLimits, Guests, Refused};
use crate::listener::Listener;
use crate::meter::{Event, Meter};
use crate::platform::{Platform, System};
use crate::sasl::{NoSasl, SaslLayer, ServerSasl, Verifiers, inside_tls, mechanisms};
use crate::stream::{Origin, Stream};
use crate::tls::{ServerTls, TlsSide};
use crate::traffic::{Metered, Traffic};

/// How long to wait before accepting again when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long somebody who is refused has for reading why.
const TURN_AWAY: Duration = Duration::from_secs(1);

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
    /// How many may be connected without having logged in, and how long failed logins wait.
    pub guests: GuestLimits,
    /// Connections that may be open at a time; more wait to be accepted. Those that idle cost little. [CS-CONN-55]
    pub connections_max: usize,
    /// Connections whose store sessions may work at a time; the others wait for their turn. [CS-CONN-55]
    pub busy_max: usize,
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
            guests: settings.guests,
            connections_max: settings.connections_max,
            busy_max: settings.busy_max,
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
    meter: Option<Arc<dyn Meter>>,
    traffic: Arc<Traffic>,
    platform: Arc<dyn Platform>,
}

/// What happens to connections, for whoever counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// One was accepted.
    Accepted,
    /// One has ended.
    Ended,
    /// A listener is closed: it will give no other.
    NoMore,
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
            meter: None,
            traffic: Arc::default(),
            platform: Arc::new(System),
        }
    }

    /// Has connections run there.
    pub fn on(self, platform: Arc<dyn Platform>) -> Self {
        Server { platform, ..self }
    }

    /// Has `meter` told of all that is worth counting.
    pub fn metered(self, meter: Arc<dyn Meter>) -> Self {
        Server {
            meter: Some(meter),
            ..self
        }
    }

    /// Counts the bytes of all connections.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
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
            guests: Guests::new(within(self.config.guests, self.config.connections_max)),
            admins: Arc::from(self.config.admins.clone()),
            places: Places::new(self.config.busy_max),
            config: self.config,
            sessions: self.sessions,
            verifiers: self.verifiers,
            notice: self.notice,
            meter: self.meter,
            traffic: self.traffic,
            platform: self.platform,
            number: AtomicU64::new(0),
        });
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, Arc::clone(&shared), told.clone()));
        }
        // Every task holds a receiver, so a failed send means that there is nobody to tell.
        let orders = async {
            let mut stop = std::pin::pin!(stop);
            tokio::select! {
                biased;
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
            biased;
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
    guests: Guests,
    notice: Notice,
    places: Places,
    meter: Option<Arc<dyn Meter>>,
    traffic: Arc<Traffic>,
    platform: Arc<dyn Platform>,
    /// Of the connection that came last.
    number: AtomicU64,
}

/// Says of a connection that it began, and, whatever ends it, that it has ended.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        (shared.notice)(Connection::Accepted);
        if let Some(meter) = &shared.meter {
            meter.note(Event::Connected);
        }
        Counted(Arc::clone(shared))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.0.notice)(Connection::Ended);
        if let Some(meter) = &self.0.meter {
            meter.note(Event::Disconnected);
        }
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
            biased;
            () = &mut stop => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, origin)) => {
                let (shared, told) = (Arc::clone(&shared), told.clone());
                let counted = Counted::new(&shared);
                let id = shared.number.fetch_add(1, Ordering::Relaxed) + 1;
                // Of the highest level, so that whatever is logged says which connection it is about.
                let span = tracing::error_span!("connection", id, peer = %origin);
                let serving = async move {
                    serve(stream, origin, &shared, told).await;
                    drop((permit, counted));
                };
                connections.spawn(serving.instrument(span));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    (shared.notice)(Connection::NoMore);
    while connections.join_next().await.is_some() {}
}

/// The limits of a server with so many connections: never more than half of them are without a login. [CS-LIMIT-2]
fn within(guests: GuestLimits, connections_max: usize) -> GuestLimits {
    GuestLimits {
        total_max: guests.total_max.min(connections_max / 2).max(1),
        ..guests
    }
}

/// A place for somebody who has to log in; none is needed on Unix sockets.
fn admit(guests: &Guests, origin: Origin) -> Result<Option<Guest>, Refused> {
    match origin {
        Origin::Tcp(address) => guests.admit(address.ip()).map(Some),
        Origin::UnixSocket => Ok(None),
    }
}

/// Says why there is no place, and closes. [CS-LIMIT-3]
async fn turn_away(mut stream: Stream, refused: Refused) {
    tracing::warn!(reason = %refused, "turned away");
    let line = format!("BYE {refused}\r\n");
    let telling = async {
        stream.write_all(line.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whoever does not listen to the reason goes without it.
    let _ = tokio::time::timeout(TURN_AWAY, telling).await;
}

/// Serves one connection to its end.
async fn serve(stream: Stream, origin: Origin, shared: &Shared, told: watch::Receiver<Phase>) {
    let config = &shared.config;
    let guest = match admit(&shared.guests, origin) {
        Ok(guest) => guest.map(Arc::new),
        Err(refused) => return turn_away(stream, refused).await,
    };
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
        login_within: (!trusted).then_some(config.login_timeout),
        handshake_timeout: config.login_timeout,
        tls: config.tls.clone().map(TlsSide::Server),
        shutdown_grace: config.shutdown_grace,
        guest,
        trusted,
        tells_reason: true,
        places: Some(shared.places.clone()),
        meter: shared.meter.clone(),
        platform: Arc::clone(&shared.platform),
        ..Options::default()
    };
    tracing::info!("connected");
    let session = (shared.sessions)();
    let stream = Metered::new(stream, Arc::clone(&shared.traffic));
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
        End::Closed => tracing::info!("closed"),
        End::Broken(_) => tracing::error!(%end, "ended by a bug"),
        End::Lost(_) | End::TimedOut(_) => tracing::info!(%end, "ended"),
        End::Tls(_)
        | End::NoHandshake(_)
        | End::Injected
        | End::NoLogin(_)
        | End::Inflate(_)
        | End::Displaced
        | End::Stopped => {
            tracing::warn!(%end, "ended")
        }
    }
}

/// Completes when the server has come to this phase or a later one.
async fn reached(phase: Phase, mut told: watch::Receiver<Phase>) {
    if told.wait_for(|&now| now >= phase).await.is_err() {
        std::future::pending::<()>().await;
    }
}
