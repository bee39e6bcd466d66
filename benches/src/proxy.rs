//! A proxy that counts what passes: bytes each way, and how often the direction turned. It can hold back what passes
//! for a time, as a long way does, without narrowing it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// What passed through.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traffic {
    /// Bytes from the client to the server.
    pub up: u64,
    /// Bytes from the server to the client.
    pub down: u64,
    /// Times the client spoke after the server had: each costs a slow link one round trip.
    pub turns: u64,
}

/// A counting proxy in front of one server, for as long as the process lives.
pub struct Proxy {
    address: String,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    turns: AtomicU64,
    server_spoke_last: Mutex<bool>,
}

impl Proxy {
    /// Listens on a free loopback port.
    pub fn start(target: String) -> Result<Proxy> {
        Proxy::start_far(target, Duration::ZERO)
    }

    /// The same at a distance: everything arrives `each_way` later, however much it is.
    pub fn start_far(target: String, each_way: Duration) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&target) {
                    relay(client, server, each_way, &shared);
                }
            }
        });
        Ok(Proxy { address, counters })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What passed since the last call.
    pub fn take(&self) -> Traffic {
        Traffic {
            up: self.counters.up.swap(0, Ordering::SeqCst),
            down: self.counters.down.swap(0, Ordering::SeqCst),
            turns: self.counters.turns.swap(0, Ordering::SeqCst),
        }
    }
}

fn relay(client: TcpStream, server: TcpStream, each_way: Duration, counters: &Arc<Counters>) {
    let (Ok(client2), Ok(server2)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let up = Arc::clone(counters);
    let down = Arc::clone(counters);
    thread::spawn(move || {
        copy(client, server, each_way, |n| {
            up.up.fetch_add(n, Ordering::SeqCst);
            let mut server_spoke = up
                .server_spoke_last
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *server_spoke, false) {
                up.turns.fetch_add(1, Ordering::SeqCst);
            }
        });
    });
    thread::spawn(move || {
        copy(server2, client2, each_way, |n| {
            down.down.fetch_add(n, Ordering::SeqCst);
            *down
                .server_spoke_last
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = true;
        });
    });
}

fn copy(mut from: TcpStream, mut to: TcpStream, each_way: Duration, count: impl Fn(u64)) {
    // Small packets must not wait for each other, or the proxy would be what is measured.
    let _ = to.set_nodelay(true);
    let (under_way, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    let far = thread::spawn(move || {
        for (due, bytes) in arriving {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(n) = from.read(&mut buffer) {
        count(n as u64);
        if n == 0
            || under_way
                .send((Instant::now() + each_way, buffer[..n].to_vec()))
                .is_err()
        {
            break;
        }
    }
    drop(under_way);
    let _ = far.join();
}
