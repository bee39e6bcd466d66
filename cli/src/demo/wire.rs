//! The demonstration's network: a real server on loopback, and a relay that counts what passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::master::{Compress, Ending, Job, MasterConfig, Progress};
use engine::ticket::Session;
use net::address::{ListenAddress, PeerAddress};
use net::client::{self, Target};
use net::guests::GuestLimits;
use net::listener::Listener;
use net::sasl::Credentials;
use net::secret::Secret;
use net::server::{Server, ServerConfig};
use protocol::Text;
use store::sqlite::SqliteStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::{Exit, Failure, Result};
use crate::import::new_uniqueid;
use crate::passwd::{self, Stored};

/// Who replicates.
const USER: &str = "twin";

/// Longest silence of either side; the demonstration is over long before.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A server in this process, with all that is needed to replicate to it.
pub struct Wire {
    runtime: Runtime,
    /// Where the server listens.
    pub server: String,
    relay: SocketAddr,
    counters: Arc<Counters>,
    password: Secret,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
}

/// What one run did.
pub struct Run {
    /// The master's own counters.
    pub progress: Progress,
    /// Bytes on the wire, both directions.
    pub wire_bytes: u64,
}

impl Wire {
    /// Starts `sync_server`'s server for this store, on a port of the system's choice.
    pub fn start(replica: SqliteStore) -> Result<Wire> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| broken("no threads", &error))?;
        let password = Secret::new(new_uniqueid()?.to_string());
        passwd::set(&replica, USER, &password)?;
        let verifiers = Arc::new(Stored::of(&replica));
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let (server, relay, serving) = runtime.block_on(async {
            let any = ListenAddress::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 0,
            };
            let listener = Listener::bind(&any, 0o600)
                .await
                .map_err(|error| broken("cannot listen", &error))?;
            let shown = listener.shown().to_owned();
            let sessions = Arc::new(move || Box::new(replica.session()) as Box<dyn Session>);
            let server = Server::new(config(), vec![listener], sessions, verifiers);
            let serving = tokio::spawn(server.run(async {
                // A sender that is gone means stop, too.
                let _ = stopped.await;
            }));
            let relay = relay(shown.clone(), Arc::clone(&counters)).await?;
            Ok::<_, Failure>((shown, relay, serving))
        })?;
        Ok(Wire {
            runtime,
            server,
            relay,
            counters,
            password,
            stop,
            serving,
        })
    }

    /// Replicates everything in the store: as `sync_client -A -z` does, with a login by SCRAM.
    pub fn replicate(&self, master: &SqliteStore) -> Result<Run> {
        let before = self.counters.total();
        let target = Target {
            peer: PeerAddress::Tcp {
                host: self.relay.ip().to_string(),
                port: self.relay.port(),
                tls: false,
                noauth: false,
            },
            tls: None,
            mechanisms: Vec::new(),
            credentials: Some(Credentials {
                user: USER.to_owned(),
                password: self.password.clone(),
                mechanisms: Vec::new(),
                allow_plain: false,
            }),
            connect_timeout: SILENCE_MAX,
            peer_timeout: SILENCE_MAX,
            trace: None,
            traffic: Arc::default(),
            platform: Arc::new(net::platform::System),
        };
        let config = MasterConfig {
            compress: Compress::Required,
            pipeline_bytes_max: 4 << 20,
            ..MasterConfig::new(Job::AllUsers { prefix: Text::EMPTY })
        };
        let session = Box::new(master.session());
        let run = client::run(&target, config, session, std::future::pending(), |_| {});
        let progress = self
            .runtime
            .block_on(run)
            .map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        match &progress.ended {
            Some(Ending::Done) => Ok(Run {
                wire_bytes: self.counters.total() - before,
                progress,
            }),
            ended => {
                let failures = progress
                    .failures
                    .iter()
                    .map(|f| format!("; {}: {}", f.item, f.reason));
                let text = format!(
                    "the replication failed: {ended:?}{}",
                    failures.collect::<String>()
                );
                Err(Failure::new(Exit::Io, text))
            }
        }
    }

    /// Stops the server and waits until it is gone.
    pub fn stop(self) -> Result<()> {
        // The server is gone already if nobody listens.
        let _ = self.stop.send(());
        self.runtime
            .block_on(self.serving)
            .map_err(|error| broken("the server died", &error))
    }
}

impl Counters {
    fn total(&self) -> u64 {
        self.up.load(Ordering::Relaxed) + self.down.load(Ordering::Relaxed)
    }
}

fn config() -> ServerConfig {
    ServerConfig {
        servername: "replica.example".to_owned(),
        version: format!("mailtwin {}", env!("CARGO_PKG_VERSION")),
        admins: vec![USER.to_owned()],
        mechanisms: Vec::new(),
        allow_plaintext: false,
        tls: None,
        tls_required: false,
        login_timeout: SILENCE_MAX,
        compress: true,
        partitions: Vec::new(),
        unauthenticated_bytes_max: 65_536,
        peer_timeout: SILENCE_MAX,
        shutdown_grace: Duration::from_secs(2),
        guests: GuestLimits {
            total_max: 4,
            per_address_max: 4,
            pause: Duration::ZERO,
            pause_max: Duration::ZERO,
        },
        connections_max: 4,
        busy_max: 4,
    }
}

/// Passes every connection on to the server, and counts its bytes.
async fn relay(server: String, counters: Arc<Counters>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(|error| broken("cannot listen", &error))?;
    let address = listener
        .local_addr()
        .map_err(|error| broken("cannot listen", &error))?;
    tokio::spawn(async move {
        // An error on either side closes both, which the client and the server then see for themselves.
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&server).await else {
                continue;
            };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let (up, down) = (Arc::clone(&counters), Arc::clone(&counters));
            tokio::spawn(async move { pass(near_in, far_out, &up.up).await });
            tokio::spawn(async move { pass(far_in, near_out, &down.down).await });
        }
    });
    Ok(address)
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: &AtomicU64) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Io, format!("{what}: {error}"))
}
