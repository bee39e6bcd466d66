//! Rolling replication without files, sockets and clocks: which change is synced when, and what becomes of one that
//! fails.
//!
//! A [`Queue`] takes what the log says ([`Entry`]), hands out one [`Task`](crate::master::Task) a scope at a time, and
//! is told what came of it. Time is an argument, in milliseconds since any fixed moment.

mod queue;
mod types;

pub use queue::Queue;
pub use types::{Entry, Quarantined, QueueConfig, QueueState};
