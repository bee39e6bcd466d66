//! The loop of a run: time goes on tick by tick, and between two ticks steps of the plan and their ends are done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use engine::ticket::{Request, Session, StoreError};
use protocol::synclog::Action;
use tokio::sync::watch;
use turmoil::{Builder, Sim};

use super::client::PAUSE_MAX;
use super::court::{Court, Order};
use super::plan::{Manner, Place, Plan, Step, Tuning, What};
use super::rules;
use super::run::panicked;
use super::sabotage::Sabotage;
use super::{client, name_of, server, strangers};
use crate::plan::Deed;
use crate::report::{Report, Verdict};
use crate::trace::{Happened, Kind, Trace};
use crate::world::client::{changes_of, user_of};
use crate::world::read::scope_of;

/// Where those come from who never log in, and those who do and mean no good.
const STRANGERS: [(&str, bool); 2] = [("stranger", false), ("crank", true)];
/// Segments under way in one direction of a connection, and connections that wait to be accepted: the network panics where
/// there are more of these.
const SEGMENTS: usize = 512;
/// Runs of a link in calm within which it is done. A chain needs some for each link before.
const CALM_RUNS_MAX: u64 = 10;
/// How often a client tries to change mail that somebody else holds, with a tick between.
const CLIENT_PATIENCE: u32 = 200;

/// What ends a step.
#[derive(Clone, Debug)]
enum Undo {
    Step(usize, u32),
    Repair(usize),
    Release(usize),
    Latency(usize),
    Start(Place),
    Stop(Place),
    Work(Place),
}

/// Everything of a run.
pub struct World<'a> {
    sim: Sim<'a>,
    court: Court,
    tuning: Tuning,
    steps: Vec<Step>,
    links: usize,
    due: BTreeMap<(u64, u64), Undo>,
    order: u64,
    now_ms: u64,
    /// Links on which something is in the way, and machines that are down.
    blocked: BTreeSet<usize>,
    down: BTreeSet<Place>,
    places: Vec<Place>,
    silenced: BTreeSet<Place>,
    visits: watch::Sender<Option<Vec<(usize, Manner)>>>,
    ids: crate::seeded::Seeded,
}

impl World<'_> {
    /// The world of a plan, at its beginning.
    pub fn new(plan: &Plan, trace: Trace, sabotage: Option<Sabotage>) -> Self {
        let tuning = plan.tuning;
        let court = Court::new(plan, trace, sabotage);
        let mut builder = Builder::new();
        builder
            .epoch(UNIX_EPOCH + Duration::from_secs(1_790_000_000))
            .rng_seed(plan.seed)
            .simulation_duration(Duration::from_secs(86_400))
            .tick_duration(Duration::from_millis(tuning.tick_ms))
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(tuning.latency_ms_max))
            .tcp_capacity(SEGMENTS);
        if tuning.any_order {
            builder.enable_random_order();
        }
        let mut sim = builder.build();
        let verifiers = server::OneUser::make();
        let mut places = Vec::new();
        for host in 1..plan.hosts {
            let place = Place::Server(host);
            places.push(place);
            let (court, verifiers) = (court.clone(), verifiers.clone());
            sim.host(name_of(place), move || {
                let (court, verifiers) = (court.clone(), verifiers.clone());
                async move {
                    match verifiers {
                        Some(verifiers) => server::serve(court, host, verifiers).await,
                        None => Err("no random numbers for a salt".into()),
                    }
                }
            });
        }
        let (visits, come) = watch::channel(Some(Vec::new()));
        let comes = |who_log_in: bool| {
            plan.steps.iter().any(|step| match step.what {
                What::Stranger { manner, .. } => (manner == Manner::Deaf) == who_log_in,
                _ => false,
            })
        };
        // Machines cost time, even those that do nothing.
        for (name, who_log_in) in STRANGERS.into_iter().filter(|(_, who)| comes(*who)) {
            let come = come.clone();
            sim.host(name, move || strangers::send(come.clone(), who_log_in));
            if !who_log_in {
                court.strangers_are(sim.lookup(name));
            }
        }
        for link in 0..plan.links.len() {
            let place = Place::Client(link);
            places.push(place);
            let court = court.clone();
            sim.host(name_of(place), move || client::follow(court.clone(), link));
        }
        let mut world = World {
            sim,
            court,
            tuning,
            steps: plan.steps.clone(),
            links: plan.links.len(),
            due: BTreeMap::new(),
            order: 0,
            now_ms: 0,
            blocked: BTreeSet::new(),
            down: BTreeSet::new(),
            places,
            silenced: BTreeSet::new(),
            visits,
            ids: crate::seeded::Seeded::new(plan.seed ^ 0x1d),
        };
        for (at, step) in plan.steps.iter().enumerate() {
            world.at(step.at_ms, Undo::Step(at, 0));
        }
        world
    }

    /// Runs the plan, then calm until everything is equal, then to an orderly end.
    pub fn run(mut self) -> (Report, Vec<Happened>, u64) {
        while !self.court.has_finding() && !self.due.is_empty() {
            self.happen();
            self.tick();
        }
        self.calm();
        self.end();
        self.court.close()
    }

    fn at(&mut self, at_ms: u64, what: Undo) {
        self.order += 1;
        self.due.insert((at_ms, self.order), what);
    }

    fn after(&mut self, ms: u64, what: Undo) {
        self.at(self.now_ms + ms, what);
    }

    /// One tick of the network and of all machines.
    fn tick(&mut self) {
        self.now_ms += self.tuning.tick_ms;
        self.court.set_now(self.now_ms);
        if let Err(error) = self.sim.step() {
            self.court
                .found(Verdict::Harness, "machines run", error.to_string());
        }
        self.court.look_around();
        if let Some(text) = panicked() {
            self.court.judged(Err(rules::Broken {
                rule: rules::PANICS,
                text,
            }));
        }
    }

    /// Does what is due.
    fn happen(&mut self) {
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > self.now_ms {
                return;
            }
            match entry.remove() {
                Undo::Step(at, tries) => self.step(at, tries),
                Undo::Repair(link) => {
                    let (a, b) = self.ends(link);
                    self.sim.repair(a, b);
                    self.blocked.remove(&link);
                }
                Undo::Release(link) => {
                    let (a, b) = self.ends(link);
                    self.sim.release(a, b);
                    self.blocked.remove(&link);
                }
                Undo::Latency(link) => self.latency(link, self.tuning.latency_ms_max),
                Undo::Start(place) => self.start(place),
                Undo::Stop(place) => self.stop(place),
                Undo::Work(place) => self.work(place),
            }
            self.court.look_at_mail();
        }
    }

    /// The names of both ends of a link.
    fn ends(&self, link: usize) -> (String, String) {
        let server = Place::Server(self.court.link(link).to);
        (name_of(Place::Client(link)), name_of(server))
    }

    fn step(&mut self, at: usize, tries: u32) {
        let Some(Step { what, .. }) = self.steps.get(at).cloned() else {
            return;
        };
        if tries == 0 {
            self.court.count(|report| report.reached(what.name()));
            if !matches!(what, What::Deed(_)) {
                self.court.tell(0, None, Kind::Fault, || format!("{what:?}"));
            }
        }
        match what {
            What::Deed(deed) => {
                if !self.deed(&deed) && tries < CLIENT_PATIENCE {
                    self.after(self.tuning.tick_ms, Undo::Step(at, tries + 1));
                }
            }
            What::Partition { link, for_ms } => {
                self.block(link, |sim, a, b| sim.partition(a, b), for_ms, false)
            }
            What::Deafness {
                link,
                to_server,
                for_ms,
            } => self.block(
                link,
                |sim, client, server| {
                    if to_server {
                        sim.partition_oneway(client, server);
                    } else {
                        sim.partition_oneway(server, client);
                    }
                },
                for_ms,
                false,
            ),
            What::Hold { link, for_ms } => self.block(link, |sim, a, b| sim.hold(a, b), for_ms, true),
            What::Slow {
                link,
                latency_ms_max,
                for_ms,
            } => {
                self.latency(link, latency_ms_max);
                self.after(for_ms, Undo::Latency(link));
            }
            What::Crash {
                place,
                silent,
                down_ms,
            } => self.crash(place, silent, down_ms),
            What::Stop {
                host,
                drain_ms,
                down_ms,
            } => self.wind_down(Place::Server(host), drain_ms, down_ms),
            What::Interrupt { link, down_ms } => self.wind_down(Place::Client(link), 0, down_ms),
            What::Trouble {
                place,
                trouble,
                bytes,
            } => self.court.trouble(place, trouble, bytes),
            What::StoreErrors { host, one_in, for_ms } => self.court.store_errors(host, one_in, for_ms),
            What::StoreSlow { host, ms, for_ms } => self.court.store_slow(host, ms, for_ms),
            What::Stranger { host, manner } => self.visits.send_modify(|visits| {
                if let Some(visits) = visits {
                    visits.push((host, manner));
                }
            }),
            What::ClockJump { host, seconds } => self.court.jump(host, seconds),
        }
    }

    /// Puts something in the way of a link, unless something is already.
    fn block(&mut self, link: usize, block: impl FnOnce(&Sim<'_>, String, String), for_ms: u64, held: bool) {
        if !self.blocked.insert(link) {
            return;
        }
        let (a, b) = self.ends(link);
        block(&self.sim, a, b);
        let undo = if held {
            Undo::Release(link)
        } else {
            Undo::Repair(link)
        };
        self.after(for_ms, undo);
    }

    fn latency(&self, link: usize, ms_max: u64) {
        let (a, b) = self.ends(link);
        self.sim
            .set_link_max_message_latency(a, b, Duration::from_millis(ms_max));
    }

    /// The process of a place dies.
    fn crash(&mut self, place: Place, silent: bool, down_ms: u64) {
        if !self.down.insert(place) {
            return;
        }
        // Nothing of what its sockets say when they go gets out.
        let links: Vec<usize> = (0..self.links)
            .filter(|link| self.touches(*link, place))
            .collect();
        if silent && links.iter().all(|link| !self.blocked.contains(link)) {
            self.silenced.insert(place);
            for link in &links {
                let (a, b) = self.ends(*link);
                self.sim.partition(a, b);
            }
        }
        self.sim.crash(name_of(place));
        self.court.died(place);
        if self.silenced.remove(&place) {
            for link in links {
                let (a, b) = self.ends(link);
                self.sim.repair(a, b);
            }
        }
        self.after(down_ms, Undo::Start(place));
    }

    fn touches(&self, link: usize, place: Place) -> bool {
        place == Place::Client(link) || place == Place::Server(self.court.link(link).to)
    }

    fn start(&mut self, place: Place) {
        self.court.restarted(self.court.machine_of(place));
        self.down.remove(&place);
        self.sim.bounce(name_of(place));
    }

    /// A program is told to stop, perhaps to drain first, and works again after a while.
    fn wind_down(&mut self, place: Place, drain_ms: u64, down_ms: u64) {
        if !self.down.insert(place) {
            return;
        }
        if drain_ms > 0 {
            self.court.order(place, Order::Drain);
        }
        self.after(drain_ms, Undo::Stop(place));
        self.after(drain_ms + down_ms, Undo::Work(place));
    }

    fn stop(&mut self, place: Place) {
        self.court.order(place, Order::Stop);
    }

    /// One that has not stopped yet is not started.
    fn work(&mut self, place: Place) {
        if self.court.is_stopped(place) {
            self.down.remove(&place);
            self.court.order(place, Order::Work);
        } else {
            self.after(self.tuning.tick_ms, Undo::Work(place));
        }
    }

    /// A client of the mail changes it; false when somebody holds it.
    fn deed(&mut self, deed: &Deed) -> bool {
        let user = user_of(deed.user());
        let mut session = self.court.store(0).session();
        let (now, id) = (self.court.wall(0), self.ids.next_u64());
        let Some((changes, note)) = changes_of(&mut session, deed, &user, now, id) else {
            return true;
        };
        if changes.is_empty() {
            return true;
        }
        let scope = scope_of(&user);
        for request in [Request::Begin { scope }, Request::Write(changes), Request::Commit] {
            match session.execute(request) {
                Ok(_) => {}
                Err(StoreError::Locked { .. }) => return false,
                // The client is told, and does not count on it.
                Err(_) => return true,
            }
        }
        self.court
            .tell(0, None, Kind::Client, || format!("{user}: {deed:?}"));
        self.court.committed(0, &user, Some(&note));
        self.court.log(&Action::User(user));
        true
    }

    /// Faults end; then everything has to become equal.
    fn calm(&mut self) {
        if self.court.has_finding() {
            return;
        }
        self.court
            .tell(0, None, Kind::Fault, || "all faults are over".to_owned());
        self.court.calm();
        self.visits.send_replace(None);
        for link in 0..self.links {
            self.latency(link, self.tuning.latency_ms_max.min(20));
        }
        let within_ms = self.calm_ms();
        // One that fails at once is tried again after the longest pause at the latest.
        let runs_max = CALM_RUNS_MAX + within_ms / 10_000;
        let began_ms = self.now_ms;
        while !self.court.has_finding() {
            self.tick();
            let all: Vec<rules::Progress> = (0..self.links)
                .map(|link| self.court.follower(link, |follower| follower.progress))
                .collect();
            if all.iter().all(|progress| progress.done) {
                break;
            }
            let after_ms = self.now_ms - began_ms;
            for progress in &all {
                self.court
                    .judged(rules::settles(progress, runs_max, after_ms, within_ms));
            }
        }
        if !self.court.has_finding() {
            self.court.look_at_mail();
            self.court.all_equal();
        }
    }

    /// Time within which every link is done in calm: connections that died silently are noticed, pauses are waited for,
    /// and then there is work to do.
    fn calm_ms(&self) -> u64 {
        let tuning = &self.tuning;
        let pauses_ms = u64::try_from(PAUSE_MAX.as_millis()).unwrap_or(0);
        let is_deaf = |step: &Step| {
            let deaf = Manner::Deaf;
            matches!(step.what, What::Stranger { manner, .. } if manner == deaf)
        };
        // Who asked much and is gone gets answers, and may hold the only place to work at.
        let deaf = self.steps.iter().filter(|step| is_deaf(step)).count() as u64;
        let once_ms = deaf * strangers::QUESTIONS * (2 * tuning.store_ms_max + tuning.tick_ms)
            + 3 * tuning.peer_timeout_ms
            + 6 * tuning.connect_timeout_ms
            + tuning.login_timeout_ms
            + pauses_ms
            + tuning.interval_ms
            + rules::PAUSES_MAX * tuning.pause_ms
            + 30_000;
        once_ms * (1 + self.links as u64)
    }

    /// All programs are told to stop, and nothing may be left.
    fn end(&mut self) {
        for clients in [true, false] {
            let those = self.places.clone();
            let those = those
                .into_iter()
                .filter(|place| matches!(place, Place::Client(_)) == clients);
            let those: Vec<Place> = those.collect();
            if self.court.has_finding() {
                return;
            }
            for place in &those {
                self.court.order(*place, Order::Stop);
            }
            while !self.court.has_finding() && !those.iter().all(|place| self.court.is_stopped(*place)) {
                self.tick();
            }
            for place in &those {
                self.court.judged(rules::leftovers(&self.court.left(*place)));
            }
        }
    }
}
