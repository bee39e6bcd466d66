//! Drives one machine over one connection: carries its bytes, its storage tickets and its SASL steps, keeps the time.
//!
//! Everything happens in one task, so nothing here is shared or locked. The machine is polled only as the socket
//! takes what it says, and the socket is read only as the machine wants it, one buffer ahead: a slow peer, a slow disk
//! and a slow machine each hold back the other two.

mod beside;
mod places;
mod transport;
mod wire;
mod worker;

#[cfg(test)]
mod rest_tests;
#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine::flow::{Input, Now, Output, SaslReply, SaslRequest, TlsStarted, Waiting};
use engine::replica::Answers;
use engine::ticket::{Reply, Session, StoreError, TicketId};
use engine::{Master, Replica};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

pub use self::places::Places;
use self::wire::Wire;
use self::worker::Worker;
use crate::deflate::{InflateError, InflateLimits, LEVEL_DEFAULT};
use crate::guests::Guest;
use crate::meter::{self, Meter};
use crate::platform::{Platform, System};
use crate::sasl::{NoSasl, SaslLayer};
use crate::tls::{TlsFacts, TlsFault, TlsSide};
use crate::trace::Trace;

/// Bytes given to the machine at once while the peer has not logged in, so that a login is seen before what was sent
/// behind it counts against the limit for strangers.
const STRANGER_BYTES: usize = 4096;

/// How long nothing has to happen before a connection gives back its thread, its open databases and its buffers, while
/// others wait for a place to work at.
const REST_SOON: Duration = Duration::from_millis(20);

/// How long a closed connection waits for the peer to close too, so that our last line is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// What a peer is told whose place somebody else gets. [CS-LIMIT-2]
const DISPLACED: &[u8] = b"BYE too many connections that have not logged in; log in sooner\r\n";

/// A machine of the engine, as the driver sees it.
pub trait Drive: Send {
    /// Takes one thing that happened.
    fn handle(&mut self, now: Now, input: Input);
    /// The next thing to do.
    fn poll(&mut self) -> Output;
    /// What it answered since this was last called, for whoever counts.
    fn take_answers(&mut self) -> Answers {
        Answers::default()
    }
    /// Ready when the machine's owner, by a way of its own, gave it something: it is polled again.
    fn poll_owner(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Pending
    }
}

impl Drive for Replica {
    fn handle(&mut self, now: Now, input: Input) {
        Replica::handle(self, now, input);
    }
    fn poll(&mut self) -> Output {
        Replica::poll(self)
    }
    fn take_answers(&mut self) -> Answers {
        Replica::take_answers(self)
    }
}

impl Drive for Master {
    fn handle(&mut self, now: Now, input: Input) {
        Master::handle(self, now, input);
    }
    fn poll(&mut self) -> Output {
        Master::poll(self)
    }
}

/// How a connection is driven.
#[derive(Clone)]
pub struct Options {
    /// How long the peer may be silent while the machine waits for it and for nothing else, and how long it may
    /// refuse to take what is sent. [CS-CONN-43]
    pub peer_timeout: Duration,
    /// The same until the machine first asks its store for something, which a master does once it is logged in.
    pub login_timeout: Duration,
    /// How long a machine may go on after it was told to stop.
    pub shutdown_grace: Duration,
    /// How long a TLS handshake may take. [CS-CONN-43]
    pub handshake_timeout: Duration,
    /// How long the peer may be connected before the login is done, whatever it does; `None` for ever. A master's is done
    /// when its store is first asked for something.
    pub login_within: Option<Duration>,
    /// What STARTTLS leads to; `None` where it cannot come.
    pub tls: Option<TlsSide>,
    /// The place of a peer that has to log in, which others may get meanwhile, and which knows how long a failed login waits.
    /// [CS-AUTH-19]
    pub guest: Option<Arc<Guest>>,
    /// Bytes read ahead of a machine that cannot go on because the peer does not take what it says. A master that sends
    /// ahead needs some: its replica may be unable to read because nobody reads its answers.
    pub read_ahead_bytes: usize,
    /// Level of compression, 1 to 9.
    pub deflate_level: u32,
    /// Whether the peer is trusted from the beginning; otherwise from its login on.
    pub trusted: bool,
    /// Whether the peer is told why its deflated data ends the connection; servers do that.
    pub tells_reason: bool,
    /// Where the protocol is shown.
    pub trace: Option<Trace>,
    /// How long nothing has to happen before a connection gives back its thread, its open databases and its buffers.
    /// [CS-CONN-55]
    pub rest_after: Duration,
    /// How many store sessions may work at a time; `None` for any number.
    pub places: Option<Places>,
    /// Who counts what happens.
    pub meter: Option<Arc<dyn Meter>>,
    /// Where the time of day comes from, and threads.
    pub platform: Arc<dyn Platform>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            peer_timeout: Duration::from_secs(1800),
            login_timeout: Duration::from_secs(1800),
            shutdown_grace: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(60),
            login_within: None,
            tls: None,
            guest: None,
            read_ahead_bytes: 0,
            deflate_level: LEVEL_DEFAULT,
            trusted: false,
            tells_reason: false,
            trace: None,
            rest_after: Duration::from_secs(2),
            places: None,
            meter: None,
            platform: Arc::new(System),
        }
    }
}

/// How a connection ended, below the machine.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The machine closed it.
    #[error("the connection was closed")]
    Closed,
    /// The socket failed; the machine saw the end of the stream.
    #[error("the connection failed: {0}")]
    Lost(io::Error),
    /// The peer was silent, or took nothing, for so long.
    #[error("the peer did nothing for {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The TLS handshake failed, and would again; the text says what to do.
    #[error("TLS: {0}")]
    Tls(String),
    /// The TLS handshake was not done within so long.
    #[error("the TLS handshake was not done within {} seconds", .0.as_secs())]
    NoHandshake(Duration),
    /// The peer sent something in clear behind the switch to TLS.
    #[error("something came in clear behind STARTTLS; somebody may be tampering with the connection")]
    Injected,
    /// The peer did not log in within so long.
    #[error("no login within {} seconds", .0.as_secs())]
    NoLogin(Duration),
    /// The peer did not log in, and somebody else needed its place.
    #[error("no login yet, and others want to log in too")]
    Displaced,
    /// The peer's deflated data is of no use.
    #[error("{0}")]
    Inflate(#[from] InflateError),
    /// The machine was told to stop and did not within the grace.
    #[error("stopped before the running command was done")]
    Stopped,
    /// The store's thread died, or the machine waits for nothing: a bug.
    #[error("internal error: {0}")]
    Broken(&'static str),
}

/// Drives `machine` over `stream` until it closes or the connection ends; gives the machine back for what it counted.
///
/// `stop` completes when the operator wants the machine to stop. `observe` sees the machine each time it waits.
pub async fn drive<M: Drive, S: AsyncRead + AsyncWrite + Unpin>(
    machine: M,
    stream: S,
    session: Box<dyn Session>,
    sasl: Box<dyn SaslLayer>,
    stop: impl Future<Output = ()> + Send + 'static,
    options: Options,
    observe: impl FnMut(&M),
) -> (M, End) {
    let limits = if options.trusted {
        InflateLimits::TRUSTED
    } else {
        InflateLimits::STRANGER
    };
    let timeout = options.login_timeout;
    let mut connection = Connection {
        machine,
        wire: Wire::new(stream, limits, options.trace.clone()),
        worker: Worker::new(
            session,
            options.places.clone(),
            options.meter.clone(),
            options.platform.pace(),
        ),
        sasl: Sasl::Idle(sasl),
        stop: Some(Box::pin(stop)),
        alarm: Box::pin(tokio::time::sleep(timeout)),
        timeout,
        grace_ends: None,
        shutdown_due: false,
        handshake: None,
        login_ends: options.login_within.map(|within| Instant::now() + within),
        displaced: options
            .guest
            .as_ref()
            .map(|guest| Box::pin(guest.displaced()) as Pin<Box<_>>),
        active_at: Instant::now(),
        resting: false,
        turn_began: None,
        mechanism: None,
        read_error: None,
        input_bytes_max: if options.trusted {
            usize::MAX
        } else {
            STRANGER_BYTES
        },
        options,
        observe,
    };
    let end = connection.run().await;
    let Connection {
        machine,
        mut wire,
        worker,
        options,
        read_error,
        stop,
        grace_ends,
        ..
    } = connection;
    let explained = match &end {
        End::Inflate(error) if options.tells_reason => {
            // The machine cannot say this: below the broken layer it never sees the bytes. [CS-COMP-6]
            wire.push(
                options.platform.now(),
                Bytes::from(format!("* Fatal error: {error}\r\n")),
            );
            wire.flush();
            true
        }
        End::Displaced => {
            wire.push(options.platform.now(), Bytes::from_static(DISPLACED));
            wire.flush();
            true
        }
        _ => false,
    };
    if explained || matches!(end, End::Closed) {
        let patience = if matches!(end, End::Displaced) {
            LINGER
        } else {
            options.peer_timeout
        };
        let until = Instant::now() + patience;
        let until = grace_ends.map_or(until, |ends| until.min(ends));
        close(wire, until, stop, options.shutdown_grace).await;
    }
    worker.end().await;
    (
        machine,
        match (end, read_error) {
            (End::Closed, Some(error)) => End::Lost(error),
            (end, _) => end,
        },
    )
}

/// What the operator's wish to end is waited for with.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends what is left, says that nothing more comes, and gives the peer a moment to read it. One that does not take it holds
/// nobody longer than the grace who wants to stop. [CS-CONN-26] [CS-CONN-56]
async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    mut wire: Wire<S>,
    until: Instant,
    stop: Option<Stop>,
    grace: Duration,
) {
    let sending = poll_fn(|cx| {
        while wire.has_output() {
            if std::task::ready!(wire.poll_write(cx)).is_err() {
                wire.fail_write();
            }
        }
        Poll::Ready(())
    });
    let patience = async {
        if let Some(stop) = stop
            && tokio::time::timeout_at(until, stop).await.is_ok()
        {
            tokio::time::sleep_until(until.min(Instant::now() + grace)).await;
        } else {
            tokio::time::sleep_until(until).await;
        }
    };
    tokio::select! {
        biased;
        () = sending => {}
        () = patience => return,
    }
    let mut stream = wire.into_stream();
    let linger = async {
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever goes wrong here, the connection is at its end all the same.
    let _ = tokio::time::timeout(LINGER, linger).await;
}

type SaslStep = Pin<Box<dyn Future<Output = (Box<dyn SaslLayer>, SaslReply)> + Send>>;

enum Sasl {
    Idle(Box<dyn SaslLayer>),
    Running(SaslStep),
    Moving,
}

enum Event {
    Stored(TicketId, Result<Reply, StoreError>),
    Sasl(SaslReply),
    Secured(TlsFacts),
    Stop,
    /// Some bytes moved; nothing for the machine.
    Moved,
    /// Nothing has moved for a while.
    Rest,
    /// Somebody waits for the place of this one.
    Wanted,
    End(End),
}

struct Connection<M, S, O> {
    machine: M,
    wire: Wire<S>,
    worker: Worker,
    sasl: Sasl,
    stop: Option<Stop>,
    alarm: Pin<Box<Sleep>>,
    timeout: Duration,
    grace_ends: Option<Instant>,
    /// The machine is to be told to stop as soon as it has nothing more to say.
    shutdown_due: bool,
    handshake: Option<Handshake>,
    login_ends: Option<Instant>,
    displaced: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    active_at: Instant,
    /// Memory was given back, and nothing has happened since.
    resting: bool,
    /// When the first byte came of what the machine works on.
    turn_began: Option<Instant>,
    /// How the peer logs in.
    mechanism: Option<&'static str>,
    read_error: Option<io::Error>,
    input_bytes_max: usize,
    options: Options,
    observe: O,
}

/// How far a switch to TLS is.
enum Handshake {
    /// What is said before it is still on its way out.
    Wanted(TlsSide),
    Running,
}

/// What the machine said last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drained {
    /// It waits.
    Waits(Waiting),
    /// It has more to say, and the socket takes no more for now.
    Blocked,
    Closed,
}

impl<M: Drive, S: AsyncRead + AsyncWrite + Unpin, O: FnMut(&M)> Connection<M, S, O> {
    async fn run(&mut self) -> End {
        loop {
            let drained = match self.drain() {
                Ok(drained) => drained,
                Err(end) => return end,
            };
            match drained {
                Drained::Closed => return End::Closed,
                Drained::Blocked => {}
                Drained::Waits(waiting) => {
                    (self.observe)(&self.machine);
                    self.count(waiting);
                    if std::mem::take(&mut self.shutdown_due) {
                        self.machine.handle(self.options.platform.now(), Input::Shutdown);
                        continue;
                    }
                    match self.feed(waiting) {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(end) => return end,
                    }
                }
            }
            let event = match self.next_event(drained).await {
                Event::Wanted => continue,
                Event::Rest => {
                    self.rest();
                    continue;
                }
                event => event,
            };
            self.active_at = Instant::now();
            self.resting = false;
            let input = match event {
                Event::Moved | Event::Rest | Event::Wanted => continue,
                Event::End(end) => return end,
                Event::Stored(ticket, answer) => {
                    if let Err(error) = &answer {
                        beside::log_failure(error);
                    }
                    Input::Stored(ticket, answer)
                }
                Event::Sasl(reply) => {
                    self.count_login(&reply);
                    if matches!(reply, SaslReply::Success { .. }) {
                        self.wire.trust();
                        self.input_bytes_max = usize::MAX;
                        self.login_ends = None;
                        self.displaced = None;
                        if let Some(guest) = &self.options.guest {
                            guest.logged_in();
                        }
                    }
                    Input::Sasl(reply)
                }
                Event::Secured(facts) => {
                    if let Sasl::Idle(layer) = &mut self.sasl {
                        layer.secured(&facts);
                    }
                    Input::TlsStarted(TlsStarted {
                        identified: facts.peer.is_some(),
                    })
                }
                Event::Stop => {
                    self.grace_ends = Some(Instant::now() + self.options.shutdown_grace);
                    self.shutdown_due = true;
                    continue;
                }
            };
            self.machine.handle(self.options.platform.now(), input);
        }
    }

    /// Carries out what the machine wants until it waits or the socket is full.
    fn drain(&mut self) -> Result<Drained, End> {
        while !self.wire.is_full() {
            match self.machine.poll() {
                Output::Send(bytes) => self.wire.push(self.options.platform.now(), bytes),
                Output::Store(ticket, request) => {
                    self.timeout = self.options.peer_timeout;
                    if self.options.trusted {
                        self.login_ends = None;
                    }
                    if !self.worker.send(ticket, request) {
                        return Err(End::Broken("the store's thread is gone"));
                    }
                }
                Output::Sasl(request) => self.start_sasl(request),
                Output::StartDeflate { received } => {
                    self.wire.start_deflate(self.options.deflate_level, received)
                }
                Output::StartTls => match self.options.tls.take() {
                    Some(side) => {
                        self.wire.flush();
                        self.handshake = Some(Handshake::Wanted(side));
                    }
                    None => return Err(End::Broken("the machine wants TLS, and there is none")),
                },
                Output::Wait(waiting) => {
                    if waiting.for_owner {
                        self.login_ends = None;
                        self.timeout = self.options.peer_timeout;
                    }
                    self.wire.flush();
                    return Ok(Drained::Waits(waiting));
                }
                Output::Closed => {
                    self.wire.flush();
                    return Ok(Drained::Closed);
                }
            }
        }
        Ok(Drained::Blocked)
    }

    /// Gives the machine what the peer sent, if it wants it and some is here.
    fn feed(&mut self, waiting: Waiting) -> Result<bool, End> {
        if !waiting.for_input {
            let idle = !waiting.for_store && !waiting.for_sasl;
            return if idle {
                Err(End::Broken("the machine waits for nothing"))
            } else {
                Ok(false)
            };
        }
        if self.worker.is_full() {
            return Ok(false);
        }
        let now = self.options.platform.now();
        if let Some(bytes) = self.wire.next_input(now, self.input_bytes_max)? {
            self.turn_began.get_or_insert(self.active_at);
            self.machine.handle(now, Input::Bytes(bytes));
            return Ok(true);
        }
        if self.wire.is_at_end() {
            self.machine.handle(now, Input::Eof);
            return Ok(true);
        }
        Ok(false)
    }

    async fn next_event(&mut self, drained: Drained) -> Event {
        let hurried = self.worker.is_wanted();
        let deadline = self.deadline(drained, hurried);
        if let Some((at, _)) = deadline
            && self.alarm.deadline() != at
        {
            self.alarm.as_mut().reset(at);
        }
        let ahead_bytes_max = if drained == Drained::Blocked {
            self.options.read_ahead_bytes
        } else {
            0
        };
        poll_fn(|cx| {
            if let Some(displaced) = &mut self.displaced
                && displaced.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::End(End::Displaced));
            }
            // The grace runs from now on, also for a machine whose peer does not take what it says. [CS-CONN-56]
            if let Some(stop) = &mut self.stop
                && stop.as_mut().poll(cx).is_ready()
            {
                self.stop = None;
                return Poll::Ready(Event::Stop);
            }
            if let Poll::Ready(event) = self.poll_secure(cx) {
                return Poll::Ready(event);
            }
            let waits = matches!(drained, Drained::Waits(_));
            if waits || self.worker.is_done() {
                match self.worker.poll_answer(cx) {
                    Poll::Ready(Some((ticket, answer))) => return Poll::Ready(Event::Stored(ticket, answer)),
                    Poll::Ready(None) => {
                        return Poll::Ready(Event::End(End::Broken("the store's thread died")));
                    }
                    Poll::Pending => {}
                }
            }
            // A machine that still has something to say is told nothing new before it has said it.
            if waits {
                if let Sasl::Running(step) = &mut self.sasl
                    && let Poll::Ready((layer, reply)) = step.as_mut().poll(cx)
                {
                    self.sasl = Sasl::Idle(layer);
                    return Poll::Ready(Event::Sasl(reply));
                }
                if self.machine.poll_owner(cx).is_ready() {
                    return Poll::Ready(Event::Moved);
                }
            }
            match self.wire.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Moved),
                Poll::Ready(Err(error)) => {
                    // The peer may have said why before it went; what it sent is read to its end.
                    self.wire.fail_write();
                    self.read_error.get_or_insert(error);
                    return Poll::Ready(Event::Moved);
                }
                Poll::Pending => {}
            }
            match self.wire.poll_read(cx, ahead_bytes_max) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Moved),
                Poll::Ready(Err(error)) => {
                    self.read_error.get_or_insert(error);
                    return Poll::Ready(Event::Moved);
                }
                Poll::Pending => {}
            }
            if !hurried && self.worker.poll_wanted(cx).is_ready() {
                return Poll::Ready(Event::Wanted);
            }
            if let Some((_, end)) = deadline
                && self.alarm.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Event::End(match end {
                    Deadline::Rest => return Poll::Ready(Event::Rest),
                    Deadline::Peer => End::TimedOut(self.timeout),
                    Deadline::Handshake => End::NoHandshake(self.options.handshake_timeout),
                    Deadline::Login => End::NoLogin(self.options.login_within.unwrap_or_default()),
                    Deadline::Grace => End::Stopped,
                }));
            }
            Poll::Pending
        })
        .await
    }

    /// Begins the handshake as soon as all before it is out, and carries it on.
    fn poll_secure(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(Handshake::Wanted(side)) = &self.handshake
            && !self.wire.has_output()
        {
            if !self.wire.start_tls(side.clone()) {
                return Poll::Ready(Event::End(End::Injected));
            }
            self.handshake = Some(Handshake::Running);
        }
        let Some(Handshake::Running) = &self.handshake else {
            return Poll::Pending;
        };
        match self.wire.poll_handshake(cx) {
            Poll::Ready(Ok(facts)) => {
                self.handshake = None;
                Poll::Ready(Event::Secured(facts))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Event::End(match TlsFault::of(&error) {
                Some(fault) => End::Tls(fault.to_string()),
                None => End::Lost(error),
            })),
            Poll::Pending => Poll::Pending,
        }
    }

    /// When the patience with what is waited for ends.
    fn deadline(&self, drained: Drained, hurried: bool) -> Option<(Instant, Deadline)> {
        let only_peer = match drained {
            Drained::Waits(waiting) => {
                waiting.for_input && !waiting.for_store && !waiting.for_sasl && !waiting.for_owner
            }
            Drained::Blocked | Drained::Closed => false,
        };
        let peer =
            (only_peer || self.wire.has_output()).then(|| (self.active_at + self.timeout, Deadline::Peer));
        let handshake = self.handshake.is_some().then(|| {
            (
                self.active_at + self.options.handshake_timeout,
                Deadline::Handshake,
            )
        });
        let login = self.login_ends.map(|at| (at, Deadline::Login));
        let grace = self.grace_ends.map(|at| (at, Deadline::Grace));
        let rest = self.may_rest(drained).then(|| {
            let after = if hurried {
                REST_SOON
            } else {
                self.options.rest_after
            };
            (self.active_at + after, Deadline::Rest)
        });
        peer.into_iter()
            .chain(rest)
            .chain(handshake)
            .chain(login)
            .chain(grace)
            .min_by_key(|(at, _)| *at)
    }

    fn start_sasl(&mut self, request: SaslRequest) {
        if let SaslRequest::Start { mechanism, .. } = &request {
            self.mechanism = Some(meter::mechanism(mechanism));
        }
        let layer = match std::mem::replace(&mut self.sasl, Sasl::Moving) {
            Sasl::Idle(layer) => layer,
            Sasl::Running(_) | Sasl::Moving => Box::new(NoSasl),
        };
        let guest = self.options.guest.clone();
        let aborting = matches!(request, SaslRequest::Abort);
        let has_threads = self.options.platform.pace().is_none();
        self.sasl = Sasl::Running(Box::pin(async move {
            let (layer, reply) = if has_threads {
                step_beside(layer, request).await
            } else {
                let mut layer = layer;
                let reply = layer.step(request);
                (layer, reply)
            };
            if matches!(reply, SaslReply::Failure { .. }) && !aborting {
                let pause = guest.map_or(Duration::ZERO, |guest| guest.login_failed());
                tokio::time::sleep(pause).await;
            }
            (layer, reply)
        }));
    }
}

/// Does a step of a login on a thread that may block.
async fn step_beside(mut layer: Box<dyn SaslLayer>, request: SaslRequest) -> (Box<dyn SaslLayer>, SaslReply) {
    let span = tracing::Span::current();
    let step = tokio::task::spawn_blocking(move || {
        let reply = span.in_scope(|| layer.step(request));
        (layer, reply)
    });
    step.await.unwrap_or_else(|_| {
        tracing::error!("a SASL step died; this is a bug");
        let refused = SaslReply::Failure {
            text: "authentication failure".to_owned(),
        };
        (Box::new(NoSasl) as Box<dyn SaslLayer>, refused)
    })
}

#[derive(Clone, Copy)]
enum Deadline {
    Rest,
    Peer,
    Handshake,
    Login,
    Grace,
}
