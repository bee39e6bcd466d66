//! What is wrong with a line: one variant a rule, where in the line, and what a replica answers.

use std::fmt;

use crate::Text;
use crate::response::{Code, Final};

/// A command word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verb {
    /// `NOOP`
    Noop,
    /// `EXIT`
    Exit,
    /// `RESTART`
    Restart,
    /// `STARTTLS`
    StartTls,
    /// `AUTHENTICATE`
    Authenticate,
    /// `COMPRESS`
    Compress,
    /// `GET`
    Get,
    /// `APPLY`
    Apply,
    /// `RESTORE`
    Restore,
}

impl Verb {
    /// Every verb with its wire word.
    pub const WORDS: [(Verb, &'static str); 9] = [
        (Verb::Noop, "NOOP"),
        (Verb::Exit, "EXIT"),
        (Verb::Restart, "RESTART"),
        (Verb::StartTls, "STARTTLS"),
        (Verb::Authenticate, "AUTHENTICATE"),
        (Verb::Compress, "COMPRESS"),
        (Verb::Get, "GET"),
        (Verb::Apply, "APPLY"),
        (Verb::Restore, "RESTORE"),
    ];

    /// The verb of a word in either case. `[CS-CONN-6]`
    pub fn parse(word: &[u8]) -> Option<Verb> {
        Verb::WORDS
            .iter()
            .find(|(_, w)| w.as_bytes().eq_ignore_ascii_case(word))
            .map(|(verb, _)| *verb)
    }

    /// The wire word, in capitals.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Noop => "NOOP",
            Verb::Exit => "EXIT",
            Verb::Restart => "RESTART",
            Verb::StartTls => "STARTTLS",
            Verb::Authenticate => "AUTHENTICATE",
            Verb::Compress => "COMPRESS",
            Verb::Get => "GET",
            Verb::Apply => "APPLY",
            Verb::Restore => "RESTORE",
        }
    }

    /// Whether a key and a value follow the verb, rather than plain words.
    pub fn takes_value(self) -> bool {
        matches!(self, Verb::Get | Verb::Apply | Verb::Restore)
    }
}

/// The capitalised form that error replies use: `Starttls`.
impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        write!(f, "{}{}", &word[..1], word[1..].to_ascii_lowercase())
    }
}

/// A rule of the grammar, of a command, or of [`Limits`](crate::limits::Limits) that a line breaks.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "fields carry the limit broken (max) and what was announced (size), both in the unit named"
)]
pub enum Fault {
    /// A line without a word.
    #[error("the line is empty; send a command word")]
    EmptyLine,
    /// The first word is not a command.
    #[error(
        "unknown command word; send one of NOOP, EXIT, RESTART, STARTTLS, AUTHENTICATE, COMPRESS, GET, APPLY, RESTORE"
    )]
    UnknownCommand,
    /// `AUTHENTICATE` or `COMPRESS` without a word behind it.
    #[error("an argument is missing behind the command word")]
    MissingArgument,
    /// Words where the line should end.
    #[error("the command takes no further arguments; end the line here")]
    ExtraArguments,
    /// The mechanism of `AUTHENTICATE` is not an atom.
    #[error("the mechanism name must be an atom, such as PLAIN")]
    InvalidMechanism,

    /// No keyword behind `GET`, `APPLY` or `RESTORE`, or more than one blank before it.
    #[error("a keyword must follow the verb and one space: VERB KEYWORD VALUE")]
    MissingKeyword,
    /// A list where a key belongs.
    #[error("a key must be an atom, a quoted string or a literal")]
    BadKey,
    /// The line ends where the value belongs, or a keyed list ends behind a key.
    #[error("a value is missing; send NIL for none")]
    MissingValue,
    /// `)` where the value of the line belongs.
    #[error("a value is missing; this `)` closes nothing")]
    UnexpectedClose,
    /// The line ends inside a list.
    #[error("the line ends inside a list; close it with `)` on the same line")]
    UnclosedList,
    /// The line ends inside a quoted string.
    #[error("the line ends inside a quoted string; send line breaks in a literal")]
    LineEndInQuoted,
    /// NUL in an atom or a quoted string.
    #[error("NUL may stand only in a literal")]
    Nul,
    /// Something between the value and the line end.
    #[error("only a line end may follow the value")]
    TrailingBytes,
    /// A carriage return with something else than a line feed behind it.
    #[error("a carriage return must be followed by a line feed")]
    LoneCr,
    /// A value that begins with an 8-bit byte.
    #[error("a value must not begin with an 8-bit byte; quote it or send a literal")]
    EightBitStart,
    /// `%` with something else than `(` or `{` behind it.
    #[error("`%` at the start of a value must be followed by `(` or `{{`")]
    BadPercent,
    /// `{` without `n}` or `n+}` and CRLF behind it.
    #[error("a literal begins `{{n+}}` CRLF or `{{n}}` CRLF, n in decimal digits")]
    BadLiteral,
    /// Something else than CRLF behind a literal's head.
    #[error("the head of a literal must end with CRLF")]
    LiteralLineEnd,
    /// A file's head that is not `%{partition guid size}` CRLF.
    #[error("a file begins `%{{partition guid size}}` CRLF, with single spaces")]
    BadFileHead,
    /// Something else than a line end behind a file's head.
    #[error("the head of a file must end with CRLF")]
    FileLineEnd,
    /// A file's GUID that is not forty hex digits.
    #[error("the GUID of a file must be 40 hex digits")]
    BadFileGuid,
    /// A file where no file is taken.
    #[error("files are taken only as direct elements of the list of APPLY MESSAGE")]
    FileOutOfPlace,
    /// `RECORD` with a keyed list.
    #[error("the value of RECORD must be a plain list `(...)` of keyed lists")]
    RecordsKeyed,

    /// A required key is absent, NIL, or not of its type.
    #[error("key {0} is missing or not of its type")]
    MissingKey(&'static str),
    /// An element of `RECORD` or `ANNOTATIONS` is not a keyed list.
    #[error("an element of {0} must be a keyed list `%(...)`")]
    ElementNotKeyed(&'static str),
    /// A record with UID 0.
    #[error("a record's UID must not be 0")]
    ZeroUid,
    /// A GUID in a list of GUIDs that is not forty hex digits.
    #[error("a GUID must be 40 hex digits")]
    BadGuid,

    /// See [`Limits::line_bytes_max`](crate::limits::Limits::line_bytes_max).
    #[error("the line is longer than {max} bytes; send less at once")]
    LineTooLong { max: usize },
    /// See [`Limits::element_bytes_max`](crate::limits::Limits::element_bytes_max).
    #[error("a list element is longer than {max} bytes")]
    ElementTooLong { max: usize },
    /// See [`Limits::depth_max`](crate::limits::Limits::depth_max).
    #[error("lists are nested deeper than {max} levels")]
    TooDeep { max: usize },
    /// See [`Limits::list_entries_max`](crate::limits::Limits::list_entries_max).
    #[error("the line holds more than {max} keys and values; send less at once")]
    TooManyEntries { max: usize },
    /// See [`Limits::word_bytes_max`](crate::limits::Limits::word_bytes_max).
    #[error("an atom or quoted string is longer than {max} bytes; send a literal")]
    WordTooLong { max: usize },
    /// See [`Limits::literal_bytes_max`](crate::limits::Limits::literal_bytes_max).
    #[error("a literal of {size} bytes is longer than {max} bytes")]
    LiteralTooLong { size: u64, max: u64 },
    /// See [`Limits::file_bytes_max`](crate::limits::Limits::file_bytes_max).
    #[error("a file of {size} bytes is larger than {max} bytes")]
    FileTooLong { size: u64, max: u64 },
    /// A size that nobody waits for; the connection cannot go on.
    #[error("an announced size does not fit 32 bits; the connection cannot stay in step")]
    Unskippable,

    /// A reply line that begins with none of the known words.
    #[error("the reply begins with none of OK, NO, BAD, BYE, `*`, `+`")]
    UnknownReply,
    /// `* Fatal error: ...`: the peer's process ends.
    #[error("the peer reported a fatal error: {0}")]
    PeerFatal(Text),
}

/// A refused line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("byte {at}: {kind}")]
pub struct Malformed {
    /// Byte offset in the line, literals and file bodies counted, where the rule was found broken.
    pub at: u64,
    /// The line's command word when it was known by then; always `None` for replies.
    pub verb: Option<Verb>,
    /// The rule.
    pub kind: Fault,
}

impl Malformed {
    /// What a replica answers: Cyrus's own words where Cyrus answers at all. `[CS-CONN-19]` to `[CS-CONN-23]`
    pub fn reply(&self) -> Final {
        match &self.kind {
            // [CS-MBOX-30]
            Fault::MissingKey(_) | Fault::ElementNotKeyed(_) => {
                Final::No(Code::ProtocolError, Text::from("Protocol error"))
            }
            Fault::ZeroUid | Fault::BadGuid => Final::No(Code::BadParameters, Text::EMPTY),
            _ => Final::Bad(Text::from(self.reply_text())),
        }
    }

    /// The text of [`Malformed::reply`] without its first word.
    pub fn reply_text(&self) -> String {
        let verb = self.verb;
        match &self.kind {
            Fault::EmptyLine => "Null command".to_owned(),
            Fault::UnknownCommand => "IMAP_PROTOCOL_ERROR Unrecognized command".to_owned(),
            Fault::InvalidMechanism => "Invalid mechanism".to_owned(),
            Fault::MissingArgument => match verb {
                Some(verb) => format!("Missing required argument to {verb}"),
                None => "Missing required argument".to_owned(),
            },
            Fault::ExtraArguments => match verb {
                Some(verb) => format!("Unexpected extra arguments to {verb}"),
                None => "Unexpected extra arguments".to_owned(),
            },
            Fault::MissingKey(_) | Fault::ElementNotKeyed(_) => {
                "IMAP_PROTOCOL_ERROR Protocol error".to_owned()
            }
            Fault::ZeroUid | Fault::BadGuid => "IMAP_PROTOCOL_BAD_PARAMETERS".to_owned(),
            Fault::LineTooLong { .. } => "[TOOBIG] Line too long".to_owned(),
            Fault::ElementTooLong { .. } => "[TOOBIG] List element too long".to_owned(),
            Fault::TooDeep { .. } => "[TOOBIG] Lists nested too deeply".to_owned(),
            Fault::TooManyEntries { .. } => "[TOOBIG] Too many list entries".to_owned(),
            Fault::WordTooLong { .. } => "[TOOBIG] Word too long".to_owned(),
            Fault::LiteralTooLong { .. } => "[TOOBIG] Literal size exceeds fixed limit".to_owned(),
            Fault::FileTooLong { .. } => "[TOOBIG] File size exceeds fixed limit".to_owned(),
            Fault::Unskippable => "[TOOBIG] Announced size exceeds 32 bits".to_owned(),
            _ => match verb {
                Some(verb) => format!("IMAP_PROTOCOL_ERROR Failed to parse {} line", verb.word()),
                None => "IMAP_PROTOCOL_ERROR Failed to parse line".to_owned(),
            },
        }
    }
}
