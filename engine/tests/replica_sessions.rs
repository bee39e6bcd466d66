//! Sessions recorded between real Cyrus servers: what their master said is said to our replica, and what their replica
//! answered is what ours has to answer.

mod support;

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::Replica;
use serde_json::Value;
use store::memory::MemoryStore;
use store::sqlite::{Options, SqliteStore};
use support::{Driver, Store};

/// The steps whose outcome depends on nothing but what came over the wire in them and before.
const STEPS: [&str; 11] = [
    "01-initial",
    "02-noop",
    "03-incremental",
    "04-rename",
    "05-delete",
    "06-delete-for-good",
    "06-unmailbox",
    "07-all",
    "08-mailbox",
    "09-meta",
    "10-log",
];

/// The same with conversations, on servers of their own.
const CONVERSATION_STEPS: [&str; 2] = ["19-conversations-initial", "20-conversations-changes"];

/// One line of a recording.
struct Line {
    is_master: bool,
    bytes: Vec<u8>,
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'\\' && tail.first() == Some(&b'x') {
            let hex = std::str::from_utf8(&tail[1..3]).expect("hex digits");
            out.push(u8::from_str_radix(hex, 16).expect("hex digits"));
            rest = &tail[3..];
        } else if byte == b'\\' {
            out.push(tail[0]);
            rest = &tail[1..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

fn read(version: &str, step: &str) -> Vec<Line> {
    let path = format!(
        "{}/../spec/sessions/{version}/{step}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(Path::new(&path)).expect("a recording");
    let mut lines = Vec::new();
    for json in text.lines().skip(1) {
        let value: Value = serde_json::from_str(json).expect("JSON");
        let Some(parts) = value["line"].as_array() else {
            continue;
        };
        let mut bytes = Vec::new();
        for part in parts {
            match part {
                Value::String(text) => bytes.extend(unescape(text)),
                file => {
                    let base64 = file["file"].as_str().expect("a file");
                    bytes.extend(STANDARD.decode(base64).expect("base64"));
                }
            }
        }
        lines.push(Line {
            is_master: value["dir"] == "C",
            bytes,
        });
    }
    lines
}

/// Where our replica answers otherwise than the recorded one, and why that is right: version, step, and a part of the
/// line that differs, or of the command before it.
const KNOWN: [(&str, &str, &str, &str); 8] = [
    (
        "3.12",
        "20-conversations-changes",
        "MBOXNAME user.alice.#sieve ",
        "a refused MAILBOX leaves nothing here [CS-EXC-2]",
    ),
    (
        "3.2",
        "10-log",
        "MBOXNAME shared.news ",
        "3.2 raises HIGHESTMODSEQ by ANNOTATION [CS-APPLY-35]",
    ),
    (
        "3.2",
        "10-log",
        "APPLY ANNOTATION %(MBOXNAME \"\" ",
        "3.2 has no server annotations [CS-APPLY-33]",
    ),
    (
        "",
        "07-all",
        "MBOXNAME DELETED.user.alice.Empty.",
        "it was removed there by hand before the step",
    ),
    (
        "3.2",
        "",
        "* SIEVE ",
        "3.2 lists compiled scripts as files of their own [CS-GET-31]",
    ),
    (
        "3.6",
        "04-rename",
        "MBOXNAME user.alice.Renamed ",
        "3.6 raises FOLDERMODSEQ by a rename, the master has not",
    ),
    ("3.10", "04-rename", "MBOXNAME user.alice.Renamed ", "as 3.6"),
    (
        "3.12",
        "03-incremental",
        "MBOXNAME user.alice.#sieve ",
        "a refused MAILBOX leaves nothing here [CS-EXC-2]",
    ),
];

/// What both replicas must agree on: lines without what only a server of that version knows, refusals by their code.
fn essence(version: &str, step: &str, bytes: &[u8]) -> Vec<String> {
    let text = support::printable(bytes).replace("+}", "}");
    let is_known = |line: &&str| {
        KNOWN
            .iter()
            .any(|(v, s, part, _)| version.contains(v) && step.contains(s) && line.contains(part))
    };
    text.lines()
        .filter(|line| !line.is_empty())
        .filter(|line| !is_known(line))
        .map(plain)
        .collect()
}

fn plain(line: &str) -> String {
    let mut line = line.to_owned();
    for key in ["QUOTAROOT", "USERFLAGS"] {
        if let Some(at) = line.find(&format!(" {key} ")) {
            let rest = line[at + key.len() + 2..].to_owned();
            let end = match rest.starts_with('(') {
                true => rest.find(')').map(|i| i + 1),
                false => rest.find([' ', ')']),
            };
            line = format!("{}{}", &line[..at], &rest[end.unwrap_or(rest.len())..]);
        }
    }
    if line.starts_with("NO ") {
        line = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    }
    line
}

fn replay(store: &impl Store, version: &str, steps: &[&str], lines_min: usize) -> String {
    let mut differences = String::new();
    let mut lines_compared = 0;
    for &step in steps {
        let mut config = support::config();
        config.trusted = false;
        config.unauthenticated_bytes_max = 1 << 20;
        let mut driver = Driver::new(Replica::new(config), store);
        driver.settle();
        driver.take();
        let lines = read(version, step);
        let mut at = lines
            .iter()
            .position(|line| line.is_master)
            .expect("the master speaks");
        while at < lines.len() {
            let mut asked = lines[at].bytes.clone();
            at += 1;
            let mut expected = Vec::new();
            while at < lines.len() && !lines[at].is_master {
                expected.extend_from_slice(&lines[at].bytes);
                at += 1;
            }
            if asked.starts_with(b"AUTHENTICATE") {
                asked = b"AUTHENTICATE PLAIN YWRtaW4=\r\n".to_vec();
            }
            driver.feed(&asked);
            let got = essence(version, step, &std::mem::take(&mut driver.sent));
            let want = essence(version, step, &expected);
            lines_compared += want.len();
            let is_known = |(v, s, part, _): &(&str, &str, &str, &str)| {
                version.contains(v) && step.contains(s) && support::printable(&asked).contains(part)
            };
            if got != want && !KNOWN.iter().any(is_known) {
                let shown: String = support::printable(&asked).chars().take(300).collect();
                differences.push_str(&format!("{version} {step}: {shown}\n"));
                for line in got.iter().filter(|line| !want.contains(line)) {
                    differences.push_str(&format!("   got {line}\n"));
                }
                for line in want.iter().filter(|line| !got.contains(line)) {
                    differences.push_str(&format!("  want {line}\n"));
                }
            }
        }
    }
    assert!(
        lines_compared > lines_min,
        "{version}: only {lines_compared} lines were there to compare"
    );
    differences
}

fn expect_none(differences: &str) {
    assert!(differences.is_empty(), "\n{differences}");
}

fn replay_all(version: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = |part: &str| SqliteStore::open(folder.path().join(part), Options::default()).expect("a store");
    expect_none(&replay(&MemoryStore::new(), version, &STEPS, 150));
    expect_none(&replay(&disk("a"), version, &STEPS, 150));
    expect_none(&replay(&MemoryStore::new(), version, &CONVERSATION_STEPS, 50));
    expect_none(&replay(&disk("b"), version, &CONVERSATION_STEPS, 50));
}

#[test]
fn cyrus_3_2() {
    replay_all("3.2");
}

#[test]
fn cyrus_3_6() {
    replay_all("3.6");
}

#[test]
fn cyrus_3_10() {
    replay_all("3.10");
}

#[test]
fn cyrus_3_12() {
    replay_all("3.12");
}
