//! One server: a disk, the store on it, the model beside it, sessions of both.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::name::Scope;
use engine::ticket::{Reply, Request, Session, StoreError};
use protocol::Text;
use sim_vfs::{Disk, Loss, Plan, Point};
use store::credentials::{Credentials, Verifier};
use store::memory::MemoryStore;
use store::sqlite::files::Files;
use store::sqlite::{Options, SqliteStore};
use store::verify;

use crate::deeds;
use crate::finding::{Finding, Halt, Rule};
use crate::mirror::{Doubt, Mirror};
use crate::show::{difference, show};
use crate::workload::{OWNERS, SESSIONS, Workload};

/// The session of a connection to another server.
pub const LINK: usize = SESSIONS;

/// A server.
pub struct Server {
    /// Below everything.
    pub disk: Disk,
    /// The store's folder.
    pub dir: PathBuf,
    options: Options,
    /// Open while the process runs.
    pub store: Option<SqliteStore>,
    /// What was acknowledged.
    pub model: MemoryStore,
    /// Who may log in, with the salt put last.
    pub logins: BTreeMap<u8, u8>,
    /// Sessions, those that are open.
    pub sessions: Vec<Option<Mirror>>,
    /// What each session holds for reading.
    pub held: Vec<Vec<Scope>>,
    /// Commits that may have come about.
    pub doubts: Vec<Doubt>,
    /// A login that may have been changed.
    pub login_in_doubt: Option<(u8, Option<u8>)>,
    /// Commits acknowledged by sessions that are gone.
    pub commits: u64,
    /// Times it began again after a crash.
    pub crashes: u64,
    /// Set when a commit turned out to be there that had failed: sessions of the model know nothing of it.
    adopted: bool,
}

/// A crash to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Again {
    /// Changes of the disk until then.
    pub delay: u64,
    /// What it leaves.
    pub loss: Loss,
}

/// What came of an attempt to start and look.
enum Started {
    /// It runs, and all is as it should be.
    Well,
    /// The disk went down again.
    Down,
}

impl Server {
    /// One with an empty disk, whose store is not open yet.
    pub fn new(seed: u64, workload: &Workload) -> Self {
        let disk = Disk::new(seed);
        let dir = disk.root().join("store");
        let options = Options {
            busy_timeout: Duration::ZERO,
            staging_bytes: 8_192,
            cache_bytes: 64 * 1024,
            connections: workload.connections,
            page_bytes: workload.page_bytes,
            checkpoint_pages: workload.checkpoint_pages,
            // The thread would make the order of things another each time.
            checkpoint_bytes: u64::MAX,
            files: Arc::new(disk.clone()),
            ..Options::default()
        };
        Server {
            disk,
            dir,
            options,
            store: None,
            model: MemoryStore::new(),
            logins: BTreeMap::new(),
            sessions: (0..=LINK).map(|_| None).collect(),
            held: vec![Vec::new(); LINK + 1],
            doubts: Vec::new(),
            login_in_doubt: None,
            commits: 0,
            crashes: 0,
            adopted: false,
        }
    }

    /// The same store for somebody who only reads.
    pub fn read_only(&self) -> Result<SqliteStore, StoreError> {
        let options = Options {
            read_only: true,
            ..self.options.clone()
        };
        SqliteStore::open(&self.dir, options)
    }

    /// Opens the store, when it is not.
    ///
    /// # Errors
    /// [`Halt::Disk`], or a finding when the disk is well.
    pub fn open(&mut self) -> Result<SqliteStore, Halt> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        match SqliteStore::open(&self.dir, self.options.clone()) {
            Ok(store) => {
                self.store = Some(store.clone());
                Ok(store)
            }
            Err(error) if self.disk.faulted().is_some() => Err(Halt::Disk(error)),
            Err(error) => Err(Finding::new(Rule::Opens, error.to_string()).into()),
        }
    }

    /// A session, opened when it is not.
    ///
    /// # Errors
    /// As [`Server::open`].
    pub fn session(&mut self, nth: usize) -> Result<&mut Mirror, Halt> {
        let store = self.open()?;
        let (disk, model) = (&self.disk, &self.model);
        Ok(self.sessions[nth].get_or_insert_with(|| Mirror::new(disk, &store, model)))
    }

    /// Ends a session.
    pub fn close(&mut self, nth: usize) {
        self.held[nth].clear();
        if let Some(mirror) = self.sessions[nth].take() {
            self.commits += mirror.commits;
            self.doubts.extend(mirror.doubt);
        }
    }

    /// Ends all, and the store with them.
    pub fn stop(&mut self) {
        (0..=LINK).for_each(|nth| self.close(nth));
        self.store = None;
    }

    /// Dies and begins again until it runs; each time the disk goes down in between, the next of these happens.
    ///
    /// # Errors
    /// A finding.
    pub fn recover(&mut self, again: &mut Vec<Again>) -> Result<(), Finding> {
        loop {
            self.stop();
            self.disk.start();
            self.crashes += 1;
            if let Some(Again { delay, loss }) = again.pop() {
                let at = Point::Change(self.disk.counts().changes + delay);
                self.disk.plan(Plan::Crash { at, loss });
            }
            match self.start_and_check()? {
                Started::Well => {
                    if std::mem::take(&mut self.adopted) {
                        self.stop();
                    }
                    return Ok(());
                }
                Started::Down => {}
            }
        }
    }

    fn start_and_check(&mut self) -> Result<Started, Finding> {
        match self.open().map(drop).and_then(|()| self.check()) {
            Ok(()) => Ok(Started::Well),
            Err(Halt::Finding(finding)) => Err(finding),
            Err(Halt::Disk(_)) if self.disk.is_down() => Ok(Started::Down),
            Err(Halt::Disk(error) | Halt::Refused(error)) => {
                Err(Finding::new(Rule::WorksAgain, error.to_string()))
            }
        }
    }

    /// Sessions roll back while the disk fails, as machines do after an error; one that cannot ends.
    ///
    /// # Errors
    /// A finding.
    pub fn give_up(&mut self) -> Result<(), Finding> {
        for nth in 0..=LINK {
            let Some(mirror) = &mut self.sessions[nth] else {
                continue;
            };
            self.doubts.extend(mirror.doubt.take());
            match mirror.undo().and_then(|()| mirror.ask(Request::ForgetStaged)) {
                Ok(_) => {}
                Err(Halt::Finding(finding)) => return Err(finding),
                Err(Halt::Disk(_) | Halt::Refused(_)) => self.close(nth),
            }
        }
        Ok(())
    }

    /// The disk failed without going down, and works again: transactions are undone, and what is there is looked at.
    ///
    /// # Errors
    /// A finding.
    pub fn mend(&mut self) -> Result<(), Finding> {
        self.disk.plan(Plan::Calm);
        for nth in 0..=LINK {
            let Some(mirror) = &mut self.sessions[nth] else {
                continue;
            };
            let undone = mirror.undo().and_then(|()| mirror.ask(Request::ForgetStaged));
            self.doubts.extend(mirror.doubt.take());
            match undone {
                Ok(_) => {}
                Err(Halt::Finding(finding)) => return Err(finding),
                Err(Halt::Disk(error) | Halt::Refused(error)) => {
                    return Err(Finding::new(Rule::WorksAgain, error.to_string()));
                }
            }
        }
        match self.start_and_check()? {
            Started::Well if std::mem::take(&mut self.adopted) => self.stop(),
            Started::Well | Started::Down => {}
        }
        Ok(())
    }

    /// Looks at everything: own check, content, names of files.
    ///
    /// # Errors
    /// A finding, or the disk's failure.
    pub fn check(&mut self) -> Result<(), Halt> {
        let store = self.open()?;
        self.settle(&store)?;
        self.same_as_model(&store)?;
        let mut damages = Vec::new();
        verify::verify(&store, None, &mut |found| {
            if let verify::Finding::Damage(damage) = found {
                damages.push(damage.to_string());
            }
        });
        self.excused()?;
        if let Some(damage) = damages.first() {
            return Err(Finding::new(Rule::Verifies, damage.clone()).into());
        }
        self.logins(&store)?;
        self.tidy()
    }

    /// An error that the disk is to blame for ends a look early.
    fn excused(&self) -> Result<(), Halt> {
        match self.disk.faulted() {
            Some(faulted) if self.disk.is_down() => Err(Halt::Disk(StoreError::Io {
                path: String::new(),
                detail: faulted,
            })),
            _ => Ok(()),
        }
    }

    fn read<T>(&self, done: Result<T, StoreError>) -> Result<T, Halt> {
        done.map_err(|error| match self.disk.faulted() {
            Some(_) => Halt::Disk(error),
            None => Finding::new(Rule::WorksAgain, error.to_string()).into(),
        })
    }

    /// Finds out what became of commits that were in doubt.
    fn settle(&mut self, store: &SqliteStore) -> Result<(), Halt> {
        while let Some(doubt) = self.doubts.first() {
            let mut session = store.session();
            let (mut before, mut after) = (true, true);
            let (mut old, mut new) = (self.model.session(), doubt.after.session());
            for scope in (0..OWNERS).map(deeds::owner) {
                let real = self.read(show(&mut session, &scope))?;
                let known = |model: &mut dyn Session| show(model, &scope).unwrap_or_default();
                before &= difference(&real, &known(&mut old)).is_none();
                after &= difference(&real, &known(&mut new)).is_none();
            }
            match (before, after, doubt.repeat.clone()) {
                (true, _, _) => {}
                (_, true, _) => {
                    self.model = doubt.after.fork();
                    self.adopted = true;
                }
                // Half done, it is done again, which has to complete it.
                (_, _, Some(request)) => {
                    self.read(session.execute(request))?;
                    self.model = doubt.after.fork();
                    self.adopted = true;
                }
                _ => {
                    drop(session);
                    self.doubts.clear();
                    return self.same_as_model(store);
                }
            }
            self.doubts.remove(0);
        }
        Ok(())
    }

    fn same_as_model(&self, store: &SqliteStore) -> Result<(), Halt> {
        let (mut real, mut model) = (store.session(), self.model.session());
        for scope in (0..OWNERS).map(deeds::owner) {
            let found = self.read(show(&mut real, &scope))?;
            let expected = show(&mut model, &scope).unwrap_or_default();
            if let Some(text) = difference(&found, &expected) {
                let whose = format!("{scope:?}: {text}");
                return Err(Finding::new(Rule::Exact, whose).into());
            }
        }
        let users = Request::Users { prefix: Text::EMPTY };
        let found = self.read(real.execute(users.clone()))?;
        if Ok(&found) != model.execute(users).as_ref() {
            return Err(Finding::new(Rule::Exact, format!("users are {found:?}")).into());
        }
        Ok(())
    }

    /// Who may log in.
    fn logins(&mut self, store: &SqliteStore) -> Result<(), Halt> {
        let credentials = Credentials::of(store);
        let known = self.read(credentials.users())?;
        for name in 0..3u8 {
            let user = [b'a' + name];
            let found = if known.iter().any(|known| **known == user[..]) {
                self.read(credentials.get(&user, "X"))?
            } else {
                None
            };
            let found = found.map(|verifier| verifier.salt.first().copied().unwrap_or_default());
            if let Some((doubtful, new)) = self.login_in_doubt.take_if(|(doubtful, _)| *doubtful == name)
                && found == new
            {
                match new {
                    Some(salt) => self.logins.insert(doubtful, salt),
                    None => self.logins.remove(&doubtful),
                };
            }
            let expected = self.logins.get(&name).copied();
            if found != expected {
                let text = format!("login {name} is {found:?}, the model says {expected:?}");
                return Err(Finding::new(Rule::Exact, text).into());
            }
        }
        Ok(())
    }

    /// Lets somebody log in, or not any more.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn login(&mut self, name: u8, salt: Option<u8>) -> Result<(), Halt> {
        let store = self.open()?;
        let credentials = Credentials::of(&store);
        let user = [b'a' + name];
        let done = match salt {
            Some(salt) => credentials.put(
                &user,
                &[Verifier {
                    mechanism: "X".to_owned(),
                    salt: vec![salt],
                    iterations: 1,
                    stored_key: vec![1; 32],
                    server_key: vec![2; 32],
                }],
            ),
            None => credentials.remove(&user).map(drop),
        };
        match done {
            Ok(()) => {
                match salt {
                    Some(salt) => self.logins.insert(name, salt),
                    None => self.logins.remove(&name),
                };
                Ok(())
            }
            Err(error) if self.disk.faulted().is_some() => {
                self.login_in_doubt = Some((name, salt));
                Err(Halt::Disk(error))
            }
            // Another session writes.
            Err(error) => Err(Finding::new(Rule::WorksAgain, error.to_string()).into()),
        }
    }

    /// Only what is known lies about.
    fn tidy(&self) -> Result<(), Halt> {
        for (path, _) in self.disk.list() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            let stem = name.strip_suffix("-wal").unwrap_or(&name);
            // What is half made may stay as long as its process lives: the disk may not let it be removed.
            let is_made = name.starts_with(".new-")
                && self.disk.age(&self.disk.root().join(&path)) == Some(Duration::ZERO);
            if !(is_made || stem.ends_with(".db")) {
                let text = format!("{} lies about", path.display());
                return Err(Finding::new(Rule::Tidy, text).into());
            }
        }
        Ok(())
    }

    /// Kills the process; the machine goes on.
    ///
    /// # Errors
    /// A finding.
    pub fn kill(&mut self, plan: Plan) -> Result<(), Halt> {
        self.disk.crash(Loss::Killed);
        self.stop();
        self.disk.start();
        // What is in for the disk is in for it still.
        self.disk.plan(plan);
        self.open().map(drop)
    }

    /// A fresh look at what a session holds, compared with the model's.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn let_go(&mut self, nth: usize) -> Result<(), Halt> {
        let done = self.look_again(nth);
        if done.is_err() {
            // Store and model need not hold the same any more.
            self.close(nth);
        }
        done
    }

    fn look_again(&mut self, nth: usize) -> Result<(), Halt> {
        for scope in std::mem::take(&mut self.held[nth]) {
            let mirror = self.session(nth)?;
            // Each answer is compared; what they are is all the same.
            let shown = show(mirror, &scope);
            if let Some(finding) = mirror.finding.take() {
                return Err(finding.into());
            }
            shown.map_err(|error| self.blame(error))?;
            match self.session(nth)?.ask(Request::EndRead { scope })? {
                Reply::Done => {}
                other => {
                    return Err(Finding::new(Rule::Answers, format!("EndRead: {other:?}")).into());
                }
            }
        }
        Ok(())
    }

    /// An error of a session that does not say whose it is.
    pub fn blame(&self, error: StoreError) -> Halt {
        match self.disk.faulted() {
            Some(_) => Halt::Disk(error),
            None => Halt::Refused(error),
        }
    }
}
