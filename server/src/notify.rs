//! What systemd is told: readiness, a line for people, the end, and signs of life. Elsewhere nothing happens. [CS-SVC-16]

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// A watchdog that wants more signs of life than a few a second is no real one; 0 is none at all.
const SHORTEST: Duration = Duration::from_millis(10);

/// The server serves; `text` is a line for people.
pub(crate) fn ready(text: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(text)]);
}

/// What it does now, for people.
pub(crate) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// It is about to end.
pub(crate) fn stopping(text: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(text)]);
}

/// Gives signs of life from among the tasks that serve, so that they stop when those stand still; does nothing when nobody
/// watches. Never completes. [CS-SVC-17]
pub(crate) async fn signs_of_life() {
    let watched = sd_notify::watchdog_enabled().filter(|limit| *limit > SHORTEST);
    let Some(limit) = watched else {
        return std::future::pending().await;
    };
    // A third of the time leaves room for two that come late.
    let pause = limit / 3;
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(pause).await;
    }
}

fn tell(news: &[NotifyState]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let lines: Vec<String> = news.iter().map(ToString::to_string).collect();
    match send(&socket, lines.join("\n").as_bytes()) {
        Ok(()) => {}
        // A manager that stands still must not hold up the mail.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            tracing::debug!("systemd has no time to hear how the server is");
        }
        Err(error) => {
            tracing::warn!("systemd cannot be told how the server is ({error}); is NOTIFY_SOCKET right?");
        }
    }
}

/// Sends a datagram to a path, or to an abstract address, which is written with `@`.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_addresses() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("mailtwin-notify-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).expect("short");
        let receivers = [
            (UnixDatagram::bind(&path).expect("bound"), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&abstract_address).expect("bound"),
                format!("@{name}").into(),
            ),
        ];
        for (receiver, address) in receivers {
            send(&address, b"READY=1").expect("sent");
            let mut bytes = [0; 64];
            let count = receiver.recv(&mut bytes).expect("a message");
            assert_eq!(&bytes[..count], b"READY=1");
            // Nobody reads: it gives up, and does not wait.
            let full = std::iter::repeat_with(|| send(&address, b"WATCHDOG=1")).find_map(Result::err);
            assert_eq!(full.expect("full").kind(), io::ErrorKind::WouldBlock);
        }
        assert!(send(OsStr::new("/nonexistent/notify"), b"x").is_err());
        assert!(send(OsStr::new(""), b"x").is_err());
    }
}
