//! Messages so large that everything else on the connection would wait behind them: what is under way is done first, and
//! nothing is begun meanwhile. [CS-MASTER-64]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use protocol::decode::ReplyDecoder;

use super::{SharedProgress, update_progress};
use crate::flow::Port;

/// Bytes from which a message is one.
pub(super) const HEAVY_BYTES: u64 = 32 << 20;

/// Who waits for whom; clones are the same connection's.
#[derive(Clone)]
pub(super) struct Heavy {
    port: Port<ReplyDecoder>,
    progress: SharedProgress,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Items being worked on.
    under_way: usize,
    /// Those of them that wait to be the only one.
    waiting: usize,
    /// Whether one has its turn.
    taken: bool,
}

/// The turn to send a heavy message; ends when dropped.
pub(super) struct Alone {
    heavy: Heavy,
    bytes: u64,
}

impl Heavy {
    /// Nothing is heavy yet.
    pub(super) fn new(port: Port<ReplyDecoder>, progress: SharedProgress) -> Self {
        Heavy {
            port,
            progress,
            shared: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how many items are being worked on.
    pub(super) fn set_under_way(&self, count: usize) {
        self.lock().under_way = count;
    }

    /// Whether nothing more should be begun for now.
    pub(super) fn is_wanted(&self) -> bool {
        let shared = self.lock();
        shared.taken || shared.waiting > 0
    }

    /// Waits until all others under way are done, or wait for the same; and for no longer than until the operator wants
    /// to stop. To be called with nothing in hand that another may wait for.
    pub(super) async fn alone(&self, bytes: u64) -> Alone {
        self.lock().waiting += 1;
        update_progress(&self.progress, |progress| {
            progress.heavy_bytes = progress.heavy_bytes.saturating_add(bytes)
        });
        self.port.moved();
        std::future::poll_fn(|_| {
            let mut shared = self.lock();
            let is_free = !shared.taken && shared.under_way <= shared.waiting;
            if is_free || self.port.is_shutdown() {
                shared.waiting -= 1;
                shared.taken = true;
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        Alone {
            heavy: self.clone(),
            bytes,
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.heavy.lock().taken = false;
        update_progress(&self.heavy.progress, |progress| {
            progress.heavy_bytes = progress.heavy_bytes.saturating_sub(self.bytes);
        });
        self.heavy.port.moved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    use protocol::limits::Limits;

    #[test]
    fn bytes_are_told_while_they_wait_and_go() {
        let progress = SharedProgress::default();
        let heavy = Heavy::new(
            Port::orphan(ReplyDecoder::new(Limits::default())),
            progress.clone(),
        );
        let bytes = || progress.lock().expect("no panic").heavy_bytes;
        heavy.set_under_way(2);
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(heavy.alone(10));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(heavy.is_wanted());
        assert_eq!(bytes(), 10);
        // The other one under way waits for the same.
        let mut second = Box::pin(heavy.alone(20));
        let turn = second.as_mut().poll(&mut context);
        assert!(turn.is_ready());
        assert_eq!(bytes(), 30);
        drop(turn);
        assert_eq!(bytes(), 10);
        assert!(first.as_mut().poll(&mut context).is_pending());
    }

    #[test]
    fn a_turn_that_ends_leaves_nothing_behind() {
        let progress = SharedProgress::default();
        let heavy = Heavy::new(
            Port::orphan(ReplyDecoder::new(Limits::default())),
            progress.clone(),
        );
        heavy.set_under_way(1);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(alone) = Box::pin(heavy.alone(10)).as_mut().poll(&mut context) else {
            panic!("nobody else is under way")
        };
        assert!(heavy.is_wanted());
        drop(alone);
        assert!(!heavy.is_wanted());
        assert_eq!(progress.lock().expect("no panic").heavy_bytes, 0);
    }
}
