//! `mailtwin cat`: one message, byte for byte.

use std::io::{self, ErrorKind, Write};

use engine::ticket::Select;
use protocol::Text;

use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::hash::Hasher;

/// Writes message `uid` of the mailbox to `out`. The bytes are hashed on their way, so that damage does not pass
/// unseen.
pub fn run(access: &mut Access, name: &Text, uid: u32, out: &mut dyn Write) -> Result<()> {
    let missing = |what: String| Failure::new(Exit::NoInput, what);
    let mailbox = access
        .mailboxes(Select::Names(vec![name.clone()]))?
        .pop()
        .ok_or_else(|| {
            missing(format!(
                "there is no mailbox {name}; `mailtwin list USER --json` shows internal names"
            ))
        })?;
    let key = mailbox.key();
    let record = access
        .record(&key, uid)?
        .ok_or_else(|| missing(format!("mailbox {name} has no message with UID {uid}")))?;
    if record.is_expunged() {
        return Err(missing(format!("message {uid} of {name} is expunged")));
    }
    let mut hasher = Hasher::default();
    let mut gone = false;
    let read = access.read_message(&key.scope, record.guid, |data| {
        hasher.update(data);
        match out.write_all(data) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                gone = true;
                Err(Failure::new(Exit::Io, "closed"))
            }
            other => other.map_err(|error| write_failure(&error)),
        }
    });
    // Whoever read had enough.
    if gone {
        return Ok(());
    }
    read?;
    out.flush().map_err(|error| write_failure(&error))?;
    if hasher.finish() != record.guid {
        let text = format!(
            "message {uid} of {name} is damaged: its bytes are not those of {}",
            record.guid
        );
        return Err(Failure::new(Exit::Unequal, text));
    }
    Ok(())
}

fn write_failure(error: &io::Error) -> Failure {
    Failure::new(Exit::Io, format!("standard output: {error}"))
}
