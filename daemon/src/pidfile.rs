//! The file that says the process id, and that the process runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Why the file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another process holds it.
    #[error("{} is held by another process{}; stop that one, or name another file", path.display(), shown(.pid))]
    Held {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        pid: Option<u32>,
    },
    /// Anything else.
    #[error("cannot write the process id to {}: {source}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn shown(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" ({pid})"))
}

/// A file with the process id and a line end, locked for as long as the process runs, so that a left-over one is told from
/// a live one. Removed when dropped, or emptied where the process may not remove it any more.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Writes the process id, over what another process that has ended left there.
    ///
    /// # Errors
    /// See [`PidFileError`].
    pub fn create(path: &Path) -> Result<PidFile, PidFileError> {
        let system = |source: io::Error| PidFileError::System {
            path: path.to_path_buf(),
            source,
        };
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(system)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = (&mut file).take(32).read_to_string(&mut text).is_ok();
                return Err(PidFileError::Held {
                    path: path.to_path_buf(),
                    pid: text.trim().parse().ok().filter(|_| read),
                });
            }
            Err(error) => return Err(system(error.into())),
        }
        file.set_len(0).map_err(system)?;
        writeln!(file, "{}", std::process::id()).map_err(system)?;
        Ok(PidFile {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Gives the file to the user as whom the process will run.
    ///
    /// # Errors
    /// What the system said.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), PidFileError> {
        std::os::unix::fs::fchown(&self.file, Some(uid), Some(gid)).map_err(|source| PidFileError::System {
            path: self.path.clone(),
            source,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Emptied first: then nobody reads a process id that is not ours any more, even where the folder belongs to root.
        let _ = self.file.set_len(0);
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        std::fs::write(&path, "123456789 and more of a process that is gone\n").expect("written");
        let held = PidFile::create(&path).expect("nobody holds it");
        let own = std::process::id();
        assert_eq!(std::fs::read_to_string(&path).expect("text"), format!("{own}\n"));
        let error = PidFile::create(&path).expect_err("held");
        assert!(
            error.to_string().contains(&format!("another process ({own})")),
            "{error}"
        );
        drop(held);
        assert!(!path.exists());
        drop(PidFile::create(&path).expect("free again"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none/pid");
        let error = PidFile::create(&path).expect_err("no folder");
        assert!(
            error.to_string().starts_with("cannot write the process id to "),
            "{error}"
        );
    }
}
