//! A raw csync client for judging servers: sends bytes, reads answers, keeps nothing.

pub mod crc;
pub mod dlist;

use crate::error::readable;
use crate::{Error, Result};
use base64::Engine as _;
use dlist::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Time limit for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection of either kind.
pub trait Stream: Read + Write + Send + std::fmt::Debug {
    /// Limits every read from now on.
    fn limit(&self, limit: Duration) -> std::io::Result<()>;
    /// Says that nothing more will be sent.
    fn end_sending(&self) -> std::io::Result<()>;
    /// A second handle, for sending while another thread reads.
    fn duplicate(&self) -> std::io::Result<Box<dyn Stream>>;
}

impl Stream for TcpStream {
    fn limit(&self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn end_sending(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn duplicate(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
}

impl Stream for UnixStream {
    fn limit(&self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))
    }

    fn end_sending(&self) -> std::io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn duplicate(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.try_clone()?))
    }
}

/// The final line of an answer, with the untagged lines before it.
#[derive(Debug)]
pub struct Answer {
    /// Untagged lines: name and value.
    pub data: Vec<(String, Value)>,
    /// The final line, for instance `OK success`.
    pub last: String,
}

impl Answer {
    /// Whether the command succeeded.
    pub fn is_ok(&self) -> bool {
        self.last == "OK" || self.last.starts_with("OK ")
    }

    /// The values of the untagged lines called `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.data
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Csync {
    reader: BufReader<Box<dyn Stream>>,
    /// The banner, line by line.
    pub banner: Vec<String>,
}

impl Csync {
    /// Connects over TCP and reads the banner.
    pub fn tcp(address: &str) -> Result<Csync> {
        let stream = TcpStream::connect(address).map_err(Error::io(format!("connecting to {address}")))?;
        stream
            .set_nodelay(true)
            .map_err(Error::io("setting TCP_NODELAY"))?;
        Csync::over(Box::new(stream))
    }

    /// Connects to a Unix socket and reads the banner. Such a peer is the administrator already.
    pub fn unix(path: &Path) -> Result<Csync> {
        let stream =
            UnixStream::connect(path).map_err(Error::io(format!("connecting to {}", path.display())))?;
        Csync::over(Box::new(stream))
    }

    fn over(stream: Box<dyn Stream>) -> Result<Csync> {
        stream
            .limit(TIMEOUT)
            .map_err(Error::io("setting the time limit"))?;
        let mut csync = Csync {
            reader: BufReader::new(stream),
            banner: Vec::new(),
        };
        loop {
            let line = csync.line("the banner")?;
            let text = String::from_utf8_lossy(&line).into_owned();
            let last = text.starts_with("* OK");
            csync.banner.push(text);
            if last {
                return Ok(csync);
            }
        }
    }

    /// Limits every read of an answer from now on.
    pub fn limit(&self, limit: Duration) -> Result<()> {
        self.reader
            .get_ref()
            .limit(limit)
            .map_err(Error::io("setting the time limit"))
    }

    /// `AUTHENTICATE PLAIN` with an initial response.
    pub fn login(&mut self, account: &str, password: &str) -> Result<()> {
        let response = base64::engine::general_purpose::STANDARD.encode(format!("\0{account}\0{password}"));
        self.run(format!("AUTHENTICATE PLAIN {response}").as_bytes())
            .map(drop)
    }

    /// `APPLY CAPABILITIES (SIEVE-MAILBOX)`: sieve scripts then show as the mailbox that holds them.
    pub fn enable_sieve_mailbox(&mut self) -> Result<()> {
        self.run(b"APPLY CAPABILITIES (SIEVE-MAILBOX)").map(drop)
    }

    /// Sends a command (CRLF is added) and reads its answer; anything but `OK` is [`Error::Refused`].
    pub fn run(&mut self, command: &[u8]) -> Result<Answer> {
        let answer = self.ask(command)?;
        if answer.is_ok() {
            return Ok(answer);
        }
        Err(Error::Refused {
            command: readable(command, 120),
            answer: answer.last,
        })
    }

    /// Sends a command (CRLF is added) and reads its answer, whatever it is.
    pub fn ask(&mut self, command: &[u8]) -> Result<Answer> {
        self.send(&[command, b"\r\n"].concat())?;
        self.answer(&readable(command, 120))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let what = || format!("sending {}", readable(bytes, 120));
        self.reader
            .get_mut()
            .write_all(bytes)
            .map_err(|source| Error::Io { what: what(), source })?;
        self.reader
            .get_mut()
            .flush()
            .map_err(|source| Error::Io { what: what(), source })
    }

    /// Sends bytes from a thread of its own, then ends sending, and reads until the server closes:
    /// whatever is sent, nobody waits for anybody. The error is a time-out when the server does not close.
    pub fn flood(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let mut sender = self
            .reader
            .get_ref()
            .duplicate()
            .map_err(Error::io("duplicating the connection"))?;
        let sending = std::thread::spawn(move || {
            // The server may close in the middle; what it said before is the result.
            let _ = sender.write_all(&bytes);
            let _ = sender.end_sending();
        });
        let mut answers = Vec::new();
        let end = self.reader.read_to_end(&mut answers);
        let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        match end {
            Err(error) if !reset(&error) => {
                let what = format!(
                    "waiting for the server to close after {}",
                    readable(&answers, 200)
                );
                return Err(Error::Io { what, source: error });
            }
            _ => {}
        }
        // The server has closed, so sending ends as well.
        let _ = sending.join();
        Ok(answers)
    }

    /// Reads one answer: untagged lines up to the first line that is not untagged.
    pub fn answer(&mut self, during: &str) -> Result<Answer> {
        let mut data = Vec::new();
        loop {
            let line = self.line(during)?;
            let Some(rest) = line.strip_prefix(b"* ") else {
                return Ok(Answer {
                    data,
                    last: String::from_utf8_lossy(&line).into_owned(),
                });
            };
            data.push(dlist::read_named(rest)?);
        }
    }

    /// A line with the literals it announces, without the last line end. Only untagged lines may
    /// announce any.
    pub fn line(&mut self, during: &str) -> Result<Vec<u8>> {
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
            let announced = if line.starts_with(b"* ") {
                dlist::announced(&line)
            } else {
                None
            };
            let Some(size) = announced else { return Ok(line) };
            line.extend_from_slice(b"\r\n");
            let start = line.len();
            line.resize(start + size, 0);
            self.reader
                .read_exact(&mut line[start..])
                .map_err(Error::io(format!("reading a literal after {during}")))?;
        }
    }

    /// `GET FETCH`: the bytes of a message, `None` when the server answers NIL or does not have it.
    pub fn fetch(&mut self, mailbox: &Value, record: &Value) -> Result<Option<Vec<u8>>> {
        let mut command = b"GET FETCH %(".to_vec();
        for (key, source) in [
            ("MBOXNAME", mailbox),
            ("PARTITION", mailbox),
            ("UNIQUEID", mailbox),
            ("GUID", record),
            ("UID", record),
        ] {
            let value = source.get(key).map(Value::bytes).unwrap_or_default();
            if command.last() != Some(&b'(') {
                command.push(b' ');
            }
            command.extend_from_slice(key.as_bytes());
            command.push(b' ');
            command.extend_from_slice(&dlist::string(value));
        }
        command.push(b')');
        let answer = self.ask(&command)?;
        if !answer.is_ok() && !answer.last.contains("IMAP_MAILBOX_NONEXISTENT") {
            return Err(Error::Refused {
                command: readable(&command, 200),
                answer: answer.last,
            });
        }
        let file = answer.all("MESSAGE").next();
        Ok(if let Some(Value::File { bytes, .. }) = file {
            Some(bytes.clone())
        } else {
            None
        })
    }
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
