//! Who has connected over the network and not logged in: how many there may be, and how long a failed login waits.
//!
//! Nobody is to be shut out by others, those behind the same address (a proxy, a NAT) included. So a right login never
//! waits, and a newcomer who finds all places taken gets the place of whoever has had one longest without logging in.
//! Only an address from which nobody has logged in lately, and all of whose places serve out the pause of a failed login,
//! has to wait for the end of one.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a failed login counts, from the last one of its address on.
const FAILURES_LAST: Duration = Duration::from_secs(600);

/// How long an address counts as one from which people log in.
const SUCCESS_LASTS: Duration = Duration::from_secs(86_400);

/// Addresses remembered, of either kind; beyond it those are forgotten that nothing was heard of longest.
const ADDRESSES_MAX: usize = 4096;

/// Bounds on connections that have not logged in. [CS-LIMIT-2] [CS-LIMIT-3] [CS-AUTH-19]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestLimits {
    /// Connections in all; at least 1.
    pub total_max: usize,
    /// Connections from one address (IPv6: from one /64); at least 1.
    pub per_address_max: usize,
    /// How long the answer to the first failed login of an address waits; each next one twice as long.
    pub pause: Duration,
    /// The longest such wait.
    pub pause_max: Duration,
}

/// The connections of a server that have not logged in; clones are the same book.
#[derive(Clone)]
pub struct Guests {
    limits: GuestLimits,
    book: Arc<Mutex<Book>>,
}

/// A connection's place among the guests; given back when dropped.
#[derive(Debug)]
pub struct Guest {
    guests: Guests,
    id: u64,
    origin: Origin,
    displaced: Mutex<Option<oneshot::Receiver<()>>>,
}

/// There is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// When there may be one.
    pub wait: Duration,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.wait.as_millis().div_ceil(1000).max(1);
        write!(
            f,
            "too many failed logins from your address; try again in {seconds} seconds"
        )
    }
}

/// What counts as one address: IPv6 networks are given out as /64 at the least.
type Origin = IpAddr;

fn origin_of(address: IpAddr) -> Origin {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[derive(Default)]
struct Book {
    next: u64,
    /// By number, so the first one came first.
    places: BTreeMap<u64, Place>,
    failures: Remembered<u32>,
    successes: Remembered<()>,
}

struct Place {
    origin: Origin,
    tell: oneshot::Sender<()>,
    /// The answer to a failed login waits until then.
    paused_until: Option<Instant>,
}

impl Guests {
    /// Nobody yet.
    pub fn new(limits: GuestLimits) -> Self {
        Guests {
            limits,
            book: Arc::default(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a newcomer; somebody else may lose theirs for it. [CS-LIMIT-2] [CS-LIMIT-3]
    ///
    /// # Errors
    /// [`Refused`] when each place of the address serves out a pause, and nobody has logged in from it lately.
    pub fn admit(&self, address: IpAddr) -> Result<Guest, Refused> {
        let origin = origin_of(address);
        let now = Instant::now();
        let mut book = self.book();
        if book.places_of(origin).count() >= self.limits.per_address_max.max(1) {
            let known = book.successes.get(&origin, now, SUCCESS_LASTS).is_some();
            match book.first_to_go(origin, now, known) {
                Some(id) => book.displace(id),
                None => {
                    let ends = book.places_of(origin).filter_map(|(_, place)| place.paused_until);
                    let wait = ends.min().map_or(Duration::ZERO, |end| end - now);
                    return Err(Refused { wait });
                }
            }
        }
        if book.places.len() >= self.limits.total_max.max(1)
            && let Some(crowd) = book.largest_crowd()
            && let Some(id) = book.first_to_go(crowd, now, true)
        {
            book.displace(id);
        }
        let id = book.next;
        book.next += 1;
        let (tell, told) = oneshot::channel();
        let place = Place {
            origin,
            tell,
            paused_until: None,
        };
        book.places.insert(id, place);
        drop(book);
        Ok(Guest {
            guests: self.clone(),
            id,
            origin,
            displaced: Mutex::new(Some(told)),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.book().places.len()
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Book {
    fn places_of(&self, origin: Origin) -> impl Iterator<Item = (u64, &Place)> {
        let all = self.places.iter().map(|(&id, place)| (id, place));
        all.filter(move |(_, place)| place.origin == origin)
    }

    /// Who of an address goes first: whoever came first and has no pause to serve out, and with `paused_too`, when there
    /// is none, whoever came first.
    fn first_to_go(&self, origin: Origin, now: Instant, paused_too: bool) -> Option<u64> {
        let free = |place: &Place| place.paused_until.is_none_or(|end| end <= now);
        let mut all = self.places_of(origin);
        let first = all.next();
        let unpaused = first.into_iter().chain(all).find(|(_, place)| free(place));
        let anybody = first.filter(|_| paused_too);
        unpaused.or(anybody).map(|(id, _)| id)
    }

    /// The address with the most places; of several the one whose first guest came first.
    fn largest_crowd(&self) -> Option<Origin> {
        let mut crowds: BTreeMap<Origin, (usize, std::cmp::Reverse<u64>)> = BTreeMap::new();
        for (&id, place) in &self.places {
            crowds.entry(place.origin).or_insert((0, std::cmp::Reverse(id))).0 += 1;
        }
        let largest = crowds.into_iter().max_by_key(|(_, size)| *size);
        largest.map(|(origin, _)| origin)
    }

    fn displace(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id) {
            // A connection that has just ended by itself does not listen any more.
            let _ = place.tell.send(());
        }
    }
}

impl Guest {
    /// Completes when somebody else gets the place, and never if nobody does. Meant to be asked for once.
    pub fn displaced(&self) -> impl Future<Output = ()> + Send + 'static {
        let told = self
            .displaced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        async move {
            let displaced = match told {
                Some(told) => told.await.is_ok(),
                None => false,
            };
            if !displaced {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A login failed; how long its answer waits. [CS-AUTH-19]
    pub fn login_failed(&self) -> Duration {
        let limits = self.guests.limits;
        let now = Instant::now();
        let mut book = self.guests.book();
        let failures = book
            .failures
            .get(&self.origin, now, FAILURES_LAST)
            .map_or(1, |earlier| earlier.saturating_add(1));
        book.failures.set(self.origin, failures, now);
        let doubled = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let pause = limits
            .pause
            .saturating_mul(doubled)
            .min(limits.pause_max.max(limits.pause));
        if let Some(place) = book.places.get_mut(&self.id) {
            place.paused_until = Some(now + pause);
        }
        drop(book);
        tracing::warn!(
            address = %self.origin,
            failures,
            pause_seconds = pause.as_secs(),
            "a login failed"
        );
        pause
    }

    /// The peer has logged in and is no guest any more; earlier failures of its address are forgotten.
    pub fn logged_in(&self) {
        let now = Instant::now();
        let mut book = self.guests.book();
        book.places.remove(&self.id);
        book.failures.forget(&self.origin);
        book.successes.set(self.origin, (), now);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.book().places.remove(&self.id);
    }
}

/// What is known of addresses, for a while and of not too many.
struct Remembered<V> {
    by_origin: BTreeMap<Origin, (Instant, V)>,
}

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Remembered {
            by_origin: BTreeMap::new(),
        }
    }
}

impl<V: Copy> Remembered<V> {
    fn get(&self, origin: &Origin, now: Instant, lasts: Duration) -> Option<V> {
        let (heard, value) = self.by_origin.get(origin)?;
        (now.saturating_duration_since(*heard) < lasts).then_some(*value)
    }

    fn set(&mut self, origin: Origin, value: V, now: Instant) {
        if self.by_origin.len() >= ADDRESSES_MAX && !self.by_origin.contains_key(&origin) {
            let oldest = self.by_origin.iter().min_by_key(|(_, (heard, _))| *heard);
            if let Some(oldest) = oldest.map(|(origin, _)| *origin) {
                self.by_origin.remove(&oldest);
            }
        }
        self.by_origin.insert(origin, (now, value));
    }

    fn forget(&mut self, origin: &Origin) {
        self.by_origin.remove(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

    fn guests(total_max: usize, per_address_max: usize) -> Guests {
        Guests::new(GuestLimits {
            total_max,
            per_address_max,
            pause: Duration::from_secs(2),
            pause_max: Duration::from_secs(7),
        })
    }

    fn admit(guests: &Guests, address: IpAddr) -> Guest {
        guests.admit(address).expect("a place")
    }

    /// Whether the place was given to somebody else.
    async fn is_displaced(guest: &Guest) -> bool {
        let displaced = guest.displaced();
        tokio::select! {
            biased;
            () = displaced => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_an_address_wait_longer_and_longer_up_to_a_bound() {
        let guests = guests(8, 8);
        let (first, second) = (admit(&guests, HERE), admit(&guests, HERE));
        let other = admit(&guests, THERE);
        let seconds = |guest: &Guest| guest.login_failed().as_secs();
        assert_eq!(seconds(&first), 2);
        assert_eq!(seconds(&second), 4, "shared over connections");
        assert_eq!(seconds(&first), 7, "bounded");
        assert_eq!((0..100).map(|_| seconds(&first)).max(), Some(7), "for ever");
        assert_eq!(seconds(&other), 2, "nobody else's matter");
        tokio::time::advance(FAILURES_LAST).await;
        assert_eq!(seconds(&second), 2, "forgotten");
        assert_eq!(seconds(&second), 4);
        first.logged_in();
        assert_eq!(seconds(&second), 2, "a right login resets");
    }

    #[tokio::test(start_paused = true)]
    async fn networks_of_ipv6_count_as_one_address_and_mapped_addresses_as_theirs() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(
            origin_of(address("2001:db8::1")),
            origin_of(address("2001:db8::ffff:1"))
        );
        assert_ne!(
            origin_of(address("2001:db8::1")),
            origin_of(address("2001:db8:0:1::1"))
        );
        assert_eq!(origin_of(address("::ffff:192.0.2.1")), HERE);
        assert_ne!(origin_of(HERE), origin_of(THERE));
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_take_the_place_of_whoever_waited_longest() {
        let guests = guests(8, 2);
        let (first, second, elsewhere) = (admit(&guests, HERE), admit(&guests, HERE), admit(&guests, THERE));
        let third = admit(&guests, HERE);
        assert!(is_displaced(&first).await);
        for stays in [&second, &third, &elsewhere] {
            assert!(!is_displaced(stays).await);
        }
        assert_eq!(guests.count(), 3);
        drop(first);
        assert_eq!(guests.count(), 3, "the place went before");
        drop((second, third));
        assert_eq!(guests.count(), 1);
    }

    /// [CS-LIMIT-2]
    #[tokio::test(start_paused = true)]
    async fn a_crowd_pays_for_those_who_come_from_elsewhere() {
        let guests = guests(4, 3);
        let honest = admit(&guests, THERE);
        let crowd: Vec<Guest> = (0..3).map(|_| admit(&guests, HERE)).collect();
        crowd.iter().for_each(|guest| {
            guest.login_failed();
        });
        let third = admit(&guests, IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert!(is_displaced(&crowd[0]).await, "even in its pause");
        for stays in [&honest, &third, &crowd[1], &crowd[2]] {
            assert!(!is_displaced(stays).await);
        }
        assert_eq!(guests.count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_logged_in_are_no_guests() {
        let guests = guests(2, 2);
        let replicating = admit(&guests, HERE);
        replicating.logged_in();
        assert_eq!(guests.count(), 0);
        let _crowd: Vec<Guest> = (0..50).map(|_| admit(&guests, HERE)).collect();
        assert!(!is_displaced(&replicating).await);
        assert!(guests.count() <= 2);
    }

    /// Neither hanging up nor coming in numbers shortens a pause; and nobody is shut out who shares the address with
    /// guessers, once somebody has logged in from it.
    #[tokio::test(start_paused = true)]
    async fn pauses_are_served_out() {
        let guests = guests(8, 2);
        let (first, second) = (admit(&guests, HERE), admit(&guests, HERE));
        first.login_failed();
        let third = admit(&guests, HERE);
        assert!(is_displaced(&second).await && !is_displaced(&first).await);
        third.login_failed();
        let refused = guests.admit(HERE).expect_err("both serve their pauses out");
        assert_eq!(refused.wait, Duration::from_secs(2), "until the first ends");
        assert_eq!(
            refused.to_string(),
            "too many failed logins from your address; try again in 2 seconds"
        );
        let known = admit(&guests, THERE);
        known.logged_in();
        tokio::time::advance(Duration::from_secs(2)).await;
        let honest = admit(&guests, HERE);
        honest.logged_in();
        let (a, b) = (admit(&guests, HERE), admit(&guests, HERE));
        a.login_failed();
        b.login_failed();
        assert!(guests.admit(HERE).is_ok(), "people log in from there");
        tokio::time::advance(SUCCESS_LASTS).await;
    }

    #[tokio::test(start_paused = true)]
    async fn few_addresses_are_remembered() {
        let guests = guests(4, 4);
        let from = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n));
        for n in 0..ADDRESSES_MAX as u32 + 100 {
            let guest = admit(&guests, from(n));
            assert_eq!(guest.login_failed(), Duration::from_secs(2));
            drop(guest);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(guests.book().failures.by_origin.len(), ADDRESSES_MAX);
        let last = admit(&guests, from(ADDRESSES_MAX as u32 + 99));
        assert_eq!(
            last.login_failed(),
            Duration::from_secs(4),
            "the newest are known"
        );
        let first = admit(&guests, from(0));
        assert_eq!(
            first.login_failed(),
            Duration::from_secs(2),
            "the oldest is forgotten"
        );
    }
}
