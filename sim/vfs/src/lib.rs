//! A disk in memory, with an SQLite VFS and the store's [`store::sqlite::files::Files`] over it.
//!
//! What is written is seen by all at once and is durable once it was synced: a file's bytes with the file, its name with
//! the folder. At a crash any part of the rest may be there, in any order, torn within a write; the n-th operation can
//! fail; what is read can come back short. Everything follows from a seed.
//!
//! `shim` is the only place that talks C. The rest is plain Rust over vectors.
#![deny(unsafe_code)]

pub mod chance;
mod disk;
mod fault;
mod files;
mod handle;
mod locks;
mod node;
mod shim;

pub use disk::{Counts, Disk, VFS};
pub use fault::{Fault, Lies, Loss, Operation, Plan, Point};
