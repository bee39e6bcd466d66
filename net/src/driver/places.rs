//! How many store sessions of a server work at a time.
//!
//! A place is held from a session's first request until it rests, not for as long as its connection is open. Those who
//! wait get places in the order in which they asked; while somebody waits, sessions rest sooner.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The places of all connections of a server; clones are the same places.
#[derive(Clone, Debug)]
pub struct Places {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    wanted: Notify,
}

/// A place that is taken; dropping it frees it.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many, at least 1.
    pub fn new(count: usize) -> Self {
        Places {
            inner: Arc::new(Inner {
                free: Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))),
                waiting: AtomicUsize::new(0),
                wanted: Notify::new(),
            }),
        }
    }

    /// A place, when one is free now.
    pub(super) fn try_take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.inner.free).try_acquire_owned().ok()?;
        Some(Place { _permit: permit })
    }

    /// The next free place. `None` never comes: the places are not closed.
    pub(super) async fn take(self) -> Option<Place> {
        if let Some(place) = self.try_take() {
            return Some(place);
        }
        let waiting = Waiting::one(&self);
        let taken = Arc::clone(&self.inner.free).acquire_owned().await;
        drop(waiting);
        Some(Place { _permit: taken.ok()? })
    }

    /// Whether somebody waits for a place.
    pub(super) fn are_wanted(&self) -> bool {
        self.inner.waiting.load(Ordering::Relaxed) > 0
    }

    /// Completes when somebody begins to wait for a place.
    pub(super) async fn wanted(self) {
        self.inner.wanted.notified().await;
    }
}

/// Counts one who waits, for as long as it does.
struct Waiting(Places);

impl Waiting {
    fn one(places: &Places) -> Self {
        places.inner.waiting.fetch_add(1, Ordering::Relaxed);
        places.inner.wanted.notify_waiters();
        Waiting(places.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.inner.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
