//! `mailtwin demo`: a master and a replica at work, from sample mail to the proof that both are equal.

mod changes;
mod samples;
mod screen;
mod wire;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use store::sqlite::{Options, SqliteStore};
use store::verify::{Finding, verify};
use tempfile::TempDir;

use self::screen::Screen;
use self::wire::{Run, Wire};
use crate::access::Access;
use crate::args::DemoArgs;
use crate::compare::{self, Comparison};
use crate::failure::{Exit, Failure, Result};
use crate::table::{bytes, count};

/// Shows it all. Fails when the twins are not equal at the end.
pub fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<()> {
    let place = Place::new(args)?;
    let found = show(args, place.dir(), out)?;
    if let Some(dir) = place.kept() {
        further(&dir, out)?;
    }
    if found.is_equal() {
        return Ok(());
    }
    let text = format!(
        "the replica is not equal to its master: {}",
        count(found.differences.len() as u64, "difference")
    );
    Err(Failure::new(Exit::Unequal, text))
}

fn show(args: &DemoArgs, dir: &Path, out: &mut dyn Write) -> Result<Comparison> {
    let mut screen = Screen::new(out).map_err(screen_failure)?;
    let master = SqliteStore::open(dir.join("master"), Options::default())?;
    let replica = SqliteStore::open(dir.join("replica"), Options::default())?;
    let mut here = Access::new(master.session());

    let arrived = changes::import(&mut here)?;
    let text = format!(
        "{}, {}, {}: {}",
        count(arrived.messages, "message"),
        count(arrived.mailboxes, "mailbox"),
        count(arrived.users, "user"),
        bytes(arrived.bytes)
    );
    screen.step("sample mail", &text).map_err(screen_failure)?;

    let wire = Wire::start(replica.clone())?;
    let text = format!("on {}, login by SCRAM-SHA-256, deflate", wire.server);
    screen.step("sync_server", &text).map_err(screen_failure)?;

    let first = wire.replicate(&master)?;
    screen.step("first run", &told(&first)).map_err(screen_failure)?;

    screen
        .more("a message that several mailboxes hold travels once")
        .map_err(screen_failure)?;

    let lines = changes::change(&mut here)?;
    screen
        .step("changes", "on the master, some of every kind")
        .map_err(screen_failure)?;
    lines
        .iter()
        .try_for_each(|line| screen.more(line))
        .map_err(screen_failure)?;

    let second = wire.replicate(&master)?;
    screen
        .step("second run", &told(&second))
        .map_err(screen_failure)?;
    let text = format!(
        "only the change travelled: {} of the first run",
        percent(second.wire_bytes, first.wire_bytes)
    );
    screen.more(&text).map_err(screen_failure)?;
    wire.stop()?;

    let mut there = Access::new(replica.session());
    if args.sabotage {
        changes::sabotage(&mut there)?;
    }
    let (mut messages, mut damages) = (0, Vec::new());
    for store in [&master, &replica] {
        let totals = verify(store, None, &mut |finding| {
            if let Finding::Damage(damage) = finding {
                damages.push(damage.to_string());
            }
        });
        messages += totals.messages;
    }
    let text = format!(
        "{} hashed again, every CRC recomputed",
        count(messages, "message")
    );
    screen.step("verify", &text).map_err(screen_failure)?;
    let mut found = compare::compare(&mut here, &mut there)?;
    found.differences.extend(damages);
    let text = format!(
        "{} and {} of mail in both",
        count(found.records, "record"),
        bytes(found.bytes)
    );
    screen.step("compare", &text).map_err(screen_failure)?;
    screen
        .table(&found)
        .and_then(|()| screen.end(&found))
        .map_err(screen_failure)?;
    Ok(found)
}

fn told(run: &Run) -> String {
    let progress = &run.progress;
    format!(
        "{} with {}: {} on the wire",
        count(progress.records_sent, "record"),
        count(progress.messages_sent, "message"),
        bytes(run.wire_bytes)
    )
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// Where the two stores are.
enum Place {
    Passing(TempDir),
    Kept(PathBuf),
}

impl Place {
    fn new(args: &DemoArgs) -> Result<Place> {
        let Some(dir) = &args.dir else {
            let dir = tempfile::Builder::new()
                .prefix("mailtwin-demo-")
                .tempdir()
                .map_err(|error| Failure::file(&std::env::temp_dir(), &error))?;
            return Ok(if args.keep {
                Place::Kept(dir.keep())
            } else {
                Place::Passing(dir)
            });
        };
        fs::create_dir_all(dir).map_err(|error| Failure::file(dir, &error))?;
        if fs::read_dir(dir)
            .map_err(|error| Failure::file(dir, &error))?
            .next()
            .is_some()
        {
            let text = format!("{} is not empty; name a new or an empty folder", dir.display());
            return Err(Failure::new(Exit::CannotCreate, text));
        }
        Ok(Place::Kept(
            std::path::absolute(dir).map_err(|error| Failure::file(dir, &error))?,
        ))
    }

    fn dir(&self) -> &Path {
        match self {
            Place::Passing(dir) => dir.path(),
            Place::Kept(dir) => dir,
        }
    }

    fn kept(self) -> Option<PathBuf> {
        match self {
            Place::Passing(_) => None,
            Place::Kept(dir) => Some(dir),
        }
    }
}

/// Leaves a configuration for each store, and says what to try.
fn further(dir: &Path, out: &mut dyn Write) -> Result<()> {
    for name in ["master", "replica"] {
        let path = dir.join(format!("{name}.conf"));
        let text = format!("mailtwin_store: {}\n", dir.join(name).display());
        fs::write(&path, text).map_err(|error| Failure::file(&path, &error))?;
    }
    let conf = dir.join("replica.conf");
    let conf = conf.display();
    let lines = [
        format!("\n Both are in {}. Look further:", dir.display()),
        format!("   mailtwin -C {conf} list jane"),
        format!("   mailtwin -C {conf} cat jane/INBOX 1"),
        format!("   mailtwin -C {conf} verify"),
    ];
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "{line}"))
        .map_err(screen_failure)
}

fn screen_failure(error: io::Error) -> Failure {
    Failure::new(Exit::Io, format!("standard output: {error}"))
}
