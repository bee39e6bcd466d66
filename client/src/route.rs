//! How to reach the replica, and what a connection is to do there: from arguments and configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::master::{Job, MasterConfig};
use net::client::Target;
use net::config::{CompressWish, Config, Settings, channel_name};
use net::trace::Trace;
use protocol::Text;
use store::sqlite::{Options, SqliteSession, SqliteStore};
use synclog::{LoggingSession, Writer};

use crate::args::Args;
use crate::failure::Failure;
use crate::say;

/// Bytes of messages sent ahead of the replica's answers.
const PIPELINE_BYTES: u64 = 4 * 1024 * 1024;

/// How long a rolling daemon waits for somebody who writes to a user, before it puts the user off: commits take
/// milliseconds, and one user must not hold up the others.
const ROLLING_BUSY: Duration = Duration::from_millis(250);

/// All that a new connection needs.
#[derive(Clone)]
pub(crate) struct Route {
    target: Target,
    master: MasterConfig,
    /// Whether the protocol is shown (`-v -v`).
    traced: bool,
    /// The store.
    pub(crate) store: SqliteStore,
    /// Where it is logged what comes back from the replica.
    log: Option<Writer>,
}

impl Route {
    /// As arguments and configuration say.
    ///
    /// # Errors
    /// Channels to log to that cannot be.
    pub(crate) fn new(
        args: &Args,
        settings: &Settings,
        target: Target,
        store: SqliteStore,
    ) -> Result<Route, Failure> {
        let log = Writer::for_channels(&settings.sync_dir, &settings.log.written_by(true));
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
            stage_to_archive: args.stage_to_archive,
            pipeline_bytes_max: PIPELINE_BYTES,
            step_messages_max: settings.sync_batchsize,
            ..MasterConfig::new(Job::Tasks)
        };
        Ok(Route {
            target,
            master,
            traced: args.verbose > 1,
            store,
            log: log.map_err(Failure::Log)?,
        })
    }

    /// A session of a connection. What comes back from the replica changes the store like any other change, and is logged
    /// for the channels that lead elsewhere. [CS-LOG-40]
    pub(crate) fn session(&self) -> LoggingSession<SqliteSession> {
        LoggingSession::new(self.store.session(), self.log.clone())
    }

    /// The replica as people write it.
    pub(crate) fn replica(&self) -> String {
        self.target.peer.to_string()
    }

    /// Where one connection goes; each has a trace of its own.
    pub(crate) fn target(&self) -> Target {
        let mut target = self.target.clone();
        if self.traced {
            target.trace = Some(Trace::new(Arc::new(|line| say(format_args!("{line}")))));
        }
        target
    }

    /// What a connection does: a job, or tasks.
    pub(crate) fn master(&self, job: Job) -> MasterConfig {
        MasterConfig {
            job,
            ..self.master.clone()
        }
    }
}

/// The channel of `-n`.
///
/// # Errors
/// A name that cannot be one.
pub(crate) fn channel(args: &Args) -> Result<Option<String>, Failure> {
    let name = args.channel.as_deref().unwrap_or_default();
    channel_name(name).map_err(|error| Failure::Usage(format!("-n {name}: {error}")))
}

/// The replica and how to log in there.
///
/// # Errors
/// There is none, or it cannot be.
pub(crate) fn target(args: &Args, config: &Config, settings: &Settings) -> Result<Target, Failure> {
    let channel = settings.channel.as_deref();
    let peer = match &args.server {
        Some(text) => Some(
            Settings::peer(config, channel, text).map_err(|e| Failure::Usage(format!("-S {text}: {e}")))?,
        ),
        None => settings.sync_host.clone(),
    };
    let peer = peer.ok_or_else(|| {
        let file = args.config.display();
        let key = channel.map_or_else(
            || "`sync_host: HOST`".to_owned(),
            |name| format!("`{name}_sync_host: HOST` or `sync_host: HOST`"),
        );
        Failure::Setting(format!("{file}: no replica; give it with -S HOST, or set {key}"))
    })?;
    Ok(Target::from_settings(settings, peer))
}

/// Opens the store, which must be there.
///
/// # Errors
/// It is not, or cannot be used.
pub(crate) fn open_store(args: &Args, path: &Path, rolling: bool) -> Result<SqliteStore, Failure> {
    if !path.is_dir() {
        // An empty store made here would replicate nothing, and call that a success.
        return Err(Failure::NoStore(path.to_path_buf()));
    }
    let mut options = Options::default();
    if args.skip_locked {
        options.busy_timeout = Duration::ZERO;
    } else if rolling {
        options.busy_timeout = ROLLING_BUSY;
    }
    Ok(SqliteStore::open(path, options)?)
}
