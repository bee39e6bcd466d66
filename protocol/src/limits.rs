//! How much a peer may make us hold: every limit with its unit, its default and what happens above it.

/// Largest body, in bytes, that a refused line may carry and still be skipped.
///
/// The protocol's own size field is 32 bits wide; a peer that announces more than that is not followed any further.
pub const SKIPPABLE_BYTES_MAX: u64 = u32::MAX as u64;

/// Bounds on what a decoder holds or recurses into, whatever arrives.
///
/// A line above a limit is refused and skipped; the connection goes on. A size above [`SKIPPABLE_BYTES_MAX`] ends it.
/// How much an unauthenticated peer may send in all is the engine's limit, not one of these. `[CS-LIT-10]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of one line with its literals, without file bodies and without the elements of a streaming list.
    /// Default 32 MiB: room for a list of 100,000 long mailbox names.
    pub line_bytes_max: usize,
    /// Lists inside lists. Default 64; the protocol itself needs 5.
    pub depth_max: usize,
    /// Keys and values together in one line, or in one element of a streaming list. Default 131,072: each may cost some
    /// 350 bytes of memory, and the longest list of a real peer holds mailbox names.
    pub list_entries_max: usize,
    /// Bytes of one atom or one quoted string. Default 131,072, as in Cyrus.
    pub word_bytes_max: usize,
    /// Bytes of one literal. Default 4 MiB, for a literal is held several times over while it is understood; Cyrus itself
    /// stops at 131,072.
    pub literal_bytes_max: u64,
    /// Bytes of one element of a streaming list. Default 6 MiB: the largest literal and more.
    pub element_bytes_max: usize,
    /// Bytes of one file. Default 4,294,967,295, the most the protocol can name.
    pub file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_bytes_max: 32 << 20,
            depth_max: 64,
            list_entries_max: 1 << 17,
            word_bytes_max: 131_072,
            literal_bytes_max: 4 << 20,
            element_bytes_max: 6 << 20,
            file_bytes_max: u64::from(u32::MAX),
        }
    }
}
