//! Getting past a refused line without reading its payloads as commands.

use memchr::memchr3;

use crate::limits::SKIPPABLE_BYTES_MAX;

/// Where the search for the line's end begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SkipFrom {
    /// At the next byte.
    Here,
    /// Just behind a `%` that has been consumed.
    Percent,
    /// In front of this many payload bytes.
    Payload(u64),
}

/// What a stretch of bytes led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Skipped {
    /// All consumed; the line goes on.
    More,
    /// The line's LF is consumed.
    LineEnd,
    /// A size that is not waited for.
    Unskippable,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Plain,
    Percent,
    /// In `{n` or `{n+`.
    Literal {
        size: u64,
        digits: bool,
        plus: bool,
    },
    /// In `%{...`; `size` is the number begun behind the last space.
    File {
        size: Option<u64>,
        fresh: bool,
    },
    /// Behind the `}` of either.
    Closed {
        size: u64,
    },
    ClosedCr {
        size: u64,
    },
    Payload {
        left: u64,
    },
}

/// Finds the end of a line, stepping over the payload of everything that looks like a literal or a file.
///
/// Quotes are not honoured: what is skipped is already known to be wrong. The head of a literal may end with LF alone
/// here, so that its payload is still not taken for a command. `[CS-LIT-8]`
#[derive(Debug)]
pub(super) struct Skip {
    state: State,
}

impl Skip {
    pub(super) fn new(from: SkipFrom) -> Self {
        let state = match from {
            SkipFrom::Here | SkipFrom::Payload(0) => State::Plain,
            SkipFrom::Percent => State::Percent,
            SkipFrom::Payload(left) => State::Payload { left },
        };
        Skip { state }
    }

    /// Consumes bytes up to the line's end; says how many.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Skipped) {
        let mut pos = 0;
        while pos < bytes.len() {
            let (taken, next) = match self.state {
                State::Plain => plain(&bytes[pos..]),
                State::Payload { left } => payload(left, bytes.len() - pos),
                state => head(state, bytes[pos]),
            };
            pos += taken;
            match next {
                Next::Go(state) => self.state = state,
                Next::LineEnd => return (pos, Skipped::LineEnd),
                Next::Unskippable => return (pos, Skipped::Unskippable),
            }
        }
        (pos, Skipped::More)
    }
}

enum Next {
    Go(State),
    LineEnd,
    Unskippable,
}

/// Up to what may begin a head, or to the line's end.
fn plain(bytes: &[u8]) -> (usize, Next) {
    let Some(found) = memchr3(b'\n', b'{', b'%', bytes) else {
        return (bytes.len(), Next::Go(State::Plain));
    };
    let next = match bytes[found] {
        b'\n' => Next::LineEnd,
        b'{' => Next::Go(State::Literal {
            size: 0,
            digits: false,
            plus: false,
        }),
        _ => Next::Go(State::Percent),
    };
    (found + 1, next)
}

fn payload(left: u64, available: usize) -> (usize, Next) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
    (
        taken,
        Next::Go(Skip::new(SkipFrom::Payload(left - taken as u64)).state),
    )
}

/// One byte of what may be a head; a byte that does not fit is looked at again as plain.
fn head(state: State, byte: u8) -> (usize, Next) {
    let next = match (state, byte) {
        (State::Percent, b'{') => State::File {
            size: None,
            fresh: false,
        },
        (
            State::Literal {
                size, plus: false, ..
            },
            b'0'..=b'9',
        ) => State::Literal {
            size: add_digit(size, byte),
            digits: true,
            plus: false,
        },
        (
            State::Literal {
                size,
                digits: true,
                plus: false,
            },
            b'+',
        ) => State::Literal {
            size,
            digits: true,
            plus: true,
        },
        (
            State::Literal {
                size, digits: true, ..
            },
            b'}',
        ) => State::Closed { size },
        (State::File { size: Some(size), .. }, b'}') => State::Closed { size },
        (State::File { size, fresh }, b'0'..=b'9') if fresh || size.is_some() => State::File {
            size: Some(add_digit(size.unwrap_or(0), byte)),
            fresh: false,
        },
        (State::File { .. }, _) if byte != b'\n' => State::File {
            size: None,
            fresh: byte == b' ',
        },
        (State::Closed { size }, b'\r') => State::ClosedCr { size },
        (State::Closed { size } | State::ClosedCr { size }, b'\n') => {
            if size > SKIPPABLE_BYTES_MAX {
                return (1, Next::Unskippable);
            }
            Skip::new(SkipFrom::Payload(size)).state
        }
        _ => return (0, Next::Go(State::Plain)),
    };
    (1, Next::Go(next))
}

/// Appends a decimal digit, sticking at the top.
pub(super) fn add_digit(number: u64, digit: u8) -> u64 {
    number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::{Skip, SkipFrom, Skipped};

    /// How many bytes belong to the refused line, however they come.
    fn skipped(from: SkipFrom, bytes: &[u8]) -> (usize, Skipped) {
        let whole = Skip::new(from).feed(bytes);
        let mut skip = Skip::new(from);
        for (pos, byte) in bytes.iter().enumerate() {
            match skip.feed(std::slice::from_ref(byte)) {
                (1, Skipped::More) => {}
                (taken, outcome) => {
                    assert_eq!((pos + taken, outcome), whole);
                    return whole;
                }
            }
        }
        assert_eq!((bytes.len(), Skipped::More), whole);
        whole
    }

    #[test]
    fn a_line_ends_at_its_lf() {
        assert_eq!(skipped(SkipFrom::Here, b"a b\r\nNOOP\r\n"), (5, Skipped::LineEnd));
        assert_eq!(skipped(SkipFrom::Here, b"a b\r"), (4, Skipped::More));
        assert_eq!(
            skipped(SkipFrom::Here, b"{3} \r\nNOOP\r\n"),
            (6, Skipped::LineEnd)
        );
        assert_eq!(skipped(SkipFrom::Here, b"{+}\r\n"), (5, Skipped::LineEnd));
        assert_eq!(skipped(SkipFrom::Here, b"%{a b c}\r\n"), (10, Skipped::LineEnd));
        assert_eq!(skipped(SkipFrom::Here, b"%{a b x3}\r\n"), (11, Skipped::LineEnd));
    }

    #[test]
    fn payloads_belong_to_the_line() {
        assert_eq!(
            skipped(SkipFrom::Here, b"{3+}\r\n\n\n\n\r\nNOOP\r\n"),
            (11, Skipped::LineEnd)
        );
        assert_eq!(skipped(SkipFrom::Here, b"{0}\r\n\r\nNOOP"), (7, Skipped::LineEnd));
        assert_eq!(
            skipped(SkipFrom::Here, b"{1}\n\n {1+}\r\n\n\n"),
            (14, Skipped::LineEnd)
        );
        assert_eq!(
            skipped(SkipFrom::Here, b"%{a 1 2}\n\n\n\n"),
            (12, Skipped::LineEnd)
        );
        assert_eq!(
            skipped(SkipFrom::Percent, b"{a}b 1 2}\r\n\n\n\n"),
            (14, Skipped::LineEnd)
        );
        assert_eq!(skipped(SkipFrom::Payload(2), b"\n\n\n"), (3, Skipped::LineEnd));
        assert_eq!(skipped(SkipFrom::Here, b"{{1}\r\n\n\n"), (8, Skipped::LineEnd));
    }

    #[test]
    fn nobody_waits_for_more_than_32_bits() {
        assert_eq!(
            skipped(SkipFrom::Here, b"{4294967296+}\r\n").1,
            Skipped::Unskippable
        );
        assert_eq!(skipped(SkipFrom::Here, b"{4294967295+}\r\n").1, Skipped::More);
        assert_eq!(
            skipped(SkipFrom::Here, b"{99999999999999999999999}\n").1,
            Skipped::Unskippable
        );
    }
}
