//! TLS for both sides, over rustls: what the configuration's keys come to, and messages that say what to do.
//!
//! The files are read anew for each connection of a client, and for a server whenever they changed: a renewed certificate
//! needs no restart. Sessions are never resumed: a replication connection lives long, and a handshake is cheap beside it.

mod client;
mod explain;
mod files;
mod server;
#[cfg(test)]
mod tests;
mod x509;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{SupportedProtocolVersion, version};

pub use client::{ClientSide, ClientTls};
pub use server::ServerTls;

use crate::config::tls::TlsVersion;

/// Why TLS cannot be had with these files and keys.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{key}`: cannot read {}: {source}{advice}", path.display())]
    Unreadable {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// What to do.
        advice: &'static str,
    },
    /// A file holds something else.
    #[error("`{key}`: {}: {what}", path.display())]
    Useless {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// Keys do not go together.
    #[error("{0}")]
    Setting(String),
}

/// One side's TLS, for the driver.
#[derive(Clone, Debug)]
pub enum TlsSide {
    /// It connects.
    Client(Arc<ClientSide>),
    /// It accepts.
    Server(ServerTls),
}

/// What SASL may know of a finished handshake.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TlsFacts {
    /// Server side: the name in the client's certificate, when it showed one and it was verified.
    pub peer: Option<String>,
    /// Client side: the name in the certificate that was shown, if any.
    pub own: Option<String>,
    /// Client side: whether the server's certificate was verified or is the pinned one.
    pub verified: bool,
}

/// What TLS itself says against a connection, in words that say what to do; the inner error of an [`std::io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsFault(pub(crate) String);

impl TlsFault {
    /// The fault inside an error of a connection; `None` when it was the socket that failed.
    pub fn of(error: &std::io::Error) -> Option<&TlsFault> {
        error.get_ref()?.downcast_ref()
    }
}

/// The cryptography of all connections.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// `tls_versions` as rustls wants it.
fn versions(wanted: &[TlsVersion]) -> Vec<&'static SupportedProtocolVersion> {
    let known = |version: &TlsVersion| match version {
        TlsVersion::Tls12 => &version::TLS12,
        TlsVersion::Tls13 => &version::TLS13,
    };
    wanted.iter().map(known).collect()
}

fn setting(error: impl std::fmt::Display) -> TlsError {
    TlsError::Setting(format!("TLS cannot be set up: {error}"))
}
