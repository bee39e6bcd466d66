//! Which actions a transaction's changes are, in the words of the log. [CS-LOG-35]

use std::collections::{BTreeMap, BTreeSet};

use engine::name::{Scope, inbox_of, owner};
use engine::ticket::{Change, Reply, Request};
use protocol::Text;
use protocol::synclog::{Action, Unprintable};

use crate::known::Known;

/// The actions of one transaction, each once, in the order in which they came to be. For those who keep their log elsewhere
/// than in files; [`crate::LoggingSession`] does it all.
#[derive(Debug, Default)]
pub struct Actions {
    list: Vec<Action>,
    known: BTreeSet<Action>,
    /// How many there were at the savepoint.
    mark: usize,
    /// Names of mailboxes within the transaction; `None` for one that did not exist.
    names: BTreeMap<Text, Option<Text>>,
    /// What else there is within the transaction.
    held: Known,
}

impl Actions {
    /// Whether nothing is to be logged.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The lines of the log. A name that no line can hold is logged as what holds it.
    ///
    /// # Errors
    /// When a line can hold neither.
    pub fn lines(&self) -> Result<Vec<u8>, Unprintable> {
        let mut lines = Vec::new();
        for action in &self.list {
            match (action.print(&mut lines), larger(action)) {
                (Err(_), Some(larger)) => larger.print(&mut lines)?,
                (printed, _) => printed?,
            }
        }
        Ok(lines)
    }

    /// Marks what there is by now.
    pub fn savepoint(&mut self) {
        self.mark = self.list.len();
    }

    /// Forgets what came behind the mark.
    pub fn rollback(&mut self) {
        for action in self.list.drain(self.mark..) {
            self.known.remove(&action);
        }
        self.names.clear();
        self.held = Known::default();
    }

    /// A mailbox is known to have this name.
    pub fn learn(&mut self, uniqueid: Text, name: Option<Text>) {
        self.names.insert(uniqueid, name);
    }

    /// Mailboxes whose name before the changes has to be asked for.
    pub fn unknown(&self, changes: &[Change]) -> Vec<Text> {
        let ids = changes.iter().filter_map(|change| match change {
            Change::PutMailbox(mailbox) => Some(&mailbox.uniqueid),
            Change::RemoveMailbox { uniqueid, .. }
            | Change::ClearRecords { uniqueid }
            | Change::PutRecords { uniqueid, .. } => Some(uniqueid),
            _ => None,
        });
        let ids: BTreeSet<&Text> = ids.filter(|id| !self.names.contains_key(*id)).collect();
        ids.into_iter().cloned().collect()
    }

    /// What has to be asked for, and told by [`Actions::know`], before these changes are made.
    pub fn wanted(&self, scope: &Scope, changes: &[Change]) -> Vec<Request> {
        let makes_inbox = changes.iter().any(|change| self.makes_inbox(scope, change));
        self.held.wanted(scope, changes, makes_inbox)
    }

    /// Whether the user's INBOX was not there before.
    fn makes_inbox(&self, scope: &Scope, change: &Change) -> bool {
        let (Scope::User(user), Change::PutMailbox(mailbox)) = (scope, change) else {
            return false;
        };
        let before = self.names.get(&mailbox.uniqueid).and_then(Option::as_ref);
        before != Some(&mailbox.name) && mailbox.name == inbox_of(user)
    }

    /// Takes an answer to what was wanted.
    pub fn know(&mut self, reply: Reply) {
        self.held.learn(reply);
    }

    /// Takes a change in, before it is made. What is so already is not logged. [CS-LOG-39]
    pub fn add(&mut self, scope: &Scope, change: &Change) {
        let user = match scope {
            Scope::User(user) => user.clone(),
            Scope::Shared => Text::EMPTY,
        };
        if !self.held.changes(change) {
            return;
        }
        match change {
            Change::PutMailbox(mailbox) => {
                let makes_inbox = self.makes_inbox(scope, change);
                let before = self.names.get(&mailbox.uniqueid).cloned().flatten();
                self.moved(before, &mailbox.name);
                self.learn(mailbox.uniqueid.clone(), Some(mailbox.name.clone()));
                // What was told of the user before passed by whoever goes by the INBOX. [CS-LOG-42]
                if makes_inbox && self.held.has_meta() {
                    self.push(Action::Meta(user));
                }
            }
            Change::ClearRecords { uniqueid } | Change::PutRecords { uniqueid, .. } => {
                if let Some(name) = self.names.get(uniqueid).cloned().flatten() {
                    self.push(Action::Mailbox(name));
                }
            }
            Change::RemoveMailbox { uniqueid, .. } => {
                if let Some(name) = self.names.insert(uniqueid.clone(), None).flatten() {
                    self.push(Action::Unmailbox(name));
                }
            }
            Change::PutSeen(state) => self.push(Action::Seen {
                user,
                uniqueid: state.uniqueid.clone(),
            }),
            Change::Subscribe { mailbox } | Change::Unsubscribe { mailbox } => {
                self.push(Action::Subscription {
                    user,
                    mailbox: mailbox.clone(),
                })
            }
            Change::PutQuota(limits) => self.push(Action::Quota(limits.root.clone())),
            Change::RemoveQuota { root } => self.push(Action::Quota(root.clone())),
            Change::PutScript(_) | Change::RemoveScript { .. } | Change::ActivateScript { .. } => {
                self.push(Action::Meta(user));
            }
            Change::PutServerAnnotation(_) | Change::RemoveServerAnnotation { .. } => {
                self.push(Action::Annotation(Text::EMPTY));
            }
            Change::RemoveUser { .. } => self.push(Action::Unuser(user)),
        }
    }

    /// A mailbox has this name now. A rename is named as such, and both names again for readers that know no RENAME.
    pub fn moved(&mut self, before: Option<Text>, name: &Text) {
        if let Some(before) = before.filter(|before| before != name) {
            self.push(Action::Rename {
                from: before.clone(),
                to: name.clone(),
            });
            self.push(Action::Mailbox(before));
        }
        self.push(Action::Mailbox(name.clone()));
    }

    fn push(&mut self, action: Action) {
        if self.known.insert(action.clone()) {
            self.list.push(action);
        }
    }
}

/// What takes the action in and names no more than a user.
fn larger(action: &Action) -> Option<Action> {
    match action {
        Action::Seen { user, .. } | Action::Subscription { user, .. } => Some(Action::Meta(user.clone())),
        Action::Mailbox(name) | Action::Quota(name) | Action::Rename { to: name, .. } => {
            owner(name).map(Action::User)
        }
        _ => None,
    }
}
