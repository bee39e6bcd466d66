//! Configuration in `imapd.conf` syntax: Cyrus's own keys where they exist, ours under `mailtwin_`.

mod channel;
mod keys;
mod lookup;
mod parse;
mod rolling;
mod service;
mod settings;
#[cfg(test)]
mod tests;
pub mod tls;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use channel::{CHANNEL_KEYS, LogKeys, OWN_CHANNEL_KEYS, channel_name};
pub use keys::{own_keys, sync_keys, tls_keys};
pub use rolling::RollingKeys;
pub use service::{LogFormat, ServiceKeys};
pub use settings::{CompressWish, Settings};
pub use value::{ValueError, parse_bool, parse_duration};

/// Which program reads the file: it decides whose service prefix counts (`syncserver_admins: ...`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// `sync_server`; prefix `syncserver_`.
    SyncServer,
    /// `sync_server` as a service of another name in cyrus.conf, whose prefix this is, see [`Service::named`].
    SyncServerAs(&'static str),
    /// `sync_client`; prefix `sync_client_`.
    SyncClient,
    /// The operator's program; no prefix.
    Mailtwin,
}

impl Service {
    /// `sync_server` as the service that has this name in cyrus.conf: as with Cyrus, keys with that prefix are meant for it.
    /// To be called once in a process, which keeps the prefix for good. [CS-SVC-26]
    pub fn named(name: &str) -> Service {
        let prefix = format!("{}_", name.to_ascii_lowercase());
        if Service::SyncServer.prefix() == Some(prefix.as_str()) {
            return Service::SyncServer;
        }
        Service::SyncServerAs(prefix.leak())
    }

    /// The prefix of keys that are meant for this program alone, with its underscore.
    pub fn prefix(self) -> Option<&'static str> {
        match self {
            Service::SyncServer => Some("syncserver_"),
            Service::SyncServerAs(prefix) => Some(prefix),
            Service::SyncClient => Some("sync_client_"),
            Service::Mailtwin => None,
        }
    }
}

/// A place in a configuration file, for messages.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Line, from 1; of a continued line the last.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something odd in the configuration that does not stop the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What, and what becomes of it.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Why a configuration cannot be used. No text holds a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or one it includes, cannot be read.
    #[error("cannot read configuration file {}: {source}{}", path.display(), included_from(from.as_ref()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The line that includes it.
        from: Option<Place>,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("{place}: {what}")]
    Line {
        /// Where.
        place: Place,
        /// What is wrong and what to do.
        what: String,
    },
    /// Something is missing.
    #[error("{}: {what}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What, and what to do.
        what: String,
    },
}

fn included_from(from: Option<&Place>) -> String {
    from.map_or_else(String::new, |place| format!(" (included at {place})"))
}

/// One option as it stands in the file.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    value: String,
    place: Place,
    /// Whether it carried the program's service prefix, and so wins over the plain form.
    service_specific: bool,
}

/// All options of a file and those it includes, by lower-case key without the service prefix.
#[derive(Clone, Debug)]
pub struct Config {
    path: Arc<Path>,
    entries: BTreeMap<String, Entry>,
    warnings: Vec<Warning>,
}

impl Config {
    /// Reads a file and what it includes.
    ///
    /// # Errors
    /// A file that cannot be read, is included twice, or holds a line that is no `name: value`.
    pub fn load(path: &Path, service: Service) -> Result<Config, ConfigError> {
        parse::load(path, service)
    }

    /// Reads a file and what it includes as far as it can be read, and says all that is wrong with its lines: for a
    /// program that checks a configuration. Whoever wants to work with one takes [`Config::load`].
    pub fn load_all(path: &Path, service: Service) -> (Config, Vec<ConfigError>) {
        parse::load_all(path, service, true).unwrap_or_else(|error| (Config::empty(path), vec![error]))
    }

    fn empty(path: &Path) -> Config {
        Config {
            path: Arc::from(path),
            entries: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// The same without what stands at this place: for a program that looks for the next error.
    pub fn without(&self, place: &Place) -> Config {
        let mut config = self.clone();
        config.entries.retain(|_, entry| entry.place != *place);
        config
    }

    /// What is odd in it, in the order of the lines.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// Where a key is set.
    pub fn place(&self, key: &str) -> Option<&Place> {
        self.entries.get(key).map(|entry| &entry.place)
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
