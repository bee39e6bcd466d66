//! Log lines: on stderr, or to the system's log when a daemon has nobody to read stderr; for people or as JSON.

use std::io::{self, IsTerminal as _, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

use net::config::LogFormat;
use net::shown::Straight;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where the system's log takes messages.
const SOCKET: &str = "/dev/log";

/// The facility that Cyrus logs to, `local6`.
const FACILITY: u8 = 22;

/// Longest message that system logs are sure to take, bytes.
const MESSAGE_BYTES_MAX: usize = 2048;

/// How much is logged, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// What is less important is left out.
    pub(crate) level: Level,
    /// How lines look.
    pub(crate) format: LogFormat,
    /// Whether this is a daemon: lines have a time, and a daemon in the background whose stderr is a terminal logs to the
    /// system's log.
    pub(crate) daemon: bool,
    /// Whether it is in the background.
    pub(crate) background: bool,
}

/// Starts logging; once a process.
pub(crate) fn start(options: LogOptions) {
    let stderr_is_read = !(options.background && io::stderr().is_terminal());
    let to = (!stderr_is_read)
        .then(|| SystemLog::open(Path::new(SOCKET)).ok())
        .flatten()
        .map_or(To::Stderr, |log| To::System(Arc::new(log)));
    let in_system = matches!(to, To::System(_));
    let builder = tracing_subscriber::fmt()
        .with_max_level(options.level)
        .with_target(false)
        .with_ansi(!in_system && io::stderr().is_terminal())
        .with_writer(to);
    // The first log wins; a second one, as in a test, is no harm.
    let _ = match (options.format, options.daemon && !in_system) {
        (LogFormat::Json, true) => builder.json().flatten_event(true).try_init(),
        (LogFormat::Json, false) => builder.json().flatten_event(true).without_time().try_init(),
        (LogFormat::Text, true) => builder.try_init(),
        (LogFormat::Text, false) => builder.without_time().try_init(),
    };
}

/// The system's log, over its socket.
struct SystemLog {
    socket: UnixDatagram,
}

impl SystemLog {
    fn open(path: &Path) -> io::Result<SystemLog> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A log that does not keep up must not hold up replication.
        socket.set_nonblocking(true)?;
        Ok(SystemLog { socket })
    }
}

/// A message as system logs take it: priority, program, process id, text.
fn message(level: Level, text: &[u8]) -> Vec<u8> {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    let mut message = format!(
        "<{}>sync_client[{}]: ",
        FACILITY * 8 + severity,
        std::process::id()
    )
    .into_bytes();
    message.extend_from_slice(text.trim_ascii());
    message.truncate(MESSAGE_BYTES_MAX);
    message
}

#[derive(Clone)]
enum To {
    Stderr,
    System(Arc<SystemLog>),
}

/// Takes one line.
enum Line {
    Stderr(io::Stderr),
    System(Arc<SystemLog>, Level),
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match self {
            Line::Stderr(stderr) => Straight(stderr).write(text),
            Line::System(log, level) => {
                // Nobody can be told that the log is gone.
                let _ = log.socket.send(&message(*level, text));
                Ok(text.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for To {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        match self {
            To::Stderr => Line::Stderr(io::stderr()),
            To::System(log) => Line::System(Arc::clone(log), Level::INFO),
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        match self {
            To::Stderr => Line::Stderr(io::stderr()),
            To::System(log) => Line::System(Arc::clone(log), *about.level()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_for_the_systems_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let there = UnixDatagram::bind(&path).expect("binds");
        let log = SystemLog::open(&path).expect("connects");
        let mut line = Line::System(Arc::new(log), Level::WARN);
        line.write_all(b" WARN user jane \n").expect("taken");
        let mut buffer = [0; 100];
        let length = there.recv(&mut buffer).expect("sent");
        let expected = format!("<180>sync_client[{}]: WARN user jane", std::process::id());
        assert_eq!(buffer[..length], *expected.as_bytes());
        assert_eq!(message(Level::ERROR, &[b'x'; 5000]).len(), MESSAGE_BYTES_MAX);
    }
}
