//! Why the program cannot run, and its exit status for that (those of sysexits.h).

use daemon::handed::HandedError;
use daemon::open_files::TooFew;
use daemon::pidfile::PidFileError;
use daemon::user::UserError;
use engine::ticket::StoreError;
use net::config::ConfigError;
use net::listener::BindError;
use net::tls::TlsError;
use synclog::LogError;

/// Wrong arguments.
pub(crate) const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const SYSTEM: u8 = 71;
const CANNOT_CREATE: u8 = 73;
const IO: u8 = 74;
const NO_PERMISSION: u8 = 77;
const CONFIG: u8 = 78;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "-X (one session on standard input) is not available; serve a Unix socket (--listen unix:PATH) and connect to it"
    )]
    StandardInput,
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Handed(#[from] HandedError),
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    User(#[from] UserError),
    #[error("{0}")]
    PidFile(#[from] PidFileError),
    #[error(
        "`mailtwin_busy_connections` is {at_work}, too many for the limit of open files ({few}); raise the limit (LimitNOFILE= \
         of a systemd unit, maxfds= in cyrus.conf, ulimit -n in a shell) or lower mailtwin_busy_connections"
    )]
    OpenFiles { at_work: usize, few: TooFew },
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::StandardInput => USAGE,
            Failure::Config(_) | Failure::Tls(_) | Failure::Log(_) => CONFIG,
            Failure::Store(_) | Failure::System(_) => IO,
            Failure::Handed(_) | Failure::Bind(_) => UNAVAILABLE,
            Failure::OpenFiles { .. } => SYSTEM,
            Failure::PidFile(_) => CANNOT_CREATE,
            Failure::User(_) => NO_PERMISSION,
        }
    }
}
