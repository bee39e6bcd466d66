//! What has to be done in this order, with one thread, before the server serves: sockets and keys while it may still be
//! root, then the user for good, then everything else.

use std::path::Path;

use daemon::pidfile::PidFile;
use daemon::user::{self, User, Wishes};
use daemon::{open_files, pidfile};
use net::address::ListenAddress;
use net::config::Settings;
use net::listener::{BindError, Bound};
use net::server::ServerConfig;
use net::tls::ServerTls;
use store::sqlite::{Options, SqliteStore};

use crate::args::Args;
use crate::failure::Failure;
use crate::lifetime::{Lifetime, Program};
use crate::serve::{self, Prepared};
use crate::supervisor::Supervisor;

/// Threads that carry bytes; each busy store has one of its own beside these.
const WORKERS: usize = 2;
/// Files that are open whether anybody is connected or not, with room to spare.
const FILES_ALWAYS: u64 = 64;
/// Files that a connection at work can have open beside its socket: its user's and the shared database, each with log and
/// index, staged messages, the change log.
const FILES_AT_WORK: u64 = 12;

pub(crate) fn run(args: &Args, supervisor: Supervisor, settings: &Settings) -> Result<(), Failure> {
    if args.standard_input {
        return Err(Failure::StandardInput);
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let by_cyrus = matches!(supervisor, Supervisor::Cyrus(_));
    let (handed, status_pipe) = supervisor.into_parts()?;
    warn_of_options(args, handed.is_some());
    let lifetime = lifetime(args, handed.is_some(), by_cyrus);
    let sockets = match handed {
        Some(sockets) => sockets,
        None => bind(args, settings)?,
    };
    let mut config = ServerConfig {
        tls: ServerTls::new(&settings.tls)?,
        allow_plaintext: settings.allow_plaintext || is_private(args.external_ssf),
        ..ServerConfig::from_settings(settings)
    };
    config.connections_max = room_for_connections(config.connections_max, config.busy_max)?;
    let pidfile = settle(args, settings, &sockets)?;
    let store = SqliteStore::open(&settings.store, Options::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(serve::serve(
        settings,
        Prepared {
            config,
            sockets,
            store,
            status_pipe,
            lifetime,
            announced: !by_cyrus,
        },
    ));
    drop(pidfile);
    ended
}

/// Whether a layer of this strength hides what is sent. A strength of 1 means that nobody can change it, though anybody may
/// read it. [CS-SVC-24]
fn is_private(ssf: u32) -> bool {
    ssf > 1
}

fn bind(args: &Args, settings: &Settings) -> Result<Vec<Bound>, BindError> {
    let addresses: &[ListenAddress] = if args.listen.is_empty() {
        &settings.listen
    } else {
        &args.listen
    };
    addresses
        .iter()
        .map(|address| Bound::bind(address, settings.socket_mode))
        .collect()
}

/// Becomes the user as whom to run, who gets what was made so far. The process id is noted before, for its folder may be
/// root's. [CS-SVC-18]
fn settle(args: &Args, settings: &Settings, sockets: &[Bound]) -> Result<Option<PidFile>, Failure> {
    let own = User::own();
    let cyrus = std::env::var("CYRUS_USER").ok();
    let keys = &settings.service;
    let wishes = Wishes {
        configured: keys.user.as_deref(),
        store: &settings.store,
        cyrus: cyrus.as_deref().or(keys.cyrus_user.as_deref()),
        beside: settings.config_directory.as_deref(),
    };
    let chosen = user::choose(own.clone(), wishes)?;
    let path = args.pidfile.as_deref().or(keys.pidfile.as_deref());
    let pidfile = path.map(pidfile::PidFile::create).transpose()?;
    if chosen.is_root() && keys.user.is_none() {
        warn_of_root(&settings.store);
    }
    if chosen.uid != own.uid {
        user::make_directory(&chosen, &settings.store)?;
        for socket in sockets {
            socket.give_file_to(chosen.uid, chosen.gid)?;
        }
        if let Some(pidfile) = &pidfile {
            pidfile.give_to(chosen.uid, chosen.gid)?;
        }
        user::become_user(&chosen)?;
        user::can_write(&chosen, &settings.store)?;
        tracing::info!("runs as user {}", chosen.name);
    }
    Ok(pidfile)
}

fn warn_of_root(store: &Path) {
    let store = store.display();
    tracing::warn!(
        "runs as root, because {store} belongs to root; better give it to a user of its own (chown -R USER {store}) or, for \
         root on purpose, set `mailtwin_user: root`"
    );
}

/// Raises the limit of open files as far as the connections need it, and says how many there may be: fewer than configured
/// where the system allows no more. [CS-SVC-20]
fn room_for_connections(connections: usize, at_work: usize) -> Result<usize, Failure> {
    let apart = (at_work as u64)
        .saturating_mul(FILES_AT_WORK)
        .saturating_add(FILES_ALWAYS);
    let Err(few) = open_files::allow(apart.saturating_add(connections as u64)) else {
        return Ok(connections);
    };
    let left = usize::try_from(few.allowed.saturating_sub(apart)).unwrap_or(usize::MAX);
    if left < at_work {
        return Err(Failure::OpenFiles { at_work, few });
    }
    tracing::warn!(
        "serves {left} connections at a time and not the {connections} of `mailtwin_connections`, for {few}; raise the limit \
         (LimitNOFILE= of a systemd unit, maxfds= in cyrus.conf, ulimit -n in a shell)"
    );
    Ok(left)
}

/// Only who was handed its sockets is started again when it is needed; alone it never ends by itself.
fn lifetime(args: &Args, handed: bool, by_cyrus: bool) -> Lifetime {
    if !handed {
        return Lifetime::default();
    }
    Lifetime {
        max_uses: args.max_uses,
        idle: args.reuse_timeout.filter(|timeout| !timeout.is_zero()),
        program: by_cyrus.then(Program::running).flatten(),
    }
}

fn warn_of_options(args: &Args, handed: bool) {
    if args.debugger {
        tracing::warn!(
            "-D starts no debugger here; attach one to process {}",
            std::process::id()
        );
    }
    if handed && !args.listen.is_empty() {
        tracing::warn!("--listen is not used, for the sockets were handed over by Cyrus's master or systemd");
    }
    if !handed && (args.max_uses.is_some() || args.reuse_timeout.is_some()) {
        tracing::warn!(
            "-U and -T are not used, for nobody would start the server again; they are for sockets that Cyrus's master or \
             systemd hand over"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_that_hide() {
        assert_eq!([0, 1, 2, 256].map(is_private), [false, false, true, true]);
    }
}
