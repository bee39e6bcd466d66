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
        while let Some(&byte) = bytes.get(pos) {
            self.state = match self.state {
                State::Plain => {
                    let Some(found) = memchr3(b'\n', b'{', b'%', &bytes[pos..]) else {
                        return (bytes.len(), Skipped::More);
                    };
                    pos += found + 1;
                    match bytes[pos - 1] {
                        b'\n' => return (pos, Skipped::LineEnd),
                        b'{' => State::Literal {
                            size: 0,
                            digits: false,
                            plus: false,
                        },
                        _ => State::Percent,
                    }
                }
                State::Percent if byte == b'{' => {
                    pos += 1;
                    State::File {
                        size: None,
                        fresh: false,
                    }
                }
                State::Percent => State::Plain,
                State::Literal { size, digits, plus } => match byte {
                    b'0'..=b'9' if !plus => {
                        pos += 1;
                        State::Literal {
                            size: add_digit(size, byte),
                            digits: true,
                            plus,
                        }
                    }
                    b'+' if digits && !plus => {
                        pos += 1;
                        State::Literal {
                            size,
                            digits,
                            plus: true,
                        }
                    }
                    b'}' if digits => {
                        pos += 1;
                        State::Closed { size }
                    }
                    _ => State::Plain,
                },
                State::File { size, fresh } => match byte {
                    b'\n' => State::Plain,
                    b'}' => {
                        pos += 1;
                        size.map_or(
                            State::File {
                                size: None,
                                fresh: false,
                            },
                            |size| State::Closed { size },
                        )
                    }
                    b'0'..=b'9' if fresh || size.is_some() => {
                        pos += 1;
                        State::File {
                            size: Some(add_digit(size.unwrap_or(0), byte)),
                            fresh: false,
                        }
                    }
                    _ => {
                        pos += 1;
                        State::File {
                            size: None,
                            fresh: byte == b' ',
                        }
                    }
                },
                State::Closed { size } if byte == b'\r' => {
                    pos += 1;
                    State::ClosedCr { size }
                }
                State::Closed { size } | State::ClosedCr { size } if byte == b'\n' => {
                    pos += 1;
                    if size > SKIPPABLE_BYTES_MAX {
                        return (pos, Skipped::Unskippable);
                    }
                    Skip::new(SkipFrom::Payload(size)).state
                }
                State::Closed { .. } | State::ClosedCr { .. } => State::Plain,
                State::Payload { left } => {
                    let taken = left.min((bytes.len() - pos) as u64);
                    pos += taken as usize;
                    Skip::new(SkipFrom::Payload(left - taken)).state
                }
            };
        }
        (pos, Skipped::More)
    }
}

/// Appends a decimal digit, sticking at the top.
pub(super) fn add_digit(number: u64, digit: u8) -> u64 {
    number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
}
