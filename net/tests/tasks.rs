//! A master that is given its work while it is connected, over real sockets.

#[allow(dead_code, reason = "other tests use more of it")]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::master::{
    Ending, FailureKind, Job, MasterConfig, Progress, Task, TaskFailure, TaskId, TaskResult, Work,
};
use engine::name::Scope;
use engine::ticket::{Request, Session};
use net::client::{self, Target};
use net::trace::Trace;
use protocol::Text;
use support::mail::Mail;
use support::{Running, assert_done, assert_equal, of_memory, of_sqlite, sample};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Longer than anything here takes, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that takes tasks.
struct Connection {
    tasks: Option<mpsc::Sender<Task>>,
    results: mpsc::UnboundedReceiver<TaskResult>,
    stop: Option<oneshot::Sender<()>>,
    run: JoinHandle<Progress>,
    next: u64,
}

impl Connection {
    fn open(target: Target, session: impl Session + 'static) -> Connection {
        let (tasks, given) = mpsc::channel(4);
        let (done, results) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = tokio::spawn(async move {
            let stopped = async {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let config = MasterConfig::new(Job::Tasks);
            client::run_tasks(&target, config, Box::new(session), given, done, stopped, |_| {})
                .await
                .expect("connects")
        });
        Connection {
            tasks: Some(tasks),
            results,
            stop: Some(stop),
            run,
            next: 0,
        }
    }

    async fn give(&mut self, work: Work) -> TaskId {
        let id = TaskId(self.next);
        self.next += 1;
        let tasks = self.tasks.as_ref().expect("not closed");
        tokio::time::timeout(PATIENCE, tasks.send(Task { id, work }))
            .await
            .expect("taken in time")
            .expect("connected");
        id
    }

    async fn results(&mut self, count: usize) -> BTreeMap<TaskId, Result<(), TaskFailure>> {
        let mut found = BTreeMap::new();
        while found.len() < count {
            let result = tokio::time::timeout(PATIENCE, self.results.recv())
                .await
                .expect("in time")
                .expect("connected");
            assert_eq!(found.insert(result.id, result.outcome), None, "told once");
        }
        found
    }

    /// Gives nothing more, and waits for the end.
    async fn close(mut self) -> Progress {
        self.tasks = None;
        self.end().await
    }

    async fn end(self) -> Progress {
        tokio::time::timeout(PATIENCE, self.run)
            .await
            .expect("ends in time")
            .expect("no panic")
    }
}

fn user(name: &str) -> Work {
    Work::User(Text::from(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_done_as_they_come_and_each_is_told_of_once() {
    let mut ours = sample();
    let theirs = Mail::new("x");
    let server = Running::tcp(of_memory(&theirs.store), |_| {}).await;
    let mut connection = Connection::open(server.target("repl", "pencil"), ours.store.session());
    for work in [user("jane"), user("bob"), Work::Shared] {
        connection.give(work).await;
    }
    let results = connection.results(3).await;
    assert!(results.values().all(Result::is_ok), "{results:?}");
    assert_equal(&ours, &theirs);

    // The same connection, after it had nothing to do.
    ours.append("user.bob", &["Subject: later\r\n\r\nx\r\n"]);
    ours.rename("user.jane.Sent Mail", "user.jane.Archive");
    let names = ["user.jane.Sent Mail", "user.jane.Archive"];
    connection
        .give(Work::Mailboxes(vec![Text::from("user.bob")]))
        .await;
    connection
        .give(Work::Mailboxes(names.map(Text::from).to_vec()))
        .await;
    let results = connection.results(2).await;
    assert!(results.values().all(Result::is_ok), "{results:?}");
    assert_equal(&ours, &theirs);
    let progress = connection.close().await;
    assert_done(&progress);
    assert_eq!(progress.items_done, 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_more_than_go_at_once_and_a_locked_one_among_them() {
    const USERS: usize = 150;
    let mut ours = Mail::new("m");
    let name = |n: usize| format!("u{n:03}");
    for n in 0..USERS {
        let inbox = format!("user.{}", name(n));
        ours.create(&[&inbox]);
        ours.append(
            &inbox,
            &[
                "Subject: to all\r\n\r\n\r\n",
                &format!("Subject: {n}\r\n\r\n\r\n"),
            ],
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = store::sqlite::Options {
        busy_timeout: Duration::ZERO,
        ..store::sqlite::Options::default()
    };
    let theirs = store::sqlite::SqliteStore::open(folder.path(), options).expect("opens");
    let scope = Scope::User(Text::from(name(70)));
    let mut other = theirs.session();
    other.execute(Request::Begin { scope }).expect("begins");
    let server = Running::tcp(of_sqlite(&theirs), |_| {}).await;
    let mut connection = Connection::open(server.target("repl", "pencil"), ours.store.session());
    for n in 0..USERS {
        connection.give(user(&name(n))).await;
    }
    let results = connection.results(USERS).await;
    let failed: Vec<_> = results
        .iter()
        .filter_map(|(id, r)| r.as_ref().err().map(|why| (id.0, why)))
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0].0, failed[0].1.kind),
        (70, FailureKind::Locked),
        "{failed:?}"
    );

    other.execute(Request::Rollback).expect("rolls back");
    let again = connection.give(user(&name(70))).await;
    let results = connection.results(1).await;
    assert_eq!(results.get(&again), Some(&Ok(())));
    assert_done(&connection.close().await);
    assert_eq!(theirs.users().expect("lists").len(), USERS);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_without_a_result_was_not_done() {
    let ours = sample();
    let theirs = Mail::new("x");
    let server = Running::tcp(of_memory(&theirs.store), |_| {}).await;
    let mut connection = Connection::open(server.target("repl", "pencil"), ours.store.session());
    connection.give(user("bob")).await;
    assert_eq!(connection.results(1).await.len(), 1);
    server.stop().await;
    let progress = connection.close().await;
    assert!(
        matches!(progress.ended, Some(Ending::ConnectionLost(_))),
        "{progress:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_it_between_two_tasks() {
    let ours = sample();
    let theirs = Mail::new("x");
    let server = Running::tcp(of_memory(&theirs.store), |_| {}).await;
    let mut connection = Connection::open(server.target("repl", "pencil"), ours.store.session());
    connection.give(user("jane")).await;
    connection.results(1).await;
    let stop = connection.stop.take().expect("not stopped yet");
    stop.send(()).expect("it runs");
    let progress = connection.end().await;
    assert_eq!(progress.ended, Some(Ending::Stopped), "{progress:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_connection_asks_whether_the_replica_is_there() {
    let ours = sample();
    let theirs = Mail::new("x");
    let server = Running::tcp(of_memory(&theirs.store), |_| {}).await;
    let said = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&said);
    let target = Target {
        // It asks after half of this.
        peer_timeout: Duration::from_secs(6),
        trace: Some(Trace::new(Arc::new(move |line| {
            sink.lock().expect("no panic").push_str(line);
        }))),
        ..server.target("repl", "pencil")
    };
    let mut connection = Connection::open(target, ours.store.session());
    tokio::time::timeout(PATIENCE, async {
        while !said.lock().expect("no panic").contains("NOOP") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("asks in time");
    connection.give(user("bob")).await;
    assert_eq!(connection.results(1).await.get(&TaskId(0)), Some(&Ok(())));
    assert_done(&connection.close().await);
    server.stop().await;
}
