//! A million entries in the rolling queue: time to take them in and to give them all out, and memory.
//!
//! `cargo run --release -p benches --bin queue -- [ENTRIES] [USERS]`

use std::time::Instant;

use anyhow::{Context as _, Result};
use engine::rolling::{Entry, Queue, QueueConfig};
use protocol::Text;
use protocol::synclog::Action;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| -> Result<u64> {
        arguments.next().map_or(Ok(default), |text| {
            text.replace('_', "").parse().context("write a number")
        })
    };
    let (entries, users) = (number(1_000_000)?, number(1_000)?.max(1));
    let before = resident_kib()?;
    let mut queue = Queue::new(QueueConfig::default());
    let begun = Instant::now();
    queue.add(0, (0..entries).map(|n| entry(n, users)));
    let taken_in = begun.elapsed();
    let state = queue.state();
    let memory = resident_kib()?.saturating_sub(before);
    let begun = Instant::now();
    let mut tasks = 0u64;
    while let Some(task) = queue.next(1) {
        queue.done(1, task.id, Ok(()));
        tasks += 1;
    }
    let given_out = begun.elapsed();
    println!(
        "{entries} entries of {users} users: taken in in {:.2} s, {} KiB ({} bytes an entry with its name), given out as {tasks} tasks in {:.2} s",
        taken_in.as_secs_f64(),
        memory,
        memory * 1024 / (state.queued as u64).max(1),
        given_out.as_secs_f64(),
    );
    Ok(())
}

/// Mostly mailboxes, some seen states, as a log has them.
fn entry(n: u64, users: u64) -> Entry {
    let user = n % users;
    let action = if n.is_multiple_of(4) {
        Action::Seen {
            user: Text::from(format!("user{user}")),
            uniqueid: Text::from(format!("{n:024x}")),
        }
    } else {
        Action::Mailbox(Text::from(format!("user.user{user}.folder.number{n}")))
    };
    Entry {
        action,
        logged_at_ms: n / 1000,
    }
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number.context("no VmRSS")?.parse().context("VmRSS is no number")
}
