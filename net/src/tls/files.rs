//! Certificates, keys and revocation lists from files.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::TlsError;

/// Permission bit that lets everybody read.
const OTHERS_READ: u32 = 0o004;

/// A certificate with its chain, the owner's first.
pub(super) fn chain(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(key, path)?;
    if found.is_empty() {
        return Err(useless(
            key,
            path,
            "there is no certificate in it; put a PEM file here (`-----BEGIN CERTIFICATE-----`), the chain behind it",
        ));
    }
    Ok(found)
}

/// All certificates of a PEM file, in order.
pub(super) fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, path)?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| no_pem(key, path, &error))
}

/// The private key in a PEM file. Warns when everybody on the machine can read it.
pub(super) fn private_key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(key, path)?;
    if let Ok(metadata) = std::fs::metadata(path)
        && metadata.permissions().mode() & OTHERS_READ != 0
    {
        tracing::warn!(
            file = %path.display(),
            "everybody on this machine can read this private key; take the permission away (chmod o-r)"
        );
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(9).any(|part| part == b"ENCRYPTED") => useless(
            key,
            path,
            "the private key is encrypted; a service cannot be asked for a passphrase, store the key without one",
        ),
        pem::Error::NoItemsFound => useless(
            key,
            path,
            "there is no private key in it; put a PEM file here (`-----BEGIN PRIVATE KEY-----`)",
        ),
        error => no_pem(key, path, &error),
    })
}

/// The lists of revoked certificates in a PEM file.
pub(super) fn revoked(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let text = read(key, path)?;
    CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| no_pem(key, path, &error))
}

/// Those who vouch for others: of a file, of all files of a directory, or of both.
pub(super) struct Authorities {
    /// As rustls wants them.
    pub(super) roots: RootCertStore,
    /// As they were found.
    pub(super) exact: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Reads what the two keys name; empty when neither is set.
    pub(super) fn read(
        (file_key, file): (&'static str, Option<&PathBuf>),
        (dir_key, dir): (&'static str, Option<&PathBuf>),
    ) -> Result<Authorities, TlsError> {
        let mut all = Authorities {
            roots: RootCertStore::empty(),
            exact: Vec::new(),
        };
        if let Some(file) = file {
            all.add(chain(file_key, file)?);
            if all.roots.is_empty() {
                return Err(useless(file_key, file, "none of its certificates can be used"));
            }
        }
        if let Some(dir) = dir {
            let unreadable = |source| unreadable(dir_key, dir, source);
            for entry in std::fs::read_dir(dir).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.is_file() {
                    // Such directories hold other files too, revocation lists and notes.
                    all.add(certificates(dir_key, &path).unwrap_or_default());
                }
            }
            if all.roots.is_empty() {
                return Err(useless(
                    dir_key,
                    dir,
                    "there is no file with a certificate in this directory",
                ));
            }
        }
        Ok(all)
    }

    fn add(&mut self, found: Vec<CertificateDer<'static>>) {
        self.roots.add_parsable_certificates(found.iter().cloned());
        self.exact.extend(found);
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| unreadable(key, path, source))
}

fn unreadable(key: &'static str, path: &Path, source: io::Error) -> TlsError {
    let advice = match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let the user that this program runs as read it (on Debian by the group ssl-cert)"
        }
        io::ErrorKind::NotFound => "; is the path right?",
        _ => "",
    };
    TlsError::Unreadable {
        key,
        path: path.to_path_buf(),
        source,
        advice,
    }
}

pub(super) fn useless(key: &'static str, path: &Path, what: impl Into<String>) -> TlsError {
    TlsError::Useless {
        key,
        path: path.to_path_buf(),
        what: what.into(),
    }
}

fn no_pem(key: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    useless(key, path, format!("this is no sound PEM file ({error})"))
}
