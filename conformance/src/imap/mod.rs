//! A small blocking IMAP client, enough to fill a Cyrus and to read everything back.

mod value;

pub use value::Value;

use crate::error::readable;
use crate::{Error, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Debug)]
pub struct Imap {
    reader: BufReader<TcpStream>,
    tag: u32,
}

/// The answer to one command that ended with OK.
#[derive(Debug)]
pub struct Answer {
    /// Untagged lines without the leading `* `, literals included, without the final CRLF.
    pub untagged: Vec<Vec<u8>>,
    /// The tagged line after the tag.
    pub tagged: String,
}

impl Answer {
    /// The untagged lines read as values: `* 3 FETCH (...)` gives `[3, FETCH, [...]]`.
    /// Lines that hold free text (`OK`, `NO`, `BYE`) are left out.
    pub fn values(&self) -> Result<Vec<Vec<Value>>> {
        let text = |line: &&Vec<u8>| {
            !["OK ", "NO ", "BAD ", "BYE "]
                .iter()
                .any(|word| line.starts_with(word.as_bytes()))
        };
        self.untagged
            .iter()
            .filter(text)
            .map(|line| Value::read_all(line))
            .collect()
    }
}

/// A command under construction.
#[derive(Debug, Clone)]
pub struct Command(Vec<u8>);

impl Command {
    /// Starts with `text` as it is.
    pub fn new(text: &str) -> Command {
        Command(text.as_bytes().to_vec())
    }

    /// Adds ` text` as it is.
    pub fn raw(mut self, text: &str) -> Command {
        self.0.push(b' ');
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds ` "..."` or, when the bytes do not fit a quoted string, a literal.
    pub fn string(mut self, bytes: &[u8]) -> Command {
        self.0.push(b' ');
        let plain = |&byte: &u8| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        if bytes.iter().all(plain) {
            self.0.push(b'"');
            self.0.extend_from_slice(bytes);
            self.0.push(b'"');
        } else {
            self.push_literal("", bytes);
        }
        self
    }

    /// Adds ` {n+}` and the bytes.
    pub fn literal(mut self, bytes: &[u8]) -> Command {
        self.0.push(b' ');
        self.push_literal("", bytes);
        self
    }

    fn push_literal(&mut self, prefix: &str, bytes: &[u8]) {
        self.0
            .extend_from_slice(format!("{prefix}{{{}+}}\r\n", bytes.len()).as_bytes());
        self.0.extend_from_slice(bytes);
    }
}

impl Imap {
    /// Connects and reads the greeting.
    pub fn connect(address: &str) -> Result<Imap> {
        let stream = TcpStream::connect(address).map_err(Error::io(format!("connecting to {address}")))?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .map_err(Error::io("setting the time limit"))?;
        stream
            .set_nodelay(true)
            .map_err(Error::io("setting TCP_NODELAY"))?;
        let mut imap = Imap {
            reader: BufReader::new(stream),
            tag: 0,
        };
        let greeting = imap.line("the greeting")?;
        if greeting.starts_with(b"* OK") {
            Ok(imap)
        } else {
            Err(Error::Unreadable(readable(&greeting, 200)))
        }
    }

    /// `LOGIN`.
    pub fn login(&mut self, account: &str, password: &str) -> Result<()> {
        self.run(
            Command::new("LOGIN")
                .string(account.as_bytes())
                .string(password.as_bytes()),
        )
        .map(drop)
    }

    /// Sends a command and reads to its tagged answer. `NO` and `BAD` are [`Error::Refused`].
    pub fn run(&mut self, command: Command) -> Result<Answer> {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        let shown = readable(&command.0, 120);
        let mut bytes = tag.clone().into_bytes();
        bytes.extend_from_slice(&command.0);
        bytes.extend_from_slice(b"\r\n");
        self.reader
            .get_mut()
            .write_all(&bytes)
            .map_err(Error::io(format!("sending {shown}")))?;
        let mut untagged = Vec::new();
        loop {
            let line = self.line(&shown)?;
            if let Some(rest) = line.strip_prefix(b"* ") {
                untagged.push(rest.to_vec());
            } else if let Some(rest) = line.strip_prefix(tag.as_bytes()) {
                let tagged = String::from_utf8_lossy(rest).into_owned();
                if tagged.starts_with("OK") {
                    return Ok(Answer { untagged, tagged });
                }
                return Err(Error::Refused {
                    command: shown,
                    answer: tagged,
                });
            } else {
                return Err(Error::Unreadable(format!(
                    "{} after {shown}",
                    readable(&line, 200)
                )));
            }
        }
    }

    /// [`Imap::run`] for a command without literals.
    pub fn simple(&mut self, command: &str) -> Result<Answer> {
        self.run(Command::new(command))
    }

    /// `APPEND` with flags (`(\Seen word)`) and a date (`17-Jul-2020 02:44:25 -0700`). Returns the UID.
    pub fn append(&mut self, mailbox: &str, flags: &str, date: &str, message: &[u8]) -> Result<u32> {
        let command = Command::new("APPEND")
            .string(mailbox.as_bytes())
            .raw(flags)
            .string(date.as_bytes());
        let answer = self.run(command.literal(message))?;
        let uid = answer
            .tagged
            .split("APPENDUID ")
            .nth(1)
            .and_then(|rest| rest.split([' ', ']']).nth(1)?.parse().ok());
        uid.ok_or_else(|| Error::Unreadable(format!("no APPENDUID in {}", answer.tagged)))
    }

    /// `SELECT`.
    pub fn select(&mut self, mailbox: &str) -> Result<Answer> {
        self.run(Command::new("SELECT").string(mailbox.as_bytes()))
    }

    /// `CREATE`.
    pub fn create(&mut self, mailbox: &str) -> Result<()> {
        self.run(Command::new("CREATE").string(mailbox.as_bytes()))
            .map(drop)
    }

    /// `DELETE`.
    pub fn delete(&mut self, mailbox: &str) -> Result<()> {
        self.run(Command::new("DELETE").string(mailbox.as_bytes()))
            .map(drop)
    }

    /// `RENAME`.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        self.run(
            Command::new("RENAME")
                .string(from.as_bytes())
                .string(to.as_bytes()),
        )
        .map(drop)
    }

    /// `SUBSCRIBE`.
    pub fn subscribe(&mut self, mailbox: &str) -> Result<()> {
        self.run(Command::new("SUBSCRIBE").string(mailbox.as_bytes()))
            .map(drop)
    }

    /// `UNSUBSCRIBE`.
    pub fn unsubscribe(&mut self, mailbox: &str) -> Result<()> {
        self.run(Command::new("UNSUBSCRIBE").string(mailbox.as_bytes()))
            .map(drop)
    }

    /// `SETACL`; `rights` may begin with `+` or `-`.
    pub fn set_acl(&mut self, mailbox: &str, identifier: &str, rights: &str) -> Result<()> {
        let command = Command::new("SETACL").string(mailbox.as_bytes());
        self.run(command.string(identifier.as_bytes()).string(rights.as_bytes()))
            .map(drop)
    }

    /// `SETQUOTA` with a resource list such as `(STORAGE 1000 MESSAGE 50)`.
    pub fn set_quota(&mut self, root: &str, resources: &str) -> Result<()> {
        self.run(Command::new("SETQUOTA").string(root.as_bytes()).raw(resources))
            .map(drop)
    }

    /// `SETMETADATA` of one entry (`/shared/comment`); `None` removes it. Mailbox `""` is the server.
    pub fn set_metadata(&mut self, mailbox: &str, entry: &str, value: Option<&[u8]>) -> Result<()> {
        let mut command = Command::new("SETMETADATA")
            .string(mailbox.as_bytes())
            .raw(&format!("({entry}"));
        command = match value {
            Some(value) => command.literal(value),
            None => command.raw("NIL"),
        };
        command.0.push(b')');
        self.run(command).map(drop)
    }

    /// `UID STORE set ANNOTATION (entry (attribute value))`; `None` removes it.
    pub fn annotate(&mut self, set: &str, entry: &str, attribute: &str, value: Option<&[u8]>) -> Result<()> {
        let mut command = Command::new("UID STORE")
            .raw(set)
            .raw(&format!("ANNOTATION ({entry} ({attribute}"));
        command = match value {
            Some(value) => command.literal(value),
            None => command.raw("NIL"),
        };
        command.0.extend_from_slice(b"))");
        self.run(command).map(drop)
    }

    /// `UID STORE set what flags`, for instance `1:3`, `+FLAGS`, `(\Seen)`.
    pub fn store(&mut self, set: &str, what: &str, flags: &str) -> Result<()> {
        self.simple(&format!("UID STORE {set} {what} {flags}")).map(drop)
    }

    /// Marks `set` deleted and expunges it.
    pub fn expunge(&mut self, set: &str) -> Result<()> {
        self.store(set, "+FLAGS.SILENT", "(\\Deleted)")?;
        self.simple(&format!("UID EXPUNGE {set}")).map(drop)
    }

    /// A line with the literals it announces, without the last CRLF.
    fn line(&mut self, during: &str) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            let count = self
                .reader
                .read_until(b'\n', &mut line)
                .map_err(Error::io(format!("reading after {during}")))?;
            if count == 0 {
                return Err(Error::Closed(during.to_owned()));
            }
            strip_line_end(&mut line);
            let Some(size) = announced(&line) else {
                return Ok(line);
            };
            line.extend_from_slice(b"\r\n");
            let start = line.len();
            line.resize(start + size, 0);
            self.reader
                .read_exact(&mut line[start..])
                .map_err(Error::io(format!("reading a literal after {during}")))?;
        }
    }
}

/// The size of the literal that a line announces at its end.
fn announced(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

/// Removes one CRLF or LF; more could belong to a literal.
fn strip_line_end(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_literal_sizes() {
        assert_eq!(announced(b"BODY[] {12}"), Some(12));
        assert_eq!(announced(b"text {x}"), None);
        assert_eq!(announced(b"text"), None);
    }
}
