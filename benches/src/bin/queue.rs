//! A million lines of a log: time to read them, to take them into the queue and to give them all out, and memory.
//!
//! `cargo run --release -p benches --bin queue -- [ENTRIES] [USERS] [TIMES]`: each line stands TIMES (2) times in the log.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use engine::rolling::{Queue, QueueConfig};
use protocol::Text;
use protocol::synclog::Action;
use synclog::Channel;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| -> Result<u64> {
        arguments.next().map_or(Ok(default), |text| {
            text.replace('_', "").parse().context("write a number")
        })
    };
    let (entries, users, times) = (number(1_000_000)?, number(1_000)?.max(1), number(2)?.max(1));
    let folder = tempfile::tempdir()?;
    let bytes = write_log(&folder.path().join("log"), entries, users, times)?;
    let mut channel = Channel::open(folder.path(), None)?;
    let before = resident_kib()?;

    let begun = Instant::now();
    let taken = channel.take()?;
    let read = begun.elapsed();
    anyhow::ensure!(
        taken.bad.is_empty() && taken.entries.len() as u64 == entries,
        "lines are missing"
    );
    let with_entries = resident_kib()?.saturating_sub(before);

    let mut queue = Queue::new(QueueConfig::default());
    let begun = Instant::now();
    queue.add(0, taken.entries);
    let taken_in = begun.elapsed();
    let waiting = queue.state().queued;
    let memory = resident_kib()?.saturating_sub(before);

    let begun = Instant::now();
    let mut tasks = 0u64;
    while let Some(task) = queue.next(1) {
        queue.done(1, task.id, Ok(()));
        tasks += 1;
        if tasks.is_multiple_of(100) {
            channel.settle(&queue)?;
        }
    }
    channel.settle(&queue)?;
    let given_out = begun.elapsed();
    anyhow::ensure!(
        !folder.path().join("log-run").exists(),
        "the working file is not done"
    );
    println!(
        "{entries} lines ({} MB) of {users} users, each {times} times: read in {:.2} s (peak {} MiB more), {waiting} entries \
         in the queue after {:.2} s, {} bytes each with its name ({} MiB resident); given out as {tasks} tasks, and the files \
         brought in line, in {:.2} s",
        bytes / 1_000_000,
        read.as_secs_f64(),
        with_entries / 1024,
        taken_in.as_secs_f64(),
        memory * 1024 / (waiting as u64).max(1),
        memory / 1024,
        given_out.as_secs_f64(),
    );
    Ok(())
}

fn write_log(path: &Path, entries: u64, users: u64, times: u64) -> Result<u64> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let (mut line, mut bytes) = (Vec::new(), 0);
    let different = entries.div_ceil(times);
    for n in 0..entries {
        line.clear();
        action(n % different, users).print(&mut line)?;
        file.write_all(&line)?;
        bytes += line.len() as u64;
    }
    file.flush()?;
    Ok(bytes)
}

/// Mostly mailboxes, some seen states, as a log has them.
fn action(n: u64, users: u64) -> Action {
    let user = n % users;
    if n.is_multiple_of(4) {
        return Action::Seen {
            user: Text::from(format!("user{user}")),
            uniqueid: Text::from(format!("{n:024x}")),
        };
    }
    Action::Mailbox(Text::from(format!("user.user{user}.folder.number{n}")))
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number.context("no VmRSS")?.parse().context("VmRSS is no number")
}
