//! A small blocking LMTP client (RFC 2033), as a mail transfer agent delivers.

use crate::{Error, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// One connection; takes any number of deliveries.
#[derive(Debug)]
pub struct Lmtp {
    reader: BufReader<TcpStream>,
}

impl Lmtp {
    /// Connects and says `LHLO`.
    pub fn connect(address: &str) -> Result<Lmtp> {
        let stream = TcpStream::connect(address).map_err(Error::io(format!("connecting to {address}")))?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .map_err(Error::io("setting the time limit"))?;
        stream
            .set_nodelay(true)
            .map_err(Error::io("setting TCP_NODELAY"))?;
        let mut lmtp = Lmtp {
            reader: BufReader::new(stream),
        };
        lmtp.expect("the greeting", "220")?;
        lmtp.command("LHLO localhost", "250")?;
        Ok(lmtp)
    }

    /// Delivers one message to the INBOX of each of `users`. An error when any of them does not get it.
    pub fn deliver(&mut self, users: &[&str], message: &[u8]) -> Result<()> {
        self.command("MAIL FROM:<sender@example.org>", "250")?;
        for user in users {
            self.command(&format!("RCPT TO:<{user}>"), "250")?;
        }
        self.command("DATA", "354")?;
        let mut bytes = Vec::with_capacity(message.len() + 64);
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                bytes.push(b'.');
            }
            bytes.extend_from_slice(line);
        }
        if !bytes.ends_with(b"\r\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b".\r\n");
        self.send(&bytes)?;
        // One answer for each recipient.
        users
            .iter()
            .try_for_each(|user| self.expect(&format!("delivery to {user}"), "250"))
    }

    fn command(&mut self, command: &str, code: &str) -> Result<()> {
        self.send(format!("{command}\r\n").as_bytes())?;
        self.expect(command, code)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.reader
            .get_mut()
            .write_all(bytes)
            .map_err(Error::io("sending over LMTP"))
    }

    /// Reads one answer, which may have several lines.
    fn expect(&mut self, during: &str, code: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            let count = self
                .reader
                .read_line(&mut line)
                .map_err(Error::io(format!("reading after {during}")))?;
            if count == 0 {
                return Err(Error::Closed(during.to_owned()));
            }
            if !line.starts_with(code) {
                return Err(Error::Refused {
                    command: during.to_owned(),
                    answer: line.trim_end().to_owned(),
                });
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
