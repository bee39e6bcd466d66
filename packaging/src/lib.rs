//! What comes with the programs: manual pages, completions, and how they are packed for Debian.
//!
//! Pages and completions are made from the programs' own definitions of their arguments, so they cannot say anything else
//! than `--help`; what a page has beside that is in [`pages`].
#![forbid(unsafe_code)]

mod completions;
mod man;
pub mod pages;

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

/// The arguments of all four programs, by name.
pub fn programs() -> [clap::Command; 4] {
    [
        cyr_synclog::args::Args::command(),
        cli::args::Arguments::command(),
        client::args::Args::command(),
        server::args::Args::command(),
    ]
}

/// Writes a page for each program and each command of `mailtwin`; the paths in order.
///
/// # Errors
/// The folder or a file cannot be made.
pub fn write_man_pages(folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    man::all()?
        .into_iter()
        .map(|(file, text)| {
            let path = folder.join(file);
            std::fs::write(&path, text)?;
            Ok(path)
        })
        .collect()
}

/// Writes completions of all programs for bash, zsh and fish, each in a folder of its own; the paths in order.
///
/// # Errors
/// A folder or a file cannot be made.
pub fn write_completions(folder: &Path) -> io::Result<Vec<PathBuf>> {
    completions::write(folder)
}
