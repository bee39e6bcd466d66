//! The Cyrus replication protocol (csync) as values: what a replica and a master say to each other.
//!
//! This crate never opens a socket, reads a clock, draws a random number or touches a disk. Bytes go in, typed
//! values come out, and the other way round. The rules it implements are those of `spec/`.
#![forbid(unsafe_code)]

pub mod command;
mod convert;
pub mod decode;
pub mod encode;
pub mod fault;
pub mod flags;
pub mod grammar;
pub mod guid;
pub mod limits;
pub mod mailbox;
pub mod record;
pub mod response;
pub mod synclog;
pub mod text;
pub mod utf7;

pub use fault::{Fault, Malformed, Verb};
pub use flags::{Flags, SystemFlags};
pub use guid::Guid;
pub use limits::Limits;
pub use mailbox::{MailboxLine, MailboxOptions};
pub use record::{Annotation, Record};
pub use text::Text;
