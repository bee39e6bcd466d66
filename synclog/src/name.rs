//! Names of channels, and where their files lie. [CS-LOG-1]

use std::fmt;
use std::path::{Path, PathBuf};

use crate::LogError;

/// Longest name, bytes: it is a folder's.
const NAME_BYTES_MAX: usize = 200;

/// A channel; the default one has no name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct ChannelName(Option<String>);

impl ChannelName {
    /// The channel without a name.
    pub const DEFAULT: ChannelName = ChannelName(None);

    /// Reads a name as it stands in `sync_log_channels`: empty and `""` (two quotes) are the default channel.
    ///
    /// # Errors
    /// [`LogError::BadChannel`]: a name that would lead out of the `sync` folder or into a file of the default channel.
    pub fn parse(name: &str) -> Result<ChannelName, LogError> {
        match name {
            "" | "\"\"" => Ok(ChannelName::DEFAULT),
            "log"
            | "log-run"
            | "log-next"
            | "intents"
            | "mailtwin-lock"
            | "mailtwin-quarantine"
            | "mailtwin-unreadable"
            | "mailtwin-status.json"
            | "sync_client.pid" => Err(bad(name)),
            _ if name.starts_with('.') || name.len() > NAME_BYTES_MAX => Err(bad(name)),
            _ if name.contains(|c: char| "/\"".contains(c) || c.is_whitespace() || c.is_control()) => {
                Err(bad(name))
            }
            _ => Ok(ChannelName(Some(name.to_owned()))),
        }
    }

    /// The name; `None` for the default channel.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The folder of the channel's files.
    pub fn directory(&self, sync_dir: &Path) -> PathBuf {
        match &self.0 {
            None => sync_dir.to_path_buf(),
            Some(name) => sync_dir.join(name),
        }
    }
}

impl fmt::Display for ChannelName {
    /// As in `sync_log_channels`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().unwrap_or("\"\""))
    }
}

fn bad(name: &str) -> LogError {
    LogError::BadChannel {
        name: name.to_owned(),
    }
}
