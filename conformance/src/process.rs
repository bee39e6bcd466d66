//! Child processes: with a time limit, and never left behind.

use crate::{Error, Result};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What a finished program left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
}

impl Output {
    /// The output itself when the program ended with exit code 0, else an error that shows its output.
    pub fn success(self, what: &str) -> Result<Output> {
        if self.status.success() {
            return Ok(self);
        }
        Err(Error::Process(format!(
            "{what}: {}\n{}",
            self.status,
            self.text()
        )))
    }

    /// Both streams as text, for messages.
    pub fn text(&self) -> String {
        format!(
            "{}{}",
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(&self.stderr)
        )
    }
}

/// Runs `command` to its end and collects its output; kills it after `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    Program::start(command)?.wait(limit)
}

/// A program that runs, and whose output is collected meanwhile. Killed on drop.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
    started: Instant,
    /// Standard output and error.
    streams: Option<[thread::JoinHandle<Vec<u8>>; 2]>,
}

impl Program {
    /// Starts `command` without input.
    pub fn start(command: &mut Command) -> Result<Program> {
        let name = format!("{command:?}");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().map_err(Error::io(format!("starting {name}")))?;
        let streams = Some([collect(child.stdout.take()), collect(child.stderr.take())]);
        Ok(Program {
            child,
            name,
            started,
            streams,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().ok().flatten().is_some()
    }

    /// Waits for its end; kills it after `limit` from now.
    pub fn wait(mut self, limit: Duration) -> Result<Output> {
        let status = wait(&mut self.child, limit, &self.name)?;
        let took = self.started.elapsed();
        let join = |handle: thread::JoinHandle<Vec<u8>>| handle.join().unwrap_or_default();
        let [stdout, stderr] = self.streams.take().map(|all| all.map(join)).unwrap_or_default();
        let output = Output {
            status: status.unwrap_or_default(),
            stdout,
            stderr,
            took,
        };
        match status {
            Some(_) => Ok(output),
            None => Err(Error::Process(format!(
                "{} took longer than {limit:?}\n{}",
                self.name,
                output.text()
            ))),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended and was waited for is told so again, without effect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect<R: Read + Send + 'static>(source: Option<R>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // A read error ends the output; what came before it is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Waits at most `limit`; after that kills the child and returns `None`.
fn wait(child: &mut Child, limit: Duration, name: &str) -> Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child
            .try_wait()
            .map_err(Error::io(format!("waiting for {name}")))?
        {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process in a group of its own that is ended when the value is dropped.
///
/// The own group matters: a Cyrus master ends itself by a signal to its whole group, and that must not
/// be the group of the test runner.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    name: String,
}

impl Daemon {
    /// Starts `command` in a new process group. Standard streams are left as the command sets them.
    pub fn start(command: &mut Command) -> Result<Daemon> {
        let name = format!("{command:?}");
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("starting {name}")))?;
        Ok(Daemon { child, name })
    }

    /// The process id, also the id of the group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Access to the piped streams of the child.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The status when the process has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL to the process, and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .map_err(Error::io(format!("killing {}", self.name)))?;
        self.child
            .wait()
            .map_err(Error::io(format!("waiting for {}", self.name)))?;
        Ok(())
    }

    /// SIGKILL to the whole group, and waits for the end of the process itself.
    pub fn kill_group(&mut self) -> Result<()> {
        signal_group("KILL", self.child.id());
        self.child
            .wait()
            .map_err(Error::io(format!("waiting for {}", self.name)))?;
        Ok(())
    }

    /// SIGTERM to the process group, waits at most `limit`, then SIGKILL to the group.
    ///
    /// Returns the exit status, or `None` when it had to be killed.
    pub fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        if let Some(status) = self.ended() {
            return Some(status);
        }
        signal_group("TERM", self.child.id());
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        signal_group("KILL", self.child.id());
        let _ = self.child.wait();
        None
    }

    /// Highest resident memory of the process so far, in KiB (`VmHWM`); `None` when it has ended.
    pub fn peak_memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.terminate(Duration::from_secs(5));
    }
}

/// The processes whose parent is `parent`: id and command line, words separated by spaces.
pub fn children(parent: u32) -> Vec<(u32, String)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything; state and parent follow it.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1).and_then(|word| word.parse().ok()) == Some(parent)
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(is_child)
        .map(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            (id, String::from_utf8_lossy(&line).replace('\0', " "))
        })
        .collect()
}

/// Sends a signal (`KILL`, `STOP`) to a process that this one, or a server that it started, has started.
pub fn signal(signal: &str, id: u32) {
    let _ = Command::new("kill")
        .args(["-s", signal, &id.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Sends a signal to a process group that this process started. Goes through kill(1) because the
/// standard library can only send SIGKILL and this crate holds no unsafe code.
fn signal_group(signal: &str, group: u32) {
    let _ = Command::new("kill")
        .args(["-s", signal, "--", &format!("-{group}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
