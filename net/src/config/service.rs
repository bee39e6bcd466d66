//! Keys about the running program rather than about mail.

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
