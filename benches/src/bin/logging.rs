//! What it costs a store to log its changes (`sync_log`): small transactions with and without, side by side and in turns.
//!
//! `cargo run --release -p benches --bin logging -- [COMMITS] [ROUNDS]`. The store lies in the temporary folder: set
//! TMPDIR to a folder on the disk in question.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use engine::model::QuotaLimits;
use engine::name::Scope;
use engine::ticket::{Change, Request, Session};
use protocol::Text;
use store::sqlite::{Options, SqliteStore};
use synclog::{LoggingSession, Writer};

/// Users whose databases are written in turns.
const USERS: u64 = 20;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| -> Result<u64> {
        arguments.next().map_or(Ok(default), |text| {
            text.replace('_', "").parse().context("write a number")
        })
    };
    let (commits, rounds) = (number(1_000)?.max(1), number(5)?.max(1));
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(folder.path().join("store"), Options::default())?;
    let sync = folder.path().join("sync");
    let cases: [(&str, &[Option<String>]); 3] = [
        ("not logged", &[]),
        ("one channel", &[None]),
        (
            "three channels",
            &[None, Some("far".to_owned()), Some("near".to_owned())],
        ),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    // The first round makes the databases, and counts for nothing.
    for round in 0..=rounds {
        for (case, (_, channels)) in cases.iter().enumerate() {
            let writer = Writer::for_channels(&sync, channels)?;
            let took = run(LoggingSession::new(store.session(), writer), commits, round)?;
            if round > 0 {
                times[case].push(took);
            }
        }
    }
    let mut base = 0.0;
    for ((name, _), mut times) in cases.into_iter().zip(times) {
        times.sort();
        let each = times[times.len() / 2].as_secs_f64() * 1e6 / commits as f64;
        if base == 0.0 {
            base = each;
        }
        println!(
            "{name}: {each:.0} microseconds a commit (median of {rounds} rounds of {commits}), {:+.0} % of not logged",
            (each / base - 1.0) * 100.0
        );
    }
    Ok(())
}

fn run(mut session: impl Session, commits: u64, round: u64) -> Result<Duration> {
    let begun = Instant::now();
    for n in 0..commits {
        let user = format!("user{}", n % USERS);
        let limits = QuotaLimits {
            root: Text::from(format!("user.{user}")),
            storage: u32::try_from(round * commits + n).ok(),
            ..QuotaLimits::default()
        };
        let scope = Scope::User(Text::from(user));
        session.execute(Request::Begin { scope })?;
        session.execute(Request::Write(vec![Change::PutQuota(limits)]))?;
        session.execute(Request::Commit)?;
    }
    // Ends with the logs durable.
    drop(session);
    Ok(begun.elapsed())
}
