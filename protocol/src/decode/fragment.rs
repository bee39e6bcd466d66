//! The stream of bytes cut into lines, list elements and file bodies.

use bytes::Bytes;
use memchr::memchr;

use super::head::{Dialect, Head, Line};
use super::input::Input;
use super::scan::{Scanner, Step, Stop, Streams};
use super::skip::{Skip, SkipFrom, Skipped};
use crate::Record;
use crate::fault::{Fault, Malformed, Verb};
use crate::grammar;
use crate::limits::Limits;

/// A piece of the stream; bytes are of one unit, with its line end where it ends a line.
#[derive(Debug)]
pub(super) enum Fragment {
    NeedMore,
    /// A whole line of words.
    Words(Bytes),
    /// A whole line while raw lines are on.
    Raw(Bytes),
    /// A whole line of verb (or `*`), key and value.
    Line(Bytes),
    /// A `MAILBOX` line up to the `(` of its `RECORD` list; that key begins at `key_at`.
    OpenRecords {
        head: Bytes,
        key_at: usize,
    },
    /// `APPLY MESSAGE (`.
    OpenFiles,
    /// An element of `RECORD`, already decoded.
    Record(Record),
    /// An element of a streaming list; of `RECORD` if `record`.
    Element {
        bytes: Bytes,
        record: bool,
    },
    /// A file begins. The unit ends with its head.
    File {
        head: Bytes,
        size: u64,
        guid_at: usize,
    },
    FileData(Bytes),
    FileEnd,
    /// The rest of a line behind its streaming list or file.
    Tail(Bytes),
    Bad(Malformed),
    Fatal(Malformed),
}

#[derive(Debug)]
enum Mode {
    /// At the first words of a line, which tell what follows.
    Head,
    /// In a line of words.
    Words,
    /// In a line that is passed on as it is.
    Raw,
    /// In a line with a value.
    Value,
    File {
        left: u64,
    },
    Skip(Skip),
    Fatal(Malformed),
}

/// Cuts one direction of a connection into fragments.
#[derive(Debug)]
pub(super) struct Fragmenter {
    limits: Limits,
    input: Input,
    mode: Mode,
    head: Head,
    scanner: Scanner,
    raw: bool,
    /// Whether something streams or has streamed on this line.
    streaming: bool,
    /// Whether a record may be decoded before its end was searched for.
    eager: bool,
    /// Bytes of the line before the current unit.
    unit_at: u64,
    /// Bytes of the line consumed.
    line_at: u64,
}

impl Fragmenter {
    pub(super) fn new(dialect: Dialect, limits: Limits) -> Self {
        Fragmenter {
            input: Input::default(),
            mode: Mode::Head,
            head: Head::new(dialect),
            scanner: Scanner::new(limits.clone()),
            raw: false,
            streaming: false,
            eager: grammar::record::fits(&limits),
            unit_at: 0,
            line_at: 0,
            limits,
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    pub(super) fn set_raw(&mut self, on: bool) {
        self.raw = on;
    }

    pub(super) fn has_buffered(&self) -> bool {
        !self.input.is_empty()
    }

    /// Everything unconsumed; the decoder is at the start of a line afterwards.
    pub(super) fn take_buffered(&mut self) -> Bytes {
        if !matches!(self.mode, Mode::Fatal(_)) {
            self.next_line();
        }
        self.input.take_all()
    }

    /// The verb of the current line, as far as it is known.
    pub(super) fn verb(&self) -> Option<Verb> {
        self.head.verb()
    }

    /// Refuses the unit that was just returned. Its line is skipped unless it has ended with the unit.
    pub(super) fn refuse(&mut self, kind: Fault) -> Malformed {
        self.refuse_at(0, kind)
    }

    /// As [`Fragmenter::refuse`], for a fault some bytes into the unit.
    pub(super) fn refuse_at(&mut self, offset: usize, kind: Fault) -> Malformed {
        let malformed = Malformed {
            at: self.unit_at + offset as u64,
            verb: self.verb(),
            kind,
        };
        match self.mode {
            Mode::Head | Mode::Skip(_) | Mode::Fatal(_) => {}
            Mode::File { left } => self.mode = Mode::Skip(Skip::new(SkipFrom::Payload(left))),
            Mode::Words | Mode::Raw | Mode::Value => self.mode = Mode::Skip(Skip::new(SkipFrom::Here)),
        }
        malformed
    }

    /// Refuses the line of words that was just returned; what follows is skipped if the line ended like the head of a
    /// literal.
    pub(super) fn refuse_words(&mut self, kind: Fault, line: &[u8]) -> Malformed {
        let malformed = self.refuse(kind);
        let mut skip = Skip::new(SkipFrom::Here);
        let (taken, outcome) = skip.feed(line);
        match outcome {
            Skipped::LineEnd if taken == line.len() => {}
            Skipped::Unskippable => self.fatal(Fault::Unskippable),
            _ => self.mode = Mode::Skip(skip),
        }
        malformed
    }

    fn fatal(&mut self, kind: Fault) {
        self.input.drop_unit();
        self.mode = Mode::Fatal(Malformed {
            at: self.line_at,
            verb: self.verb(),
            kind,
        });
    }

    fn next_line(&mut self) {
        self.mode = Mode::Head;
        self.head.reset();
        self.streaming = false;
        self.unit_at = 0;
        self.line_at = 0;
    }

    /// The next fragment.
    pub(super) fn next(&mut self) -> Fragment {
        loop {
            if let Mode::Fatal(malformed) = &self.mode {
                return Fragment::Fatal(malformed.clone());
            }
            if let Mode::File { left: 0 } = self.mode {
                self.mode = Mode::Value;
                self.scanner.file_done();
                self.unit_at = self.line_at;
                return Fragment::FileEnd;
            }
            if self.input.chunk().is_empty() {
                return Fragment::NeedMore;
            }
            let fragment = match self.mode {
                Mode::Head if self.raw => {
                    self.mode = Mode::Raw;
                    None
                }
                Mode::Head => self.line_head(),
                Mode::Words | Mode::Raw => self.words(),
                Mode::Value => self.value(),
                Mode::File { left } => Some(self.file(left)),
                Mode::Skip(_) => {
                    self.skip();
                    None
                }
                Mode::Fatal(_) => None,
            };
            if let Some(fragment) = fragment {
                return fragment;
            }
        }
    }

    fn line_head(&mut self) -> Option<Fragment> {
        if self.input.unit_is_fresh() && self.line_at == 0 {
            self.head.reset();
        }
        let chunk = self.input.chunk();
        let (taken, line) = self.head.feed(chunk);
        // Any number of spaces may stand before what tells a value from words.
        if let Some(fragment) = self.too_long(taken) {
            return Some(fragment);
        }
        self.line_at += taken as u64;
        self.input.carry(taken);
        match line? {
            Line::Words => self.mode = Mode::Words,
            Line::Value(streams) => {
                self.scanner.start(streams, self.input.carried().len());
                self.mode = Mode::Value;
            }
            Line::Bad(kind) => {
                let at_word = Malformed {
                    at: 0,
                    verb: self.verb(),
                    kind: kind.clone(),
                };
                self.bad(kind, SkipFrom::Here);
                return Some(Fragment::Bad(at_word));
            }
        }
        None
    }

    /// Looks for the end of a line without literals.
    fn words(&mut self) -> Option<Fragment> {
        let chunk = self.input.chunk();
        let end = memchr(b'\n', chunk).map(|lf| lf + 1);
        let taken = end.unwrap_or(chunk.len());
        if let Some(fragment) = self.too_long(taken) {
            return Some(fragment);
        }
        self.line_at += taken as u64;
        if end.is_none() {
            self.input.carry(taken);
            return None;
        }
        let line = self.input.take_unit(taken);
        let raw = matches!(self.mode, Mode::Raw);
        self.mode = Mode::Head;
        self.line_at = 0;
        self.unit_at = 0;
        Some(if raw {
            Fragment::Raw(line)
        } else {
            Fragment::Words(line)
        })
    }

    /// The fault at the place where the line becomes too long, when it does so within these bytes of the chunk.
    fn too_long(&mut self, taken: usize) -> Option<Fragment> {
        let max = self.limits.line_bytes_max;
        let left = max.saturating_sub(self.input.carried().len());
        if taken <= left {
            return None;
        }
        self.line_at += left as u64;
        self.input.drop_bytes(left);
        Some(self.bad(Fault::LineTooLong { max }, SkipFrom::Here))
    }

    fn value(&mut self) -> Option<Fragment> {
        if self.eager
            && self.input.unit_is_fresh()
            && self.scanner.at_record()
            && let Some(fragment) = self.eager_record()
        {
            return Some(fragment);
        }
        let chunk = self.input.chunk();
        let (taken, step) = self.scanner.feed(chunk);
        self.line_at += taken as u64;
        match step {
            Step::More => {
                self.input.carry(taken);
                None
            }
            Step::Fault { kind, back, from } => {
                self.input.drop_bytes(taken);
                Some(self.bad_before(back, kind, from))
            }
            Step::Stop(stop) => self.stop(taken, stop),
        }
    }

    /// Decodes a record that is printed the usual way and lies whole in the chunk, without looking for its end first.
    fn eager_record(&mut self) -> Option<Fragment> {
        let chunk = self.input.chunk();
        let spaces = chunk.iter().take_while(|&&byte| byte == b' ').count();
        let (taken, record) = grammar::record::eager(&chunk[spaces..])?;
        let taken = spaces + taken;
        if taken > self.limits.element_bytes_max {
            return None;
        }
        self.unit_at = self.line_at + spaces as u64;
        self.line_at += taken as u64;
        self.input.drop_bytes(taken);
        Some(Fragment::Record(record))
    }

    fn stop(&mut self, taken: usize, stop: Stop) -> Option<Fragment> {
        let unit = self.input.take_unit(taken);
        self.unit_at = self.line_at - unit.len() as u64;
        match stop {
            Stop::Records { key_at } => {
                self.streaming = true;
                Some(Fragment::OpenRecords { head: unit, key_at })
            }
            Stop::Files => {
                self.streaming = true;
                Some(Fragment::OpenFiles)
            }
            Stop::Element => Some(Fragment::Element {
                bytes: unit,
                record: self.scanner.in_records(),
            }),
            Stop::ListEnd => None,
            Stop::File { size, guid_at } => {
                self.streaming = true;
                self.mode = Mode::File { left: size };
                Some(Fragment::File {
                    head: unit,
                    size,
                    guid_at,
                })
            }
            Stop::Line => {
                let tail = self.streaming;
                self.mode = Mode::Head;
                self.line_at = 0;
                self.streaming = false;
                Some(if tail {
                    Fragment::Tail(unit)
                } else {
                    Fragment::Line(unit)
                })
            }
        }
    }

    fn file(&mut self, left: u64) -> Fragment {
        let available = self.input.chunk().len();
        let data = self
            .input
            .slice(usize::try_from(left).unwrap_or(usize::MAX).min(available));
        self.line_at += data.len() as u64;
        self.mode = Mode::File {
            left: left - data.len() as u64,
        };
        Fragment::FileData(data)
    }

    fn bad(&mut self, kind: Fault, from: SkipFrom) -> Fragment {
        self.bad_before(0, kind, from)
    }

    fn bad_before(&mut self, back: usize, kind: Fault, from: SkipFrom) -> Fragment {
        self.input.drop_unit();
        let fatal = kind == Fault::Unskippable;
        let malformed = Malformed {
            at: self.line_at.saturating_sub(back as u64),
            verb: self.verb(),
            kind,
        };
        if fatal {
            self.mode = Mode::Fatal(malformed.clone());
            return Fragment::Fatal(malformed);
        }
        self.mode = Mode::Skip(Skip::new(from));
        Fragment::Bad(malformed)
    }

    fn skip(&mut self) {
        let Mode::Skip(skip) = &mut self.mode else { return };
        let (taken, outcome) = skip.feed(self.input.chunk());
        self.input.drop_bytes(taken);
        self.line_at += taken as u64;
        match outcome {
            Skipped::More => {}
            Skipped::LineEnd => self.next_line(),
            Skipped::Unskippable => self.fatal(Fault::Unskippable),
        }
    }

    /// Ends the stream with this fault.
    pub(super) fn give_up(&mut self, malformed: Malformed) -> Malformed {
        self.input.drop_unit();
        self.mode = Mode::Fatal(malformed.clone());
        malformed
    }
}

/// The scanner's start for a data line of this name, `None` when it is a line of words.
pub(super) fn streams_of_data(name: &[u8]) -> Option<Streams> {
    match name {
        b"MAILBOX" => Some(Streams::Records),
        b"MESSAGE" => Some(Streams::File),
        b"QUOTA" | b"SEEN" | b"LSUB" | b"SIEVE" | b"ANNOTATION" | b"MISSING" | b"ENABLED" => {
            Some(Streams::Nothing)
        }
        _ => None,
    }
}
