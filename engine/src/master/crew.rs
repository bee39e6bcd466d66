//! Items that are worked on side by side within the one future of a master, so that the time of a run follows what is
//! sent and not the number of items. [CS-CONN-9]
//!
//! Members are polled in the order in which they began, again and again until none of them can go on: what one does may
//! be what another waits for.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Ending;
use super::run::{Run, Tried, Trouble};
use super::task::FailureKind;
use crate::name::Scope;

/// A piece of work on one scope, with the run it is done in.
pub(super) type Labour = Pin<Box<dyn Future<Output = (Tried<()>, FailureKind)> + Send>>;

/// What to begin next.
pub(super) enum Begin<K> {
    /// This; scopes that are busy are never asked for again before they are free.
    Item(K, Scope, Labour),
    /// Nothing now.
    Later,
    /// Nothing more.
    End,
}

struct Member<K> {
    key: K,
    scope: Scope,
    labour: Labour,
}

/// What a crew gets its items from, and tells what came of them.
pub(super) trait Foreman {
    /// Names an item.
    type Key: Clone;

    /// The next item whose scope is not busy; `run` makes runs for items.
    fn begin(&mut self, run: &mut Run, busy: &BTreeSet<Scope>) -> Begin<Self::Key>;

    /// What came of an item.
    fn done(&mut self, run: &Run, key: Self::Key, outcome: Result<(), (FailureKind, String)>);

    /// Nothing is under way and nothing to begin: called before every wait.
    ///
    /// # Errors
    /// When the connection is of no use any more.
    fn idle(&mut self, run: &mut Run) -> Result<(), Ending> {
        let _ = run;
        Ok(())
    }
}

impl Run {
    /// Works on all that the foreman has, as much at once as the configuration allows.
    pub(super) async fn work_off(&mut self, foreman: &mut (impl Foreman + Send)) -> Result<(), Ending> {
        self.wire.set_crew(true);
        let result = self.crew(foreman).await;
        self.wire.set_crew(false);
        result
    }

    async fn crew<F: Foreman + Send>(&mut self, foreman: &mut F) -> Result<(), Ending> {
        let mut members: Vec<Member<F::Key>> = Vec::new();
        let mut busy = BTreeSet::new();
        let mut stopped = false;
        std::future::poll_fn(|context| {
            loop {
                stopped |= self.port.is_shutdown();
                let mut is_over = stopped;
                let most = self.config.items_at_once.max(1);
                while !stopped && members.len() < most && !self.heavy.is_wanted() {
                    match foreman.begin(self, &busy) {
                        Begin::Item(key, scope, labour) => {
                            busy.insert(scope.clone());
                            members.push(Member { key, scope, labour });
                        }
                        Begin::Later => break,
                        Begin::End => {
                            is_over = true;
                            break;
                        }
                    }
                }
                if members.is_empty() {
                    return match (is_over, stopped) {
                        (_, true) => Poll::Ready(Err(Ending::Stopped)),
                        (true, false) => Poll::Ready(Ok(())),
                        (false, false) => match foreman.idle(self) {
                            Ok(()) => Poll::Pending,
                            Err(ending) => Poll::Ready(Err(ending)),
                        },
                    };
                }
                self.heavy.set_under_way(members.len());
                let before = self.port.moves();
                let mut ended = Vec::new();
                for (at, member) in members.iter_mut().enumerate() {
                    if let Poll::Ready(outcome) = poll_member(member, context) {
                        ended.push((at, outcome));
                    }
                }
                let some_ended = !ended.is_empty();
                for (at, (outcome, kind)) in ended.into_iter().rev() {
                    let member = members.remove(at);
                    busy.remove(&member.scope);
                    match outcome {
                        Ok(()) => foreman.done(self, member.key, Ok(())),
                        Err(Trouble::Item(reason)) => foreman.done(self, member.key, Err((kind, reason))),
                        // The others come to their next stop between two commands by themselves.
                        Err(Trouble::Halt(Ending::Stopped)) => stopped = true,
                        Err(Trouble::Halt(ending)) => return Poll::Ready(Err(ending)),
                    }
                }
                if !some_ended && self.port.moves() == before {
                    self.wire.crew_waits();
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

fn poll_member<K>(member: &mut Member<K>, context: &mut Context<'_>) -> Poll<(Tried<()>, FailureKind)> {
    member.labour.as_mut().poll(context)
}
