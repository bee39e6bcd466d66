//! A master that is given its work while it is connected. [CS-LOG-9] to [CS-LOG-18]

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::Text;
use protocol::command::{Apply, Command, Get, Seen};
use protocol::response::Code;

use super::Ending;
use super::crew::{Begin, Foreman};
use super::mailboxes::by_scope;
use super::meta::{RemoteMeta, seen_of};
use super::run::{Run, Tried, Trouble};
use super::task::{FailureKind, Task, TaskFailure, TaskId, TaskResult, Work};
use super::user::{AskedUser, summary};
use super::wire::Sent;
use crate::name::{Scope, inbox_of};
use crate::ticket::{Select, StoreError};

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

    /// The first task whose scope is free and that no task before it in the queue shares a scope with.
    fn next(&self, busy: &BTreeSet<Scope>) -> Option<Task> {
        let mut shared = self.lock();
        let mut taken = busy.clone();
        let at = shared
            .given
            .iter()
            .position(|task| taken.insert(scope_of(&task.work)))?;
        shared.under_way += 1;
        shared.given.remove(at)
    }

    fn is_over(&self) -> bool {
        let shared = self.lock();
        shared.retired && shared.given.is_empty()
    }

    fn takes_keep_alive(&self) -> bool {
        std::mem::take(&mut self.lock().keep_alive)
    }

    fn done(&self, id: TaskId, outcome: Result<(), TaskFailure>) {
        let mut shared = self.lock();
        shared.under_way -= 1;
        shared.results.push(TaskResult { id, outcome });
    }
}

/// Whose data a task is about.
fn scope_of(work: &Work) -> Scope {
    match work {
        Work::Mailboxes(names) => names.first().map_or(Scope::Shared, |name| Scope::of(name)),
        Work::Unmailbox(name) | Work::Quota(name) => Scope::of(name),
        Work::Annotation(name) if name.is_empty() => Scope::Shared,
        Work::Annotation(name) => Scope::of(name),
        Work::Seen { user, .. } | Work::Subscription { user, .. } => Scope::User(user.clone()),
        Work::Meta(user) | Work::User(user) | Work::Unuser(user) => Scope::User(user.clone()),
        Work::Shared => Scope::Shared,
    }
}

/// Begins what the owner gives.
struct Given {
    probe: Option<Sent>,
}

impl Foreman for Given {
    type Key = TaskId;

    fn begin(&mut self, run: &mut Run, busy: &BTreeSet<Scope>) -> Begin<TaskId> {
        // Much is held for tasks under way, which will be done.
        if !run.ahead.may_ask() {
            return Begin::Later;
        }
        let Some(task) = run.board.next(busy) else {
            return if run.board.is_over() {
                Begin::End
            } else {
                Begin::Later
            };
        };
        let scope = scope_of(&task.work);
        let mut of_task = run.for_item();
        // Asked at once, so that the next task knows of it.
        let asked = match &task.work {
            Work::User(user) | Work::Unuser(user) => Some(of_task.ask_user(user)),
            _ => None,
        };
        let labour = Box::pin(async move { (of_task.do_work(task.work, asked).await, of_task.blame.kind()) });
        Begin::Item(task.id, scope, labour)
    }

    fn done(&mut self, run: &Run, id: TaskId, outcome: Result<(), (FailureKind, String)>) {
        let outcome = outcome.map_err(|(kind, reason)| TaskFailure { kind, reason });
        run.board.done(id, outcome);
        run.count(|progress| progress.items_done += 1);
    }

    fn idle(&mut self, run: &mut Run) -> Result<(), Ending> {
        if let Some(sent) = self.probe
            && run.wire.answer_now(sent)?.is_some()
        {
            self.probe = None;
        }
        if run.board.takes_keep_alive() && self.probe.is_none() {
            self.probe = Some(run.wire.send("NOOP", &Text::EMPTY, &Command::Noop));
        }
        run.wire.hear()?;
        // With a question open the replica's silence counts.
        if self.probe.is_none() {
            run.port.idle();
        }
        Ok(())
    }
}

impl Run {
    /// Does what is given until the owner gives nothing more.
    pub(super) async fn do_tasks(&mut self) -> Result<(), Ending> {
        self.work_off(&mut Given { probe: None }).await
    }

    async fn do_work(&mut self, work: Work, asked: Option<AskedUser>) -> Tried<()> {
        match work {
            Work::User(user) => {
                let asked = asked.unwrap_or_else(|| self.ask_user(&user));
                self.do_user(&user, asked).await
            }
            // Of a user who was deleted here nothing is touched there that we do not know to be deleted. [CS-LOG-10]
            Work::Unuser(user) => {
                self.departs = true;
                let asked = asked.unwrap_or_else(|| self.ask_user(&user));
                self.do_user(&user, asked).await
            }
            Work::Meta(user) if self.is_departed(&user).await? => {
                let asked = self.ask_user(&user);
                self.do_user(&user, asked).await
            }
            Work::Meta(user) => self.do_meta(&user).await,
            Work::Mailboxes(names) => self.do_mailboxes(names).await,
            Work::Unmailbox(name) => self.do_unmailbox(name).await,
            Work::Annotation(name) if name.is_empty() => self.do_server_annotations().await,
            // Annotations of a mailbox travel with its line.
            Work::Annotation(name) => self.do_mailboxes(vec![name]).await,
            Work::Quota(root) => self.do_quota(&root).await,
            Work::Seen { user, uniqueid } => self.do_seen(&user, &uniqueid).await,
            Work::Subscription { user, mailbox } => self.do_subscription(&user, &mailbox).await,
            Work::Shared => self.do_shared().await,
        }
    }

    /// Whether the user was deleted here: what was taken from him before is not to stay there. [CS-LOG-43]
    async fn is_departed(&mut self, user: &Text) -> Tried<bool> {
        if self.has_inbox(user).await? {
            return Ok(false);
        }
        let inbox = inbox_of(user);
        let tombstones = match self.local_tombstones(&Scope::User(user.clone())).await {
            Err(StoreError::NotFound { .. }) => Vec::new(),
            tombstones => tombstones?,
        };
        Ok(tombstones.iter().any(|tombstone| tombstone.name == inbox))
    }

    /// Mailboxes by name; what of one fails is the task's failure.
    async fn do_mailboxes(&mut self, names: Vec<Text>) -> Tried<()> {
        let mut reasons = Vec::new();
        for (scope, names) in by_scope(names) {
            reasons.extend(self.try_group(scope, names).await?);
        }
        all_of(&reasons)
    }

    /// A name that was deleted here, if it is gone still: one that is back has a line of its own, which may have to wait.
    /// [CS-LOG-14] [CS-LOG-41]
    async fn do_unmailbox(&mut self, name: Text) -> Tried<()> {
        let here = match self.local_mailboxes(Select::Names(vec![name.clone()])).await {
            Err(StoreError::NotFound { .. }) => Vec::new(),
            here => here?,
        };
        if here.iter().any(|mailbox| !mailbox.is_placeholder()) {
            return Ok(());
        }
        self.do_mailboxes(vec![name]).await
    }

    pub(super) async fn do_server_annotations(&mut self) -> Tried<()> {
        let mut reasons = Vec::new();
        self.sync_server_annotations(&mut reasons).await?;
        all_of(&reasons)
    }

    /// One quota root, set or removed there as it is here. [CS-LOG-15]
    pub(super) async fn do_quota(&mut self, root: &Text) -> Tried<()> {
        let get = Command::Get(Get::Quota(Some(root.clone())));
        let sent = self.wire.send("GET QUOTA", root, &get);
        let scope = Scope::of(root);
        let ours = self.local_quotas(&scope).await?;
        let answer = self.wire.answer(sent).await?;
        let theirs = match &answer.result {
            Ok(_) => RemoteMeta::from(answer).quotas,
            Err(refusal) if refusal.code == Code::MailboxNonexistent => Vec::new(),
            Err(refusal) => return Err(refusal.clone().into()),
        };
        let mine: Vec<_> = ours.into_iter().filter(|limits| limits.root == *root).collect();
        let mut reasons = Vec::new();
        self.match_quotas(&scope, mine, &theirs, &mut reasons).await?;
        all_of(&reasons)
    }

    /// One seen state, if it is here. [CS-LOG-17]
    async fn do_seen(&mut self, user: &Text, uniqueid: &Text) -> Tried<()> {
        let ours = self.local_meta(user).await?;
        let Some(state) = ours.seen.into_iter().find(|state| state.uniqueid == *uniqueid) else {
            return Ok(());
        };
        let sent = self.wire.send(
            "APPLY SEEN",
            uniqueid,
            &Command::Apply(Apply::Seen(Seen {
                userid: Some(user.clone()),
                ..seen_of(&state)
            })),
        );
        self.wire.answer(sent).await?.result?;
        Ok(())
    }

    /// One subscription, as it is here now. [CS-LOG-18]
    async fn do_subscription(&mut self, user: &Text, mailbox: &Text) -> Tried<()> {
        let ours = self.local_meta(user).await?;
        let (mboxname, userid) = (Some(mailbox.clone()), Some(user.clone()));
        let (what, command) = if ours.subscriptions.contains(mailbox) {
            ("APPLY SUB", Apply::Sub { mboxname, userid })
        } else {
            ("APPLY UNSUB", Apply::Unsub { mboxname, userid })
        };
        let sent = self.wire.send(what, mailbox, &Command::Apply(command));
        self.wire.answer(sent).await?.result?;
        Ok(())
    }
}

fn all_of(reasons: &[String]) -> Tried<()> {
    summary(reasons).map_or(Ok(()), |text| Err(Trouble::Item(text)))
}
