//! The file that says which process is the daemon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A pid file of this process; goes with it.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    content: String,
}

impl PidFile {
    /// Notes this process. What an earlier one left is overwritten: that there is one daemon only is ensured by the
    /// channel's lock.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn create(path: &Path) -> io::Result<PidFile> {
        let content = format!("{}\n", std::process::id());
        fs::write(path, &content)?;
        Ok(PidFile {
            path: path.to_path_buf(),
            content,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.path).is_ok_and(|content| content == self.content) {
            // Left behind it misleads nobody: the number is checked by whoever reads it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_owner_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pid");
        let file = PidFile::create(&path).expect("written");
        assert_eq!(
            fs::read_to_string(&path).expect("there"),
            format!("{}\n", std::process::id())
        );
        drop(file);
        assert!(!path.exists());
        let file = PidFile::create(&path).expect("written");
        fs::write(&path, "1\n").expect("taken over");
        drop(file);
        assert!(path.exists());
    }
}
