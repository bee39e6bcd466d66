//! The store's thread: started with a request, answering in order, ended when nothing is asked for a while.
//!
//! A connection that idles keeps its session, and no thread: the thread lets the session rest, hands it back and ends.
//! Requests that were sent meanwhile are in the channel that comes back with it, so none is lost.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Instant;

use engine::ticket::{Reply, Request, Resting, Session, StagePart, StoreError, TicketId};
use tokio::sync::{Notify, mpsc as async_mpsc};
use tracing::Instrument as _;

use super::places::{Place, Places};
use crate::meter::{self, AtWork, Meter};
use crate::platform::Pace;

/// Bytes of messages that may wait for the store before no more are read from the peer.
const OPEN_BYTES_HIGH: usize = 4 * 1024 * 1024;

type Answer = (TicketId, Result<Reply, StoreError>);

/// What the thread is told.
enum Ask {
    Do(TicketId, Request),
    /// Rest, hand the session back, and end.
    Rest,
}

/// What the thread says.
enum Said {
    Answer(Answer),
    Rested(Desk, Resting),
}

/// What a thread works with. Dropped from the top: whoever sees the channel closed knows that the session is gone.
struct Desk {
    session: Box<dyn Session>,
    todo: mpsc::Receiver<Ask>,
}

/// What does the work.
enum Hands {
    Thread(JoinHandle<()>),
    /// On platforms without threads.
    Task(tokio::task::JoinHandle<()>),
}

/// The way to whoever does the work. A thread waits for the channel; a task waits for the bell.
struct Requests {
    channel: Option<mpsc::Sender<Ask>>,
    bell: Option<Arc<Notify>>,
}

impl Requests {
    fn send(&self, ask: Ask) -> bool {
        let sent = self
            .channel
            .as_ref()
            .is_some_and(|channel| channel.send(ask).is_ok());
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
        sent
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.channel = None;
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
    }
}

type Waiting = Pin<Box<dyn Future<Output = Option<Place>> + Send>>;

/// What is left of the session, or where it works.
enum State {
    /// At rest.
    Idle(Box<dyn Session>),
    /// Requests wait for a place to work at.
    Waiting {
        desk: Desk,
        requests: Requests,
        place: Waiting,
    },
    Running {
        requests: Requests,
        said: async_mpsc::UnboundedReceiver<Said>,
        hands: Hands,
        /// Held for as long as the thread works; none is needed where sessions are not counted, and for a session that
        /// others may be waiting for.
        _place: Option<Place>,
        _at_work: Option<AtWork>,
        /// It was told to rest.
        resting: bool,
    },
    Dead,
}

/// A connection's store session.
pub(super) struct Worker {
    state: State,
    places: Option<Places>,
    meter: Option<Arc<dyn Meter>>,
    /// Where there are no threads.
    pace: Option<Pace>,
    /// The session has a transaction open, so that others may be waiting for it.
    holding: bool,
    open: VecDeque<usize>,
    open_bytes: usize,
    wanted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Worker {
    /// Over a session at rest; `places` bound how many work at a time, `meter` is told what it does.
    pub(super) fn new(
        session: Box<dyn Session>,
        places: Option<Places>,
        meter: Option<Arc<dyn Meter>>,
        pace: Option<Pace>,
    ) -> Self {
        Worker {
            state: State::Idle(session),
            places,
            meter,
            pace,
            holding: false,
            open: VecDeque::new(),
            open_bytes: 0,
            wanted: None,
        }
    }

    /// Passes a request on. False when the session is gone, which is a broken invariant of the store.
    pub(super) fn send(&mut self, ticket: TicketId, request: Request) -> bool {
        if matches!(self.state, State::Idle(_))
            && let State::Idle(session) = std::mem::replace(&mut self.state, State::Dead)
        {
            let (channel, todo) = mpsc::channel();
            let requests = Requests {
                channel: Some(channel),
                bell: self.pace.as_ref().map(|_| Arc::default()),
            };
            self.wake(Desk { session, todo }, requests);
        }
        let bytes = bytes_of(&request);
        let sent = match &self.state {
            State::Running { requests, .. } | State::Waiting { requests, .. } => {
                requests.send(Ask::Do(ticket, request))
            }
            State::Idle(_) | State::Dead => false,
        };
        if sent {
            self.open.push_back(bytes);
            self.open_bytes += bytes;
        }
        sent
    }

    /// Whether all that was asked is answered.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// The next answer; `None` when the thread died with requests open. Pending, and woken, also where nothing is open
    /// and the thread is about to hand the session back.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        loop {
            let said = match &mut self.state {
                State::Idle(_) => return Poll::Pending,
                State::Dead if self.open.is_empty() => return Poll::Pending,
                State::Dead => return Poll::Ready(None),
                State::Waiting { place, .. } => {
                    let place = ready!(place.as_mut().poll(cx));
                    if let State::Waiting { desk, requests, .. } =
                        std::mem::replace(&mut self.state, State::Dead)
                    {
                        self.start(desk, requests, place);
                    }
                    continue;
                }
                State::Running { said, .. } => ready!(said.poll_recv(cx)),
            };
            match said {
                Some(Said::Answer(answer)) => {
                    self.open_bytes -= self.open.pop_front().unwrap_or_default();
                    return Poll::Ready(Some(answer));
                }
                Some(Said::Rested(desk, resting)) => self.rested(desk, resting),
                None => self.state = State::Dead,
            }
        }
    }

    /// Whether so many message bytes wait that the peer should wait too.
    pub(super) fn is_full(&self) -> bool {
        self.open_bytes > OPEN_BYTES_HIGH
    }

    /// Ready when somebody waits for the place of a session that has nothing to do. To be asked by those only that
    /// thought nobody waits.
    pub(super) fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(places), true) = (&self.places, self.may_rest()) else {
            return Poll::Pending;
        };
        let wanted = self
            .wanted
            .get_or_insert_with(|| Box::pin(places.clone().wanted()));
        let woken = wanted.as_mut().poll(cx).is_ready();
        // Whoever came before this looked has been counted, and whoever comes now wakes it.
        if woken || places.are_wanted() {
            self.wanted = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Whether somebody waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.places.as_ref().is_some_and(Places::are_wanted)
    }

    /// Whether it has a thread, and nothing for it to do.
    pub(super) fn may_rest(&self) -> bool {
        self.open.is_empty() && matches!(self.state, State::Running { resting: false, .. })
    }

    /// Lets the session rest and the thread end.
    pub(super) fn rest(&mut self) {
        if self.may_rest()
            && let State::Running {
                requests, resting, ..
            } = &mut self.state
        {
            *resting = true;
            // A thread that has died is noticed with the next request.
            requests.send(Ask::Rest);
        }
    }

    /// Ends the session: what it has open is rolled back when this returns.
    pub(super) async fn end(self) {
        let State::Running {
            requests,
            mut said,
            hands,
            ..
        } = self.state
        else {
            return;
        };
        drop(requests);
        // Closed when the session has been dropped; what is said before has nobody to listen.
        while said.recv().await.is_some() {}
        let died = match hands {
            Hands::Thread(thread) => thread.join().is_err(),
            Hands::Task(task) => task.await.is_err(),
        };
        if died {
            tracing::error!("the store's thread died; this is a bug");
        }
    }

    /// Takes the session back, or lets it go on with what was sent meanwhile.
    fn rested(&mut self, desk: Desk, resting: Resting) {
        self.holding = resting == Resting::Holding;
        match std::mem::replace(&mut self.state, State::Dead) {
            State::Running { requests, .. } if !self.open.is_empty() => self.wake(desk, requests),
            _ => {
                self.state = State::Idle(desk.session);
                self.open = VecDeque::new();
                self.wanted = None;
            }
        }
    }

    fn wake(&mut self, desk: Desk, requests: Requests) {
        match &self.places {
            None => self.start(desk, requests, None),
            Some(places) => {
                let place = places.try_take();
                if place.is_some() || self.holding {
                    self.start(desk, requests, place);
                } else {
                    let place = Box::pin(places.clone().take());
                    self.state = State::Waiting {
                        desk,
                        requests,
                        place,
                    };
                }
            }
        }
    }

    fn start(&mut self, desk: Desk, requests: Requests, place: Option<Place>) {
        let (say, said) = async_mpsc::unbounded_channel();
        let span = tracing::Span::current();
        let meter = self.meter.clone();
        let hands = match (&self.pace, &requests.bell) {
            (Some(pace), Some(bell)) => {
                let work = work_here(desk, say, meter, Arc::clone(pace), Arc::clone(bell));
                Hands::Task(tokio::spawn(work.instrument(span)))
            }
            _ => {
                let work = move || span.in_scope(|| work(desk, &say, meter.as_deref()));
                match std::thread::Builder::new().name("store".to_owned()).spawn(work) {
                    Ok(thread) => Hands::Thread(thread),
                    Err(error) => {
                        tracing::error!(%error, "cannot start a thread for the store");
                        return;
                    }
                }
            }
        };
        self.state = State::Running {
            requests,
            said,
            hands,
            _place: place,
            _at_work: self.meter.clone().map(AtWork::new),
            resting: false,
        };
    }
}

/// The thread.
fn work(mut desk: Desk, say: &async_mpsc::UnboundedSender<Said>, meter: Option<&dyn Meter>) {
    while let Ok(ask) = desk.todo.recv() {
        match carry_out(desk, ask, say, meter) {
            Some(back) => desk = back,
            None => return,
        }
    }
}

/// The same where there are no threads: it waits for as long as a request takes, and then does it at once.
async fn work_here(
    mut desk: Desk,
    say: async_mpsc::UnboundedSender<Said>,
    meter: Option<Arc<dyn Meter>>,
    pace: Pace,
    bell: Arc<Notify>,
) {
    loop {
        let ask = match desk.todo.try_recv() {
            Ok(ask) => ask,
            Err(mpsc::TryRecvError::Empty) => {
                bell.notified().await;
                continue;
            }
            Err(mpsc::TryRecvError::Disconnected) => return,
        };
        if let Ask::Do(_, request) = &ask {
            let takes = pace(request);
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
        }
        match carry_out(desk, ask, &say, meter.as_deref()) {
            Some(back) => desk = back,
            None => return,
        }
    }
}

/// Does what is asked; `None` when nothing more is to be done here.
fn carry_out(
    mut desk: Desk,
    ask: Ask,
    say: &async_mpsc::UnboundedSender<Said>,
    meter: Option<&dyn Meter>,
) -> Option<Desk> {
    match ask {
        Ask::Do(ticket, request) => {
            let (kind, begun) = (meter::kind(&request), Instant::now());
            let answer = desk.session.execute(request);
            if let Some(meter) = meter {
                let took = begun.elapsed();
                meter.note(meter::Event::Stored { kind, took });
            }
            let heard = say.send(Said::Answer((ticket, answer))).is_ok();
            heard.then_some(desk)
        }
        Ask::Rest => {
            let resting = desk.session.rest();
            // Nobody takes it back when the connection has ended: then it is dropped here.
            let _ = say.send(Said::Rested(desk, resting));
            None
        }
    }
}

fn bytes_of(request: &Request) -> usize {
    let Request::Stage(parts) = request else { return 0 };
    parts
        .iter()
        .map(|part| {
            if let StagePart::Data(data) = part {
                data.len()
            } else {
                0
            }
        })
        .sum()
}
