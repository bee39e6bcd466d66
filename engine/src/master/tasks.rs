//! A master that is given its work while it is connected. [CS-LOG-9] to [CS-LOG-18]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use protocol::Text;
use protocol::command::{Command, Get};

use super::Ending;
use super::mailboxes::by_scope;
use super::run::{Run, Tried, Trouble};
use super::task::{FailureKind, Task, TaskFailure, TaskId, TaskResult, Work};

/// Where the owner lays down tasks and takes up results; clones are the same board.
#[derive(Clone)]
pub(super) struct Board {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    given: VecDeque<Task>,
    at_once: usize,
    under_way: usize,
    retired: bool,
    keep_alive: bool,
    results: Vec<TaskResult>,
}

/// What an idle master is to do.
enum Next {
    Do(Task),
    KeepAlive,
    Retire,
}

impl Board {
    /// For a master that does so many tasks at once.
    pub(super) fn new(at_once: usize) -> Self {
        Board {
            shared: Arc::new(Mutex::new(Shared {
                given: VecDeque::new(),
                at_once: at_once.max(1),
                under_way: 0,
                retired: false,
                keep_alive: false,
                results: Vec::new(),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a task from the owner.
    pub(super) fn give(&self, task: Task) {
        self.lock().given.push_back(task);
    }

    /// Whether there is room for one that would be begun at once.
    pub(super) fn wants_tasks(&self) -> bool {
        let shared = self.lock();
        shared.given.len() + shared.under_way < shared.at_once
    }

    /// Nothing more comes.
    pub(super) fn retire(&self) {
        self.lock().retired = true;
    }

    /// The owner wants to know whether the replica is there.
    pub(super) fn keep_alive(&self) {
        self.lock().keep_alive = true;
    }

    /// Gives the owner what is done.
    pub(super) fn take_results(&self) -> Vec<TaskResult> {
        std::mem::take(&mut self.lock().results)
    }

    fn next(&self) -> Option<Next> {
        let mut shared = self.lock();
        if let Some(task) = shared.given.pop_front() {
            shared.under_way += 1;
            return Some(Next::Do(task));
        }
        if shared.retired {
            return Some(Next::Retire);
        }
        std::mem::take(&mut shared.keep_alive).then_some(Next::KeepAlive)
    }

    fn done(&self, id: TaskId, outcome: Result<(), TaskFailure>) {
        let mut shared = self.lock();
        shared.under_way -= 1;
        shared.results.push(TaskResult { id, outcome });
    }
}

impl Run {
    /// Does what is given until the owner gives nothing more.
    pub(super) async fn do_tasks(&mut self) -> Result<(), Ending> {
        loop {
            match self.next_task().await? {
                Next::Retire => return Ok(()),
                Next::KeepAlive => {
                    let sent = self.wire.send("NOOP", &Text::EMPTY, &Command::Noop);
                    self.wire.answer(sent).await?;
                }
                Next::Do(task) => {
                    let outcome = match self.do_work(task.work).await {
                        Ok(()) => Ok(()),
                        Err(Trouble::Item(reason)) => Err(TaskFailure {
                            kind: FailureKind::Refused,
                            reason,
                        }),
                        Err(Trouble::Halt(ending)) => return Err(ending),
                    };
                    self.board.done(task.id, outcome);
                }
            }
        }
    }

    /// Waits for the owner, and for the replica to go away.
    async fn next_task(&mut self) -> Result<Next, Ending> {
        std::future::poll_fn(|_| {
            if self.port.is_shutdown() {
                return Poll::Ready(Err(Ending::Stopped));
            }
            if let Err(ending) = self.wire.hear() {
                return Poll::Ready(Err(ending));
            }
            match self.board.next() {
                Some(next) => Poll::Ready(Ok(next)),
                None => {
                    self.port.idle();
                    Poll::Pending
                }
            }
        })
        .await
    }

    async fn do_work(&mut self, work: Work) -> Tried<()> {
        match work {
            Work::User(user) => {
                let get = Command::Get(Get::User(Some(user.clone())));
                let sent = self.wire.send("GET USER", &user, &get);
                self.do_user(&user, sent).await
            }
            Work::Mailboxes(names) => {
                for (scope, names) in by_scope(names) {
                    self.do_group(scope, names).await?;
                }
                Ok(())
            }
            Work::Shared => self.do_shared().await,
            other => Err(Trouble::Item(format!("{other:?} cannot be done yet"))),
        }
    }
}
