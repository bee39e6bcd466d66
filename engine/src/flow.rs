//! How a machine is written: as one straight-line async function over a [`Port`], with no runtime below it.
//!
//! The protocol's algorithms are sequences ("ask, compare, send, wait"), and read best as such. A [`Machine`] owns the
//! one future and polls it with a waker that does nothing: all progress comes from [`Machine::handle`], so the machine
//! is as deterministic as its inputs. Awaiting is possible only on what the port offers: wire events, storage tickets,
//! SASL steps, and room in the output.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use protocol::encode::{Encoder, LiteralStyle};

use crate::ticket::{Reply, Request, StoreError, TicketId};

/// Bytes of encoded output at which [`Port::room`] makes the machine wait for its driver.
pub const OUTPUT_BYTES_HIGH: usize = 256 * 1024;

/// Wall-clock seconds since the epoch, as given by the driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Now(pub i64);

/// What a wire decoder offers a machine.
pub trait Decoder: Send {
    /// What it yields.
    type Event: Send;
    /// Takes bytes from the peer.
    fn push(&mut self, bytes: Bytes);
    /// The next event, or `None` when it needs more bytes.
    fn next_event(&mut self) -> Option<Self::Event>;
    /// What was pushed and not consumed, for a layer that is put below.
    fn take_buffered(&mut self) -> Bytes;
}

/// One thing that happened, given to a machine.
#[derive(Debug)]
pub enum Input {
    /// Bytes from the peer, with every layer (TLS, deflate) taken off.
    Bytes(Bytes),
    /// The peer will send nothing more.
    Eof,
    /// A storage ticket was answered.
    Stored(TicketId, Result<Reply, StoreError>),
    /// The answer to [`Output::Sasl`].
    Sasl(SaslReply),
    /// The answer to [`Output::StartTls`]: the handshake is done. A failed one ends the connection instead.
    TlsStarted(TlsStarted),
    /// The operator wants the machine to stop: finish or roll back what runs, say so, close.
    Shutdown,
}

/// What a machine wants done.
#[derive(Debug)]
#[must_use = "an output that is not carried out leaves the machine waiting for ever"]
pub enum Output {
    /// Send these bytes, in order with all others.
    Send(Bytes),
    /// Ask the store; in order with all other requests.
    Store(TicketId, Request),
    /// Ask the SASL layer.
    Sasl(SaslRequest),
    /// All bytes given by [`Output::Send`] before this go out plain; from here on both directions are deflated.
    /// `received` is what the peer already sent behind the switch.
    StartDeflate {
        /// Deflated bytes to inflate first.
        received: Bytes,
    },
    /// All bytes given by [`Output::Send`] before this go out in clear; then the handshake, and both directions are
    /// in TLS, whose inside begins anew. Bytes that came in clear behind the switch end the connection. [CS-AUTH-12]
    StartTls,
    /// Nothing to do until one of these happens.
    Wait(Waiting),
    /// The machine has ended; close the connection after what was sent is out.
    Closed,
}

/// What a machine waits for; the reason is for logs and stuck-run reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// It can use bytes from the peer: the read time-out runs.
    pub for_input: bool,
    /// A storage ticket is open.
    pub for_store: bool,
    /// A SASL step or a TLS handshake is open.
    pub for_sasl: bool,
    /// Nothing is under way: it waits for its owner to give it work, and no time-out runs.
    pub for_owner: bool,
}

/// What a machine learns of a TLS handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsStarted {
    /// Server side: whether the client showed a certificate that was verified and names somebody, so that EXTERNAL can
    /// be offered.
    pub identified: bool,
}

/// A step asked of the SASL layer. All data is base64, as on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaslRequest {
    /// Server side: a client chose a mechanism, perhaps with an initial response.
    Start {
        /// Mechanism name as sent.
        mechanism: String,
        /// Initial response.
        initial: Option<Bytes>,
    },
    /// Client side: choose among what the server offers.
    Choose {
        /// Mechanism names as offered.
        offered: Vec<String>,
    },
    /// Either side: what the peer said next.
    Step(Bytes),
    /// Either side: the peer (or the server's final reply) ended the exchange.
    Abort,
}

/// The SASL layer's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaslReply {
    /// Client side: the mechanism chosen and its initial response.
    Chosen {
        /// Mechanism name.
        mechanism: String,
        /// Initial response, base64; `None` when it has none.
        initial: Option<Bytes>,
    },
    /// Send this and wait for the peer.
    Send(Bytes),
    /// Server side: the client is who it says. `admin` tells whether it may replicate. `last` is final data to send
    /// as a challenge before the OK, when the mechanism has some.
    Success {
        /// Whether the user is among `admins`.
        admin: bool,
        /// The user, for logs.
        user: String,
        /// Final server data, base64.
        last: Option<Bytes>,
    },
    /// Failed; the text goes behind `NO`, and holds no secret.
    Failure {
        /// Why.
        text: String,
    },
}

/// A machine: one future over one port.
pub struct Machine<D: Decoder> {
    shared: Arc<Mutex<Shared<D>>>,
    task: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<D: Decoder + 'static> Machine<D> {
    /// Builds the machine; `run` gets the port and is the whole behaviour.
    pub fn new<F>(decoder: D, literals: LiteralStyle, run: impl FnOnce(Port<D>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = Arc::new(Mutex::new(Shared {
            decoder,
            encoder: Encoder::new(literals),
            now: Now::default(),
            eof: false,
            shutdown: false,
            output: std::collections::VecDeque::new(),
            output_bytes: 0,
            next_ticket: 0,
            open_tickets: 0,
            answers: BTreeMap::new(),
            sasl_open: false,
            sasl_reply: None,
            tls_open: false,
            tls_started: None,
            wants_input: false,
            is_idle: false,
            moves: 0,
            input_bytes: 0,
            input_bytes_max: None,
        }));
        let task = Box::pin(run(Port {
            shared: Arc::clone(&shared),
        }));
        Machine {
            shared,
            task: Some(task),
        }
    }

    /// Takes one thing that happened. `now` is wall-clock time.
    pub fn handle(&mut self, now: Now, input: Input) {
        let mut shared = lock(&self.shared);
        shared.now = now;
        match input {
            Input::Bytes(bytes) => {
                shared.input_bytes = shared.input_bytes.saturating_add(bytes.len() as u64);
                shared.decoder.push(bytes);
            }
            Input::Eof => shared.eof = true,
            Input::Stored(ticket, answer) => {
                shared.open_tickets = shared.open_tickets.saturating_sub(1);
                shared.answers.insert(ticket, answer);
            }
            Input::Sasl(reply) => {
                shared.sasl_open = false;
                shared.sasl_reply = Some(reply);
            }
            Input::TlsStarted(started) => {
                shared.tls_open = false;
                shared.tls_started = Some(started);
            }
            Input::Shutdown => shared.shutdown = true,
        }
    }

    /// Tells the time only: the owner has something for the machine that comes another way.
    pub fn tell(&mut self, now: Now) {
        lock(&self.shared).now = now;
    }

    /// The next thing to do. Call it until it answers [`Output::Wait`] or [`Output::Closed`].
    pub fn poll(&mut self) -> Output {
        loop {
            {
                let mut shared = lock(&self.shared);
                if let Some(output) = shared.pop_output() {
                    return output;
                }
                shared.wants_input = false;
                shared.is_idle = false;
            }
            let Some(task) = self.task.as_mut() else {
                return Output::Closed;
            };
            let ended = task
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready();
            if ended {
                self.task = None;
            }
            let shared = lock(&self.shared);
            if !ended && shared.is_drained() {
                return Output::Wait(Waiting {
                    for_input: shared.wants_input && !shared.eof,
                    for_store: shared.open_tickets > 0,
                    for_sasl: shared.sasl_open || shared.tls_open,
                    for_owner: shared.is_idle && shared.open_tickets == 0,
                });
            }
        }
    }
}

struct Shared<D> {
    decoder: D,
    encoder: Encoder,
    now: Now,
    eof: bool,
    shutdown: bool,
    output: std::collections::VecDeque<Output>,
    output_bytes: usize,
    next_ticket: u64,
    open_tickets: usize,
    answers: BTreeMap<TicketId, Result<Reply, StoreError>>,
    sasl_open: bool,
    sasl_reply: Option<SaslReply>,
    tls_open: bool,
    tls_started: Option<TlsStarted>,
    wants_input: bool,
    is_idle: bool,
    moves: u64,
    input_bytes: u64,
    input_bytes_max: Option<u64>,
}

impl<D: Decoder> Shared<D> {
    fn flush_encoder(&mut self) {
        if !self.encoder.is_empty() {
            let bytes = self.encoder.take();
            self.output_bytes += bytes.len();
            self.output.push_back(Output::Send(bytes));
        }
    }

    fn pop_output(&mut self) -> Option<Output> {
        self.flush_encoder();
        let output = self.output.pop_front();
        if let Some(Output::Send(bytes)) = &output {
            self.output_bytes -= bytes.len();
        }
        output
    }

    fn is_drained(&self) -> bool {
        self.output.is_empty() && self.encoder.is_empty()
    }
}

fn lock<D>(shared: &Mutex<Shared<D>>) -> MutexGuard<'_, Shared<D>> {
    // A panic in the machine's future is a broken invariant and ends the connection; the state is not used after it.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a wire read ended with when it was no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The peer closed.
    Eof,
    /// The operator asked to stop, and nothing of a command had arrived or was pending.
    Shutdown,
    /// The peer sent more than [`Port::limit_input`] allows.
    TooMuch,
}

/// A machine's view of the world; clones are the same port.
pub struct Port<D> {
    shared: Arc<Mutex<Shared<D>>>,
}

impl<D> Clone for Port<D> {
    fn clone(&self) -> Self {
        Port {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Decoder> Port<D> {
    /// Wall-clock time of the latest input.
    pub fn now(&self) -> Now {
        lock(&self.shared).now
    }

    /// Whether the operator asked to stop.
    pub fn is_shutdown(&self) -> bool {
        lock(&self.shared).shutdown
    }

    /// The next wire event.
    ///
    /// # Errors
    /// [`Ended::Eof`] when the peer closed; [`Ended::Shutdown`] when `stoppable` and the operator asked to stop;
    /// [`Ended::TooMuch`] when the peer sent more than [`Port::limit_input`] allows.
    pub async fn event(&self, stoppable: bool) -> Result<D::Event, Ended> {
        std::future::poll_fn(|_| self.poll_event(stoppable)).await
    }

    /// The same without waiting; the machine is woken by what the peer sends.
    ///
    /// # Errors
    /// As [`Port::event`].
    pub fn poll_event(&self, stoppable: bool) -> Poll<Result<D::Event, Ended>> {
        let mut shared = lock(&self.shared);
        if stoppable && shared.shutdown {
            return Poll::Ready(Err(Ended::Shutdown));
        }
        if shared.input_bytes_max.is_some_and(|max| shared.input_bytes > max) {
            return Poll::Ready(Err(Ended::TooMuch));
        }
        if let Some(event) = shared.decoder.next_event() {
            shared.moves += 1;
            return Poll::Ready(Ok(event));
        }
        if shared.eof {
            return Poll::Ready(Err(Ended::Eof));
        }
        shared.wants_input = true;
        Poll::Pending
    }

    /// Storage tickets that are not answered.
    pub fn open_tickets(&self) -> usize {
        lock(&self.shared).open_tickets
    }

    /// Says that nothing is under way until the owner gives something; what the peer says meanwhile is still heard.
    pub fn idle(&self) {
        let mut shared = lock(&self.shared);
        shared.wants_input = true;
        shared.is_idle = true;
    }

    /// Says that something another part of the same machine may wait for has happened.
    pub fn moved(&self) {
        lock(&self.shared).moves += 1;
    }

    /// How much has happened so far; while it grows, parts that wait may be able to go on.
    pub fn moves(&self) -> u64 {
        lock(&self.shared).moves
    }

    /// The next wire event if one is complete already.
    pub fn event_now(&self) -> Option<D::Event> {
        let mut shared = lock(&self.shared);
        let event = shared.decoder.next_event();
        shared.moves += u64::from(event.is_some());
        event
    }

    /// Sets how many bytes the peer may send in all from the beginning of the connection; `None` lifts the limit.
    pub fn limit_input(&self, bytes_max: Option<u64>) {
        lock(&self.shared).input_bytes_max = bytes_max;
    }

    /// Bytes that the peer has sent so far, those that wait to be decoded included.
    pub fn heard_bytes(&self) -> u64 {
        lock(&self.shared).input_bytes
    }

    /// Works on the decoder itself (raw lines during SASL).
    pub fn with_decoder<R>(&self, work: impl FnOnce(&mut D) -> R) -> R {
        work(&mut lock(&self.shared).decoder)
    }

    /// Encodes output; it is sent in order with everything else.
    pub fn encode<R>(&self, work: impl FnOnce(&mut Encoder) -> R) -> R {
        work(&mut lock(&self.shared).encoder)
    }

    /// Sends bytes as they are (file bodies) without copying them.
    pub fn send_bytes(&self, bytes: Bytes) {
        let mut shared = lock(&self.shared);
        shared.flush_encoder();
        shared.output_bytes += bytes.len();
        shared.output.push_back(Output::Send(bytes));
    }

    /// Waits while more than [`OUTPUT_BYTES_HIGH`] bytes wait for the driver: call it in every loop that produces
    /// output, so that memory stays bounded by the peer's reading.
    pub async fn room(&self) {
        std::future::poll_fn(|_| self.poll_room()).await
    }

    /// The same without waiting.
    pub fn poll_room(&self) -> Poll<()> {
        let mut shared = lock(&self.shared);
        shared.flush_encoder();
        if shared.output_bytes < OUTPUT_BYTES_HIGH {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Asks the store at once; the answer is awaited through the call, now or later.
    pub fn store(&self, request: Request) -> StoreCall<D> {
        let mut shared = lock(&self.shared);
        let ticket = TicketId(shared.next_ticket);
        shared.next_ticket += 1;
        shared.open_tickets += 1;
        shared.output.push_back(Output::Store(ticket, request));
        StoreCall {
            shared: Arc::clone(&self.shared),
            ticket,
        }
    }

    /// Asks the SASL layer and waits for its answer.
    pub async fn sasl(&self, request: SaslRequest) -> SaslReply {
        {
            let mut shared = lock(&self.shared);
            shared.flush_encoder();
            shared.sasl_open = true;
            shared.sasl_reply = None;
            shared.output.push_back(Output::Sasl(request));
        }
        std::future::poll_fn(|_| match lock(&self.shared).sasl_reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        })
        .await
    }

    /// Switches deflate on behind everything encoded so far.
    pub fn start_deflate(&self) {
        let mut shared = lock(&self.shared);
        shared.flush_encoder();
        let received = shared.decoder.take_buffered();
        // They come again, inflated.
        shared.input_bytes = shared.input_bytes.saturating_sub(received.len() as u64);
        shared.output.push_back(Output::StartDeflate { received });
    }

    /// Switches TLS on behind everything encoded so far, and waits for the handshake. `None` when the peer sent
    /// something in clear behind the switch, which may be somebody else's words: nothing is switched on, and the
    /// connection must end. [CS-AUTH-12]
    pub async fn start_tls(&self) -> Option<TlsStarted> {
        {
            let mut shared = lock(&self.shared);
            shared.flush_encoder();
            if !shared.decoder.take_buffered().is_empty() {
                return None;
            }
            shared.tls_open = true;
            shared.tls_started = None;
            shared.output.push_back(Output::StartTls);
        }
        let started = std::future::poll_fn(|_| match lock(&self.shared).tls_started.take() {
            Some(started) => Poll::Ready(started),
            None => Poll::Pending,
        });
        Some(started.await)
    }
}

/// An open storage ticket.
#[must_use = "the answer of a storage request has to be looked at"]
pub struct StoreCall<D> {
    shared: Arc<Mutex<Shared<D>>>,
    ticket: TicketId,
}

impl<D: Decoder> Future for StoreCall<D> {
    type Output = Result<Reply, StoreError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match lock(&self.shared).answers.remove(&self.ticket) {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
impl<D: Decoder + 'static> Port<D> {
    /// A port whose machine is gone, for what only counts on it.
    pub(crate) fn orphan(decoder: D) -> Self {
        let mut kept = None;
        drop(Machine::new(decoder, LiteralStyle::Client, |port| {
            kept = Some(port);
            std::future::ready(())
        }));
        kept.expect("the machine gave it away")
    }
}
