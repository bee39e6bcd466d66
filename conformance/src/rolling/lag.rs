//! How late a change arrives: each delivery is noted when the master has taken it, and again when it shows on each
//! server behind.

use crate::csync::Csync;
use crate::csync::dlist::string;
use crate::cyrus::{ADMIN, PASSWORD};
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often each server is asked; lags are no finer than this.
const EVERY: Duration = Duration::from_millis(20);
/// A server that says nothing for so long is asked again over a new connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// A message that the master has taken.
#[derive(Debug)]
struct Delivery {
    mailbox: String,
    uid: u32,
    at: Instant,
    phase: String,
    /// When it showed on each server.
    seen: Vec<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Notes {
    deliveries: Vec<Delivery>,
    servers: usize,
    phase: String,
    mailboxes: Vec<String>,
}

/// All deliveries of a run; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Notes>>);

impl Ledger {
    /// An empty one for mail in `mailboxes` (wire names), watched on `servers` servers.
    pub fn new(mailboxes: Vec<String>, servers: usize) -> Ledger {
        let notes = Notes {
            mailboxes,
            servers,
            phase: "calm".to_owned(),
            ..Notes::default()
        };
        Ledger(Arc::new(Mutex::new(notes)))
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names what happens from now on; lags are told apart by it.
    pub fn phase(&self, name: &str) {
        self.lock().phase = name.to_owned();
    }

    /// Notes that the master has just taken message `uid` of `mailbox`.
    pub fn delivered(&self, mailbox: &str, uid: u32) {
        let mut notes = self.lock();
        let delivery = Delivery {
            mailbox: mailbox.to_owned(),
            uid,
            at: Instant::now(),
            phase: notes.phase.clone(),
            seen: vec![None; notes.servers],
        };
        notes.deliveries.push(delivery);
    }

    /// How many messages were delivered.
    pub fn count(&self) -> usize {
        self.lock().deliveries.len()
    }

    /// How many have not shown on `server`.
    pub fn missing(&self, server: usize) -> usize {
        let notes = self.lock();
        notes
            .deliveries
            .iter()
            .filter(|delivery| delivery.seen[server].is_none())
            .count()
    }

    fn arrived(&self, server: usize, mailbox: &str, last_uid: u64) {
        let now = Instant::now();
        let mut notes = self.lock();
        for delivery in &mut notes.deliveries {
            let shows = delivery.mailbox == mailbox && u64::from(delivery.uid) <= last_uid;
            if shows && delivery.seen[server].is_none() {
                delivery.seen[server] = Some(now);
            }
        }
    }

    /// The lags on `server` by phase: since delivery, or since the message showed on server `behind`.
    pub fn lags(&self, server: usize, behind: Option<usize>) -> BTreeMap<String, Lags> {
        let mut found = BTreeMap::<String, Lags>::new();
        for delivery in &self.lock().deliveries {
            let from = behind.map_or(Some(delivery.at), |behind| delivery.seen[behind]);
            if let (Some(from), Some(seen)) = (from, delivery.seen[server]) {
                let lags = found.entry(delivery.phase.clone()).or_default();
                lags.0.push(seen.saturating_duration_since(from));
            }
        }
        found.values_mut().for_each(|lags| lags.0.sort());
        found
    }

    /// The lags on `server` of mail for the mailboxes that `wanted` chooses, whatever the phase.
    pub fn lags_of(&self, server: usize, wanted: impl Fn(&str) -> bool) -> Lags {
        let notes = self.lock();
        let mut lags: Vec<Duration> = notes
            .deliveries
            .iter()
            .filter(|delivery| wanted(&delivery.mailbox))
            .filter_map(|delivery| Some(delivery.seen[server]?.saturating_duration_since(delivery.at)))
            .collect();
        lags.sort();
        Lags(lags)
    }
}

/// Lags in ascending order.
#[derive(Debug, Clone, Default)]
pub struct Lags(Vec<Duration>);

impl Lags {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The lag that `percent` per cent of all do not exceed; zero when there are none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }

    /// `count  p50  p90  p99  max` in columns, in seconds.
    pub fn columns(&self) -> String {
        let mut text = format!("{:>7}", self.count());
        for percent in [50, 90, 99, 100] {
            let _ = write!(text, "{:>9.3}", self.percentile(percent).as_secs_f64());
        }
        text
    }

    /// What stands above [`Lags::columns`].
    pub fn heading() -> String {
        format!(
            "{:>7}{:>9}{:>9}{:>9}{:>9}",
            "count", "p50 s", "p90 s", "p99 s", "max s"
        )
    }
}

/// Asks one server over and over what has arrived. Stops when dropped.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the server at `address` (`HOST:PORT` of its csync service) as number `server` of `ledger`. The server
    /// may come and go.
    pub fn start(ledger: &Ledger, server: usize, address: &str) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let (ledger, address, own) = (ledger.clone(), address.to_owned(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut connection = None;
            while !own.load(Ordering::SeqCst) {
                if look(&ledger, server, &address, &mut connection).is_err() {
                    connection = None;
                }
                thread::sleep(EVERY);
            }
        });
        Watch {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(ledger: &Ledger, server: usize, address: &str, connection: &mut Option<Csync>) -> Result<()> {
    let csync = match connection {
        Some(csync) => csync,
        None => {
            let mut csync = Csync::tcp(address)?;
            csync.limit(PATIENCE)?;
            csync.login(ADMIN, PASSWORD)?;
            connection.insert(csync)
        }
    };
    let names: Vec<Vec<u8>> = {
        let notes = ledger.lock();
        notes
            .mailboxes
            .iter()
            .map(|name| string(name.as_bytes()))
            .collect()
    };
    let answer = csync.run(&[b"GET MAILBOXES (", names.join(&b' ').as_slice(), b")"].concat())?;
    for header in answer.all("MAILBOX") {
        let name = header
            .text("MBOXNAME")
            .ok_or_else(|| Error::Unreadable("MAILBOX without MBOXNAME".into()))?;
        ledger.arrived(server, &name, header.number("LAST_UID").unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_field() {
        let lags = Lags((1..=200).map(Duration::from_millis).collect());
        let shown = [50, 90, 99, 100].map(|percent| lags.percentile(percent).as_millis());
        assert_eq!(shown, [100, 180, 198, 200]);
        assert_eq!(Lags::default().percentile(50), Duration::ZERO);
        assert_eq!(lags.columns().len(), Lags::heading().len());
    }

    #[test]
    fn a_delivery_shows_once_its_uid_is_there() {
        let ledger = Ledger::new(vec!["user.a".into()], 2);
        ledger.delivered("user.a", 1);
        ledger.phase("storm");
        ledger.delivered("user.a", 2);
        ledger.delivered("user.b", 1);
        ledger.arrived(0, "user.a", 1);
        assert_eq!((ledger.missing(0), ledger.missing(1)), (2, 3));
        ledger.arrived(1, "user.a", 7);
        assert_eq!(ledger.lags(1, None)["storm"].count(), 1);
        assert_eq!(ledger.lags(1, Some(0)).len(), 1, "only what both have");
        assert_eq!(ledger.lags_of(1, |name| name == "user.a").count(), 2);
    }
}
