//! A TCP link that can be delayed, cut, stalled and half-closed while connections run over it.

use crate::{Error, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes read at once, and the unit in which a delayed direction holds bytes back.
const CHUNK: usize = 16 * 1024;
/// Chunks under way in one direction; more make the sender wait, as a full pipe does.
const UNDER_WAY: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Up,
    /// Connections are closed, new ones at once.
    Cut,
    /// Connections stay, new ones are taken, no byte passes.
    Stalled,
    /// The link is dropped.
    Gone,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// `HOST:PORT`; empty leads nowhere.
    target: String,
    delay: Duration,
    connections: Vec<(TcpStream, TcpStream)>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    connected: AtomicU64,
    passed: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running link. Dropping it closes everything that runs over it.
#[derive(Debug)]
pub struct Link {
    address: String,
    shared: Arc<Shared>,
}

impl Link {
    /// Listens on a free loopback port and leads each connection to `target`, `HOST:PORT`. Nobody needs to
    /// listen there yet; a connection that finds nobody is closed.
    pub fn start(target: &str) -> Result<Link> {
        let link = Link::open()?;
        link.lead(target);
        Ok(link)
    }

    /// From now on new connections are led to `target`.
    pub fn lead(&self, target: &str) {
        target.clone_into(&mut self.shared.lock().target);
    }

    /// Listens on a free loopback port and closes each connection until [`Link::lead`] says where it leads to.
    pub fn open() -> Result<Link> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("listening for the link"))?;
        let address = listener
            .local_addr()
            .map_err(Error::io("asking for the link's port"))?
            .to_string();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                mode: Mode::Up,
                target: String::new(),
                delay: Duration::ZERO,
                connections: Vec::new(),
            }),
            changed: Condvar::new(),
            connected: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let target = {
                    let state = own.lock();
                    match state.mode {
                        Mode::Gone => return,
                        Mode::Cut => continue,
                        Mode::Up | Mode::Stalled => state.target.clone(),
                    }
                };
                if let Ok(server) = TcpStream::connect(&target) {
                    join(client, server, &own);
                }
            }
        });
        Ok(Link { address, shared })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections were led to the target so far.
    pub fn connected(&self) -> u64 {
        self.shared.connected.load(Ordering::SeqCst)
    }

    /// Bytes that passed so far, both directions.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// Holds every byte back for `delay` in each direction; order and throughput stay.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Closes every connection and each new one at once, until [`Link::restore`].
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Lets no byte pass and closes nothing, as when a cable is pulled, until [`Link::restore`].
    pub fn stall(&self) {
        self.set(Mode::Stalled);
    }

    /// Closes the way to the server in every present connection: the server sees an end, the client does not.
    pub fn half_close(&self) {
        for (_, server) in &self.shared.lock().connections {
            let _ = server.shutdown(Shutdown::Write);
        }
    }

    /// Ends [`Link::cut`] and [`Link::stall`].
    pub fn restore(&self) {
        self.set(Mode::Up);
    }

    fn set(&self, mode: Mode) {
        let mut state = self.shared.lock();
        state.mode = mode;
        if matches!(mode, Mode::Cut | Mode::Gone) {
            for (client, server) in state.connections.drain(..) {
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.set(Mode::Gone);
        // Wakes the accepting thread so that it sees that the link is gone.
        let _ = TcpStream::connect(&self.address);
    }
}

fn join(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let copies = [
        client.try_clone(),
        server.try_clone(),
        client.try_clone(),
        server.try_clone(),
    ];
    let [Ok(client_kept), Ok(server_kept), Ok(client_out), Ok(server_out)] = copies else {
        return;
    };
    {
        let mut state = shared.lock();
        if matches!(state.mode, Mode::Cut | Mode::Gone) {
            return;
        }
        state.connections.push((client_kept, server_kept));
    }
    shared.connected.fetch_add(1, Ordering::SeqCst);
    carry(client, server_out, shared);
    carry(server, client_out, shared);
}

/// Two threads: one reads and notes when, one writes what is due.
fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Arc<Shared>) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    thread::spawn(move || {
        let mut buffer = vec![0u8; CHUNK];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 || sender.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        while let Ok((read_at, bytes)) = receiver.recv() {
            if !pass(&shared, read_at) || to.write_all(&bytes).is_err() {
                break;
            }
            shared.passed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        // An end is as late as the bytes before it.
        if pass(&shared, Instant::now()) {
            let _ = to.shutdown(Shutdown::Write);
        }
    });
}

/// Waits until bytes that were read at `read_at` may go on; false when they never will.
fn pass(shared: &Shared, read_at: Instant) -> bool {
    let mut state = shared.lock();
    loop {
        match state.mode {
            Mode::Cut | Mode::Gone => return false,
            Mode::Stalled => {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            Mode::Up => {
                let left = (read_at + state.delay).saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return true;
                }
                let waited = shared.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each byte with itself.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut back = stream.try_clone().expect("a copy");
                    std::io::copy(&mut &stream, &mut back).ok();
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream, limit: Duration) -> std::io::Result<u8> {
        stream.set_read_timeout(Some(limit)).expect("a limit");
        stream.write_all(b"x")?;
        let mut answer = [0u8];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn faults_do_what_they_say() {
        let long = Duration::from_secs(20);
        let link = Link::start(&echo()).expect("a link");
        let connect = || TcpStream::connect(link.address()).expect("a connection");
        let mut stream = connect();
        assert_eq!(ask(&mut stream, long).expect("an answer"), b'x');

        link.delay(Duration::from_millis(30));
        let before = Instant::now();
        ask(&mut stream, long).expect("a late answer");
        assert!(before.elapsed() >= Duration::from_millis(60), "both ways");
        link.delay(Duration::ZERO);

        link.stall();
        ask(&mut stream, Duration::from_millis(50)).expect_err("no byte passes");
        link.restore();
        let mut answer = [0u8];
        stream.set_read_timeout(Some(long)).expect("a limit");
        stream.read_exact(&mut answer).expect("it was only late");

        link.half_close();
        assert_eq!(stream.read(&mut answer).expect("the echo ends too"), 0);

        let mut stream = connect();
        ask(&mut stream, long).expect("an answer");
        link.cut();
        ask(&mut stream, long).expect_err("closed");
        ask(&mut connect(), long).expect_err("closed at once");
        link.restore();
        ask(&mut connect(), long).expect("an answer");
        // Bytes are counted after they were handed on, so the last two may not be yet.
        assert!(link.connected() >= 3 && link.passed() >= 8);
    }
}
