//! `mailtwin status`: how replication stands.

pub mod args;
mod gather;
pub mod quarantine;
mod serve;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use monitor::health::{Level, Thresholds, span};
use monitor::status::State;
use monitor::view::ChannelView;
use net::config::Settings;

use crate::failure::{Exit, Failure, Result};
use crate::names::printable;
use crate::output;
use crate::table::{self, Align, Table};
use args::StatusArgs;

pub use gather::{channels, look};

/// Shows all channels.
///
/// # Errors
/// [`Exit::Unequal`] when one is not fine.
pub fn run(config: &Path, args: &StatusArgs) -> Result<()> {
    let limits = limits(args);
    let settings = gather::load(config, args.channel.as_deref())?;
    if settings.is_empty() {
        let text = "no channel is configured: set `sync_host` (or `CHANNEL_sync_host`), and `sync_log: yes` where changes are \
                    to be logged";
        return Err(Failure::new(
            Exit::Config,
            format!("{}: {text}", config.display()),
        ));
    }
    if let Some(address) = args.listen {
        return serve::run(address, settings, limits);
    }
    let Some(seconds) = args.watch else {
        return once(&settings, args, &limits);
    };
    loop {
        if !args.json && console::Term::stdout().is_term() {
            // A terminal that cannot be cleared shows one state below the other.
            let _ = console::Term::stdout().clear_screen();
        }
        let _ = once(&settings, args, &limits);
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// The thresholds of the arguments.
fn limits(args: &StatusArgs) -> Thresholds {
    Thresholds {
        lag_ms_max: u64::try_from(args.lag_max.as_millis()).unwrap_or(u64::MAX),
        waiting_max: args.waiting_max.unwrap_or(u64::MAX),
        quarantined_max: args.quarantine_max,
    }
}

fn once(settings: &[Settings], args: &StatusArgs, limits: &Thresholds) -> Result<()> {
    let views: Vec<ChannelView> = settings.iter().map(|settings| look(settings, limits)).collect();
    if args.json {
        output::print_json(&views)?;
    } else {
        print(&views)?;
    }
    let bad = views.iter().filter(|view| view.level > Level::Fine).count();
    if bad == 0 {
        return Ok(());
    }
    let text = format!(
        "{bad} of {} not fine",
        table::count(views.len() as u64, "channel")
    );
    Err(Failure::new(Exit::Unequal, text))
}

fn print(views: &[ChannelView]) -> Result<()> {
    let mut table = Table::new(&[
        ("CHANNEL", Align::Left),
        ("STATE", Align::Left),
        ("LAG", Align::Right),
        ("WAITING", Align::Right),
        ("QUARANTINE", Align::Right),
        ("WORKERS", Align::Right),
        ("LAST CHANGE", Align::Right),
        ("REPLICA", Align::Left),
    ]);
    let now_ms = gather::now_ms();
    for view in views {
        let status = view.status.as_ref();
        let workers = status.filter(|_| view.running).map(|status| {
            let workers = &status.workers;
            format!("{}/{}", workers.busy, workers.total)
        });
        let last = status.and_then(|status| status.last_success_at_ms);
        table.row(vec![
            printable(view.title()),
            state(view, now_ms),
            view.lag_ms
                .map_or_else(dash, |ms| if ms == 0 { dash() } else { span(ms) }),
            view.waiting.map_or_else(dash, table::grouped),
            table::grouped(view.quarantined),
            workers.unwrap_or_else(dash),
            last.map_or_else(dash, |at_ms| {
                format!("{} ago", span(now_ms.saturating_sub(at_ms)))
            }),
            printable(view.replica.as_deref().unwrap_or("-")),
        ]);
    }
    output::to_stdout(|out| {
        for line in table.lines(table::screen_width()) {
            writeln!(out, "{line}")?;
        }
        views.iter().try_for_each(|view| details(view, now_ms, out))
    })
}

fn state(view: &ChannelView, now_ms: u64) -> String {
    let text = match &view.status {
        None => "no daemon",
        Some(_) if !view.running => "not running",
        Some(status) => match status.state {
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Waiting { until_ms } => {
                return format!("retry in {}", span(until_ms.saturating_sub(now_ms)));
            }
            State::Stopping => "stopping",
            State::Stopped { .. } => "stopped",
        },
    };
    text.to_owned()
}

/// What is wrong, and the last error.
fn details(view: &ChannelView, now_ms: u64, out: &mut dyn Write) -> std::io::Result<()> {
    let title = printable(view.title());
    for problem in &view.problems {
        let word = if problem.level == Level::Trouble {
            "TROUBLE"
        } else {
            "warning"
        };
        writeln!(out, "{title}: {word}: {}", printable(&problem.text))?;
    }
    let error = view.status.as_ref().and_then(|status| status.last_error.as_ref());
    if let Some(error) = error {
        let ago = span(now_ms.saturating_sub(error.at_ms));
        writeln!(
            out,
            "{title}: last error, {ago} ago: {}: {}",
            printable(&error.code),
            printable(&error.text)
        )?;
    }
    Ok(())
}

fn dash() -> String {
    "-".to_owned()
}
