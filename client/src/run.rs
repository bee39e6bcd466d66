//! From the configuration to the counts.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::master::{Ending, MasterConfig, Progress};
use net::client::Target;
use net::config::{CompressWish, Config, Service, Settings};
use net::trace::Trace;
use protocol::Text;
use store::sqlite::{Options, SqliteStore};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::failure::{Failure, verdict};
use crate::{names, plan, report, say};

/// Bytes of messages sent ahead of the replica's answers.
const PIPELINE_BYTES: u64 = 4 * 1024 * 1024;

/// Threads that carry bytes; the store has one of its own beside these.
const WORKERS: usize = 2;

/// Notices shown without `-v`.
const NOTICES_SHOWN: usize = 20;

/// Runs; the exit status says how it ended.
pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let config = Config::load(&args.config, Service::SyncClient)?;
    let settings = Settings::from_config(&config)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let job = names::job(args, settings.unix_hierarchy_separator)?;
    let mut target = target(args, &config, &settings)?;
    if args.verbose > 1 {
        target.trace = Some(Trace::new(Arc::new(|line| say(format_args!("{line}")))));
    }
    let wish = if args.require_compression {
        CompressWish::Required
    } else {
        settings.sync_compress
    };
    let master = MasterConfig {
        compress: target.compress(wish),
        dest_partition: args.dest_partition.as_deref().map(Text::from),
        local_only: args.local_only,
        copyback: !args.no_copyback,
        dry_run: args.dry_run,
        pipeline_bytes_max: PIPELINE_BYTES,
        ..MasterConfig::new(job)
    };
    if !settings.store.is_dir() {
        // An empty store made here would replicate nothing, and call that a success.
        return Err(Failure::NoStore(settings.store));
    }
    let store = SqliteStore::open(&settings.store, store_options(args))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let started = Instant::now();
    let progress = runtime.block_on(replicate(args, &target, master, &store))?;
    Ok(tell(args, &progress, started.elapsed()))
}

async fn replicate(
    args: &Args,
    target: &Target,
    master: MasterConfig,
    store: &SqliteStore,
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
    let session = Box::new(store.session());
    let observe = |master: &engine::Master| {
        printer.observe(master);
        report.observe(master);
    };
    let mut progress = net::client::run(target, master, session, stop, observe).await?;
    report.finish(&progress);
    printer.finish(&mut progress);
    Ok(progress)
}

fn target(args: &Args, config: &Config, settings: &Settings) -> Result<Target, Failure> {
    let peer = match &args.server {
        Some(text) => {
            Some(Settings::peer(config, None, text).map_err(|e| Failure::Usage(format!("-S {text}: {e}")))?)
        }
        None => settings.sync_host.clone(),
    };
    let peer = peer.ok_or_else(|| {
        let file = args.config.display();
        Failure::Setting(format!(
            "{file}: no replica; give it with -S HOST, or set `sync_host: HOST`"
        ))
    })?;
    Ok(Target::from_settings(settings, peer))
}

fn store_options(args: &Args) -> Options {
    let mut options = Options::default();
    if args.skip_locked {
        options.busy_timeout = Duration::ZERO;
    }
    options
}

/// Failures to stderr, counts to stdout.
fn tell(args: &Args, progress: &Progress, elapsed: Duration) -> u8 {
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
    let shared =
        u64::from(args.all_users && progress.items_done > 0 && progress.items_done == progress.items_total);
    let items = (!args.mailboxes).then(|| progress.items_done - shared);
    // A closed stdout changes nothing about the result.
    if !args.json {
        let _ = writeln!(std::io::stdout(), "{}", report::summary(progress, items, elapsed));
    }
    status
}
