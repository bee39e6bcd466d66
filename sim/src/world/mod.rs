//! The world of a run: servers, ways between them, a clock, and what is due.
//!
//! No runtime, clock or thread takes part. What is due is kept by time and by the order in which it became due, all chance
//! comes from the plan's seed, so a plan is a run.

pub(crate) mod client;
mod connection;
mod deeds;
mod host;
mod machine;
pub mod read;
mod roller;
mod settle;
mod storage;

pub use settle::{RUNS_MAX, SETTLE_MS_MAX};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::flow::Now;
use protocol::{Guid, Text};

use self::connection::Connection;
use self::host::Host;
use crate::judge::{Arrived, Broken, Commit, Judge, Kept, Ledger, Note, Owner, ScopeView, Views};
use crate::plan::{Link, Moment, Noise, Plan, Step, What};
use crate::report::{Finding, Report, Verdict};
use crate::seeded::Seeded;
use crate::trace::{Happened, Kind, Trace};

/// Wall-clock seconds at the beginning of every run.
const EPOCH_S: i64 = 1_790_000_000;
/// Events after which a run counts as one that never ends.
const EVENTS_MAX: u64 = 300_000;
/// How long the shell of either side waits for a silent peer.
const PEER_TIMEOUT_MS: u64 = 60_000;
/// How long a client waits for mail that somebody else holds.
const CLIENT_PATIENCE: u32 = 200;

/// Something that is due.
#[derive(Clone, Debug)]
enum Due {
    /// A step of the plan; for the how-manieth time it is tried.
    Step(usize, u32),
    /// Bytes arrive from side `.1` of a connection at the other.
    Arrive(u32, usize),
    /// A storage ticket of a side is answered.
    Ticket(u32, usize),
    /// The peer of a side is gone, and it learns so.
    Eof(u32, usize),
    /// The peer of a side is silent for too long.
    TimeOut(u32, usize),
    /// A channel of a host is looked at.
    Tick(usize, usize),
    /// A process comes back, with its store or its last backup.
    Up { host: usize, life: u32, backup: bool },
}

/// What is in the way of a link.
#[derive(Clone, Copy, Default)]
struct Way {
    cut_until_ms: u64,
    silent: bool,
    break_after: Option<u64>,
}

/// Everything.
pub struct World {
    links: Vec<Link>,
    dialects: Vec<crate::plan::Dialect>,
    noise: Noise,
    steps: Vec<Step>,
    now_ms: u64,
    order: u64,
    due: BTreeMap<(u64, u64), Due>,
    hosts: Vec<Host>,
    ways: Vec<Way>,
    connections: BTreeMap<u32, Connection>,
    next_connection: u32,
    tuning: Tuning,
    chance: Seeded,
    ids: Seeded,
    judge: Judge,
    ledger: Ledger,
    views: Views,
    /// Hosts whose store was replaced by an older one.
    restored: BTreeSet<usize>,
    /// Runs by hand, of a link and all users or one, that were not done to the end since.
    unfinished: BTreeSet<(usize, Option<usize>)>,
    /// Whether a log has lost lines, or came too early with them, so that logs alone do not make all equal.
    is_log_lost: bool,
    /// Whether faults are over.
    is_calm: bool,
    /// What came of the last run by hand.
    last_run: Option<connection::Ended>,
    trace: Trace,
    report: Report,
    finding: Option<Finding>,
}

/// Settings of the masters that a seed chooses.
#[derive(Clone, Copy)]
struct Tuning {
    pipeline_bytes_max: u64,
    step_messages_max: usize,
    items_at_once: usize,
}

impl World {
    /// The world of a plan, at its beginning.
    pub fn new(plan: &Plan, trace: Trace) -> Self {
        let mut chance = Seeded::new(plan.seed);
        let tuning = Tuning {
            pipeline_bytes_max: [64, 4_000, 1 << 20][chance.below(3)],
            step_messages_max: [1, 3, 4096][chance.below(3)],
            items_at_once: [1, 2, 64][chance.below(3)],
        };
        let rolling_from = |host: usize| {
            let links = plan.links.iter().enumerate();
            links
                .filter(move |(_, link)| link.rolling && link.from == host)
                .map(|(at, _)| at)
        };
        let mut world = World {
            hosts: (0..plan.hosts)
                .map(|host| Host::new(rolling_from(host)))
                .collect(),
            ways: vec![Way::default(); plan.links.len()],
            links: plan.links.clone(),
            dialects: (0..plan.hosts).map(|host| plan.dialect(host)).collect(),
            noise: plan.noise,
            steps: plan.steps.clone(),
            now_ms: 0,
            order: 0,
            due: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            tuning,
            ids: Seeded::new(plan.seed ^ 0x1d),
            chance,
            judge: Judge::default(),
            ledger: Ledger::default(),
            views: Views::new(),
            restored: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            is_log_lost: false,
            is_calm: false,
            last_run: None,
            trace,
            report: Report::default(),
            finding: None,
        };
        for (at, step) in plan.steps.iter().enumerate() {
            world.at(step.at_ms, Due::Step(at, 0));
        }
        world
    }

    /// Runs the plan, then calm until everything is equal.
    pub fn run(mut self) -> (Report, Vec<Happened>) {
        self.until_nothing_is_due();
        if self.finding.is_none() {
            self.settle();
        }
        if let Some(finding) = self.finding.take() {
            self.tell(0, None, Kind::Verdict, || finding.to_string());
            self.report.finding = Some(finding);
        }
        self.report.simulated_ms = self.now_ms;
        (self.report, self.trace.into_happened())
    }

    fn until_nothing_is_due(&mut self) {
        while self.finding.is_none() {
            let Some(((at_ms, _), due)) = self.due.pop_first() else {
                return;
            };
            self.now_ms = self.now_ms.max(at_ms);
            self.report.events += 1;
            if self.report.events > EVENTS_MAX {
                self.found(
                    Verdict::Liveness,
                    "a run ends",
                    format!("no end after {EVENTS_MAX} events"),
                );
                return;
            }
            self.happens(due);
        }
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::Step(at, tries) => self.step(at, tries),
            Due::Arrive(id, side) => self.arrive(id, side),
            Due::Ticket(id, side) => {
                self.ticket(id, side);
                self.look_somewhere();
            }
            Due::Eof(id, side) => self.eof(id, side),
            Due::TimeOut(id, side) => self.time_out(id, side),
            Due::Tick(host, channel) => self.tick(host, channel),
            Due::Up { host, life, backup } => self.up(host, life, backup),
        }
    }

    fn at(&mut self, at_ms: u64, due: Due) {
        self.order += 1;
        self.due.insert((at_ms.max(self.now_ms), self.order), due);
    }

    fn after(&mut self, ms: u64, due: Due) {
        self.at(self.now_ms + ms, due);
    }

    /// A time of at most `ms_max`.
    fn a_while(&mut self, ms_max: u64) -> u64 {
        if ms_max == 0 {
            return 0;
        }
        self.chance.next_u64() % (ms_max + 1)
    }

    /// The clock of a server.
    fn clock(&self, host: usize) -> Now {
        let seconds = i64::try_from(self.now_ms / 1_000).unwrap_or(0);
        Now(EPOCH_S + seconds + self.hosts[host].clock_s)
    }

    fn tell(&mut self, host: usize, to: Option<usize>, kind: Kind, text: impl FnOnce() -> String) {
        let at_ms = self.now_ms;
        self.trace.tell(|| Happened {
            at_ms,
            host,
            to,
            kind,
            text: text(),
        });
    }

    /// Keeps the first finding.
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

    fn judged(&mut self, judgement: Result<(), Broken>) {
        if let Err(broken) = judgement {
            self.found(Verdict::Safety, broken.rule, broken.text);
        }
    }

    fn step(&mut self, at: usize, tries: u32) {
        let Some(Step { host, what, .. }) = self.steps.get(at).cloned() else {
            return;
        };
        if tries == 0 {
            self.report.reached(what.name());
        }
        match what {
            What::Client(deed) => {
                let is_held = self.hosts[host].up && !self.client(host, &deed);
                if is_held && tries < CLIENT_PATIENCE {
                    self.after(5, Due::Step(at, tries + 1));
                }
            }
            What::Run { link, user } => self.begin_run(link, user),
            What::Crash { down_ms, silent } => self.crash(host, down_ms, silent),
            What::CrashAtTicket { nth, moment, down_ms } => self.crash_later(host, nth, moment, down_ms),
            What::Cut { link, for_ms, silent } => self.cut(link, for_ms, silent),
            What::BreakAfter { link, bytes } => {
                if let Some(way) = self.ways.get_mut(link) {
                    way.break_after = Some(bytes);
                }
            }
            What::DiskFull { for_ms } => self.hosts[host].disk.full_until_ms = self.now_ms + for_ms,
            What::IoErrors { for_ms, one_in } => {
                self.hosts[host].disk.errors = Some((self.now_ms + for_ms, one_in));
            }
            What::Corrupt => self.hosts[host].disk.corrupt = true,
            What::ClockJump { seconds } => {
                self.tell(host, None, Kind::Fault, || {
                    format!("the clock jumps by {seconds} s")
                });
                self.hosts[host].clock_s += seconds;
                self.ledger.clock_jumped = true;
            }
            What::Log { link, damage } => self.damage(link, damage),
            What::Backup => self.backup(host),
            What::Restore => self.restore(host),
        }
    }

    fn crash_later(&mut self, host: usize, nth: u64, moment: Moment, down_ms: u64) {
        if self.hosts[host].up {
            self.hosts[host].disk.crash = Some((nth, moment, down_ms));
        }
    }

    /// The process of a server dies.
    fn crash(&mut self, host: usize, down_ms: u64, silent: bool) {
        if !self.hosts[host].up {
            return;
        }
        self.report.crashes += 1;
        self.tell(host, None, Kind::Fault, || {
            format!(
                "the process dies{}, back in {down_ms} ms",
                if silent { " silently" } else { "" }
            )
        });
        let server = &mut self.hosts[host];
        server.up = false;
        server.life += 1;
        server.disk.crash = None;
        server.channels.iter_mut().for_each(host::Channel::forget);
        let life = server.life;
        self.drop_sides(host, silent);
        self.after(
            down_ms,
            Due::Up {
                host,
                life,
                backup: false,
            },
        );
    }

    fn up(&mut self, host: usize, life: u32, backup: bool) {
        if self.hosts[host].life != life {
            return;
        }
        self.tell(host, None, Kind::Fault, || "the process is back".to_owned());
        self.hosts[host].up = true;
        if backup {
            self.replace_store(host);
        } else {
            self.compare_with_before(host);
        }
        let intents = std::mem::take(&mut self.hosts[host].intents);
        self.log(host, &intents);
        for channel in 0..self.hosts[host].channels.len() {
            self.resume(host, channel);
        }
    }

    /// What a server shows after a crash is what it showed before.
    fn compare_with_before(&mut self, host: usize) {
        let known: Vec<(Owner, Arc<ScopeView>)> = self.views_of(host);
        for (owner, before) in known {
            let Some(after) = self.read(host, &owner) else {
                return;
            };
            let judgement = self.judge.ask(|checker| checker.restarted(&before, &after));
            self.judged(judgement);
        }
    }

    fn backup(&mut self, host: usize) {
        self.tell(host, None, Kind::Fault, || {
            "a backup of the store is made".to_owned()
        });
        let views = self.views_of(host).into_iter().collect();
        self.hosts[host].backup = Some((self.hosts[host].store.fork(), views));
    }

    fn restore(&mut self, host: usize) {
        if self.hosts[host].backup.is_none() || !self.hosts[host].up {
            return;
        }
        self.crash(host, 5, false);
        let server = &mut self.hosts[host];
        server.life += 1;
        let life = server.life;
        self.after(
            5,
            Due::Up {
                host,
                life,
                backup: true,
            },
        );
    }

    fn replace_store(&mut self, host: usize) {
        let Some((store, views)) = &self.hosts[host].backup else {
            return;
        };
        let (store, views) = (store.fork(), views.clone());
        self.tell(host, None, Kind::Fault, || {
            "its store is that of the last backup".to_owned()
        });
        self.report.restored += 1;
        self.restored.insert(host);
        let gone: Vec<(Owner, Arc<ScopeView>)> = self.views_of(host);
        self.hosts[host].store = store;
        self.views.retain(|(at, _), _| *at != host);
        for (owner, view) in views {
            self.views.insert((host, owner), view);
        }
        for (owner, view) in gone {
            for (_, record) in view.live() {
                let mail = (owner.clone(), record.guid);
                self.ledger.rolled_back.insert((host, mail));
                let elsewhere = (0..self.hosts.len()).any(|other| {
                    let view = self.views.get(&(other, owner.clone()));
                    view.is_some_and(|view| view.live().any(|(_, there)| there.guid == record.guid))
                });
                if !elsewhere {
                    self.ledger.forgiven.insert((owner.clone(), record.guid));
                }
            }
        }
        let judgement = self.judge.ask(|checker| {
            checker.restored(host);
            Ok(())
        });
        self.judged(judgement);
    }

    fn views_of(&self, host: usize) -> Vec<(Owner, Arc<ScopeView>)> {
        let of_host = self.views.range((host, Text::EMPTY)..(host + 1, Text::EMPTY));
        of_host
            .map(|((_, owner), view)| (owner.clone(), Arc::clone(view)))
            .collect()
    }

    fn view_of(&self, host: usize, owner: &Owner) -> Arc<ScopeView> {
        self.views
            .get(&(host, owner.clone()))
            .cloned()
            .unwrap_or_default()
    }

    /// What a reader sees who comes now.
    fn read(&mut self, host: usize, owner: &Owner) -> Option<ScopeView> {
        let mut session = self.hosts[host].store.session();
        match read::view(&mut session, owner) {
            Ok(view) => Some(view),
            Err(error) => {
                self.found(Verdict::Harness, "a store can be read", format!("{error:#}"));
                None
            }
        }
    }

    /// A transaction was committed.
    fn committed(&mut self, host: usize, owner: &Owner, note: Option<&Note>) {
        self.report.commits += 1;
        if let Some(note) = note {
            self.ledger.take(owner, note);
        }
        let Some(after) = self.read(host, owner) else {
            return;
        };
        let before = self.view_of(host, owner);
        let Some(arrived) = self.arrived(host, owner, &before, &after) else {
            return;
        };
        let commit = Commit {
            host,
            owner,
            before: &before,
            after: &after,
            views: &self.views,
            ledger: &self.ledger,
            client: note,
            arrived: &arrived,
            is_quiet: self.is_quiet(),
        };
        let judgement = self.judge.ask(|checker| checker.committed(&commit));
        self.judged(judgement);
        self.forget_renamed(host, owner, &before, &after);
        self.views.insert((host, owner.clone()), Arc::new(after));
    }

    /// Whether no master is at work. One that a lost process or connection left behind is not.
    fn is_quiet(&self) -> bool {
        let masters = self.connections.values();
        let mut masters = masters.filter_map(|connection| connection.sides[connection::MASTER].as_ref());
        masters.all(|side| side.is_idle())
    }

    /// Messages that a transaction made visible, with what their bytes are.
    fn arrived(
        &mut self,
        host: usize,
        owner: &Owner,
        before: &ScopeView,
        after: &ScopeView,
    ) -> Option<Vec<Arrived>> {
        let known: BTreeSet<Guid> = before.live().map(|(_, record)| record.guid).collect();
        let guids: BTreeSet<Guid> = after.live().map(|(_, record)| record.guid).collect();
        let mut session = self.hosts[host].store.session();
        match read::hashes(&mut session, owner, guids.difference(&known).copied()) {
            Ok(arrived) => Some(arrived),
            Err(error) => {
                self.found(Verdict::Harness, "a store can be read", format!("{error:#}"));
                None
            }
        }
    }

    /// A reader looks at somebody's mail at a moment that chance chooses.
    fn look_somewhere(&mut self) {
        if self.views.is_empty() || !self.chance.one_in(24) {
            return;
        }
        let nth = self.chance.below(self.views.len());
        let Some(((host, owner), committed)) = self.views.iter().nth(nth) else {
            return;
        };
        let (host, owner, committed) = (*host, owner.clone(), Arc::clone(committed));
        if !self.hosts[host].up {
            return;
        }
        if let Some(read) = self.read(host, &owner) {
            let judgement = self.judge.ask(|checker| checker.read(&committed, &read));
            self.judged(judgement);
        }
    }

    /// A master was told that what it had to do of an owner is done.
    fn kept(&mut self, link: Link, owner: &Owner, names: Option<&[Text]>, began: &ScopeView) {
        let (master, replica) = (self.view_of(link.from, owner), self.view_of(link.to, owner));
        let kept = Kept {
            to: link.to,
            owner,
            names,
            began,
            master: &master,
            replica: &replica,
            ledger: &self.ledger,
        };
        let judgement = self.judge.ask(|checker| checker.kept(&kept));
        self.judged(judgement);
    }
}
