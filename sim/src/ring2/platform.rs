//! The simulated network and clock under our programs.

use std::sync::Arc;

use engine::flow::Now;
use net::address::PeerAddress;
use net::listener::{Accepted, Accepting};
use net::platform::{Connecting, Pace, Platform};
use net::stream::{Origin, Stream};
use turmoil::net::{TcpListener, TcpStream};

use super::court::Court;
use super::plan::Place;
use super::stream::Chopper;

/// Where a program of a run lives.
pub struct Simulated {
    court: Court,
    place: Place,
}

impl Simulated {
    /// The platform of a program.
    pub fn at(court: &Court, place: Place) -> Arc<dyn Platform> {
        Arc::new(Simulated {
            court: court.clone(),
            place,
        })
    }
}

impl Platform for Simulated {
    fn now(&self) -> Now {
        self.court.wall(self.court.machine_of(self.place))
    }

    fn connect<'a>(&'a self, peer: &'a PeerAddress) -> Connecting<'a> {
        Box::pin(async move {
            let PeerAddress::Tcp { host, port, .. } = peer else {
                return Err(std::io::ErrorKind::Unsupported.into());
            };
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            let chopper = Chopper::new(stream, &self.court, self.place, false);
            Ok(Stream::Other(Box::new(chopper)))
        })
    }

    fn pace(&self) -> Option<Pace> {
        let (court, host) = (self.court.clone(), self.court.machine_of(self.place));
        Some(Arc::new(move |_| court.store_takes(host)))
    }
}

/// Where a server listens.
pub struct Listening {
    listener: TcpListener,
    court: Court,
    place: Place,
}

impl Listening {
    /// Over a bound listener.
    pub fn new(listener: TcpListener, court: &Court, place: Place) -> Self {
        Listening {
            listener,
            court: court.clone(),
            place,
        }
    }
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Accepting for Listening {
    fn accept(&self) -> Accepted<'_> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            let stranger = self.court.is_stranger(from.ip());
            let chopper = Chopper::new(stream, &self.court, self.place, stranger);
            Ok((Stream::Other(Box::new(chopper)), Origin::Tcp(from)))
        })
    }
}
