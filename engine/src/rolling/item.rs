//! An entry on its way: whose it is, what work it asks for, and what it becomes when that fails. [CS-LOG-21]

use std::sync::Arc;

use protocol::synclog::Action;

use crate::master::Work;
use crate::name::{Scope, owner};

/// An entry of the queue. Kept small: there may be a million.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) action: Arc<Action>,
    pub(super) logged_at_ms: u64,
    /// What happened to it; almost always nothing.
    pub(super) trouble: Option<Box<Trouble>>,
}

/// What happened to an entry that was not done at the first try.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) stage: Stage,
    /// Most entries in one task with it.
    pub(super) group_max: usize,
    /// Failed tries.
    pub(super) attempts: u32,
    /// When the first of them failed.
    pub(super) first_failed_ms: u64,
    /// Whether it is a try of a quarantined entry.
    pub(super) probe: bool,
}

/// How an entry is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// As what it is.
    Plain,
    /// As META of its user.
    Meta,
    /// As USER of its owner.
    User,
    /// As what it is, behind a META or USER that succeeded: that alone is no proof that it was in there.
    Proof,
}

/// What can be done together in one task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Mailboxes by name.
    Names,
    /// Seen states and subscriptions.
    Marks,
    /// META of the scope's user.
    Meta,
    /// USER of the scope's user.
    User,
    /// Two scopes at once.
    Across,
    /// Anything that is done alone.
    Alone,
}

impl Default for Trouble {
    fn default() -> Self {
        Trouble {
            stage: Stage::Plain,
            group_max: usize::MAX,
            attempts: 0,
            first_failed_ms: 0,
            probe: false,
        }
    }
}

impl Item {
    pub(super) fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    pub(super) fn stage(&self) -> Stage {
        self.trouble
            .as_ref()
            .map_or(Stage::Plain, |trouble| trouble.stage)
    }

    pub(super) fn group_max(&self) -> usize {
        self.trouble
            .as_ref()
            .map_or(usize::MAX, |trouble| trouble.group_max)
    }

    pub(super) fn is_probe(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.probe)
    }

    /// Whether it is tried as something larger than it is.
    pub(super) fn is_promoted(&self) -> bool {
        matches!(self.stage(), Stage::Meta | Stage::User)
    }

    pub(super) fn kind(&self) -> Kind {
        match (self.stage(), &*self.action) {
            (Stage::User, _) | (_, Action::User(_)) => Kind::User,
            (Stage::Meta, _) | (_, Action::Meta(_)) => Kind::Meta,
            (_, Action::Seen { .. } | Action::Subscription { .. }) => Kind::Marks,
            (_, Action::Mailbox(_)) => Kind::Names,
            (_, action @ (Action::Rename { .. } | Action::DoubleMailbox(..))) => match other_scope(action) {
                None => Kind::Names,
                Some(_) => Kind::Across,
            },
            _ => Kind::Alone,
        }
    }

    /// How it is tried next within the same run, when it failed as it was tried now. Nothing of shared mailboxes is
    /// promoted, for that would be all of them.
    pub(super) fn promotion(&self) -> Option<Stage> {
        let personal = matches!(scope_of(&self.action), Scope::User(_));
        match (&*self.action, self.stage()) {
            _ if !personal => None,
            (Action::Seen { .. } | Action::Subscription { .. }, Stage::Plain) => Some(Stage::Meta),
            (Action::Seen { .. } | Action::Subscription { .. }, Stage::Meta) => Some(Stage::User),
            (
                Action::Meta(_) | Action::Mailbox(_) | Action::Quota(_) | Action::Annotation(_),
                Stage::Plain,
            ) => Some(Stage::User),
            (action @ Action::Rename { .. }, Stage::Plain) if other_scope(action).is_none() => {
                Some(Stage::User)
            }
            _ => None,
        }
    }
}

/// Whose data an action is about; of two names the first counts.
pub(super) fn scope_of(action: &Action) -> Scope {
    match action {
        Action::Mailbox(name)
        | Action::DoubleMailbox(name, _)
        | Action::Rename { from: name, .. }
        | Action::Unmailbox(name)
        | Action::Quota(name) => Scope::of(name),
        Action::Annotation(name) => owner(name).map_or(Scope::Shared, Scope::User),
        Action::Seen { user, .. }
        | Action::Subscription { user, .. }
        | Action::Meta(user)
        | Action::User(user)
        | Action::Unuser(user) => Scope::User(user.clone()),
    }
}

/// The second name's scope, when it is another one.
pub(super) fn other_scope(action: &Action) -> Option<Scope> {
    match action {
        Action::Rename { from, to } => Some((from, to)),
        Action::DoubleMailbox(one, other) => Some((one, other)),
        _ => None,
    }
    .map(|(one, other)| (Scope::of(one), Scope::of(other)))
    .and_then(|(one, other)| (one != other).then_some(other))
}

/// The work of an action tried as what it is.
pub(super) fn plain_work(action: &Action) -> Work {
    match action.clone() {
        Action::Mailbox(name) => Work::Mailboxes(vec![name]),
        Action::DoubleMailbox(one, other) => Work::Mailboxes(vec![one, other]),
        Action::Rename { from, to } => Work::Mailboxes(vec![from, to]),
        Action::Unmailbox(name) => Work::Unmailbox(name),
        Action::Quota(root) => Work::Quota(root),
        Action::Annotation(name) => Work::Annotation(name),
        Action::Seen { user, uniqueid } => Work::Seen { user, uniqueid },
        Action::Subscription { user, mailbox } => Work::Subscription { user, mailbox },
        Action::Meta(user) => Work::Meta(user),
        Action::User(user) => Work::User(user),
        Action::Unuser(user) => Work::Unuser(user),
    }
}
