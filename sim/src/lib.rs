//! Runs servers that replicate to each other, the real engine over real stores, in an event loop of its own, and judges
//! them.
//!
//! Everything that could be otherwise is chosen by a seed: who replicates to whom, what changes, how bytes are cut, when a
//! storage ticket is answered, where a connection breaks and when a process dies. No runtime, clock or thread takes part,
//! so a seed is a run.
//!
//! A run has two halves. First faults are on and nothing but safety is demanded. Then they are off, and everything has to
//! come to rest, equal.
#![forbid(unsafe_code)]

pub mod canary;
pub mod exhaustive;
pub mod judge;
pub mod plan;
pub mod planted;
pub mod report;
pub mod ring2;
pub mod run;
pub mod seeded;
pub mod shrink;
pub mod stopwatch;
pub mod story;
pub mod trace;
pub mod world;
