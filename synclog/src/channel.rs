//! Reading the log of a channel so that nothing is lost. [CS-LOG-3] [CS-LOG-32]

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::rolling::{Entry, Quarantined, Queue};
use protocol::synclog::{BadLine, Reason};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::files::{FILE_MODE, create_folder, if_there, now_ms, remove};
use crate::quarantine::List;
use crate::run::Run;
use crate::{ChannelName, LogError, recover};

/// Most bytes of unreadable lines that are kept for the operator; beyond that they are only logged.
pub const UNREADABLE_BYTES_MAX: u64 = 1024 * 1024;

/// Pause between looks at what dead processes left, milliseconds.
const RECOVER_PAUSE_MS: u64 = 10_000;
/// How often, and how long apart, the reader's lock is tried.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What a channel's log had to say.
#[derive(Debug, Default)]
pub struct Taken {
    /// The lines, in order.
    pub entries: Vec<Entry>,
    /// Lines that mean nothing, an unfinished last one among them; they have been left out, and nothing else has.
    /// Each is kept in the channel's file `mailtwin-unreadable`. [CS-LOG-7]
    pub bad: Vec<BadLine>,
    /// A last line without its end; becomes one of `bad`.
    pub(crate) unfinished: Vec<u8>,
}

/// The reader of a channel; there is one at a time.
#[derive(Debug)]
pub struct Channel {
    sync_dir: PathBuf,
    directory: PathBuf,
    run: Run,
    list: List,
    /// Whether what an earlier reader left was taken.
    resumed: bool,
    recovered_at_ms: Option<u64>,
    /// Held as long as this is.
    _lock: File,
}

impl Channel {
    /// Becomes the reader. `channel` as in `-n`; `None` is the default channel. [CS-LOG-4]
    ///
    /// # Errors
    /// [`LogError::InUse`] when there is one already, or what the system said.
    pub fn open(sync_dir: &Path, channel: Option<&str>) -> Result<Channel, LogError> {
        let directory = ChannelName::parse(channel.unwrap_or_default())?.directory(sync_dir);
        create_folder(&directory).map_err(LogError::io("create", &directory))?;
        let lock = wait_for_lock(&directory.join("mailtwin-lock"))?;
        let (list, odd) = List::load(&directory)?;
        let opened = Channel {
            sync_dir: sync_dir.to_path_buf(),
            run: Run::new(&directory),
            list,
            resumed: false,
            recovered_at_ms: None,
            _lock: lock,
            directory,
        };
        for line in odd {
            tracing::warn!(line = %line.escape_ascii(), "a line of the quarantine's list cannot be read");
            opened.note_unreadable(&line);
        }
        Ok(opened)
    }

    /// What is in quarantine in the files of a channel, without becoming its reader.
    ///
    /// # Errors
    /// What the system said.
    pub fn quarantined_in(sync_dir: &Path, channel: Option<&str>) -> Result<Vec<Quarantined>, LogError> {
        let directory = ChannelName::parse(channel.unwrap_or_default())?.directory(sync_dir);
        let (list, _) = List::load(&directory)?;
        Ok(list.held().to_vec())
    }

    /// The folder of the channel's files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What was in quarantine when the channel was left; for [`Queue::restore`].
    pub fn quarantined(&mut self) -> Vec<Quarantined> {
        self.list.held().to_vec()
    }

    /// Takes what is new in the log; the first time also what an earlier reader left. What it answers with must be given
    /// to the queue before the next [`Channel::settle`], and stays in the working file until that finds it done.
    ///
    /// # Errors
    /// What the system said. What was moved by then comes with the next call.
    pub fn take(&mut self) -> Result<Taken, LogError> {
        self.recover_now_and_then();
        let (log, next) = (self.directory.join("log"), self.directory.join("log-next"));
        let mut taken = Taken::default();
        if !self.resumed {
            self.absorb(&mut taken, |run| run.load())?;
        }
        // What a crash or an error left between renaming and adding comes first, for it is older.
        if next.exists() {
            if !self.run.exists() {
                self.absorb(&mut taken, |run| run.adopt(&next))?;
            } else {
                self.absorb(&mut taken, |run| run.pour(&next))?;
                remove(&next)?;
            }
        }
        let length = if_there(fs::metadata(&log)).map_err(LogError::io("look at", &log))?;
        if length.is_some_and(|metadata| metadata.len() > 0) {
            if !self.run.exists() {
                self.absorb(&mut taken, |run| run.adopt(&log))?;
            } else {
                fs::rename(&log, &next).map_err(LogError::io("rename", &log))?;
                self.absorb(&mut taken, |run| run.pour(&next))?;
                remove(&next)?;
            }
        }
        self.resumed = true;
        Ok(taken)
    }

    /// One step of [`Channel::take`]. After an error everything in the working file comes again, for what was read of it
    /// goes no further.
    fn absorb(
        &mut self,
        taken: &mut Taken,
        step: impl FnOnce(&mut Run) -> Result<Taken, LogError>,
    ) -> Result<(), LogError> {
        self.resumed = false;
        let mut more = step(&mut self.run)?;
        if !more.unfinished.is_empty() {
            more.bad.push(BadLine {
                line: std::mem::take(&mut more.unfinished),
                at: 0,
                reason: Reason::Unfinished,
            });
        }
        for bad in &more.bad {
            self.note_unreadable(&bad.line);
        }
        taken.entries.append(&mut more.entries);
        taken.bad.append(&mut more.bad);
        Ok(())
    }

    /// Brings the files in line with the queue: what is done goes, what is quarantined is noted. Cheap when there is
    /// nothing to do; call it whenever tasks have been done.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub fn settle(&mut self, queue: &Queue) -> Result<(), LogError> {
        let released = self.note_quarantined(queue)?;
        if queue.pending_len() == 0 && self.resumed {
            self.run.remove()?;
        } else if released || self.run.is_wasteful(queue.pending_len()) {
            self.rewrite(queue)?;
        }
        self.forget_released(queue, released)
    }

    /// As [`Channel::settle`], and leaves in the working file exactly what is pending; for a clean end, and for a queue
    /// whose entries have been changed by hand.
    ///
    /// # Errors
    /// What the system said; nothing is lost by it.
    pub fn keep(&mut self, queue: &Queue) -> Result<(), LogError> {
        let released = self.note_quarantined(queue)?;
        if queue.pending_len() == 0 && self.resumed {
            self.run.remove()?;
        } else {
            self.rewrite(queue)?;
        }
        self.forget_released(queue, released)
    }

    fn rewrite(&mut self, queue: &Queue) -> Result<(), LogError> {
        // An error of `take` has left lines in the file that the queue does not know.
        if !self.resumed {
            return Ok(());
        }
        let oldest_ms = queue.state().oldest_logged_at_ms.unwrap_or_else(now_ms);
        self.run.rewrite(queue.pending(), oldest_ms)
    }

    /// Writes down what is new in quarantine; what has left it stays in the list until it is in the working file.
    /// Answers whether something has left.
    fn note_quarantined(&mut self, queue: &Queue) -> Result<bool, LogError> {
        if queue.quarantined().eq(self.list.held()) {
            return Ok(false);
        }
        let mut entries: Vec<Quarantined> = queue.quarantined().cloned().collect();
        let now: std::collections::BTreeSet<_> = queue.quarantined().map(|entry| &entry.action).collect();
        let gone = self
            .list
            .held()
            .iter()
            .filter(|entry| !now.contains(&entry.action));
        let gone: Vec<Quarantined> = gone.cloned().collect();
        let released = !gone.is_empty();
        entries.extend(gone);
        self.list.write(entries)?;
        Ok(released)
    }

    fn forget_released(&mut self, queue: &Queue, released: bool) -> Result<(), LogError> {
        if released && self.resumed {
            self.list.write(queue.quarantined().cloned().collect())?;
        }
        Ok(())
    }

    /// Keeps a line for the operator; that this fails is no reason to stop.
    fn note_unreadable(&self, line: &[u8]) {
        let path = self.directory.join("mailtwin-unreadable");
        let noted = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(FILE_MODE)
            .open(&path)
            .and_then(|mut file| {
                if file.metadata()?.len() + line.len() as u64 <= UNREADABLE_BYTES_MAX {
                    file.write_all(&[line, b"\n"].concat())?;
                }
                Ok(())
            });
        if let Err(error) = noted {
            tracing::warn!(path = %path.display(), %error, "cannot keep an unreadable line of the log");
        }
    }

    fn recover_now_and_then(&mut self) {
        let now = now_ms();
        let due = self
            .recovered_at_ms
            .is_none_or(|at| now < at || now - at >= RECOVER_PAUSE_MS);
        if due {
            self.recovered_at_ms = Some(now);
            if let Err(error) = recover(&self.sync_dir) {
                tracing::warn!(%error, "cannot log what a process that died was about to log");
            }
        }
    }
}

/// As [`lock`], with patience for a reader that is about to end: a daemon that was told to stop, or an operator's command.
fn wait_for_lock(path: &Path) -> Result<File, LogError> {
    let mut tries_left = LOCK_TRIES;
    loop {
        match lock(path) {
            Err(LogError::InUse { .. }) if tries_left > 0 => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
        tries_left -= 1;
    }
}

/// Takes the reader's lock, which ends with its process.
fn lock(path: &Path) -> Result<File, LogError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(LogError::io("open", path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // A holder that has not written its number yet stays unnamed.
            let _ = file.read_to_string(&mut holder);
            return Err(LogError::InUse {
                path: path.to_path_buf(),
                holder: holder.trim().parse().ok(),
            });
        }
        Err(error) => return Err(LogError::io("lock", path)(error)),
    }
    let number = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(number.as_bytes()))
        .map_err(LogError::io("write to", path))?;
    Ok(file)
}
