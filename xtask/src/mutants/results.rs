//! Verdicts, a line of JSON each, the last one of a mutant being the one that counts.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

/// What one kind of trial said of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A trial ended badly: which, and how.
    Caught {
        /// The trial.
        by: String,
        /// Its exit code, or that it had to be killed.
        how: String,
    },
    /// Trials came by and noticed nothing.
    Missed,
    /// No trial came by.
    Unreached,
}

impl Said {
    /// Whether a trial noticed the mutant.
    pub fn caught(&self) -> bool {
        matches!(self, Said::Caught { .. })
    }

    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Said::Caught { .. } => "caught",
            Said::Missed => "missed",
            Said::Unreached => "unreached",
        }
    }

    fn write(&self) -> Value {
        match self {
            Said::Caught { by, how } => json!({ "caught": by, "how": how }),
            other => json!(other.word()),
        }
    }

    fn read(value: &Value) -> Said {
        match (value["caught"].as_str(), value.as_str()) {
            (Some(by), _) => Said::Caught {
                by: by.to_owned(),
                how: value["how"].as_str().unwrap_or_default().to_owned(),
            },
            (None, Some("missed")) => Said::Missed,
            _ => Said::Unreached,
        }
    }
}

/// The verdict on one mutant.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The mutant.
    pub id: String,
    /// The commit it was judged at.
    pub commit: String,
    /// Whether it compiles.
    pub viable: bool,
    /// What the tests of `engine` and `store` said.
    pub tests: Said,
    /// What the simulator said.
    pub ring1: Said,
}

/// The file of verdicts.
pub struct Results {
    path: PathBuf,
    /// The commit that is being judged.
    pub commit: String,
    lock: Mutex<()>,
}

impl Results {
    /// The verdicts in a file, which need not exist.
    pub fn at(path: PathBuf, commit: String) -> Results {
        Results {
            path,
            commit,
            lock: Mutex::new(()),
        }
    }

    /// Adds a verdict.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, judged: &Judged) -> Result<(), String> {
        let _turn = self.lock.lock();
        let line = line(judged);
        std::fs::File::options()
            .append(true)
            .create(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

/// A verdict as a line of JSON.
pub fn line(judged: &Judged) -> String {
    let value = json!({
        "id": judged.id,
        "commit": judged.commit,
        "viable": judged.viable,
        "tests": judged.tests.write(),
        "ring1": judged.ring1.write(),
    });
    format!("{value}\n")
}

/// The last verdict on each mutant, by id.
pub fn read(path: &Path) -> BTreeMap<String, Judged> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|value| {
            let judged = Judged {
                id: value["id"].as_str()?.to_owned(),
                commit: value["commit"].as_str().unwrap_or_default().to_owned(),
                viable: value["viable"] == true,
                tests: Said::read(&value["tests"]),
                ring1: Said::read(&value["ring1"]),
            };
            Some((judged.id.clone(), judged))
        })
        .collect()
}
