//! What a mutant is tried with: each test of `engine` and `store`, and seeds of the simulator by the handful.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::build::Built;
use super::process::{Child, End};
use super::tree::{ON, REACHED, Tree};

/// The simulator's profiles.
const PROFILES: [&str; 5] = ["pair", "split", "rolling", "mesh", "backup"];
/// Seeds of one trial.
const HANDFUL: u64 = 10;
/// Seeds of each profile.
const SEEDS: u64 = 100;
/// Random cases of each property test, from a fixed seed.
const CASES: &str = "32";

/// What tries a mutant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A test of `engine` or `store`.
    Test,
    /// Seeds of the simulator.
    Ring1,
}

/// A program's run that ends well when no mutant is on.
pub struct Trial {
    /// Test or seeds.
    pub kind: Kind,
    /// The test's full name, or profile and first seed.
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// How long it took without a mutant.
    pub took: Duration,
    /// Switch numbers of the mutants it came by.
    pub reached: BTreeSet<u32>,
}

/// All trials of a build, not yet run.
///
/// # Errors
/// When a test program does not list its tests.
pub fn all(built: &Built, tree: &Tree, scratch: &Path) -> Result<Vec<Trial>, String> {
    let mut trials = Vec::new();
    let mut add = |kind, name, program: &Path, arguments: Vec<String>, folder: &Path| {
        trials.push(Trial {
            kind,
            name,
            program: program.into(),
            arguments,
            folder: folder.into(),
            took: Duration::ZERO,
            reached: BTreeSet::new(),
        });
    };
    for binary in &built.tests {
        let output = Command::new(&binary.path)
            .args(["--list", "--format", "terse"])
            .current_dir(&binary.folder)
            .output();
        let output = output.map_err(|error| format!("cannot list the tests of {}: {error}", binary.name))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for test in text.lines().filter_map(|line| line.strip_suffix(": test")) {
            let name = format!("{}::{test}", binary.name);
            let arguments = ["--exact", test, "--test-threads", "1"]
                .map(str::to_owned)
                .to_vec();
            add(Kind::Test, name, &binary.path, arguments, &binary.folder);
        }
    }
    let Some(sim) = &built.sim else {
        return Ok(trials);
    };
    let save = scratch.join("findings").to_string_lossy().into_owned();
    for first in (0..SEEDS).step_by(usize::try_from(HANDFUL).unwrap_or(1)) {
        for profile in PROFILES {
            let (seeds, from) = (HANDFUL.to_string(), first.to_string());
            let words = [
                "run",
                "--profile",
                profile,
                "--first",
                &from,
                "--seeds",
                &seeds,
                "--threads",
                "1",
            ];
            let words = words
                .into_iter()
                .chain(["--save", &save])
                .map(str::to_owned)
                .collect();
            add(
                Kind::Ring1,
                format!("{profile} {first}+{HANDFUL}"),
                sim,
                words,
                &tree.path,
            );
        }
    }
    Ok(trials)
}

impl Trial {
    /// Runs it without a mutant and notes what it took and which mutants it came by.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn rehearse(&mut self, desk: &Desk) -> Result<End, String> {
        let log = desk.folder.join("reached");
        // There is none before the first run.
        let _ = std::fs::remove_file(&log);
        let (end, took) = self.go(
            desk,
            &[(REACHED, &log.to_string_lossy())],
            Duration::from_secs(600),
        )?;
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        self.reached = text.lines().filter_map(|line| line.parse().ok()).collect();
        self.took = took;
        Ok(end)
    }

    /// Runs it with a mutant on.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn with(&self, number: u32, desk: &Desk) -> Result<End, String> {
        let patience = Duration::from_secs(10) + self.took * 20;
        Ok(self.go(desk, &[(ON, &number.to_string())], patience)?.0)
    }

    fn go(&self, desk: &Desk, more: &[(&str, &str)], patience: Duration) -> Result<(End, Duration), String> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let (tmp, root) = (desk.tmp()?, desk.root.to_string_lossy());
        let mut environment = vec![
            ("TMPDIR", tmp.as_str()),
            ("INSTA_UPDATE", "no"),
            ("INSTA_WORKSPACE_ROOT", &root),
            ("PROPTEST_CASES", CASES),
            ("PROPTEST_RNG_SEED", "1"),
            ("PROPTEST_MAX_SHRINK_ITERS", "0"),
            ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1"),
            ("RUST_BACKTRACE", "0"),
        ];
        environment.extend_from_slice(more);
        Child {
            program: &self.program,
            arguments: &arguments,
            folder: &self.folder,
            environment: &environment,
            said: &desk.folder.join("said"),
        }
        .run(patience)
    }
}

/// Where one worker's children put what they write.
pub struct Desk {
    /// The worker's own folder.
    pub folder: PathBuf,
    /// The root of the copy.
    pub root: PathBuf,
}

impl Desk {
    /// A desk of its own for the worker of this number.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(scratch: &Path, root: &Path, worker: usize) -> Result<Desk, String> {
        let folder = scratch.join(format!("desk-{worker}"));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Desk {
            folder,
            root: root.into(),
        })
    }

    fn tmp(&self) -> Result<String, String> {
        let path = self.folder.join("tmp");
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Throws away what killed children left.
    pub fn clear(&self) {
        // What cannot be removed now is in nobody's way.
        let _ = std::fs::remove_dir_all(self.folder.join("tmp"));
    }
}
