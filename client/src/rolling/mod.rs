//! Rolling replication (`-r`, `-R`): what the log of a channel says is replicated as it comes. [CS-LOG-24]
//!
//! The parts: [`source`] reads the log, `engine::rolling::Queue` decides what is done next, [`crate::pool`] holds the
//! connections, and [`daemon`] carries things between them. One entry that fails, a locked user or a large message never
//! holds up the others.

mod background;
mod backoff;
mod daemon;
mod manager;
mod pidfile;
mod signals;
mod source;
mod status;
mod strikes;
mod wake;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::rolling::{Queue, QueueConfig};
use net::config::{Config, Service, Settings};
use store::sqlite::SqliteStore;
use synclog::Channel;

use self::daemon::{Daemon, Options, Reload};
use self::pidfile::PidFile;
use self::signals::Signals;
use self::source::Source;
use self::status::Status;
use crate::args::Args;
use crate::failure::Failure;
use crate::route::{self, Route, open_store};

pub(crate) use self::background::{detach, is_background};

/// Name of the pid file beside the log.
const PID_FILE: &str = "sync_client.pid";

/// Threads that carry bytes; each connection's store session has one of its own beside these.
const THREADS: usize = 2;

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs the daemon to its end; the exit status says how it ended.
///
/// # Errors
/// What keeps it from beginning; with `-o` also that there is no connection.
pub(crate) fn run(args: &Args, config: &Config, settings: &Settings) -> Result<u8, Failure> {
    let folder = settings.channel_dir();
    let logged = settings.log.enabled && settings.log.channels.contains(&settings.channel);
    if !logged && args.input_file.is_none() {
        tracing::warn!(
            "no change that mailtwin makes here is logged for this channel (see `sync_log` and `sync_log_channels`); only what \
             others write into {} is replicated",
            folder.join("log").display()
        );
    }
    let target = route::target(args, config, settings)?;
    let store = open_store(args, &settings.store, true)?;
    let route = Route::new(args, settings, target, store.clone())?;
    if args.delayed_startup > Duration::ZERO {
        std::thread::sleep(args.delayed_startup);
    }
    let source = match &args.input_file {
        Some(path) => Source::file(path, now_ms())?,
        None => open_channel(settings)?,
    };
    let in_background = is_background();
    let _pid_file = note_process(args, &folder, in_background)?;
    if in_background {
        background::leave_terminal().map_err(Failure::System)?;
        background::say_ready().map_err(Failure::System)?;
    }
    let published = matches!(source, Source::Channel(_)).then_some(folder.as_path());
    let status = Status::new(settings.channel.as_deref(), route.replica(), published, now_ms());
    let options = Options {
        channel: settings.channel.clone().unwrap_or_default(),
        folder: folder.clone(),
        once: args.rolling_once || args.input_file.is_some(),
        connect_once: args.connect_once,
    };
    let changeable = changeable(args, settings, route);
    let queue = Queue::new(queue_config(settings));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let signals = Signals::new()?;
        status.serve(&settings.rolling.metrics_listen).await;
        Daemon::new(
            options,
            changeable,
            reload(args.clone(), store),
            source,
            queue,
            status,
        )
        .run(signals)
        .await
    })
}

fn open_channel(settings: &Settings) -> Result<Source, Failure> {
    let folder = settings.channel_dir();
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::Setting(format!(
            "cannot make the channel's folder {}: {error}",
            folder.display()
        ))
    })?;
    let channel = Channel::open(&settings.sync_dir, settings.channel.as_deref()).map_err(Failure::Log)?;
    Ok(Source::Channel(Box::new(channel)))
}

/// In the background always, else when asked to.
fn note_process(args: &Args, folder: &Path, in_background: bool) -> Result<Option<PidFile>, Failure> {
    let path: PathBuf = match (&args.pidfile, in_background) {
        (Some(path), _) => path.clone(),
        (None, true) => folder.join(PID_FILE),
        (None, false) => return Ok(None),
    };
    PidFile::create(&path)
        .map(Some)
        .map_err(|error| Failure::Setting(format!("cannot write the pid file {}: {error}", path.display())))
}

fn changeable(args: &Args, settings: &Settings, route: Route) -> daemon::Settings {
    let rolling = &settings.rolling;
    let jobs = args.jobs.and_then(|jobs| usize::try_from(jobs).ok());
    daemon::Settings {
        route,
        workers: jobs.unwrap_or(rolling.workers),
        interval: args.delay.unwrap_or(rolling.repeat_interval),
        // Who asks for a pause between two looks gets it.
        wake: rolling.wake && args.delay.is_none(),
        reconnect_maxwait: rolling.reconnect_maxwait,
        shutdown_file: args
            .shutdown_file
            .clone()
            .or_else(|| rolling.shutdown_file.clone()),
        grace: settings.shutdown_grace,
        renew: args.timeout,
    }
}

fn queue_config(settings: &Settings) -> QueueConfig {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let rolling = &settings.rolling;
    QueueConfig {
        retry_first_ms: ms(rolling.retry_wait),
        retry_max_ms: ms(rolling.retry_maxwait),
        attempts_max: u32::try_from(rolling.quarantine_after).unwrap_or(u32::MAX),
        quarantine_after_ms: ms(rolling.quarantine_wait),
        quarantine_retry_ms: ms(rolling.quarantine_retry),
        ..QueueConfig::default()
    }
}

/// How SIGHUP reads the configuration; store, channel and the queue's limits stay.
fn reload(args: Args, store: SqliteStore) -> Reload {
    Box::new(move || {
        let config = Config::load(&args.config, Service::SyncClient)?;
        let channel = route::channel(&args)?;
        let settings = Settings::for_channel(&config, channel.as_deref())?;
        let target = route::target(&args, &config, &settings)?;
        let route = Route::new(&args, &settings, target, store.clone())?;
        Ok(changeable(&args, &settings, route))
    })
}
