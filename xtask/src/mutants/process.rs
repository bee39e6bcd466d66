//! Running one program to its end, or to the end of our patience.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Address space of a child in KiB: a mutant that grows without end must not take the machine with it.
const MEMORY_KIB: u64 = 2_000_000;
/// Longest file of a child in blocks of 512 bytes.
const FILE_BLOCKS: u64 = 4_000_000;

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// By a signal.
    Killed,
    /// Not in time; it was killed.
    Late,
}

impl End {
    /// Whether it is the end of a program that found nothing wrong.
    pub fn ok(self) -> bool {
        self == End::Code(0)
    }
}

/// A program with its arguments and surroundings.
pub struct Child<'a> {
    /// The program.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Where it runs.
    pub folder: &'a Path,
    /// Environment variables besides those it inherits.
    pub environment: &'a [(&'a str, &'a str)],
    /// Where it says what it says.
    pub said: &'a Path,
}

impl Child<'_> {
    /// Runs it, at most so long; how it ended, and how long it took.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, patience: Duration) -> Result<(End, Duration), String> {
        let unable = |error| format!("cannot run {}: {error}", self.program.display());
        let said = File::create(self.said).map_err(unable)?;
        let limits = format!("ulimit -v {MEMORY_KIB} -f {FILE_BLOCKS} -c 0; exec \"$@\"");
        let began = Instant::now();
        let mut child = Command::new("bash")
            .args(["-c", &limits, "bash"])
            .arg(self.program)
            .args(self.arguments)
            .envs(self.environment.iter().copied())
            .current_dir(self.folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone().map_err(unable)?)
            .stderr(said)
            .process_group(0)
            .spawn()
            .map_err(unable)?;
        let mut pause = Duration::from_micros(500);
        loop {
            if let Some(status) = child.try_wait().map_err(unable)? {
                let end = status.code().map_or(End::Killed, End::Code);
                return Ok((end, began.elapsed()));
            }
            if began.elapsed() > patience {
                end_group(child.id());
                child.wait().map_err(unable)?;
                return Ok((End::Late, began.elapsed()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

/// Ends a process and those it started, which are one group.
fn end_group(group: u32) {
    // The group may have ended by itself; then there is nobody to tell.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .stderr(Stdio::null())
        .status();
}
