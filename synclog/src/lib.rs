//! The logs of changes that rolling replication reads: written as Cyrus writes them, read so that nothing is lost.
#![forbid(unsafe_code)]

mod channel;
mod config;
mod error;
mod name;
mod session;
mod writer;

pub use channel::{Channel, Taken};
pub use config::LogConfig;
pub use error::LogError;
pub use name::ChannelName;
pub use session::LoggingSession;
pub use writer::Writer;
