//! What the configuration says about logs. [CS-LOG-27]

use std::path::PathBuf;

use crate::{ChannelName, LogError, Writer};

/// The `sync_log` options.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogConfig {
    /// `<configdirectory>/sync`.
    pub sync_dir: PathBuf,
    /// `sync_log`.
    pub enabled: bool,
    /// `sync_log_channels`, word by word; empty is the default channel alone.
    pub channels: Vec<String>,
    /// `sync_log_chain`.
    pub chain: bool,
    /// `sync_log_unsuppressable_channels`, word by word.
    pub unsuppressable: Vec<String>,
}

impl LogConfig {
    /// The writer for changes made here, as by the operator: every channel; `None` when nothing is logged.
    ///
    /// # Errors
    /// [`LogError::BadChannel`].
    pub fn for_changes(&self) -> Result<Option<Writer>, LogError> {
        self.writer(|_| true)
    }

    /// The writer for what a replica applies: every channel with `sync_log_chain`, else those of
    /// `sync_log_unsuppressable_channels` among them; `None` when nothing is logged.
    ///
    /// # Errors
    /// [`LogError::BadChannel`].
    pub fn for_replica(&self) -> Result<Option<Writer>, LogError> {
        let unsuppressable = parse(&self.unsuppressable)?;
        self.writer(|channel| self.chain || unsuppressable.contains(channel))
    }

    fn writer(&self, wanted: impl Fn(&ChannelName) -> bool) -> Result<Option<Writer>, LogError> {
        if !self.enabled {
            return Ok(None);
        }
        let mut channels = parse(&self.channels)?;
        if channels.is_empty() {
            channels.push(ChannelName::DEFAULT);
        }
        channels.retain(wanted);
        Ok((!channels.is_empty()).then(|| Writer::new(&self.sync_dir, channels)))
    }
}

fn parse(names: &[String]) -> Result<Vec<ChannelName>, LogError> {
    let mut channels: Vec<ChannelName> = Vec::new();
    for name in names {
        let channel = ChannelName::parse(name)?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    Ok(channels)
}
