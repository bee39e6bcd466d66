//! Many users in one store, `sync_client -A` to a second mailtwin: the first run, one with nothing to do, one with a
//! change for 1 % of the users, and one in which a user cannot be written to.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benches::fill;
use benches::mail::Sizes;
use benches::measure;
use benches::own_side::{self, Place};
use benches::proxy::{Proxy, Traffic};
use clap::Parser;
use engine::name::Scope;
use engine::ticket::{Request, Session};
use protocol::Text;
use store::sqlite::SqliteStore;

/// Measures what many users cost.
#[derive(Parser)]
struct Arguments {
    /// Users of the store.
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Mailboxes of each user.
    #[arg(long, default_value_t = 3)]
    mailboxes: usize,
    /// Small messages in each mailbox.
    #[arg(long, default_value_t = 5)]
    messages: u64,
    /// Connections of the first run (`sync_client -j`), which waits for the replica's disk; the others have one.
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

const LIMIT: Duration = Duration::from_secs(3_600);

/// One user of so many is changed.
const CHANGED_EVERY: usize = 100;

/// What a run took.
struct Row {
    what: &'static str,
    seconds: f64,
    traffic: Traffic,
    client_kib: u64,
    server_kib: u64,
    client_cpu: f64,
    server_cpu: f64,
    exit_code: i32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.users > 0 && arguments.mailboxes > 0,
        "no users and no mailboxes is nothing to measure"
    );
    let master = Place::new()?;
    let store = own_side::open(&master)?;
    let began = Instant::now();
    populate(&store, &arguments)?;
    eprintln!(
        "{} users made in {:.1} s",
        arguments.users,
        began.elapsed().as_secs_f64()
    );
    let replica = Place::new()?;
    let mut rows = vec![timed("first run", &master, &replica, arguments.jobs)?];
    rows.push(timed("nothing changed", &master, &replica, 1)?);
    change(&store, &arguments, 1)?;
    rows.push(timed("1 % changed", &master, &replica, 1)?);
    change(&store, &arguments, 2)?;
    rows.push(with_one_locked(&master, &replica)?);
    rows.push(timed("the locked one", &master, &replica, 1)?);
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json(&rows, &arguments))?);
    } else {
        print_table(&rows);
    }
    for row in &rows {
        let expected = i32::from(row.what == LOCKED);
        ensure!(
            row.exit_code == expected,
            "{}: exit status {}",
            row.what,
            row.exit_code
        );
    }
    Ok(())
}

const LOCKED: &str = "1 % changed, one locked";

fn user(n: usize) -> String {
    format!("user{n:06}")
}

/// Users are made by as many threads as help: each waits for a disk of its own commits.
fn populate(store: &SqliteStore, arguments: &Arguments) -> Result<()> {
    const THREADS: usize = 8;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || -> Result<()> {
                    let mut session = store.session();
                    for n in (thread..arguments.users).step_by(THREADS) {
                        let folders = arguments.mailboxes - 1;
                        fill::make_user_with_mail(
                            &mut session,
                            &user(n),
                            folders,
                            n as u64,
                            arguments.messages,
                        )?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })
}

fn change(store: &SqliteStore, arguments: &Arguments, round: u64) -> Result<()> {
    let mut session = store.session();
    for n in (0..arguments.users).step_by(CHANGED_EVERY) {
        let series = (round << 32) + n as u64;
        fill::append(&mut session, &user(n), series, 1, Sizes::Tiny)?;
    }
    Ok(())
}

/// A run against a server of its own, so that its peak of memory is this run's.
fn timed(what: &'static str, master: &Place, replica: &Place, jobs: usize) -> Result<Row> {
    let (serving, address) = replica.serve()?;
    let proxy = Proxy::start(address)?;
    let mut command = master.program("sync_client")?;
    command.args(["-S", proxy.address(), "-j", &jobs.to_string(), "-A"]);
    let run = measure::run_with_status(&mut command, LIMIT).context(what)?;
    Ok(Row {
        what,
        seconds: run.wall.as_secs_f64(),
        traffic: proxy.take(),
        client_kib: run.peak_kib,
        server_kib: measure::peak_memory_kib(serving.id()),
        client_cpu: run.cpu_seconds,
        server_cpu: measure::cpu_seconds(serving.id()),
        exit_code: run.exit_code,
    })
}

/// Somebody else writes to the first user at the replica all the time.
fn with_one_locked(master: &Place, replica: &Place) -> Result<Row> {
    let store = own_side::open(replica)?;
    let mut session = store.session();
    let scope = Scope::User(Text::from(user(0)));
    session.execute(Request::Begin { scope })?;
    let row = timed(LOCKED, master, replica, 1);
    session.execute(Request::Rollback)?;
    row
}

fn print_table(rows: &[Row]) {
    println!(
        "{:<24} {:>9} {:>12} {:>12} {:>7} {:>11} {:>11} {:>11} {:>11}",
        "",
        "seconds",
        "bytes up",
        "bytes down",
        "turns",
        "client MiB",
        "server MiB",
        "client CPU",
        "server CPU"
    );
    let mib = |kib: u64| kib as f64 / 1024.0;
    for row in rows {
        println!(
            "{:<24} {:>9.2} {:>12} {:>12} {:>7} {:>11.1} {:>11.1} {:>11.2} {:>11.2}",
            row.what,
            row.seconds,
            row.traffic.up,
            row.traffic.down,
            row.traffic.turns,
            mib(row.client_kib),
            mib(row.server_kib),
            row.client_cpu,
            row.server_cpu
        );
    }
}

fn json(rows: &[Row], arguments: &Arguments) -> serde_json::Value {
    let runs: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "run": row.what,
                "seconds": row.seconds,
                "bytes_up": row.traffic.up,
                "bytes_down": row.traffic.down,
                "turns": row.traffic.turns,
                "client_peak_kib": row.client_kib,
                "server_peak_kib": row.server_kib,
                "client_cpu_seconds": row.client_cpu,
                "server_cpu_seconds": row.server_cpu,
                "exit_code": row.exit_code,
            })
        })
        .collect();
    serde_json::json!({
        "users": arguments.users,
        "mailboxes": arguments.mailboxes,
        "messages": arguments.messages,
        "jobs": arguments.jobs,
        "runs": runs,
    })
}
