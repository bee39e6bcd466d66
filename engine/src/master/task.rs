//! Work that a running master is given while it is connected, and what came of it. [CS-LOG-20]

use protocol::Text;

/// Names a task; the giver chooses it and gives no number twice on one connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskId(pub u64);

/// One piece of work, always within one scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Work {
    /// Mailboxes of one scope, by name: those that exist here are made equal; former ones are deleted or renamed there
    /// as their identity says.
    Mailboxes(Vec<Text>),
    /// A deleted mailbox, by name.
    Unmailbox(Text),
    /// A quota root.
    Quota(Text),
    /// Annotations of a mailbox; of the server when empty.
    Annotation(Text),
    /// One seen state.
    Seen {
        /// Who read.
        user: Text,
        /// Identity of the mailbox.
        uniqueid: Text,
    },
    /// One subscription, as it is here now.
    Subscription {
        /// Whose.
        user: Text,
        /// Name of the mailbox.
        mailbox: Text,
    },
    /// Seen states, subscriptions and scripts of a user.
    Meta(Text),
    /// All of a user.
    User(Text),
    /// A deleted user.
    Unuser(Text),
    /// The mailboxes of nobody, their quotas and the server's annotations.
    Shared,
}

/// A piece of work with its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// What to do.
    pub work: Work,
}

/// What came of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskResult {
    /// Which.
    pub id: TaskId,
    /// Done, or why not.
    pub outcome: Result<(), TaskFailure>,
}

/// Why a task was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskFailure {
    /// What kind of trouble, which decides how to go on.
    pub kind: FailureKind,
    /// What happened and what to do, for people.
    pub reason: String,
}

/// Kinds of trouble of a task. A lost connection is none: its tasks have no result at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FailureKind {
    /// Somebody else holds it, here or there: try again soon, it is no error. [CS-LOG-23]
    Locked,
    /// The replica refused.
    Refused,
    /// The store here could not do its part.
    Local,
}
