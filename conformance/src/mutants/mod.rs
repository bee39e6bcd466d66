//! Servers and clients with one rule broken on purpose, which the suite has to name.
//!
//! Each is a file of `conformance/mutants`, an edit of our own sources that a real implementer might have made by mistake. All
//! are built at once into a copy of the sources, as the crate [`planted`] does it; the suite then judges the same program with
//! one of them on after the other. A suite that lets one pass would let the same mistake pass in somebody else's server.

pub mod command;
mod table;
mod trial;

use crate::{Error, Result};
use planted::Fault;
use std::path::{Path, PathBuf};

/// The keys of a mutant's head.
const KEYS: [&str; 4] = ["title", "breaks", "mistake", "program"];

/// Which of our programs has the mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `sync_server`, judged by the scenarios for servers.
    Server,
    /// `sync_client`, judged by those for clients.
    Client,
}

impl Program {
    /// The program's file name.
    pub fn name(self) -> &'static str {
        match self {
            Program::Server => "sync_server",
            Program::Client => "sync_client",
        }
    }
}

/// A mutated program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// What is planted.
    pub fault: Fault,
    /// What it does, for people.
    pub title: String,
    /// The id of the rule that it breaks.
    pub breaks: String,
    /// Why somebody might write it so.
    pub mistake: String,
    /// What is mutated.
    pub program: Program,
}

impl Mutant {
    fn of(fault: Fault) -> Result<Mutant> {
        let value = |key: &str| {
            let found = fault.value(key).map(str::to_owned);
            found.map_err(|error| Error::Unreadable(format!("{}: {error:#}", fault.name)))
        };
        let program = value("program")?;
        let known = [Program::Server, Program::Client];
        let known = known.into_iter().find(|known| known.name() == program);
        Ok(Mutant {
            title: value("title")?,
            breaks: value("breaks")?,
            mistake: value("mistake")?,
            program: known.ok_or_else(|| {
                Error::Unreadable(format!("{}: {program} is no program of the suite's", fault.name))
            })?,
            fault,
        })
    }

    /// Its name, that of its file.
    pub fn name(&self) -> &str {
        &self.fault.name
    }
}

/// Where the mutants are kept.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")
}

/// Where the sources are.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All mutants, by name.
///
/// # Errors
/// What cannot be read, or has a head that makes no sense.
pub fn all() -> Result<Vec<Mutant>> {
    let faults = planted::all(&folder(), "mutant", &KEYS);
    let faults = faults.map_err(|error| Error::Unreadable(format!("{error:#}")))?;
    faults.into_iter().map(Mutant::of).collect()
}
