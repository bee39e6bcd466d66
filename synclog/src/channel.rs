//! Reading the log of a channel so that nothing is lost. [CS-LOG-3]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::rolling::{Entry, Quarantined, Queue};
use protocol::synclog::{BadLine, Lines};
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::writer::alone;
use crate::{ChannelName, LogError};

/// What a channel's log had to say.
#[derive(Debug, Default)]
pub struct Taken {
    /// The lines, in order.
    pub entries: Vec<Entry>,
    /// Lines that mean nothing; they have been left out, and nothing else has. [CS-LOG-7]
    pub bad: Vec<BadLine>,
}

/// The reader of a channel; there is one at a time.
#[derive(Debug)]
pub struct Channel {
    directory: PathBuf,
    left_over: bool,
}

impl Channel {
    /// Becomes the reader. `channel` as in `-n`; `None` is the default channel.
    ///
    /// # Errors
    /// [`LogError::InUse`] when there is one already, or what the system said.
    pub fn open(sync_dir: &Path, channel: Option<&str>) -> Result<Channel, LogError> {
        let directory = ChannelName::parse(channel.unwrap_or_default())?.directory(sync_dir);
        Ok(Channel {
            directory,
            left_over: true,
        })
    }

    /// The folder of the channel's files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What was in quarantine when the channel was left; for [`Queue::restore`].
    pub fn quarantined(&mut self) -> Vec<Quarantined> {
        Vec::new()
    }

    /// Takes what is new in the log; the first time also what an earlier reader left. What it answers with stays in the
    /// working file until [`Channel::settle`] finds it done.
    ///
    /// # Errors
    /// What the system said; the log is as it was.
    pub fn take(&mut self) -> Result<Taken, LogError> {
        let (log, run) = (self.directory.join("log"), self.directory.join("log-run"));
        if !self.left_over {
            match fs::rename(&log, &run) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::default()),
                Err(error) => return Err(LogError::io("rename", &log)(error)),
            }
        }
        self.left_over = false;
        let file = match File::options().read(true).write(true).open(&run) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::default()),
            Err(error) => return Err(LogError::io("open", &run)(error)),
        };
        let _alone = alone();
        fcntl_lock(&file, FlockOperation::LockExclusive).map_err(LogError::io("lock", &run))?;
        let bytes = fs::read(&run).map_err(LogError::io("read", &run))?;
        let logged_at_ms = now_ms();
        let mut taken = Taken::default();
        for line in Lines::new(&bytes) {
            match line {
                Ok(action) => taken.entries.push(Entry { action, logged_at_ms }),
                Err(bad) => taken.bad.push(bad),
            }
        }
        Ok(taken)
    }

    /// Brings the files in line with the queue: what is done goes, what is quarantined is noted. Cheap when there is
    /// nothing to do; call it whenever tasks have been done.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub fn settle(&mut self, queue: &Queue) -> Result<(), LogError> {
        if queue.pending().next().is_some() {
            return Ok(());
        }
        let run = self.directory.join("log-run");
        match fs::remove_file(&run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io("remove", &run)(error)),
            _ => Ok(()),
        }
    }

    /// As [`Channel::settle`], and leaves in the working file exactly what is pending; for a clean end.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub fn keep(&mut self, queue: &Queue) -> Result<(), LogError> {
        self.settle(queue)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
