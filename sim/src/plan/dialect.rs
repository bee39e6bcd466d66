//! What kind of server a master takes its peer for.

use serde::{Deserialize, Serialize};

use crate::seeded::Seeded;

/// The name and version in a server's banner. A master speaks to each as that version understands: scripts one by one or
/// as messages, lookups by identity or not, one block of messages open or several. Behind the banner there is always the
/// same replica, so what is tried out is the master. [CS-VER-1] [CS-VER-3] [CS-VER-9]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
pub enum Dialect {
    /// Our own.
    #[default]
    Mailtwin,
    /// Cyrus 3.2.
    Cyrus32,
    /// Cyrus 3.6.
    Cyrus36,
    /// Cyrus 3.10.
    Cyrus310,
    /// Cyrus 3.12.
    Cyrus312,
}

impl Dialect {
    /// All there are.
    pub const ALL: [Dialect; 5] = [
        Dialect::Mailtwin,
        Dialect::Cyrus32,
        Dialect::Cyrus36,
        Dialect::Cyrus310,
        Dialect::Cyrus312,
    ];

    /// What stands for the version in the banner.
    pub fn version(self) -> &'static str {
        match self {
            Dialect::Mailtwin => "mailtwin sim",
            Dialect::Cyrus32 => "3.2.6-2+deb11u5",
            Dialect::Cyrus36 => "3.6.1-4+deb12u5",
            Dialect::Cyrus310 => "3.10.2",
            Dialect::Cyrus312 => "3.12.4",
        }
    }

    /// One by chance, most often our own.
    pub fn any(seeded: &mut Seeded) -> Dialect {
        if seeded.one_in(2) {
            return Dialect::Mailtwin;
        }
        Dialect::ALL[seeded.below(Dialect::ALL.len())]
    }

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Mailtwin => "peer: mailtwin",
            Dialect::Cyrus32 => "peer: Cyrus 3.2",
            Dialect::Cyrus36 => "peer: Cyrus 3.6",
            Dialect::Cyrus310 => "peer: Cyrus 3.10",
            Dialect::Cyrus312 => "peer: Cyrus 3.12",
        }
    }
}
