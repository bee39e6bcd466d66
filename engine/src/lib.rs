//! The csync machines: what a replica and a master do, as values in and values out.
//!
//! Nothing here opens a socket, starts a thread, reads a clock or draws a random number. A machine is driven so:
//!
//! 1. `handle(now, input)` gives it exactly one thing that happened.
//! 2. `poll()` is called until it answers [`flow::Output::Wait`] (it says for what) or [`flow::Output::Closed`].
//! 3. Only then comes the next `handle`.
//!
//! Storage is asked for by [`ticket::Request`]s and answered by inputs, so "no OK before the commit is durable" is a
//! property of this crate alone: a reply is encoded only after the commit's ticket came back.
#![forbid(unsafe_code)]

pub mod crc;
pub mod flow;
pub mod local;
pub mod master;
pub mod model;
pub mod name;
pub mod replica;
pub mod rolling;
pub mod ticket;

pub use master::Master;
pub use replica::Replica;
