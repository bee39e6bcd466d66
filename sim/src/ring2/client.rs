//! The software of a client's machine: our client, run again and again, or following a log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::master::{Compress, Ending, Job, MasterConfig, Progress, TaskId, TaskResult, Work};
use engine::rolling::{Entry, Queue, QueueConfig};
use net::address::PeerAddress;
use net::client::{ConnectError, Target, run, run_tasks};
use net::sasl::Credentials;
use net::secret::Secret;
use protocol::Text;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::court::{Court, Order};
use super::plan::Place;
use super::platform::Simulated;
use super::sabotage::Sabotage;
use super::server::{PASSWORD, USER};
use super::session::Watched;
use super::{PORT, name_of};
use crate::judge::{Owner, ScopeView};
use crate::trace::Kind;

/// The pause after the first failure; doubled with each further one.
pub const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// The longest.
pub const PAUSE_MAX: Duration = Duration::from_millis(3_200);
/// Tasks given ahead.
const AHEAD: usize = 3;

/// What a master showed when something began.
type Began = Vec<(Owner, Arc<ScopeView>)>;

/// Replicates over a link until the machine dies.
pub async fn follow(court: Court, link: usize) -> turmoil::Result {
    let place = Place::Client(link);
    let mut orders = court.orders(place);
    let mut pause = PAUSE_FIRST;
    let mut queue = Queue::new(queue_config());
    if court.link(link).rolling {
        resume(&court, link, &mut queue);
    }
    loop {
        court.until_work(place, &mut orders).await?;
        let mut stop = orders.clone();
        let is_deaf = court.is_sabotaged(Sabotage::DeafClients);
        let stop = async move {
            if is_deaf {
                std::future::pending::<()>().await;
            }
            // The court lives as long as the run.
            let _ = stop.wait_for(|order| *order == Order::Stop).await;
        };
        if court.is_calm() && court.is_sabotaged(Sabotage::Sleepers) {
            return Ok(());
        }
        if court.is_calm_before(link) {
            court.follower(link, |follower| follower.progress.runs += 1);
        }
        let ended = if court.link(link).rolling {
            roll(&court, link, &mut queue, stop).await
        } else {
            by_hand(&court, link, stop).await
        };
        let host = court.machine_of(place);
        court.tell(host, None, Kind::Connection, || match &ended {
            Ok(progress) => format!(
                "client {link} ends: {:?}, failures {:?}",
                progress.ended, progress.failures
            ),
            Err(error) => format!("client {link}: {error}"),
        });
        court.has_stopped(place);
        let done = ended
            .as_ref()
            .is_ok_and(|progress| progress.ended == Some(Ending::Done));
        pause = if done {
            PAUSE_FIRST
        } else {
            (pause * 2).min(PAUSE_MAX)
        };
        let rest = if done {
            Duration::from_millis(court.tuning().interval_ms)
        } else {
            pause
        };
        tokio::select! {
            biased;
            _ = orders.wait_for(|order| *order != Order::Work) => {}
            () = sleep(rest) => {}
        }
        // One that was told to stop while it did nothing has stopped.
        court.has_stopped(place);
    }
}

/// One run over all users.
async fn by_hand(
    court: &Court,
    link: usize,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Progress, ConnectError> {
    let began = court.views_of(court.link(link).from);
    let calm = court.is_calm_before(link);
    let job = Job::AllUsers { prefix: Text::EMPTY };
    let session = Box::new(Watched::new(court, Place::Client(link)));
    let ended = run(&target(court, link), master(court, job), session, stop, |_| {}).await;
    if let Ok(progress) = &ended
        && progress.ended == Some(Ending::Done)
    {
        for (owner, began) in &began {
            court.kept(link, owner, began);
        }
        let sent = progress.records_sent + progress.messages_sent + progress.mailboxes_sent;
        court.follower(link, |follower| follower.progress.done = calm && sent == 0);
    }
    ended
}

/// What a process that died before had left.
fn resume(court: &Court, link: usize, queue: &mut Queue) {
    let now_ms = court.now_ms();
    let left = court.follower(link, |follower| follower.pending.clone());
    queue.add(
        now_ms,
        left.into_iter().map(|action| Entry {
            action,
            logged_at_ms: now_ms,
        }),
    );
}

/// One connection that does what the log says, for as long as it lasts.
async fn roll(
    court: &Court,
    link: usize,
    queue: &mut Queue,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Progress, ConnectError> {
    let (give, given) = mpsc::channel(AHEAD);
    let (results, mut landed) = mpsc::unbounded_channel();
    let session = Box::new(Watched::new(court, Place::Client(link)));
    let (target, master) = (target(court, link), master(court, Job::Tasks));
    let mut running = Box::pin(run_tasks(&target, master, session, given, results, stop, |_| {}));
    let mut bell = court.follower(link, |follower| follower.bell.subscribe());
    let mut flights: BTreeMap<TaskId, (Work, Began)> = BTreeMap::new();
    let ended = loop {
        take(court, link, queue);
        while let Ok(place) = give.try_reserve() {
            let Some(task) = queue.next(court.now_ms()) else {
                break;
            };
            flights.insert(task.id, (task.work.clone(), began(court, link, &task.work)));
            place.send(task);
        }
        settle(court, link, queue);
        let now_ms = court.now_ms();
        let wake = queue
            .wake_at()
            .map_or(3_600_000, |at_ms| at_ms.saturating_sub(now_ms).max(1));
        tokio::select! {
            biased;
            Some(result) = landed.recv() => land(court, link, queue, &mut flights, result),
            ended = &mut running => break ended,
            _ = bell.changed() => {}
            () = sleep(Duration::from_millis(wake)) => {}
        }
    };
    while let Ok(result) = landed.try_recv() {
        land(court, link, queue, &mut flights, result);
    }
    for task in flights.into_keys() {
        queue.lost(court.now_ms(), task);
    }
    settle(court, link, queue);
    ended
}

/// Takes what is new from the log.
fn take(court: &Court, link: usize, queue: &mut Queue) {
    let now_ms = court.now_ms();
    let new = court.follower(link, |follower| {
        let new = std::mem::take(&mut follower.log);
        follower.pending.extend(new.iter().cloned());
        new
    });
    queue.add(
        now_ms,
        new.into_iter().map(|action| Entry {
            action,
            logged_at_ms: now_ms,
        }),
    );
}

/// Writes down what is left to do.
fn settle(court: &Court, link: usize, queue: &Queue) {
    let pending: Vec<_> = queue.pending().cloned().collect();
    let state = queue.state();
    let busy = state.queued + state.in_flight + state.deferred + state.quarantined > 0;
    let calm = court.is_calm();
    court.follower(link, |follower| {
        follower.pending = pending;
        follower.progress.done = calm && !busy && follower.log.is_empty();
    });
}

/// A task has ended.
fn land(
    court: &Court,
    link: usize,
    queue: &mut Queue,
    flights: &mut BTreeMap<TaskId, (Work, Began)>,
    result: TaskResult,
) {
    let host = court.link(link).from;
    court.tell(host, None, Kind::Connection, || {
        format!("client {link}: task {} ends: {:?}", result.id.0, result.outcome)
    });
    if let (Ok(()), Some((_, began))) = (&result.outcome, flights.remove(&result.id)) {
        for (owner, began) in &began {
            court.kept(link, owner, began);
        }
    }
    if let Err(failure) = &result.outcome {
        let name = format!("task failed: {:?}", failure.kind);
        court.count(|report| report.reached(&name));
    }
    queue.done(court.now_ms(), result.id, result.outcome);
}

/// Whose mail a task is about, as the master shows it now. What is logged here names users.
fn began(court: &Court, link: usize, work: &Work) -> Began {
    let host = court.link(link).from;
    let owners = match work {
        Work::User(user) => vec![user.clone()],
        _ => Vec::new(),
    };
    let of = |owner: Owner| {
        let view = court.view_of(host, &owner);
        (owner, view)
    };
    owners.into_iter().map(of).collect()
}

fn queue_config() -> QueueConfig {
    QueueConfig {
        retry_first_ms: 100,
        retry_max_ms: 2_000,
        locked_first_ms: 50,
        locked_max_ms: 1_000,
        // What goes into quarantine is tried again after an hour, which no run lasts.
        attempts_max: u32::MAX,
        ..QueueConfig::default()
    }
}

fn target(court: &Court, link: usize) -> Target {
    let tuning = court.tuning();
    let server = Place::Server(court.link(link).to);
    let patience = if court.is_sabotaged(Sabotage::PatientPeers) {
        100
    } else {
        1
    };
    Target {
        peer: PeerAddress::Tcp {
            host: name_of(server),
            port: PORT,
            tls: false,
            noauth: false,
        },
        credentials: Some(Credentials {
            user: USER.to_owned(),
            password: Secret::new(PASSWORD),
            mechanisms: vec!["PLAIN".to_owned()],
            allow_plain: true,
        }),
        connect_timeout: Duration::from_millis(tuning.connect_timeout_ms * patience),
        peer_timeout: Duration::from_millis(tuning.peer_timeout_ms * patience),
        tls: None,
        mechanisms: Vec::new(),
        trace: None,
        traffic: Arc::default(),
        platform: Simulated::at(court, Place::Client(link)),
    }
}

fn master(court: &Court, job: Job) -> MasterConfig {
    let tuning = court.tuning();
    MasterConfig {
        compress: if tuning.client_deflate {
            Compress::WhenOffered
        } else {
            Compress::No
        },
        pipeline_bytes_max: tuning.pipeline_bytes_max,
        step_messages_max: tuning.step_messages_max,
        items_at_once: tuning.items_at_once,
        ..MasterConfig::new(job)
    }
}
