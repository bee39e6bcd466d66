//! What the programs need, typed and checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::channel::{self, LogKeys};
use super::lookup::{Lookup, count};
use super::rolling::{RollingKeys, addresses};
use super::tls::{self, TlsKeys};
use super::{Config, ConfigError, Service, ServiceKeys, Warning, parse_bool};
use crate::address::{ListenAddress, PeerAddress};
use crate::guests::GuestLimits;
use crate::secret::Secret;

/// Least `sync_timeout`; smaller values are raised to it, as Cyrus does.
const SYNC_TIMEOUT_MIN: Duration = Duration::from_secs(3);

/// When `sync_client` asks for deflate (`sync_compress`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressWish {
    /// When offered and the peer is not on this machine; the default.
    Auto,
    /// Whenever offered.
    Yes,
    /// Never.
    No,
    /// Or not at all (`-z`).
    Required,
}

/// All settings of a configuration file as one channel sees them, with their defaults. "By channel" marks keys that a
/// channel can have for itself, as `CHANNEL_KEY`. [CS-LOG-27]
#[derive(Clone, Debug)]
pub struct Settings {
    /// The channel; `None` is the default one.
    pub channel: Option<String>,
    /// `mailtwin_store`: the directory of the store; default `mailtwin` below `configdirectory`.
    pub store: PathBuf,
    /// `configdirectory`.
    pub config_directory: Option<PathBuf>,
    /// Where logs of changes and what belongs to channels lie: `sync` below `configdirectory`, else below the store.
    pub sync_dir: PathBuf,
    /// `partition-NAME`: names with their directories, which mailtwin does not use.
    pub partitions: BTreeMap<String, String>,
    /// `defaultpartition`.
    pub default_partition: Option<String>,
    /// `admins`: users who may replicate.
    pub admins: Vec<String>,
    /// `servername`: the name in the banner; default the machine's.
    pub servername: String,
    /// `sync_host` with `sync_port`, both by channel: where `sync_client` connects to.
    pub sync_host: Option<PeerAddress>,
    /// `sync_authname`, by channel.
    pub sync_authname: Option<String>,
    /// `sync_realm`, by channel.
    pub sync_realm: Option<String>,
    /// `sync_password`, by channel.
    pub sync_password: Option<Secret>,
    /// `sync_try_imap`, by channel (Cyrus takes only `0` and `1` there): yes. mailtwin always speaks csync.
    pub sync_try_imap: bool,
    /// `sync_batchsize`: new messages of one mailbox that become durable together at most, where the replica takes parts
    /// of a mailbox, as mailtwin does; 8,192, 0 for no limit. [CS-MASTER-57]
    pub sync_batchsize: usize,
    /// `sync_cache_db_path`, by channel: Cyrus's cache of the replica's state, which mailtwin does not need.
    pub sync_cache_db_path: Option<PathBuf>,
    /// `sync_timeout`: how long a peer may be silent; 30 minutes, at least 3 seconds.
    pub sync_timeout: Duration,
    /// Keys of rolling replication.
    pub rolling: RollingKeys,
    /// Which channels changes are logged to.
    pub log: LogKeys,
    /// Keys about TLS.
    pub tls: TlsKeys,
    /// `client_timeout`: how long connecting and logging in may take; 10 seconds.
    pub client_timeout: Duration,
    /// `failedloginpause`: delay of the answer to the first failed login of an address, 3 seconds; and how many connections
    /// there may be that have not logged in: `mailtwin_unauthenticated_connections`, 256, and
    /// `mailtwin_unauthenticated_per_address`, 32.
    pub guests: GuestLimits,
    /// `sync_compress`, by channel.
    pub sync_compress: CompressWish,
    /// `force_sasl_client_mech`: the only mechanisms `sync_client` may use; empty for all.
    pub client_mechanisms: Vec<String>,
    /// `sasl_mech_list`: the only mechanisms `sync_server` may offer; empty for all.
    pub server_mechanisms: Vec<String>,
    /// `mailtwin_allow_plaintext`, else `allowplaintext`: whether passwords may cross a network in clear; no.
    pub allow_plaintext: bool,
    /// `unixhierarchysep`: whether people write mailbox names with `/`; yes.
    pub unix_hierarchy_separator: bool,
    /// `mailtwin_listen`: where `sync_server` listens; `127.0.0.1:2005`.
    pub listen: Vec<ListenAddress>,
    /// `mailtwin_compress`: whether `sync_server` offers deflate; yes.
    pub server_compress: bool,
    /// `mailtwin_connections`: connections that may be open at a time; 10,000.
    pub connections_max: usize,
    /// `mailtwin_busy_connections`: connections that may work at a time, the others wait for their turn; 64.
    pub busy_max: usize,
    /// `mailtwin_server_metrics_listen`: where `sync_server` serves metrics and its status page; nowhere.
    pub server_metrics_listen: Vec<SocketAddr>,
    /// `mailtwin_shutdown_grace`: how long running commands may finish after SIGTERM; 10 seconds.
    pub shutdown_grace: Duration,
    /// `mailtwin_socket_mode`: permissions of Unix sockets, octal; 0600.
    pub socket_mode: u32,
    /// `mailtwin_unauthenticated_bytes`: bytes a peer may send before it has logged in; 65,536.
    pub unauthenticated_bytes_max: u64,
    /// Keys about the running program.
    pub service: ServiceKeys,
    /// What is odd in the file.
    pub warnings: Vec<Warning>,
}

impl Settings {
    /// Reads a file and checks all values.
    ///
    /// # Errors
    /// See [`ConfigError`]; the text names file, line and what to do.
    pub fn load(path: &std::path::Path, service: Service) -> Result<Settings, ConfigError> {
        Settings::from_config(&Config::load(path, service)?)
    }

    /// Checks all values of a configuration, as the default channel sees them.
    ///
    /// # Errors
    /// A value that cannot be read, or a missing one that has no default.
    pub fn from_config(config: &Config) -> Result<Settings, ConfigError> {
        Settings::for_channel(config, None)
    }

    /// Checks all values of a configuration, as one channel sees them: `CHANNEL_KEY` before `KEY`, for the keys that have
    /// this form. `None` is the default channel. [CS-LOG-27]
    ///
    /// # Errors
    /// A value that cannot be read, or a missing one that has no default.
    pub fn for_channel(config: &Config, channel: Option<&str>) -> Result<Settings, ConfigError> {
        let lookup = Lookup::new(config, channel);
        let plain = lookup.plain();
        let sync_port = port(lookup)?;
        let mut warnings = config.warnings().to_vec();
        warnings.extend(channel::warnings(config, channel));
        warnings.extend(tls::warnings(lookup));
        let store = store(config)?;
        let config_directory = plain.path("configdirectory");
        Ok(Settings {
            channel: channel.map(str::to_owned),
            sync_dir: config_directory.as_ref().unwrap_or(&store).join("sync"),
            config_directory,
            store,
            partitions: partitions(config),
            default_partition: plain.text("defaultpartition"),
            admins: plain.words("admins"),
            servername: plain.text("servername").unwrap_or_else(hostname),
            sync_host: lookup.parsed("sync_host", |text| PeerAddress::parse(text, sync_port))?,
            sync_authname: lookup.text("sync_authname"),
            sync_realm: lookup.text("sync_realm"),
            sync_password: lookup.get("sync_password").map(Secret::new),
            sync_timeout: plain.duration("sync_timeout", 1800)?.max(SYNC_TIMEOUT_MIN),
            sync_try_imap: channel::try_imap(lookup)?,
            sync_batchsize: plain.parsed("sync_batchsize", count)?.unwrap_or(8192),
            sync_cache_db_path: lookup.path("sync_cache_db_path"),
            rolling: RollingKeys::read(lookup)?,
            log: LogKeys::read(plain)?,
            tls: TlsKeys::read(lookup)?,
            service: ServiceKeys::from_config(config)?,
            client_timeout: plain.duration("client_timeout", 10)?,
            guests: guests(plain)?,
            sync_compress: lookup
                .parsed("sync_compress", compress)?
                .unwrap_or(CompressWish::Auto),
            client_mechanisms: upper(plain.words("force_sasl_client_mech")),
            server_mechanisms: upper(plain.words("sasl_mech_list")),
            allow_plaintext: plain
                .switch("mailtwin_allow_plaintext", plain.switch("allowplaintext", false)?)?,
            unix_hierarchy_separator: plain.switch("unixhierarchysep", true)?,
            listen: plain
                .parsed("mailtwin_listen", listen)?
                .unwrap_or_else(|| vec![ListenAddress::default()]),
            server_compress: plain.switch("mailtwin_compress", true)?,
            connections_max: plain.parsed("mailtwin_connections", count)?.unwrap_or(10_000),
            busy_max: plain.parsed("mailtwin_busy_connections", count)?.unwrap_or(64),
            server_metrics_listen: plain
                .parsed("mailtwin_server_metrics_listen", addresses)?
                .unwrap_or_default(),
            shutdown_grace: plain.duration("mailtwin_shutdown_grace", 10)?,
            socket_mode: plain.parsed("mailtwin_socket_mode", mode)?.unwrap_or(0o600),
            unauthenticated_bytes_max: plain
                .parsed("mailtwin_unauthenticated_bytes", count)?
                .unwrap_or(65_536) as u64,
            warnings,
        })
    }

    /// The folder of the channel's log, status and pid file; it may not exist yet. [CS-LOG-1]
    pub fn channel_dir(&self) -> PathBuf {
        match &self.channel {
            Some(channel) => self.sync_dir.join(channel),
            None => self.sync_dir.clone(),
        }
    }

    /// What `sync_client -S` names: a host with or without port, or a socket's path. A port that is not said is the
    /// channel's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn peer(config: &Config, channel: Option<&str>, text: &str) -> Result<PeerAddress, String> {
        let port = port(Lookup::new(config, channel)).map_err(|error| error.to_string())?;
        PeerAddress::parse(text, port).map_err(|error| error.to_string())
    }
}

/// The longest wait for the answer to a failed login, unless the first one is longer: below the time that clients give a
/// login, so that they see the refusal.
const LOGIN_PAUSE_MAX: Duration = Duration::from_secs(8);

fn guests(lookup: Lookup<'_>) -> Result<GuestLimits, ConfigError> {
    let pause = lookup.duration("failedloginpause", 3)?;
    let number = |key| lookup.parsed(key, count);
    Ok(GuestLimits {
        total_max: number("mailtwin_unauthenticated_connections")?.unwrap_or(256),
        per_address_max: number("mailtwin_unauthenticated_per_address")?.unwrap_or(32),
        pause,
        pause_max: LOGIN_PAUSE_MAX.max(pause),
    })
}

fn store(config: &Config) -> Result<PathBuf, ConfigError> {
    if let Some(path) = config.get("mailtwin_store") {
        return Ok(PathBuf::from(path));
    }
    config.get("configdirectory").map(|path| PathBuf::from(path).join("mailtwin")).ok_or_else(|| ConfigError::Missing {
        path: config.path().to_path_buf(),
        what: "there is no place for the store; add `mailtwin_store: DIRECTORY` (or `configdirectory: DIRECTORY`)".to_owned(),
    })
}

fn partitions(config: &Config) -> BTreeMap<String, String> {
    let named = config.entries.iter().filter_map(|(key, entry)| {
        key.strip_prefix("partition-")
            .map(|name| (name.to_owned(), entry.value.clone()))
    });
    named.collect()
}

/// Where the system lists the names of ports.
const SERVICES: &str = "/etc/services";

fn port(lookup: Lookup<'_>) -> Result<u16, ConfigError> {
    let read = |text: &str| match text.parse::<u16>() {
        Ok(number) => Ok(number),
        Err(_) if text == "csync" => Ok(crate::address::CSYNC_PORT),
        Err(_) => named_port(text, &std::fs::read_to_string(SERVICES).unwrap_or_default())
            .ok_or("write a port number from 1 to 65535, or a name such as `csync` that /etc/services knows"),
    };
    Ok(lookup
        .parsed("sync_port", read)?
        .filter(|&port| port != 0)
        .unwrap_or(crate::address::CSYNC_PORT))
}

/// The TCP port that a text in the form of /etc/services gives a name.
fn named_port(name: &str, services: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let main = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        (main == name || words.any(|alias| alias == name)).then(|| port.parse().ok())?
    })
}

fn listen(text: &str) -> Result<Vec<ListenAddress>, crate::address::AddressError> {
    text.split_ascii_whitespace().map(ListenAddress::parse).collect()
}

fn compress(text: &str) -> Result<CompressWish, &'static str> {
    match text {
        "auto" => Ok(CompressWish::Auto),
        "required" => Ok(CompressWish::Required),
        _ => match parse_bool(text) {
            Ok(true) => Ok(CompressWish::Yes),
            Ok(false) => Ok(CompressWish::No),
            Err(_) => Err("write `auto`, `yes`, `no` or `required`"),
        },
    }
}

fn mode(text: &str) -> Result<u32, &'static str> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o777)
        .ok_or("write permissions in octal, such as 0660")
}

fn upper(words: Vec<String>) -> Vec<String> {
    words.into_iter().map(|word| word.to_ascii_uppercase()).collect()
}

fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_name() {
        let services = "# names\nimap2 143/tcp imap # mail\ncsync 2005/udp\ncsync 2006/tcp\n\n";
        assert_eq!(named_port("imap2", services), Some(143));
        assert_eq!(named_port("imap", services), Some(143));
        assert_eq!(named_port("csync", services), Some(2006));
        assert_eq!(named_port("mail", services), None);
    }
}
