//! Replication channels: which there are, which are written to, and the keys that each can have for itself.

use std::collections::BTreeSet;

use super::lookup::{Lookup, channel_form};
use super::{Config, ConfigError, Warning, parse_bool};

/// How a configuration names the default channel.
const DEFAULT_CHANNEL: &str = "\"\"";

/// Keys of Cyrus that a channel can have for itself as `CHANNEL_KEY`. Cyrus ignores such forms of all others. [CS-LOG-27]
pub const CHANNEL_KEYS: [&str; 9] = [
    "sync_authname",
    "sync_cache_db_path",
    "sync_host",
    "sync_password",
    "sync_port",
    "sync_realm",
    "sync_repeat_interval",
    "sync_shutdown_file",
    "sync_try_imap",
];

/// Keys whose form for a channel mailtwin knows and Cyrus does not.
pub const OWN_CHANNEL_KEYS: [&str; 18] = [
    "mailtwin_metrics_listen",
    "mailtwin_quarantine_after",
    "mailtwin_quarantine_retry",
    "mailtwin_quarantine_wait",
    "mailtwin_retry_maxwait",
    "mailtwin_retry_wait",
    "mailtwin_tls",
    "mailtwin_tls_fingerprint",
    "mailtwin_tls_name",
    "mailtwin_tls_verify",
    "mailtwin_workers",
    "sync_compress",
    "tls_ciphers",
    "tls_client_cert",
    "tls_client_key",
    "tls_server_ca_dir",
    "tls_server_ca_file",
    "tls_versions",
];

/// Which channels changes are logged to. `None` stands for the default channel. [CS-LOG-27]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogKeys {
    /// `sync_log`: whether changes are logged at all; no.
    pub enabled: bool,
    /// `sync_log_chain`: whether `sync_server` logs what it applies, to all channels; no.
    pub chain: bool,
    /// `sync_log_channels`: names between blanks, `""` for the default channel; the default channel alone.
    pub channels: Vec<Option<String>>,
    /// `sync_log_unsuppressable_channels`: channels that `sync_server` logs to without chaining as well; `squatter`.
    pub unsuppressable: Vec<Option<String>>,
    /// `sync_rightnow_channel`: a channel whose daemon is woken by each change; none. `Some(None)` is the default
    /// channel.
    pub rightnow: Option<Option<String>>,
}

impl LogKeys {
    pub(super) fn read(lookup: Lookup<'_>) -> Result<LogKeys, ConfigError> {
        let list = |key, default: &str| {
            let read = |text: &str| names(text);
            lookup
                .parsed(key, read)
                .map(|found| found.unwrap_or_else(|| names(default).unwrap_or_default()))
        };
        Ok(LogKeys {
            enabled: lookup.switch("sync_log", false)?,
            chain: lookup.switch("sync_log_chain", false)?,
            channels: list("sync_log_channels", DEFAULT_CHANNEL)?,
            unsuppressable: list("sync_log_unsuppressable_channels", "squatter")?,
            rightnow: lookup.parsed("sync_rightnow_channel", channel_name)?,
        })
    }

    /// The channels that a program logs to: all and that of right-now replication, or, where changes come from another
    /// server and chaining is off, those that cannot be suppressed. [CS-LOG-37]
    pub fn written_by(&self, chained: bool) -> Vec<Option<String>> {
        if !self.enabled {
            return Vec::new();
        }
        let mut all = self.channels.clone();
        all.retain(|channel| chained || self.unsuppressable.contains(channel));
        if let Some(rightnow) = self.rightnow.as_ref().filter(|_| chained)
            && !all.contains(rightnow)
        {
            all.push(rightnow.clone());
        }
        all
    }
}

fn names(text: &str) -> Result<Vec<Option<String>>, &'static str> {
    let mut found: Vec<Option<String>> = Vec::new();
    for word in text.split_ascii_whitespace() {
        let channel = channel_name(word)?;
        if !found.contains(&channel) {
            found.push(channel);
        }
    }
    Ok(found)
}

/// A channel's name as people write it; `""` and nothing at all are the default channel, `None`.
///
/// # Errors
/// A name that cannot be a folder's: with a slash, a control character or a blank, or beginning with a dot.
pub fn channel_name(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() || text == DEFAULT_CHANNEL {
        return Ok(None);
    }
    let bad = |c: char| c == '/' || c == '"' || c.is_whitespace() || c.is_control();
    if text.starts_with('.') || text.len() > 200 || text.contains(bad) {
        return Err("a channel's name is one word without `/` and `\"` that does not begin with a dot");
    }
    Ok(Some(text.to_owned()))
}

/// `sync_try_imap` as Cyrus reads it: a switch, but for a channel a number, so that `yes` there means no.
pub(super) fn try_imap(lookup: Lookup<'_>) -> Result<bool, ConfigError> {
    let general = lookup.plain().switch("sync_try_imap", true)?;
    let own = lookup.channel_get("sync_try_imap").map(leading_number);
    Ok(match own {
        None | Some(-1) => general,
        Some(number) => number != 0,
    })
}

/// The number that a text begins with; 0 without one.
fn leading_number(text: &str) -> i64 {
    let end = text
        .bytes()
        .enumerate()
        .position(|(at, b)| !(b.is_ascii_digit() || (at == 0 && b == b'-')))
        .unwrap_or(text.len());
    text[..end].parse().unwrap_or(0)
}

/// What is odd about a channel's own keys: forms that nobody reads, and a switch that Cyrus does not read as one.
pub(super) fn warnings(config: &Config, channel: Option<&str>) -> Vec<Warning> {
    let Some(channel) = channel else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let prefix = channel_form(channel, "");
    for (key, entry) in &config.entries {
        let Some(plain) = key.strip_prefix(&prefix) else {
            continue;
        };
        let known = CHANNEL_KEYS.contains(&plain) || OWN_CHANNEL_KEYS.contains(&plain);
        let text = if !known && (plain.starts_with("sync_") || plain.starts_with("mailtwin_")) {
            format!("`{plain}` has no form of its own for a channel; `{key}` is ignored (by Cyrus too)")
        } else if plain == "sync_try_imap"
            && parse_bool(&entry.value) != Ok(leading_number(&entry.value) != 0)
        {
            format!("Cyrus takes `{key}: {}` for no; write 0 or 1 here", entry.value)
        } else {
            continue;
        };
        found.push(Warning {
            place: entry.place.clone(),
            text,
        });
    }
    found
}

impl Config {
    /// All channels that the configuration names: those that are logged to, that of right-now replication, and those
    /// with a `CHANNEL_sync_host`. The default channel is among them when it is logged to or `sync_host` is set.
    ///
    /// # Errors
    /// A name that cannot be one.
    pub fn channels(&self) -> Result<Vec<Option<String>>, ConfigError> {
        let log = LogKeys::read(Lookup::new(self, None))?;
        let mut found: BTreeSet<Option<String>> = BTreeSet::new();
        if log.enabled {
            found.extend(log.channels);
        }
        found.extend(log.rightnow);
        if self.get("sync_host").is_some() {
            found.insert(None);
        }
        let lower: BTreeSet<String> = found
            .iter()
            .flatten()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        for key in self.entries.keys() {
            let Some(name) = key.strip_suffix("_sync_host") else {
                continue;
            };
            if !lower.contains(name) {
                found.insert(Some(name.to_owned()));
            }
        }
        Ok(found.into_iter().collect())
    }
}
