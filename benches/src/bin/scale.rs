//! Runs at scale: one message of 1 GiB, and a mailbox of 1,000,000 messages, mailtwin to mailtwin, with peak memory.
#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::{Result, ensure};
use benches::fill;
use benches::mail::Sizes;
use benches::measure::{self, Run};
use benches::own_side::{self, Place};
use benches::proxy::{Proxy, Traffic};
use clap::{Parser, Subcommand};
use engine::ticket::{Request, Session, StagePart};
use protocol::Guid;
use sha1::{Digest, Sha1};

/// Shows what size costs. Exits with an error when a bound does not hold.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One message of this many MiB; either program stays below 64 MiB of resident memory.
    Message {
        /// MiB of the message.
        #[arg(long, default_value_t = 1024)]
        mib: u64,
    },
    /// A mailbox of this many messages; either program stays below 256 MiB, and ten changes afterwards cost what they
    /// cost in a mailbox of 1,000, within a factor of 2.
    Mailbox {
        /// Messages.
        #[arg(long, default_value_t = 1_000_000)]
        messages: u64,
    },
}

const USER: &str = "bench";
const LIMIT: Duration = Duration::from_secs(3_600);

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Message { mib } => message(mib),
        What::Mailbox { messages } => mailbox(messages),
    }
}

fn message(mib: u64) -> Result<()> {
    let place = Place::new()?;
    put_big_message(&mut own_side::open(&place)?.session(), mib)?;
    let replica = Place::new()?;
    let (serving, address) = replica.serve()?;
    let run = measure::run(
        place.program("sync_client")?.args(["-S", &address, "-u", USER]),
        LIMIT,
    )?;
    let server_kib = measure::peak_memory_kib(serving.id());
    println!(
        "one message of {mib} MiB: {:.1} s, {:.0} MiB/s",
        run.wall.as_secs_f64(),
        mib as f64 / run.wall.as_secs_f64()
    );
    bound("sync_client", run.peak_kib, 64)?;
    bound("sync_server", server_kib, 64)
}

fn put_big_message(session: &mut dyn Session, mib: u64) -> Result<()> {
    // Lines of 64 bytes, each different, so that nothing can be clever about it.
    let piece = |n: u64| -> Vec<u8> {
        (0..16_384u64)
            .flat_map(|i| format!("{:062x}\r\n", n * 16_384 + i).into_bytes())
            .collect()
    };
    let mut sha1 = Sha1::new();
    (0..mib).for_each(|n| sha1.update(piece(n)));
    let guid = Guid::from_bytes(sha1.finalize().into());
    let mut edit = fill::begin(session, USER)?;
    let partition = edit.mailbox().partition.clone();
    let size = mib << 20;
    session.execute(Request::Stage(vec![StagePart::Open {
        partition,
        guid,
        size,
    }]))?;
    for n in 0..mib {
        session.execute(Request::Stage(vec![StagePart::Data(piece(n).into())]))?;
    }
    session.execute(Request::Stage(vec![StagePart::Close]))?;
    edit.append(fill::incoming(guid, size))?;
    fill::commit(session, edit)
}

fn mailbox(messages: u64) -> Result<()> {
    let (initial, server_kib, big) = fill_and_change(messages)?;
    println!(
        "{messages} messages: initial run {:.1} s, {:.0} messages/s",
        initial.wall.as_secs_f64(),
        messages as f64 / initial.wall.as_secs_f64()
    );
    bound("sync_client", initial.peak_kib, 256)?;
    bound("sync_server", server_kib, 256)?;
    let (_, _, small) = fill_and_change(1_000)?;
    println!(
        "ten changes       {:>12} {:>12} {:>12}",
        "seconds", "bytes up", "bytes down"
    );
    for (of, (run, traffic)) in [(messages, &big), (1_000, &small)] {
        println!(
            "  in {of:>9}    {:>12.3} {:>12} {:>12}",
            run.wall.as_secs_f64(),
            traffic.up,
            traffic.down
        );
    }
    let time = big.0.wall.as_secs_f64() / small.0.wall.as_secs_f64();
    let bytes = (big.1.up + big.1.down) as f64 / (small.1.up + small.1.down) as f64;
    println!("ratio: time {time:.2}, bytes {bytes:.2}");
    ensure!(
        time <= 2.0 && bytes <= 2.0,
        "ten changes cost more than twice as much in the big mailbox"
    );
    Ok(())
}

/// An initial run, then ten flag changes; the median of five such changes is returned with its traffic.
fn fill_and_change(messages: u64) -> Result<(Run, u64, (Run, Traffic))> {
    let place = Place::new()?;
    let store = own_side::open(&place)?;
    fill::append(&mut store.session(), USER, 1, messages, Sizes::Tiny)?;
    let replica = Place::new()?;
    let (serving, address) = replica.serve()?;
    let initial = measure::run(
        place.program("sync_client")?.args(["-S", &address, "-u", USER]),
        LIMIT,
    )?;
    let server_kib = measure::peak_memory_kib(serving.id());
    let proxy = Proxy::start(address)?;
    let mut changes = Vec::new();
    for _ in 0..5 {
        fill::flag(&mut store.session(), USER, 10)?;
        let run = measure::run(
            place
                .program("sync_client")?
                .args(["-S", proxy.address(), "-u", USER]),
            LIMIT,
        )?;
        changes.push((run, proxy.take()));
    }
    changes.sort_by_key(|(run, _)| run.wall);
    Ok((initial, server_kib, changes.swap_remove(2)))
}

fn bound(program: &str, peak_kib: u64, mib_max: u64) -> Result<()> {
    println!(
        "{program}: {:.1} MiB peak resident memory (at most {mib_max})",
        peak_kib as f64 / 1024.0
    );
    ensure!(
        peak_kib <= mib_max * 1024,
        "{program} needed more than {mib_max} MiB"
    );
    Ok(())
}
