//! Writes a first corpus for every target: what real masters and replicas said to each other, the spec's vectors, and for
//! what is made of typed values some bytes to begin with.
//!
//! `cargo xtask fuzz --seed` runs it; its argument is the folder.

// Crates that were built with counters need who counts.
use libfuzzer_sys as _;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use net::deflate::Deflater;
use protocol::Text;
use protocol::synclog::Action;

/// Longest seed, bytes.
const SEED_BYTES_MAX: usize = 4000;

fn main() {
    let folder = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .expect("usage: seed FOLDER");
    let mut seeds = Seeds { folder, count: 0 };
    for (name, _) in bodies::TARGETS {
        std::fs::create_dir_all(seeds.folder.join(name)).expect("a folder for the seeds");
    }
    for (master, said) in sessions() {
        if master {
            master_said(&mut seeds, &said);
        } else {
            replica_said(&mut seeds, &said);
        }
    }
    vectors(&mut seeds);
    logs(&mut seeds);
    configurations(&mut seeds);
    numbers(&mut seeds);
    println!("{} seeds in {}", seeds.count, seeds.folder.display());
}

struct Seeds {
    folder: PathBuf,
    count: usize,
}

impl Seeds {
    fn add(&mut self, target: &str, head: &[u8], body: &[u8]) {
        let body = &body[..body.len().min(SEED_BYTES_MAX)];
        self.count += 1;
        let path = self.folder.join(target).join(format!("seed-{:05}", self.count));
        std::fs::write(path, [head, body].concat()).expect("the seed is written");
    }
}

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec")
}

fn json_lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object"))
        .collect()
}

/// The vectors' notation for bytes: `\\` and `\xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return out,
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0) as u8;
                out.push(digit(high) << 4 | digit(low));
                rest
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
        };
    }
}

/// What each side said on each recorded connection; whether it was the master.
fn sessions() -> Vec<(bool, Vec<Vec<u8>>)> {
    let mut all = Vec::new();
    for version in ["3.2", "3.6", "3.10", "3.12"] {
        let folder = spec().join("sessions").join(version);
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("recorded sessions")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            let mut said: BTreeMap<(u64, bool), Vec<Vec<u8>>> = BTreeMap::new();
            for json in json_lines(&path) {
                let Some(parts) = json["line"].as_array() else {
                    continue;
                };
                let part = |part: &serde_json::Value| match (part.as_str(), part["file"].as_str()) {
                    (Some(text), _) => unescape(text),
                    (None, Some(file)) => BASE64_STANDARD.decode(file).expect("base64"),
                    (None, None) => Vec::new(),
                };
                let line: Vec<u8> = parts.iter().flat_map(part).collect();
                let key = (json["conn"].as_u64().unwrap_or(0), json["dir"] == "C");
                said.entry(key).or_default().push(line);
            }
            all.extend(said.into_iter().map(|((_, master), lines)| (master, lines)));
        }
    }
    all
}

fn master_said(seeds: &mut Seeds, lines: &[Vec<u8>]) {
    for (number, line) in lines.iter().enumerate() {
        let cut = [1, 7, 63, 255][number % 4];
        seeds.add("command_decoder", &[cut, (number % 3) as u8], line);
        seeds.add("roundtrip", b"", line);
    }
    let is_login = |line: &&Vec<u8>| line.starts_with(b"AUTHENTICATE") || line.starts_with(b"STARTTLS");
    let work: Vec<u8> = lines
        .iter()
        .filter(|line| !is_login(line))
        .flatten()
        .copied()
        .collect();
    // Users of the recordings and those that the targets look at.
    let ours = String::from_utf8_lossy(&work)
        .replace("alice", "jane")
        .replace("bob", "joe")
        .into_bytes();
    for (number, said) in [&work, &ours].into_iter().enumerate() {
        seeds.add("fragmenter", &[40, 1 + number as u8], said);
        seeds.add("replica_session", &[2 * number as u8, 200, 0], said);
        seeds.add("replica_session", &[2 * number as u8 + 12, 200, 9], said);
    }
    let login = [b"AUTHENTICATE PLAIN\r\nYWRtaW4=\r\n".as_slice(), &ours].concat();
    seeds.add("replica_session", &[3, 30, 0], &login);
    let deflated = deflated(lines, 6);
    seeds.add("deflate", &[1, 99], &deflated);
    seeds.add("deflate", &[3, 99], &work);
}

fn replica_said(seeds: &mut Seeds, lines: &[Vec<u8>]) {
    for (number, line) in lines.iter().enumerate() {
        let cut = [1, 7, 63, 255][number % 4];
        seeds.add("reply_decoder", &[cut, (number % 3) as u8], line);
        seeds.add("roundtrip", b"", line);
    }
    let is_greeting = |line: &&Vec<u8>| line.starts_with(b"* SASL") || line.starts_with(b"OK Success");
    let work: Vec<u8> = lines
        .iter()
        .filter(|line| !is_greeting(line))
        .flatten()
        .copied()
        .collect();
    let ours = String::from_utf8_lossy(&work)
        .replace("alice", "jane")
        .replace("bob", "joe")
        .into_bytes();
    for job in 0..8 {
        seeds.add("master_session", &[job, 0, 200, 2 + job % 2], &ours);
    }
    seeds.add("master_session", &[0, 1, 200, 0], &ours);
    seeds.add("deflate", &[0, 20], &deflated(lines, 1));
}

fn deflated(lines: &[Vec<u8>], level: u32) -> Vec<u8> {
    let mut deflater = Deflater::new(level);
    let mut out = Vec::new();
    for line in lines {
        deflater.push(line, |bytes| out.extend_from_slice(&bytes));
        deflater.flush(|bytes| out.extend_from_slice(&bytes));
    }
    out
}

fn vectors(seeds: &mut Seeds) {
    for name in ["grammar-valid.jsonl", "grammar-invalid.jsonl"] {
        for json in json_lines(&spec().join("vectors").join(name)) {
            let line = unescape(json["input"].as_str().unwrap_or_default());
            seeds.add("command_decoder", &[3, 0], &line);
            seeds.add("reply_decoder", &[3, 0], &line);
            seeds.add(
                "replica_session",
                &[2, 255, 0],
                &[&line, &b"NOOP\r\n"[..]].concat(),
            );
            let value = line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
            seeds.add("grammar", b"", value.strip_suffix(b"\r\n").unwrap_or(value));
        }
    }
}

fn logs(seeds: &mut Seeds) {
    let text = Text::from;
    let actions = [
        Action::Mailbox(text("user.jane")),
        Action::DoubleMailbox(text("user.jane"), text("user.jane.a b")),
        Action::Rename {
            from: text("user.jane.x"),
            to: text("user.jane.\"y\""),
        },
        Action::Unmailbox(text("user.jane.{z}")),
        Action::Quota(text("user.jane")),
        Action::Annotation(Text::EMPTY),
        Action::Seen {
            user: text("jane"),
            uniqueid: text("id1"),
        },
        Action::Subscription {
            user: text("jane"),
            mailbox: text("user.joe"),
        },
        Action::Meta(text("jane")),
        Action::User(text("jane")),
        Action::Unuser(text("joe")),
    ];
    let mut log = Vec::new();
    for action in &actions {
        let mut line = Vec::new();
        action.print(&mut line).expect("a line");
        seeds.add("synclog_line", b"", &line);
        seeds.add(
            "synclog_files",
            &[1],
            &[&log[..], b"\0", &line, b"\0", &line].concat(),
        );
        log.extend_from_slice(&line);
    }
    let held = b"# head\n1\t2\t3\t4\twhy\tMAILBOX user.jane\n5\t6\t7\t8\t\tUSER joe\nodd\n";
    for how in 0..3 {
        let all = [&log[..], b"\0", &log, b"\0", &log, b"cut o", b"\0", held].concat();
        seeds.add("synclog_files", &[how], &all);
        seeds.add(
            "synclog_files",
            &[how],
            &[b"\0\0", &log[..], b"\0", held].concat(),
        );
    }
    seeds.add("synclog_line", b"", &log);
    seeds.add(
        "synclog_line",
        b"",
        b"SEEN {4}\r\njane {3+}\nid1\nmailbox \"a\\\"b\"\n\nODD x\nUSER a b\n",
    );
}

fn configurations(seeds: &mut Seeds) {
    let values = ["yes", "10m", "127.0.0.1:2005", "a b c", "0600", "/run/x", "12"];
    let keys: Vec<&str> = net::config::own_keys()
        .chain(net::config::sync_keys())
        .chain(net::config::tls_keys())
        .collect();
    for (number, key) in keys.iter().enumerate() {
        for value in values {
            let line = format!("configdirectory: /c\n{key}: {value}\n");
            seeds.add("imapd_conf", &[(number % 3) as u8], line.as_bytes());
        }
    }
    let whole = b"# all\nconfigdirectory: /var/lib/cyrus\nadmins: cyrus repl\nsync_host: there\nsync_password: 0123456789abcdef\n\
        backup_sync_host: [::1]:2006\nsync_log: yes\nsync_log_channels: backup other\npartition-default: /spool\n\
        syncserver_admins: x\n@include: more\n\xffsync_port: csync\nsync_timeout: 1h\\\n30m\n";
    for service in 0..3 {
        seeds.add("imapd_conf", &[service], whole);
    }
}

/// Bytes without a meaning of their own, of which the targets make values.
fn numbers(seeds: &mut Seeds) {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    for length in (16..700).step_by(12) {
        for target in [
            "typed_commands",
            "typed_replies",
            "replica_commands",
            "master_answers",
        ] {
            let bytes: Vec<u8> = (0..length).map(|_| next()).collect();
            seeds.add(target, b"", &bytes);
        }
    }
}
