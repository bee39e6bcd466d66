//! Why a command is not done, and what the peer is told.
//!
//! Texts name what is wrong and with what; paths of files stay out of them, whoever runs the store logs those.

use protocol::fault::{Fault, Malformed};
use protocol::response::{Code, Final};
use protocol::{Text, Verb};

use crate::flow::Ended;
use crate::ticket::StoreError;

/// Why a command was not done.
#[derive(Debug)]
pub(super) enum Fail {
    /// A rule forbids it. What came before it in the batch stands.
    Refused(Code, String),
    /// Its line breaks the grammar. What came before it in the batch stands.
    Malformed(Malformed),
    /// The store could not; the open transaction is lost as a whole.
    Storage(StoreError),
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Stop {
    /// `EXIT` was answered.
    Exit,
    /// No further event.
    Ended(Ended),
    /// The peer cannot be followed any further.
    Fatal(Malformed),
    /// A file was announced with more bytes than can be had; nothing may be sent behind a part of it.
    Silent,
    /// The store can neither keep nor undo.
    Broken,
    /// Too many failed logins.
    Guessing,
    /// Something came in clear behind STARTTLS.
    Injected,
}

impl Fail {
    /// A required key is absent, NIL or of another kind. [CS-APPLY-4]
    pub(super) fn missing(key: &str) -> Fail {
        Fail::bad(format!("{key} is missing, NIL or not of its type"))
    }

    /// `IMAP_PROTOCOL_BAD_PARAMETERS` with a reason.
    pub(super) fn bad(text: impl Into<String>) -> Fail {
        Fail::Refused(Code::BadParameters, text.into())
    }

    /// No code: what Cyrus answers `Unknown error` to, with the reason. [CS-APPLY-5]
    pub(super) fn other(text: impl Into<String>) -> Fail {
        Fail::Refused(Code::Other, text.into())
    }

    /// `IMAP_SYNC_CHECKSUM` with a reason.
    pub(super) fn checksum(text: impl Into<String>) -> Fail {
        Fail::Refused(Code::SyncChecksum, text.into())
    }

    /// `IMAP_MAILBOX_MOVED` with a reason.
    pub(super) fn moved(text: impl Into<String>) -> Fail {
        Fail::Refused(Code::MailboxMoved, text.into())
    }

    /// `IMAP_MAILBOX_NONEXISTENT` for a mailbox.
    pub(super) fn nonexistent(name: &Text) -> Fail {
        Fail::Refused(Code::MailboxNonexistent, format!("no mailbox {name}"))
    }

    /// The line that answers the command: each code with a text. [CS-CONN-41]
    pub(super) fn to_final(&self) -> Final {
        match self {
            Fail::Refused(code, text) => Final::No(code.clone(), Text::from(text.as_str())),
            Fail::Malformed(malformed) => malformed_reply(malformed),
            Fail::Storage(error) => Final::No(Code::Other, Text::from(storage_reason(error))),
        }
    }
}

impl From<StoreError> for Fail {
    fn from(error: StoreError) -> Fail {
        match error {
            StoreError::Locked { .. } => Fail::Refused(Code::MailboxLocked, error.to_string()),
            StoreError::NotFound { .. } => Fail::Refused(Code::MailboxNonexistent, error.to_string()),
            StoreError::Conflict { .. } => Fail::Refused(Code::MailboxMoved, error.to_string()),
            // [CS-EXC-4]
            StoreError::NotStaged { uid, guid } => Fail::bad(format!(
                "UID {uid}: message {guid} was never uploaded; send it with APPLY MESSAGE first"
            )),
            other => Fail::Storage(other),
        }
    }
}

/// What a malformed line is answered with: Cyrus's words, and behind them the rule and the byte. [CS-EXC-10]
fn malformed_reply(malformed: &Malformed) -> Final {
    match malformed.reply() {
        Final::No(code, _) => Final::No(code, Text::from(malformed.to_string())),
        plain => match malformed.kind {
            Fault::EmptyLine
            | Fault::UnknownCommand
            | Fault::MissingArgument
            | Fault::ExtraArguments
            | Fault::InvalidMechanism => plain,
            _ => Final::Bad(Text::from(format!("{}: {malformed}", malformed.reply_text()))),
        },
    }
}

/// A storage failure for the peer's eyes.
fn storage_reason(error: &StoreError) -> String {
    match error {
        StoreError::Full { .. } => "the replica's disk is full; nothing of this command was kept".to_owned(),
        StoreError::ReadOnly { .. } => "the replica's store is read-only".to_owned(),
        StoreError::Corrupt { .. } => "the replica's copy is damaged; its log says where".to_owned(),
        StoreError::Newer { found, known, .. } => {
            format!("the replica's store has schema version {found}, its program knows {known}")
        }
        StoreError::Io { .. } => "the replica's store failed; its log says why".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a malformed line is of a command that needs authentication.
pub(super) fn needs_authentication(malformed: &Malformed) -> bool {
    matches!(malformed.verb, Some(Verb::Get | Verb::Apply | Verb::Restore))
}

/// A keyword behind `GET`, `APPLY` or `RESTORE` that does not exist. [CS-APPLY-3]
pub(super) fn unknown_keyword(keyword: &Text) -> Fail {
    Fail::Refused(Code::ProtocolError, format!("unknown keyword {keyword}"))
}
