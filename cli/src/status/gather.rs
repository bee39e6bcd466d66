//! All channels of a configuration, as they are now.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use monitor::health::{Level, Thresholds};
use monitor::status::{FILE_NAME, StatusFile};
use monitor::view::ChannelView;
use net::config::{Config, Service, Settings};
use protocol::synclog::Lines;
use rustix::process::{Pid, test_kill_process};

use crate::failure::{Exit, Failure, Result};
use crate::table;

/// Largest log that is counted line by line, bytes; of a larger one only the size is told.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// Files of a channel that hold lines nobody has replicated yet.
const LOGS: [&str; 3] = ["log", "log-run", "log-next"];

/// A channel that belongs to Cyrus's indexer, which is no replica.
const SQUATTER: &str = "squatter";

/// The key that would make it one.
const SQUATTER_HOST: &str = "squatter_sync_host";

/// Milliseconds since the epoch.
pub fn now_ms() -> u64 {
    millis(SystemTime::now())
}

/// Settings of each channel that the configuration names, or of the one asked for.
pub fn channels(config: &Config, only: Option<&str>) -> Result<Vec<Settings>> {
    let wrong = |error: net::config::ConfigError| Failure::new(Exit::Config, error.to_string());
    let names = match only {
        Some(name) => {
            let name = net::config::channel_name(name).map_err(|error| Failure::new(Exit::Usage, error))?;
            vec![known(name, &config.channels().map_err(wrong)?)?]
        }
        None => config.channels().map_err(wrong)?,
    };
    let mut found = Vec::new();
    for name in names {
        let settings = Settings::for_channel(config, name.as_deref()).map_err(wrong)?;
        let indexer = name.as_deref() == Some(SQUATTER) && config.get(SQUATTER_HOST).is_none();
        if only.is_some() || !indexer {
            found.push(settings);
        }
    }
    Ok(found)
}

/// The channel, if some line of the configuration names it.
fn known(name: Option<String>, channels: &[Option<String>]) -> Result<Option<String>> {
    let lower = |name: &Option<String>| name.as_deref().unwrap_or_default().to_ascii_lowercase();
    if channels.iter().any(|channel| lower(channel) == lower(&name)) {
        return Ok(name);
    }
    let title = |channel: &Option<String>| {
        channel
            .clone()
            .unwrap_or_else(|| "the default channel".to_owned())
    };
    let there = match channels {
        [] => "there is none".to_owned(),
        channels => format!(
            "there are {}",
            channels.iter().map(title).collect::<Vec<_>>().join(", ")
        ),
    };
    let shown = name.as_deref().unwrap_or_default();
    let text = format!(
        "no line of the configuration makes a channel {shown:?} ({there}); name it in `sync_log_channels`, or set `{shown}_sync_host`"
    );
    Err(Failure::new(Exit::Usage, text))
}

/// Loads a configuration and says its channels.
pub fn load(path: &Path, only: Option<&str>) -> Result<Vec<Settings>> {
    let config = Config::load(path, Service::SyncClient)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    channels(&config, only)
}

/// A channel as it is now.
pub fn look(settings: &Settings, limits: &Thresholds) -> ChannelView {
    let now_ms = now_ms();
    let folder = settings.channel_dir();
    let replica = settings.sync_host.as_ref().map(ToString::to_string);
    let backlog = Backlog::of(&folder);
    let mut view = match StatusFile::read(&folder.join(FILE_NAME)) {
        Ok(Some(status)) => {
            let alive = is_alive(status.pid);
            ChannelView::of(status, alive, now_ms, limits)
        }
        Ok(None) => ChannelView::unknown(settings.channel.as_deref(), replica.as_deref()),
        Err(error) => {
            let mut view = ChannelView::unknown(settings.channel.as_deref(), replica.as_deref());
            view.add(Level::Trouble, error.to_string());
            view
        }
    };
    let backlog = match backlog {
        Ok(backlog) => backlog,
        Err(error) => {
            view.add(Level::Trouble, format!("{}: {error}", folder.display()));
            return view;
        }
    };
    if !view.running {
        without_daemon(&mut view, settings, &backlog, now_ms, limits);
    } else if let Some(waiting) = &mut view.waiting {
        // A daemon counts what it has read; the rest is on its way to it.
        *waiting = waiting.saturating_add(backlog.unread_lines);
    }
    view
}

/// Nobody works on it: what waits is in the files.
fn without_daemon(
    view: &mut ChannelView,
    settings: &Settings,
    backlog: &Backlog,
    now_ms: u64,
    limits: &Thresholds,
) {
    let lag_ms = backlog.oldest_ms.map_or(0, |since| now_ms.saturating_sub(since));
    view.lag_ms = Some(lag_ms);
    view.waiting = Some(backlog.lines);
    let logged = settings.log.enabled && settings.log.channels.contains(&settings.channel);
    let waits = match (backlog.lines, backlog.huge_bytes) {
        (0, 0) => String::new(),
        (lines, 0) => format!("; {} in its log", table::count(lines, "line")),
        (_, bytes) => format!("; {} in its log", table::bytes(bytes)),
    };
    match (&view.status, logged, backlog.lines + backlog.huge_bytes) {
        (Some(_), _, 0) => {}
        (Some(_), _, _) => view.add(Level::Trouble, format!("nobody replicates{waits}")),
        (None, true, _) => view.add(
            Level::Trouble,
            format!("no sync_client of mailtwin works on this channel{waits}"),
        ),
        (None, false, 0) => {}
        (None, false, _) => view.add(Level::Warning, format!("nobody replicates{waits}")),
    }
    if lag_ms > limits.lag_ms_max && backlog.lines > 0 && view.status.is_some() {
        let text = format!("{} behind", monitor::health::span(lag_ms));
        view.add(Level::Trouble, text);
    }
}

/// Whether a process of this id exists. It may be another one by now; the age of the status tells then.
fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// Lines of a channel's log files.
#[derive(Default)]
struct Backlog {
    /// All of them.
    lines: u64,
    /// Those that no reader has taken yet.
    unread_lines: u64,
    /// When the oldest file was begun, milliseconds since the epoch: no line is older.
    oldest_ms: Option<u64>,
    /// Bytes of files too large to count.
    huge_bytes: u64,
}

impl Backlog {
    fn of(folder: &Path) -> io::Result<Backlog> {
        let mut backlog = Backlog::default();
        for name in LOGS {
            let file = match File::open(folder.join(name)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            backlog.add(&file, name == LOGS[0])?;
        }
        Ok(backlog)
    }

    fn add(&mut self, file: &File, unread: bool) -> io::Result<()> {
        let meta = file.metadata()?;
        if meta.len() > LOG_BYTES_MAX {
            self.huge_bytes = self.huge_bytes.saturating_add(meta.len());
        } else {
            let mut bytes = Vec::new();
            file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
            let lines = Lines::new(&bytes).count() as u64;
            self.lines += lines;
            self.unread_lines += if unread { lines } else { 0 };
            if lines == 0 {
                return Ok(());
            }
        }
        let begun = meta.created().or_else(|_| meta.modified()).map(millis)?;
        self.oldest_ms = Some(self.oldest_ms.map_or(begun, |oldest| oldest.min(begun)));
        Ok(())
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the folder of a channel is there at all.
pub fn has_folder(settings: &Settings) -> bool {
    fs::metadata(settings.channel_dir()).is_ok_and(|meta| meta.is_dir())
}
