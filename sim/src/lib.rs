//! Runs a master and a replica, the real engine over real stores, in an event loop of its own.
//!
//! Everything that could be otherwise is chosen by a seed: what changes, how bytes are cut, when a storage ticket is
//! answered, where the connection breaks. No runtime, clock or thread takes part, so a seed is a run.
//!
//! A run has two phases. First faults are on and nothing but safety is demanded. Then they are off, and within a few
//! runs the replica has to be equal to the master, and a further run has to change nothing.
#![forbid(unsafe_code)]

pub mod equal;
pub mod pair;
pub mod run;
pub mod seeded;
pub mod workload;
