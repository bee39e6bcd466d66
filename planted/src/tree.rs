//! A copy of the sources in which faults are built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Edit, Fault, SWITCH_FILE};

/// Folders that are no sources.
const NO_SOURCES: [&str; 3] = ["target", ".git", "corpus"];

/// The copy, and where it is built.
pub struct Tree {
    sources: PathBuf,
    copy: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// A copy of `sources` below `folder`; both it and what is built there are kept from one time to the next.
    pub fn new(sources: PathBuf, folder: &Path) -> Self {
        Tree {
            sources,
            copy: folder.join("tree"),
            target: folder.join("target"),
        }
    }

    /// Makes the copy equal to the sources with these faults in them. What is equal already is not touched, so that little is
    /// built anew.
    ///
    /// # Errors
    /// Files that cannot be read or written; edits that do not fit.
    pub fn plant(&self, faults: &[Fault]) -> Result<()> {
        let mut files = BTreeSet::new();
        list(&self.sources, Path::new(""), &mut files)?;
        let mut there = BTreeSet::new();
        if self.copy.exists() {
            list(&self.copy, Path::new(""), &mut there)?;
        }
        for surplus in there.difference(&files) {
            fs::remove_file(self.copy.join(surplus))?;
        }
        for file in &files {
            let from = self.sources.join(file);
            // A file that goes away meanwhile is one that is edited; what needs it will say so.
            let Ok(mut content) = fs::read(&from) else {
                continue;
            };
            if *file == Path::new(SWITCH_FILE) {
                content.extend_from_slice(super::switch_code().as_bytes());
            }
            for (fault, edit) in edits(faults).filter(|(_, edit)| Path::new(&edit.file) == file) {
                let text = String::from_utf8(content)?;
                let edited = edit.apply(&fault.name, &text);
                content = edited.with_context(|| fault.name.clone())?.into_bytes();
            }
            let to = self.copy.join(file);
            if fs::read(&to).is_ok_and(|there| there == content) {
                continue;
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))?;
        }
        match edits(faults).find(|(_, edit)| !files.contains(Path::new(&edit.file))) {
            Some((fault, edit)) => bail!("{}: there is no file {}", fault.name, edit.file),
            None => Ok(()),
        }
    }

    /// Builds these packages of the copy, with some optimisation and little else, and answers with the folder of the programs.
    ///
    /// # Errors
    /// The compiler's.
    pub fn build(&self, packages: &[&str]) -> Result<PathBuf> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What cargo says of the package that runs is not of the one that is built.
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if shown.starts_with("CARGO_PKG_") || shown.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        let done = cargo
            .args(["build", "--quiet", "--bins"])
            .args(packages.iter().flat_map(|package| ["--package", package]))
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .context("cannot start cargo")?;
        if !done.status.success() {
            bail!(
                "{} does not build:\n{}",
                self.copy.display(),
                String::from_utf8_lossy(&done.stderr)
            );
        }
        Ok(self.target.join("debug"))
    }
}

/// What does not fit the sources any more, planted one behind the other as [`Tree::plant`] does: a line for each edit.
pub fn unfit(sources: &Path, faults: &[Fault]) -> Vec<String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (fault, edit) in edits(faults) {
        let text = files
            .entry(&edit.file)
            .or_insert_with(|| fs::read_to_string(sources.join(&edit.file)).unwrap_or_default());
        match edit.apply(&fault.name, text) {
            Ok(edited) => *text = edited,
            Err(error) => wrong.push(format!("{}: {error}", fault.name)),
        }
    }
    wrong
}

fn edits(faults: &[Fault]) -> impl Iterator<Item = (&Fault, &Edit)> {
    faults
        .iter()
        .flat_map(|fault| fault.edits.iter().map(move |edit| (fault, edit)))
}

fn list(root: &Path, below: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    let listed = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in listed {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        let path = below.join(&name);
        if kind.is_dir() {
            if !NO_SOURCES.iter().any(|skipped| name == **skipped) {
                list(root, &path, files)?;
            }
        } else if kind.is_file() {
            files.insert(path);
        }
    }
    Ok(())
}
