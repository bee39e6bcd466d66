//! A store session that logs what is committed through it. [CS-LOG-33] [CS-LOG-35]

use engine::name::Scope;
use engine::ticket::{Reply, Request, Resting, Select, Session, StoreError};
use protocol::Text;

use crate::changes::Actions;
use crate::intents::Intents;
use crate::{LogError, Writer};

/// Logs what each committed transaction changed to all channels of a [`Writer`]. What is to be logged is made durable
/// before the commit and logged after it, so that a process that dies in between loses nothing: [`crate::recover`]
/// logs what it left.
pub struct LoggingSession<S> {
    inner: S,
    writer: Option<Writer>,
    intents: Option<Intents>,
    open: Option<(Scope, Actions)>,
}

impl<S: Session> LoggingSession<S> {
    /// Over a session; without a writer it only passes on.
    pub fn new(inner: S, writer: Option<Writer>) -> Self {
        LoggingSession {
            inner,
            writer,
            intents: None,
            open: None,
        }
    }

    /// Names that mailboxes have before they are changed.
    fn names_of(&mut self, ids: Vec<Text>) -> Result<Vec<(Text, Option<Text>)>, StoreError> {
        let reply = self
            .inner
            .execute(Request::Mailboxes(Select::Uniqueids(ids.clone())))?;
        let found = match reply {
            Reply::Mailboxes(found) => found,
            _ => Vec::new(),
        };
        let name = |id: &Text| found.iter().find(|m| m.uniqueid == *id).map(|m| m.name.clone());
        Ok(ids.iter().map(|id| (id.clone(), name(id))).collect())
    }

    /// Does `request` between intending and logging.
    fn committed(&mut self, actions: &Actions, request: Request) -> Result<Reply, StoreError> {
        let Some(writer) = self.writer.as_ref().filter(|_| !actions.is_empty()) else {
            return self.inner.execute(request);
        };
        let lines = actions.lines().map_err(|error| refused(&error.into()))?;
        if self.intents.is_none() {
            self.intents = Some(Intents::create(writer).map_err(|error| refused(&error))?);
        }
        if let Some(intents) = &mut self.intents {
            intents.intend(&lines).map_err(|error| refused(&error))?;
        }
        let outcome = self.inner.execute(request);
        // Also of a commit that failed: nobody knows how far it came, and syncing once more does no harm.
        if let Some(intents) = &mut self.intents {
            intents.log(&lines);
        }
        outcome
    }

    fn logged(&mut self, request: Request) -> Result<Reply, StoreError> {
        match &request {
            Request::Begin { scope } => self.open = Some((scope.clone(), Actions::default())),
            Request::Savepoint => {
                if let Some((_, actions)) = &mut self.open {
                    actions.savepoint();
                }
            }
            Request::RollbackToSavepoint => {
                if let Some((_, actions)) = &mut self.open {
                    actions.rollback();
                }
            }
            Request::Write(changes) => {
                let unknown = self.open.as_ref().map(|(_, actions)| actions.unknown(changes));
                let names = match unknown.filter(|unknown| !unknown.is_empty()) {
                    Some(unknown) => self.names_of(unknown)?,
                    None => Vec::new(),
                };
                if let Some((_, actions)) = &mut self.open {
                    names.into_iter().for_each(|(id, name)| actions.learn(id, name));
                }
                let wanted = self
                    .open
                    .as_ref()
                    .map(|(scope, actions)| actions.wanted(scope, changes));
                for request in wanted.unwrap_or_default() {
                    let reply = self.inner.execute(request)?;
                    if let Some((_, actions)) = &mut self.open {
                        actions.know(reply);
                    }
                }
                if let Some((scope, actions)) = &mut self.open {
                    changes.iter().for_each(|change| actions.add(scope, change));
                }
            }
            Request::Commit => {
                let (_, actions) = self.open.take().unwrap_or((Scope::Shared, Actions::default()));
                return self.committed(&actions, request);
            }
            Request::Rollback => self.open = None,
            Request::MoveMailbox { from, to } => {
                let mut actions = Actions::default();
                let before = self.names_of(vec![from.uniqueid.clone()])?.pop();
                actions.moved(before.and_then(|(_, name)| name), &to.name);
                return self.committed(&actions, request);
            }
            _ => {}
        }
        let reply = self.inner.execute(request)?;
        if let (Some((_, actions)), Reply::Mailboxes(found)) = (&mut self.open, &reply) {
            for mailbox in found {
                actions.learn(mailbox.uniqueid.clone(), Some(mailbox.name.clone()));
            }
        }
        Ok(reply)
    }
}

impl<S: Session> Session for LoggingSession<S> {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        if self.writer.is_none() {
            return self.inner.execute(request);
        }
        self.logged(request)
    }

    /// The file of intents goes when all that was intended is in the logs for good; one that cannot be closed stays.
    fn rest(&mut self) -> Resting {
        if let Some(mut intents) = self.intents.take()
            && let Err(error) = intents.close()
        {
            tracing::warn!(%error, "changes are not in the logs yet; it is tried again");
            self.intents = Some(intents);
        }
        self.inner.rest()
    }
}

/// A change that cannot be logged is not made.
fn refused(error: &LogError) -> StoreError {
    let path = match error {
        LogError::Io { path, .. } | LogError::Rotating { path } => path.display().to_string(),
        _ => "the log of changes".to_owned(),
    };
    StoreError::Io {
        path,
        detail: error.to_string(),
    }
}
