//! `-u`, `-m`, `-A` and `-s` over several connections (`-j`), and where some users are to be skipped: each user is a task, and
//! tasks go to whichever connection is free.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

use engine::master::{Ending, Failure as ItemFailure, Job, Progress, Task, TaskId, TaskResult, Work};
use engine::name::{self, Scope};
use engine::ticket::{Reply, Request, Session as _, StoreError};
use net::client::ConnectError;
use protocol::Text;

use crate::failure::Failure;
use crate::plan::Printer;
use crate::pool::{ConnectionId, Event, Place, Pool};
use crate::report::Report;
use crate::route::Route;

/// Why a user is left out. [CS-OPS-2]
const SKIPPED: &str = "is locked: a file `skipuser-USER` in the channel's folder says so";

/// A run over several connections.
pub(crate) struct Spread<'a> {
    /// Where to.
    pub(crate) route: &'a Route,
    /// Connections at a time.
    pub(crate) jobs: usize,
    /// Where `skipuser-USER` files are.
    pub(crate) folder: PathBuf,
    /// Whether users so locked are failures (`-u`) or just left out (`-A`).
    pub(crate) skip_quietly: bool,
}

/// Whether any user is to be skipped.
pub(crate) fn any_skipped(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("skipuser-"))
    })
}

/// Whether this user is.
pub(crate) fn is_skipped(folder: &Path, user: &Text) -> bool {
    let user = user.to_lossy();
    !user.contains('/') && folder.join(format!("skipuser-{user}")).exists()
}

impl Spread<'_> {
    /// Does it; the counters are those of all connections together.
    ///
    /// # Errors
    /// When there is no connection at all, or the store cannot be read.
    pub(crate) async fn run(
        &self,
        job: Job,
        stop: impl Future<Output = ()>,
        report: &mut Report,
        printer: &Printer,
    ) -> Result<Progress, Failure> {
        let mut state = State::new(self.works(job)?);
        let (mut pool, mut events) = Pool::new();
        let mut stop = std::pin::pin!(stop);
        let mut stopping = false;
        loop {
            if !stopping {
                self.dispatch(&mut pool, &mut state);
            }
            if state.waiting.is_empty() && pool.in_flight() == 0 {
                pool.retire(|_| true);
            }
            if pool.is_empty() {
                break;
            }
            report.items(&state.total);
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => state.take(event, &mut pool, printer),
                    None => break,
                },
                () = &mut stop, if !stopping => {
                    stopping = true;
                    state.halt = Some(Ending::Stopped);
                    pool.stop();
                }
            }
        }
        state.finish()
    }

    fn dispatch(&self, pool: &mut Pool, state: &mut State) {
        while let Some((_, work)) = state.waiting.front() {
            if let Some(user) = user_of(work).filter(|user| is_skipped(&self.folder, user)) {
                let text = format!("{user} {SKIPPED}");
                if self.skip_quietly {
                    state.total.notices.push(format!("{text}; left out"));
                } else {
                    state.fail(label(work), text);
                }
                state.total.items_done += 1;
                state.waiting.pop_front();
                continue;
            }
            let may_open = state.halt.is_none();
            let place = match pool.place(self.jobs, may_open, false, Instant::now()) {
                Place::On(id) => id,
                Place::New => pool.open(self.route),
                Place::Nowhere => return,
            };
            let Some((id, work)) = state.waiting.pop_front() else {
                return;
            };
            if let Err(task) = pool.give(place, Task { id, work }, false) {
                state.waiting.push_front((task.id, task.work));
                return;
            }
        }
    }

    /// The tasks of a job.
    fn works(&self, job: Job) -> Result<Vec<Work>, Failure> {
        Ok(match job {
            Job::Users(users) => users.into_iter().map(Work::User).collect(),
            Job::Meta(users) => users.into_iter().map(Work::Meta).collect(),
            Job::Mailboxes(names) => by_scope(names),
            Job::AllUsers { prefix } => {
                let with_shared = prefix.is_empty();
                let mut works: Vec<Work> = self.users(prefix)?.into_iter().map(Work::User).collect();
                if with_shared {
                    works.push(Work::Shared);
                }
                works
            }
            Job::Compare(_) | Job::Tasks => Vec::new(),
        })
    }

    fn users(&self, prefix: Text) -> Result<Vec<Text>, Failure> {
        match self.route.store.session().execute(Request::Users { prefix })? {
            Reply::Names(names) => Ok(names),
            _ => Err(Failure::Store(StoreError::Misuse { what: "users" })),
        }
    }
}

/// Mailboxes of one scope are one task, in the order in which they were named.
fn by_scope(names: Vec<Text>) -> Vec<Work> {
    let mut groups: BTreeMap<Scope, Vec<Text>> = BTreeMap::new();
    for name in names {
        groups.entry(Scope::of(&name)).or_default().push(name);
    }
    groups.into_values().map(Work::Mailboxes).collect()
}

/// Whose data it is about; `None` for what is nobody's.
pub(crate) fn user_of(work: &Work) -> Option<Text> {
    match work {
        Work::Mailboxes(names) => names.first().and_then(|name| name::owner(name)),
        Work::Unmailbox(name) | Work::Quota(name) | Work::Annotation(name) => name::owner(name),
        Work::Seen { user, .. } | Work::Subscription { user, .. } => Some(user.clone()),
        Work::Meta(user) | Work::User(user) | Work::Unuser(user) => Some(user.clone()),
        Work::Shared => None,
    }
}

/// A task for people.
fn label(work: &Work) -> String {
    match work {
        Work::Mailboxes(names) => names.first().map(Text::to_string).unwrap_or_default(),
        Work::User(user) | Work::Meta(user) | Work::Unuser(user) => user.to_string(),
        Work::Shared => "shared mailboxes".to_owned(),
        other => format!("{other:?}"),
    }
}

/// What is left to do, and what came of the rest.
struct State {
    waiting: VecDeque<(TaskId, Work)>,
    total: Progress,
    /// Why nothing more is begun.
    halt: Option<Ending>,
    refused: Option<ConnectError>,
}

impl State {
    fn new(works: Vec<Work>) -> State {
        let total = Progress {
            items_total: works.len() as u64,
            ..Progress::default()
        };
        let ids = (0..).map(TaskId);
        State {
            waiting: ids.zip(works).collect(),
            total,
            halt: None,
            refused: None,
        }
    }

    fn fail(&mut self, item: String, reason: String) {
        self.total.failures.push(ItemFailure { item, reason });
    }

    fn take(&mut self, event: Event, pool: &mut Pool, printer: &Printer) {
        match event {
            Event::Ready(id) => pool.ready(id),
            Event::Result(id, result) => self.landed(id, result, pool),
            Event::Found(found) => {
                printer.print(&found.findings);
                self.total.notices.extend(found.notices);
            }
            Event::Heavy(id, heavy) => pool.heavy(id, heavy),
            Event::Ended(id, outcome) => self.ended(id, *outcome, pool),
        }
    }

    fn landed(&mut self, id: ConnectionId, result: TaskResult, pool: &mut Pool) {
        let Some(flight) = pool.landed(id, result.id) else {
            return;
        };
        self.total.items_done += 1;
        if let Err(failure) = result.outcome {
            self.fail(label(&flight.work), failure.reason);
        }
    }

    fn ended(&mut self, id: ConnectionId, outcome: Result<Progress, ConnectError>, pool: &mut Pool) {
        if let Some(connection) = pool.ended(id) {
            // The others take over what this one had, as long as there are any.
            for (task, flight) in connection.flights.into_iter().rev() {
                self.waiting.push_front((task, flight.work));
            }
        }
        match outcome {
            Ok(progress) => {
                let total = &mut self.total;
                total.mailboxes += progress.mailboxes;
                total.mailboxes_sent += progress.mailboxes_sent;
                total.messages_sent += progress.messages_sent;
                total.message_bytes_sent += progress.message_bytes_sent;
                total.records_sent += progress.records_sent;
                total.round_trips += progress.round_trips;
                match progress.ended {
                    None | Some(Ending::Done | Ending::SomeFailed) => {}
                    Some(ending) => self.halt = self.halt.take().or(Some(ending)),
                }
            }
            Err(error) => {
                self.halt
                    .get_or_insert_with(|| Ending::ConnectionLost(error.to_string()));
                self.refused = Some(error);
            }
        }
    }

    fn finish(mut self) -> Result<Progress, Failure> {
        let complete = self.total.items_done == self.total.items_total;
        match (self.halt, self.refused) {
            (Some(_), Some(error)) if self.total.items_done == 0 => return Err(error.into()),
            (Some(ending), _) if !complete => self.total.ended = Some(ending),
            _ if self.total.failures.is_empty() => self.total.ended = Some(Ending::Done),
            _ => self.total.ended = Some(Ending::SomeFailed),
        }
        Ok(self.total)
    }
}
