//! Rolling replication without files, sockets and clocks: which change is synced when, and what becomes of one that
//! fails.
//!
//! A [`Queue`] takes what the log says ([`Entry`]), hands out one [`Task`](crate::master::Task) a scope at a time, and
//! is told what came of it. Time is an argument, in milliseconds since any fixed moment.

mod comeback;
mod failure;
mod item;
mod lanes;
mod queue;
mod types;
mod ward;

#[cfg(test)]
mod tests;

pub use queue::Queue;
pub use types::{Entry, Quarantined, QueueConfig, QueueState};
