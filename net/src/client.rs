//! One run of a master against a replica: connects, logs in, replicates, tells how it ended.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use engine::Master;
use engine::flow::{Input, Now, Output};
use engine::master::{Compress, Ending, Job, MasterConfig, Progress, Task, TaskResult, Tls};
use engine::ticket::Session;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::address::PeerAddress;
use crate::config::{CompressWish, Settings};
use crate::driver::{self, Drive, End, Options};
use crate::platform::{Platform, System};
use crate::sasl::{ClientSasl, Credentials};
use crate::stream::Stream;
use crate::tls::{ClientTls, TlsError, TlsFault, TlsSide};
use crate::trace::Trace;
use crate::traffic::{Metered, Traffic};

/// Bytes of answers that may wait while the replica takes no more commands.
const READ_AHEAD_BYTES: usize = 32 * 1024 * 1024;

/// A login, with the handshake and the banner before it, may take so many times as long as each answer of it: a replica that
/// goes on saying something, and never what is waited for, holds nobody for ever. [CS-LIMIT-23]
const LOGIN_WITHIN: u32 = 6;

/// How long nothing may be under way before the replica is asked whether it is still there.
const QUIET_MAX: Duration = Duration::from_secs(300);

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
    /// TLS is configured wrongly here.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "; is the address right, and the line up?"
        }
        // The standard library has no kind for it.
        _ if error.to_string().starts_with("failed to lookup") => {
            "; is the name right, and does DNS know it?"
        }
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
    /// TLS towards it; `None` for none.
    pub tls: Option<ClientTls>,
    /// The only mechanisms of a login allowed, in capitals; empty for all.
    pub mechanisms: Vec<String>,
    /// Where the protocol is shown.
    pub trace: Option<Trace>,
    /// Counts the bytes of its connections.
    pub traffic: Arc<Traffic>,
    /// Where connections run.
    pub platform: Arc<dyn Platform>,
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
            tls: ClientTls::new(&settings.tls, &peer),
            mechanisms: settings.client_mechanisms.clone(),
            peer,
            credentials,
            connect_timeout: settings.client_timeout,
            peer_timeout: settings.sync_timeout,
            trace: None,
            traffic: Arc::default(),
            platform: Arc::new(System),
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
    config: MasterConfig,
    session: Box<dyn Session>,
    stop: impl Future<Output = ()> + Send + 'static,
    mut observe: impl FnMut(&Master),
) -> Result<Progress, ConnectError> {
    let make = |config| Fed {
        master: Master::new(config),
        platform: Arc::clone(&target.platform),
        feed: None,
    };
    converse(target, config, session, stop, make, |fed| observe(&fed.master)).await
}

/// Connects and does what `tasks` gives until that channel is closed, or `stop` completes; many tasks may be under way at
/// once. Each result is sent as soon as it is known. A task that has none when this returns was not done: the connection
/// was lost, or the operator stopped it.
///
/// While nothing is under way the replica is asked every now and then whether it is still there.
///
/// # Errors
/// When there is no connection; everything after that is in the counters' `ended`.
pub async fn run_tasks(
    target: &Target,
    mut config: MasterConfig,
    session: Box<dyn Session>,
    tasks: mpsc::Receiver<Task>,
    results: mpsc::UnboundedSender<TaskResult>,
    stop: impl Future<Output = ()> + Send + 'static,
    mut observe: impl FnMut(&Master),
) -> Result<Progress, ConnectError> {
    config.job = Job::Tasks;
    let quiet_max = (target.peer_timeout / 2).min(QUIET_MAX);
    let make = |config| Fed {
        master: Master::new(config),
        platform: Arc::clone(&target.platform),
        feed: Some(Feed {
            tasks: Some(tasks),
            results,
            quiet_max,
            alarm: None,
        }),
    };
    converse(target, config, session, stop, make, |fed| observe(&fed.master)).await
}

async fn converse(
    target: &Target,
    mut config: MasterConfig,
    session: Box<dyn Session>,
    stop: impl Future<Output = ()> + Send + 'static,
    make: impl FnOnce(MasterConfig) -> Fed,
    observe: impl FnMut(&Fed),
) -> Result<Progress, ConnectError> {
    let mut stop = Box::pin(stop);
    let side = target
        .tls
        .as_ref()
        .map(ClientTls::load)
        .transpose()?
        .map(Arc::new);
    let stream = tokio::select! {
        biased;
        stream = connect(target) => stream?,
        () = &mut stop => return Ok(Progress { ended: Some(Ending::Stopped), ..Progress::default() }),
    };
    config.authenticate = matches!(target.peer, PeerAddress::Tcp { noauth: false, .. });
    config.tls = target.tls.as_ref().map_or(Tls::Never, ClientTls::policy);
    let sasl = Box::new(ClientSasl::new(target.credentials.clone()).only(target.mechanisms.clone()));
    let options = Options {
        peer_timeout: target.peer_timeout,
        login_timeout: target.connect_timeout,
        login_within: Some(target.connect_timeout * LOGIN_WITHIN),
        handshake_timeout: target.connect_timeout,
        tls: side.map(TlsSide::Client),
        trusted: true,
        read_ahead_bytes: READ_AHEAD_BYTES,
        trace: target.trace.clone(),
        platform: Arc::clone(&target.platform),
        ..Options::default()
    };
    let stream = Metered::new(stream, Arc::clone(&target.traffic));
    let (fed, end) = driver::drive(make(config), stream, session, sasl, stop, options, observe).await;
    let mut progress = fed.master.progress();
    progress.ended = Some(ending(progress.ended.take(), end));
    Ok(progress)
}

/// A master, and where its work comes from and its results go.
struct Fed {
    master: Master,
    platform: Arc<dyn Platform>,
    feed: Option<Feed>,
}

struct Feed {
    /// `None` once it is closed.
    tasks: Option<mpsc::Receiver<Task>>,
    results: mpsc::UnboundedSender<TaskResult>,
    quiet_max: Duration,
    /// Set while nothing is under way.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Drive for Fed {
    fn handle(&mut self, now: Now, input: Input) {
        self.master.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        let output = self.master.poll();
        if let Some(feed) = &mut self.feed
            && matches!(output, Output::Wait(_) | Output::Closed)
        {
            for result in self.master.take_results() {
                // Who does not listen any more does not want to know.
                let _ = feed.results.send(result);
            }
            match output {
                Output::Wait(waiting) if waiting.for_owner => {}
                _ => feed.alarm = None,
            }
            if let (Output::Wait(waiting), None) = (&output, &feed.alarm)
                && waiting.for_owner
            {
                feed.alarm = Some(Box::pin(tokio::time::sleep(feed.quiet_max)));
            }
        }
        output
    }

    fn poll_owner(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(feed) = &mut self.feed else {
            return Poll::Pending;
        };
        if let Some(tasks) = &mut feed.tasks
            && self.master.wants_tasks()
        {
            match tasks.poll_recv(cx) {
                Poll::Ready(Some(task)) => {
                    self.master.give(self.platform.now(), task);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => {
                    feed.tasks = None;
                    self.master.retire(self.platform.now());
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
        }
        if let Some(alarm) = &mut feed.alarm
            && alarm.as_mut().poll(cx).is_ready()
        {
            feed.alarm = None;
            self.master.keep_alive(self.platform.now());
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// The machine knows best how it ended, unless it never came to know.
fn ending(said: Option<Ending>, end: End) -> Ending {
    match (said, end) {
        (Some(Ending::ConnectionLost(text)), End::Lost(error)) => match TlsFault::of(&error) {
            // Such as the alert of a replica that wants a certificate, which comes behind the handshake.
            Some(fault) => Ending::TlsFailed(fault.to_string()),
            None => Ending::ConnectionLost(format!("{text} ({error})")),
        },
        (Some(ending), End::Closed | End::Lost(_)) => ending,
        (_, End::Stopped) => Ending::Stopped,
        (_, End::Tls(text)) => Ending::TlsFailed(text),
        (_, End::TimedOut(timeout)) => Ending::ConnectionLost(format!(
            "no answer from the replica for {} seconds",
            timeout.as_secs()
        )),
        (_, end) => Ending::ConnectionLost(end.to_string()),
    }
}

async fn connect(target: &Target) -> Result<Stream, ConnectError> {
    let connecting = target.platform.connect(&target.peer);
    match tokio::time::timeout(target.connect_timeout, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
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
