//! What a scope holds beside its mailboxes, as far as a transaction has to know it: a change that changes nothing is not
//! logged, or two servers that replicate to each other would tell each other of it for ever. [CS-LOG-39]

use engine::model::{QuotaLimits, ServerAnnotation, UserMeta};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request};

/// What is known within a transaction, its own changes included.
#[derive(Debug, Default)]
pub(crate) struct Known {
    meta: Option<UserMeta>,
    quotas: Option<Vec<QuotaLimits>>,
    annotations: Option<Vec<ServerAnnotation>>,
}

impl Known {
    /// What has to be asked for before these changes are made, one of which may make the user's INBOX.
    pub(crate) fn wanted(&self, scope: &Scope, changes: &[Change], makes_inbox: bool) -> Vec<Request> {
        let mut wanted = Vec::new();
        if let (None, Scope::User(user)) = (&self.meta, scope)
            && (makes_inbox || changes.iter().any(is_of_user))
        {
            wanted.push(Request::UserMeta { user: user.clone() });
        }
        if self.quotas.is_none() && changes.iter().any(is_of_quota) {
            wanted.push(Request::Quotas { scope: scope.clone() });
        }
        if self.annotations.is_none() && changes.iter().any(is_of_server) {
            wanted.push(Request::ServerAnnotations);
        }
        wanted
    }

    /// Takes an answer.
    pub(crate) fn learn(&mut self, reply: Reply) {
        match reply {
            Reply::UserMeta(meta) => self.meta = Some(meta),
            Reply::Quotas(quotas) => self.quotas = Some(quotas),
            Reply::ServerAnnotations(annotations) => self.annotations = Some(annotations),
            _ => {}
        }
    }

    /// Whether the user is known to have something beside mailboxes.
    pub(crate) fn has_meta(&self) -> bool {
        self.meta
            .as_ref()
            .is_some_and(|meta| *meta != UserMeta::default())
    }

    /// Takes a change in; answers whether it changes something, which it does when nothing is known.
    pub(crate) fn changes(&mut self, change: &Change) -> bool {
        let changed = match change {
            Change::PutQuota(limits) => self.quotas.as_mut().map(|quotas| {
                let same = |q: &QuotaLimits| q.root == limits.root;
                put(quotas, limits.clone(), same)
            }),
            Change::RemoveQuota { root } => {
                let quotas = self.quotas.as_mut();
                quotas.map(|quotas| remove(quotas, |quota| quota.root == *root))
            }
            Change::PutServerAnnotation(annotation) => self.annotations.as_mut().map(|annotations| {
                let same =
                    |a: &ServerAnnotation| a.entry == annotation.entry && a.userid == annotation.userid;
                put(annotations, annotation.clone(), same)
            }),
            Change::RemoveServerAnnotation { entry, userid } => {
                let annotations = self.annotations.as_mut();
                annotations.map(|all| remove(all, |a| a.entry == *entry && a.userid == *userid))
            }
            Change::RemoveUser { .. } => {
                self.meta = Some(UserMeta::default());
                self.quotas = Some(Vec::new());
                Some(true)
            }
            _ => self.meta.as_mut().map(|meta| changes_user(meta, change)),
        };
        changed.unwrap_or(true)
    }
}

/// The same for what is a user's own.
fn changes_user(meta: &mut UserMeta, change: &Change) -> bool {
    match change {
        Change::PutSeen(state) => put(&mut meta.seen, state.clone(), |there| {
            there.uniqueid == state.uniqueid
        }),
        Change::Subscribe { mailbox } => {
            put(&mut meta.subscriptions, mailbox.clone(), |there| there == mailbox)
        }
        Change::Unsubscribe { mailbox } => remove(&mut meta.subscriptions, |there| there == mailbox),
        Change::PutScript(script) => put(&mut meta.scripts, script.clone(), |there| {
            there.name == script.name
        }),
        Change::RemoveScript { name } => {
            if meta.active_script.as_ref() == Some(name) {
                meta.active_script = None;
            }
            remove(&mut meta.scripts, |there| there.name == *name)
        }
        Change::ActivateScript { name } => {
            let changed = meta.active_script != *name;
            meta.active_script.clone_from(name);
            changed
        }
        _ => true,
    }
}

/// Puts a value in the place of the one that is the same; answers whether anything changed.
fn put<T: PartialEq>(all: &mut Vec<T>, new: T, is_same: impl Fn(&T) -> bool) -> bool {
    match all.iter_mut().find(|there| is_same(there)) {
        Some(there) if *there == new => false,
        Some(there) => {
            *there = new;
            true
        }
        None => {
            all.push(new);
            true
        }
    }
}

fn remove<T>(all: &mut Vec<T>, is_meant: impl Fn(&T) -> bool) -> bool {
    let before = all.len();
    all.retain(|there| !is_meant(there));
    all.len() != before
}

fn is_of_user(change: &Change) -> bool {
    matches!(
        change,
        Change::PutSeen(_)
            | Change::Subscribe { .. }
            | Change::Unsubscribe { .. }
            | Change::PutScript(_)
            | Change::RemoveScript { .. }
            | Change::ActivateScript { .. }
    )
}

fn is_of_quota(change: &Change) -> bool {
    matches!(change, Change::PutQuota(_) | Change::RemoveQuota { .. })
}

fn is_of_server(change: &Change) -> bool {
    matches!(
        change,
        Change::PutServerAnnotation(_) | Change::RemoveServerAnnotation { .. }
    )
}
