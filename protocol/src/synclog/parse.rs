//! Lines of the log, read. [CS-LOG-6] [CS-LOG-7] [CS-LOG-8]

use std::borrow::Cow;

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{map_res, opt, verify};
use nom::multi::fold_many0;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::{ARGUMENT_BYTES_MAX, Action, LINE_BYTES_MAX};
use crate::Text;

/// Bytes of a bad line that are kept to be shown.
const SHOWN_BYTES_MAX: usize = 256;

/// A line that means nothing. [CS-LOG-7]
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{}\": {reason} at byte {at}", line.escape_ascii())]
pub struct BadLine {
    /// The line without its end; its first 256 bytes when it is longer.
    pub line: Vec<u8>,
    /// Where in the line, from 0.
    pub at: usize,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reason {
    /// The keyword is none that any Cyrus writes.
    #[error("unknown action")]
    UnknownAction,
    /// The action needs an argument, or one more.
    #[error("an argument is missing")]
    MissingArgument,
    /// There is more than the action takes.
    #[error("more arguments than the action takes")]
    SurplusArgument,
    /// A quoted string has no end.
    #[error("the closing quote is missing")]
    UnclosedQuote,
    /// A byte that cannot begin or be part of an argument.
    #[error("an unexpected byte")]
    UnexpectedByte,
    /// A literal that is too long or whose bytes are not there.
    #[error("a literal that is too long or cut short")]
    BadLiteral,
    /// A user id, a root or the name of a mailbox is empty.
    #[error("an empty name")]
    EmptyName,
    /// Longer than [`ARGUMENT_BYTES_MAX`] or [`LINE_BYTES_MAX`].
    #[error("too long")]
    TooLong,
    /// The file ended before the line did. [CS-LOG-8]
    #[error("the line was never finished")]
    Unfinished,
}

/// Reads a log line by line. Ends before a last line that has no LF; see [`Lines::rest`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Over these bytes, which begin where a line begins.
    pub fn new(bytes: &'a [u8]) -> Self {
        Lines { bytes }
    }

    /// What has not been read; after the last item the unfinished line, which is empty in a whole log. [CS-LOG-8]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl Iterator for Lines<'_> {
    type Item = Result<Action, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let end = memchr::memchr(b'\n', self.bytes)?;
            // A literal may hold line ends of its own. What cannot be read with it is one bad line and no more.
            let reach = literal_end(self.bytes, end);
            let long = reach.and_then(|reach| Some((parse_line(&self.bytes[..reach]).ok()?, reach)));
            let (parsed, end) = match long {
                Some((action, reach)) => (Ok(action), reach),
                None => (parse_line(&self.bytes[..end]), end),
            };
            self.bytes = &self.bytes[end + 1..];
            if let Some(item) = parsed.transpose() {
                return Some(item);
            }
        }
    }
}

/// Where the line really ends whose first LF is at `end`, when literals carry it on.
fn literal_end(bytes: &[u8], mut end: usize) -> Option<usize> {
    let mut carried = None;
    for _ in 0..2 {
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        let open = memchr::memrchr(b'{', line)?;
        let Ok((b"", size)) = literal_size(&line[open..]) else {
            break;
        };
        let data_end = end + 1 + size;
        end = data_end + memchr::memchr(b'\n', bytes.get(data_end..)?)?;
        carried = Some(end);
    }
    carried
}

/// Reads one line, without its LF; `None` when it is empty. [CS-LOG-6]
///
/// # Errors
/// What is wrong with the line, and at which byte.
pub fn parse_line(line: &[u8]) -> Result<Option<Action>, BadLine> {
    let bad = |at: usize, reason: Reason| BadLine {
        line: line[..line.len().min(SHOWN_BYTES_MAX)].to_vec(),
        at,
        reason,
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > LINE_BYTES_MAX {
        return Err(bad(LINE_BYTES_MAX, Reason::TooLong));
    }
    let at = |rest: &[u8]| line.len() - rest.len();
    let (rest, keyword) = word(line).map_err(|_| bad(0, Reason::UnexpectedByte))?;
    if keyword.is_empty() {
        return match rest {
            [] => Ok(None),
            _ => Err(bad(at(rest), Reason::UnexpectedByte)),
        };
    }
    let Some(kind) = Kind::named(keyword) else {
        return Err(bad(0, Reason::UnknownAction));
    };
    let may_be_empty = kind == Kind::Annotation;
    let (rest, first) = argument(rest, may_be_empty).map_err(|(rest, reason)| bad(at(rest), reason))?;
    let (rest, second) = if kind.takes_two() {
        argument(rest, false).map_err(|(rest, reason)| bad(at(rest), reason))?
    } else {
        (rest, Text::EMPTY)
    };
    if !rest.iter().all(|byte| is_blank(*byte)) {
        return Err(bad(at(rest), Reason::SurplusArgument));
    }
    Ok(Some(kind.with(first, second)))
}

/// The keywords that any Cyrus writes or reads, by what they mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mailbox,
    DoubleMailbox,
    Rename,
    Unmailbox,
    Quota,
    Annotation,
    Seen,
    Subscription,
    Meta,
    User,
    Unuser,
}

/// [CS-LOG-9] to [CS-LOG-18]
const KEYWORDS: [(&[u8], Kind); 14] = [
    (b"MAILBOX", Kind::Mailbox),
    (b"APPEND", Kind::Mailbox),
    (b"DOUBLEMAILBOX", Kind::DoubleMailbox),
    (b"RENAME", Kind::Rename),
    (b"UNMAILBOX", Kind::Unmailbox),
    (b"QUOTA", Kind::Quota),
    (b"ANNOTATION", Kind::Annotation),
    (b"SEEN", Kind::Seen),
    (b"SUB", Kind::Subscription),
    (b"UNSUB", Kind::Subscription),
    (b"META", Kind::Meta),
    (b"SIEVE", Kind::Meta),
    (b"USER", Kind::User),
    (b"UNUSER", Kind::Unuser),
];

impl Kind {
    fn named(keyword: &[u8]) -> Option<Kind> {
        let found = KEYWORDS
            .iter()
            .find(|(name, _)| keyword.eq_ignore_ascii_case(name));
        found.map(|(_, kind)| *kind)
    }

    fn takes_two(self) -> bool {
        matches!(
            self,
            Kind::DoubleMailbox | Kind::Rename | Kind::Seen | Kind::Subscription
        )
    }

    fn with(self, first: Text, second: Text) -> Action {
        match self {
            Kind::Mailbox => Action::Mailbox(first),
            Kind::DoubleMailbox => Action::DoubleMailbox(first, second),
            Kind::Rename => Action::Rename {
                from: first,
                to: second,
            },
            Kind::Unmailbox => Action::Unmailbox(first),
            Kind::Quota => Action::Quota(first),
            Kind::Annotation => Action::Annotation(first),
            Kind::Seen => Action::Seen {
                user: first,
                uniqueid: second,
            },
            Kind::Subscription => Action::Subscription {
                user: first,
                mailbox: second,
            },
            Kind::Meta => Action::Meta(first),
            Kind::User => Action::User(first),
            Kind::Unuser => Action::Unuser(first),
        }
    }
}

/// The bytes from where reading failed, and why.
type Unread<'a> = (&'a [u8], Reason);

type Parsed<'a, T> = IResult<&'a [u8], T>;

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `word = *<any byte except SP, HTAB, CR, LF, NUL>`, behind blanks
fn word(input: &[u8]) -> Parsed<'_, &[u8]> {
    let in_word = |byte: u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0);
    preceded(take_while(is_blank), take_while(in_word)).parse(input)
}

/// `argument = 1*blank ( quoted / literal / atom )`; where it fails, the bytes from there on and why.
fn argument(input: &[u8], may_be_empty: bool) -> Result<(&[u8], Text), Unread<'_>> {
    let (start, _) = skip_blanks(input);
    let parsed = match start.first() {
        None => return Err((start, Reason::MissingArgument)),
        Some(b'"') => quoted(start).map_err(|_| Reason::UnclosedQuote),
        Some(b'{') => literal(start).map_err(|_| Reason::BadLiteral),
        Some(_) => atom(start).map_err(|_| Reason::UnexpectedByte),
    };
    let (rest, text) = parsed.map_err(|reason| (start, reason))?;
    if text.is_empty() && !may_be_empty {
        return Err((start, Reason::EmptyName));
    }
    if text.len() > ARGUMENT_BYTES_MAX {
        return Err((start, Reason::TooLong));
    }
    // A quote in the middle of an atom, an atom right behind a quote: not what anybody writes.
    match rest.first() {
        None => {}
        Some(byte) if is_blank(*byte) => {}
        Some(_) => return Err((rest, Reason::UnexpectedByte)),
    }
    Ok((rest, Text::copy_from(&text)))
}

fn skip_blanks(input: &[u8]) -> (&[u8], usize) {
    let blanks = input.iter().take_while(|byte| is_blank(**byte)).count();
    (&input[blanks..], blanks)
}

/// `atom = 1*<any byte except SP, HTAB, CR, LF, NUL, "(", ")", DQUOTE>`
fn atom(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    let in_atom = |byte: u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0 | b'(' | b')' | b'"');
    take_while1(in_atom).map(Cow::Borrowed).parse(input)
}

/// `quoted = DQUOTE *( <any byte except DQUOTE, "\", CR, LF, NUL> / "\" <any byte except CR, LF, NUL> ) DQUOTE`
fn quoted(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    let plain = |byte: u8| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0);
    let escaped = preceded(
        char('\\'),
        verify(take(1usize), |byte: &[u8]| !matches!(byte[0], b'\r' | b'\n' | 0)),
    );
    let parts = fold_many0(
        alt((escaped, take_while1(plain))),
        Vec::new,
        |mut all: Vec<u8>, part| {
            all.extend_from_slice(part);
            all
        },
    );
    delimited(char('"'), parts, char('"'))
        .map(Cow::Owned)
        .parse(input)
}

/// `"{" 1*DIGIT ["+"] "}"`; what it announces, in bytes.
fn literal_size(input: &[u8]) -> Parsed<'_, usize> {
    let digits = map_res(digit1, |digits: &[u8]| {
        std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<usize>().ok())
            .filter(|size| *size <= ARGUMENT_BYTES_MAX)
            .ok_or(())
    });
    delimited(char('{'), digits, (opt(char('+')), char('}'))).parse(input)
}

/// `literal = "{" 1*DIGIT ["+"] "}" [CR] LF *OCTET`, of bytes that a name can hold.
fn literal(input: &[u8]) -> Parsed<'_, Cow<'_, [u8]>> {
    let (rest, size) = literal_size(input)?;
    let (rest, _) = (opt(char('\r')), tag("\n")).parse(rest)?;
    let data = verify(take(size), |data: &[u8]| {
        !data.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
    });
    data.map(Cow::Borrowed).parse(rest)
}
