//! What distance costs: a mailtwin pair and a Cyrus pair through the same delaying proxy, as a table with ratios.
//!
//! Needs root and Debian's Cyrus packages. Each population is replicated once without the delay; then one message is
//! added to every mailbox, and the run that brings these over the long way is timed; then one that has nothing to do.
#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benches::measure;
use benches::own_side::{self, Place};
use benches::proxy::{Proxy, Traffic};
use benches::{cyrus_side, fill};
use clap::Parser;

/// Times runs over a long way.
#[derive(Parser)]
struct Arguments {
    /// Milliseconds that everything takes, each way.
    #[arg(long, default_value_t = 100)]
    delay: u64,
    /// Mailboxes of the populations with changes.
    #[arg(long, default_value_t = 1_000)]
    mailboxes: usize,
    /// Users that the second population has.
    #[arg(long, default_value_t = 100)]
    users: usize,
    /// Users, of one mailbox each, of the population without changes.
    #[arg(long, default_value_t = 1_000)]
    idle_users: usize,
    /// Fail unless mailtwin is this many times faster in every run whose Cyrus side waits for each mailbox or user: those
    /// with a change in each, and the one of users without any.
    #[arg(long)]
    at_least: Option<f64>,
    /// Only mailtwin's side, for whoever works on it.
    #[arg(long, conflicts_with = "at_least")]
    own: bool,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

const LIMIT: Duration = Duration::from_secs(7_200);

/// Users with folders.
struct Population {
    name: &'static str,
    users: Vec<String>,
    folders: usize,
    changes: bool,
}

/// One timed run.
#[derive(Clone, Copy)]
struct Timed {
    seconds: f64,
    traffic: Traffic,
}

/// The same run on both sides.
struct Row {
    population: String,
    what: &'static str,
    theirs: Option<Timed>,
    ours: Timed,
    /// Whether Cyrus waits for something in each mailbox or user, so that the ratio says something.
    counts: bool,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.theirs.map(|theirs| theirs.seconds / self.ours.seconds)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let names = |count: usize| (0..count).map(|n| format!("far{n:05}")).collect::<Vec<_>>();
    let populations = [
        Population {
            name: "mailboxes of one user",
            users: names(1),
            folders: arguments.mailboxes.saturating_sub(1),
            changes: true,
        },
        Population {
            name: "mailboxes of many users",
            users: names(arguments.users),
            folders: (arguments.mailboxes / arguments.users.max(1)).saturating_sub(1),
            changes: true,
        },
        Population {
            name: "users, one mailbox each",
            users: names(arguments.idle_users),
            folders: 0,
            changes: false,
        },
    ];
    let mut rows = Vec::new();
    for population in &populations {
        rows.extend(compare(population, &arguments)?);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json(&rows, &arguments))?);
    } else {
        print_table(&rows, arguments.delay);
    }
    let counting = rows.iter().filter(|row| row.counts).filter_map(Row::ratio);
    let worst = counting.fold(f64::INFINITY, f64::min);
    if let Some(least) = arguments.at_least {
        ensure!(
            worst >= least,
            "one run was only {worst:.1} times faster, not {least}"
        );
    }
    Ok(())
}

fn compare(population: &Population, arguments: &Arguments) -> Result<Vec<Row>> {
    let delay = Duration::from_millis(arguments.delay);
    let count = population.users.len() * (population.folders + 1);
    let name = format!("{count} {}", population.name);
    let mut theirs = Vec::new();
    if !arguments.own {
        eprintln!("{name}: Cyrus ...");
        theirs = cyrus(population, delay)?;
    }
    eprintln!("{name}: mailtwin ...");
    let ours = own(population, delay)?;
    let rows = ours.into_iter().enumerate().map(|(at, (what, ours))| Row {
        population: name.clone(),
        what,
        theirs: theirs.get(at).map(|(_, timed)| *timed),
        ours,
        counts: what == CHANGED || !population.changes,
    });
    Ok(rows.collect())
}

fn print_table(rows: &[Row], delay: u64) {
    println!("{delay} ms each way; seconds / bytes up / bytes down / turns\n");
    println!(
        "{:<32} {:<14} {:>32} {:>32} {:>8}",
        "", "", "Cyrus", "mailtwin", "ratio"
    );
    let cell = |t: &Timed| {
        format!(
            "{:.2}/{}/{}/{}",
            t.seconds, t.traffic.up, t.traffic.down, t.traffic.turns
        )
    };
    for row in rows {
        println!(
            "{:<32} {:<14} {:>32} {:>32} {:>8}",
            row.population,
            row.what,
            row.theirs.as_ref().map_or_else(|| "-".to_owned(), cell),
            cell(&row.ours),
            row.ratio()
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}x"))
        );
    }
}

fn json(rows: &[Row], arguments: &Arguments) -> serde_json::Value {
    let side = |t: &Timed| {
        serde_json::json!({
            "seconds": t.seconds,
            "bytes_up": t.traffic.up,
            "bytes_down": t.traffic.down,
            "turns": t.traffic.turns,
        })
    };
    let runs: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "population": row.population,
                "run": row.what,
                "cyrus": row.theirs.as_ref().map(side),
                "mailtwin": side(&row.ours),
                "ratio": row.ratio(),
                "counts": row.counts,
            })
        })
        .collect();
    serde_json::json!({ "delay_ms": arguments.delay, "runs": runs })
}

const CHANGED: &str = "one new each";

type Runs = Vec<(&'static str, Timed)>;

/// Brings the population over without delay, then times what follows.
fn time(
    population: &Population,
    target: String,
    delay: Duration,
    client: impl Fn(&str) -> Result<Command>,
    change: impl Fn() -> Result<()>,
) -> Result<Runs> {
    measure::run(&mut client(&target)?, LIMIT).context("the first run")?;
    let proxy = Proxy::start_far(target, delay)?;
    let mut runs = Vec::new();
    if population.changes {
        change()?;
        runs.push((CHANGED, timed(&proxy, client(proxy.address())?)?));
    }
    runs.push(("nothing to do", timed(&proxy, client(proxy.address())?)?));
    Ok(runs)
}

fn timed(proxy: &Proxy, mut command: Command) -> Result<Timed> {
    proxy.take();
    let run = measure::run(&mut command, LIMIT)?;
    Ok(Timed {
        seconds: run.wall.as_secs_f64(),
        traffic: proxy.take(),
    })
}

fn cyrus(population: &Population, delay: Duration) -> Result<Runs> {
    let master = cyrus_side::start("farmaster", &[])?;
    let replica = cyrus_side::start("farreplica", &[])?;
    for user in &population.users {
        cyrus_side::make_user(&master, user, population.folders)?;
    }
    let client = |target: &str| {
        let mut command = master.sync_client_command(target, &["-u"]);
        command.args(&population.users);
        Ok(command)
    };
    let change = || {
        for (n, user) in population.users.iter().enumerate() {
            cyrus_side::append_to_each(&master, user, population.folders, n as u64)?;
        }
        Ok(())
    };
    time(population, replica.csync_address(), delay, client, change)
}

fn own(population: &Population, delay: Duration) -> Result<Runs> {
    let master = Place::new()?;
    let store = own_side::open(&master)?;
    let mut session = store.session();
    for user in &population.users {
        fill::make_user(&mut session, user, population.folders)?;
    }
    drop(session);
    let replica = Place::new()?;
    let (_serving, address) = replica.serve()?;
    let client = |target: &str| {
        let mut command = master.program("sync_client")?;
        command.args(["-S", target, "-u"]).args(&population.users);
        Ok(command)
    };
    let change = || {
        let mut session = store.session();
        for (n, user) in population.users.iter().enumerate() {
            fill::append_to_each(&mut session, user, n as u64)?;
        }
        Ok(())
    };
    time(population, address, delay, client, change)
}
