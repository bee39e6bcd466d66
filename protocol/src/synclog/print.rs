//! Lines of the log, written. [CS-LOG-5]

use super::Action;

/// A text that no line of the log can hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unprintable {
    /// Lines end at line ends, so there is none in an argument.
    #[error("{text:?} holds a line end and cannot be written to a log")]
    LineEnd {
        /// The text.
        text: String,
    },
    /// Cyrus's texts end at NUL.
    #[error("{text:?} holds a NUL and cannot be written to a log")]
    Nul {
        /// The text.
        text: String,
    },
    /// Nothing in a log is that long.
    #[error("an argument of {bytes} bytes is too long for a log, {max} are the most")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit, [`super::ARGUMENT_BYTES_MAX`].
        max: usize,
    },
}

impl Action {
    /// Appends the action as a line with its LF. [CS-LOG-5]
    ///
    /// # Errors
    /// An argument holds CR, LF or NUL or is longer than [`super::ARGUMENT_BYTES_MAX`]; nothing is appended then.
    pub fn print(&self, out: &mut Vec<u8>) -> Result<(), Unprintable> {
        let (keyword, first, second) = self.parts();
        for argument in [Some(first), second].into_iter().flatten() {
            check(argument)?;
        }
        out.extend_from_slice(keyword.as_bytes());
        for argument in [Some(first), second].into_iter().flatten() {
            out.push(b' ');
            quote(argument, out);
        }
        out.push(b'\n');
        Ok(())
    }

    fn parts(&self) -> (&'static str, &[u8], Option<&[u8]>) {
        match self {
            Action::Mailbox(name) => ("MAILBOX", name, None),
            Action::DoubleMailbox(one, other) => ("DOUBLEMAILBOX", one, Some(other)),
            Action::Rename { from, to } => ("RENAME", from, Some(to)),
            Action::Unmailbox(name) => ("UNMAILBOX", name, None),
            Action::Quota(root) => ("QUOTA", root, None),
            Action::Annotation(name) => ("ANNOTATION", name, None),
            Action::Seen { user, uniqueid } => ("SEEN", user, Some(uniqueid)),
            Action::Subscription { user, mailbox } => ("SUB", user, Some(mailbox)),
            Action::Meta(user) => ("META", user, None),
            Action::User(user) => ("USER", user, None),
            Action::Unuser(user) => ("UNUSER", user, None),
        }
    }
}

fn check(argument: &[u8]) -> Result<(), Unprintable> {
    let text = || argument.escape_ascii().to_string();
    if argument.len() > super::ARGUMENT_BYTES_MAX {
        return Err(Unprintable::TooLong {
            bytes: argument.len(),
            max: super::ARGUMENT_BYTES_MAX,
        });
    }
    match argument.iter().find(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        None => Ok(()),
        Some(0) => Err(Unprintable::Nul { text: text() }),
        Some(_) => Err(Unprintable::LineEnd { text: text() }),
    }
}

/// Appends an argument as Cyrus writes it. [CS-LOG-5]
fn quote(argument: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b' ' | b'\t' | b'(' | b')' | b'"' | b'\\' | b'{' | b'}');
    if !argument.is_empty() && !argument.iter().any(special) {
        out.extend_from_slice(argument);
        return;
    }
    out.push(b'"');
    for &byte in argument {
        if matches!(byte, b'"' | b'\\' | b'{' | b'}') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
