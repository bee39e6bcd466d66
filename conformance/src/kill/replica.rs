//! The server that is killed: ours, or one of Cyrus to show that the judge is fair.

use super::Server;
use crate::csync::Csync;
use crate::cyrus::Cyrus;
use crate::population;
use crate::programs::Twin;
use crate::{Error, Result};

/// A server that can be killed and started again on what it left on disk.
#[derive(Debug)]
pub(super) enum Replica {
    Own(Twin),
    Stock { cyrus: Box<Cyrus>, killed: bool },
}

impl Replica {
    /// A new, empty server. Deflate is off, so that the proxy can read along.
    pub(super) fn start(server: Server) -> Result<Replica> {
        match server {
            Server::Own => {
                let mut twin = Twin::tcp("replica", &["mailtwin_compress: no"])?;
                twin.start()?;
                Ok(Replica::Own(twin))
            }
            Server::Stock => {
                let cyrus = Box::new(Cyrus::start(population::setup("replica"))?);
                Ok(Replica::Stock { cyrus, killed: false })
            }
        }
    }

    pub(super) fn is_stock(&self) -> bool {
        matches!(self, Replica::Stock { .. })
    }

    pub(super) fn address(&self) -> String {
        match self {
            Replica::Own(twin) => twin.address(),
            Replica::Stock { cyrus, .. } => cyrus.csync_address(),
        }
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        match self {
            Replica::Own(twin) => twin.kill(),
            Replica::Stock { killed: true, .. } => Ok(()),
            Replica::Stock { cyrus, killed } => {
                *killed = true;
                cyrus.kill()
            }
        }
    }

    /// Starts the server again if it was killed. That ours ended by itself is an error.
    pub(super) fn restart(&mut self) -> Result<()> {
        match self {
            Replica::Own(twin) => {
                if twin.server().is_none() {
                    return twin.start();
                }
                if twin.is_running() {
                    return Ok(());
                }
                Err(Error::Process(format!(
                    "sync_server ended by itself\n{}",
                    twin.log()
                )))
            }
            Replica::Stock { killed: false, .. } => Ok(()),
            Replica::Stock { cyrus, killed } => {
                *killed = false;
                cyrus.restart()
            }
        }
    }

    pub(super) fn csync(&self) -> Result<Csync> {
        match self {
            Replica::Own(twin) => twin.csync(),
            Replica::Stock { cyrus, .. } => cyrus.csync(),
        }
    }

    /// `mailtwin verify` on the store of a server that does not run. Cyrus has nothing like it.
    pub(super) fn verify(&self) -> Result<()> {
        match self {
            Replica::Own(twin) => twin.mailtwin(&["verify"])?.success("mailtwin verify").map(drop),
            Replica::Stock { .. } => Ok(()),
        }
    }

    /// An orderly end, and a last look at the store.
    pub(super) fn stop_and_verify(&mut self) -> Result<()> {
        if let Replica::Own(twin) = self {
            twin.stop()?;
        }
        self.verify()
    }

    /// What the server said on standard error.
    pub(super) fn log(&self) -> String {
        match self {
            Replica::Own(twin) => twin.log(),
            Replica::Stock { .. } => String::new(),
        }
    }
}
