//! A TCP proxy between a client and a server that keeps what both said, and can report when a number
//! of bytes has passed.

use crate::csync::dlist;
use crate::{Error, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// What passed over one connection.
#[derive(Debug, Default, Clone)]
pub struct Recording {
    /// From the client.
    pub sent: Vec<u8>,
    /// From the server.
    pub received: Vec<u8>,
}

/// A command of the client with the final line of its answer; `None` when none came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The command with its literals, without the line end.
    pub command: Vec<u8>,
    /// For instance `OK success`.
    pub answer: Option<String>,
}

impl Recording {
    /// Pairs commands with answers; they come in the same order. The proxy hides the
    /// offer of deflate for this.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let mut answers = lines(&self.received)
            .into_iter()
            .filter(|line| !line.starts_with(b"* ") && !line.starts_with(b"+ "))
            .map(|line| String::from_utf8_lossy(&line).into_owned());
        // A SASL exchange of more than one step holds lines that are no commands.
        let mut exchanges = Vec::new();
        let mut commands = lines(&self.sent).into_iter();
        let mut steps = lines(&self.received)
            .iter()
            .filter(|line| line.starts_with(b"+ "))
            .count();
        while let Some(command) = commands.next() {
            if command.to_ascii_uppercase().starts_with(b"AUTHENTICATE") {
                while steps > 0 {
                    commands.next();
                    steps -= 1;
                }
            }
            exchanges.push(Exchange {
                command,
                answer: answers.next(),
            });
        }
        exchanges
    }
}

/// Complete lines with the literals they announce, without their line ends.
fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(end) = bytes[at.min(bytes.len())..]
        .iter()
        .position(|&byte| byte == b'\n')
        .map(|offset| at + offset)
    {
        let line = &bytes[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Only the part after the last literal can announce another one.
        let tail = &bytes[at..end];
        match dlist::announced(tail.strip_suffix(b"\r").unwrap_or(tail)) {
            Some(size) => at = end + 1 + size,
            None => {
                found.push(line.to_vec());
                start = end + 1;
                at = start;
            }
        }
    }
    found
}

#[derive(Debug, Default)]
struct Shared {
    recordings: Mutex<Vec<Recording>>,
    passed: AtomicU64,
    alarm_at: AtomicU64,
    closing: AtomicBool,
}

/// A running proxy; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    alarm: mpsc::Receiver<()>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards each connection to `target`.
    pub fn start(target: &str) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("listening for the proxy"))?;
        let address = listener
            .local_addr()
            .map_err(Error::io("asking for the proxy's port"))?
            .to_string();
        let shared = Arc::new(Shared {
            alarm_at: AtomicU64::new(u64::MAX),
            ..Shared::default()
        });
        let (sender, alarm) = mpsc::channel();
        let (target, own) = (target.to_owned(), Arc::clone(&shared));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.closing.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(&target) else {
                    continue;
                };
                join(client, server, &own, &sender);
            }
        });
        Ok(Proxy {
            address,
            shared,
            alarm,
        })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bytes from clients that passed so far.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Rings once, when `bytes` more have passed from clients. Earlier alarms are forgotten.
    pub fn set_alarm(&self, bytes: u64) {
        while self.alarm.try_recv().is_ok() {}
        self.shared
            .alarm_at
            .store(self.passed().saturating_add(bytes), Ordering::SeqCst);
    }

    /// Waits at most `limit` for the alarm; whether it rang.
    pub fn wait_alarm(&self, limit: Duration) -> bool {
        self.alarm.recv_timeout(limit).is_ok()
    }

    /// Takes the recordings made so far.
    pub fn take(&self) -> Vec<Recording> {
        std::mem::take(
            &mut *self
                .shared
                .recordings
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread so that it sees the flag.
        let _ = TcpStream::connect(&self.address);
    }
}

fn join(client: TcpStream, server: TcpStream, shared: &Arc<Shared>, alarm: &mpsc::Sender<()>) {
    let (Ok(client_copy), Ok(server_copy)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let index = {
        let mut recordings = shared.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        recordings.push(Recording::default());
        recordings.len() - 1
    };
    let (up, down, alarm) = (Arc::clone(shared), Arc::clone(shared), alarm.clone());
    thread::spawn(move || {
        forward(client, server, |bytes| {
            record(&up, index, |recording| recording.sent.extend_from_slice(bytes));
            let passed = up.passed.fetch_add(bytes.len() as u64, Ordering::SeqCst) + bytes.len() as u64;
            if passed >= up.alarm_at.load(Ordering::SeqCst) {
                up.alarm_at.store(u64::MAX, Ordering::SeqCst);
                let _ = alarm.send(());
            }
            bytes.to_vec()
        });
    });
    thread::spawn(move || {
        // Recorded before it is passed on: what the client knows is never missing here.
        let mut is_banner = true;
        forward(server_copy, client_copy, |bytes| {
            let bytes = if is_banner {
                without_deflate(bytes)
            } else {
                bytes.to_vec()
            };
            is_banner = false;
            record(&down, index, |recording| {
                recording.received.extend_from_slice(&bytes)
            });
            bytes
        });
    });
}

/// The banner without its offer of deflate, so that the session stays readable.
fn without_deflate(banner: &[u8]) -> Vec<u8> {
    const OFFER: &[u8] = b"* COMPRESS DEFLATE\r\n";
    let mut kept = banner.to_vec();
    if let Some(at) = banner.windows(OFFER.len()).position(|window| window == OFFER) {
        kept.drain(at..at + OFFER.len());
    }
    kept
}

fn record(shared: &Shared, index: usize, add: impl FnOnce(&mut Recording)) {
    let mut recordings = shared.recordings.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(recording) = recordings.get_mut(index) {
        add(recording);
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut buffer = [0u8; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        if to.write_all(&pass(&buffer[..count])).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_of_deflate_is_hidden() {
        assert_eq!(
            without_deflate(b"* SASL PLAIN\r\n* COMPRESS DEFLATE\r\n* OK x\r\n"),
            b"* SASL PLAIN\r\n* OK x\r\n"
        );
        assert_eq!(without_deflate(b"* OK x\r\n"), b"* OK x\r\n");
    }

    #[test]
    fn exchanges_pair_commands_with_answers() {
        let recording = Recording {
            sent: b"AUTHENTICATE X\r\nc3RlcA==\r\nAPPLY MESSAGE (%{p ab 4}\r\na\r\n\n)\r\nGET USER {3+}\r\nx\ny\r\nNOOP\r\nEX"
                .to_vec(),
            received: b"* OK banner\r\n+ Yw==\r\nOK in\r\nOK success\r\n* LSUB ({2}\r\n\nOK)\r\nOK success\r\n".to_vec(),
        };
        let exchange = |command: &[u8], answer: Option<&str>| Exchange {
            command: command.to_vec(),
            answer: answer.map(str::to_owned),
        };
        let expected = [
            exchange(b"AUTHENTICATE X", Some("OK in")),
            exchange(b"APPLY MESSAGE (%{p ab 4}\r\na\r\n\n)", Some("OK success")),
            exchange(b"GET USER {3+}\r\nx\ny", Some("OK success")),
            exchange(b"NOOP", None),
        ];
        assert_eq!(recording.exchanges(), expected);
    }
}
