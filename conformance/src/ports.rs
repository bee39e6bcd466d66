//! Loopback ports that no other test process on this machine uses at the same time.

use crate::{Error, Result};
use std::fs::File;
use std::net::TcpListener;

/// First port handed out, unless `MAILTWIN_PORTS=FIRST-LAST` says otherwise.
const FIRST: u16 = 22000;
/// Last port handed out.
const LAST: u16 = 22999;

/// A port on 127.0.0.1 that stays reserved for this process until the value is dropped.
///
/// The reservation is a locked file, so that tests that run as separate processes at the same time
/// do not take the same port between looking for it and listening on it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port that nobody listens on. Fails when the whole range is taken.
    pub fn reserve() -> Result<Port> {
        let (first, last) = range();
        let directory = std::env::temp_dir().join("mailtwin-ports");
        std::fs::create_dir_all(&directory).map_err(Error::io("creating the port lock directory"))?;
        let count = u32::from(last - first) + 1;
        let start = std::process::id().wrapping_mul(17) % count;
        for step in 0..count {
            let number = first + ((start + step) % count) as u16;
            let path = directory.join(number.to_string());
            let lock = File::options()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(Error::io(format!("opening {}", path.display())))?;
            if lock.try_lock().is_err() {
                continue;
            }
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Port { number, _lock: lock });
            }
        }
        Err(Error::Process(format!("no free port between {first} and {last}")))
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

fn range() -> (u16, u16) {
    let parse = |text: String| {
        let (first, last) = text.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last)| first <= last)
    };
    std::env::var("MAILTWIN_PORTS")
        .ok()
        .and_then(parse)
        .unwrap_or((FIRST, LAST))
}
