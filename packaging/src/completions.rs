//! Completions for shells.

use std::io;
use std::path::{Path, PathBuf};

use clap_complete::Shell;

/// Shells with their folder.
const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("fish", Shell::Fish), ("zsh", Shell::Zsh)];

/// Writes them below `folder`, by shell.
pub(crate) fn write(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (name, shell) in SHELLS {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        for mut program in crate::programs() {
            let name = program.get_name().to_owned();
            written.push(clap_complete::generate_to(shell, &mut program, name, &folder)?);
        }
    }
    Ok(written)
}
