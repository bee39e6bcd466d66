//! What Cyrus's master is told, and how its end is noticed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// Takes no connection any more, and others may be started. [CS-SVC-6] [CS-SVC-25]
const UNAVAILABLE: i32 = 2;
/// Has taken a connection and can take more. A server that serves many tells nothing else and so counts as available
/// all the time. [CS-SVC-8] [CS-SVC-9]
const CONNECTION_MULTI: i32 = 4;

/// The pipe to Cyrus's master.
#[derive(Debug)]
pub(crate) struct CyrusMaster {
    /// For writing at once, whatever the runtime knows of the pipe.
    pipe: File,
    watched: Sender,
}

impl CyrusMaster {
    /// To be called inside of the runtime.
    pub(crate) fn new(pipe: OwnedFd) -> io::Result<CyrusMaster> {
        let written = pipe.try_clone()?;
        // This makes both not block.
        let watched = Sender::from_owned_fd(pipe)?;
        Ok(CyrusMaster {
            pipe: File::from(written),
            watched,
        })
    }

    /// Tells that a connection was accepted, for master's statistics. Master that has no time to read misses one.
    pub(crate) fn accepted(&self) {
        self.tell(CONNECTION_MULTI);
    }

    /// Tells that the socket is closed here, so that master starts another process for whoever comes.
    pub(crate) fn accepts_no_more(&self) {
        self.tell(UNAVAILABLE);
    }

    fn tell(&self, kind: i32) {
        if let Err(error) = (&self.pipe).write(&message(kind, std::process::id())) {
            tracing::debug!(%error, kind, "Cyrus's master was not told");
        }
    }

    /// Completes when nobody reads the pipe any more: master has ended without ending its services. Whoever goes on serving
    /// then keeps its successor from the port.
    pub(crate) async fn gone(&self) {
        loop {
            match self.watched.ready(Interest::ERROR).await {
                Ok(ready) if ready.is_error() || ready.is_write_closed() => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(_) => return,
            }
        }
    }
}

/// A message, as one write must carry it. [CS-SVC-4]
fn message(kind: i32, process: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&kind.to_ne_bytes());
    bytes[4..].copy_from_slice(&process.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn messages_are_eight_bytes_and_the_end_is_noticed() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let master = CyrusMaster::new(writer.into()).expect("a pipe");
        master.accepted();
        let mut bytes = [0; 8];
        reader.read_exact(&mut bytes).expect("a message");
        let number = |part: &[u8]| i32::from_ne_bytes(part.try_into().expect("four bytes"));
        assert_eq!(number(&bytes[..4]), 4);
        assert_eq!(u32::try_from(number(&bytes[4..])), Ok(std::process::id()));
        master.accepts_no_more();
        reader.read_exact(&mut bytes).expect("a message");
        assert_eq!(number(&bytes[..4]), 2);
        let alive = tokio::time::timeout(std::time::Duration::from_millis(50), master.gone()).await;
        assert!(alive.is_err());
        drop(reader);
        master.gone().await;
        master.accepted();
    }
}
