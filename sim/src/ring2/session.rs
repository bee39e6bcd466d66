//! A store session that the court looks at.

use engine::name::Scope;
use engine::ticket::{Reply, Request, Resting, Session, StoreError};
use store::memory::MemorySession;

use super::court::Court;
use super::plan::Place;
use super::sabotage::Sabotage;
use crate::world::read::owner_of;

/// A session of a program.
pub struct Watched {
    inner: MemorySession,
    court: Court,
    place: Place,
    scope: Option<Scope>,
}

impl Watched {
    /// A new session of a program on its machine's store.
    pub fn new(court: &Court, place: Place) -> Self {
        court.session(place, 1);
        Watched {
            inner: court.store(court.machine_of(place)).session(),
            court: court.clone(),
            place,
            scope: None,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.court.session(self.place, -1);
    }
}

impl Session for Watched {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        if let Some(error) = self.court.asked(self.place, &request) {
            return Err(error);
        }
        let scopes = match &request {
            Request::Begin { scope } => {
                self.scope = Some(scope.clone());
                Vec::new()
            }
            Request::Commit => self.scope.take().into_iter().collect(),
            Request::MoveMailbox { from, to } => vec![from.scope.clone(), Scope::of(&to.name)],
            Request::Rollback => {
                self.scope = None;
                Vec::new()
            }
            _ => Vec::new(),
        };
        let is_replica = matches!(self.place, Place::Server(_));
        if self.court.is_sabotaged(Sabotage::Panic) && is_replica && !scopes.is_empty() {
            panic!("sabotage");
        }
        if self.court.is_sabotaged(Sabotage::LostCommits) && is_replica && request == Request::Commit {
            return self.inner.execute(Request::Rollback);
        }
        let answer = self.inner.execute(request);
        if answer.is_ok() {
            let host = self.court.machine_of(self.place);
            for scope in &scopes {
                self.court.committed(host, &owner_of(scope), None);
            }
        }
        answer
    }

    fn rest(&mut self) -> Resting {
        self.inner.rest()
    }
}
