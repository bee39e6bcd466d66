//! The master's side: reply lines to events.

use bytes::Bytes;

use super::ReplyEvent;
use crate::limits::Limits;

/// Decodes what a replica sends.
#[derive(Debug)]
pub struct ReplyDecoder {
    limits: Limits,
}

impl ReplyDecoder {
    /// A decoder at the start of a line.
    pub fn new(limits: Limits) -> Self {
        ReplyDecoder { limits }
    }

    /// Adds what arrived.
    pub fn push(&mut self, bytes: Bytes) {
        let _ = (bytes, &self.limits);
    }

    /// The next event.
    pub fn poll(&mut self) -> ReplyEvent {
        ReplyEvent::NeedMore
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
