//! The working file: all that was taken from the log and is not done, in the log's own format. [CS-LOG-32]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use engine::rolling::Entry;
use protocol::synclog::{Action, Lines};

use crate::LogError;
use crate::channel::Taken;
use crate::files::{born_ms, if_there, read_settled, remove, replace, sync_folder_of};

/// Lines that may be done and still in the file before it is written anew.
const SLACK_LINES: usize = 1000;

/// The working file, while there is one.
#[derive(Debug)]
pub(crate) struct Run {
    path: PathBuf,
    /// What is whole in it; `None` while there is no file.
    whole: Option<Whole>,
}

#[derive(Clone, Copy, Debug)]
struct Whole {
    bytes: u64,
    lines: usize,
    oldest_ms: u64,
}

impl Run {
    pub(crate) fn new(directory: &Path) -> Self {
        Run {
            path: directory.join("log-run"),
            whole: None,
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.whole.is_some()
    }

    /// Reads what is in the file. A last line without its end is cut off, for more lines may come behind it.
    pub(crate) fn load(&mut self) -> Result<Taken, LogError> {
        if !self.path.exists() {
            self.whole = None;
            return Ok(Taken::default());
        }
        let oldest_ms = born_ms(&self.path);
        let bytes = read_settled(&self.path)?;
        let taken = read(&bytes, oldest_ms);
        let end = bytes.len() - taken.unfinished.len();
        self.whole = Some(Whole {
            bytes: end as u64,
            lines: taken.entries.len(),
            oldest_ms,
        });
        if !taken.unfinished.is_empty() {
            let cut = OpenOptions::new().write(true).open(&self.path);
            cut.and_then(|file| file.set_len(end as u64))
                .map_err(LogError::io("cut", &self.path))?;
        }
        Ok(taken)
    }

    /// Takes a log over by its name, when there is no working file.
    pub(crate) fn adopt(&mut self, log: &Path) -> Result<Taken, LogError> {
        let renamed = if_there(fs::rename(log, &self.path)).map_err(LogError::io("rename", log))?;
        match renamed {
            Some(()) => self.load(),
            None => Ok(Taken::default()),
        }
    }

    /// Adds what is in another file, durably, so that the other file can go.
    pub(crate) fn pour(&mut self, from: &Path) -> Result<Taken, LogError> {
        let logged_at_ms = born_ms(from);
        let taken = read(&read_settled(from)?, logged_at_ms);
        let mut lines = Vec::new();
        for entry in &taken.entries {
            entry.action.print(&mut lines)?;
        }
        let whole = self.whole.unwrap_or(Whole {
            bytes: 0,
            lines: 0,
            oldest_ms: logged_at_ms,
        });
        let oldest_ms = whole.oldest_ms.min(logged_at_ms);
        let io = |what| LogError::io(what, &self.path);
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(io("open"))?;
        // Whatever an earlier attempt left behind the whole lines.
        file.set_len(whole.bytes).map_err(io("cut"))?;
        file.write_all(&lines).map_err(io("write to"))?;
        file.set_modified(UNIX_EPOCH + Duration::from_millis(oldest_ms))
            .map_err(io("set the time of"))?;
        file.sync_all().map_err(io("sync"))?;
        if self.whole.is_none() {
            sync_folder_of(&self.path)?;
        }
        self.whole = Some(Whole {
            bytes: whole.bytes + lines.len() as u64,
            lines: whole.lines + taken.entries.len(),
            oldest_ms,
        });
        Ok(taken)
    }

    /// Whether so much of it is done that it should be written anew.
    pub(crate) fn is_wasteful(&self, pending: usize) -> bool {
        self.whole
            .is_some_and(|whole| whole.lines > pending.saturating_mul(4).saturating_add(SLACK_LINES))
    }

    /// Leaves exactly these in it.
    pub(crate) fn rewrite<'a>(
        &mut self,
        pending: impl Iterator<Item = &'a Action>,
        oldest_ms: u64,
    ) -> Result<(), LogError> {
        let (mut bytes, mut lines) = (Vec::new(), 0);
        for action in pending {
            action.print(&mut bytes)?;
            lines += 1;
        }
        let modified = UNIX_EPOCH + Duration::from_millis(oldest_ms);
        replace(&self.path, &bytes, Some(modified))?;
        self.whole = Some(Whole {
            bytes: bytes.len() as u64,
            lines,
            oldest_ms,
        });
        Ok(())
    }

    /// All of it is done.
    pub(crate) fn remove(&mut self) -> Result<(), LogError> {
        if self.whole.is_some() {
            remove(&self.path)?;
            self.whole = None;
        }
        Ok(())
    }
}

fn read(bytes: &[u8], logged_at_ms: u64) -> Taken {
    let mut taken = Taken::default();
    let mut lines = Lines::new(bytes);
    for line in lines.by_ref() {
        match line {
            Ok(action) => taken.entries.push(Entry { action, logged_at_ms }),
            Err(bad) => taken.bad.push(bad),
        }
    }
    taken.unfinished = lines.rest().to_vec();
    taken
}
