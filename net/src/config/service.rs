//! Keys about the running program rather than about mail.

use std::path::PathBuf;
use std::time::Duration;

use super::lookup::Lookup;
use super::{Config, ConfigError, parse_duration};

/// How log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Keys of services, with their defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceKeys {
    /// `mailtwin_login_timeout`: how long a peer may be connected without logging in; 60 seconds.
    pub login_timeout: Duration,
    /// `mailtwin_log_format`: `text` or `json`; text.
    pub log_format: LogFormat,
    /// `mailtwin_user`: the user, by name or number, as whom `sync_server` runs when root starts it; decided by the store
    /// unless it is set. [CS-SVC-18]
    pub user: Option<String>,
    /// `cyrus_user`: Cyrus's user, whom a new store is made for where nothing else is said.
    pub cyrus_user: Option<String>,
    /// `mailtwin_pidfile`: where `sync_server` notes its process id; nowhere.
    pub pidfile: Option<PathBuf>,
    /// `syslog_prefix`: what comes before the service's name in the system's log.
    pub syslog_prefix: Option<String>,
    /// `syslog_facility`: the facility of the system's log; mail.
    pub syslog_facility: Option<String>,
}

impl ServiceKeys {
    /// Reads the keys.
    ///
    /// # Errors
    /// A value that cannot be read.
    pub fn from_config(config: &Config) -> Result<ServiceKeys, ConfigError> {
        let lookup = Lookup::new(config, None);
        let seconds = |text: &str| parse_duration(text, b's');
        Ok(ServiceKeys {
            login_timeout: lookup
                .parsed("mailtwin_login_timeout", seconds)?
                .unwrap_or(Duration::from_secs(60)),
            log_format: lookup
                .parsed("mailtwin_log_format", log_format)?
                .unwrap_or_default(),
            user: lookup.text("mailtwin_user"),
            cyrus_user: lookup.text("cyrus_user"),
            pidfile: lookup.path("mailtwin_pidfile"),
            syslog_prefix: lookup.text("syslog_prefix"),
            syslog_facility: lookup.text("syslog_facility"),
        })
    }
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write `text` or `json`"),
    }
}
