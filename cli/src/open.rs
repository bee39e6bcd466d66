//! From the configuration to the store.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::flow::Now;
use net::config::{Service, Settings};
use protocol::Text;
use store::sqlite::{Options, SqliteStore};

use synclog::{LoggingSession, Writer};

use crate::access::Access;
use crate::failure::{Exit, Failure, Result};
use crate::output;

/// Partition of new mailboxes when the configuration names none.
const PARTITION: &str = "default";

/// The opened store with what the commands need of the configuration.
pub struct Opened {
    /// The store.
    pub store: SqliteStore,
    /// Where new mailboxes belong.
    pub partition: Text,
    /// Who may replicate.
    pub admins: Vec<String>,
    /// The store's folder.
    pub dir: PathBuf,
    /// Where changes are logged for replication; `None` when they are not.
    log: Option<Writer>,
}

impl Opened {
    /// A session whose changes are logged for replication, where the configuration says so.
    ///
    /// Logs first what a program that died had not logged yet; when that cannot be done, it is told and stays for the
    /// next one.
    pub fn changing(&self) -> Access {
        if let Some(writer) = &self.log
            && let Err(error) = synclog::recover(writer.sync_dir())
        {
            let _ = output::note(&error.to_string());
        }
        Access::new(LoggingSession::new(self.store.session(), self.log.clone()))
    }
}

/// Opens the store for changes; it has to be there already.
pub fn open_existing(config: &Path) -> Result<Opened> {
    drop(open(config, true)?);
    open(config, false)
}

/// Opens the store that the configuration names. To look at it (`read_only`) it has to be there already.
pub fn open(config: &Path, read_only: bool) -> Result<Opened> {
    let settings = Settings::load(config, Service::Mailtwin)
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    for warning in &settings.warnings {
        output::note(&warning.to_string())?;
    }
    if read_only && !settings.store.is_dir() {
        let text = format!(
            "there is no store in {}; a sync_client, `mailtwin import` or `mailtwin passwd` makes one",
            settings.store.display()
        );
        return Err(Failure::new(Exit::NoInput, text));
    }
    let options = Options {
        read_only,
        ..Options::default()
    };
    Ok(Opened {
        store: SqliteStore::open(&settings.store, options)?,
        partition: Text::from(
            settings
                .default_partition
                .clone()
                .unwrap_or_else(|| PARTITION.to_owned()),
        ),
        log: Writer::for_channels(&settings.sync_dir, &settings.log.written_by(true))
            .map_err(|error| Failure::new(Exit::Config, error.to_string()))?,
        admins: settings.admins,
        dir: settings.store,
    })
}

/// The time.
pub fn now() -> Now {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Now(i64::try_from(seconds).unwrap_or(i64::MAX))
}
