//! Why a run did not make everything equal, and its exit status for that (those of sysexits.h).

use std::path::PathBuf;

use engine::master::Ending;
use engine::ticket::StoreError;
use net::client::ConnectError;
use net::config::ConfigError;
use synclog::LogError;

/// Some items failed.
pub(crate) const SOME_FAILED: u8 = 1;
/// Wrong arguments.
pub(crate) const USAGE: u8 = 64;
/// Something is wrong with the program.
pub(crate) const SOFTWARE: u8 = 70;
const UNAVAILABLE: u8 = 69;
const IO: u8 = 74;
pub(crate) const TEMPORARY: u8 = 75;
const NO_PERMISSION: u8 = 77;
const CONFIG: u8 = 78;

/// Why there was no run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Setting(String),
    #[error("there is no store in {}; `mailtwin import` or a sync_server fills one", .0.display())]
    NoStore(PathBuf),
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Log(LogError),
    #[error("{0}")]
    Ended(String, u8),
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Config(_) | Failure::Setting(_) => CONFIG,
            Failure::NoStore(_) | Failure::Store(_) | Failure::System(_) => IO,
            // The files and keys of TLS are no better the next time.
            Failure::Connect(ConnectError::Tls(_)) => CONFIG,
            Failure::Connect(_) | Failure::Log(LogError::InUse { .. }) => TEMPORARY,
            Failure::Log(LogError::BadChannel { .. }) => USAGE,
            Failure::Log(_) => IO,
            Failure::Ended(_, code) => *code,
        }
    }
}

/// What to say of an ending beside the counts, and the exit status. [CS-OPS-1]
pub(crate) fn verdict(ending: &Ending) -> (Option<String>, u8) {
    match ending {
        Ending::Done => (None, 0),
        Ending::SomeFailed => (None, SOME_FAILED),
        // Some say themselves what to do.
        Ending::AuthenticationFailed(text) if text.contains("`sync_authname`") => {
            (Some(format!("login refused: {text}")), NO_PERMISSION)
        }
        Ending::AuthenticationFailed(text) => (
            Some(format!(
                "login refused: {text}; check `sync_authname` and `sync_password`, and `admins` on the replica"
            )),
            NO_PERMISSION,
        ),
        Ending::TlsFailed(text) => (Some(format!("TLS: {text}")), CONFIG),
        Ending::CompressionUnavailable(text) => (
            Some(format!(
                "no compression: {text}; run without -z, or enable it on the replica"
            )),
            UNAVAILABLE,
        ),
        Ending::ConnectionLost(text) => (Some(format!("{text}; run again to go on")), TEMPORARY),
        Ending::Storage(text) => (Some(format!("the store failed: {text}")), IO),
        Ending::Stopped => (
            Some("stopped by a signal; run again to go on".to_owned()),
            TEMPORARY,
        ),
    }
}
