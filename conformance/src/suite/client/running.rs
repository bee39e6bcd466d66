//! One run of a client, from its start to its end, with the replica that it talks to.

use super::super::play::Event;
use super::super::scope::Scope;
use super::play::Stage;
use super::replica::{self, Shared, lock};
use super::script::Rule;
use crate::process::{self, Program};
use crate::{Error, Result};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{Scope as Threads, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How long a line for a log may wait for the client to take those before it.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// A client that runs.
pub struct Running<'scope, 'env> {
    /// What its connections share.
    pub shared: Arc<Shared<'env, 'env>>,
    program: Program,
    server: ScopedJoinHandle<'scope, Result<()>>,
}

/// What a run left.
#[derive(Default)]
pub struct Ended {
    /// What the client sent.
    pub commands: Vec<Vec<u8>>,
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output and error.
    pub said: Vec<u8>,
    /// Whether it ended by itself.
    pub is_over: bool,
}

impl<'scope, 'env> Running<'scope, 'env> {
    /// Starts the client, and the replica in a thread of `threads`.
    ///
    /// # Errors
    /// A text when either cannot be started.
    pub fn start(
        threads: &'scope Threads<'scope, 'env>,
        stage: &'env Stage<'env>,
        scope: &'env Mutex<Scope<'env>>,
        rules: Vec<Rule>,
        arguments: &[String],
        settings: &[String],
    ) -> std::result::Result<Running<'scope, 'env>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("listening: {error}"))?;
        let address = listener
            .local_addr()
            .map_err(|error| format!("listening: {error}"))?;
        let mut command = stage
            .client
            .command(&address.to_string(), arguments, settings)
            .map_err(|error| error.to_string())?;
        let shared = Arc::new(Shared::new(scope, rules)?);
        let theirs = Arc::clone(&shared);
        let program = Program::start(&mut command).map_err(|error| error.to_string())?;
        let server = threads.spawn(move || replica::serve(&listener, &stage.there.address, &theirs));
        Ok(Running {
            shared,
            program,
            server,
        })
    }

    /// Whether the client has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }

    /// SIGTERM.
    pub fn stop(&self) {
        process::signal("TERM", self.program.id());
    }

    /// Waits for the end of the client; ends it after `limit`.
    pub fn wait(self, limit: Duration) -> (Result<Ended>, Vec<Event>) {
        let started = Instant::now();
        let output = self.program.wait(limit);
        self.shared.over.store(true, Ordering::SeqCst);
        // What the listener has against it shows in the run.
        let _ = self.server.join();
        let events = std::mem::take(&mut *lock(&self.shared.events));
        let commands = std::mem::take(&mut *lock(&self.shared.commands));
        let ended = match output {
            Ok(output) => Ok(Ended {
                commands,
                code: output.status.code(),
                said: [output.stdout, output.stderr].concat(),
                is_over: true,
            }),
            Err(error) if started.elapsed() >= limit => Ok(Ended {
                commands,
                code: None,
                said: error.to_string().into_bytes(),
                is_over: false,
            }),
            Err(error) => Err(error),
        };
        (ended, events)
    }
}

/// Adds a line to a log. While the client runs, the log is named when the line is in it, and only when the client has taken the one
/// before: so each line is one run of the log [CS-LOG-3].
///
/// # Errors
/// When it cannot be written, or the client does not take what is there.
pub fn log(log: &Path, line: &[u8], while_it_runs: bool) -> Result<()> {
    let folder = log.parent().unwrap_or(log);
    let owner = folder.ancestors().find_map(|one| std::fs::metadata(one).ok());
    std::fs::create_dir_all(folder).map_err(Error::io("creating the log's folder"))?;
    let draft = folder.join("draft");
    let before = match std::fs::read(log) {
        Ok(before) if !while_it_runs => before,
        _ => Vec::new(),
    };
    std::fs::write(&draft, [&before, line, b"\n"].concat()).map_err(Error::io("writing a log"))?;
    if let Some(owner) = owner {
        for path in [folder, &draft] {
            std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
                .map_err(Error::io("giving the log to the client"))?;
        }
    }
    if !while_it_runs {
        return std::fs::rename(&draft, log).map_err(Error::io("naming a log"));
    }
    let end = Instant::now() + LOG_LIMIT;
    loop {
        // A link, unlike a new name, takes nobody's place.
        match std::fs::hard_link(&draft, log) {
            Ok(()) => return std::fs::remove_file(&draft).map_err(Error::io("removing a draft")),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(Error::io("naming a log")(error)),
        }
    }
}
