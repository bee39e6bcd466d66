//! Who replicates to whom: every ordered pair of servers, in every way, equal or not and why not.

mod known;
mod mail;
mod node;
mod pair;
mod report;

pub use self::known::{Known, known};
pub use self::node::Subject;
pub use self::report::{json, table};

use crate::Result;

/// The ways in which a pair is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A replica that has nothing yet.
    Initial,
    /// A replica that has some of it; then once more, with nothing to do.
    Incremental,
    /// Changes as they come, by the rolling client.
    Rolling,
    /// Both sides were changed.
    Split,
    /// Changed on the replica, and replicated back.
    Back,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 5] = [
        Stage::Initial,
        Stage::Incremental,
        Stage::Rolling,
        Stage::Split,
        Stage::Back,
    ];

    /// One word for tables and files.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Initial => "initial",
            Stage::Incremental => "incremental",
            Stage::Rolling => "rolling",
            Stage::Split => "split",
            Stage::Back => "back",
        }
    }

    /// The user whose mail it is tried with.
    const fn user(self) -> &'static str {
        self.name()
    }
}

/// What became of one stage of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both hold the same; how many facts.
    Equal(usize),
    /// Both hold the same, and these messages, which were in neither side's wastebasket, are gone.
    Lost(Vec<String>),
    /// They differ: a line for each of the first differences.
    Differ(Vec<String>),
    /// A program failed, with what it said.
    Failed(String),
}

impl Outcome {
    /// One word for tables and files.
    pub const fn name(&self) -> &'static str {
        match self {
            Outcome::Equal(_) => "equal",
            Outcome::Lost(_) => "lost",
            Outcome::Differ(_) => "differ",
            Outcome::Failed(_) => "failed",
        }
    }

    /// What shows it.
    pub fn evidence(&self) -> String {
        match self {
            Outcome::Equal(facts) => format!("{facts} facts"),
            Outcome::Lost(lines) | Outcome::Differ(lines) => lines.join("\n"),
            Outcome::Failed(text) => text.clone(),
        }
    }
}

/// One square of the matrix.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Who sends.
    pub master: Subject,
    /// Who takes.
    pub replica: Subject,
    /// How.
    pub stage: Stage,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it is not equal, when that is known.
    pub known: Option<&'static Known>,
}

impl Cell {
    /// Whether this is as it should be: equal where nothing is known against it, else what is known.
    pub fn expected(&self) -> bool {
        match self.known {
            None => matches!(self.outcome, Outcome::Equal(_)),
            Some(known) => known.fits(&self.outcome),
        }
    }
}

/// Tries every ordered pair of `subjects`, those with `masters` as the master if any are given. `say` hears of each
/// pair as it begins.
///
/// # Errors
/// When a server cannot be set up at all. What fails between two servers is an [`Outcome`].
pub fn run(masters: &[Subject], replicas: &[Subject], say: &dyn Fn(&str)) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for master in masters {
        for replica in replicas {
            say(&format!("{master} to {replica}"));
            for (stage, outcome) in pair::run(*master, *replica)? {
                cells.push(Cell {
                    master: *master,
                    replica: *replica,
                    stage,
                    known: known()
                        .iter()
                        .find(|known| known.is_about(*master, *replica, stage)),
                    outcome,
                });
            }
        }
    }
    Ok(cells)
}
