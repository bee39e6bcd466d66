//! What can go wrong while judging; says which side did what.

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of a judging step. Differences between servers are not errors, they are results.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something; `what` names the step.
    #[error("{what}: {source}")]
    Io {
        /// The step that failed.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The server answered, but with a refusal (`NO`, `BAD`, `BYE`).
    #[error("{command} was refused: {answer}")]
    Refused {
        /// The command as sent, shortened.
        command: String,
        /// The final answer line.
        answer: String,
    },
    /// The server's answer does not follow the protocol.
    #[error("unreadable answer: {0}")]
    Unreadable(String),
    /// The connection ended before the answer was complete.
    #[error("connection closed during {0}")]
    Closed(String),
    /// A child process failed or took too long.
    #[error("{0}")]
    Process(String),
    /// The run cannot happen here; tests print this and count as skipped.
    #[error("skipped, because {0}")]
    Skipped(String),
}

impl Error {
    /// Wraps a system error with the step it happened in.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// The server has no mailbox of that name. Whoever looks at a server that is being changed meets this for a mailbox
    /// that was listed a moment ago: it says that the change is not over, not that it failed.
    pub fn is_mailbox_gone(&self) -> bool {
        matches!(self, Error::Refused { answer, .. } if answer.contains("IMAP_MAILBOX_NONEXISTENT"))
    }
}

/// Bytes as a person can read them: ASCII as it is, the rest escaped, at most `limit` bytes of input.
pub fn readable(bytes: &[u8], limit: usize) -> String {
    let shown = &bytes[..bytes.len().min(limit)];
    let mut text = shown.escape_ascii().to_string();
    if shown.len() < bytes.len() {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}
