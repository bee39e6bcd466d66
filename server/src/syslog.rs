//! The system's log, where programs under Cyrus's master write.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// Where the system takes messages.
const SOCKET: &str = "/dev/log";
/// Facility of mail programs.
const MAIL: u8 = 2;

/// Writes messages to the system's log, each as one datagram.
pub(crate) struct Syslog {
    socket: UnixDatagram,
    facility: u8,
    tag: String,
}

impl Syslog {
    /// The system's log under `PREFIX/NAME[PID]`, in the facility of that name; `None` where there is none.
    pub(crate) fn open(prefix: Option<&str>, name: &str, facility: Option<&str>) -> Option<Syslog> {
        if !Path::new(SOCKET).exists() {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        // A log that nobody reads must not stop the mail.
        socket.set_nonblocking(true).ok()?;
        let prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
        Some(Syslog {
            socket,
            facility: facility.and_then(number).unwrap_or(MAIL),
            tag: format!("{prefix}{name}[{}]: ", std::process::id()),
        })
    }
}

/// One message.
pub(crate) struct Message<'a> {
    log: &'a Syslog,
    severity: u8,
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Message<'a>;

    fn make_writer(&'a self) -> Message<'a> {
        Message {
            log: self,
            severity: severity(Level::INFO),
        }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Message<'a> {
        Message {
            log: self,
            severity: severity(*meta.level()),
        }
    }
}

impl io::Write for Message<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let line = framed(self.log.facility, self.severity, &self.log.tag, text);
        // A log that is full or gone loses the message, as the C library's does.
        let _ = self.log.socket.send_to(&line, SOCKET);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn framed(facility: u8, severity: u8, tag: &str, text: &[u8]) -> Vec<u8> {
    let priority = u16::from(facility) * 8 + u16::from(severity);
    let mut line = format!("<{priority}>{tag}").into_bytes();
    line.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
    line
}

fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The number of a facility, by Cyrus's or the system's name.
fn number(name: &str) -> Option<u8> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("log_").unwrap_or(&name);
    match name {
        "mail" => Some(MAIL),
        "daemon" => Some(3),
        "auth" => Some(4),
        "user" => Some(1),
        _ => {
            let local: u8 = name.strip_prefix("local")?.parse().ok()?;
            (local < 8).then_some(16 + local)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities() {
        for (name, expected) in [
            ("mail", Some(2)),
            ("LOCAL6", Some(22)),
            ("log_local0", Some(16)),
            ("local8", None),
            ("", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }

    #[test]
    fn a_message_is_one_line_with_its_priority() {
        let line = framed(MAIL, severity(Level::WARN), "cyrus/csync[7]: ", b"careful\n");
        assert_eq!(line, b"<20>cyrus/csync[7]: careful");
    }
}
