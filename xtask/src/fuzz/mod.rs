//! `cargo xtask fuzz`: builds the fuzz targets with the stable compiler, replays their corpus, and runs them.
//!
//! libFuzzer wants counters in the code that is fuzzed. The compiler adds them when it is told so, crate by crate: for that
//! this program is put in front of it (`RUSTC_WRAPPER`). What else is linked stays as it is, which keeps the build short and
//! the figures about our own code.

mod campaign;
mod corpus;
mod coverage;
mod wrapper;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use wrapper::{WRAPS, wrap};

use crate::step;

/// How long each target runs within `cargo xtask test`, seconds.
pub const BRIEF_SECONDS: u64 = 4;

/// Where everything is.
pub struct Place {
    root: PathBuf,
    /// Programs, grown corpora and findings.
    made: PathBuf,
}

impl Place {
    /// Below the target folder.
    pub fn new() -> Place {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let made = target.join("fuzz");
        Place { root, made }
    }

    fn program(&self, target: &str) -> PathBuf {
        self.made.join("debug").join(target)
    }

    /// The committed corpus.
    fn kept(&self, target: &str) -> PathBuf {
        self.root.join("fuzz/corpus").join(target)
    }

    /// What runs have added to it on this machine.
    fn grown(&self, target: &str) -> PathBuf {
        self.made.join("corpus").join(target)
    }

    /// A copy of this program that nobody replaces: cargo builds the original anew, as a part of the workspace, while it runs.
    ///
    /// Written only when it differs, for cargo begins from scratch with a wrapper that is newer. Where it cannot be written,
    /// this program itself.
    fn wrapper(&self) -> PathBuf {
        let copy = self.made.join("xtask-as-wrapper");
        // The running program by this name even when its file is gone.
        let Ok(this) = std::fs::read("/proc/self/exe") else {
            return std::env::current_exe().unwrap_or_default();
        };
        if std::fs::read(&copy).is_ok_and(|there| there == this) {
            return copy;
        }
        let written = std::fs::create_dir_all(&self.made)
            .and_then(|()| std::fs::copy("/proc/self/exe", &copy))
            .is_ok();
        if written {
            copy
        } else {
            std::env::current_exe().unwrap_or_default()
        }
    }

    /// Environment of cargo.
    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("RUSTC_WRAPPER", self.wrapper().display().to_string()),
            (WRAPS, "1".to_owned()),
            ("CARGO_TARGET_DIR", self.made.display().to_string()),
        ]
    }

    fn cargo(&self, title: &str, command: &str) -> step::Finished {
        let manifest = self.root.join("fuzz/Cargo.toml");
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let command = format!("cargo {verb} --manifest-path {} {rest}", manifest.display());
        let environment = self.environment();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        step::run(title, &command, &environment)
    }

    /// Builds all targets.
    pub fn build(&self) -> bool {
        self.cargo("build the fuzz targets", "build --locked --bins").ok
    }

    /// Clippy over the targets, which are no part of the workspace. Nothing runs, so nothing is optimised for it.
    pub fn lint(&self) -> bool {
        let manifest = self.root.join("fuzz/Cargo.toml");
        let command = format!(
            "cargo clippy --locked --manifest-path {} --all-targets -- -D warnings",
            manifest.display()
        );
        step::run(
            "lint the fuzz targets",
            &command,
            &[("CARGO_PROFILE_DEV_OPT_LEVEL", "0")],
        )
        .ok
    }

    /// Runs every input of the committed corpus, and every finding of the past.
    pub fn replay(&self) -> step::Finished {
        self.cargo("fuzz corpus and findings", "test --locked")
    }

    /// Names of all targets.
    pub fn targets(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.root.join("fuzz/fuzz_targets"));
        let paths = folder.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut names: Vec<String> = paths
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        names
    }

    /// Fuzzes targets for so many seconds each, `jobs` of them at a time, and prints what they did. False when one failed.
    pub fn fuzz_all(&self, targets: &[String], seconds: u64, jobs: usize) -> bool {
        campaign::run(self, targets, seconds, jobs)
    }

    /// Fuzzes one target for so many seconds; what is new stays in the grown corpus, what fails among the findings.
    fn fuzz(&self, target: &str, seconds: u64) -> step::Finished {
        let (kept, grown, findings) = (self.kept(target), self.grown(target), self.made.join("findings"));
        for folder in [&grown, &findings] {
            if let Err(error) = std::fs::create_dir_all(folder) {
                println!("   cannot make {}: {error}", folder.display());
            }
        }
        let command = format!(
            "{} {} {} {} -max_total_time={seconds} -artifact_prefix={}/{target}- -print_final_stats=1",
            self.program(target).display(),
            grown.display(),
            kept.display(),
            self.options(),
            findings.display(),
        );
        step::quietly(&command)
    }

    /// Options of all runs: a slow input is one of ten seconds.
    fn options(&self) -> String {
        let words = self.root.join("fuzz/protocol.dict");
        format!(
            "-dict={} -max_len=4096 -timeout=10 -rss_limit_mb=1024",
            words.display()
        )
    }
}

/// What `cargo xtask fuzz` is told.
#[derive(Default)]
struct Wishes {
    seconds: Option<u64>,
    /// Targets at a time.
    jobs: Option<usize>,
    coverage: bool,
    replay: bool,
    seed: bool,
    minimise: bool,
    targets: Vec<String>,
}

/// The command of its own.
pub fn run(words: &[&str]) -> ExitCode {
    let place = Place::new();
    let wishes = match wishes(words, &place.targets()) {
        Ok(wishes) => wishes,
        Err(what) => {
            eprintln!("cargo xtask fuzz: {what}");
            return ExitCode::from(64);
        }
    };
    if !place.build() || (wishes.replay && !place.replay().ok) {
        return ExitCode::FAILURE;
    }
    let mut ok = !wishes.seed || corpus::seed(&place);
    if let Some(seconds) = wishes.seconds {
        ok &= place.fuzz_all(&wishes.targets, seconds, wishes.jobs.unwrap_or(1));
    }
    if wishes.minimise {
        for target in &wishes.targets {
            ok &= corpus::minimise(&place, target);
        }
    }
    if wishes.coverage {
        ok &= coverage::report(&place, &wishes.targets);
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn wishes(words: &[&str], known: &[String]) -> Result<Wishes, String> {
    let mut wishes = Wishes::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|text| text.parse::<u64>().ok());
            number
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("{word} takes a number above 0"))
        };
        match *word {
            "--minutes" => wishes.seconds = Some(60 * number()?),
            "--seconds" => wishes.seconds = Some(number()?),
            "--jobs" => wishes.jobs = Some(usize::try_from(number()?).map_err(|error| error.to_string())?),
            "--coverage" => wishes.coverage = true,
            "--replay" => wishes.replay = true,
            "--seed" => wishes.seed = true,
            "--minimise" => wishes.minimise = true,
            target if known.iter().any(|known| known == target) => wishes.targets.push(target.to_owned()),
            other => {
                return Err(format!(
                    "unknown target or option {other}; targets: {}",
                    known.join(" ")
                ));
            }
        }
    }
    if wishes.targets.is_empty() {
        wishes.targets = known.to_vec();
    }
    let has_work =
        wishes.seconds.is_some() || wishes.coverage || wishes.replay || wishes.seed || wishes.minimise;
    if !has_work {
        wishes.seconds = Some(60);
    }
    Ok(wishes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        let known = ["one".to_owned(), "two".to_owned()];
        let read = |words: &[&str]| wishes(words, &known);
        let all = read(&["--minutes", "2"]).expect("all targets");
        assert_eq!((all.seconds, all.targets.len()), (Some(120), 2));
        let one = read(&["two", "--coverage"]).expect("one target");
        assert_eq!(
            (one.seconds, one.coverage, one.targets),
            (None, true, vec!["two".to_owned()])
        );
        let jobs = read(&["--seconds", "5", "--jobs", "4"]).expect("four at a time");
        assert_eq!((jobs.seconds, jobs.jobs), (Some(5), Some(4)));
        assert!(read(&["three"]).is_err());
        assert!(read(&["--minutes"]).is_err());
        assert!(read(&["--minutes", "0"]).is_err());
    }

    #[test]
    fn every_target_is_listed_once_everywhere() {
        let place = Place::new();
        let manifest = std::fs::read_to_string(place.root.join("fuzz/Cargo.toml")).expect("the manifest");
        let table = std::fs::read_to_string(place.root.join("fuzz/src/lib.rs")).expect("the table");
        let targets = place.targets();
        assert!(targets.len() >= 15);
        for target in &targets {
            assert_eq!(
                manifest.matches(&format!("name = \"{target}\"")).count(),
                1,
                "{target}"
            );
            assert_eq!(table.matches(&format!("\"{target}\"")).count(), 1, "{target}");
            let inputs = std::fs::read_dir(place.kept(target)).map_or(0, Iterator::count);
            assert!(
                inputs > 0,
                "{target} has no corpus; run cargo xtask fuzz --seed --minimise {target}"
            );
        }
    }
}
