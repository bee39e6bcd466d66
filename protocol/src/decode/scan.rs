//! Where the tokens of a line end: the grammar as a machine that may stop and go on at any byte.
//!
//! It keeps no bytes. It finds every syntax fault at the byte where it becomes certain, so that what it lets pass is
//! certain to parse, and it stops where a list streams.

use super::skip::{SkipFrom, add_digit};
use crate::fault::{Fault, Verb};
use crate::limits::{Limits, SKIPPABLE_BYTES_MAX};

/// A point where the caller has something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// Behind the `(` of `RECORD (`; the key began this many bytes into the unit.
    Records { key_at: usize },
    /// Behind the `(` of `APPLY MESSAGE (`.
    Files,
    /// Behind an element of a streaming list.
    Element,
    /// Behind the `)` of a streaming list.
    ListEnd,
    /// Behind the head of a file.
    File { size: u64, guid_at: usize },
    /// Behind the line's LF.
    Line,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// All consumed; the unit goes on.
    More,
    Stop(Stop),
    /// The fault lies `back` bytes before the first byte that is not consumed.
    Fault {
        kind: Fault,
        back: usize,
        from: SkipFrom,
    },
}

/// What the line may stream, told by its keyword.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Streams {
    /// Not known before the keyword has been read.
    Undecided(Verb),
    /// The list of key `RECORD`.
    Records,
    /// The list of `APPLY MESSAGE`.
    Files,
    /// The one file of `* MESSAGE`.
    File,
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Frame {
    List,
    Keyed,
}

/// What the next token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Keyword,
    TopValue,
    Item,
    Key,
    KeyedValue,
    Partition,
    Guid,
    Size,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    VerbGap,
    KeywordStart,
    Gap,
    GapCr,
    Atom,
    Quoted,
    QuotedEscape,
    LiteralSize { size: u64, digits: bool, plus: bool },
    LiteralClosed { size: u64 },
    LiteralCr { size: u64 },
    LiteralBody { left: u64 },
    Percent,
    FileToken,
    FileSpace,
    FileSize { size: u64, digits: bool },
    FileClosed { size: u64 },
    FileCr { size: u64 },
    FileBody,
    AfterValue,
    AfterCr,
}

const KEY_BYTES: usize = 16;

/// The beginning of a key, enough to tell the known ones apart.
#[derive(Debug, Default)]
struct Key {
    bytes: [u8; KEY_BYTES],
    len: usize,
}

impl Key {
    fn extend(&mut self, more: &[u8]) {
        for &byte in more {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
            }
            self.len = (self.len + 1).min(KEY_BYTES + 1);
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(b"")
    }
}

/// Space, TAB, VT, FF, CR, LF.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Space, TAB, VT, FF: what may stand between tokens.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

/// Whether an atom goes on with this byte.
pub(crate) const fn in_atom(byte: u8) -> bool {
    !is_space(byte) && !matches!(byte, b'(' | b')' | b'"' | 0)
}

/// [`in_atom`] for every byte.
pub(crate) static ATOM: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = in_atom(byte as u8);
        byte += 1;
    }
    table
};

/// The machine; one line at a time.
#[derive(Debug)]
pub(super) struct Scanner {
    limits: Limits,
    state: State,
    expect: Expect,
    frames: Vec<Frame>,
    streams: Streams,
    /// Frames while the streaming list is open, its own included; 0 when none is.
    stream_depth: usize,
    key: Key,
    key_at: usize,
    /// Where in the unit the token at hand began.
    word_at: usize,
    guid_at: usize,
    token_len: usize,
    entries: usize,
    unit_len: usize,
}

impl Scanner {
    pub(super) fn new(limits: Limits) -> Self {
        Scanner {
            limits,
            state: State::Gap,
            expect: Expect::Keyword,
            frames: Vec::new(),
            streams: Streams::Nothing,
            stream_depth: 0,
            key: Key::default(),
            key_at: 0,
            word_at: 0,
            guid_at: 0,
            token_len: 0,
            entries: 0,
            unit_len: 0,
        }
    }

    /// Behind the verb of a command (with [`Streams::Undecided`]) or at the value of a data line, `unit_len` bytes into
    /// the line.
    pub(super) fn start(&mut self, streams: Streams, unit_len: usize) {
        (self.state, self.expect) = match streams {
            Streams::Undecided(_) => (State::VerbGap, Expect::Keyword),
            _ => (State::Gap, Expect::TopValue),
        };
        self.frames.clear();
        self.streams = streams;
        self.stream_depth = 0;
        self.key.len = 0;
        self.entries = 0;
        self.unit_len = unit_len;
    }

    /// Whether an element of `RECORD`, white space or the list's end comes next, and nothing of it was seen.
    pub(super) fn at_record(&self) -> bool {
        self.state == State::Gap && self.streams == Streams::Records && self.in_stream() && self.unit_len == 0
    }

    /// Whether the element just ended is one of `RECORD`.
    pub(super) fn in_records(&self) -> bool {
        self.streams == Streams::Records && self.in_stream()
    }

    /// A file's bytes have gone by.
    pub(super) fn file_done(&mut self) {
        self.unit_len = 0;
        self.entries = 0;
        if self.in_stream() {
            self.expect = Expect::Item;
            self.state = State::Gap;
        } else {
            self.state = State::AfterValue;
        }
    }

    fn in_stream(&self) -> bool {
        self.stream_depth > 0 && self.frames.len() == self.stream_depth
    }

    fn unit_max(&self) -> usize {
        if self.stream_depth > 0 {
            self.limits.element_bytes_max
        } else {
            self.limits.line_bytes_max
        }
    }

    fn too_long(&self) -> Fault {
        match self.unit_max() {
            max if self.stream_depth > 0 => Fault::ElementTooLong { max },
            max => Fault::LineTooLong { max },
        }
    }

    /// Consumes bytes up to the next stop; says how many.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Step) {
        let room = self.unit_max().saturating_sub(self.unit_len);
        let window = &bytes[..bytes.len().min(room)];
        let before = self.unit_len;
        let mut pos = 0;
        while pos < window.len() {
            self.unit_len = before + pos;
            let (taken, step) = self.token(&window[pos..]);
            pos += taken;
            match step {
                None => {}
                Some(Step::Stop(stop)) => {
                    self.unit_len = 0;
                    self.entries = 0;
                    return (pos, Step::Stop(stop));
                }
                Some(step) => return (pos, step),
            }
        }
        self.unit_len = before + pos;
        if pos < bytes.len() {
            return (
                pos,
                Step::Fault {
                    kind: self.too_long(),
                    back: 0,
                    from: SkipFrom::Here,
                },
            );
        }
        (pos, Step::More)
    }

    /// One move of the machine on non-empty bytes.
    fn token(&mut self, bytes: &[u8]) -> (usize, Option<Step>) {
        let byte = bytes[0];
        match self.state {
            State::VerbGap if matches!(byte, b' ' | b'\t') => self.go(1, State::KeywordStart),
            State::VerbGap => fault(Fault::MissingKeyword),
            State::KeywordStart => self.keyword(byte),
            State::Gap => self.gap(byte),
            State::GapCr if byte == b'\n' => fault_before(1, self.line_end_fault()),
            State::GapCr => fault_before(1, Fault::LoneCr),
            State::Atom => self.atom(bytes),
            State::Quoted => self.quoted(bytes),
            State::QuotedEscape if matches!(byte, b'\r' | b'\n') => fault(Fault::LineEndInQuoted),
            State::QuotedEscape if byte == 0 => fault(Fault::Nul),
            State::QuotedEscape => {
                self.collect(&bytes[..1]);
                self.state = State::Quoted;
                self.count_token(1)
                    .map_or((1, None), |(over, step)| (1 - over, Some(step)))
            }
            State::LiteralSize { .. }
            | State::LiteralClosed { .. }
            | State::LiteralCr { .. }
            | State::LiteralBody { .. } => self.literal(bytes),
            State::Percent => self.percent(byte),
            State::FileToken
            | State::FileSpace
            | State::FileSize { .. }
            | State::FileClosed { .. }
            | State::FileCr { .. } => self.file(byte),
            State::FileBody => fault(Fault::BadFileHead),
            State::AfterValue => match byte {
                b'\n' => (1, Some(Step::Stop(Stop::Line))),
                b'\r' => self.go(1, State::AfterCr),
                _ => fault(Fault::TrailingBytes),
            },
            State::AfterCr if byte == b'\n' => (1, Some(Step::Stop(Stop::Line))),
            State::AfterCr => fault_before(1, Fault::LoneCr),
        }
    }

    fn go(&mut self, taken: usize, state: State) -> (usize, Option<Step>) {
        self.state = state;
        (taken, None)
    }

    /// A line end where something is missing ends the line, where Cyrus waits. `[CS-EXC-1]`
    fn line_end_fault(&self) -> Fault {
        match self.expect {
            Expect::Keyword => Fault::MissingKeyword,
            Expect::TopValue => Fault::MissingValue,
            Expect::Item | Expect::Key | Expect::KeyedValue => Fault::UnclosedList,
            Expect::Partition | Expect::Guid | Expect::Size => Fault::BadFileHead,
        }
    }

    /// At the first byte of a command's keyword.
    fn keyword(&mut self, byte: u8) -> (usize, Option<Step>) {
        match byte {
            b'(' | b')' => fault(Fault::BadKey),
            _ if is_space(byte) => fault(Fault::MissingKeyword),
            _ => self.start_string(byte),
        }
    }

    /// Between tokens.
    fn gap(&mut self, byte: u8) -> (usize, Option<Step>) {
        match byte {
            b'\n' => return fault(self.line_end_fault()),
            b'\r' => return self.go(1, State::GapCr),
            _ if is_blank(byte) => return (1, None),
            _ => {}
        }
        let is_key = self.expect == Expect::Key;
        if byte == b')' {
            return match self.expect {
                Expect::Item | Expect::Key => self.close(),
                Expect::TopValue => fault(Fault::UnexpectedClose),
                _ => fault(Fault::MissingValue),
            };
        }
        if byte == b'(' && is_key {
            return fault(Fault::BadKey);
        }
        let max = self.limits.list_entries_max;
        if self.entries >= max {
            return fault(Fault::TooManyEntries { max });
        }
        self.entries += 1;
        match byte {
            b'(' => self.open(Frame::List),
            b'%' if !is_key => self.go(1, State::Percent),
            _ => self.start_string(byte),
        }
    }

    /// The first byte of an atom, a quoted string or a literal.
    fn start_string(&mut self, byte: u8) -> (usize, Option<Step>) {
        self.token_len = 0;
        self.word_at = self.unit_len;
        if matches!(self.expect, Expect::Keyword | Expect::Key) {
            self.key.len = 0;
            self.key_at = self.unit_len;
        } else if matches!(self.opens_stream(), Some(Stop::Records { .. })) {
            self.streams = Streams::Nothing;
        }
        match byte {
            b'"' => self.go(1, State::Quoted),
            b'{' => self.go(
                1,
                State::LiteralSize {
                    size: 0,
                    digits: false,
                    plus: false,
                },
            ),
            0x80.. => fault(Fault::EightBitStart),
            0 => fault(Fault::Nul),
            _ => self.go(0, State::Atom),
        }
    }

    fn collect(&mut self, part: &[u8]) {
        if matches!(self.expect, Expect::Keyword | Expect::Key) {
            self.key.extend(part);
        }
    }

    /// Counts bytes of an atom or a quoted string; says by how many it is too long now.
    fn count_token(&mut self, more: usize) -> Option<(usize, Step)> {
        self.token_len += more;
        let max = self.limits.word_bytes_max;
        if self.token_len <= max {
            return None;
        }
        let step = Step::Fault {
            kind: Fault::WordTooLong { max },
            back: 0,
            from: SkipFrom::Here,
        };
        Some((self.token_len - max, step))
    }

    fn atom(&mut self, bytes: &[u8]) -> (usize, Option<Step>) {
        let run = bytes
            .iter()
            .position(|&b| !ATOM[usize::from(b)])
            .unwrap_or(bytes.len());
        self.collect(&bytes[..run]);
        if let Some((over, step)) = self.count_token(run) {
            return (run - over, Some(step));
        }
        match bytes.get(run) {
            None => (run, None),
            Some(0) => (run, fault(Fault::Nul).1),
            Some(_) => (run, self.string_done()),
        }
    }

    fn quoted(&mut self, bytes: &[u8]) -> (usize, Option<Step>) {
        let stop = |b: &u8| matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0);
        let run = bytes.iter().position(stop).unwrap_or(bytes.len());
        self.collect(&bytes[..run]);
        if let Some((over, step)) = self.count_token(run) {
            return (run - over, Some(step));
        }
        match bytes.get(run) {
            None => (run, None),
            Some(b'"') => (run + 1, self.string_done()),
            Some(b'\\') => self.go(run + 1, State::QuotedEscape),
            Some(0) => (run, fault(Fault::Nul).1),
            Some(_) => (run, fault(Fault::LineEndInQuoted).1),
        }
    }

    fn literal(&mut self, bytes: &[u8]) -> (usize, Option<Step>) {
        match (self.state, bytes[0]) {
            (
                State::LiteralSize {
                    size, plus: false, ..
                },
                digit @ b'0'..=b'9',
            ) => self.go(
                1,
                State::LiteralSize {
                    size: add_digit(size, digit),
                    digits: true,
                    plus: false,
                },
            ),
            (
                State::LiteralSize {
                    size,
                    digits: true,
                    plus: false,
                },
                b'+',
            ) => self.go(
                1,
                State::LiteralSize {
                    size,
                    digits: true,
                    plus: true,
                },
            ),
            (
                State::LiteralSize {
                    size, digits: true, ..
                },
                b'}',
            ) => self.go(1, State::LiteralClosed { size }),
            (State::LiteralClosed { size }, b'\r') => self.go(1, State::LiteralCr { size }),
            (State::LiteralClosed { size }, b'\n') if size <= SKIPPABLE_BYTES_MAX => {
                fault_behind(Fault::LiteralLineEnd, size)
            }
            (State::LiteralCr { size }, b'\n') => self.literal_begins(size),
            (State::LiteralBody { left }, _) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.collect(&bytes[..taken]);
                let left = left - taken as u64;
                self.state = State::LiteralBody { left };
                (taken, if left == 0 { self.string_done() } else { None })
            }
            (State::LiteralClosed { .. } | State::LiteralCr { .. }, _) => fault(Fault::LiteralLineEnd),
            _ => fault(Fault::BadLiteral),
        }
    }

    /// `[CS-LIT-10]` At the LF of a literal's head: everything about its size is decided before a byte of it is kept.
    fn literal_begins(&mut self, size: u64) -> (usize, Option<Step>) {
        let max = self.limits.literal_bytes_max;
        let room = self.unit_max().saturating_sub(self.unit_len + 1) as u64;
        if size > SKIPPABLE_BYTES_MAX {
            return fault_before(self.unit_len - self.word_at - 1, Fault::Unskippable);
        }
        if size > max {
            return fault_behind(Fault::LiteralTooLong { size, max }, size);
        }
        if size > room {
            return fault_behind(self.too_long(), size);
        }
        self.state = State::LiteralBody { left: size };
        (1, if size == 0 { self.string_done() } else { None })
    }

    fn percent(&mut self, byte: u8) -> (usize, Option<Step>) {
        match byte {
            b'(' => self.open(Frame::Keyed),
            b'{' if !self.file_allowed() => (
                0,
                Some(Step::Fault {
                    kind: Fault::FileOutOfPlace,
                    back: 1,
                    from: SkipFrom::Percent,
                }),
            ),
            b'{' => {
                self.expect = Expect::Partition;
                self.go(1, State::FileToken)
            }
            _ => fault(Fault::BadPercent),
        }
    }

    fn file_allowed(&self) -> bool {
        match self.streams {
            Streams::Files => self.in_stream() || self.frames.is_empty(),
            Streams::File => self.frames.is_empty(),
            _ => false,
        }
    }

    fn file(&mut self, byte: u8) -> (usize, Option<Step>) {
        match (self.state, byte) {
            (State::FileToken, _) if in_atom(byte) || byte == b'"' => self.start_string(byte),
            (State::FileSpace, b' ') if self.expect == Expect::Size => {
                self.word_at = self.unit_len + 1;
                self.go(
                    1,
                    State::FileSize {
                        size: 0,
                        digits: false,
                    },
                )
            }
            (State::FileSpace, b' ') => self.go(1, State::FileToken),
            (State::FileSize { size, .. }, b'0'..=b'9') => self.go(
                1,
                State::FileSize {
                    size: add_digit(size, byte),
                    digits: true,
                },
            ),
            (State::FileSize { size, digits: true }, b'}') => self.go(1, State::FileClosed { size }),
            (State::FileClosed { size }, b'\r') => self.go(1, State::FileCr { size }),
            (State::FileClosed { size } | State::FileCr { size }, b'\n') => {
                let max = self.limits.file_bytes_max;
                self.state = State::FileBody;
                if size > SKIPPABLE_BYTES_MAX {
                    fault_before(self.unit_len - self.word_at, Fault::Unskippable)
                } else if size > max {
                    fault_behind(Fault::FileTooLong { size, max }, size)
                } else {
                    (
                        1,
                        Some(Step::Stop(Stop::File {
                            size,
                            guid_at: self.guid_at,
                        })),
                    )
                }
            }
            (State::FileClosed { .. } | State::FileCr { .. }, _) => fault(Fault::FileLineEnd),
            _ => fault(Fault::BadFileHead),
        }
    }

    fn open(&mut self, frame: Frame) -> (usize, Option<Step>) {
        if self.frames.len() >= self.limits.depth_max {
            return fault(Fault::TooDeep {
                max: self.limits.depth_max,
            });
        }
        let stop = self.opens_stream();
        if frame == Frame::Keyed && matches!(stop, Some(Stop::Records { .. })) {
            return fault(Fault::RecordsKeyed);
        }
        self.frames.push(frame);
        self.state = State::Gap;
        self.expect = match frame {
            Frame::List => Expect::Item,
            Frame::Keyed => Expect::Key,
        };
        match stop {
            Some(stop) if frame == Frame::List => {
                self.stream_depth = self.frames.len();
                (1, Some(Step::Stop(stop)))
            }
            _ => (1, None),
        }
    }

    /// Whether a list that opens here is the one that streams. Of two `RECORD` keys only the first does.
    fn opens_stream(&self) -> Option<Stop> {
        match self.streams {
            Streams::Files if self.expect == Expect::TopValue => Some(Stop::Files),
            Streams::Records
                if self.expect == Expect::KeyedValue
                    && self.frames.len() == 1
                    && self.key.as_bytes() == b"RECORD" =>
            {
                Some(Stop::Records { key_at: self.key_at })
            }
            _ => None,
        }
    }

    fn close(&mut self) -> (usize, Option<Step>) {
        let ends_stream = self.in_stream();
        self.frames.pop();
        if ends_stream {
            self.stream_depth = 0;
            self.streams = Streams::Nothing;
        }
        let step = self.value_done();
        (
            1,
            if ends_stream {
                Some(Step::Stop(Stop::ListEnd))
            } else {
                step
            },
        )
    }

    fn string_done(&mut self) -> Option<Step> {
        match self.expect {
            Expect::Keyword => {
                self.streams = match self.streams {
                    Streams::Undecided(verb) => streams_of(verb, self.key.as_bytes()),
                    decided => decided,
                };
                self.expect = Expect::TopValue;
            }
            Expect::Key => {
                self.expect = Expect::KeyedValue;
            }
            Expect::Partition => {
                self.expect = Expect::Guid;
                self.state = State::FileSpace;
                return None;
            }
            Expect::Guid => {
                self.guid_at = self.word_at;
                self.expect = Expect::Size;
                self.state = State::FileSpace;
                return None;
            }
            Expect::TopValue | Expect::Item | Expect::KeyedValue | Expect::Size => return self.value_done(),
        }
        self.state = State::Gap;
        None
    }

    fn value_done(&mut self) -> Option<Step> {
        self.state = State::Gap;
        match self.frames.last() {
            None => self.state = State::AfterValue,
            Some(Frame::Keyed) => self.expect = Expect::Key,
            Some(Frame::List) => {
                self.expect = Expect::Item;
                if self.in_stream() {
                    return Some(Step::Stop(Stop::Element));
                }
            }
        }
        None
    }
}

/// A fault at the byte at hand.
fn fault(kind: Fault) -> (usize, Option<Step>) {
    fault_before(0, kind)
}

/// A fault that lies some bytes before the one at hand, which is not consumed.
fn fault_before(back: usize, kind: Fault) -> (usize, Option<Step>) {
    (
        0,
        Some(Step::Fault {
            kind,
            back,
            from: SkipFrom::Here,
        }),
    )
}

/// A fault at the byte at hand, which is consumed and has a payload behind it.
fn fault_behind(kind: Fault, payload: u64) -> (usize, Option<Step>) {
    (
        1,
        Some(Step::Fault {
            kind,
            back: 1,
            from: SkipFrom::Payload(payload),
        }),
    )
}

/// What a command streams. `[CS-APPLY-11]` `[CS-MBOX-1]` `[CS-RESTORE-1]`
fn streams_of(verb: Verb, keyword: &[u8]) -> Streams {
    let is = |word: &[u8]| keyword.eq_ignore_ascii_case(word);
    match verb {
        Verb::Apply if is(b"MESSAGE") => Streams::Files,
        Verb::Apply | Verb::Restore if is(b"MAILBOX") || is(b"LOCAL_MAILBOX") => Streams::Records,
        _ => Streams::Nothing,
    }
}
