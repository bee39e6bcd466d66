//! `mailtwin quarantine`: changes that were put aside because they failed again and again.

use std::path::Path;

use engine::rolling::{Entry, Quarantined, Queue, QueueConfig};
use monitor::health::{Thresholds, span};
use monitor::status;
use net::config::Settings;
use protocol::synclog::{Action, parse_line};
use serde::Serialize;
use synclog::{Channel, ChannelName, LogError, Writer};

use super::args::QuarantineCommand;
use super::gather;
use crate::failure::{Exit, Failure, Result};
use crate::names::printable;
use crate::{output, table};

/// An entry as listed.
#[derive(Serialize)]
struct Row {
    channel: Option<String>,
    #[serde(flatten)]
    entry: status::Quarantined,
}

/// Does it.
pub fn run(config: &Path, command: &QuarantineCommand) -> Result<()> {
    match command {
        QuarantineCommand::List { channel, json } => list(config, channel.as_deref(), *json),
        QuarantineCommand::Retry { channel, change } => {
            let settings = one(config, channel.as_deref())?;
            retry(&settings, change.as_deref())
        }
        QuarantineCommand::Drop { channel, change, .. } => {
            let settings = one(config, channel.as_deref())?;
            drop_entries(&settings, change.as_deref())
        }
    }
}

fn one(config: &Path, channel: Option<&str>) -> Result<Settings> {
    let found = gather::load(config, Some(channel.unwrap_or_default()))?.pop();
    found.ok_or_else(|| Failure::new(Exit::Config, "there is no such channel"))
}

fn list(config: &Path, channel: Option<&str>, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for settings in gather::load(config, channel)? {
        let entries = entries_of(&settings)?;
        rows.extend(entries.into_iter().map(|entry| Row {
            channel: settings.channel.clone(),
            entry,
        }));
    }
    if json {
        return output::print_json(&rows);
    }
    if rows.is_empty() {
        return output::note("nothing is in quarantine");
    }
    let now_ms = gather::now_ms();
    output::to_stdout(|out| {
        rows.iter().try_for_each(|row| {
            let channel = row.channel.as_deref().unwrap_or("default channel");
            let entry = &row.entry;
            writeln!(
                out,
                "{}: {}\n    since {}, tried {}: {}",
                printable(channel),
                printable(&entry.action),
                span(now_ms.saturating_sub(entry.since_ms)),
                table::count(u64::from(entry.attempts), "time"),
                printable(&entry.reason)
            )
        })
    })
}

/// Of the daemon when one runs, else of the files.
fn entries_of(settings: &Settings) -> Result<Vec<status::Quarantined>> {
    let view = gather::look(settings, &Thresholds::default());
    if view.running || !gather::has_folder(settings) {
        return Ok(view.status.map(|status| status.quarantine).unwrap_or_default());
    }
    let held = Channel::quarantined_in(&settings.sync_dir, settings.channel.as_deref()).map_err(failed)?;
    Ok(held
        .into_iter()
        .map(|entry| status::Quarantined {
            action: line_of(&entry.action),
            logged_at_ms: entry.logged_at_ms,
            since_ms: entry.since_ms,
            attempts: entry.attempts,
            reason: entry.reason,
        })
        .collect())
}

/// With a daemon the change is logged once more, which makes it try soon; without, the files are put right.
fn retry(settings: &Settings, change: Option<&str>) -> Result<()> {
    let view = gather::look(settings, &Thresholds::default());
    if view.running {
        let held = view.status.map(|status| status.quarantine).unwrap_or_default();
        let lines: Vec<String> = held.into_iter().map(|entry| entry.action).collect();
        let chosen = match change {
            Some(change) if lines.iter().any(|line| line == change) => vec![change.to_owned()],
            Some(change) => return Err(not_held(change)),
            None => lines,
        };
        let actions = chosen.iter().map(|line| read(line)).collect::<Result<Vec<_>>>()?;
        let name = ChannelName::parse(settings.channel.as_deref().unwrap_or_default()).map_err(failed)?;
        Writer::new(&settings.sync_dir, vec![name])
            .append(&actions)
            .map_err(failed)?;
        return told(
            actions.len(),
            "will be tried by the running daemon within minutes",
        );
    }
    let action = change.map(read).transpose()?;
    let (mut channel, mut queue) = opened(settings, |_| true)?;
    let count = queue.release(gather::now_ms(), action.as_ref());
    if let (Some(change), 0) = (change, count) {
        return Err(not_held(change));
    }
    channel.keep(&queue).map_err(failed)?;
    told(count, "will be tried when a daemon runs")
}

fn drop_entries(settings: &Settings, change: Option<&str>) -> Result<()> {
    let action = change.map(read).transpose()?;
    let mut dropped = 0;
    let (mut channel, queue) = opened(settings, |entry| {
        let chosen = action.as_ref().is_none_or(|action| entry.action == *action);
        dropped += usize::from(chosen);
        !chosen
    })?;
    if let (Some(change), 0) = (change, dropped) {
        return Err(not_held(change));
    }
    channel.keep(&queue).map_err(failed)?;
    told(dropped, "will not be replicated unless it changes again")
}

/// Becomes the reader of the channel, with a queue of all that it holds, and of the quarantined ones those to keep.
fn opened(settings: &Settings, keep: impl FnMut(&Quarantined) -> bool) -> Result<(Channel, Queue)> {
    let mut channel = open(settings)?;
    let mut queue = Queue::new(QueueConfig::default());
    let mut held = channel.quarantined();
    held.retain(keep);
    queue.restore(held);
    let taken = channel.take().map_err(failed)?;
    let entries: Vec<Entry> = taken.entries;
    queue.add(gather::now_ms(), entries);
    Ok((channel, queue))
}

fn open(settings: &Settings) -> Result<Channel> {
    Channel::open(&settings.sync_dir, settings.channel.as_deref()).map_err(failed)
}

fn read(line: &str) -> Result<Action> {
    let wrong = || {
        Failure::new(
            Exit::Usage,
            format!("{line:?} is no change; write it as `mailtwin quarantine list` does"),
        )
    };
    parse_line(line.as_bytes())
        .map_err(|_| wrong())?
        .ok_or_else(wrong)
}

fn line_of(action: &Action) -> String {
    let mut line = Vec::new();
    match action.print(&mut line) {
        Ok(()) => String::from_utf8_lossy(line.trim_ascii_end()).into_owned(),
        Err(_) => format!("{action:?}"),
    }
}

fn not_held(change: &str) -> Failure {
    let text = format!("{change:?} is not in quarantine; `mailtwin quarantine list` shows what is");
    Failure::new(Exit::NoInput, text)
}

fn told(count: usize, what: &str) -> Result<()> {
    output::note(&format!("{} {what}", table::count(count as u64, "change")))
}

fn failed(error: LogError) -> Failure {
    let exit = match &error {
        LogError::InUse { .. } => Exit::Locked,
        LogError::BadChannel { .. } => Exit::Config,
        _ => Exit::Io,
    };
    Failure::new(exit, error.to_string())
}
