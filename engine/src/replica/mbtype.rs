//! The letters of `MBOXTYPE`. [CS-MBOX-40]

/// Base types and flags that some Cyrus knows: `e c a b s p f j n`, and `d m r z i l`.
const KNOWN: &[u8] = b"ecabspfjndmrzil";

/// The first letter no Cyrus knows.
pub(super) fn unknown_letter(mbtype: &[u8]) -> Option<u8> {
    mbtype.iter().copied().find(|letter| !KNOWN.contains(letter))
}

/// An intermediate: a place in the name space without records.
pub(super) fn is_placeholder(mbtype: &[u8]) -> bool {
    mbtype.contains(&b'i')
}

/// A remembered delete.
pub(super) fn is_tombstone(mbtype: &[u8]) -> bool {
    mbtype.contains(&b'd')
}

/// A `#sieve` mailbox.
pub(super) fn is_sieve(mbtype: &[u8]) -> bool {
    mbtype.contains(&b'f')
}

/// Whether two types are the same mailbox's: `e` is what no letter means, and `l` says how files are laid out.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let significant = |mbtype: &[u8]| {
        let mut letters: Vec<u8> = mbtype
            .iter()
            .copied()
            .filter(|letter| !b"el".contains(letter))
            .collect();
        letters.sort_unstable();
        letters
    };
    significant(one) == significant(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        assert_eq!(unknown_letter(b"ei"), None);
        assert_eq!(unknown_letter(b"e?"), Some(b'?'));
        assert!(is_same(b"", b"e"));
        assert!(is_same(b"cl", b"c"));
        assert!(!is_same(b"", b"f"));
    }
}
