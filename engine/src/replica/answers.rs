//! What was answered, as plain numbers for whoever counts: the engine has no clock and no counters of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::command::{Apply, Command, Get, Streaming};
use protocol::fault::Malformed;
use protocol::response::{Code, Final};
use protocol::{Text, Verb};

use super::session::Conn;

/// Refusals that are kept with their texts between two looks; more are only counted.
const REFUSALS_MAX: usize = 32;

/// What a replica answered since it was last asked.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Answers {
    /// Commands answered, by kind.
    pub commands: BTreeMap<Kind, u64>,
    /// Of these, refused ones, by code: the words of the protocol, `NO` where a refusal has none, and `BAD`.
    pub refused: BTreeMap<&'static str, u64>,
    /// The first of the refusals.
    pub refusals: Vec<Refusal>,
    /// Messages of `APPLY MESSAGE` commands that were answered OK.
    pub messages: u64,
    /// Their bytes.
    pub message_bytes: u64,
    /// Records written by committed commands.
    pub records: u64,
}

impl Answers {
    /// Whether nothing was answered.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

/// A refused command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What was asked.
    pub kind: Kind,
    /// The code, as in [`Answers::refused`].
    pub code: &'static str,
    /// What the peer was told.
    pub text: String,
    /// The mailbox, or else the user, that the command was about, where it is known.
    pub about: Option<String>,
}

/// Kinds of commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Kind {
    /// `NOOP`, `AUTHENTICATE` and others about the connection, and what is no command.
    #[default]
    Session,
    /// `GET`.
    Get,
    /// `APPLY MESSAGE`.
    Message,
    /// `APPLY MAILBOX`.
    Mailbox,
    /// Other commands of `APPLY`.
    Apply,
    /// `RESTORE`.
    Restore,
}

impl Kind {
    /// Its name in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Session => "session",
            Kind::Get => "get",
            Kind::Message => "message",
            Kind::Mailbox => "mailbox",
            Kind::Apply => "apply",
            Kind::Restore => "restore",
        }
    }
}

/// The numbers, shared between a connection and its owner.
pub(super) type Tally = Arc<Mutex<Answers>>;

/// What is known of the command that runs.
#[derive(Clone, Default)]
pub(super) struct Asked {
    kind: Kind,
    about: Option<Text>,
}

impl Asked {
    /// A line that streams.
    pub(super) fn streaming(streaming: &Streaming) -> Asked {
        let (kind, line) = match streaming {
            Streaming::Message => (Kind::Message, None),
            Streaming::Mailbox { line, .. } => (Kind::Mailbox, Some(line)),
            Streaming::Restore { line, .. } => (Kind::Restore, Some(line)),
        };
        Asked {
            kind,
            about: line.and_then(|line| line.mboxname.clone()),
        }
    }

    /// A complete line.
    pub(super) fn command(command: &Command) -> Asked {
        let (kind, about) = match command {
            Command::Get(get) => (Kind::Get, of_get(get)),
            Command::Apply(apply) => (Kind::Apply, of_apply(apply)),
            Command::RestoreUnknown(_) => (Kind::Restore, None),
            _ => (Kind::Session, None),
        };
        Asked { kind, about }
    }

    /// A line that breaks the grammar.
    pub(super) fn malformed(malformed: &Malformed) -> Asked {
        let kind = match malformed.verb {
            Some(Verb::Get) => Kind::Get,
            Some(Verb::Apply) => Kind::Apply,
            Some(Verb::Restore) => Kind::Restore,
            _ => Kind::Session,
        };
        Asked { kind, about: None }
    }
}

fn of_get(get: &Get) -> Option<Text> {
    match get {
        Get::User(about)
        | Get::Meta(about)
        | Get::FullMailbox(about)
        | Get::Quota(about)
        | Get::Annotation(about)
        | Get::FetchSieve { userid: about, .. } => about.clone(),
        Get::Fetch(fetch) => fetch.mboxname.clone(),
        Get::Mailboxes(_) | Get::Uniqueids(_) | Get::Unknown(_) => None,
    }
}

fn of_apply(apply: &Apply) -> Option<Text> {
    match apply {
        Apply::Expunge { mboxname: about, .. }
        | Apply::Rename {
            oldmboxname: about, ..
        }
        | Apply::Unmailbox { mboxname: about, .. }
        | Apply::Annotation { mboxname: about, .. }
        | Apply::Unannotation { mboxname: about, .. }
        | Apply::Unuser { userid: about, .. }
        | Apply::Sub { userid: about, .. }
        | Apply::Unsub { userid: about, .. }
        | Apply::Sieve { userid: about, .. }
        | Apply::Unsieve { userid: about, .. }
        | Apply::ActivateSieve { userid: about, .. }
        | Apply::UnactivateSieve { userid: about }
        | Apply::Unquota { root: about } => about.clone(),
        Apply::Seen(seen) => seen.userid.clone(),
        Apply::Quota(quota) => quota.root.clone(),
        Apply::Reserve(_) | Apply::Force | Apply::Capabilities(_) | Apply::Unknown(_) => None,
    }
}

/// Takes what was counted, and begins anew.
pub(super) fn take(tally: &Tally) -> Answers {
    std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Conn {
    /// Counts an answer that is on its way.
    pub(super) fn count(&self, asked: &Asked, reply: &Final) {
        let mut answers = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, text) = match reply {
            Final::Ok(_) => (None, None),
            Final::No(code, text) => (Some(word(code)), Some(text)),
            Final::Bad(text) => (Some("BAD"), Some(text)),
            Final::Bye(_) | Final::Continue(_) => return,
        };
        *answers.commands.entry(asked.kind).or_default() += 1;
        let Some((code, text)) = code.zip(text) else {
            return;
        };
        *answers.refused.entry(code).or_default() += 1;
        if answers.refusals.len() < REFUSALS_MAX {
            answers.refusals.push(Refusal {
                kind: asked.kind,
                code,
                text: text.to_lossy().into_owned(),
                about: asked.about.as_ref().map(|about| about.to_lossy().into_owned()),
            });
        }
    }

    /// Counts messages that are here whole.
    pub(super) fn count_messages(&self, messages: u64, bytes: u64) {
        let mut answers = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        answers.messages += messages;
        answers.message_bytes += bytes;
    }

    /// Counts records that are committed.
    pub(super) fn count_records(&self, records: u64) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).records += records;
    }
}

fn word(code: &Code) -> &'static str {
    Code::WORDS
        .iter()
        .find(|(known, ..)| known == code)
        .map_or("NO", |(_, word, _)| word)
}
