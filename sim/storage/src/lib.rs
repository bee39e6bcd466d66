//! Storage crashes for real: the durable store over a disk of the simulator's own.
//!
//! A seed chooses a workload of tickets: several sessions, users and shared mailboxes, messages of all sizes, moves,
//! expiry, checkpoints, kills, whole replications. It runs once to count, and then once for each sync of a file or folder
//! and each way in which a crash there can leave the disk, and once for operations that fail. After each crash the store is
//! opened, checked and compared with a model that was told what had been acknowledged, and the workload goes on to its
//! end.
#![forbid(unsafe_code)]

pub mod damage;
pub mod deeds;
mod doing;
pub mod finding;
pub mod mirror;
pub mod replicate;
pub mod run;
pub mod scenario;
pub mod server;
pub mod show;
pub mod sweep;
pub mod workload;
