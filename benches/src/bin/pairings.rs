//! All four pairings of Cyrus and mailtwin on the same generated mail, in one go, as a table with ratios.
//!
//! Needs root and Debian's Cyrus packages. Every figure is of this machine and this run; only the ratios travel.
#![forbid(unsafe_code)]

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use benches::mail::Sizes;
use benches::measure::{self, Run};
use benches::own_side::{self, Place};
use benches::proxy::{Proxy, Traffic};
use benches::{cyrus_side, fill};
use clap::Parser;
use conformance::cyrus::Cyrus;
use store::sqlite::SqliteStore;

/// Measures Cyrus to Cyrus, Cyrus to mailtwin, mailtwin to Cyrus and mailtwin to mailtwin.
#[derive(Parser)]
struct Arguments {
    /// Messages in the one big mailbox.
    #[arg(long, default_value_t = 20_000)]
    messages: u64,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

const USER: &str = "bench";
const CHANGED: u32 = 100;
const LIMIT: Duration = Duration::from_secs(900);
const STEPS: [&str; 4] = ["initial", "nothing", "100 flags", "one new"];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    eprintln!("making {} messages on both masters ...", arguments.messages);
    let mut sources = [
        Source::cyrus(arguments.messages)?,
        Source::own(arguments.messages)?,
    ];
    let mut rows = Vec::new();
    for source in &mut sources {
        for target in [Kind::Cyrus, Kind::Own] {
            rows.push(measure_pairing(source, target, Wire::Default)?);
        }
    }
    rows.push(measure_pairing(&mut sources[1], Kind::Own, Wire::Deflate)?);
    let bytes: u64 = (0..arguments.messages)
        .map(|n| benches::mail::message(1, n, Sizes::Ordinary).len() as u64)
        .sum();
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json(&rows, arguments.messages, bytes))?
        );
    } else {
        print_table(&rows, arguments.messages, bytes);
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cyrus,
    Own,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Cyrus => "Cyrus",
            Kind::Own => "mailtwin",
        }
    }
}

/// What a client asks for on the wire. Cyrus deflates whenever it is offered; mailtwin not on one machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Default,
    Deflate,
}

/// A master with mail.
enum Source {
    Cyrus {
        server: Box<Cyrus>,
        messages: u64,
    },
    Own {
        place: Place,
        store: SqliteStore,
        messages: u64,
    },
}

impl Source {
    fn cyrus(messages: u64) -> Result<Source> {
        let server = cyrus_side::start("benchmaster", &[USER])?;
        cyrus_side::append(&server, USER, 1, messages, Sizes::Ordinary)?;
        Ok(Source::Cyrus {
            server: Box::new(server),
            messages,
        })
    }

    fn own(messages: u64) -> Result<Source> {
        let place = Place::new()?;
        let store = own_side::open(&place)?;
        fill::append(&mut store.session(), USER, 1, messages, Sizes::Ordinary)?;
        Ok(Source::Own {
            place,
            store,
            messages,
        })
    }

    fn kind(&self) -> Kind {
        match self {
            Source::Cyrus { .. } => Kind::Cyrus,
            Source::Own { .. } => Kind::Own,
        }
    }

    fn client(&self, target: &str, wire: Wire) -> Result<Command> {
        let mut command = match self {
            Source::Cyrus { server, .. } => server.sync_client_command(target, &[]),
            Source::Own { place, .. } => {
                let mut command = place.program("sync_client")?;
                command.args(["-S", target]);
                command
            }
        };
        if wire == Wire::Deflate {
            command.arg("-z");
        }
        command.args(["-u", USER]);
        Ok(command)
    }

    fn flag(&self) -> Result<()> {
        match self {
            Source::Cyrus { server, messages } => {
                cyrus_side::flag(server, USER, u64::from(CHANGED), *messages)
            }
            Source::Own { store, .. } => fill::flag(&mut store.session(), USER, CHANGED),
        }
    }

    fn append_one(&mut self) -> Result<()> {
        match self {
            Source::Cyrus { server, messages } => {
                *messages += 1;
                cyrus_side::append(server, USER, 2 + *messages, 1, Sizes::Ordinary)
            }
            Source::Own { store, messages, .. } => {
                *messages += 1;
                fill::append(&mut store.session(), USER, 2 + *messages, 1, Sizes::Ordinary)
            }
        }
    }
}

/// An empty replica.
enum Target {
    Cyrus(Box<Cyrus>),
    Own {
        _place: Place,
        serving: own_side::Serving,
        address: String,
    },
}

impl Target {
    fn start(kind: Kind) -> Result<Target> {
        match kind {
            Kind::Cyrus => Ok(Target::Cyrus(Box::new(cyrus_side::start(
                "benchreplica",
                &[USER],
            )?))),
            Kind::Own => {
                let place = Place::new()?;
                let (serving, address) = place.serve()?;
                Ok(Target::Own {
                    _place: place,
                    serving,
                    address,
                })
            }
        }
    }

    fn address(&self) -> String {
        match self {
            Target::Cyrus(server) => server.csync_address(),
            Target::Own { address, .. } => address.clone(),
        }
    }

    fn peak_kib(&self) -> u64 {
        match self {
            Target::Cyrus(server) => measure::peak_of_children_kib(server.master_pid(), "sync_server"),
            Target::Own { serving, .. } => measure::peak_memory_kib(serving.id()),
        }
    }
}

struct Pairing {
    name: String,
    /// One per step of [`STEPS`].
    runs: Vec<Run>,
    traffic: Vec<Traffic>,
    client_peak_kib: u64,
    server_peak_kib: u64,
}

/// One pass is timed without anything in between, a second one, to another empty replica, goes through the counting
/// proxy.
fn measure_pairing(source: &mut Source, kind: Kind, wire: Wire) -> Result<Pairing> {
    let suffix = if wire == Wire::Deflate { " -z" } else { "" };
    let name = format!("{} to {}{suffix}", source.kind().name(), kind.name());
    eprintln!("{name} ...");
    let target = Target::start(kind)?;
    let runs = steps(source, &target.address(), wire, |_| ())?;
    let server_peak_kib = target.peak_kib();
    drop(target);

    let target = Target::start(kind)?;
    let proxy = Proxy::start(target.address())?;
    let mut traffic = Vec::new();
    steps(source, proxy.address(), wire, |_| traffic.push(proxy.take()))
        .context("the pass through the proxy")?;
    let client_peak_kib = runs.iter().map(|run| run.peak_kib).max().unwrap_or(0);
    Ok(Pairing {
        name,
        runs,
        traffic,
        client_peak_kib,
        server_peak_kib,
    })
}

fn steps(source: &mut Source, address: &str, wire: Wire, mut after: impl FnMut(&Run)) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for step in STEPS {
        match step {
            "100 flags" => source.flag()?,
            "one new" => source.append_one()?,
            _ => {}
        }
        let run = measure::run(&mut source.client(address, wire)?, LIMIT)
            .with_context(|| format!("step {step:?}"))?;
        after(&run);
        runs.push(run);
    }
    Ok(runs)
}

fn print_table(rows: &[Pairing], messages: u64, bytes: u64) {
    let mb = bytes as f64 / 1e6;
    println!(
        "{messages} messages, {mb:.0} MB, one mailbox; times in seconds, memory in MiB, ratio to Cyrus to Cyrus\n"
    );
    println!(
        "{:<23} {:>8} {:>8} {:>7} {:>6} {:>8} {:>9} {:>8} {:>7} {:>7}",
        "", "initial", "msg/s", "MB/s", "ratio", "nothing", "100 flags", "one new", "client", "server"
    );
    let base = rows.first().map_or(1.0, |row| row.runs[0].wall.as_secs_f64());
    for row in rows {
        let seconds: Vec<f64> = row.runs.iter().map(|run| run.wall.as_secs_f64()).collect();
        println!(
            "{:<23} {:>8.2} {:>8.0} {:>7.1} {:>5.1}x {:>8.3} {:>9.3} {:>8.3} {:>7.0} {:>7.0}",
            row.name,
            seconds[0],
            messages as f64 / seconds[0],
            mb / seconds[0],
            base / seconds[0],
            seconds[1],
            seconds[2],
            seconds[3],
            row.client_peak_kib as f64 / 1024.0,
            row.server_peak_kib as f64 / 1024.0,
        );
    }
    println!("\non the wire: bytes to the replica / bytes back / round trips");
    println!(
        "{:<23} {:>27} {:>19} {:>19} {:>19}",
        "", STEPS[0], STEPS[1], STEPS[2], STEPS[3]
    );
    for row in rows {
        let cell = |t: &Traffic| format!("{}/{}/{}", t.up, t.down, t.turns);
        let cells: Vec<String> = row.traffic.iter().map(cell).collect();
        println!(
            "{:<23} {:>27} {:>19} {:>19} {:>19}",
            row.name, cells[0], cells[1], cells[2], cells[3]
        );
    }
}

fn json(rows: &[Pairing], messages: u64, bytes: u64) -> serde_json::Value {
    let pairings: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            let steps: Vec<serde_json::Value> = STEPS
                .iter()
                .zip(row.runs.iter().zip(&row.traffic))
                .map(|(step, (run, traffic))| {
                    serde_json::json!({
                        "step": step, "seconds": run.wall.as_secs_f64(), "bytes_up": traffic.up,
                        "bytes_down": traffic.down, "round_trips": traffic.turns,
                    })
                })
                .collect();
            serde_json::json!({
                "pairing": row.name, "steps": steps, "client_peak_kib": row.client_peak_kib,
                "server_peak_kib": row.server_peak_kib,
            })
        })
        .collect();
    serde_json::json!({ "messages": messages, "bytes": bytes, "pairings": pairings })
}
