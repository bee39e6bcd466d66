//! Where entries come from: the log of a channel, or one file that is read once.

use std::io::Read as _;
use std::path::Path;

use engine::rolling::{Entry, Quarantined, Queue};
use protocol::synclog::Lines;
use synclog::{Channel, LogError, Taken};

use crate::failure::Failure;

/// Where entries come from.
pub(crate) enum Source {
    /// The log of a channel, which this process alone reads.
    Channel(Box<Channel>),
    /// What a file held (`-f`); it stays as it is.
    File(Option<Taken>),
}

impl Source {
    /// Reads a file, `-` for standard input.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn file(path: &Path, now_ms: u64) -> Result<Source, Failure> {
        let unreadable =
            |error: std::io::Error| Failure::Usage(format!("cannot read {}: {error}", path.display()));
        let bytes = if path == Path::new("-") {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(unreadable)?;
            bytes
        } else {
            std::fs::read(path).map_err(unreadable)?
        };
        let mut taken = Taken::default();
        for line in Lines::new(&bytes) {
            match line {
                Ok(action) => taken.entries.push(Entry {
                    action,
                    logged_at_ms: now_ms,
                }),
                Err(bad) => taken.bad.push(bad),
            }
        }
        Ok(Source::File(Some(taken)))
    }

    /// What is new since the last call.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub(crate) fn take(&mut self) -> Result<Taken, LogError> {
        match self {
            Source::Channel(channel) => channel.take(),
            Source::File(taken) => Ok(taken.take().unwrap_or_default()),
        }
    }

    /// What was in quarantine when the channel was left.
    pub(crate) fn quarantined(&mut self) -> Vec<Quarantined> {
        match self {
            Source::Channel(channel) => channel.quarantined(),
            Source::File(_) => Vec::new(),
        }
    }

    /// Brings the files in line with what is done.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub(crate) fn settle(&mut self, queue: &Queue) -> Result<(), LogError> {
        match self {
            Source::Channel(channel) => channel.settle(queue),
            Source::File(_) => Ok(()),
        }
    }

    /// Leaves behind what is not done.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub(crate) fn keep(&mut self, queue: &Queue) -> Result<(), LogError> {
        match self {
            Source::Channel(channel) => channel.keep(queue),
            Source::File(_) => Ok(()),
        }
    }
}
