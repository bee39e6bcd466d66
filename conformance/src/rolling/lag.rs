//! How late a change arrives: each delivery is noted when the master has taken it, and again when it shows on each
//! server behind.

use super::Fault;
use crate::csync::Csync;
use crate::csync::dlist::string;
use crate::cyrus::{ADMIN, PASSWORD};
use crate::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often each server is asked; lags are no finer than this.
const EVERY: Duration = Duration::from_millis(20);
/// A server that says nothing for so long is asked again over a new connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was going on when a message was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Phase {
    /// Nothing was wrong.
    #[default]
    Calm,
    /// A fault was just over.
    After,
    /// A fault was about to come: what is delivered now may still be on its way then.
    Before,
    /// A fault at this hop.
    Fault {
        /// Which hop.
        hop: usize,
        /// Which fault.
        fault: Fault,
    },
}

/// A message that a server has taken.
#[derive(Debug)]
struct Delivery {
    mailbox: String,
    uid: u32,
    at: Instant,
    phase: Phase,
    /// The watched server that took it from a user; `None` for one that is not watched.
    origin: Option<usize>,
    /// When it showed on each server.
    seen: Vec<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Notes {
    deliveries: Vec<Delivery>,
    servers: usize,
    phase: Phase,
    /// By mailbox and server, what has not shown there yet; UIDs ascend.
    waiting: BTreeMap<String, Vec<VecDeque<usize>>>,
}

/// All deliveries of a run; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Notes>>);

impl Ledger {
    /// An empty one for mail in `mailboxes` (wire names), watched on `servers` servers.
    pub fn new(mailboxes: Vec<String>, servers: usize) -> Ledger {
        let waiting = mailboxes
            .into_iter()
            .map(|name| (name, vec![VecDeque::new(); servers]))
            .collect();
        let notes = Notes {
            servers,
            waiting,
            ..Notes::default()
        };
        Ledger(Arc::new(Mutex::new(notes)))
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what happens from now on; lags are told apart by it.
    pub fn phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Notes that message `uid` of `mailbox`, one of those the ledger is for, has just been taken by a server that is
    /// not watched, or by the watched server `origin`. UIDs of a mailbox ascend.
    pub fn delivered(&self, mailbox: &str, uid: u32, origin: Option<usize>) {
        let mut notes = self.lock();
        let number = notes.deliveries.len();
        let delivery = Delivery {
            mailbox: mailbox.to_owned(),
            uid,
            at: Instant::now(),
            phase: notes.phase,
            origin,
            seen: vec![None; notes.servers],
        };
        notes.deliveries.push(delivery);
        for waiting in notes.waiting.get_mut(mailbox).into_iter().flatten() {
            waiting.push_back(number);
        }
    }

    /// How many messages were delivered.
    pub fn count(&self) -> usize {
        self.lock().deliveries.len()
    }

    /// How many have not shown on `server`.
    pub fn missing(&self, server: usize) -> usize {
        self.missing_of(server, |_| true)
    }

    /// How many for the mailboxes that `wanted` chooses have not shown on `server`.
    pub fn missing_of(&self, server: usize, wanted: impl Fn(&str) -> bool) -> usize {
        let notes = self.lock();
        let missing = notes
            .deliveries
            .iter()
            .filter(|delivery| delivery.seen[server].is_none());
        missing.filter(|delivery| wanted(&delivery.mailbox)).count()
    }

    fn arrived(&self, server: usize, mailbox: &str, last_uid: u64) {
        let now = Instant::now();
        let mut guard = self.lock();
        let notes = &mut *guard;
        let Some(waiting) = notes.waiting.get_mut(mailbox).and_then(|all| all.get_mut(server)) else {
            return;
        };
        while let Some(&first) = waiting.front()
            && u64::from(notes.deliveries[first].uid) <= last_uid
        {
            notes.deliveries[first].seen[server] = Some(now);
            waiting.pop_front();
        }
    }

    /// The lags on `server` by phase: since delivery, or since the message showed on server `behind`. What `server`
    /// itself took from a user is left out.
    pub fn lags(&self, server: usize, behind: Option<usize>) -> BTreeMap<Phase, Lags> {
        let mut found = BTreeMap::<Phase, Lags>::new();
        for delivery in &self.lock().deliveries {
            let from = behind.map_or(Some(delivery.at), |behind| delivery.seen[behind]);
            if let (Some(from), Some(seen)) = (from, delivery.seen[server])
                && delivery.origin != Some(server)
            {
                let lags = found.entry(delivery.phase).or_default();
                lags.0.push(seen.saturating_duration_since(from));
            }
        }
        found.values_mut().for_each(|lags| lags.0.sort());
        found
    }

    /// The lags on `server` of mail for the mailboxes that `wanted` chooses, delivered at `since` or later and before
    /// `until`.
    pub fn lags_between(
        &self,
        server: usize,
        since: Instant,
        until: Instant,
        wanted: impl Fn(&str) -> bool,
    ) -> Lags {
        let notes = self.lock();
        let within = notes
            .deliveries
            .iter()
            .filter(|delivery| delivery.at >= since && delivery.at < until && wanted(&delivery.mailbox));
        let mut lags: Vec<Duration> = within
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

    /// These and others.
    pub fn and(mut self, others: &Lags) -> Lags {
        self.0.extend(&others.0);
        self.0.sort();
        self
    }

    /// The lag that `percent` per cent of all do not exceed; zero when there are none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Count, median, 95 % and maximum in columns, in seconds.
    pub fn columns(&self) -> String {
        let mut text = format!("{:>8}", self.count());
        for percent in [50, 95, 100] {
            let _ = write!(text, "{:>10.3}", self.percentile(percent).as_secs_f64());
        }
        text
    }

    /// What stands above [`Lags::columns`].
    pub fn heading() -> String {
        format!(
            "{:>8}{:>10}{:>10}{:>10}",
            "messages", "median s", "95 % s", "max s"
        )
    }

    /// The same as JSON: `messages`, `median_s`, `p95_s`, `max_s`.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "messages": self.count(),
            "median_s": self.percentile(50).as_secs_f64(),
            "p95_s": self.percentile(95).as_secs_f64(),
            "max_s": self.percentile(100).as_secs_f64(),
        })
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
        notes.waiting.keys().map(|name| string(name.as_bytes())).collect()
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
        let shown = [50, 95, 100].map(|percent| lags.percentile(percent).as_millis());
        assert_eq!(shown, [100, 190, 200]);
        assert_eq!(Lags::default().percentile(50), Duration::ZERO);
        assert_eq!(lags.columns().len(), Lags::heading().len());
        let both = lags.and(&Lags(vec![Duration::ZERO]));
        assert_eq!(
            (both.count(), both.percentile(1)),
            (201, Duration::from_millis(2))
        );
    }

    #[test]
    fn a_delivery_shows_once_its_uid_is_there() {
        let ledger = Ledger::new(vec!["user.a".into(), "user.b".into()], 2);
        let begun = Instant::now();
        ledger.delivered("user.a", 1, None);
        ledger.phase(Phase::After);
        ledger.delivered("user.a", 2, Some(1));
        ledger.delivered("user.b", 1, None);
        ledger.arrived(0, "user.a", 1);
        assert_eq!((ledger.missing(0), ledger.missing(1)), (2, 3));
        ledger.arrived(1, "user.a", 7);
        ledger.arrived(1, "user.nobody", 7);
        assert_eq!(ledger.missing_of(1, |name| name == "user.a"), 0);
        assert_eq!(ledger.lags(1, None).len(), 1, "not what server 1 took itself");
        assert_eq!(
            ledger.lags(1, Some(0))[&Phase::Calm].count(),
            1,
            "only what both have"
        );
        assert_eq!(
            ledger
                .lags_between(1, begun, Instant::now(), |name| name == "user.a")
                .count(),
            2
        );
        assert_eq!(ledger.lags_between(1, begun, begun, |_| true).count(), 0);
    }
}
