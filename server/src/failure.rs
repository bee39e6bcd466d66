//! Why the program cannot run, and its exit status for that (those of sysexits.h).

use engine::ticket::StoreError;
use net::config::ConfigError;
use net::listener::BindError;
use net::tls::TlsError;
use synclog::LogError;

/// Wrong arguments.
pub(crate) const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const IO: u8 = 74;
const CONFIG: u8 = 78;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::Tls(_) | Failure::Log(_) => CONFIG,
            Failure::Store(_) | Failure::System(_) => IO,
            Failure::Bind(_) => UNAVAILABLE,
        }
    }
}
