//! Sessions recorded between real Cyrus servers: read, written again, and the same bytes come out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{
    bytewise, commands, commands_in, cut, json_lines, replies, replies_in, unescape, write_commands,
    write_replies,
};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::Limits;
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::encode::LiteralStyle;

const VERSIONS: [&str; 4] = ["3.2", "3.6", "3.10", "3.12"];

/// A recorded line: where it is from, who said it, its bytes.
struct Line {
    from: String,
    by_master: bool,
    bytes: Vec<u8>,
}

fn recorded(version: &str) -> Vec<Line> {
    let folder = format!("{}/../spec/sessions/{version}", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}"))
        .map(|entry| {
            entry
                .expect("a folder entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    let mut lines = Vec::new();
    for name in names {
        for (number, json) in json_lines(&format!("sessions/{version}/{name}"))
            .iter()
            .enumerate()
        {
            let Some(parts) = json["line"].as_array() else {
                continue;
            };
            let part = |part: &serde_json::Value| match part.as_str() {
                Some(text) => unescape(text),
                None => BASE64_STANDARD
                    .decode(part["file"].as_str().expect("a file"))
                    .expect("base64"),
            };
            lines.push(Line {
                from: format!("{version}/{name}:{}", number + 1),
                by_master: json["dir"] == "C",
                bytes: parts.iter().flat_map(part).collect(),
            });
        }
    }
    lines
}

/// All that a recorded master or replica said, in one session.
fn sessions(by_master: bool) -> Vec<Vec<u8>> {
    let mut sessions: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in VERSIONS
        .into_iter()
        .flat_map(recorded)
        .filter(|line| line.by_master == by_master)
    {
        let (file, _) = line.from.rsplit_once(':').expect("a file and a line");
        sessions
            .entry(file.to_owned())
            .or_default()
            .extend_from_slice(&line.bytes);
    }
    sessions.into_values().collect()
}

/// What random damage makes of a session.
fn damage(mut said: Vec<u8>, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (at, how, byte) in changes {
        if said.is_empty() {
            break;
        }
        let at = at.index(said.len());
        match how % 5 {
            0 => said[at] = *byte,
            1 => said.insert(at, *byte),
            2 => drop(said.remove(at)),
            3 => said.truncate(at),
            _ => {
                let piece = said[at..said.len().min(at + 40)].to_vec();
                let to = usize::from(*byte).min(said.len());
                said.splice(to..to, piece);
            }
        }
    }
    said
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Damaged sessions are refused or understood, but the same way however they are cut, and without a panic.
    #[test]
    fn damaged_sessions(
        by_master in any::<bool>(),
        session in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..6),
        points in vec(any::<usize>(), 0..8),
    ) {
        static BOTH: OnceLock<[Vec<Vec<u8>>; 2]> = OnceLock::new();
        let both = BOTH.get_or_init(|| [sessions(false), sessions(true)]);
        let sessions = &both[usize::from(by_master)];
        let said = damage(session.get(sessions).clone(), &changes);
        if by_master {
            prop_assert_eq!(commands_in(cut(&said, &points), Limits::default()), commands(&said));
        } else {
            prop_assert_eq!(replies_in(cut(&said, &points), Limits::default()), replies(&said));
        }
    }
}

#[test]
fn every_line_is_understood_however_it_is_cut() {
    for version in VERSIONS {
        let lines = recorded(version);
        assert!(lines.len() > 50, "{version}: {} lines", lines.len());
        for line in &lines {
            if line.by_master {
                let events = commands(&line.bytes);
                let refused =
                    |event: &CommandEvent| matches!(event, CommandEvent::Bad(_) | CommandEvent::Fatal(_));
                assert!(
                    !events.is_empty() && !events.iter().any(refused),
                    "{}: {events:?}",
                    line.from
                );
                assert_eq!(
                    commands_in(bytewise(&line.bytes), Limits::default()),
                    events,
                    "{}",
                    line.from
                );
            } else {
                let events = replies(&line.bytes);
                let unknown = |event: &ReplyEvent| matches!(event, ReplyEvent::Fatal(_));
                assert!(
                    !events.is_empty() && !events.iter().any(unknown),
                    "{}: {events:?}",
                    line.from
                );
                assert_eq!(
                    replies_in(bytewise(&line.bytes), Limits::default()),
                    events,
                    "{}",
                    line.from
                );
            }
        }
    }
}

#[test]
fn a_whole_session_is_the_sum_of_its_lines() {
    for version in VERSIONS {
        let lines = recorded(version);
        let (master, replica): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|line| line.by_master);
        let said: Vec<u8> = master.iter().flat_map(|line| line.bytes.clone()).collect();
        let one_by_one: Vec<CommandEvent> = master.iter().flat_map(|line| commands(&line.bytes)).collect();
        assert_eq!(commands(&said), one_by_one, "{version}");
        let said: Vec<u8> = replica.iter().flat_map(|line| line.bytes.clone()).collect();
        let one_by_one: Vec<ReplyEvent> = replica.iter().flat_map(|line| replies(&line.bytes)).collect();
        assert_eq!(replies(&said), one_by_one, "{version}");
    }
}

/// What our master and our replica print differently on purpose: a replica of 3.2 announces literals as `{n+}`, which
/// later masters cannot read, and all of them print a keyword named `NIL` bare, which none of them can read.
fn as_cyrus_prints(ours: &[u8]) -> String {
    ours.escape_ascii()
        .to_string()
        .replace("$NIL \\\"NIL\\\"", "$NIL NIL")
}

#[test]
fn what_is_written_again_is_what_cyrus_wrote() {
    for line in VERSIONS.into_iter().flat_map(recorded) {
        let style = if line.from.starts_with("3.2/") {
            LiteralStyle::Client
        } else {
            LiteralStyle::Server
        };
        let again = match line.by_master {
            true => write_commands(&commands(&line.bytes)),
            false => write_replies(&replies(&line.bytes), style),
        };
        assert_eq!(
            as_cyrus_prints(&again),
            line.bytes.escape_ascii().to_string(),
            "{}",
            line.from
        );
    }
}
