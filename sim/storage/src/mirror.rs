//! A session of the store and one of the model side by side: every answer is compared.

use engine::ticket::{Reply, Request, Session, StoreError};
use sim_vfs::Disk;
use store::memory::{MemorySession, MemoryStore};
use store::sqlite::{SqliteSession, SqliteStore};

use crate::finding::{Finding, Halt, Rule};
use crate::show::apart;

/// A transaction that may or may not have become durable when the disk failed.
pub struct Doubt {
    /// The model if it did; if not it is as it was.
    pub after: MemoryStore,
    /// Set for a move between scopes: it may be half done, and doing it again completes it.
    pub repeat: Option<Request>,
}

/// The two sessions.
pub struct Mirror {
    disk: Disk,
    real: SqliteSession,
    model: MemorySession,
    before: MemoryStore,
    /// What made the session's state: staged messages and the open transaction.
    staged: Vec<Request>,
    open: Vec<Request>,
    /// Left by a commit that failed.
    pub doubt: Option<Doubt>,
    /// Left by an answer that was another's.
    pub finding: Option<Finding>,
    /// Commits acknowledged.
    pub commits: u64,
}

impl Mirror {
    /// Sessions of both.
    pub fn new(disk: &Disk, store: &SqliteStore, model: &MemoryStore) -> Self {
        Mirror {
            disk: disk.clone(),
            real: store.session(),
            model: model.session(),
            before: model.clone(),
            staged: Vec::new(),
            open: Vec::new(),
            doubt: None,
            finding: None,
            commits: 0,
        }
    }

    /// Asks both.
    ///
    /// # Errors
    /// [`Halt::Disk`] when the disk did not do what the store needed.
    pub fn ask(&mut self, request: Request) -> Result<Reply, Halt> {
        let real = self.real.execute(request.clone());
        if let (Err(error), true) = (&real, self.disk.faulted().is_some()) {
            self.doubt = self.in_doubt(&request);
            return Err(Halt::Disk(error.clone()));
        }
        self.remember(&request);
        let model = self.model.execute(request.clone());
        self.forget(&request);
        if real != model {
            let text = format!("{real:?}");
            let apart = apart(&text, &format!("{model:?}"));
            let asked: String = format!("{request:?}").chars().take(200).collect();
            return Err(Finding::new(Rule::Answers, format!("asked {asked}: {apart}")).into());
        }
        real.map_err(Halt::Refused)
    }

    /// Whether the disk failed.
    pub fn is_hit(&self) -> bool {
        self.disk.faulted().is_some()
    }

    /// Drops an open transaction; the disk may fail.
    pub fn undo(&mut self) -> Result<(), Halt> {
        self.ask(Request::Rollback).map(drop)
    }

    fn remember(&mut self, request: &Request) {
        match request {
            Request::Stage(_) | Request::Reserve { .. } => self.staged.push(request.clone()),
            Request::Begin { .. }
            | Request::Savepoint
            | Request::RollbackToSavepoint
            | Request::Write(_)
            | Request::Expire { .. } => self.open.push(request.clone()),
            _ => {}
        }
    }

    fn forget(&mut self, request: &Request) {
        match request {
            Request::ForgetStaged => self.staged.clear(),
            Request::Commit | Request::Rollback => {
                self.commits += u64::from(*request == Request::Commit);
                self.open.clear();
            }
            _ => {}
        }
    }

    /// What the model would be, had the request been done.
    fn in_doubt(&self, request: &Request) -> Option<Doubt> {
        let requests: Vec<&Request> = match request {
            Request::Commit => self.staged.iter().chain(&self.open).chain([request]).collect(),
            Request::MoveMailbox { .. } => vec![request],
            _ => return None,
        };
        let after = self.before.fork();
        let mut session = after.session();
        for request in requests {
            session.execute(request.clone()).ok()?;
        }
        let repeat = matches!(request, Request::MoveMailbox { .. }).then(|| request.clone());
        Some(Doubt { after, repeat })
    }
}

/// For machines, which take errors and not findings: those stay in [`Mirror::finding`].
impl Session for Mirror {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        match self.ask(request) {
            Ok(reply) => Ok(reply),
            Err(Halt::Disk(error) | Halt::Refused(error)) => Err(error),
            Err(Halt::Finding(finding)) => {
                let detail = finding.to_string();
                self.finding.get_or_insert(finding);
                Err(StoreError::Io {
                    path: "the model".to_owned(),
                    detail,
                })
            }
        }
    }
}
