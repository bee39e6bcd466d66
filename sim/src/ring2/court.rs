//! What all parts of a run share: stores, the judge, who is connected, what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::flow::Now;
use engine::ticket::{Request, Session, StoreError};
use protocol::synclog::Action;
use store::memory::MemoryStore;
use tokio::sync::watch;

use super::plan::{Place, Plan, Trouble, Tuning};
use super::rules::{self, Broken, Left, Patience};
use super::sabotage::Sabotage;
use crate::judge::{Commit, Judge, Kept, Ledger, Note, Owner, ScopeView, Views};
use crate::plan::Link;
use crate::report::{Finding, Report, Verdict};
use crate::seeded::Seeded;
use crate::trace::{Happened, Kind, Trace};
use crate::world::read;

/// Wall-clock seconds at the beginning of every run.
const EPOCH_S: i64 = 1_790_000_000;

/// How far a program should be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Order {
    /// It works.
    Work,
    /// It takes nothing new.
    Drain,
    /// It ends.
    Stop,
}

/// Handles of one court; clones are the same.
#[derive(Clone)]
pub struct Court(Arc<Mutex<State>>);

/// A program's orders, and what it has open.
struct Program {
    order: watch::Sender<Order>,
    /// When it was told to stop, while it runs on.
    told_ms: Option<u64>,
    sessions: i64,
    /// Connections told of as begun and not as ended.
    connections: i64,
    /// When one of its sessions did something last.
    stored_ms: u64,
    /// What is in for its next connection.
    trouble: Option<(Trouble, u64)>,
}

impl Program {
    fn new() -> Self {
        Program {
            order: watch::channel(Order::Work).0,
            told_ms: None,
            sessions: 0,
            connections: 0,
            stored_ms: 0,
            trouble: None,
        }
    }
}

/// A machine.
struct Machine {
    store: MemoryStore,
    clock_s: i64,
    /// Fails until then, once in so many requests.
    errors: Option<(u64, usize)>,
    /// Is slow until then, by so many milliseconds.
    slow: Option<(u64, u64)>,
}

/// What a link's client keeps on its disk, and how far it is.
pub struct Follower {
    /// What is to be done, as it is logged.
    pub log: Vec<Action>,
    /// What was taken from the log and is not known to be done.
    pub pending: Vec<Action>,
    /// Rung when something was logged.
    pub bell: watch::Sender<u64>,
    /// Since calm began.
    pub progress: rules::Progress,
}

/// An end of a connection.
pub struct Open {
    /// Whose.
    pub place: Place,
    /// Its times.
    pub end: rules::End,
}

struct State {
    links: Vec<Link>,
    tuning: Tuning,
    now_ms: u64,
    machines: Vec<Machine>,
    programs: BTreeMap<Place, Program>,
    followers: Vec<Follower>,
    open: BTreeMap<u64, Open>,
    next: u64,
    stranger: Option<IpAddr>,
    chance: Seeded,
    judge: Judge,
    ledger: Ledger,
    views: Views,
    calm_since_ms: Option<u64>,
    sabotage: Option<Sabotage>,
    trace: Trace,
    hash: u64,
    report: Report,
    finding: Option<Finding>,
}

impl Court {
    /// Of a plan, before anything happens.
    pub fn new(plan: &Plan, trace: Trace, sabotage: Option<Sabotage>) -> Self {
        let machine = || Machine {
            store: MemoryStore::new(),
            clock_s: 0,
            errors: None,
            slow: None,
        };
        let servers = (1..plan.hosts).map(Place::Server);
        let clients = (0..plan.links.len()).map(Place::Client);
        let follower = || Follower {
            log: Vec::new(),
            pending: Vec::new(),
            bell: watch::channel(0).0,
            progress: rules::Progress::default(),
        };
        Court(Arc::new(Mutex::new(State {
            links: plan.links.clone(),
            tuning: plan.tuning,
            now_ms: 0,
            machines: (0..plan.hosts).map(|_| machine()).collect(),
            programs: servers
                .chain(clients)
                .map(|place| (place, Program::new()))
                .collect(),
            followers: plan.links.iter().map(|_| follower()).collect(),
            open: BTreeMap::new(),
            next: 0,
            stranger: None,
            chance: Seeded::new(plan.seed ^ 0x0063_6f75_7274),
            judge: Judge::default(),
            ledger: Ledger::default(),
            views: Views::new(),
            calm_since_ms: None,
            sabotage,
            trace,
            hash: 0xcbf2_9ce4_8422_2325,
            report: Report::default(),
            finding: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settings of the run.
    pub fn tuning(&self) -> Tuning {
        self.state().tuning
    }

    /// Whether this is done wrong.
    pub fn is_sabotaged(&self, by: Sabotage) -> bool {
        self.state().sabotage == Some(by)
    }

    /// A link.
    pub fn link(&self, link: usize) -> Link {
        self.state().links[link]
    }

    /// The machine that a program runs on.
    pub fn machine_of(&self, place: Place) -> usize {
        self.state().machine_of(place)
    }

    /// Time goes on.
    pub fn set_now(&self, now_ms: u64) {
        self.state().now_ms = now_ms;
    }

    /// Milliseconds of the run.
    pub fn now_ms(&self) -> u64 {
        self.state().now_ms
    }

    /// The time of day on a machine.
    pub fn wall(&self, host: usize) -> Now {
        let state = self.state();
        let seconds = i64::try_from(state.now_ms / 1_000).unwrap_or(0);
        Now(EPOCH_S + seconds + state.machines[host].clock_s)
    }

    /// Lets a clock jump.
    pub fn jump(&self, host: usize, seconds: i64) {
        let mut state = self.state();
        state.machines[host].clock_s += seconds;
        state.ledger.clock_jumped = true;
    }

    /// Lets storage fail for a while.
    pub fn store_errors(&self, host: usize, one_in: usize, for_ms: u64) {
        let mut state = self.state();
        state.machines[host].errors = Some((state.now_ms + for_ms, one_in));
    }

    /// Lets storage be slow for a while.
    pub fn store_slow(&self, host: usize, ms: u64, for_ms: u64) {
        let mut state = self.state();
        state.machines[host].slow = Some((state.now_ms + for_ms, ms));
    }

    /// Where strangers come from.
    pub fn strangers_are(&self, address: IpAddr) {
        self.state().stranger = Some(address);
    }

    /// Whether somebody is a stranger.
    pub fn is_stranger(&self, address: IpAddr) -> bool {
        self.state().stranger == Some(address)
    }

    /// The next number of chance.
    pub fn chance(&self) -> Seeded {
        Seeded::new(self.state().chance.next_u64())
    }

    /// Notes something for the trace.
    pub fn tell(&self, host: usize, to: Option<usize>, kind: Kind, text: impl FnOnce() -> String) {
        self.state().tell(host, to, kind, text);
    }

    /// Notes bytes that went over a connection.
    pub fn moved(&self, id: u64, sent: bool, bytes: &[u8]) {
        let mut state = self.state();
        let now_ms = state.now_ms;
        state.fold(&id.to_le_bytes());
        state.fold(&now_ms.to_le_bytes());
        state.fold(&[u8::from(sent)]);
        state.fold(bytes);
        if sent {
            state.report.wire_bytes += bytes.len() as u64;
        }
        let Some(open) = state.open.get_mut(&id) else {
            return;
        };
        open.end.moved_ms = now_ms;
        let place = open.place;
        let host = state.machine_of(place);
        let hash = state.hash;
        state.tell(host, None, Kind::Message, || {
            let verb = if sent { "sends" } else { "receives" };
            format!(
                "{place:?} {verb} on connection {id} ({} bytes, #{:08x}): {}",
                bytes.len(),
                hash as u32,
                crate::trace::shown(bytes)
            )
        });
    }

    /// A program has a connection; answers its number and what is in for it.
    pub fn opened(&self, place: Place, stranger: bool) -> (u64, Option<(Trouble, u64)>) {
        let mut state = self.state();
        let (id, now_ms) = (state.next, state.now_ms);
        state.next += 1;
        let end = rules::End {
            opened_ms: now_ms,
            moved_ms: now_ms,
            stranger,
        };
        state.open.insert(id, Open { place, end });
        if matches!(place, Place::Client(_)) {
            state.report.connections += 1;
        }
        let trouble = if stranger {
            None
        } else {
            state
                .programs
                .get_mut(&place)
                .and_then(|program| program.trouble.take())
        };
        let host = state.machine_of(place);
        state.tell(host, None, Kind::Connection, || {
            format!(
                "{place:?} has connection {id}{}",
                if stranger { " of a stranger" } else { "" }
            )
        });
        if trouble.is_some() {
            state.report.broken += 1;
        }
        (id, trouble)
    }

    /// A connection is gone.
    pub fn closed(&self, id: u64) {
        let mut state = self.state();
        if let Some(open) = state.open.remove(&id) {
            let host = state.machine_of(open.place);
            state.tell(host, None, Kind::Connection, || {
                format!("{:?} lets connection {id} go", open.place)
            });
        }
    }

    /// Puts trouble in for the next connection of a place.
    pub fn trouble(&self, place: Place, trouble: Trouble, bytes: u64) {
        if let Some(program) = self.state().programs.get_mut(&place) {
            program.trouble = Some((trouble, bytes));
        }
    }

    /// Takes note that a server told of a connection.
    pub fn told(&self, place: Place, more: i64) {
        if let Some(program) = self.state().programs.get_mut(&place) {
            program.connections += more;
        }
    }

    /// A program's orders as they come.
    pub fn orders(&self, place: Place) -> watch::Receiver<Order> {
        let state = self.state();
        match state.programs.get(&place) {
            Some(program) => program.order.subscribe(),
            None => watch::channel(Order::Stop).1,
        }
    }

    /// Waits for the order to work. One that is told to stop meanwhile has stopped.
    ///
    /// # Errors
    /// There is no court any more.
    pub async fn until_work(
        &self,
        place: Place,
        orders: &mut watch::Receiver<Order>,
    ) -> Result<(), watch::error::RecvError> {
        loop {
            let order = *orders.borrow_and_update();
            if order == Order::Work {
                return Ok(());
            }
            self.has_stopped(place);
            orders.changed().await?;
        }
    }

    /// Gives a program its orders.
    pub fn order(&self, place: Place, order: Order) {
        let mut state = self.state();
        let now_ms = state.now_ms;
        let host = state.machine_of(place);
        state.tell(host, None, Kind::Fault, || {
            format!("{place:?} is told: {order:?}")
        });
        if let Some(program) = state.programs.get_mut(&place) {
            program.order.send_replace(order);
            program.told_ms = (order == Order::Stop).then_some(now_ms);
        }
    }

    /// A program has done as it was told, or never began.
    pub fn has_stopped(&self, place: Place) {
        if let Some(program) = self.state().programs.get_mut(&place) {
            program.told_ms = None;
        }
    }

    /// Whether a program has stopped that was told to.
    pub fn is_stopped(&self, place: Place) -> bool {
        let state = self.state();
        state
            .programs
            .get(&place)
            .is_none_or(|program| program.told_ms.is_none())
    }

    /// What is left of a program, beside its tasks.
    pub fn left(&self, place: Place) -> Left {
        let state = self.state();
        let Some(program) = state.programs.get(&place) else {
            return Left::default();
        };
        Left {
            connections: program.connections,
            streams: state.open.values().filter(|open| open.place == place).count(),
            sessions: program.sessions,
            tasks: 0,
        }
    }

    /// A process has died: what it told of is void.
    pub fn died(&self, place: Place) {
        let mut state = self.state();
        state.report.crashes += 1;
        if let Some(program) = state.programs.get_mut(&place) {
            program.connections = 0;
            program.told_ms = None;
        }
    }

    /// Keeps the first finding.
    pub fn found(&self, verdict: Verdict, rule: &str, text: String) {
        self.state().found(verdict, rule, text);
    }

    /// Keeps what broke a rule of this ring.
    pub fn judged(&self, judgement: Result<(), Broken>) {
        if let Err(broken) = judgement {
            let verdict = match broken.rule {
                rules::SETTLES | rules::SPINS => Verdict::Liveness,
                rules::PANICS => Verdict::Crash,
                _ => Verdict::Safety,
            };
            self.found(verdict, broken.rule, broken.text);
        }
    }

    /// Whether there is a finding.
    pub fn has_finding(&self) -> bool {
        self.state().finding.is_some()
    }

    /// Looks at all connections and at all programs that were told to stop.
    pub fn look_around(&self) {
        let state = self.state();
        let store_ms = state.store_ms_max();
        let patience = Patience::of(&state.tuning, store_ms);
        let mut judgement = Ok(());
        for (id, open) in &state.open {
            let stored_ms = state
                .programs
                .get(&open.place)
                .map_or(0, |program| program.stored_ms);
            let end = rules::End {
                moved_ms: open.end.moved_ms.max(stored_ms),
                ..open.end
            };
            judgement =
                judgement.and(
                    rules::outlives(&end, state.now_ms, patience).map_err(|broken| Broken {
                        text: format!("connection {id} of {:?}: {}", open.place, broken.text),
                        ..broken
                    }),
                );
        }
        for (place, program) in &state.programs {
            let Some(told_ms) = program.told_ms else { continue };
            let stops = match place {
                Place::Server(_) => {
                    let grace_ms = rules::server_grace_ms(&state.tuning, store_ms);
                    rules::server_stops(told_ms, state.now_ms, grace_ms)
                }
                Place::Client(_) => rules::client_stops(told_ms, state.now_ms, &state.tuning, store_ms),
            };
            judgement = judgement.and(stops.map_err(|broken| Broken {
                text: format!("{place:?}: {}", broken.text),
                ..broken
            }));
        }
        drop(state);
        self.judged(judgement);
    }

    /// A session of a program begins (+1) or ends (-1).
    pub fn session(&self, place: Place, more: i64) {
        if let Some(program) = self.state().programs.get_mut(&place) {
            program.sessions += more;
        }
    }

    /// The store of a machine.
    pub fn store(&self, host: usize) -> MemoryStore {
        self.state().machines[host].store.clone()
    }

    /// How long a storage request takes now.
    pub fn store_takes(&self, host: usize) -> Duration {
        let mut state = self.state();
        let most = state.tuning.store_ms_max;
        let now_ms = state.now_ms;
        let usual = state.chance.next_u64() % (most + 1);
        let slow = state.machines[host].slow.filter(|(until, _)| *until > now_ms);
        Duration::from_millis(slow.map_or(usual, |(_, ms)| ms))
    }

    /// A session is about to do a request; the error that its disk has for it.
    pub fn asked(&self, place: Place, request: &Request) -> Option<StoreError> {
        let mut state = self.state();
        state.report.tickets += 1;
        let now_ms = state.now_ms;
        if let Some(program) = state.programs.get_mut(&place) {
            program.stored_ms = now_ms;
        }
        let host = state.machine_of(place);
        let (until_ms, one_in) = state.machines[host].errors?;
        let harmless = matches!(
            request,
            Request::EndRead { .. }
                | Request::ForgetStaged
                | Request::Rollback
                | Request::RollbackToSavepoint
        );
        let fails = !harmless && until_ms > now_ms && state.chance.one_in(one_in);
        fails.then(|| StoreError::Io {
            path: "the store".to_owned(),
            detail: "input/output error".to_owned(),
        })
    }

    /// A transaction was committed.
    pub fn committed(&self, host: usize, owner: &Owner, note: Option<&Note>) {
        self.state().committed(host, owner, note);
    }

    /// What a machine's store was known to show.
    pub fn views_of(&self, host: usize) -> Vec<(Owner, Arc<ScopeView>)> {
        let state = self.state();
        let of_host = state.views.iter().filter(|((at, _), _)| *at == host);
        of_host
            .map(|((_, owner), view)| (owner.clone(), Arc::clone(view)))
            .collect()
    }

    /// The same of one owner.
    pub fn view_of(&self, host: usize, owner: &Owner) -> Arc<ScopeView> {
        self.state().view_of(host, owner)
    }

    /// A master was told that what it had to do of an owner is done.
    pub fn kept(&self, link: usize, owner: &Owner, began: &ScopeView) {
        let mut state = self.state();
        let Link { from, to, .. } = state.links[link];
        let (master, replica) = (state.view_of(from, owner), state.view_of(to, owner));
        let State { judge, ledger, .. } = &mut *state;
        let kept = Kept {
            to,
            owner,
            names: None,
            began,
            master: &master,
            replica: &replica,
            ledger,
        };
        let judgement = judge.ask(|checker| checker.kept(&kept));
        state.judged(judgement);
    }

    /// A process was started again on a machine whose store must not have changed.
    pub fn restarted(&self, host: usize) {
        for (owner, before) in self.views_of(host) {
            let mut state = self.state();
            let Some(after) = state.read(host, &owner) else {
                return;
            };
            let judgement = state.judge.ask(|checker| checker.restarted(&before, &after));
            state.judged(judgement);
        }
    }

    /// A reader looks at all mail of all machines.
    pub fn look_at_mail(&self) {
        let mut state = self.state();
        let known: Vec<_> = state
            .views
            .iter()
            .map(|(key, view)| (key.clone(), Arc::clone(view)))
            .collect();
        for ((host, owner), committed) in known {
            let Some(read) = state.read(host, &owner) else {
                return;
            };
            let judgement = state.judge.ask(|checker| checker.read(&committed, &read));
            state.judged(judgement);
        }
    }

    /// The end: all that replicate to each other show the same.
    pub fn all_equal(&self) {
        let mut state = self.state();
        let equal: Vec<_> = state
            .links
            .iter()
            .map(|link| (link.from, link.to, false))
            .collect();
        let hosts = state.machines.len();
        let State {
            judge, ledger, views, ..
        } = &mut *state;
        let end = crate::judge::End {
            views,
            equal: &equal,
            hosts,
            restored: &BTreeSet::new(),
            ledger,
        };
        let judgement = judge.ask(|checker| checker.settled(&end));
        state.judged(judgement);
    }

    /// What a link's client keeps.
    pub fn follower<T>(&self, link: usize, with: impl FnOnce(&mut Follower) -> T) -> T {
        with(&mut self.state().followers[link])
    }

    /// Logs a change of the first machine for all links from there.
    pub fn log(&self, action: &Action) {
        let mut state = self.state();
        let State { links, followers, .. } = &mut *state;
        for (link, follower) in links.iter().zip(followers) {
            if link.from == 0 && link.rolling {
                follower.log.push(action.clone());
                follower.bell.send_modify(|rung| *rung += 1);
            }
        }
    }

    /// Faults are over.
    pub fn calm(&self) {
        let mut state = self.state();
        state.calm_since_ms = Some(state.now_ms);
        for machine in &mut state.machines {
            (machine.errors, machine.slow, machine.clock_s) = (None, None, 0);
        }
        for program in state.programs.values_mut() {
            program.trouble = None;
        }
        for follower in &mut state.followers {
            follower.progress = rules::Progress::default();
            // Whoever has nothing to do says so.
            follower.bell.send_modify(|rung| *rung += 1);
        }
    }

    /// Whether faults are over.
    pub fn is_calm(&self) -> bool {
        self.state().calm_since_ms.is_some()
    }

    /// Whether faults are over, and nothing more comes to where a link begins.
    pub fn is_calm_before(&self, link: usize) -> bool {
        let state = self.state();
        let from = state.links[link].from;
        let mut before = state
            .links
            .iter()
            .zip(&state.followers)
            .filter(|(link, _)| link.to == from);
        state.calm_since_ms.is_some() && before.all(|(_, follower)| follower.progress.done)
    }

    /// Counts.
    pub fn count(&self, with: impl FnOnce(&mut Report)) {
        with(&mut self.state().report);
    }

    /// What came of the run.
    pub fn close(&self) -> (Report, Vec<Happened>, u64) {
        let mut state = self.state();
        if let Some(finding) = state.finding.clone() {
            state.tell(0, None, Kind::Verdict, || finding.to_string());
            state.report.finding = Some(finding);
        }
        state.report.simulated_ms = state.now_ms;
        let trace = std::mem::take(&mut state.trace);
        (state.report.clone(), trace.into_happened(), state.hash)
    }
}

impl State {
    fn machine_of(&self, place: Place) -> usize {
        match place {
            Place::Server(host) => host,
            Place::Client(link) => self.links[link].from,
        }
    }

    fn store_ms_max(&self) -> u64 {
        // A fault that has just ended may still have its say.
        let slowest = self
            .machines
            .iter()
            .filter_map(|machine| machine.slow.map(|(_, ms)| ms));
        slowest.max().unwrap_or(0).max(self.tuning.store_ms_max)
    }

    fn fold(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn tell(&mut self, host: usize, to: Option<usize>, kind: Kind, text: impl FnOnce() -> String) {
        self.report.events += 1;
        let at_ms = self.now_ms;
        self.trace.tell(|| Happened {
            at_ms,
            host,
            to,
            kind,
            text: text(),
        });
    }

    fn found(&mut self, verdict: Verdict, rule: &str, text: String) {
        if self.finding.is_none() {
            self.finding = Some(Finding {
                verdict,
                rule: rule.to_owned(),
                text,
                at_ms: self.now_ms,
            });
        }
    }

    fn judged(&mut self, judgement: Result<(), crate::judge::Broken>) {
        if let Err(broken) = judgement {
            self.found(Verdict::Safety, broken.rule, broken.text);
        }
    }

    fn view_of(&self, host: usize, owner: &Owner) -> Arc<ScopeView> {
        self.views
            .get(&(host, owner.clone()))
            .cloned()
            .unwrap_or_default()
    }

    fn read(&mut self, host: usize, owner: &Owner) -> Option<ScopeView> {
        let mut session = self.machines[host].store.session();
        match read::view(&mut session, owner) {
            Ok(view) => Some(view),
            Err(error) => {
                self.found(Verdict::Harness, "a store can be read", format!("{error:#}"));
                None
            }
        }
    }

    fn committed(&mut self, host: usize, owner: &Owner, note: Option<&Note>) {
        self.report.commits += 1;
        let (commits, now_ms) = (self.report.commits, self.now_ms);
        self.fold(&commits.to_le_bytes());
        self.fold(&now_ms.to_le_bytes());
        self.tell(host, None, Kind::Storage, || format!("commit of {owner}"));
        if let Some(note) = note {
            self.report.changes += 1;
            self.ledger.take(owner, note);
        }
        let Some(after) = self.read(host, owner) else {
            return;
        };
        let before = self.view_of(host, owner);
        let known: BTreeSet<_> = before.live().map(|(_, record)| record.guid).collect();
        let guids: BTreeSet<_> = after.live().map(|(_, record)| record.guid).collect();
        let mut session: Box<dyn Session> = Box::new(self.machines[host].store.session());
        let arrived = match read::hashes(session.as_mut(), owner, guids.difference(&known).copied()) {
            Ok(arrived) => arrived,
            Err(error) => return self.found(Verdict::Harness, "a store can be read", format!("{error:#}")),
        };
        let mut clients = self
            .programs
            .iter()
            .filter(|(place, _)| matches!(place, Place::Client(_)));
        let is_quiet = clients.all(|(_, program)| program.sessions == 0);
        let commit = Commit {
            host,
            owner,
            before: &before,
            after: &after,
            views: &self.views,
            ledger: &self.ledger,
            client: note,
            arrived: &arrived,
            is_quiet,
        };
        let judgement = self.judge.ask(|checker| checker.committed(&commit));
        self.judged(judgement);
        self.views.insert((host, owner.clone()), Arc::new(after));
    }
}
