//! Stores that answer the engine's storage tickets: [`memory`] for tests and simulation, [`sqlite`] on disk.
//!
//! Both give the same answers to the same requests; one test suite runs on both. Where the tickets leave room, this
//! is what both do:
//!
//! - Lists without an order of their own are sorted: tombstones and seen states by unique id, the rest by name.
//! - An unknown mailbox is [`engine::ticket::StoreError::NotFound`]; an unknown scope is an empty one.
//! - A unique id that lives in two scopes is found in the first of them: users in byte order, then the shared scope.
//! - [`engine::ticket::Request::Rollback`] and [`engine::ticket::Request::EndRead`] are fine when nothing is open.
//! - A session may hold a read of one scope and write in another, but not both in the same one.
//! - After a failed write the transaction takes no commit: it has to go back to its savepoint, or be rolled back.
//! - A record may use any staged message, whatever partition it was announced for.
#![forbid(unsafe_code)]

pub mod memory;
pub mod sqlite;
mod staging;
mod words;

pub use sqlite::{credentials, verify};

/// Most bytes one [`engine::ticket::Request::ReadMessage`] answers, however many it asks for.
pub const READ_BYTES_MAX: u32 = 1024 * 1024;
