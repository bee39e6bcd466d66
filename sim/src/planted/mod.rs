//! Bugs planted on purpose: each is a small change of the sources, kept as data in `sim/planted`, and has to be found.
//!
//! The crate [`planted`] reads them and builds them in, all at once behind switches; here are those that the simulator has to
//! find. The seed that finds one has to find nothing without it.

mod bug;
mod hunt;

pub use bug::Bug;
pub use hunt::{Found, hunt, name};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where the bugs are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("planted")
}

/// Where the sources are.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All bugs, by name.
///
/// # Errors
/// What cannot be read, or is no bug as [`Bug::of`] wants it.
pub fn all() -> Result<Vec<Bug>> {
    let faults = planted::all(&folder(), "bug", &bug::KEYS)?;
    let bug = |fault: planted::Fault| {
        let name = fault.name.clone();
        Bug::of(fault).context(name)
    };
    faults.into_iter().map(bug).collect()
}

/// The bugs of these names, all when there are none.
///
/// # Errors
/// A name that no bug has.
pub fn named(names: &[String]) -> Result<Vec<Bug>> {
    let mut bugs = all()?;
    for name in names {
        ensure!(
            bugs.iter().any(|bug| bug.name() == *name),
            "there is no planted bug {name}; `ls sim/planted` names them"
        );
    }
    bugs.retain(|bug| names.is_empty() || names.iter().any(|name| name == bug.name()));
    Ok(bugs)
}
