//! From the configuration to the counts.

use std::io::Write as _;
use std::time::{Duration, Instant};

use engine::master::{Ending, Job, Progress};
use net::config::{Config, Service, Settings};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;

use crate::args::{Args, Mode};
use crate::failure::{Failure, verdict};
use crate::log::LogOptions;
use crate::route::{Route, open_store};
use crate::spread::{Spread, any_skipped};
use crate::{log, names, plan, report, rolling, route, say};

/// Threads that carry bytes; the store has one of its own beside these.
const WORKERS: usize = 2;

/// Notices shown without `-v`.
const NOTICES_SHOWN: usize = 20;

/// Runs; the exit status says how it ended.
pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let mode = args.mode().map_err(Failure::Usage)?;
    let channel = route::channel(args)?;
    if args.wants_background() && !rolling::is_background() {
        return Ok(rolling::detach()?);
    }
    let config = Config::load(&args.config, Service::SyncClient)?;
    let settings = Settings::for_channel(&config, channel.as_deref())?;
    log::start(log_options(args, mode, &settings));
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    if mode == Mode::Rolling {
        return rolling::run(args, &config, &settings);
    }
    let job = names::job(args, mode, settings.unix_hierarchy_separator)?;
    if args.delayed_startup > Duration::ZERO {
        std::thread::sleep(args.delayed_startup);
    }
    once(args, mode, &config, &settings, job)
}

/// A daemon tells what happens to its connections; everything tells more with `-l` or `-v`.
fn log_options(args: &Args, mode: Mode, settings: &Settings) -> LogOptions {
    let daemon = mode == Mode::Rolling;
    let more = args.verbose_logging > 0 || (daemon && args.verbose > 0);
    LogOptions {
        level: match (daemon, more) {
            (true, true) => Level::DEBUG,
            (true, false) | (false, true) => Level::INFO,
            (false, false) => Level::WARN,
        },
        format: settings.service.log_format,
        daemon,
        background: rolling::is_background(),
    }
}

/// One run over what was named.
fn once(args: &Args, mode: Mode, config: &Config, settings: &Settings, job: Job) -> Result<u8, Failure> {
    let target = route::target(args, config, settings)?;
    let store = open_store(args, &settings.store, false)?;
    let route = Route::new(args, settings, target, store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let started = Instant::now();
    let progress = runtime.block_on(replicate(args, mode, settings, &route, job))?;
    Ok(tell(args, mode, &progress, started.elapsed()))
}

async fn replicate(
    args: &Args,
    mode: Mode,
    settings: &Settings,
    route: &Route,
    job: Job,
) -> Result<Progress, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut report = report::Report::new(args.verbose);
    let printer = plan::Printer::new(args);
    let folder = settings.channel_dir();
    let jobs = args.jobs.and_then(|jobs| usize::try_from(jobs).ok()).unwrap_or(1);
    let mut progress = if jobs > 1 || any_skipped(&folder) {
        let spread = Spread {
            route,
            jobs,
            folder,
            skip_quietly: mode == Mode::AllUsers,
        };
        spread.run(job, stop, &mut report, &printer).await?
    } else {
        let session = Box::new(route.session());
        let observe = |master: &engine::Master| {
            printer.observe(master);
            report.observe(master);
        };
        net::client::run(&route.target(), route.master(job), session, stop, observe).await?
    };
    report.finish(&progress);
    printer.finish(&mut progress);
    Ok(progress)
}

/// Failures to stderr, counts to stdout.
fn tell(args: &Args, mode: Mode, progress: &Progress, elapsed: Duration) -> u8 {
    if args.verbose == 0 {
        for notice in progress.notices.iter().take(NOTICES_SHOWN) {
            say(format_args!("sync_client: note: {notice}\n"));
        }
        if let more @ 1.. = progress.notices.len().saturating_sub(NOTICES_SHOWN) {
            say(format_args!(
                "sync_client: note: {more} more like these; -v shows all\n"
            ));
        }
    }
    for failure in &progress.failures {
        say(format_args!(
            "sync_client: {}: {}\n",
            failure.item, failure.reason
        ));
    }
    let (text, status) = verdict(progress.ended.as_ref().unwrap_or(&Ending::Stopped));
    if let Some(text) = text {
        say(format_args!("sync_client: {text}\n"));
    }
    // With -A the last item is the shared mailboxes; those of -m are counted as mailboxes only.
    let shared = u64::from(
        mode == Mode::AllUsers && progress.items_done > 0 && progress.items_done == progress.items_total,
    );
    let items = (mode != Mode::Mailboxes).then(|| progress.items_done - shared);
    // A closed stdout changes nothing about the result.
    if !args.json {
        let _ = writeln!(std::io::stdout(), "{}", report::summary(progress, items, elapsed));
    }
    status
}
