//! The scratch copy of the tree, with the mutants in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::list::Mutant;
use super::rewrite::{Rewritten, rewrite};

/// The environment variable that turns a mutant on by its switch number.
pub const ON: &str = "MUTANT_ON";
/// The environment variable that names a file to which the numbers are written of the mutants that a run comes by.
pub const REACHED: &str = "MUTANT_REACHED";

/// The switch, which becomes a module of the copy's `engine`.
const SWITCH: &str = r#"
//! Which mutant is on.

use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

const MOST: usize = 8192;

static ON: LazyLock<u32> =
    LazyLock::new(|| std::env::var("MUTANT_ON").ok().and_then(|text| text.parse().ok()).unwrap_or(0));
static LOG: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("MUTANT_REACHED")?;
    File::options().append(true).create(true).open(path).ok()
});
static SEEN: [AtomicBool; MOST] = [const { AtomicBool::new(false) }; MOST];

/// Whether the mutant of this number is on.
pub fn on(number: u32) -> bool {
    if let Some(mut log) = LOG.as_ref()
        && !SEEN[number as usize].swap(true, Ordering::Relaxed)
    {
        let _ = log.write_all(format!("{number}\n").as_bytes());
    }
    *ON == number
}
"#;

/// A scratch copy of a commit.
pub struct Tree {
    /// Its root.
    pub path: PathBuf,
    /// The commit, shortened.
    pub commit: String,
    /// The sources that mutants go into, as the commit has them.
    originals: BTreeMap<String, String>,
}

impl Tree {
    /// Copies what a commit holds, touching only files that differ from what is there, so that little is built anew;
    /// `tests` is a commit whose tests are taken in place of its own.
    ///
    /// # Errors
    /// When git or the file system refuse.
    pub fn copy(root: &Path, commit: &str, tests: Option<&str>, path: PathBuf) -> Result<Tree, String> {
        let commit = git(root, &["rev-parse", "--short=12", commit])?;
        let fresh = path.with_extension("fresh");
        let script = format!(
            "set -e; rm -rf '{fresh}'; mkdir -p '{fresh}' '{tree}'; git archive {commit} | tar -x -C '{fresh}'",
            fresh = fresh.display(),
            tree = path.display(),
            commit = commit.trim(),
        );
        shell(root, &script)?;
        if let Some(tests) = tests {
            let folders = "engine/tests store/tests";
            let fresh = fresh.display();
            let script = format!(
                "set -e; (cd '{fresh}'; rm -rf {folders}); git archive {tests} {folders} | tar -x -C '{fresh}'"
            );
            shell(root, &script)?;
        }
        let names = list(&fresh, &fresh)?;
        forget(&path, &path, &fresh)?;
        for name in &names {
            let (from, to) = (fresh.join(name), path.join(name));
            if mutable(name) || !from.is_file() {
                continue;
            }
            put(
                &to,
                &std::fs::read(&from).map_err(|error| format!("{name}: {error}"))?,
            )?;
        }
        let mut originals = BTreeMap::new();
        for name in names.iter().filter(|name| mutable(name)) {
            let text =
                std::fs::read_to_string(fresh.join(name)).map_err(|error| format!("{name}: {error}"))?;
            originals.insert(name.clone(), text);
        }
        Ok(Tree {
            path,
            commit: commit.trim().to_owned(),
            originals,
        })
    }

    /// The folder with the sources as committed, for tools that read them.
    pub fn pristine(&self) -> PathBuf {
        self.path.with_extension("fresh")
    }

    /// Writes the sources with these mutants; what was done to each file.
    ///
    /// # Errors
    /// When a source cannot be parsed or written.
    pub fn write(&self, mutants: &[(u32, &Mutant)]) -> Result<BTreeMap<String, Rewritten>, String> {
        let mut by_file: BTreeMap<&str, Vec<(u32, &Mutant)>> = BTreeMap::new();
        for (number, mutant) in mutants {
            by_file.entry(&mutant.file).or_default().push((*number, mutant));
        }
        let mut written = BTreeMap::new();
        for (name, source) in &self.originals {
            let own = by_file.remove(name.as_str()).unwrap_or_default();
            let switch = if name.starts_with("engine/") {
                "crate::mutant_switch::on"
            } else {
                "engine::mutant_switch::on"
            };
            let mut done = rewrite(source, switch, &own).map_err(|error| format!("{name}: {error}"))?;
            if name == "engine/src/lib.rs" {
                done.text.push_str("\npub mod mutant_switch;\n");
            }
            put(&self.path.join(name), done.text.as_bytes())?;
            written.insert(name.clone(), done);
        }
        put(&self.path.join("engine/src/mutant_switch.rs"), SWITCH.as_bytes())?;
        Ok(written)
    }
}

/// Whether mutants go into the file.
fn mutable(name: &str) -> bool {
    (name.starts_with("engine/src/") || name.starts_with("store/src/")) && name.ends_with(".rs")
}

/// Writes a file unless it has these very bytes.
fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let unable = |error| format!("cannot write {}: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unable)?;
    }
    std::fs::write(path, bytes).map_err(unable)
}

/// All files below a folder, as paths from `root`.
fn list(folder: &Path, root: &Path) -> Result<Vec<String>, String> {
    let unable = |error| format!("cannot look at {}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unable)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            names.append(&mut list(&path, root)?);
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes from the copy what the commit has no more.
fn forget(folder: &Path, tree: &Path, fresh: &Path) -> Result<(), String> {
    let unable = |error| format!("cannot look at {}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(unable)?.flatten() {
        let path = entry.path();
        let name = path.strip_prefix(tree).unwrap_or(&path);
        if !fresh.join(name).exists() && name != Path::new("engine/src/mutant_switch.rs") {
            if path.is_dir() {
                std::fs::remove_dir_all(&path).map_err(unable)?;
            } else {
                std::fs::remove_file(&path).map_err(unable)?;
            }
        } else if path.is_dir() {
            forget(&path, tree, fresh)?;
        }
    }
    Ok(())
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git").args(arguments).current_dir(root).output();
    let output = output.map_err(|error| format!("cannot run git: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn shell(folder: &Path, script: &str) -> Result<(), String> {
    let status = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("failed: {script}")),
    }
}
