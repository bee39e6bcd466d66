//! Many connections that are logged in and idle: what they cost, and what somebody who works meanwhile notices of them.
//!
//! Each has uploaded a message for a user of its own, put it into a mailbox and read it back. Beside it, where Cyrus is
//! installed, the processes of a real Cyrus that serves a few such connections.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use benches::cyrus_side;
use benches::measure::{self, Memory};
use benches::own_side::{ADMIN, PASSWORD, Place, Serving};
use clap::Parser;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use sha1::{Digest, Sha1};

/// Measures what idle connections cost.
#[derive(Parser)]
struct Arguments {
    /// Connections that idle.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Connections of the real Cyrus that is measured beside; 0 leaves it out.
    #[arg(long, default_value_t = 8)]
    cyrus: usize,
    /// Seconds of silence before the measurement.
    #[arg(long, default_value_t = 6)]
    silence: u64,
    /// Compress all connections.
    #[arg(long)]
    compress: bool,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Connections that log in at a time; each login costs a password's derivation.
const AT_A_TIME: usize = 4;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    measure::allow_files(arguments.connections as u64 + 256)?;
    let place = Place::new()?;
    place.add(&format!("mailtwin_connections: {}\n", arguments.connections + 16))?;
    let (server, address) = place.serve()?;
    // The first connection makes the process what it is; it is not among those that are measured.
    let first = Peer::new(&address, 0, arguments.compress)?;
    std::thread::sleep(Duration::from_secs(arguments.silence));
    let before = State::of(&server)?;
    let alone = one_more_user(&address, "alone")?;
    let began = Instant::now();
    let mut peers = connect(&address, &arguments)?;
    let connecting = began.elapsed();
    let after_work = State::of(&server)?;
    std::thread::sleep(Duration::from_secs(arguments.silence));
    let idle = State::of(&server)?;
    let beside = one_more_user(&address, "beside")?;
    let began = Instant::now();
    for peer in &mut peers {
        peer.ask("NOOP")?;
    }
    let noops = began.elapsed() / u32::try_from(peers.len()).unwrap_or(1);
    drop((peers, first, server));
    let figures = Figures {
        connections: arguments.connections,
        before,
        after_work,
        idle,
        connecting,
        alone,
        beside,
        noops,
        cyrus: cyrus(arguments.cyrus)?,
    };
    figures.print(&arguments)
}

struct Figures {
    connections: usize,
    before: State,
    after_work: State,
    idle: State,
    connecting: Duration,
    alone: Duration,
    beside: Duration,
    noops: Duration,
    cyrus: Option<Memory>,
}

impl Figures {
    fn each_kib(&self) -> f64 {
        (self.idle.memory.pss_kib as f64 - self.before.memory.pss_kib as f64) / self.connections as f64
    }

    fn print(&self, arguments: &Arguments) -> Result<()> {
        if arguments.json {
            let states = [
                ("before", self.before),
                ("after_work", self.after_work),
                ("idle", self.idle),
            ];
            let states: serde_json::Map<_, _> = states
                .into_iter()
                .map(|(name, state)| (name.to_owned(), state.json()))
                .collect();
            let json = serde_json::json!({
                "connections": self.connections, "compressed": arguments.compress, "states": states,
                "kib_per_connection": self.each_kib(), "connecting_s": self.connecting.as_secs_f64(),
                "new_user_alone_s": self.alone.as_secs_f64(), "new_user_beside_s": self.beside.as_secs_f64(),
                "noop_after_silence_s": self.noops.as_secs_f64(),
                "cyrus_process": self.cyrus.map(|memory| serde_json::json!({
                    "rss_kib": memory.rss_kib, "pss_kib": memory.pss_kib,
                })),
            });
            println!("{}", serde_json::to_string_pretty(&json)?);
            return Ok(());
        }
        println!(
            "{:<44}{:>10}{:>10}{:>9}{:>8}",
            "", "RSS KiB", "PSS KiB", "threads", "files"
        );
        for (name, state) in [
            ("one connection, idle", self.before),
            ("all have just worked", self.after_work),
            ("all idle", self.idle),
        ] {
            let State {
                memory,
                threads,
                files,
            } = state;
            println!(
                "{name:<44}{:>10}{:>10}{threads:>9}{files:>8}",
                memory.rss_kib, memory.pss_kib
            );
        }
        let how = if arguments.compress { ", compressed" } else { "" };
        println!(
            "each of {} idle connections{how}: {:.1} KiB",
            self.connections,
            self.each_kib()
        );
        println!(
            "connecting, login and work of all: {:.1} s",
            self.connecting.as_secs_f64()
        );
        println!(
            "a new connection with a new user: {:.1} ms alone, {:.1} ms beside the idle ones",
            self.alone.as_secs_f64() * 1000.0,
            self.beside.as_secs_f64() * 1000.0
        );
        println!(
            "NOOP after the silence: {:.2} ms each",
            self.noops.as_secs_f64() * 1000.0
        );
        match self.cyrus {
            Some(memory) => println!(
                "a process of Cyrus's sync_server, which serves one connection: RSS {} KiB, PSS {} KiB",
                memory.rss_kib, memory.pss_kib
            ),
            None => println!("Cyrus was not measured"),
        }
        Ok(())
    }
}

/// What the server's process holds.
#[derive(Clone, Copy)]
struct State {
    memory: Memory,
    threads: usize,
    files: usize,
}

impl State {
    fn of(server: &Serving) -> Result<State> {
        let count = |folder: &str| -> Result<usize> {
            Ok(std::fs::read_dir(format!("/proc/{}/{folder}", server.id()))?.count())
        };
        Ok(State {
            memory: measure::memory(server.id())?,
            threads: count("task")?,
            files: count("fd")?,
        })
    }

    fn json(self) -> serde_json::Value {
        serde_json::json!({
            "rss_kib": self.memory.rss_kib, "pss_kib": self.memory.pss_kib, "threads": self.threads, "files": self.files,
        })
    }
}

/// Opens all connections, some at a time.
fn connect(address: &str, arguments: &Arguments) -> Result<Vec<Peer>> {
    let each = |lane: usize| -> Result<Vec<Peer>> {
        (1..=arguments.connections)
            .skip(lane)
            .step_by(AT_A_TIME)
            .map(|number| Peer::new(address, number, arguments.compress))
            .collect()
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..AT_A_TIME)
            .map(|lane| scope.spawn(move || each(lane)))
            .collect();
        let mut peers = Vec::new();
        for lane in lanes {
            peers.extend(lane.join().map_err(|_| anyhow::anyhow!("a thread died"))??);
        }
        Ok(peers)
    })
}

/// How long a new connection takes for the login and the work of a new user.
fn one_more_user(address: &str, name: &str) -> Result<Duration> {
    let began = Instant::now();
    let mut peer = Peer::login(address, false)?;
    peer.work(name)?;
    Ok(began.elapsed())
}

/// A connection.
struct Peer {
    reader: BufReader<TcpStream>,
    deflated: Option<(Compress, Decompress)>,
    /// Inflated and not looked at.
    plain: Vec<u8>,
}

impl Peer {
    /// Logs in and works for a user of its own.
    fn new(address: &str, number: usize, compress: bool) -> Result<Peer> {
        let mut peer = Peer::login(address, compress)?;
        peer.work(&format!("u{number:05}"))?;
        Ok(peer)
    }

    fn login(address: &str, compress: bool) -> Result<Peer> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut peer = Peer {
            reader: BufReader::with_capacity(1024, stream),
            deflated: None,
            plain: Vec::new(),
        };
        while !peer.line()?.starts_with("* OK") {}
        let words = format!("\0{ADMIN}\0{PASSWORD}");
        peer.ask(&format!("AUTHENTICATE PLAIN {}", STANDARD.encode(words)))?;
        if compress {
            peer.ask("COMPRESS DEFLATE")?;
            peer.deflated = Some((Compress::new(Compression::fast(), false), Decompress::new(false)));
        }
        Ok(peer)
    }

    /// Uploads a message, puts it into an INBOX, reads the user back.
    fn work(&mut self, user: &str) -> Result<()> {
        let body = format!("Subject: for {user}\r\n\r\n{}\r\n", "some text ".repeat(200));
        let guid: String = Sha1::digest(body.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let size = body.len();
        self.ask(&format!("APPLY MESSAGE (%{{default {guid} {size}}}\r\n{body})"))?;
        self.ask(&format!(
            "APPLY MAILBOX %(UNIQUEID id-{user} MBOXNAME user.{user} LAST_UID 1 HIGHESTMODSEQ 2 RECENTUID 0 RECENTTIME 0 \
             LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY 1000 PARTITION default ACL \"{user}\tlrswipkxtecda\t\" OPTIONS P \
             RECORD (%(UID 1 MODSEQ 2 LAST_UPDATED 1700000000 FLAGS () INTERNALDATE 1600000000 SIZE {size} GUID {guid})))"
        ))?;
        self.ask("RESTART")?;
        let data = self.ask(&format!("GET USER {user}"))?;
        ensure!(
            data.iter().any(|line| line.contains(&format!("user.{user}"))),
            "the user is not there: {data:?}"
        );
        Ok(())
    }

    /// Sends a command and gives the lines before its `OK`.
    fn ask(&mut self, command: &str) -> Result<Vec<String>> {
        let line = format!("{command}\r\n");
        match &mut self.deflated {
            Some((deflater, _)) => {
                let mut out = Vec::with_capacity(line.len() + 1024);
                deflater.compress_vec(line.as_bytes(), &mut out, FlushCompress::Sync)?;
                self.reader.get_mut().write_all(&out)?;
            }
            None => self.reader.get_mut().write_all(line.as_bytes())?,
        }
        let mut data = Vec::new();
        loop {
            let line = self.line()?;
            if line.starts_with("OK") {
                return Ok(data);
            }
            ensure!(line.starts_with("* "), "{command:.60}: {line}");
            data.push(line);
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        match &mut self.deflated {
            None => drop(self.reader.read_until(b'\n', &mut line)?),
            Some((_, inflater)) => {
                let end = loop {
                    if let Some(end) = self.plain.iter().position(|&byte| byte == b'\n') {
                        break end;
                    }
                    let mut deflated = [0];
                    self.reader.read_exact(&mut deflated)?;
                    self.plain.reserve(1024);
                    inflater.decompress_vec(&deflated, &mut self.plain, FlushDecompress::None)?;
                };
                line.extend(self.plain.drain(..=end));
            }
        }
        if line.is_empty() {
            bail!("the server closed the connection");
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

/// The mean of so many processes of a real Cyrus that serve an idle connection each.
fn cyrus(connections: usize) -> Result<Option<Memory>> {
    if connections == 0 || conformance::cyrus::obstacle().is_some() {
        return Ok(None);
    }
    let cyrus = cyrus_side::start("idle", &["jane"])?;
    cyrus_side::make_user(&cyrus, "jane", 0)?;
    let peers = (0..connections)
        .map(|_| {
            let mut peer = Peer::login(&cyrus.csync_address(), false)?;
            peer.ask("GET USER jane")?;
            Ok(peer)
        })
        .collect::<Result<Vec<_>>>()?;
    std::thread::sleep(Duration::from_secs(2));
    let all: Vec<Memory> = measure::children(cyrus.master_pid(), "sync_server")
        .into_iter()
        .filter_map(|pid| measure::memory(pid).ok())
        .collect();
    drop(peers);
    let count = all.len() as u64;
    let sum = |field: fn(&Memory) -> u64| all.iter().map(field).sum::<u64>().checked_div(count);
    Ok(Some(Memory {
        rss_kib: sum(|memory| memory.rss_kib).context("no sync_server of Cyrus was found")?,
        pss_kib: sum(|memory| memory.pss_kib).unwrap_or_default(),
    }))
}
