//! Who started the program, and what that means for its sockets and its messages.

use std::os::fd::OwnedFd;

use daemon::handed::{Activated, CyrusService, HandedError, by_cyrus, by_systemd};
use net::listener::{BindError, Bound};

/// Who started the program.
#[derive(Debug)]
pub(crate) enum Supervisor {
    /// Cyrus's master, as a service. [CS-SVC-2]
    Cyrus(CyrusService),
    /// systemd, which opened these sockets. [CS-SVC-15]
    Systemd(Vec<Activated>),
    /// An operator, a script, or systemd without sockets.
    Alone,
}

impl Supervisor {
    /// Looks into the environment. To be called first of all, before anything else takes the descriptors' numbers.
    pub(crate) fn find() -> Result<Supervisor, HandedError> {
        let environment = |key: &str| std::env::var_os(key);
        let activated = by_systemd(&environment, std::process::id())?;
        if !activated.is_empty() {
            return Ok(Supervisor::Systemd(activated));
        }
        Ok(match by_cyrus(&environment)? {
            Some(service) => Supervisor::Cyrus(service),
            None => Supervisor::Alone,
        })
    }

    /// How much more is to be said in the log than the arguments want.
    pub(crate) fn verbose(&self) -> u8 {
        match self {
            Supervisor::Cyrus(service) => service.verbose,
            _ => 0,
        }
    }

    /// The service's name in cyrus.conf.
    pub(crate) fn service(&self) -> Option<&str> {
        match self {
            Supervisor::Cyrus(service) => Some(&service.name),
            _ => None,
        }
    }

    /// Takes the sockets that were handed over, `None` when the program has to open its own; and the pipe to Cyrus's master.
    pub(crate) fn into_parts(self) -> Result<(Option<Vec<Bound>>, Option<OwnedFd>), BindError> {
        match self {
            Supervisor::Alone => Ok((None, None)),
            Supervisor::Systemd(sockets) => {
                let bound = sockets
                    .into_iter()
                    .map(|socket| Bound::inherited(socket.descriptor, &socket.name))
                    .collect::<Result<_, _>>()?;
                Ok((Some(bound), None))
            }
            Supervisor::Cyrus(service) => {
                let name = format!("the socket of service {}", service.name);
                let bound = Bound::inherited(service.listener, &name)?;
                Ok((Some(vec![bound]), service.status))
            }
        }
    }
}
