//! The first words of a line, which tell how the rest is read.

use super::fragment::streams_of_data;
use super::scan::{Streams, in_atom};
use crate::fault::{Fault, Verb};

/// Which side's lines these are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    Commands,
    Replies,
}

/// How the rest of a line is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Words,
    Value(Streams),
    Bad(Fault),
}

/// Longest first word that can mean anything.
const WORD_BYTES_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    First,
    /// Between `*` and the name of a data line.
    Star,
    Name,
    /// Behind a name that is not one of ours: the next byte tells a value from words.
    Argument,
}

/// Reads the first words across chunks.
#[derive(Debug)]
pub(super) struct Head {
    dialect: Dialect,
    state: State,
    word: Vec<u8>,
    verb: Option<Verb>,
}

impl Head {
    pub(super) fn new(dialect: Dialect) -> Self {
        Head {
            dialect,
            state: State::First,
            word: Vec::with_capacity(WORD_BYTES_MAX + 1),
            verb: None,
        }
    }

    pub(super) fn reset(&mut self) {
        self.state = State::First;
        self.word.clear();
        self.verb = None;
    }

    /// The verb, once its word is complete.
    pub(super) fn verb(&self) -> Option<Verb> {
        self.verb
    }

    /// Consumes bytes up to the decision; the byte that decides is not consumed.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Line>) {
        for (pos, &byte) in bytes.iter().enumerate() {
            let decided = match self.state {
                State::First | State::Name if in_atom(byte) => {
                    self.word.push(byte);
                    if self.word.len() > WORD_BYTES_MAX {
                        Some(self.overlong())
                    } else {
                        None
                    }
                }
                State::First => self.first_word(byte),
                State::Star if in_atom(byte) => {
                    self.word.clear();
                    self.word.push(byte);
                    self.state = State::Name;
                    None
                }
                State::Star => Some(Line::Words),
                State::Name => self.name(byte),
                State::Argument => match byte {
                    b' ' => None,
                    b'(' | b'%' | b'{' | b'"' => Some(Line::Value(Streams::Nothing)),
                    _ => Some(Line::Words),
                },
            };
            if let Some(line) = decided {
                return (pos, Some(line));
            }
        }
        (bytes.len(), None)
    }

    fn overlong(&self) -> Line {
        match self.dialect {
            Dialect::Commands => Line::Bad(Fault::UnknownCommand),
            Dialect::Replies => Line::Words,
        }
    }

    fn first_word(&mut self, delimiter: u8) -> Option<Line> {
        if self.dialect == Dialect::Replies {
            if self.word == b"*" && delimiter == b' ' {
                self.state = State::Star;
                return None;
            }
            return Some(Line::Words);
        }
        if self.word.is_empty() {
            return Some(Line::Bad(Fault::EmptyLine));
        }
        self.verb = Verb::parse(&self.word);
        Some(match self.verb {
            Some(verb) if verb.takes_value() => Line::Value(Streams::Undecided(verb)),
            Some(_) => Line::Words,
            None if is_tag(&self.word) && delimiter == b' ' => Line::Words,
            None => Line::Bad(Fault::UnknownCommand),
        })
    }

    fn name(&mut self, delimiter: u8) -> Option<Line> {
        if let Some(streams) = streams_of_data(&self.word) {
            return Some(Line::Value(streams));
        }
        if delimiter == b' ' && self.word != b"OK" && self.word != b"BYE" {
            self.state = State::Argument;
            return None;
        }
        Some(Line::Words)
    }
}

/// Whether a word has the shape of an IMAP client's tag: letters, then digits. `[CS-CONN-50]`
pub(crate) fn is_tag(word: &[u8]) -> bool {
    let letters = word.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    letters > 0 && letters < word.len() && word[letters..].iter().all(u8::is_ascii_digit)
}
