//! Bugs planted on purpose: each is a small change of the sources, kept as data in `sim/planted`, and has to be found.
//!
//! What finds none of them cannot be trusted when it finds nothing else. The bugs are built into a copy of the sources, never
//! into the sources themselves, all at once behind switches; and the seed that finds one has to find nothing without it.

mod bug;
mod hunt;
mod tree;

pub use bug::{Bug, Edit};
pub use hunt::{Found, hunt, name};
pub use tree::Tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The file that gets the switch: of a crate that all others with bugs in them use.
const SWITCH_FILE: &str = "protocol/src/lib.rs";
/// The environment's variable that switches a bug on.
const SWITCH_VARIABLE: &str = "SIM_PLANTED";

/// The condition that a bug is on.
fn switch(name: &str) -> String {
    format!("::protocol::planted::is_on(\"{name}\")")
}

/// The code behind the condition, which only the copy of the sources has.
fn switch_code() -> String {
    format!(
        "\n/// Which planted bug is on.\npub mod planted {{\n    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();\n    /// Whether it is this one.\n    pub fn is_on(name: &str) -> bool {{\n        ON.get_or_init(|| std::env::var(\"{SWITCH_VARIABLE}\").ok()).as_deref() == Some(name)\n    }}\n}}\n"
    )
}

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
/// What cannot be read, or is no bug as [`Bug::parse`] wants it.
pub fn all() -> Result<Vec<Bug>> {
    let folder = folder();
    let listed = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut bugs = Vec::new();
    for entry in listed {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "bug") {
            continue;
        }
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        bugs.push(Bug::parse(name, &text).with_context(|| path.display().to_string())?);
    }
    bugs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(bugs)
}

/// The bugs of these names, all when there are none.
///
/// # Errors
/// A name that no bug has.
pub fn named(names: &[String]) -> Result<Vec<Bug>> {
    let mut bugs = all()?;
    for name in names {
        ensure!(
            bugs.iter().any(|bug| bug.name == *name),
            "there is no planted bug {name}; `ls sim/planted` names them"
        );
    }
    bugs.retain(|bug| names.is_empty() || names.contains(&bug.name));
    Ok(bugs)
}
