//! The accepting side: its certificates, whose certificates it accepts, and how renewed files are noticed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::explain;
use super::files::{self, Authorities, useless};
use super::x509::Certificate;
use super::{TlsError, TlsFacts, provider, setting, versions};
use crate::config::tls::{ClientCerts, TlsKeys};

/// A server's TLS. Clones are the same.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerTls({:?})", self.shared.keys.server_cert)
    }
}

struct Shared {
    keys: TlsKeys,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    stamps: Vec<Option<Stamp>>,
}

/// What a file looked like when it was read.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl ServerTls {
    /// Reads what the configuration names. `None` when it names no certificate, or says `allowstarttls: no`: then STARTTLS
    /// is not offered.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(keys: &TlsKeys) -> Result<Option<ServerTls>, TlsError> {
        if keys.server_cert.is_empty() || keys.allow_starttls == Some(false) {
            return Ok(None);
        }
        let stamps = stamps(keys, &[]);
        let config = Arc::new(read(keys)?);
        let loaded = Mutex::new(Loaded { config, stamps });
        let keys = keys.clone();
        Ok(Some(ServerTls {
            shared: Arc::new(Shared { keys, loaded }),
        }))
    }

    /// The configuration of the next handshake: as the files are now, or as they were when they could last be used.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = self.shared.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(&self.shared.keys, &loaded.stamps);
        if stamps != loaded.stamps {
            loaded.stamps = stamps;
            match read(&self.shared.keys) {
                Ok(config) => {
                    loaded.config = Arc::new(config);
                    tracing::info!("the TLS certificate was read anew");
                }
                Err(error) => {
                    tracing::error!(%error, "the TLS files have changed and cannot be used; the earlier ones still are");
                }
            }
        }
        Arc::clone(&loaded.config)
    }

    /// What SASL may know of a client that showed `certificates`; they were verified in the handshake.
    pub(crate) fn facts(&self, certificates: Option<&[CertificateDer<'static>]>) -> TlsFacts {
        let own = certificates.and_then(|chain| Certificate::parse(chain.first()?));
        TlsFacts {
            peer: own.and_then(|shown| shown.identity().map(str::to_owned)),
            own: None,
            verified: false,
        }
    }

    /// Why the handshake, or the connection inside TLS, failed.
    pub(crate) fn explain(&self, error: &std::io::Error) -> Option<String> {
        explain::of_server(error)
    }
}

fn files_of(keys: &TlsKeys) -> impl Iterator<Item = &PathBuf> {
    let mut all: Vec<&PathBuf> = keys.server_cert.iter().chain(&keys.server_key).collect();
    all.extend(
        [&keys.client_ca_file, &keys.client_ca_dir, &keys.crl_file]
            .into_iter()
            .flatten(),
    );
    all.into_iter()
}

/// What the files look like now. One whose folder is closed to the user that the server has become counts as it was.
fn stamps(keys: &TlsKeys, earlier: &[Option<Stamp>]) -> Vec<Option<Stamp>> {
    let stamp = |(at, path): (usize, &PathBuf)| match std::fs::metadata(path) {
        Ok(metadata) => Some(Stamp {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            inode: std::os::unix::fs::MetadataExt::ino(&metadata),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            earlier.get(at).cloned().flatten()
        }
        Err(_) => None,
    };
    files_of(keys).enumerate().map(stamp).collect()
}

fn read(keys: &TlsKeys) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let mut pairs = Vec::new();
    for (at, path) in keys.server_cert.iter().enumerate() {
        let chain = files::chain("tls_server_cert", path)?;
        let secret = files::private_key("tls_server_key", keys.server_key.get(at).unwrap_or(path))?;
        let pair = CertifiedKey::from_der(chain, secret, &provider).map_err(|error| {
            useless(
                "tls_server_cert",
                path,
                format!("it does not go with the key of `tls_server_key` ({error})"),
            )
        })?;
        pairs.push(Arc::new(pair));
    }
    let clients = client_verifier(keys)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&keys.versions))
        .map_err(setting)?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Pairs(pairs)));
    config.ignore_client_order = keys.prefer_server_ciphers;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Who judges clients' certificates; `None` when none are asked for. [CS-AUTH-14]
fn client_verifier(keys: &TlsKeys) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if keys.client_certs == ClientCerts::Off {
        return Ok(None);
    }
    let trusted = Authorities::read(
        ("tls_client_ca_file", keys.client_ca_file.as_ref()),
        ("tls_client_ca_dir", keys.client_ca_dir.as_ref()),
    )?;
    if trusted.roots.is_empty() {
        return match keys.client_certs {
            ClientCerts::Require => Err(TlsError::Setting(
                "`tls_client_certs: require` needs `tls_client_ca_file` or `tls_client_ca_dir`: who vouches for them?"
                    .to_owned(),
            )),
            ClientCerts::Optional | ClientCerts::Off => Ok(None),
        };
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted.roots), provider());
    if keys.client_certs == ClientCerts::Optional {
        builder = builder.allow_unauthenticated();
    }
    if let Some(path) = &keys.crl_file {
        let lists = files::revoked("tls_crl_file", path)?;
        builder = builder.with_crls(lists).allow_unknown_revocation_status();
    }
    builder.build().map(Some).map_err(setting)
}

/// A server's certificates; the first that a client can verify is shown.
#[derive(Debug)]
struct Pairs(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fitting = self
            .0
            .iter()
            .find(|pair| pair.key.choose_scheme(schemes).is_some());
        fitting.or(self.0.first()).cloned()
    }
}
