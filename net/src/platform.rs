//! What connections take from the machine they run on: the time of day, sockets, and threads that may block.
//!
//! Programs run on [`System`]. A simulation puts its own in place: everything else of this crate keeps to tokio's time and
//! starts no thread, so that a run over a simulated network in simulated time is the same run each time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::flow::Now;
use engine::ticket::Request;
use tokio::net::{TcpStream, UnixStream};

use crate::address::PeerAddress;
use crate::stream::Stream;

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;

/// How long a storage request takes where time is simulated.
pub type Pace = Arc<dyn Fn(&Request) -> Duration + Send + Sync>;

/// Where connections run.
pub trait Platform: Send + Sync {
    /// The time of day, for the machines' records.
    fn now(&self) -> Now;

    /// Connects to a peer; the caller limits how long.
    fn connect<'a>(&'a self, peer: &'a PeerAddress) -> Connecting<'a>;

    /// `None` where what may block (storage, steps of a login) has threads of its own. Otherwise it is done by the runtime
    /// that carries the connection, and a storage request answered after as long as this says.
    fn pace(&self) -> Option<Pace> {
        None
    }
}

/// This machine.
#[derive(Clone, Copy, Default, Debug)]
pub struct System;

impl Platform for System {
    fn now(&self) -> Now {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    fn connect<'a>(&'a self, peer: &'a PeerAddress) -> Connecting<'a> {
        Box::pin(async move {
            let stream = match peer {
                PeerAddress::Tcp { host, port, .. } => {
                    Stream::Tcp(TcpStream::connect((host.as_str(), *port)).await?)
                }
                PeerAddress::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
            };
            stream.tune();
            Ok(stream)
        })
    }
}
