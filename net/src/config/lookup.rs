//! Finding a value: the channel's own form first, then the plain one; and saying where a wrong one stands.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::{Config, ConfigError, parse_bool, parse_duration};

/// A configuration as one channel sees it. [CS-LOG-27]
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a> {
    pub(super) config: &'a Config,
    channel: Option<&'a str>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(config: &'a Config, channel: Option<&'a str>) -> Self {
        Lookup { config, channel }
    }

    /// The same file without the channel: for keys that have no form of their own for channels.
    pub(super) fn plain(self) -> Self {
        Lookup {
            channel: None,
            ..self
        }
    }

    /// The name under which the key is set, the channel's form before the plain one.
    pub(super) fn set_as(&self, key: &str) -> Option<String> {
        let own = self
            .channel
            .map(|channel| channel_form(channel, key))
            .filter(|form| self.config.get(form).is_some());
        own.or_else(|| self.config.get(key).map(|_| key.to_owned()))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.config.get(&self.set_as(key)?)
    }

    /// The channel's own form alone.
    pub(super) fn channel_get(&self, key: &str) -> Option<&'a str> {
        self.config.get(&channel_form(self.channel?, key))
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.get(key).map(PathBuf::from)
    }

    /// Words between blanks; none when the key is not set.
    pub(super) fn words(&self, key: &str) -> Vec<String> {
        let value = self.get(key).unwrap_or_default();
        value.split_ascii_whitespace().map(str::to_owned).collect()
    }

    pub(super) fn switch(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        Ok(self.parsed(key, parse_bool)?.unwrap_or(default))
    }

    /// A duration whose bare number counts seconds.
    pub(super) fn duration(&self, key: &str, default_seconds: u64) -> Result<Duration, ConfigError> {
        let read = |text: &str| parse_duration(text, b's');
        Ok(self
            .parsed(key, read)?
            .unwrap_or(Duration::from_secs(default_seconds)))
    }

    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(name) = self.set_as(key) else {
            return Ok(None);
        };
        let Some(value) = self.config.get(&name) else {
            return Ok(None);
        };
        parse(value).map(Some).map_err(|error| self.wrong(&name, &error))
    }

    /// An error about a key that is set, with its line; `name` is the form that is set.
    fn wrong(&self, name: &str, error: &dyn Display) -> ConfigError {
        let what = match self.config.get(name) {
            Some(value) if !name.contains("password") => format!("`{name}: {value}`: {error}"),
            _ => format!("`{name}`: {error}"),
        };
        match self.config.place(name) {
            Some(place) => ConfigError::Line {
                place: place.clone(),
                what,
            },
            None => ConfigError::Missing {
                path: self.config.path().to_path_buf(),
                what,
            },
        }
    }
}

/// `CHANNEL_KEY` in lower case, as keys are.
pub(super) fn channel_form(channel: &str, key: &str) -> String {
    format!("{}_{key}", channel.to_ascii_lowercase())
}

/// A count above 0.
pub(super) fn count(text: &str) -> Result<usize, &'static str> {
    text.parse()
        .ok()
        .filter(|&n| n > 0)
        .ok_or("write a number above 0")
}

/// A count from 1 to `most`.
pub(super) fn count_to(most: usize) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        text.parse()
            .ok()
            .filter(|&n| (1..=most).contains(&n))
            .ok_or_else(|| format!("write a number from 1 to {most}"))
    }
}
