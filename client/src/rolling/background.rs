//! Leaving the terminal (`-r`) without fork: the program starts itself again in a session of its own.
//!
//! The first process waits until the second says on its stdout that it has the channel, and ends with 0 then; when the second
//! ends before that, the first passes on its exit status. So whoever starts a daemon knows whether it runs.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// Set in the second process.
const STAGE: &str = "MAILTWIN_SYNC_CLIENT_BACKGROUND";

/// What the second process says.
const READY: &[u8] = b"ready\n";

/// Whether this is the second process.
pub(crate) fn is_background() -> bool {
    std::env::var_os(STAGE).is_some_and(|stage| stage == OsStr::new("1"))
}

/// The first process: starts the second with the same arguments, and answers with the exit status.
///
/// # Errors
/// What the system said.
pub(crate) fn detach() -> io::Result<u8> {
    // Not the path it was started by: that may be another program by now.
    let mut child = Command::new("/proc/self/exe")
        .arg0(std::env::args_os().next().unwrap_or_else(|| "sync_client".into()))
        .args(std::env::args_os().skip(1))
        .env(STAGE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(READY.len() as u64).read_to_end(&mut said)?;
    }
    if said == READY {
        return Ok(0);
    }
    let status = child.wait()?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(crate::failure::SOFTWARE))
}

/// The second process, when it begins: it belongs to no terminal any more.
///
/// # Errors
/// What the system said.
pub(crate) fn leave_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

/// The second process, when it has the channel: lets the first one go, and keeps nothing of it but stderr.
///
/// # Errors
/// What the system said.
pub(crate) fn say_ready() -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    // The first process may have been killed; that is no reason to end.
    let _ = stdout.write_all(READY).and_then(|()| stdout.flush());
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}
