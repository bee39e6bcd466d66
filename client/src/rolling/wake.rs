//! Being told at once that a log was written to.
//!
//! The kernel says when somebody closes the channel's `log` after writing, Cyrus's programs and ours alike; so a change is
//! replicated within milliseconds, whoever made it. Where there is no such service, the daemon just looks every
//! `sync_repeat_interval`.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;

/// Name of the file that is waited for.
const LOG: &[u8] = b"log";

/// Room for some dozens of events at a time.
const BUFFER_BYTES: usize = 4096;

/// How long the thread that waits may outlive who wants to know.
const LISTEN: Duration = Duration::from_secs(5);

/// Watches a channel's folder, in a thread of its own.
pub(crate) struct Wake {
    written: mpsc::Receiver<()>,
}

impl Wake {
    /// Watches from now on.
    ///
    /// # Errors
    /// What the system said: the folder is not there, or there are too many watches.
    pub(crate) fn new(folder: &Path) -> io::Result<Wake> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(
            &inotify,
            folder,
            WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR,
        )?;
        // One notice is as good as many.
        let (tell, written) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("wake".to_owned())
            .spawn(move || {
                if let Err(error) = listen(&inotify, &tell) {
                    tracing::warn!("the system does not tell of changes any more: {error}");
                }
            })?;
        Ok(Wake { written })
    }

    /// Completes with `true` when the log was written to since the last call; with `false` when nothing more will come.
    pub(crate) async fn written(&mut self) -> bool {
        self.written.recv().await.is_some()
    }
}

fn listen(inotify: &OwnedFd, tell: &mpsc::Sender<()>) -> io::Result<()> {
    let patience = Timespec::try_from(LISTEN).map_err(io::Error::other)?;
    while !tell.is_closed() {
        let mut wanted = [PollFd::new(inotify, PollFlags::IN)];
        match poll(&mut wanted, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if drain(inotify)? {
            // A notice that waits already says the same.
            let _ = tell.try_send(());
        }
    }
    Ok(())
}

/// Reads all events; whether one was about the log, or some were lost.
fn drain(inotify: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut reader = Reader::new(inotify, &mut buffer);
    let mut about_log = false;
    loop {
        match reader.next() {
            Ok(event) => {
                let named = event.file_name().is_some_and(|name| name.to_bytes() == LOG);
                about_log |= named || event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            }
            Err(Errno::WOULDBLOCK) => return Ok(about_log),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_write_to_the_log_wakes_and_others_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut wake = Wake::new(folder.path()).expect("watches");
        std::fs::write(folder.path().join("log-run"), "x").expect("written");
        std::fs::write(folder.path().join("mailtwin-status.json"), "x").expect("written");
        let nothing = tokio::time::timeout(Duration::from_millis(50), wake.written()).await;
        assert!(nothing.is_err(), "other files do not wake");
        std::fs::write(folder.path().join("log"), "USER jane\n").expect("written");
        let written = tokio::time::timeout(Duration::from_secs(10), wake.written()).await;
        assert_eq!(written.ok(), Some(true));
        assert!(Wake::new(&folder.path().join("gone")).is_err());
    }
}
