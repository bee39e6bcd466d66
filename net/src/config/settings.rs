//! What the programs need, typed and checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, ConfigError, Service, Warning, parse_bool, parse_duration};
use crate::address::{ListenAddress, PeerAddress};
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

/// All settings of a configuration file, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `mailtwin_store`: the directory of the store; default `mailtwin` below `configdirectory`.
    pub store: PathBuf,
    /// `partition-NAME`: names with their directories, which mailtwin does not use.
    pub partitions: BTreeMap<String, String>,
    /// `defaultpartition`.
    pub default_partition: Option<String>,
    /// `admins`: users who may replicate.
    pub admins: Vec<String>,
    /// `servername`: the name in the banner; default the machine's.
    pub servername: String,
    /// `sync_host` with `sync_port`: where `sync_client` connects to.
    pub sync_host: Option<PeerAddress>,
    /// `sync_authname`.
    pub sync_authname: Option<String>,
    /// `sync_realm`.
    pub sync_realm: Option<String>,
    /// `sync_password`.
    pub sync_password: Option<Secret>,
    /// `sync_timeout`: how long a peer may be silent; 30 minutes, at least 3 seconds.
    pub sync_timeout: Duration,
    /// `client_timeout`: how long connecting and logging in may take; 10 seconds.
    pub client_timeout: Duration,
    /// `failedloginpause`: delay of the answer to a failed login; 3 seconds.
    pub failed_login_pause: Duration,
    /// `sync_compress`.
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
    /// `mailtwin_connections`: connections served at a time; 64.
    pub connections_max: usize,
    /// `mailtwin_shutdown_grace`: how long running commands may finish after SIGTERM; 10 seconds.
    pub shutdown_grace: Duration,
    /// `mailtwin_socket_mode`: permissions of Unix sockets, octal; 0600.
    pub socket_mode: u32,
    /// `mailtwin_unauthenticated_bytes`: bytes a peer may send before it has logged in; 65,536.
    pub unauthenticated_bytes_max: u64,
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

    /// Checks all values of a configuration.
    ///
    /// # Errors
    /// A value that cannot be read, or a missing one that has no default.
    pub fn from_config(config: &Config) -> Result<Settings, ConfigError> {
        let duration = |key: &str, default: u64| {
            let parsed = config.get(key).map(|text| parse_duration(text, b's'));
            parsed
                .transpose()
                .map(|d| d.unwrap_or(Duration::from_secs(default)))
                .map_err(|e| wrong(config, key, &e))
        };
        let switch = |key: &str, default: bool| {
            let parsed = config.get(key).map(parse_bool);
            parsed
                .transpose()
                .map(|b| b.unwrap_or(default))
                .map_err(|e| wrong(config, key, &e))
        };
        let sync_port = port(config)?;
        Ok(Settings {
            store: store(config)?,
            partitions: partitions(config),
            default_partition: config.get("defaultpartition").map(str::to_owned),
            admins: words(config, "admins"),
            servername: config.get("servername").map_or_else(hostname, str::to_owned),
            sync_host: parsed(config, "sync_host", |text| PeerAddress::parse(text, sync_port))?,
            sync_authname: config.get("sync_authname").map(str::to_owned),
            sync_realm: config.get("sync_realm").map(str::to_owned),
            sync_password: config.get("sync_password").map(Secret::new),
            sync_timeout: duration("sync_timeout", 1800)?.max(SYNC_TIMEOUT_MIN),
            client_timeout: duration("client_timeout", 10)?,
            failed_login_pause: duration("failedloginpause", 3)?,
            sync_compress: compress(config)?,
            client_mechanisms: upper(words(config, "force_sasl_client_mech")),
            server_mechanisms: upper(words(config, "sasl_mech_list")),
            allow_plaintext: switch("mailtwin_allow_plaintext", switch("allowplaintext", false)?)?,
            unix_hierarchy_separator: switch("unixhierarchysep", true)?,
            listen: listen(config)?,
            server_compress: switch("mailtwin_compress", true)?,
            connections_max: parsed(config, "mailtwin_connections", count)?.unwrap_or(64),
            shutdown_grace: duration("mailtwin_shutdown_grace", 10)?,
            socket_mode: parsed(config, "mailtwin_socket_mode", mode)?.unwrap_or(0o600),
            unauthenticated_bytes_max: parsed(config, "mailtwin_unauthenticated_bytes", count)?
                .unwrap_or(65_536) as u64,
            warnings: config.warnings().to_vec(),
        })
    }

    /// What `sync_client -S` names: a host with or without port, or a socket's path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn peer(config: &Config, text: &str) -> Result<PeerAddress, String> {
        let port = port(config).map_err(|error| error.to_string())?;
        PeerAddress::parse(text, port).map_err(|error| error.to_string())
    }
}

fn wrong(config: &Config, key: &str, error: &dyn std::fmt::Display) -> ConfigError {
    let what = match config.get(key) {
        Some(value) if !key.contains("password") => format!("`{key}: {value}`: {error}"),
        _ => format!("`{key}`: {error}"),
    };
    match config.place(key) {
        Some(place) => ConfigError::Line {
            place: place.clone(),
            what,
        },
        None => ConfigError::Missing {
            path: config.path().to_path_buf(),
            what,
        },
    }
}

fn parsed<T, E: std::fmt::Display>(
    config: &Config,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, ConfigError> {
    config
        .get(key)
        .map(parse)
        .transpose()
        .map_err(|error| wrong(config, key, &error))
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

fn port(config: &Config) -> Result<u16, ConfigError> {
    let read = |text: &str| match text {
        "csync" => Ok(crate::address::CSYNC_PORT),
        _ => text
            .parse::<u16>()
            .map_err(|_| "write a port number from 1 to 65535, or `csync`"),
    };
    Ok(parsed(config, "sync_port", read)?
        .filter(|&port| port != 0)
        .unwrap_or(crate::address::CSYNC_PORT))
}

fn listen(config: &Config) -> Result<Vec<ListenAddress>, ConfigError> {
    let read = |text: &str| {
        text.split_ascii_whitespace()
            .map(ListenAddress::parse)
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(parsed(config, "mailtwin_listen", read)?.unwrap_or_else(|| vec![ListenAddress::default()]))
}

fn compress(config: &Config) -> Result<CompressWish, ConfigError> {
    let read = |text: &str| match text {
        "auto" => Ok(CompressWish::Auto),
        "required" => Ok(CompressWish::Required),
        _ => match parse_bool(text) {
            Ok(true) => Ok(CompressWish::Yes),
            Ok(false) => Ok(CompressWish::No),
            Err(_) => Err("write `auto`, `yes`, `no` or `required`"),
        },
    };
    Ok(parsed(config, "sync_compress", read)?.unwrap_or(CompressWish::Auto))
}

fn count(text: &str) -> Result<usize, &'static str> {
    text.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or("write a number above 0")
}

fn mode(text: &str) -> Result<u32, &'static str> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|&mode| mode <= 0o777)
        .ok_or("write permissions in octal, such as 0660")
}

fn words(config: &Config, key: &str) -> Vec<String> {
    config
        .get(key)
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect()
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
