//! Taking turns among items that are worked on side by side: first come, first served.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use protocol::decode::ReplyDecoder;

use crate::flow::Port;

/// Something that one at a time may do; clones are the same thing.
#[derive(Clone)]
pub(super) struct Turns {
    port: Port<ReplyDecoder>,
    queue: Arc<Mutex<Queue>>,
}

struct Queue {
    next: u64,
    places: usize,
    taken: usize,
    waiting: VecDeque<u64>,
}

/// The right to do it; ends when dropped.
pub(super) struct Turn {
    turns: Turns,
}

impl Turns {
    /// For so many at a time; at least one.
    pub(super) fn new(port: Port<ReplyDecoder>, places: usize) -> Self {
        Turns {
            port,
            queue: Arc::new(Mutex::new(Queue {
                next: 0,
                places: places.max(1),
                taken: 0,
                waiting: VecDeque::new(),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn. Once begun it has to be awaited to its end: a place in the queue is not given up.
    pub(super) async fn take(&self) -> Turn {
        let number = {
            let mut queue = self.lock();
            let number = queue.next;
            queue.next += 1;
            queue.waiting.push_back(number);
            number
        };
        std::future::poll_fn(|_| {
            let mut queue = self.lock();
            if queue.taken < queue.places && queue.waiting.front() == Some(&number) {
                queue.waiting.pop_front();
                queue.taken += 1;
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        self.port.moved();
        Turn { turns: self.clone() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().taken -= 1;
        self.turns.port.moved();
    }
}
