//! Keys about the running program rather than about mail: who it is, how it logs, what it publishes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::lookup::{Lookup, count};
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

/// Whom a program that was started by root becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RunAs {
    /// A user of /etc/passwd, with the groups /etc/group gives it.
    Name(String),
    /// These ids and no further groups.
    Ids {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// Keys of services, with their defaults.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceKeys {
    /// `mailtwin_user`, else `cyrus_user`: whom a server started by root becomes; `root` to stay root.
    pub user: Option<RunAs>,
    /// `mailtwin_pidfile`: file that holds the process id while a server runs.
    pub pidfile: Option<PathBuf>,
    /// `mailtwin_sessions`: connections that may use the store at the same moment; 64.
    pub workers: usize,
    /// `mailtwin_login_timeout`: how long a peer may be connected without logging in; 60 seconds.
    pub login_timeout: Duration,
    /// `mailtwin_metrics_listen`: address of the page with metrics and status; none.
    pub metrics_listen: Option<SocketAddr>,
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
        let user = match lookup.parsed("mailtwin_user", run_as)? {
            Some(user) => Some(user),
            None => lookup.parsed("cyrus_user", run_as)?,
        };
        Ok(ServiceKeys {
            user,
            pidfile: config.get("mailtwin_pidfile").map(PathBuf::from),
            workers: lookup.parsed("mailtwin_sessions", count)?.unwrap_or(64),
            login_timeout: lookup
                .parsed("mailtwin_login_timeout", seconds)?
                .unwrap_or(Duration::from_secs(60)),
            metrics_listen: lookup.parsed("mailtwin_metrics_listen", address)?,
            log_format: lookup
                .parsed("mailtwin_log_format", log_format)?
                .unwrap_or_default(),
        })
    }
}

fn run_as(text: &str) -> Result<RunAs, &'static str> {
    const HELP: &str = "write the name of a user, or UID:GID";
    match text.split_once(':') {
        None if text.is_empty() || text.contains(char::is_whitespace) => Err(HELP),
        None => Ok(RunAs::Name(text.to_owned())),
        Some((uid, gid)) => Ok(RunAs::Ids {
            uid: uid.parse().map_err(|_| HELP)?,
            gid: gid.parse().map_err(|_| HELP)?,
        }),
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write ADDRESS:PORT or [IPV6]:PORT")
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write `text` or `json`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        assert_eq!(run_as("cyrus"), Ok(RunAs::Name("cyrus".to_owned())));
        assert_eq!(run_as("8:12"), Ok(RunAs::Ids { uid: 8, gid: 12 }));
        for wrong in ["", "a b", ":", "8:", "8:mail", "8:-1"] {
            assert!(run_as(wrong).is_err(), "{wrong}");
        }
    }
}
