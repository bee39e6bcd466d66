//! What kinds of runs there are.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A mix of topologies, workloads and faults.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ValueEnum)]
pub enum Profile {
    /// Every seed chooses one of the others.
    Mixed,
    /// One master, one replica, runs by hand; the smallest and fastest.
    Pair,
    /// One master, one replica, both changed.
    Split,
    /// A log is followed, over one or two replicas in a row.
    Rolling,
    /// Two masters that replicate to each other, changes on both.
    Mesh,
    /// As rolling, with stores that come back from a backup.
    Backup,
}

impl Profile {
    /// Those that are no mix.
    pub const ALL: [Profile; 5] = [
        Profile::Pair,
        Profile::Split,
        Profile::Rolling,
        Profile::Mesh,
        Profile::Backup,
    ];
}
