//! The suite of scenarios: readable files that say what goes over the wire, played against any server.
//!
//! The crate's README describes the files. [`scenario`] reads them, [`template`] and [`scope`] give their placeholders values,
//! [`pattern`] and [`matching`] compare answers, [`wire`] is a connection, [`play`] plays one scenario, [`run`] all of them against a
//! [`target`]. A [`profile`] says what a known implementation does instead; [`report`] is the result.

pub mod all;
mod check;
pub mod client;
pub mod command;
pub mod evidence;
mod made;
pub mod matching;
pub mod pattern;
pub mod play;
pub mod profile;
pub mod report;
pub mod rules;
pub mod run;
pub mod scenario;
pub mod scope;
pub mod subjects;
pub mod target;
pub mod template;
pub mod wire;

use std::path::{Path, PathBuf};

/// The folder of the scenarios in this source tree.
pub fn scenarios_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The folder of the profiles in this source tree.
pub fn profiles_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
}

/// The folder of the spec in this source tree.
pub fn spec_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec")
}
