//! The daemon's loop: entries from the log into the queue, tasks from the queue to connections, results back. [CS-LOG-24]

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::master::{Ending, FailureKind, Progress, Task, TaskFailure, TaskResult};
use engine::rolling::Queue;
use monitor::status::State;
use net::client::ConnectError;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::backoff::Backoff;
use super::manager::Manager;
use super::now_ms;
use super::signals::{Asked, Signals};
use super::source::Source;
use super::status::Status;
use super::strikes::Strikes;
use super::wake::Wake;
use crate::failure::Failure;
use crate::pool::{Connection, ConnectionId, Event, Found, Place, Pool, log_decisions};
use crate::route::Route;
use crate::spread::{is_skipped, user_of};

/// Least time between two looks at the log, so that a stream of changes is taken in handfuls.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Time between two looks where `sync_repeat_interval` is 0.
const LOOK_FAST: Duration = Duration::from_millis(100);
/// Events taken before the files are brought in line.
const EVENTS_AT_ONCE: usize = 1000;
/// Tasks that wait here for a connection, at most: those that must be alone do not hold up others.
const HELD_MAX: usize = 8;
/// A connection beyond the first that has had nothing to do for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// A connection that has lasted so long worked, even without a result.
const WORKED_AFTER: Duration = Duration::from_secs(60);
/// Pause before the next try when the replica said that it shuts down: a Cyrus master that gets a connection while it
/// stops may wait for it for ever. [CS-EXC-37]
const AFTER_BYE: Duration = Duration::from_secs(1);
/// How long tasks under way may take once the shutdown file is seen.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// What can be changed while it runs.
#[derive(Clone)]
pub(crate) struct Settings {
    /// How to reach the replica.
    pub(crate) route: Route,
    /// Connections at a time.
    pub(crate) workers: usize,
    /// Time between two looks.
    pub(crate) interval: Duration,
    /// Whether a write to the log is waited for as well.
    pub(crate) wake: bool,
    /// Longest pause between tries to connect.
    pub(crate) reconnect_maxwait: Option<Duration>,
    /// Ends the daemon when it appears.
    pub(crate) shutdown_file: Option<PathBuf>,
    /// How long commands under way may take after a signal.
    pub(crate) grace: Duration,
    /// Age at which a connection is made anew; zero for never.
    pub(crate) renew: Duration,
}

/// What stays.
pub(crate) struct Options {
    /// The channel, for the log; empty for the default one.
    pub(crate) channel: String,
    /// The channel's folder.
    pub(crate) folder: PathBuf,
    /// Ends when what the log says is done (`-1`, `-f`).
    pub(crate) once: bool,
    /// Ends when it cannot connect (`-o`).
    pub(crate) connect_once: bool,
}

/// Reads the configuration anew.
pub(crate) type Reload = Box<dyn Fn() -> Result<Settings, Failure> + Send>;

/// A daemon at work.
pub(crate) struct Daemon {
    options: Options,
    settings: Settings,
    reload: Reload,
    source: Source,
    queue: Queue,
    status: Status,
    pool: Pool,
    events: mpsc::UnboundedReceiver<Event>,
    backoff: Backoff,
    open_at: Instant,
    held: VecDeque<Task>,
    strikes: Strikes,
    look_at: Instant,
    looked_at: Option<Instant>,
    wake: Option<Wake>,
    connected: bool,
    connected_before: bool,
    leaving: Option<Leaving>,
    manager: Manager,
    failed: bool,
}

/// Why and until when it finishes what is under way.
struct Leaving {
    until: Instant,
    verdict: Result<(), Failure>,
}

impl Daemon {
    /// Ready to run.
    pub(crate) fn new(
        options: Options,
        settings: Settings,
        reload: Reload,
        mut source: Source,
        mut queue: Queue,
        status: Status,
    ) -> Daemon {
        queue.restore(source.quarantined());
        let (pool, events) = Pool::new();
        let now = Instant::now();
        let wake = watch(&options, &settings);
        Daemon {
            options,
            settings,
            reload,
            source,
            queue,
            status,
            pool,
            events,
            backoff: Backoff::default(),
            open_at: now,
            held: VecDeque::new(),
            strikes: Strikes::default(),
            look_at: now,
            looked_at: None,
            wake,
            connected: false,
            connected_before: false,
            leaving: None,
            manager: Manager::new(),
            failed: false,
        }
    }

    /// Runs until it is told to end, or has to; the exit status follows.
    ///
    /// # Errors
    /// With `-o`, that there is no connection.
    pub(crate) async fn run(mut self, mut signals: Signals) -> Result<u8, Failure> {
        loop {
            self.look();
            self.dispatch();
            self.settle();
            self.publish();
            if self.is_over() {
                break;
            }
            self.wait(&mut signals).await;
        }
        self.end().await
    }

    /// Waits for whatever happens next.
    async fn wait(&mut self, signals: &mut Signals) {
        let until = self.next_moment();
        let wake = async {
            match &mut self.wake {
                Some(wake) => wake.written().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.events.recv() => {
                let mut next = event;
                let mut taken = 0;
                while let Some(event) = next {
                    self.happened(event);
                    taken += 1;
                    next = (taken < EVENTS_AT_ONCE).then(|| self.events.try_recv().ok()).flatten();
                }
            }
            told = wake => if told { self.look_soon() } else { self.wake = None },
            asked = signals.next() => self.asked(asked),
            () = sleep_until(until.into()) => {}
        }
    }

    fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Stop if self.leaving.is_some() => self.pool.abort(),
            Asked::Stop => {
                tracing::info!(
                    channel = self.options.channel,
                    grace_s = self.settings.grace.as_secs(),
                    "stopping, as a signal asks, when what is under way is done; a second signal stops at once"
                );
                self.pool.stop();
                self.leave(self.settings.grace, Ok(()));
            }
            Asked::Reload => self.reload(),
        }
    }

    fn reload(&mut self) {
        match (self.reload)() {
            Ok(settings) => {
                self.settings = settings;
                self.status.set_replica(self.settings.route.replica());
                self.wake = watch(&self.options, &self.settings);
                // New connections go by the new settings.
                self.pool.retire(|_| true);
                self.backoff.worked();
                self.open_at = Instant::now();
                let released = self.queue.release(now_ms(), None);
                tracing::info!(
                    channel = self.options.channel,
                    released,
                    "read the configuration again; entries in quarantine are tried once more"
                );
            }
            Err(error) => tracing::error!(
                channel = self.options.channel,
                "the configuration cannot be used, and what was read before stays: {error}"
            ),
        }
    }

    /// When something is due without anything happening.
    fn next_moment(&self) -> Instant {
        let now = Instant::now();
        let mut moment = self.look_at;
        if let Some(leaving) = &self.leaving {
            moment = leaving.until;
        }
        if self.pool.is_empty() && self.leaving.is_none() {
            moment = moment.min(self.open_at);
        }
        if let Some(at) = self.queue.wake_at() {
            moment = moment.min(now + Duration::from_millis(at.saturating_sub(now_ms())));
        }
        // The status is published at least so often, and connections are looked after.
        moment.clamp(now + Duration::from_millis(1), now + Duration::from_secs(1))
    }

    fn interval(&self) -> Duration {
        self.settings.interval.max(LOOK_FAST)
    }

    fn look_soon(&mut self) {
        let earliest = self.looked_at.map_or_else(Instant::now, |at| at + LOOK_PAUSE);
        self.look_at = self.look_at.min(earliest);
    }

    /// Looks at the log and at the shutdown file, when it is time to.
    fn look(&mut self) {
        let now = Instant::now();
        if self.leaving.is_some() || now < self.look_at {
            return;
        }
        self.look_at = now + self.interval();
        if let Some(file) = &self.settings.shutdown_file
            && file.exists()
        {
            if let Err(error) = std::fs::remove_file(file) {
                tracing::warn!("cannot remove the shutdown file {}: {error}", file.display());
            }
            tracing::info!(
                channel = self.options.channel,
                "stopping, as the shutdown file asks"
            );
            self.leave(DRAIN_MAX, Ok(()));
            return;
        }
        if self.options.once && self.looked_at.is_some() {
            return;
        }
        match self.source.take() {
            Ok(taken) => {
                self.looked_at = Some(now);
                for bad in taken.bad {
                    self.failed = true;
                    let text = bad.to_string();
                    self.status.failed(now_ms(), "log", &text);
                    tracing::warn!(
                        channel = self.options.channel,
                        "left out a line of the log: {text}"
                    );
                }
                if !taken.entries.is_empty() {
                    tracing::debug!(
                        channel = self.options.channel,
                        entries = taken.entries.len(),
                        "entries of the log"
                    );
                    self.queue.add(now_ms(), taken.entries);
                }
            }
            Err(error) => self.trouble_with_log(&error.to_string()),
        }
    }

    fn trouble_with_log(&mut self, text: &str) {
        self.status.failed(now_ms(), "log", text);
        tracing::error!(channel = self.options.channel, "{text}; trying again");
        self.look_at = Instant::now() + self.interval().max(Duration::from_secs(1));
    }

    /// Hands out what can be begun.
    fn dispatch(&mut self) {
        let now = Instant::now();
        if self.leaving.is_some() {
            let held: Vec<Task> = self.held.drain(..).collect();
            for task in held {
                self.queue.lost(now_ms(), task.id);
            }
            self.pool.retire(|_| true);
            return;
        }
        self.care_for_connections(now);
        let mut passed = 0;
        while passed < self.held.len() {
            match self.held.remove(passed) {
                Some(task) => {
                    if let Some(task) = self.try_to_give(task, now) {
                        self.held.insert(passed, task);
                        passed += 1;
                    }
                }
                None => break,
            }
        }
        while self.held.len() < HELD_MAX && self.somebody_could() {
            let Some(task) = self.queue.next(now_ms()) else {
                break;
            };
            if let Some(task) = self.try_to_give(task, now) {
                let alone = self.strikes.needs_to_be_alone(&task.work);
                self.held.push_back(task);
                if !alone {
                    break;
                }
            }
        }
    }

    /// Whether it is worth asking for a task: there are connections, or one can be made.
    fn somebody_could(&self) -> bool {
        !self.pool.is_empty() || Instant::now() >= self.open_at
    }

    fn try_to_give(&mut self, task: Task, now: Instant) -> Option<Task> {
        if let Some(user) = user_of(&task.work).filter(|user| is_skipped(&self.options.folder, user)) {
            let failure = TaskFailure {
                kind: FailureKind::Locked,
                reason: format!("a file skipuser-{user} is in the channel's folder"),
            };
            self.queue.done(now_ms(), task.id, Err(failure));
            return None;
        }
        let alone = self.strikes.needs_to_be_alone(&task.work);
        let may_open = now >= self.open_at;
        let id = match self.pool.place(self.settings.workers, may_open, alone, now) {
            Place::On(id) => id,
            Place::New => self.pool.open(&self.settings.route),
            Place::Nowhere => return Some(task),
        };
        self.pool.give(id, task, alone).err()
    }

    /// One connection is kept even when there is nothing to do, so that trouble is seen before a change waits; old and
    /// superfluous ones go.
    fn care_for_connections(&mut self, now: Instant) {
        if !self.settings.renew.is_zero() {
            self.pool.retire_older(self.settings.renew, now);
        }
        self.pool.retire_idle(IDLE_MAX, now);
        if self.pool.is_empty() && now >= self.open_at && !self.options.once {
            self.pool.open(&self.settings.route);
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Ready(id) => {
                self.pool.ready(id);
                if !self.connected {
                    self.connected = true;
                    if std::mem::replace(&mut self.connected_before, true) {
                        self.status.reconnected();
                    }
                    tracing::info!(
                        channel = self.options.channel,
                        replica = self.settings.route.replica(),
                        "connected"
                    );
                }
            }
            Event::Result(id, result) => self.landed(id, result),
            Event::Found(found) => self.found(&found),
            Event::Heavy(id, heavy) => self.pool.heavy(id, heavy),
            Event::Ended(id, outcome) => self.ended(id, *outcome),
        }
    }

    fn found(&self, found: &Found) {
        log_decisions(&self.options.channel, &found.findings.decisions);
        for notice in &found.notices {
            tracing::info!(channel = self.options.channel, "{notice}");
        }
    }

    fn landed(&mut self, id: ConnectionId, result: TaskResult) {
        let Some(flight) = self.pool.landed(id, result.id) else {
            return;
        };
        self.backoff.worked();
        self.strikes.ended(&flight.work);
        let now = now_ms();
        let waiting = self.queue.state();
        let took_ms = u64::try_from(flight.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let user = user_of(&flight.work)
            .map(|user| user.to_string())
            .unwrap_or_default();
        let action = word(&flight.work);
        let outcome = result.outcome;
        monitor::metrics::change_done(
            Some(self.options.channel.as_str()).filter(|name| !name.is_empty()),
            action,
            outcome.is_ok(),
            flight.since.elapsed(),
            None,
        );
        match &outcome {
            Ok(()) => {
                tracing::debug!(channel = self.options.channel, user, action, took_ms, "done");
            }
            Err(failure) if failure.kind == FailureKind::Locked => {
                tracing::debug!(
                    channel = self.options.channel,
                    user,
                    action,
                    reason = failure.reason,
                    "locked"
                );
            }
            Err(failure) => {
                let code = if failure.kind == FailureKind::Local {
                    "local"
                } else {
                    "refused"
                };
                self.status.failed(now, code, &failure.reason);
                tracing::warn!(
                    channel = self.options.channel,
                    user,
                    action,
                    reason = failure.reason,
                    "not replicated; it is tried again"
                );
            }
        }
        let ok = outcome.is_ok();
        self.queue.done(now, result.id, outcome);
        let after = self.queue.state();
        if ok {
            let entries = waiting.in_flight.saturating_sub(after.in_flight).max(1);
            self.status.succeeded(now, entries as u64);
        }
        if after.quarantined > waiting.quarantined {
            tracing::error!(
                channel = self.options.channel,
                user,
                action,
                "in quarantine: it failed again and again, and is tried seldom from now on; `mailtwin status` lists it, \
                 SIGHUP tries it at once"
            );
        }
    }

    /// A connection is over: what it had goes to others, and when there is trouble a pause follows.
    fn ended(&mut self, id: ConnectionId, outcome: Result<Progress, ConnectError>) {
        let Some(connection) = self.pool.ended(id) else {
            return;
        };
        let trouble = match outcome {
            Err(error) => {
                let code = match error {
                    ConnectError::Tls(_) => "tls",
                    _ => "connect",
                };
                let text = error.to_string();
                Some(Trouble::new(code, text, Failure::Connect(error).exit_code()))
            }
            Ok(progress) => trouble(progress.ended, connection.flights.is_empty()),
        };
        self.take_back(&connection, trouble.is_some());
        if self.pool.iter().all(|other| !other.ready) {
            self.connected = false;
        }
        let Some(trouble) = trouble else { return };
        if self.leaving.is_some() {
            return;
        }
        self.status.failed(now_ms(), trouble.code, &trouble.text);
        // What never worked and cannot is for whoever starts the daemon; what worked before may be put right there while
        // it waits, as a renewed certificate. [CS-OPS-1]
        let hopeless = trouble.code == "tls" && !self.connected_before;
        if (self.options.connect_once || hopeless) && !connection.ready {
            self.leave(Duration::ZERO, Err(Failure::Ended(trouble.text, trouble.exit)));
            return;
        }
        let worked = connection.worked || (connection.ready && connection.age() > WORKED_AFTER);
        let pause = if worked {
            // The first try after a connection that worked comes at once.
            self.backoff.worked();
            if trouble.said_bye {
                AFTER_BYE
            } else {
                Duration::ZERO
            }
        } else {
            self.backoff.failed(self.settings.reconnect_maxwait)
        };
        self.open_at = Instant::now() + pause;
        let (channel, reason) = (&self.options.channel, &trouble.text);
        let wait_s = pause.as_secs();
        match trouble.code {
            "login" => tracing::error!(channel, wait_s, reason, "login refused; trying again"),
            "tls" => tracing::error!(channel, wait_s, reason, "no TLS; trying again"),
            _ if connection.ready => tracing::warn!(channel, wait_s, reason, "connection lost; trying again"),
            _ => tracing::warn!(channel, wait_s, reason, "no connection; trying again"),
        }
    }

    /// Tasks of a connection that is over.
    fn take_back(&mut self, connection: &Connection, lost: bool) {
        let counts = lost && connection.ready && self.leaving.is_none();
        for (task, flight) in &connection.flights {
            let blamed = counts
                .then(|| self.strikes.lost(&flight.work, connection.alone))
                .flatten();
            let Some(times) = blamed else {
                self.queue.lost(now_ms(), *task);
                continue;
            };
            let reason =
                format!("the connection was lost each of the {times} times while this was replicated");
            tracing::warn!(
                channel = self.options.channel,
                action = word(&flight.work),
                reason,
                "not replicated; it is tried again"
            );
            let failure = TaskFailure {
                kind: FailureKind::Refused,
                reason,
            };
            self.queue.done(now_ms(), *task, Err(failure));
        }
    }

    /// Begins to end.
    fn leave(&mut self, within: Duration, verdict: Result<(), Failure>) {
        self.leaving = Some(Leaving {
            until: Instant::now() + within,
            verdict,
        });
    }

    fn is_over(&mut self) -> bool {
        if let Some(leaving) = &self.leaving {
            return self.pool.is_empty() || Instant::now() >= leaving.until;
        }
        if self.options.once && self.looked_at.is_some() {
            let left = self.queue.state();
            if left.queued + left.in_flight == 0 && self.held.is_empty() {
                self.failed |= left.deferred + left.quarantined > 0;
                let grace = self.settings.grace;
                self.leave(grace, Ok(()));
                self.pool.retire(|_| true);
                return self.pool.is_empty();
            }
        }
        false
    }

    fn settle(&mut self) {
        if let Err(error) = self.source.settle(&self.queue) {
            self.trouble_with_log(&error.to_string());
        }
    }

    fn publish(&mut self) {
        let state = if self.leaving.is_some() {
            State::Stopping
        } else if self.pool.iter().any(|connection| connection.ready) {
            State::Connected
        } else if self.pool.is_empty() && Instant::now() < self.open_at {
            let pause = self.open_at.duration_since(Instant::now());
            State::Waiting {
                until_ms: now_ms() + u64::try_from(pause.as_millis()).unwrap_or(0),
            }
        } else {
            State::Connecting
        };
        self.publish_as(state);
        self.manager.turn(self.leaving.is_some(), Instant::now());
    }

    fn publish_as(&mut self, state: State) {
        let workers = self.settings.workers;
        self.status
            .publish(state, &self.pool, workers, &self.queue, now_ms());
    }

    /// What is under way has had its time; what is not done stays in the log.
    async fn end(mut self) -> Result<u8, Failure> {
        if !self.pool.is_empty() {
            self.pool.stop();
            let grace = self.settings.grace.min(Duration::from_secs(5));
            let all = async {
                while !self.pool.is_empty() {
                    match self.events.recv().await {
                        Some(event) => self.happened(event),
                        None => break,
                    }
                }
            };
            // Those that do not come to an end are cut off; their tasks are not done, and stay in the log.
            let _ = timeout(grace, all).await;
            self.pool.abort();
        }
        let kept = self.source.keep(&self.queue);
        let left = self.queue.pending().count();
        let verdict = self.leaving.take().map_or(Ok(()), |leaving| leaving.verdict);
        let reason = verdict.as_ref().err().map(ToString::to_string);
        self.publish_as(State::Stopped { reason });
        kept.map_err(Failure::Log)?;
        verdict?;
        if left > 0 && matches!(self.source, Source::Channel(_)) {
            tracing::info!(channel = self.options.channel, left, "entries stay in the log");
        }
        Ok(u8::from(self.options.once && (self.failed || left > 0)))
    }
}

/// What ended a connection that should not have ended.
struct Trouble {
    code: &'static str,
    text: String,
    exit: u8,
    said_bye: bool,
}

impl Trouble {
    fn new(code: &'static str, text: String, exit: u8) -> Trouble {
        Trouble {
            code,
            text,
            exit,
            said_bye: false,
        }
    }
}

/// Whether an ending is trouble; one that left nothing behind and says it is done is none.
fn trouble(ending: Option<Ending>, nothing_left: bool) -> Option<Trouble> {
    let ending = match ending {
        Some(Ending::Done | Ending::SomeFailed | Ending::Stopped) if nothing_left => return None,
        Some(Ending::Stopped) => return None,
        Some(Ending::Done | Ending::SomeFailed) | None => {
            Ending::ConnectionLost("the connection ended before its work".to_owned())
        }
        Some(other) => other,
    };
    let (text, exit) = crate::failure::verdict(&ending);
    let code = match &ending {
        Ending::AuthenticationFailed(_) => "login",
        Ending::TlsFailed(_) => "tls",
        Ending::CompressionUnavailable(_) => "compression",
        Ending::Storage(_) => "local",
        _ => "lost",
    };
    let text = match ending {
        // The advice about another run is for people who run it by hand.
        Ending::ConnectionLost(text) => text,
        _ => text.unwrap_or_default(),
    };
    Some(Trouble {
        said_bye: text.contains("said BYE"),
        ..Trouble::new(code, text, exit)
    })
}

/// The log's word for a task.
fn word(work: &engine::master::Work) -> &'static str {
    use engine::master::Work;
    match work {
        Work::Mailboxes(_) => "MAILBOX",
        Work::Unmailbox(_) => "UNMAILBOX",
        Work::Quota(_) => "QUOTA",
        Work::Annotation(_) => "ANNOTATION",
        Work::Seen { .. } => "SEEN",
        Work::Subscription { .. } => "SUB",
        Work::Meta(_) => "META",
        Work::User(_) => "USER",
        Work::Unuser(_) => "UNUSER",
        Work::Shared => "SHARED",
    }
}

fn watch(options: &Options, settings: &Settings) -> Option<Wake> {
    if !settings.wake || options.once {
        return None;
    }
    Wake::new(&options.folder)
        .inspect_err(|error| {
            tracing::warn!(
                "the system does not tell of changes in {} ({error}); they are looked for every {:?}",
                options.folder.display(),
                settings.interval.max(LOOK_FAST)
            );
        })
        .ok()
}
