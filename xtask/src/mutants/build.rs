//! Building the copy, and finding the mutants that do not compile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::list::Mutant;
use super::rewrite::Rewritten;
use super::tree::Tree;

/// Rounds of dropping what does not compile; borrow errors show only when all types are right.
const ROUNDS: u32 = 30;

/// A program that holds tests.
#[derive(Clone, Debug)]
pub struct Binary {
    /// The package, and the test's name when it is not the library's own.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// The package's folder, where tests run.
    pub folder: PathBuf,
}

/// What was built.
pub struct Built {
    /// Programs with tests.
    pub tests: Vec<Binary>,
    /// The simulator, unless only unit tests were built.
    pub sim: Option<PathBuf>,
    /// Switch numbers of mutants that do not compile, or have no place that a switch can be put to.
    pub unviable: BTreeSet<u32>,
}

/// Writes the mutants, builds, drops those the compiler refuses, until it builds; `unviable` are those it is known to
/// refuse. With `unit` only unit tests and these test files are built.
///
/// # Errors
/// When the compiler dislikes something that is no mutant's.
pub fn build(
    tree: &Tree,
    target: &Path,
    mutants: &[(u32, &Mutant)],
    mut unviable: BTreeSet<u32>,
    unit: Option<&[String]>,
) -> Result<Built, String> {
    for round in 1..=ROUNDS {
        let left: Vec<(u32, &Mutant)> = mutants
            .iter()
            .filter(|(number, _)| !unviable.contains(number))
            .copied()
            .collect();
        let written = tree.write(&left)?;
        unviable.extend(written.values().flat_map(|file| file.homeless.iter().copied()));
        let messages = cargo(tree, target, &["check", "-p", "engine", "-p", "store"])?;
        let errors: Vec<&Value> = messages
            .iter()
            .filter(|message| message["message"]["level"] == "error")
            .collect();
        if errors.is_empty() {
            return finish(tree, target, unviable, unit);
        }
        let blamed = blame(&errors, &written);
        println!("   round {round}: {} mutants do not compile", blamed.len());
        if blamed.is_empty() {
            let text = errors
                .iter()
                .filter_map(|error| error["message"]["rendered"].as_str());
            return Err(text.collect::<Vec<_>>().join("\n"));
        }
        unviable.extend(blamed);
    }
    Err("the copy does not build, however many mutants are dropped".to_owned())
}

/// Builds what runs, by one command: another choice of packages would mean other features, and all built again.
fn finish(
    tree: &Tree,
    target: &Path,
    unviable: BTreeSet<u32>,
    unit: Option<&[String]>,
) -> Result<Built, String> {
    let mut wanted = vec!["test", "--no-run", "-p", "engine", "-p", "store"];
    match unit {
        None => wanted.extend(["-p", "sim"]),
        Some(files) => {
            wanted.push("--lib");
            wanted.extend(files.iter().flat_map(|file| ["--test", file]));
        }
    }
    let messages = cargo(tree, target, &wanted)?;
    let (mut tests, mut sim) = (Vec::new(), None);
    for message in &messages {
        let (Some(path), Some(manifest)) =
            (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        let folder = Path::new(manifest).parent().unwrap_or(Path::new("."));
        let package = folder.file_name().unwrap_or_default().to_string_lossy();
        let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
        let name = message["target"]["name"].as_str().unwrap_or_default();
        match (&*package, kind, message["profile"]["test"] == true) {
            ("sim", "bin", false) => sim = Some(PathBuf::from(path)),
            ("engine" | "store", "test" | "lib", true) => tests.push(Binary {
                name: if kind == "lib" {
                    package.into_owned()
                } else {
                    format!("{package}::{name}")
                },
                path: path.into(),
                folder: folder.into(),
            }),
            _ => {}
        }
    }
    let failed = messages
        .iter()
        .any(|message| message["message"]["level"] == "error");
    match failed || tests.is_empty() || (sim.is_none() && unit.is_none()) {
        false => Ok(Built { tests, sim, unviable }),
        true => {
            let errors = messages
                .iter()
                .filter_map(|message| message["message"]["rendered"].as_str());
            Err(format!(
                "the tests or the simulator do not build\n{}",
                errors.collect::<String>()
            ))
        }
    }
}

/// Runs cargo in the copy, and reads what it says; a failed build is not an error here.
fn cargo(tree: &Tree, target: &Path, arguments: &[&str]) -> Result<Vec<Value>, String> {
    println!("   cargo {}", arguments.join(" "));
    let mut command = Command::new("cargo");
    // What cargo says of xtask itself would have build scripts run again that look at it.
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if shown.starts_with("CARGO_PKG_") || shown.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let output = command
        .args(arguments)
        .args(["--quiet", "--message-format=json"])
        .current_dir(&tree.path)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    if messages.is_empty() && !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(messages)
}

/// The mutants in whose words the compiler sees errors; where an error is in none's words, those of the expression that
/// was wrapped around it.
fn blame(errors: &[&Value], written: &BTreeMap<String, Rewritten>) -> BTreeSet<u32> {
    let mut blamed = BTreeSet::new();
    for error in errors {
        let mut spans = Vec::new();
        spans_of(&error["message"], &mut spans);
        let within = |range: &Range<usize>, start, end| range.start <= start && end <= range.end;
        let mut own = BTreeSet::new();
        for (file, start, end) in &spans {
            let Some(done) = written.get(file) else { continue };
            let words = done.words.iter().filter(|(range, _)| within(range, *start, *end));
            own.extend(words.map(|(_, number)| *number));
        }
        for (file, start, end) in &spans {
            let Some(done) = written.get(file).filter(|_| own.is_empty()) else {
                continue;
            };
            let around = done
                .wrapped
                .iter()
                .filter(|(range, _)| within(range, *start, *end));
            match around.min_by_key(|(range, _)| range.len()) {
                Some((_, numbers)) => own.extend(numbers.iter().copied()),
                None => {
                    let words = done
                        .words
                        .iter()
                        .filter(|(range, _)| range.start < *end && *start < range.end);
                    own.extend(words.map(|(_, number)| *number));
                }
            }
        }
        blamed.extend(own);
    }
    blamed
}

/// File and byte range of a message's primary spans, through the macros they come from.
fn spans_of(message: &Value, spans: &mut Vec<(String, usize, usize)>) {
    for span in message["spans"].as_array().into_iter().flatten() {
        let offset = |name: &str| span[name].as_u64().and_then(|at| usize::try_from(at).ok());
        if span["is_primary"] == true
            && let (Some(file), Some(start), Some(end)) = (
                span["file_name"].as_str(),
                offset("byte_start"),
                offset("byte_end"),
            )
        {
            spans.push((file.to_owned(), start, end.max(start + 1)));
        }
    }
}
