//! The kinds of runs: users, mailboxes, everything. [CS-MASTER-53]

use std::collections::{BTreeSet, VecDeque};

use protocol::Text;

use super::crew::{Begin, Foreman, Labour};
use super::mailboxes::by_scope;
use super::run::{Run, Tried, Trouble};
use super::task::FailureKind;
use super::{Ending, Job};
use crate::name::Scope;

/// A part of a job, within one scope.
enum Item {
    User(Text),
    Group(Scope, Vec<Text>),
    Meta(Text),
    Shared,
}

impl Item {
    fn scope(&self) -> Scope {
        match self {
            Item::User(user) | Item::Meta(user) => Scope::User(user.clone()),
            Item::Group(scope, _) => scope.clone(),
            Item::Shared => Scope::Shared,
        }
    }

    fn label(&self) -> String {
        match self {
            Item::User(user) | Item::Meta(user) => user.to_string(),
            Item::Group(_, names) => names.first().map(Text::to_string).unwrap_or_default(),
            Item::Shared => "shared mailboxes".to_owned(),
        }
    }

    fn labour(self, mut run: Run) -> Labour {
        match self {
            Item::User(user) => {
                let asked = run.ask_user(&user);
                Box::pin(async move { (run.do_user(&user, asked).await, run.blame.kind()) })
            }
            Item::Group(scope, names) => {
                Box::pin(async move { (run.do_group(scope, names).await, run.blame.kind()) })
            }
            Item::Meta(user) => Box::pin(async move { (run.do_meta(&user).await, run.blame.kind()) }),
            Item::Shared => Box::pin(async move { (run.do_shared().await, run.blame.kind()) }),
        }
    }
}

/// A job's items, in their order.
struct Items {
    left: VecDeque<Item>,
}

impl Foreman for Items {
    type Key = String;

    fn begin(&mut self, run: &mut Run, busy: &BTreeSet<Scope>) -> Begin<String> {
        let Some(next) = self.left.front() else {
            return Begin::End;
        };
        // One user given twice; or much is held for others, who will be done.
        if busy.contains(&next.scope()) || !run.ahead.may_ask() {
            return Begin::Later;
        }
        let Some(item) = self.left.pop_front() else {
            return Begin::End;
        };
        let (label, scope) = (item.label(), item.scope());
        run.start(label.clone());
        let of_item = run.for_item();
        Begin::Item(label, scope, item.labour(of_item))
    }

    fn done(&mut self, run: &Run, label: String, outcome: Result<(), (FailureKind, String)>) {
        if let Err((_, reason)) = outcome {
            run.fail(label, reason);
        }
        run.count(|progress| progress.items_done += 1);
    }
}

impl Run {
    /// Does all of the job; failures of items are counted, not answered.
    pub(super) async fn do_job(&mut self) -> Result<(), Ending> {
        let items: VecDeque<Item> = match self.config.job.clone() {
            Job::Users(users) => users.into_iter().map(Item::User).collect(),
            Job::Mailboxes(names) => by_scope(names)
                .into_iter()
                .map(|(scope, names)| Item::Group(scope, names))
                .collect(),
            Job::Meta(users) => users.into_iter().map(Item::Meta).collect(),
            Job::Compare(scopes) => return self.compare_scopes(scopes).await,
            Job::Tasks => return self.do_tasks().await,
            Job::AllUsers { prefix } => {
                let with_shared = prefix.is_empty();
                let users = self
                    .local_users(prefix)
                    .await
                    .map_err(|error| Ending::Storage(error.to_string()))?;
                let shared = with_shared.then_some(Item::Shared);
                users.into_iter().map(Item::User).chain(shared).collect()
            }
        };
        self.count(|progress| progress.items_total = items.len() as u64);
        self.work_off(&mut Items { left: items }).await
    }

    pub(super) fn start(&self, label: String) {
        self.count(|progress| progress.current = label);
    }

    pub(super) fn finish(&self, label: String, result: Tried<()>) -> Result<(), Ending> {
        match result {
            Ok(()) => {}
            Err(Trouble::Item(reason)) => self.fail(label, reason),
            Err(Trouble::Halt(ending)) => return Err(ending),
        }
        self.count(|progress| progress.items_done += 1);
        Ok(())
    }
}
