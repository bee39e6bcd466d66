//! The store's thread: one a connection, started with the first request, answering in order.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use engine::ticket::{Reply, Request, Session, StagePart, StoreError, TicketId};
use tokio::sync::mpsc as async_mpsc;

/// Bytes of messages that may wait for the store before no more are read from the peer.
const OPEN_BYTES_HIGH: usize = 4 * 1024 * 1024;

type Answer = (TicketId, Result<Reply, StoreError>);

/// What is left of the session, or where it works.
enum State {
    Idle(Box<dyn Session>),
    Running {
        requests: mpsc::Sender<(TicketId, Request)>,
        answers: async_mpsc::UnboundedReceiver<Answer>,
    },
    Dead,
}

/// A connection's store session on a thread of its own.
pub(super) struct Worker {
    state: State,
    thread: Option<JoinHandle<()>>,
    open: VecDeque<usize>,
    open_bytes: usize,
}

impl Worker {
    pub(super) fn new(session: Box<dyn Session>) -> Self {
        Worker {
            state: State::Idle(session),
            thread: None,
            open: VecDeque::new(),
            open_bytes: 0,
        }
    }

    /// Passes a request on. False when the session is gone, which is a broken invariant of the store.
    pub(super) fn send(&mut self, ticket: TicketId, request: Request) -> bool {
        if matches!(self.state, State::Idle(_))
            && let State::Idle(session) = std::mem::replace(&mut self.state, State::Dead)
        {
            self.start(session);
        }
        let bytes = bytes_of(&request);
        match &self.state {
            State::Running { requests, .. } if requests.send((ticket, request)).is_ok() => {
                self.open.push_back(bytes);
                self.open_bytes += bytes;
                true
            }
            _ => false,
        }
    }

    /// The next answer; `None` when the thread died with requests open.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let State::Running { answers, .. } = &mut self.state else {
            return Poll::Pending;
        };
        if self.open.is_empty() {
            return Poll::Pending;
        }
        let answer = std::task::ready!(answers.poll_recv(cx));
        self.open_bytes -= self.open.pop_front().unwrap_or_default();
        Poll::Ready(answer)
    }

    /// Whether so many message bytes wait that the peer should wait too.
    pub(super) fn is_full(&self) -> bool {
        self.open_bytes > OPEN_BYTES_HIGH
    }

    /// Ends the session: what it has open is rolled back when this returns.
    pub(super) async fn end(self) {
        drop(self.state);
        if let Some(thread) = self.thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the store's thread died; this is a bug");
            }
        }
    }

    fn start(&mut self, mut session: Box<dyn Session>) {
        let (requests, todo) = mpsc::channel::<(TicketId, Request)>();
        let (done, answers) = async_mpsc::unbounded_channel();
        let work = move || {
            for (ticket, request) in todo {
                let answer = session.execute(request);
                if done.send((ticket, answer)).is_err() {
                    break;
                }
            }
        };
        match std::thread::Builder::new().name("store".to_owned()).spawn(work) {
            Ok(thread) => {
                self.thread = Some(thread);
                self.state = State::Running { requests, answers };
            }
            Err(error) => tracing::error!(%error, "cannot start a thread for the store"),
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
