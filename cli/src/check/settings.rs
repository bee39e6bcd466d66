//! The settings that count for a channel, and where each comes from.

use std::time::Duration;

use monitor::health::span;
use net::config::{Config, Settings};
use serde::Serialize;

/// One setting; a secret's value is only `set` or `not set`.
#[derive(Serialize)]
pub struct Setting {
    /// Key as it is or could be written, with the channel where it has a form of its own.
    pub key: String,
    /// Its value, the default when it is not set.
    pub value: String,
    /// File and line; `None` for a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// Those of a channel.
pub fn of(config: &Config, settings: &Settings) -> Vec<Setting> {
    let none = || "none".to_owned();
    let duration = |duration: Duration| span(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let rolling = &settings.rolling;
    let log = &settings.log;
    let rows = [
        (
            "sync_host",
            settings.sync_host.as_ref().map_or_else(none, ToString::to_string),
        ),
        (
            "sync_authname",
            settings.sync_authname.clone().unwrap_or_else(none),
        ),
        (
            "sync_password",
            if settings.sync_password.is_some() {
                "set"
            } else {
                "not set"
            }
            .to_owned(),
        ),
        ("sync_realm", settings.sync_realm.clone().unwrap_or_else(none)),
        (
            "sync_compress",
            format!("{:?}", settings.sync_compress).to_lowercase(),
        ),
        ("sync_timeout", duration(settings.sync_timeout)),
        ("client_timeout", duration(settings.client_timeout)),
        ("sync_repeat_interval", duration(rolling.repeat_interval)),
        (
            "sync_reconnect_maxwait",
            rolling
                .reconnect_maxwait
                .map_or_else(|| "no limit".to_owned(), duration),
        ),
        (
            "sync_shutdown_file",
            rolling
                .shutdown_file
                .as_ref()
                .map_or_else(none, |path| path.display().to_string()),
        ),
        ("mailtwin_workers", rolling.workers.to_string()),
        ("mailtwin_quarantine_after", rolling.quarantine_after.to_string()),
        (
            "sync_log",
            yes(log.enabled && log.channels.contains(&settings.channel)),
        ),
        ("sync_log_chain", yes(log.chain)),
        ("mailtwin_store", settings.store.display().to_string()),
    ];
    rows.into_iter()
        .map(|(key, value)| setting(config, settings, key, value))
        .collect()
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn setting(config: &Config, settings: &Settings, key: &str, value: String) -> Setting {
    let own = settings
        .channel
        .as_ref()
        .map(|channel| format!("{}_{key}", channel.to_lowercase()));
    let own = own.filter(|own| config.get(own).is_some());
    let key = own.unwrap_or_else(|| key.to_owned());
    let place = config.place(&key).map(ToString::to_string);
    Setting { key, value, place }
}
