//! Keys about TLS, for both sides. What is done with them is decided where connections are made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::lookup::Lookup;
use super::{ConfigError, Warning, keys, parse_duration};

/// Keys that an operator may count on, and that rustls leaves nothing to choose in. `DEFAULT` counts on nothing.
const WITHOUT_EFFECT: [(&str, &str); 3] = [
    ("tls_ciphers", "no suite that is offered is weak"),
    ("tls_cipher_list", "no suite that is offered is weak"),
    ("tls_eccurve", "X25519, P-256 and P-384 are offered"),
];

/// Longest time that a TLS session may be taken up again.
const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Versions of TLS that can be spoken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// `tls1_2`.
    Tls12,
    /// `tls1_3`.
    Tls13,
}

/// `tls_client_certs`: whether `sync_server` asks its clients for certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientCerts {
    /// `off`.
    Off,
    /// `optional`; the default.
    Optional,
    /// `require`.
    Require,
}

/// `mailtwin_tls`: when `sync_client` uses TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsWish {
    /// When the replica offers it and is not on this machine; the default.
    Auto,
    /// Always, or there is no replication.
    Required,
    /// Never.
    Off,
}

/// A client certificate with its key.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// PEM file with the certificate and its chain.
    pub cert: Option<PathBuf>,
    /// PEM file with the key.
    pub key: Option<PathBuf>,
}

/// All keys about TLS. Paths are as written; nothing has been opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsKeys {
    /// `tls_server_cert` (older: `tls_cert_file`): PEM files with the server's certificates and their chains, at most two
    /// between commas; empty when not set or `disabled`: no TLS.
    pub server_cert: Vec<PathBuf>,
    /// `tls_server_key` (older: `tls_key_file`): PEM files with the keys, in the same order; empty when the certificate
    /// files hold them.
    pub server_key: Vec<PathBuf>,
    /// `tls_client_ca_file` (older: `tls_ca_file`): who vouches for clients' certificates.
    pub client_ca_file: Option<PathBuf>,
    /// `tls_client_ca_dir` (older: `tls_ca_path`): the same, a directory of PEM files.
    pub client_ca_dir: Option<PathBuf>,
    /// `tls_client_certs`.
    pub client_certs: ClientCerts,
    /// `tls_crl_file`: certificates that were revoked.
    pub crl_file: Option<PathBuf>,
    /// `tls_required`: whether a client must have started TLS before it logs in; no.
    pub required: bool,
    /// `allowstarttls`: whether the server offers STARTTLS; `None` when not set (its default differs by version).
    pub allow_starttls: Option<bool>,
    /// `tls_prefer_server_ciphers`; no.
    pub prefer_server_ciphers: bool,
    /// `tls_session_timeout`: how long a session can be taken up again; 24 hours at most and by default, 0 for never. A
    /// bare number counts minutes.
    pub session_timeout: Duration,
    /// `tls_server_ca_file`, for a channel `CHANNEL_tls_server_ca_file`: who vouches for the replica's certificate.
    pub server_ca_file: Option<PathBuf>,
    /// `tls_server_ca_dir`, by channel too: the same, a directory of PEM files.
    pub server_ca_dir: Option<PathBuf>,
    /// `tls_client_cert` and `tls_client_key`, by channel too: what `sync_client` shows a replica; `disabled` for nothing.
    pub client: Identity,
    /// `SHORTHOST_client_cert` and `SHORTHOST_client_key`: the same, for one host; see [`TlsKeys::client_identity`].
    pub client_by_host: BTreeMap<String, Identity>,
    /// `tls_versions`, by channel too: which versions may be spoken; both. Never empty.
    pub versions: Vec<TlsVersion>,
    /// `tls_ciphers` (older: `tls_cipher_list`), by channel too, as written; `None` for `DEFAULT` and when not set.
    pub ciphers: Option<String>,
    /// `tls_eccurve`, as written; `None` when not set.
    pub eccurve: Option<String>,
    /// `mailtwin_tls`, by channel too.
    pub wish: TlsWish,
    /// `mailtwin_tls_verify`, by channel too: whether the replica's certificate and name are verified; yes.
    pub verify: bool,
    /// `mailtwin_tls_name`, by channel too: the name that the replica's certificate must have; the host's by default.
    pub name: Option<String>,
    /// `mailtwin_tls_fingerprint`, by channel too: SHA-256 of the one certificate that the replica may show, in place of
    /// all other verification.
    pub fingerprint: Option<[u8; 32]>,
}

impl TlsKeys {
    /// Reads the keys as a channel sees them.
    pub(super) fn read(lookup: Lookup<'_>) -> Result<TlsKeys, ConfigError> {
        let plain = lookup.plain();
        let either = |new: &str, old: &str| plain.get(new).or_else(|| plain.get(old));
        Ok(TlsKeys {
            server_cert: files(either("tls_server_cert", "tls_cert_file")),
            server_key: files(either("tls_server_key", "tls_key_file")),
            client_ca_file: either("tls_client_ca_file", "tls_ca_file").map(PathBuf::from),
            client_ca_dir: either("tls_client_ca_dir", "tls_ca_path").map(PathBuf::from),
            client_certs: plain
                .parsed("tls_client_certs", client_certs)?
                .unwrap_or(ClientCerts::Optional),
            crl_file: plain.path("tls_crl_file"),
            required: plain.switch("tls_required", false)?,
            allow_starttls: plain.parsed("allowstarttls", super::parse_bool)?,
            prefer_server_ciphers: plain.switch("tls_prefer_server_ciphers", false)?,
            session_timeout: plain
                .parsed("tls_session_timeout", |text| parse_duration(text, b'm'))?
                .unwrap_or(SESSION_TIMEOUT_MAX)
                .min(SESSION_TIMEOUT_MAX),
            server_ca_file: lookup.path("tls_server_ca_file"),
            server_ca_dir: lookup.path("tls_server_ca_dir"),
            client: Identity {
                cert: file(lookup.get("tls_client_cert")),
                key: file(lookup.get("tls_client_key")),
            },
            client_by_host: by_host(lookup),
            versions: lookup
                .parsed("tls_versions", versions)?
                .unwrap_or_else(|| vec![TlsVersion::Tls12, TlsVersion::Tls13]),
            ciphers: lookup
                .get("tls_ciphers")
                .or_else(|| plain.get("tls_cipher_list"))
                .filter(|text| *text != "DEFAULT")
                .map(str::to_owned),
            eccurve: plain.text("tls_eccurve"),
            wish: lookup.parsed("mailtwin_tls", wish)?.unwrap_or(TlsWish::Auto),
            verify: lookup.switch("mailtwin_tls_verify", true)?,
            name: lookup.text("mailtwin_tls_name"),
            fingerprint: lookup.parsed("mailtwin_tls_fingerprint", fingerprint)?,
        })
    }

    /// What `sync_client` shows to `host`: `SHORTHOST_client_cert` and `_key` before the general ones, each for itself;
    /// the short host is the name up to its first dot.
    pub fn client_identity(&self, host: &str) -> Identity {
        let short = host.split('.').next().unwrap_or(host).to_ascii_lowercase();
        let own = self.client_by_host.get(&short).cloned().unwrap_or_default();
        Identity {
            cert: own.cert.or_else(|| self.client.cert.clone()),
            key: own.key.or_else(|| self.client.key.clone()),
        }
    }
}

/// What is set in vain, as a channel sees it.
pub(super) fn warnings(lookup: Lookup<'_>) -> Vec<Warning> {
    let vain = WITHOUT_EFFECT.into_iter().filter_map(|(key, why)| {
        let name = lookup.set_as(key)?;
        let value = lookup.config.get(&name).filter(|value| *value != "DEFAULT")?;
        let place = lookup.config.place(&name)?.clone();
        let text = format!("`{name}: {value}` has no effect: {why}; `tls_versions` can be narrowed");
        Some(Warning { place, text })
    });
    vain.collect()
}

fn file(text: Option<&str>) -> Option<PathBuf> {
    text.filter(|text| *text != "disabled").map(PathBuf::from)
}

fn files(text: Option<&str>) -> Vec<PathBuf> {
    let text = text.filter(|text| *text != "disabled").unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(PathBuf::from).collect()
}

fn by_host(lookup: Lookup<'_>) -> BTreeMap<String, Identity> {
    let mut hosts: BTreeMap<String, Identity> = BTreeMap::new();
    for (key, entry) in &lookup.config.entries {
        if keys::is_option(key) {
            continue;
        }
        if let Some(host) = key.strip_suffix("_client_cert") {
            hosts.entry(host.to_owned()).or_default().cert = file(Some(&entry.value));
        }
        if let Some(host) = key.strip_suffix("_client_key") {
            hosts.entry(host.to_owned()).or_default().key = file(Some(&entry.value));
        }
    }
    hosts
}

fn client_certs(text: &str) -> Result<ClientCerts, &'static str> {
    match text {
        "off" => Ok(ClientCerts::Off),
        "optional" => Ok(ClientCerts::Optional),
        "require" => Ok(ClientCerts::Require),
        _ => Err("write `off`, `optional` or `require`"),
    }
}

fn wish(text: &str) -> Result<TlsWish, &'static str> {
    match text {
        "auto" => Ok(TlsWish::Auto),
        "required" => Ok(TlsWish::Required),
        "off" => Ok(TlsWish::Off),
        _ => Err("write `auto`, `required` or `off`"),
    }
}

/// 64 hexadecimal digits, with or without colons between pairs.
fn fingerprint(text: &str) -> Result<[u8; 32], &'static str> {
    const WRONG: &str = "write the SHA-256 of the replica's certificate as 64 hexadecimal digits \
                         (openssl x509 -in CERT -noout -fingerprint -sha256)";
    let digits: Vec<u8> = text
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()
        .ok_or(WRONG)?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
        .collect();
    bytes.try_into().ok().filter(|_| digits.len() == 64).ok_or(WRONG)
}

/// Cyrus looks for the names anywhere in the text, so any separator will do.
fn versions(text: &str) -> Result<Vec<TlsVersion>, &'static str> {
    let known = [("tls1_2", TlsVersion::Tls12), ("tls1_3", TlsVersion::Tls13)];
    let found: Vec<TlsVersion> = known
        .into_iter()
        .filter_map(|(name, version)| text.contains(name).then_some(version))
        .collect();
    if found.is_empty() {
        return Err("mailtwin speaks TLS 1.2 and 1.3; name `tls1_2`, `tls1_3` or both");
    }
    Ok(found)
}
