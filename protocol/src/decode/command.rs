//! The replica's side: command lines to events.

use bytes::Bytes;

use super::CommandEvent;
use crate::limits::Limits;

/// Decodes what a master sends.
#[derive(Debug)]
pub struct CommandDecoder {
    limits: Limits,
}

impl CommandDecoder {
    /// A decoder at the start of a line.
    pub fn new(limits: Limits) -> Self {
        CommandDecoder { limits }
    }

    /// Adds what arrived.
    pub fn push(&mut self, bytes: Bytes) {
        let _ = (bytes, &self.limits);
    }

    /// The next event.
    pub fn poll(&mut self) -> CommandEvent {
        CommandEvent::NeedMore
    }

    /// From the next line on: whole lines as [`CommandEvent::Raw`], or commands again.
    pub fn set_raw_lines(&mut self, on: bool) {
        let _ = on;
    }

    /// Takes out what was pushed and not consumed, the beginning of an incomplete line included.
    pub fn take_buffered(&mut self) -> Bytes {
        Bytes::new()
    }

    /// Whether anything was pushed and not consumed.
    pub fn has_buffered(&self) -> bool {
        false
    }
}
