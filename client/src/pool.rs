//! Several connections to the replica, each with tasks under way. [CS-OPS-3]
//!
//! The pool opens connections, hands tasks to them and passes on what comes back; who decides what is to be done, and
//! what becomes of a failure, is its owner. A task is in one place at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::Master;
use engine::master::{Decision, Findings, Job, Progress, Task, TaskId, TaskResult, Work};
use net::client::ConnectError;
use net::traffic::Traffic;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::route::Route;

/// Most tasks under way on one connection.
const WINDOW_MAX: usize = 8;

/// A task that takes so long, at best, is worth one more beside it: on a distant replica most of it is waiting.
const WAIT_WORTH_A_TASK: Duration = Duration::from_millis(20);

/// A connection that has brought no result for so long gets nothing more to do: a large message holds up only what is
/// behind it already.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// Names a connection; none is used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ConnectionId(u64);

/// What comes back.
pub(crate) enum Event {
    /// The replica has let us in.
    Ready(ConnectionId),
    /// A task is done, or not.
    Result(ConnectionId, TaskResult),
    /// What people should know.
    Found(Found),
    /// A message so large that everything behind it would wait is on its way there, or no longer.
    Heavy(ConnectionId, bool),
    /// The connection is over.
    Ended(ConnectionId, Box<Result<Progress, ConnectError>>),
}

/// What people should know of a connection's work.
pub(crate) struct Found {
    /// Decisions where both sides had changed, and planned steps.
    pub(crate) findings: Findings,
    /// Renames, deletes, repairs.
    pub(crate) notices: Vec<String>,
}

/// What went over all connections, those that are over included.
#[derive(Default, Debug)]
pub(crate) struct Counters {
    /// Bytes, as they went over the wire.
    pub(crate) traffic: Arc<Traffic>,
    messages: AtomicU64,
}

impl Counters {
    /// Messages sent.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

/// A task that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    /// What is done.
    pub(crate) work: Work,
    /// Since when.
    pub(crate) since: Instant,
}

/// A connection as its owner sees it.
pub(crate) struct Connection {
    tasks: Option<mpsc::Sender<Task>>,
    stop: Option<oneshot::Sender<()>>,
    handle: JoinHandle<()>,
    opened: Instant,
    heard: Instant,
    fastest: Option<Duration>,
    /// Whether the replica has let us in.
    pub(crate) ready: bool,
    /// Whether it has brought any result.
    pub(crate) worked: bool,
    /// Whether what is under way is alone on purpose.
    pub(crate) alone: bool,
    /// Whether a very large message is on its way.
    heavy: bool,
    /// What is under way.
    pub(crate) flights: BTreeMap<TaskId, Flight>,
}

impl Connection {
    /// How many tasks may be under way.
    fn window(&self) -> usize {
        let Some(fastest) = self.fastest.filter(|_| self.ready) else {
            return 1;
        };
        let waits = fastest.as_millis() / WAIT_WORTH_A_TASK.as_millis();
        usize::try_from(waits).map_or(WINDOW_MAX, |waits| waits.clamp(1, WINDOW_MAX))
    }

    fn has_room(&self, now: Instant) -> bool {
        let stalled = !self.flights.is_empty() && now.duration_since(self.heard) > STALLED_AFTER;
        self.tasks.is_some() && !self.alone && !self.heavy && !stalled && self.flights.len() < self.window()
    }

    /// How long ago it was opened.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    fn is_idle(&self) -> bool {
        self.tasks.is_some() && self.flights.is_empty()
    }
}

/// Where a task can go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// There.
    On(ConnectionId),
    /// To a new connection.
    New,
    /// Nowhere for now.
    Nowhere,
}

/// The connections.
pub(crate) struct Pool {
    connections: BTreeMap<ConnectionId, Connection>,
    counters: Arc<Counters>,
    events: mpsc::UnboundedSender<Event>,
    next: u64,
}

impl Pool {
    /// None yet; events go to the other end of what is answered.
    pub(crate) fn new() -> (Pool, mpsc::UnboundedReceiver<Event>) {
        let (events, receiver) = mpsc::unbounded_channel();
        let pool = Pool {
            connections: BTreeMap::new(),
            counters: Arc::default(),
            events,
            next: 0,
        };
        (pool, receiver)
    }

    /// Opens one more connection; it can be given a task at once.
    pub(crate) fn open(&mut self, route: &Route) -> ConnectionId {
        let id = ConnectionId(self.next);
        self.next += 1;
        let (tasks, given) = mpsc::channel(WINDOW_MAX + 1);
        let (stop, stopped) = oneshot::channel();
        let watch = Watch::new(id, self.events.clone(), Arc::clone(&self.counters));
        let handle = tokio::spawn(converse(route.clone(), given, stopped, watch));
        let now = Instant::now();
        let connection = Connection {
            tasks: Some(tasks),
            stop: Some(stop),
            handle,
            opened: now,
            heard: now,
            fastest: None,
            ready: false,
            worked: false,
            alone: false,
            heavy: false,
            flights: BTreeMap::new(),
        };
        self.connections.insert(id, connection);
        id
    }

    /// What went over all connections so far.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether all are over.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    /// Tasks under way on all of them.
    pub(crate) fn in_flight(&self) -> usize {
        self.iter().map(|connection| connection.flights.len()).sum()
    }

    /// Where a task goes: to an idle connection, else to a new one as long as there are fewer than `most` (and may be
    /// more), else beside others. One that has to be alone goes to no connection that has something to do.
    pub(crate) fn place(&self, most: usize, may_open: bool, alone: bool, now: Instant) -> Place {
        if let Some((&id, _)) = self.connections.iter().find(|(_, c)| c.is_idle()) {
            return Place::On(id);
        }
        // Those that retire are on their way out and do not count.
        let open = self.iter().filter(|c| c.tasks.is_some()).count();
        if may_open && open < most {
            return Place::New;
        }
        if alone {
            return Place::Nowhere;
        }
        let with_room = self.connections.iter().filter(|(_, c)| c.has_room(now));
        match with_room.min_by_key(|(_, c)| c.flights.len()) {
            Some((&id, _)) => Place::On(id),
            None => Place::Nowhere,
        }
    }

    /// Hands a task to a connection; gives it back when that is over.
    ///
    /// # Errors
    /// The task, when the connection cannot take it.
    pub(crate) fn give(&mut self, id: ConnectionId, task: Task, alone: bool) -> Result<(), Task> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Err(task);
        };
        let Some(tasks) = &connection.tasks else {
            return Err(task);
        };
        let (task_id, work) = (task.id, task.work.clone());
        if let Err(refused) = tasks.try_send(task) {
            return Err(refused.into_inner());
        }
        let since = Instant::now();
        if connection.flights.is_empty() {
            connection.heard = since;
        }
        connection.alone = alone;
        connection.flights.insert(task_id, Flight { work, since });
        Ok(())
    }

    /// Takes note that the replica has let a connection in.
    pub(crate) fn ready(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.ready = true;
        }
    }

    /// Takes note that a connection carries a very large message, or no longer does.
    pub(crate) fn heavy(&mut self, id: ConnectionId, heavy: bool) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.heavy = heavy;
        }
    }

    /// Takes note of a result; answers what was under way.
    pub(crate) fn landed(&mut self, id: ConnectionId, task: TaskId) -> Option<Flight> {
        let connection = self.connections.get_mut(&id)?;
        let flight = connection.flights.remove(&task)?;
        let now = Instant::now();
        connection.heard = now;
        connection.worked = true;
        if connection.flights.is_empty() {
            connection.alone = false;
        }
        let took = now.duration_since(flight.since);
        // A mean of those that were fast: what was slow had much to send.
        let usual = connection
            .fastest
            .map_or(took, |fastest| (fastest * 7 + took.min(fastest * 2)) / 8);
        connection.fastest = Some(usual);
        Some(flight)
    }

    /// Takes note that a connection is over; answers it with what was under way.
    pub(crate) fn ended(&mut self, id: ConnectionId) -> Option<Connection> {
        self.connections.remove(&id)
    }

    /// Lets connections finish what they have and go, all that `which` says.
    pub(crate) fn retire(&mut self, which: impl Fn(&Connection) -> bool) {
        for connection in self.connections.values_mut() {
            if which(connection) {
                connection.tasks = None;
            }
        }
    }

    /// Lets connections go that are older than `age`.
    pub(crate) fn retire_older(&mut self, age: Duration, now: Instant) {
        self.retire(|connection| now.duration_since(connection.opened) > age);
    }

    /// Lets idle connections go but for one that is left for what comes next.
    pub(crate) fn retire_idle(&mut self, idle: Duration, now: Instant) {
        let mut spare = self.iter().filter(|c| c.tasks.is_some()).count();
        for connection in self.connections.values_mut() {
            let quiet = connection.flights.is_empty() && now.duration_since(connection.heard) > idle;
            if spare > 1 && quiet && connection.tasks.is_some() {
                connection.tasks = None;
                spare -= 1;
            }
        }
    }

    /// Asks all to stop between two commands.
    pub(crate) fn stop(&mut self) {
        for connection in self.connections.values_mut() {
            if let Some(stop) = connection.stop.take() {
                // One that is over needs no telling.
                let _ = stop.send(());
            }
            connection.tasks = None;
        }
    }

    /// Ends all without further ado.
    pub(crate) fn abort(&mut self) {
        for connection in self.connections.values() {
            connection.handle.abort();
        }
        self.connections.clear();
    }
}

/// One connection from its beginning to its end.
async fn converse(
    route: Route,
    tasks: mpsc::Receiver<Task>,
    stopped: oneshot::Receiver<()>,
    mut watch: Watch,
) {
    let (id, events) = (watch.id, watch.events.clone());
    let (results, mut landed) = mpsc::unbounded_channel();
    let mut target = route.target();
    target.traffic = Arc::clone(&watch.counters.traffic);
    let session = Box::new(route.session());
    let stop = async move {
        if stopped.await.is_err() {
            // The owner is gone without a word, which aborts this task as well.
            std::future::pending::<()>().await;
        }
    };
    // Nobody listens to the events only when the program ends.
    let tell = |event| drop(events.send(event));
    let outcome = {
        let run = net::client::run_tasks(
            &target,
            route.master(Job::Tasks),
            session,
            tasks,
            results,
            stop,
            |master| watch.look(master),
        );
        let mut run = std::pin::pin!(run);
        loop {
            tokio::select! {
                biased;
                Some(result) = landed.recv() => tell(Event::Result(id, result)),
                outcome = &mut run => break outcome,
            }
        }
    };
    while let Ok(result) = landed.try_recv() {
        tell(Event::Result(id, result));
    }
    let outcome = outcome.map(|mut progress| {
        watch.rest(&mut progress);
        progress
    });
    tell(Event::Ended(id, Box::new(outcome)));
}

/// Looks at a master each time it waits.
struct Watch {
    id: ConnectionId,
    events: mpsc::UnboundedSender<Event>,
    counters: Arc<Counters>,
    ready: bool,
    heavy: bool,
    /// Messages that are among the counters already.
    messages: u64,
}

impl Watch {
    fn new(id: ConnectionId, events: mpsc::UnboundedSender<Event>, counters: Arc<Counters>) -> Self {
        Watch {
            id,
            events,
            counters,
            ready: false,
            heavy: false,
            messages: 0,
        }
    }

    fn look(&mut self, master: &Master) {
        if !self.ready && master.is_ready() {
            self.ready = true;
            self.tell(Event::Ready(self.id));
        }
        let heavy = master.heavy_bytes() > 0;
        if heavy != self.heavy {
            self.heavy = heavy;
            self.tell(Event::Heavy(self.id, heavy));
        }
        self.found(master.take_findings(), master.take_notices());
        self.count(&master.progress());
    }

    /// What is left when it is over.
    fn rest(&mut self, progress: &mut Progress) {
        self.count(progress);
        let notices = std::mem::take(&mut progress.notices);
        self.found(progress.take_findings(), notices);
    }

    fn found(&self, findings: Findings, notices: Vec<String>) {
        let nothing = Findings::default();
        if findings != nothing || !notices.is_empty() {
            self.tell(Event::Found(Found { findings, notices }));
        }
    }

    fn count(&mut self, progress: &Progress) {
        let more = progress.messages_sent.saturating_sub(self.messages);
        self.messages += more;
        self.counters.messages.fetch_add(more, Ordering::Relaxed);
    }

    fn tell(&self, event: Event) {
        // Nobody listens only when the program ends.
        let _ = self.events.send(event);
    }
}

/// Decisions as log lines: each says what became of which message, and by which rule.
pub(crate) fn log_decisions(channel: &str, decisions: &[Decision]) {
    for decision in decisions {
        tracing::info!(
            channel,
            mailbox = %decision.mailbox,
            uid = decision.uid,
            rule = decision.rule,
            action = decision.what.word(),
            "{}",
            decision.what
        );
    }
}
