//! Temporary directories for servers.

use crate::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory that is removed on drop; `MAILTWIN_KEEP=1` keeps it and prints its path.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Place {
    /// A new directory that every user may enter: Cyrus runs under a user of its own.
    ///
    /// With `in_memory` it lies on a memory file system when there is one. That suits tests of what is
    /// stored and in which order, which wait for the disk most of their time otherwise; it does not
    /// suit measurements.
    pub fn create(prefix: &str, in_memory: bool) -> Result<Place> {
        let memory = Path::new("/dev/shm");
        let base = if in_memory && memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        Place::below(&base, prefix)
    }

    /// A new directory in `base` that every user may enter.
    pub fn below(base: &Path, prefix: &str) -> Result<Place> {
        let temporary = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(base)
            .map_err(Error::io(format!("creating a directory in {}", base.display())))?;
        let path = temporary.path().to_path_buf();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .map_err(Error::io("opening the directory"))?;
        let temporary = if std::env::var("MAILTWIN_KEEP").as_deref() == Ok("1") {
            eprintln!("kept: {}", temporary.keep().display());
            None
        } else {
            Some(temporary)
        };
        Ok(Place {
            path,
            _temporary: temporary,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
