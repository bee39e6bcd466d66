//! What can be checked on this machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use net::config::{Config, Settings};
use store::sqlite::{Options, SqliteStore};

use super::{Findings, Verdict};

/// 2024-01-01: no clock that works is before it. Seconds since the epoch.
const CLOCK_MIN_S: u64 = 1_704_067_200;

/// How far the clock of a file system may be from ours.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5);

/// The configuration file itself: whoever can read a password in it can read all mail.
pub fn file(config: &Config, findings: &mut Findings) {
    let path = config.path();
    let Ok(meta) = fs::metadata(path) else {
        return;
    };
    let holds_secret = fs::read_to_string(path).is_ok_and(|text| {
        text.lines().any(|line| {
            let key = line
                .split(':')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            key.ends_with("password") && !key.starts_with('#')
        })
    });
    if holds_secret && meta.permissions().mode() & 0o004 != 0 {
        let text = format!(
            "{0}: everybody can read the password in it; `chmod o-r {0}`",
            path.display()
        );
        findings.add(Verdict::Warning, None, text);
    }
}

/// UIDVALIDITY, internal dates and the age of changes come from the clock.
pub fn clock(findings: &mut Findings) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if now < CLOCK_MIN_S {
        findings.add(
            Verdict::Error,
            None,
            "the clock of this machine is years behind; set it before mail is stored",
        );
    }
}

/// Store and folder of logs.
pub fn places(settings: &Settings, findings: &mut Findings) {
    if settings.config_directory.is_none() {
        let text = format!(
            "`configdirectory` is not set; logs of changes go to {}",
            settings.sync_dir.display()
        );
        findings.add(Verdict::Warning, None, text);
    }
    if settings.store.is_dir() {
        let options = Options {
            read_only: true,
            ..Options::default()
        };
        match SqliteStore::open(&settings.store, options).and_then(|store| store.users()) {
            Ok(users) => {
                let text = format!(
                    "store {}: {}",
                    settings.store.display(),
                    crate::table::count(users.len() as u64, "user")
                );
                findings.add(Verdict::Ok, None, text);
            }
            Err(error) => findings.add(Verdict::Error, None, format!("store: {error}")),
        }
    }
    writable("store", &settings.store, findings);
    writable("folder of logs", &settings.sync_dir, findings);
}

/// What can be said about a channel without its replica.
pub fn channel(settings: &Settings, findings: &mut Findings) {
    let name = settings.channel.as_deref();
    let about = Some(name.unwrap_or_default());
    let logged = settings.log.enabled && settings.log.channels.contains(&settings.channel);
    match (&settings.sync_host, logged) {
        (None, _) => {
            let key = name.map_or_else(|| "sync_host".to_owned(), |name| format!("{name}_sync_host"));
            findings.add(
                Verdict::Error,
                about,
                format!("changes are logged for it, and it has no replica: set `{key}`"),
            );
        }
        (Some(_), false) => {
            let what = match (settings.log.enabled, name) {
                (false, _) => "`sync_log: yes`".to_owned(),
                (true, None) => "`\"\"` in `sync_log_channels`".to_owned(),
                (true, Some(name)) => format!("`{name}` in `sync_log_channels`"),
            };
            let text = format!(
                "no change made here is logged for it, so a rolling sync_client finds nothing to do; that takes {what}"
            );
            findings.add(Verdict::Warning, about, text);
        }
        (Some(_), true) => {}
    }
    if settings.sync_authname.is_some() != settings.sync_password.is_some() {
        findings.add(
            Verdict::Error,
            about,
            "`sync_authname` and `sync_password` go together; one is missing",
        );
    }
    if settings.channel_dir().is_dir() {
        writable("folder of the channel", &settings.channel_dir(), findings);
    }
}

/// Makes a file and takes it away again; of a folder that is not there yet the nearest one above it is tried.
fn writable(what: &str, path: &Path, findings: &mut Findings) {
    let Some(there) = path.ancestors().find(|path| path.is_dir()) else {
        findings.add(
            Verdict::Error,
            None,
            format!("{what} {}: no folder above it exists", path.display()),
        );
        return;
    };
    let before = SystemTime::now();
    let made = tempfile::Builder::new()
        .prefix(".mailtwin-check-")
        .tempfile_in(there);
    match made {
        Err(error) => {
            let text = format!(
                "{what} {}: cannot write to {}: {error}; run as the user that Cyrus runs as, or give that user the folder",
                path.display(),
                there.display()
            );
            findings.add(Verdict::Error, None, text);
        }
        Ok(file) => {
            let state = if there == path {
                "can be written"
            } else {
                "will be made"
            };
            findings.add(Verdict::Ok, None, format!("{what} {}: {state}", path.display()));
            let there_now = file.as_file().metadata().and_then(|meta| meta.modified()).ok();
            let skew = there_now.map(|time| {
                time.duration_since(before)
                    .unwrap_or_else(|early| early.duration())
            });
            if skew.is_some_and(|skew| skew > CLOCK_SKEW_MAX) {
                let text = format!(
                    "the file system of {} has another time than this machine; ages of changes will be wrong",
                    there.display()
                );
                findings.add(Verdict::Warning, None, text);
            }
        }
    }
}
