//! Why a handshake failed, in words that say which certificate is meant and what to do.

use std::fmt::Write as _;
use std::io;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, CertificateError, Error};
use sha2::{Digest, Sha256};

use super::x509::{Certificate, date};

/// What a client saw of the other end.
pub(super) struct Seen<'a> {
    /// The name connected to.
    pub(super) host: &'a str,
    /// The certificates shown, the server's own first.
    pub(super) chain: &'a [CertificateDer<'static>],
    /// Where those who vouch come from.
    pub(super) authorities: &'static str,
    /// Whether one certificate is expected by its fingerprint.
    pub(super) pinned: bool,
}

/// The error that rustls wrapped; `None` for errors of the socket.
fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What failed on a client's side. `None` for errors of the socket, which say enough themselves.
pub(super) fn of_client(error: &io::Error, seen: &Seen<'_>) -> Option<String> {
    Some(match inner(error)? {
        Error::InvalidCertificate(fault) => of_certificate(fault, seen),
        Error::AlertReceived(alert) => format!("the replica ended it: {}", said(*alert)),
        Error::PeerIncompatible(_) => format!(
            "the replica and this side have no version or cipher in common ({}); this side speaks TLS 1.2 and 1.3 unless \
             `tls_versions` says less",
            inner(error)?
        ),
        Error::InvalidMessage(_) => {
            "what the replica sends after STARTTLS is not TLS; see its log".to_owned()
        }
        other => other.to_string(),
    })
}

/// What failed on a server's side. `None` for errors of the socket.
pub(super) fn of_server(error: &io::Error) -> Option<String> {
    Some(match inner(error)? {
        Error::NoCertificatesPresented => {
            "the client shows no certificate, and `tls_client_certs: require` demands one; set `tls_client_cert` and \
             `tls_client_key` there"
                .to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the client's certificate is issued by nobody in `tls_client_ca_file` and `tls_client_ca_dir`".to_owned()
        }
        Error::InvalidCertificate(fault) => format!("the client's certificate is refused: {fault}"),
        Error::AlertReceived(alert) => format!("the client ended it: {}", said(*alert)),
        Error::PeerIncompatible(_) => format!(
            "the client and this side have no version or cipher in common ({}); this side speaks TLS 1.2 and 1.3 unless \
             `tls_versions` says less",
            inner(error)?
        ),
        Error::InvalidMessage(_) => "what the client sends after STARTTLS is not TLS".to_owned(),
        other => other.to_string(),
    })
}

fn of_certificate(fault: &CertificateError, seen: &Seen<'_>) -> String {
    let host = seen.host;
    let whose = seen.chain.first().and_then(|der| Certificate::parse(der));
    let mut text = match &whose {
        Some(shown) => format!(
            "the certificate of {host} ({}, issued by {})",
            shown.subject, shown.issuer
        ),
        None => format!("the certificate of {host}"),
    };
    let pin = fingerprint_advice(seen);
    let added = match (fault, &whose) {
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
            let when = expired(seen, whose.as_ref(), fault);
            write!(text, " {when}; renew it on the replica")
        }
        (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
            let from = whose.map_or_else(String::new, |shown| format!(" before {}", date(shown.not_before)));
            write!(
                text,
                " is not valid{from}; are the clocks right, here and where it was made?"
            )
        }
        (CertificateError::NotValidForNameContext { presented, .. }, _) if presented.is_empty() => write!(
            text,
            " names no host in a subjectAltName, which is where TLS looks; make one with `subjectAltName = DNS:{host}`{pin}"
        ),
        (CertificateError::NotValidForNameContext { expected, presented }, _) => write!(
            text,
            " is not for the name {} but for {}; connect by a name that it has, or say which one is right with \
             `mailtwin_tls_name`",
            expected.to_str(),
            names(presented)
        ),
        (CertificateError::NotValidForName, _) => write!(
            text,
            " is not for the name {host}; connect by a name that it has, or say which one is right with \
             `mailtwin_tls_name`"
        ),
        (CertificateError::UnknownIssuer | CertificateError::Other(_), Some(shown))
            if shown.is_self_issued() =>
        {
            write!(
                text,
                " vouches for itself only; if it is the right one, put it into the file of `tls_server_ca_file`{pin}"
            )
        }
        (CertificateError::UnknownIssuer, Some(shown)) => write!(
            text,
            " is vouched for by none of {}; put the certificate of {} into the file of `tls_server_ca_file`, or the \
             missing links of its chain behind it in the replica's `tls_server_cert`{pin}",
            seen.authorities, shown.issuer
        ),
        (CertificateError::ApplicationVerificationFailure, _) if seen.pinned => write!(
            text,
            " is not the one of `mailtwin_tls_fingerprint`; compare the replica's own with {}, and if it was \
             renewed, set the key to that",
            fingerprint(seen).unwrap_or_default()
        ),
        (CertificateError::Revoked, _) => write!(text, " was revoked; give the replica another one"),
        (fault, _) => write!(text, " cannot be accepted: {fault}{pin}"),
    };
    // Writing to a string does not fail.
    let _ = added;
    text
}

/// When the certificate, or the one of its chain that is meant, expired.
fn expired(seen: &Seen<'_>, own: Option<&Certificate>, fault: &CertificateError) -> String {
    let CertificateError::ExpiredContext { not_after, .. } = fault else {
        return own.map_or_else(
            || "has expired".to_owned(),
            |shown| format!("expired on {}", date(shown.not_after)),
        );
    };
    let ended = i64::try_from(not_after.as_secs()).unwrap_or(i64::MAX);
    if own.is_some_and(|shown| shown.not_after == ended) {
        return format!("expired on {}", date(ended));
    }
    let mut others = seen.chain.iter().filter_map(|der| Certificate::parse(der));
    match others.find(|link| link.not_after == ended) {
        Some(link) => format!(
            "depends on that of {}, which expired on {}",
            link.subject,
            date(ended)
        ),
        None => format!("depends on one that expired on {}", date(ended)),
    }
}

/// `DnsName("a")`, `IpAddress(::1)` and the like, as they stand in rustls's error, without the wrapping.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inside.unwrap_or(name).trim_matches('"').to_owned()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}

fn fingerprint(seen: &Seen<'_>) -> Option<String> {
    let der = seen.chain.first()?;
    Some(
        Sha256::digest(der)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

fn fingerprint_advice(seen: &Seen<'_>) -> String {
    fingerprint(seen).map_or_else(String::new, |hex| {
        format!("; or trust it by `mailtwin_tls_fingerprint: {hex}` once you have compared that with the replica's own")
    })
}

/// What the other side's alert means for people.
fn said(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::CertificateRequired => {
            "it wants a client certificate; set `tls_client_cert` and `tls_client_key`"
        }
        AlertDescription::UnknownCA => "it does not trust the issuer of the certificate that it was shown",
        AlertDescription::CertificateExpired => "it was shown a certificate that has expired",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown => "it does not accept the certificate that it was shown",
        AlertDescription::AccessDenied => "it does not let this certificate's owner in",
        AlertDescription::ProtocolVersion => {
            "it speaks no common version of TLS; see `tls_versions` on both sides"
        }
        AlertDescription::HandshakeFailure => {
            "there is no common cipher, or it wants a client certificate (`tls_client_cert`)"
        }
        other => return format!("TLS alert {other:?}"),
    };
    format!("{meaning} (TLS alert {alert:?})")
}
