//! The versions of Cyrus that are tried, each as Debian packages it.

use std::fmt;

/// A version of Cyrus. The order is that of their ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 3.2, Debian 11.
    V3_2,
    /// 3.6, Debian 12.
    V3_6,
    /// 3.10, Debian 13.
    V3_10,
    /// 3.12, Debian testing.
    V3_12,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Version; 4] = [Version::V3_2, Version::V3_6, Version::V3_10, Version::V3_12];

    /// Such as `3.10`.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V3_2 => "3.2",
            Version::V3_6 => "3.6",
            Version::V3_10 => "3.10",
            Version::V3_12 => "3.12",
        }
    }

    /// The Debian release that packages it.
    pub const fn release(self) -> &'static str {
        match self {
            Version::V3_2 => "bullseye",
            Version::V3_6 => "bookworm",
            Version::V3_10 => "trixie",
            Version::V3_12 => "forky",
        }
    }

    /// The version with this name.
    pub fn named(name: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.name() == name)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
