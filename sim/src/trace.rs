//! What happened in a run, for the story and to compare two runs of one plan.

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Happened {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// Where.
    pub host: usize,
    /// The other end of a message.
    pub to: Option<usize>,
    /// What kind.
    pub kind: Kind,
    /// What, for people.
    pub text: String,
}

/// Kinds of things that happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A client's change.
    Client,
    /// Bytes that a machine sent.
    Message,
    /// A storage ticket that changes something.
    Storage,
    /// A fault.
    Fault,
    /// A connection begins or ends, a task ends.
    Connection,
    /// The judge speaks.
    Verdict,
}

/// Collects what happened; switched off it costs nothing.
#[derive(Default)]
pub struct Trace {
    on: bool,
    happened: Vec<Happened>,
}

/// Bytes of a message that a trace keeps.
const SHOWN_BYTES: usize = 240;

impl Trace {
    /// One that keeps everything, or nothing.
    pub fn new(on: bool) -> Self {
        Trace {
            on,
            happened: Vec::new(),
        }
    }

    /// Keeps what happened.
    pub fn tell(&mut self, what: impl FnOnce() -> Happened) {
        if self.on {
            self.happened.push(what());
        }
    }

    /// All of it.
    pub fn into_happened(self) -> Vec<Happened> {
        self.happened
    }
}

/// Protocol bytes as one line for people; what is long is cut in the middle.
pub fn shown(bytes: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let escaped = String::from_utf8_lossy(bytes).replace("\r\n", "⏎ ");
        escaped
            .chars()
            .map(|c| if c.is_control() { '·' } else { c })
            .collect::<String>()
    };
    if bytes.len() <= SHOWN_BYTES {
        return text(bytes);
    }
    let (head, tail) = (
        &bytes[..SHOWN_BYTES * 3 / 4],
        &bytes[bytes.len() - SHOWN_BYTES / 4..],
    );
    format!(
        "{} …{} bytes… {}",
        text(head),
        bytes.len() - SHOWN_BYTES,
        text(tail)
    )
}
