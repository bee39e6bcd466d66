//! One run of a master against a replica: connects, logs in, replicates, tells how it ended.

use std::future::Future;
use std::io;
use std::time::Duration;

use engine::Master;
use engine::master::{Compress, Ending, MasterConfig, Progress};
use engine::ticket::Session;
use tokio::net::{TcpStream, UnixStream};

use crate::address::PeerAddress;
use crate::config::{CompressWish, Settings};
use crate::driver::{self, End, Options};
use crate::sasl::{ClientSasl, Credentials};
use crate::stream::Stream;
use crate::trace::Trace;

/// Bytes of answers that may wait while the replica takes no more commands.
const READ_AHEAD_BYTES: usize = 32 * 1024 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No answer.
    #[error("cannot connect to {peer}: no answer within {} seconds", timeout.as_secs())]
    TimedOut {
        /// The replica.
        peer: PeerAddress,
        /// How long was waited.
        timeout: Duration,
    },
    /// The system said no.
    #[error("cannot connect to {peer}: {source}{}", advice(source))]
    Refused {
        /// The replica.
        peer: PeerAddress,
        /// What the system said.
        source: io::Error,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; is the replication server running there?",
        io::ErrorKind::NotFound => "; is the path right, and is the server running?",
        io::ErrorKind::PermissionDenied => "; this user may not open the socket",
        _ => "",
    }
}

/// How to reach a replica.
#[derive(Clone)]
pub struct Target {
    /// Where it is.
    pub peer: PeerAddress,
    /// How to log in; `None` when the configuration does not say.
    pub credentials: Option<Credentials>,
    /// How long connecting may take, and how long each answer until the login is done.
    pub connect_timeout: Duration,
    /// How long the replica may be silent afterwards.
    pub peer_timeout: Duration,
    /// Where the protocol is shown.
    pub trace: Option<Trace>,
}

impl Target {
    /// As a configuration file says, for a replica at `peer`.
    pub fn from_settings(settings: &Settings, peer: PeerAddress) -> Self {
        let login = settings.sync_authname.clone().zip(settings.sync_password.clone());
        let credentials = login.map(|(user, password)| Credentials {
            user,
            password,
            mechanisms: settings.client_mechanisms.clone(),
            allow_plain: settings.allow_plaintext || peer.is_local(),
        });
        Target {
            peer,
            credentials,
            connect_timeout: settings.client_timeout,
            peer_timeout: settings.sync_timeout,
            trace: None,
        }
    }

    /// Whether to ask for deflate.
    pub fn compress(&self, wish: CompressWish) -> Compress {
        match wish {
            CompressWish::Auto if self.peer.is_local() => Compress::No,
            CompressWish::Auto | CompressWish::Yes => Compress::WhenOffered,
            CompressWish::No => Compress::No,
            CompressWish::Required => Compress::Required,
        }
    }
}

/// Connects and runs a master to its end. `config.authenticate` is set here, by the kind of socket.
///
/// `stop` completes when the operator wants the run to end; `observe` sees the master each time it waits.
///
/// # Errors
/// When there is no connection; everything after that is in the counters' `ended`.
pub async fn run(
    target: &Target,
    mut config: MasterConfig,
    session: Box<dyn Session>,
    stop: impl Future<Output = ()> + Send + 'static,
    observe: impl FnMut(&Master),
) -> Result<Progress, ConnectError> {
    let mut stop = Box::pin(stop);
    let stream = tokio::select! {
        stream = connect(target) => stream?,
        () = &mut stop => return Ok(Progress { ended: Some(Ending::Stopped), ..Progress::default() }),
    };
    config.authenticate = matches!(target.peer, PeerAddress::Tcp { .. });
    let sasl = Box::new(ClientSasl::new(target.credentials.clone()));
    let options = Options {
        peer_timeout: target.peer_timeout,
        login_timeout: target.connect_timeout,
        trusted: true,
        read_ahead_bytes: READ_AHEAD_BYTES,
        trace: target.trace.clone(),
        ..Options::default()
    };
    let (master, end) =
        driver::drive(Master::new(config), stream, session, sasl, stop, options, observe).await;
    let mut progress = master.progress();
    progress.ended = Some(ending(progress.ended.take(), end));
    Ok(progress)
}

/// The machine knows best how it ended, unless it never came to know.
fn ending(said: Option<Ending>, end: End) -> Ending {
    match (said, end) {
        (Some(Ending::ConnectionLost(text)), End::Lost(error)) => {
            Ending::ConnectionLost(format!("{text} ({error})"))
        }
        (Some(ending), End::Closed | End::Lost(_)) => ending,
        (_, End::Stopped) => Ending::Stopped,
        (_, End::TimedOut(timeout)) => Ending::ConnectionLost(format!(
            "no answer from the replica for {} seconds",
            timeout.as_secs()
        )),
        (_, end) => Ending::ConnectionLost(end.to_string()),
    }
}

async fn connect(target: &Target) -> Result<Stream, ConnectError> {
    let connecting = async {
        match &target.peer {
            PeerAddress::Tcp { host, port } => {
                TcpStream::connect((host.as_str(), *port)).await.map(Stream::Tcp)
            }
            PeerAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
        }
    };
    match tokio::time::timeout(target.connect_timeout, connecting).await {
        Ok(Ok(stream)) => {
            stream.tune();
            Ok(stream)
        }
        Ok(Err(source)) => Err(ConnectError::Refused {
            peer: target.peer.clone(),
            source,
        }),
        Err(_) => Err(ConnectError::TimedOut {
            peer: target.peer.clone(),
            timeout: target.connect_timeout,
        }),
    }
}
