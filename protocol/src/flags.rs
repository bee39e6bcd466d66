//! Message flags: the system flags as bits, keywords by name.

use crate::Text;

/// The system flags of a record as a bit set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: SystemFlags = SystemFlags(0);
    /// `\Deleted`.
    pub const DELETED: SystemFlags = SystemFlags(1);
    /// `\Answered`.
    pub const ANSWERED: SystemFlags = SystemFlags(2);
    /// `\Flagged`.
    pub const FLAGGED: SystemFlags = SystemFlags(4);
    /// `\Draft`.
    pub const DRAFT: SystemFlags = SystemFlags(8);
    /// `\Expunged`: the record is a tombstone.
    pub const EXPUNGED: SystemFlags = SystemFlags(16);
    /// `\Seen`.
    pub const SEEN: SystemFlags = SystemFlags(32);

    /// Every system flag with its wire name, in the order Cyrus prints them.
    pub const ALL: [(SystemFlags, &'static str); 6] = [
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DRAFT, "\\Draft"),
        (SystemFlags::EXPUNGED, "\\Expunged"),
        (SystemFlags::SEEN, "\\Seen"),
    ];

    /// From the bits of [`SystemFlags::bits`]; unknown bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        SystemFlags(bits & 63)
    }

    /// The bits, for storage.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the flags of `other` set too.
    pub const fn with(self, other: SystemFlags) -> Self {
        SystemFlags(self.0 | other.0)
    }

    /// With the flags of `other` cleared.
    pub const fn without(self, other: SystemFlags) -> Self {
        SystemFlags(self.0 & !other.0)
    }
}

/// All flags of one record.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Flags {
    /// The system flags, the tombstone bit among them.
    pub system: SystemFlags,
    /// Keywords in the order sent; case kept as sent.
    pub keywords: Vec<Text>,
}
