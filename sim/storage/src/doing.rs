//! Does the steps of a workload.

use engine::flow::Now;
use engine::local::Moment;
use engine::name::Scope;
use engine::ticket::{Request, Select, Session};
use protocol::{Guid, Text};
use rusqlite::{Connection, OpenFlags};
use sim_vfs::{Plan, VFS};

use crate::deeds::{NoPlan, Planned, Planner, folder_name, owner};
use crate::finding::{Finding, Halt, Rule};
use crate::server::Server;
use crate::show::{mailboxes, records};
use crate::workload::{Deed, Step};

/// Seconds since the epoch at which a workload begins.
const START: i64 = 1_700_000_000;

impl Server {
    /// Does the n-th step; `plan` is what the disk is in for, and is in for after a kill.
    ///
    /// # Errors
    /// [`Halt`]; a step that cannot be done is done.
    pub fn perform(&mut self, nth: usize, step: &Step, plan: Plan) -> Result<(), Halt> {
        let done = self.try_to(nth, step, plan);
        match done {
            // What both refuse is no step.
            Err(Halt::Refused(_)) => self.after_refusal(step),
            done => done,
        }
    }

    fn after_refusal(&mut self, step: &Step) -> Result<(), Halt> {
        match session_of(step) {
            Some(session) => self.session(session)?.undo(),
            None => Ok(()),
        }
    }

    fn try_to(&mut self, nth: usize, step: &Step, plan: Plan) -> Result<(), Halt> {
        match step {
            Step::Change { session, owner, deed } => self.change(nth, *session, *owner, deed, true),
            Step::Undo { session, owner, deed } => self.change(nth, *session, *owner, deed, false),
            Step::Halve {
                session,
                owner,
                folder,
            } => self.halve(nth, *session, *owner, *folder),
            Step::Move {
                session,
                from,
                to,
                folder,
            } => self.hand_over(*session, *from, *to, *folder),
            Step::Copy { session, from, to } => self.copy(nth, *session, *from, *to),
            Step::Expire { session, owner } => self.expire(nth, *session, *owner),
            Step::Hold { session, owner } => self.hold(*session, *owner),
            Step::LetGo { session } => self.let_go(*session),
            Step::Look { session, owner } => self.look(*session, *owner),
            Step::Rest { session } => {
                self.session(*session)?.rest();
                Ok(())
            }
            Step::Close { session } => {
                self.close(*session);
                Ok(())
            }
            Step::Checkpoint { owner, empty } => {
                self.checkpoint(*owner, *empty);
                Ok(())
            }
            Step::Login { name, known } => self.login(*name, known.then_some(nth as u8)),
            Step::Relocate => {
                let store = self.open()?;
                store.rebuild_locator().map_err(|error| self.blame(error))
            }
            Step::Restart => {
                self.stop();
                self.open().map(drop)
            }
            Step::Kill => self.kill(plan),
            Step::Replicate => Ok(()),
        }
    }

    /// Frees a scope that the session itself holds, and answers it.
    fn free(&mut self, session: usize, scope: Scope) -> Result<Scope, Halt> {
        if self.held[session].contains(&scope) {
            self.let_go(session)?;
        }
        Ok(scope)
    }

    fn plan_deed(
        &mut self,
        nth: usize,
        session: usize,
        scope: &Scope,
        deed: &Deed,
    ) -> Result<Option<Planned>, Halt> {
        let mirror = self.session(session)?;
        let mut planner = Planner {
            scope: scope.clone(),
            now: Now(START + nth as i64),
            number: nth as u64,
            session: mirror,
        };
        let planned = planner.plan(deed);
        if let Some(finding) = mirror.finding.take() {
            return Err(finding.into());
        }
        match planned {
            Ok(planned) => Ok(Some(planned)),
            Err(NoPlan::Impossible) => Ok(None),
            Err(NoPlan::Store(error)) => Err(self.blame(error)),
        }
    }

    fn change(
        &mut self,
        nth: usize,
        session: usize,
        whose: usize,
        deed: &Deed,
        for_good: bool,
    ) -> Result<(), Halt> {
        let scope = self.free(session, owner(whose))?;
        let Some((before, changes)) = self.plan_deed(nth, session, &scope, deed)? else {
            return Ok(());
        };
        let mirror = self.session(session)?;
        for request in before {
            mirror.ask(request)?;
        }
        mirror.ask(Request::Begin { scope })?;
        mirror.ask(Request::Write(changes))?;
        let last = if for_good {
            Request::Commit
        } else {
            Request::Rollback
        };
        mirror.ask(last)?;
        mirror.ask(Request::ForgetStaged).map(drop)
    }

    fn halve(&mut self, nth: usize, session: usize, whose: usize, folder: usize) -> Result<(), Halt> {
        let scope = self.free(session, owner(whose))?;
        let first = self.plan_deed(nth, session, &scope, &Deed::Append(folder, vec![700, 40]))?;
        let second = self.plan_deed(
            nth + 1_000_000,
            session,
            &scope,
            &Deed::Append(folder, vec![9_000]),
        )?;
        let (Some(first), Some(second)) = (first, second) else {
            return Ok(());
        };
        let mirror = self.session(session)?;
        for request in first.0.into_iter().chain(second.0) {
            mirror.ask(request)?;
        }
        mirror.ask(Request::Begin { scope })?;
        mirror.ask(Request::Write(first.1))?;
        mirror.ask(Request::Savepoint)?;
        mirror.ask(Request::Write(second.1))?;
        mirror.ask(Request::RollbackToSavepoint)?;
        mirror.ask(Request::Commit)?;
        mirror.ask(Request::ForgetStaged).map(drop)
    }

    fn hand_over(&mut self, session: usize, from: usize, to: usize, folder: usize) -> Result<(), Halt> {
        let (source, target) = (self.free(session, owner(from))?, self.free(session, owner(to))?);
        let mirror = self.session(session)?;
        let found = mailboxes(mirror, &source);
        let there = mailboxes(mirror, &target);
        if let Some(finding) = mirror.finding.take() {
            return Err(finding.into());
        }
        let found = found.map_err(|error| self.blame(error))?;
        let there = there.map_err(|error| self.blame(error))?;
        let Some(mailbox) = found
            .iter()
            .find(|mailbox| mailbox.name == folder_name(&source, folder))
        else {
            return Ok(());
        };
        let name = folder_name(&target, folder);
        if there.iter().any(|other| other.name == name) {
            return Ok(());
        }
        let mut moved = mailbox.clone();
        moved.name = name;
        let request = Request::MoveMailbox {
            from: mailbox.key(),
            to: Box::new(moved),
        };
        self.session(session)?.ask(request).map(drop)
    }

    fn copy(&mut self, nth: usize, session: usize, from: usize, to: usize) -> Result<(), Halt> {
        let source = self.free(session, owner(from))?;
        let target = self.free(session, owner(to))?;
        let mirror = self.session(session)?;
        let read = read_inbox(mirror, &source).and_then(|found| Ok((found, read_inbox(mirror, &target)?)));
        if let Some(finding) = mirror.finding.take() {
            return Err(finding.into());
        }
        let read = read.map_err(|error| self.blame(error))?;
        let (Some((_, messages)), Some((mailbox, _))) = read else {
            return Ok(());
        };
        let guids: Vec<Guid> = messages.iter().map(|(guid, _)| *guid).collect();
        let mirror = self.session(session)?;
        mirror.ask(Request::Reserve {
            partition: Text::from("default"),
            mailboxes: vec![folder_name(&source, 0), folder_name(&target, 0)],
            guids,
        })?;
        let moment = Moment::behind(Now(START + nth as i64), std::slice::from_ref(&mailbox), &[]);
        let planner = Planner {
            scope: target.clone(),
            now: moment.now,
            number: nth as u64,
            session: mirror,
        };
        let Ok(changes) = planner.deliver(moment, mailbox, messages) else {
            return Ok(());
        };
        mirror.ask(Request::Begin { scope: target })?;
        mirror.ask(Request::Write(changes))?;
        mirror.ask(Request::Commit)?;
        mirror.ask(Request::ForgetStaged).map(drop)
    }

    fn expire(&mut self, nth: usize, session: usize, whose: usize) -> Result<(), Halt> {
        let scope = self.free(session, owner(whose))?;
        let before = START + nth as i64 / 2;
        let mirror = self.session(session)?;
        mirror.ask(Request::Begin { scope })?;
        mirror.ask(Request::Expire { before })?;
        mirror.ask(Request::Commit).map(drop)
    }

    fn hold(&mut self, session: usize, whose: usize) -> Result<(), Halt> {
        let scope = owner(whose);
        if self.held[session].contains(&scope) {
            return self.let_go(session);
        }
        self.session(session)?
            .ask(Request::BeginRead { scope: scope.clone() })?;
        self.held[session].push(scope);
        Ok(())
    }

    fn look(&mut self, session: usize, whose: usize) -> Result<(), Halt> {
        let ids = (0..60)
            .map(|number| Text::from(format!("id{number:06}")))
            .collect();
        let mirror = self.session(session)?;
        mirror.ask(Request::Users { prefix: Text::EMPTY })?;
        // One that was half moved is found in either place.
        mirror.ask(Request::Mailboxes(Select::Uniqueids(ids)))?;
        if let Scope::User(user) = owner(whose) {
            mirror.ask(Request::Summary { user })?;
        }
        Ok(())
    }

    /// What the store's thread does, at a moment of the workload's choosing. Nothing depends on whether it comes about.
    fn checkpoint(&mut self, whose: usize, empty: bool) {
        let file = match owner(whose) {
            Scope::User(user) => self.store.as_ref().map(|store| store.user_file(&user)),
            Scope::Shared => Some(self.dir.join("shared.db")),
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = file.map(|file| Connection::open_with_flags_and_vfs(file, flags, VFS));
        if let Some(Ok(conn)) = opened {
            let mode = if empty { "TRUNCATE" } else { "PASSIVE" };
            let _ = conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        }
    }

    /// A step that the disk failed is done again, now that it works, and has to be done.
    ///
    /// # Errors
    /// A finding.
    pub fn again(&mut self, nth: usize, step: &Step) -> Result<(), Finding> {
        match self.perform(nth, step, Plan::Calm) {
            Ok(()) | Err(Halt::Refused(_)) => Ok(()),
            Err(Halt::Finding(finding)) => Err(finding),
            Err(Halt::Disk(error)) => Err(Finding::new(Rule::WorksAgain, error.to_string())),
        }
    }
}

/// A mailbox and messages, by GUID and size.
type Inbox = Option<(engine::model::Mailbox, Vec<(Guid, u64)>)>;

/// The first mailbox of a scope with its live messages.
fn read_inbox(session: &mut dyn Session, scope: &Scope) -> Result<Inbox, engine::ticket::StoreError> {
    let found = mailboxes(session, scope)?;
    let Some(inbox) = found
        .into_iter()
        .find(|mailbox| mailbox.name == folder_name(scope, 0))
    else {
        return Ok(None);
    };
    let records = records(session, &inbox)?;
    let live = records.iter().filter(|record| !record.is_expunged());
    let messages = live.map(|record| (record.guid, record.size)).collect();
    Ok(Some((inbox, messages)))
}

/// The session that a step has to itself.
pub fn session_of(step: &Step) -> Option<usize> {
    match step {
        Step::Change { session, .. }
        | Step::Undo { session, .. }
        | Step::Halve { session, .. }
        | Step::Move { session, .. }
        | Step::Copy { session, .. }
        | Step::Expire { session, .. }
        | Step::Hold { session, .. }
        | Step::LetGo { session }
        | Step::Look { session, .. }
        | Step::Rest { session }
        | Step::Close { session } => Some(*session),
        _ => None,
    }
}
