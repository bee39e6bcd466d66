//! The logs of changes that rolling replication reads: written as Cyrus writes them, read so that nothing is lost.
#![forbid(unsafe_code)]

mod changes;
mod channel;
mod error;
mod files;
mod intents;
mod known;
mod name;
mod quarantine;
mod run;
mod session;
mod writer;

pub use changes::Actions;
pub use channel::{Channel, Taken, UNREADABLE_BYTES_MAX};
pub use error::LogError;
pub use intents::recover;
pub use name::ChannelName;
pub use session::LoggingSession;
pub use writer::Writer;
