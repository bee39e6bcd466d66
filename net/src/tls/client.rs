//! The connecting side: whether TLS is used, and who must be at the other end.

use std::sync::{Arc, Mutex, PoisonError};

use engine::master::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use sha2::{Digest, Sha256};

use super::explain::{self, Seen};
use super::files::{self, Authorities, useless};
use super::x509::Certificate;
use super::{TlsError, TlsFacts, provider, setting, versions};
use crate::address::PeerAddress;
use crate::config::tls::{Identity, TlsKeys, TlsWish};

/// How a client uses TLS towards one replica. Files are read by [`ClientTls::load`], for each connection anew.
#[derive(Clone, Debug)]
pub struct ClientTls {
    keys: Arc<TlsKeys>,
    host: String,
    policy: Tls,
}

impl ClientTls {
    /// For the replica at `peer`; `None` when TLS is not used there: over a Unix socket, when the configuration says so,
    /// and towards this machine unless it is demanded. [CS-AUTH-15]
    pub fn new(keys: &TlsKeys, peer: &PeerAddress) -> Option<ClientTls> {
        let PeerAddress::Tcp { host, tls, .. } = peer else {
            return None;
        };
        let policy = match keys.wish {
            _ if *tls => Tls::Required,
            TlsWish::Required => Tls::Required,
            TlsWish::Off => return None,
            TlsWish::Auto if peer.is_local() => return None,
            TlsWish::Auto => Tls::WhenOffered,
        };
        Some(ClientTls {
            keys: Arc::new(keys.clone()),
            host: host.clone(),
            policy,
        })
    }

    /// Whether TLS is a wish or a must.
    pub fn policy(&self) -> Tls {
        self.policy
    }

    /// Reads the files for one connection.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(&self) -> Result<ClientSide, TlsError> {
        let keys = &self.keys;
        let shown = keys.name.as_ref().unwrap_or(&self.host);
        let name = ServerName::try_from(shown.clone()).map_err(|_| {
            TlsError::Setting(format!(
                "`{shown}` can be no name in a certificate; set `mailtwin_tls_name` to one that the replica's certificate has"
            ))
        })?;
        let judge = Arc::new(Judge::new(keys)?);
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&versions(&keys.versions))
            .map_err(setting)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&judge) as Arc<dyn ServerCertVerifier>);
        let identity = keys.client_identity(&self.host);
        let (mut config, own) = match &identity {
            Identity {
                cert: Some(cert),
                key,
            } => {
                let chain = files::chain("tls_client_cert", cert)?;
                let own = chain
                    .first()
                    .and_then(|der| Certificate::parse(der)?.identity().map(str::to_owned));
                let secret = files::private_key("tls_client_key", key.as_ref().unwrap_or(cert))?;
                let config = builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    useless(
                        "tls_client_cert",
                        cert,
                        format!("it does not go with the key of `tls_client_key` ({error})"),
                    )
                })?;
                (config, own)
            }
            Identity {
                cert: None,
                key: Some(_),
            } => {
                return Err(TlsError::Setting(
                    "`tls_client_key` is set and `tls_client_cert` is not; set both or none".to_owned(),
                ));
            }
            Identity {
                cert: None,
                key: None,
            } => (builder.with_no_client_auth(), None),
        };
        config.resumption = Resumption::disabled();
        Ok(ClientSide {
            config: Arc::new(config),
            name,
            host: self.host.clone(),
            own,
            judge,
        })
    }
}

/// What one connection of a client needs.
#[derive(Debug)]
pub struct ClientSide {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    host: String,
    own: Option<String>,
    judge: Arc<Judge>,
}

impl ClientSide {
    /// What SASL may know after a handshake.
    pub(crate) fn facts(&self) -> TlsFacts {
        TlsFacts {
            peer: None,
            own: self.own.clone(),
            verified: !matches!(self.judge.how, How::Unverified),
        }
    }

    /// Why the handshake, or the connection inside TLS, failed, and what to do.
    pub(crate) fn explain(&self, error: &std::io::Error) -> Option<String> {
        let seen = Seen {
            host: &self.host,
            chain: &self.judge.seen(),
            authorities: self.judge.authorities,
            pinned: matches!(self.judge.how, How::Pinned(_)),
        };
        explain::of_client(error, &seen)
    }
}

/// How the other end's certificate is judged.
#[derive(Debug)]
enum How {
    /// By chain, name and dates.
    Chain {
        /// `None` when nobody on this machine vouches for anything.
        verifier: Option<Arc<WebPkiServerVerifier>>,
        /// Certificates that the operator named, which may be the replica's own.
        named: Vec<CertificateDer<'static>>,
    },
    /// It must be the one with this SHA-256.
    Pinned([u8; 32]),
    /// Not at all, by the operator's explicit word.
    Unverified,
}

/// Judges the certificate of one connection, and remembers it for messages.
#[derive(Debug)]
struct Judge {
    how: How,
    provider: Arc<CryptoProvider>,
    /// Where those who vouch come from, for messages.
    authorities: &'static str,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl Judge {
    fn new(keys: &TlsKeys) -> Result<Judge, TlsError> {
        let provider = provider();
        let mut authorities = "this machine's certificate authorities";
        let how = match (keys.fingerprint, keys.verify) {
            (Some(fingerprint), _) => How::Pinned(fingerprint),
            (None, false) => How::Unverified,
            (None, true) => {
                let mut trusted = Authorities::read(
                    ("tls_server_ca_file", keys.server_ca_file.as_ref()),
                    ("tls_server_ca_dir", keys.server_ca_dir.as_ref()),
                )?;
                if keys.server_ca_file.is_none() && keys.server_ca_dir.is_none() {
                    // What cannot be read of the system's is missing from the trusted ones, which the handshake tells.
                    let system = rustls_native_certs::load_native_certs();
                    trusted.roots.add_parsable_certificates(system.certs);
                } else {
                    authorities = "the authorities in `tls_server_ca_file` and `tls_server_ca_dir`";
                }
                let verifier = (!trusted.roots.is_empty())
                    .then(|| {
                        WebPkiServerVerifier::builder_with_provider(
                            Arc::new(trusted.roots),
                            Arc::clone(&provider),
                        )
                        .build()
                    })
                    .transpose()
                    .map_err(setting)?;
                How::Chain {
                    verifier,
                    named: trusted.exact,
                }
            }
        };
        Ok(Judge {
            how,
            provider,
            authorities,
            seen: Mutex::default(),
        })
    }

    fn seen(&self) -> Vec<CertificateDer<'static>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            chain.map(|der| der.clone().into_owned()).collect();
        match &self.how {
            How::Unverified => Ok(ServerCertVerified::assertion()),
            How::Pinned(fingerprint) => {
                if Sha256::digest(end_entity).as_slice() == fingerprint {
                    Ok(ServerCertVerified::assertion())
                } else {
                    Err(CertificateError::ApplicationVerificationFailure.into())
                }
            }
            How::Chain { verifier, named } => {
                let judged = match verifier {
                    Some(verifier) => verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now),
                    None => Err(CertificateError::UnknownIssuer.into()),
                };
                match judged {
                    // A certificate that vouches for itself is no chain; named by the operator it needs none.
                    Err(_) if named.iter().any(|der| der == end_entity) => is_valid(end_entity, name, now),
                    judged => judged,
                }
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Dates and name of a certificate that is trusted as it is.
fn is_valid(
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let read = Certificate::parse(der).ok_or(CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if seconds > read.not_after {
        return Err(CertificateError::Expired.into());
    }
    if seconds < read.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    verify_server_name(&ParsedCertificate::try_from(der)?, name)?;
    Ok(ServerCertVerified::assertion())
}
