//! Any sequence of entries and outcomes against a list of what is owed.

use proptest::prelude::*;

use super::*;
use crate::master::TaskId;
use crate::name::{Scope, owner};

#[derive(Clone, Debug)]
enum Step {
    Add(Action),
    Next,
    Done(usize, Result<(), FailureKind>),
    Lost(usize),
    Pass(u64),
    Release,
}

fn name() -> impl Strategy<Value = Text> {
    let user = prop::sample::select(vec!["user.a", "user.b", "shared"]);
    let rest = prop::sample::select(vec!["", ".x", ".y", ".z"]);
    (user, rest).prop_map(|(user, rest)| Text::from(format!("{user}{rest}")))
}

fn any_action() -> impl Strategy<Value = Action> {
    let user = || prop::sample::select(vec!["a", "b"]).prop_map(Text::from);
    prop_oneof![
        4 => name().prop_map(Action::Mailbox),
        1 => (name(), name()).prop_map(|(one, other)| Action::DoubleMailbox(one, other)),
        2 => (name(), name()).prop_map(|(from, to)| Action::Rename { from, to }),
        1 => name().prop_map(Action::Unmailbox),
        1 => name().prop_map(Action::Quota),
        1 => name().prop_map(Action::Annotation),
        2 => (user(), name()).prop_map(|(user, uniqueid)| Action::Seen { user, uniqueid }),
        2 => (user(), name()).prop_map(|(user, mailbox)| Action::Subscription { user, mailbox }),
        1 => user().prop_map(Action::Meta),
        1 => user().prop_map(Action::User),
        1 => user().prop_map(Action::Unuser),
    ]
}

/// One that takes no other one in and touches one mailbox.
fn plain_action() -> impl Strategy<Value = Action> {
    let user = || prop::sample::select(vec!["a", "b"]).prop_map(Text::from);
    prop_oneof![
        name().prop_map(Action::Mailbox),
        name().prop_map(Action::Unmailbox),
        name().prop_map(Action::Quota),
        name().prop_map(Action::Annotation),
        (user(), name()).prop_map(|(user, uniqueid)| Action::Seen { user, uniqueid }),
        (user(), name()).prop_map(|(user, mailbox)| Action::Subscription { user, mailbox }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Ok(())),
        1 => Just(Err(FailureKind::Locked)),
        2 => Just(Err(FailureKind::Refused)),
        1 => Just(Err(FailureKind::Local)),
    ];
    prop_oneof![
        4 => any_action().prop_map(Step::Add),
        4 => Just(Step::Next),
        4 => (0..4usize, outcome).prop_map(|(which, outcome)| Step::Done(which, outcome)),
        1 => (0..4usize).prop_map(Step::Lost),
        1 => (0..400u64).prop_map(Step::Pass),
        1 => Just(Step::Release),
    ]
}

/// What has been logged and not been done since.
#[derive(Clone, Debug)]
struct Owed {
    action: Action,
    at: usize,
}

/// The scopes that a task must have for itself.
fn scopes(work: &Work) -> Vec<Scope> {
    let mut scopes = match work {
        Work::Mailboxes(names) => names.iter().map(|name| Scope::of(name)).collect(),
        Work::Unmailbox(name) | Work::Quota(name) => vec![Scope::of(name)],
        Work::Annotation(name) => vec![owner(name).map_or(Scope::Shared, Scope::User)],
        Work::Seen { user, .. }
        | Work::Subscription { user, .. }
        | Work::Meta(user)
        | Work::User(user)
        | Work::Unuser(user) => vec![Scope::User(user.clone())],
        Work::Shared => vec![Scope::Shared],
    };
    scopes.sort();
    scopes.dedup();
    scopes
}

/// Whether the work, done now, does what the action asks for.
fn does(work: &Work, action: &Action) -> bool {
    let of = |user: &Text, parts: &[&Text]| parts.contains(&user);
    match (work, action) {
        (Work::Mailboxes(names), Action::Mailbox(name)) => names.contains(name),
        (Work::Mailboxes(names), Action::Rename { from, to }) => names.contains(from) && names.contains(to),
        (Work::Unmailbox(one), Action::Unmailbox(other)) => one == other,
        (Work::Quota(one), Action::Quota(other)) => one == other,
        (Work::Annotation(one), Action::Annotation(other)) => one == other,
        (
            Work::Seen { user, uniqueid },
            Action::Seen {
                user: of,
                uniqueid: id,
            },
        ) => user == of && uniqueid == id,
        (
            Work::Subscription { user, mailbox },
            Action::Subscription {
                user: of,
                mailbox: name,
            },
        ) => user == of && mailbox == name,
        (
            Work::Meta(one) | Work::User(one) | Work::Unuser(one),
            Action::Seen { user, .. } | Action::Subscription { user, .. },
        ) => of(one, &[user]),
        (Work::Meta(one) | Work::User(one) | Work::Unuser(one), Action::Meta(user)) => one == user,
        (Work::User(one) | Work::Unuser(one), Action::User(user)) => one == user,
        (Work::Unuser(one), Action::Unuser(user)) => one == user,
        _ => false,
    }
}

/// Whether an entry that is still there stands for the action.
fn stands_for(kept: &Action, action: &Action) -> bool {
    kept == action || does(&super::super::item::plain_work(kept), action)
}

struct Run {
    queue: Queue,
    now: u64,
    clock: usize,
    owed: Vec<Owed>,
    flights: Vec<(TaskId, Work, usize)>,
}

impl Run {
    fn new(comeback_first_ms: u64) -> Self {
        let config = QueueConfig {
            mailboxes_max: 3,
            meta_from: 3,
            retry_first_ms: 10,
            retry_max_ms: 100,
            locked_first_ms: 5,
            locked_max_ms: 20,
            attempts_max: 2,
            quarantine_after_ms: 15,
            quarantine_retry_ms: 300,
            comeback_first_ms,
            comeback_max_ms: 60,
        };
        Run {
            queue: Queue::new(config),
            now: 0,
            clock: 0,
            owed: Vec::new(),
            flights: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        self.clock += 1;
        match step {
            Step::Add(action) => {
                let parts = match action.clone() {
                    Action::DoubleMailbox(one, other) => vec![Action::Mailbox(one), Action::Mailbox(other)],
                    action => vec![action],
                };
                let at = self.clock;
                self.owed
                    .extend(parts.into_iter().map(|action| Owed { action, at }));
                let logged_at_ms = self.now;
                self.queue.add(self.now, [Entry { action, logged_at_ms }]);
            }
            Step::Next => {
                self.begin();
            }
            Step::Done(which, outcome) if !self.flights.is_empty() => {
                let (id, work, begun) = self.flights.remove(which % self.flights.len());
                if outcome.is_ok() {
                    self.owed
                        .retain(|owed| owed.at > begun || !does(&work, &owed.action));
                }
                let outcome = outcome.or_else(failed);
                self.queue.done(self.now, id, outcome);
            }
            Step::Lost(which) if !self.flights.is_empty() => {
                let (id, ..) = self.flights.remove(which % self.flights.len());
                self.queue.lost(self.now, id);
            }
            Step::Pass(ms) => self.now += ms,
            Step::Release => {
                self.queue.release(self.now, None);
            }
            Step::Done(..) | Step::Lost(_) => {}
        }
        self.check();
    }

    fn begin(&mut self) -> bool {
        let Some(task) = self.queue.next(self.now) else {
            return false;
        };
        let taken: Vec<Scope> = self
            .flights
            .iter()
            .flat_map(|(_, work, _)| scopes(work))
            .collect();
        for scope in scopes(&task.work) {
            assert!(
                !taken.contains(&scope),
                "{:?} while {:?} is busy",
                task.work,
                scope
            );
        }
        assert!(self.flights.iter().all(|(id, ..)| *id != task.id));
        self.flights.push((task.id, task.work, self.clock));
        true
    }

    /// Everything owed is still there, or in something that stands for it; and the counts are right.
    fn check(&self) {
        let pending: Vec<&Action> = self.queue.pending().collect();
        let quarantined: Vec<&Action> = self.queue.quarantined().map(|entry| &entry.action).collect();
        for owed in &self.owed {
            let mut kept = pending.iter().chain(&quarantined);
            assert!(kept.any(|kept| stands_for(kept, &owed.action)), "lost: {owed:?}");
        }
        let state = self.queue.state();
        assert_eq!(state.tasks, self.flights.len());
        assert_eq!(self.queue.pending_len(), pending.len());
        assert_eq!(state.queued + state.deferred + state.in_flight, pending.len());
        assert_eq!(state.quarantined, quarantined.len());
        assert_eq!(state.oldest_logged_at_ms.is_some(), !pending.is_empty());
    }

    /// With everything succeeding from now on, everything gets done.
    fn drain(&mut self) {
        for _ in 0..10_000 {
            while self.begin() {}
            if self.flights.is_empty() {
                match self.queue.wake_at() {
                    Some(wake) => self.now = self.now.max(wake),
                    None => break,
                }
            } else {
                self.step(Step::Done(0, Ok(())));
            }
        }
        assert!(self.owed.is_empty(), "never done: {:?}", self.owed);
        assert_eq!(self.queue.state(), Default::default());
        assert!(self.queue.index.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Nothing is lost, no two tasks share a scope, and in the end all is done. [CS-LOG-29] [CS-LOG-30] [CS-LOG-31]
    #[test]
    fn any_sequence_of_outcomes(steps in prop::collection::vec(any_step(), 1..120)) {
        let mut run = Run::new(8);
        for step in steps {
            run.step(step);
        }
        run.drain();
    }

    /// Without failures, each task does the oldest entry of its scope that is not done. [CS-LOG-29]
    #[test]
    fn the_oldest_of_a_scope_comes_first(
        steps in prop::collection::vec(
            prop_oneof![
                plain_action().prop_map(Step::Add),
                Just(Step::Next),
                (0..4usize).prop_map(|which| Step::Done(which, Ok(()))),
            ], 1..80),
    ) {
        let mut run = Run::new(0);
        for step in steps {
            let before = run.flights.len();
            run.step(step);
            if let (true, Some((_, work, _))) = (run.flights.len() > before, run.flights.last()) {
                let home = scopes(work);
                let under_way = |owed: &&Owed| run.flights[..before].iter().any(|(_, work, begun)| owed.at <= *begun && does(work, &owed.action));
                let oldest = run.owed.iter().find(|owed| {
                    home.contains(&super::super::item::scope_of(&owed.action)) && !under_way(owed)
                });
                let oldest = oldest.expect("a task is about something");
                prop_assert!(does(work, &oldest.action), "{work:?} before {oldest:?}");
            }
        }
        run.drain();
    }
}
