//! Sockets that Cyrus's master or systemd opened for the program.

use std::ffi::OsString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use rustix::net::sockopt::socket_acceptconn;

/// Where Cyrus's master leaves the writing end of the pipe for messages. [CS-SVC-3]
const CYRUS_STATUS: RawFd = 3;
/// Where Cyrus's master leaves the listening socket. [CS-SVC-3]
const CYRUS_LISTENER: RawFd = 4;

/// How to look a variable of the environment up; [`std::env::var_os`] but for tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Why the program cannot take what its environment promises.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// Cyrus's master, or somebody with its variable in the environment, started the program otherwise than agreed.
    #[error(
        "CYRUS_SERVICE is set, so Cyrus's master should have started this program with a listening socket at descriptor \
         4, but there is none; give the service a `listen=` in cyrus.conf, or unset CYRUS_SERVICE to run it alone"
    )]
    NoCyrusSocket,
    /// A number that is none, or too large to be one.
    #[error(
        "LISTEN_FDS is `{0}`, which is no number of descriptors; start the program by a systemd socket unit"
    )]
    Count(String),
    /// Fewer descriptors than promised.
    #[error("LISTEN_FDS promises {promised} descriptors, but number {number} cannot be used: {source}")]
    Missing {
        /// What the variable says.
        promised: u32,
        /// The first that cannot be taken.
        number: RawFd,
        /// What the system said.
        source: io::Error,
    },
}

/// What a service of Cyrus's master gets.
#[derive(Debug)]
pub struct CyrusService {
    /// The service's name in cyrus.conf.
    pub name: String,
    /// `CYRUS_VERBOSE`: how talkative master is; 0 when it does not say.
    pub verbose: u8,
    /// The listening socket, shared with the other children of the service.
    pub listener: OwnedFd,
    /// The pipe for messages to master; `None` when there is none, as with a hand-made start.
    pub status: Option<OwnedFd>,
}

/// What Cyrus's master handed over; `None` when it did not start the program as a service. [CS-SVC-2] [CS-SVC-3]
///
/// # Errors
/// [`HandedError::NoCyrusSocket`].
pub fn by_cyrus(environment: Lookup) -> Result<Option<CyrusService>, HandedError> {
    let Some(name) = environment("CYRUS_SERVICE") else {
        return Ok(None);
    };
    let (status, listener) = match inherit::take(CYRUS_STATUS..CYRUS_LISTENER + 1) {
        Ok(mut both) => (Some(both.remove(0)), both.pop()),
        Err(refused) if refused.number == CYRUS_STATUS => {
            let listener = inherit::take(CYRUS_LISTENER..CYRUS_LISTENER + 1);
            (None, listener.ok().and_then(|mut one| one.pop()))
        }
        Err(_) => (None, None),
    };
    let listener = listener
        .filter(|socket| socket_acceptconn(socket).unwrap_or(false))
        .ok_or(HandedError::NoCyrusSocket)?;
    let verbose = environment("CYRUS_VERBOSE").and_then(|text| text.to_str()?.parse().ok());
    Ok(Some(CyrusService {
        name: name.to_string_lossy().into_owned(),
        verbose: verbose.unwrap_or(0),
        listener,
        status,
    }))
}

/// A socket that systemd handed over.
#[derive(Debug)]
pub struct Activated {
    /// The socket.
    pub descriptor: OwnedFd,
    /// How to call it in messages.
    pub name: String,
}

/// The sockets that systemd, or a program that behaves like it, opened for the process `pid`; none when they were meant
/// for another process or there are none. [CS-SVC-15]
///
/// # Errors
/// A wrong number, or descriptors that are not there.
pub fn by_systemd(environment: Lookup, pid: u32) -> Result<Vec<Activated>, HandedError> {
    let text = |key| environment(key).map(|value| value.to_string_lossy().into_owned());
    let own = text("LISTEN_PID").and_then(|text| text.parse::<u32>().ok()) == Some(pid);
    let Some(count) = text("LISTEN_FDS").filter(|_| own) else {
        return Ok(Vec::new());
    };
    let promised: u32 = count.parse().map_err(|_| HandedError::Count(count.clone()))?;
    let end = RawFd::try_from(promised)
        .ok()
        .and_then(|promised| promised.checked_add(inherit::FIRST))
        .ok_or(HandedError::Count(count))?;
    let taken = inherit::take(inherit::FIRST..end).map_err(|refused| HandedError::Missing {
        promised,
        number: refused.number,
        source: refused.source,
    })?;
    let names = text("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let named = |(descriptor, number): (OwnedFd, RawFd)| {
        let name = match names.next().filter(|name| !name.is_empty()) {
            Some(name) => format!("descriptor {number} (`{name}`)"),
            None => format!("descriptor {number}"),
        };
        Activated { descriptor, name }
    };
    Ok(taken.into_iter().zip(inherit::FIRST..).map(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let pairs: Vec<(String, OsString)> = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), OsString::from(value)))
            .collect();
        move |key| {
            pairs
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.clone())
        }
    }

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        for pairs in [
            &[][..],
            &[("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "7")],
            &[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "x"), ("LISTEN_FDS", "x")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "0")],
        ] {
            let taken = by_systemd(&with(pairs), 7).expect("nothing wrong");
            assert!(taken.is_empty(), "{pairs:?}");
        }
    }

    #[test]
    fn wrong_numbers_are_said() {
        for wrong in ["", "-1", "one", "4294967296", "4294967295", "1 "] {
            let error = by_systemd(&with(&[("LISTEN_PID", "7"), ("LISTEN_FDS", wrong)]), 7);
            assert!(matches!(error, Err(HandedError::Count(text)) if text == wrong));
        }
        // Standard output and the like of the test's harness may be inherited, but never so many.
        let error = by_systemd(&with(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "1000000000")]), 7);
        assert!(matches!(
            error,
            Err(HandedError::Missing {
                promised: 1_000_000_000,
                ..
            })
        ));
    }

    #[test]
    fn without_its_variable_cyrus_is_not_there() {
        assert!(by_cyrus(&with(&[])).expect("nothing wrong").is_none());
    }
}
