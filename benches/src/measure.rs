//! Measured processes: wall time, processor time, peak resident memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What one run of a program took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Wall time.
    pub wall: Duration,
    /// Peak resident memory, KiB.
    pub peak_kib: u64,
    /// Processor time, user and system, seconds.
    pub cpu_seconds: f64,
    /// Exit status; -1 when a signal ended it.
    pub exit_code: i32,
}

/// Runs a program to its end, sampling its peak memory; a non-zero exit is an error that shows its output.
pub fn run(command: &mut Command, limit: Duration) -> Result<Run> {
    let (run, output) = run_to_end(command, limit)?;
    if run.exit_code != 0 {
        bail!("{command:?}: exit status {}\n{output}", run.exit_code);
    }
    Ok(run)
}

/// The same, whatever the exit status is; what the program says of one that is not 0 goes to stderr.
pub fn run_with_status(command: &mut Command, limit: Duration) -> Result<Run> {
    let (run, output) = run_to_end(command, limit)?;
    if run.exit_code != 0 {
        eprint!("exit status {}: {output}", run.exit_code);
    }
    Ok(run)
}

fn run_to_end(command: &mut Command, limit: Duration) -> Result<(Run, String)> {
    let log = tempfile::NamedTempFile::new()?;
    // One place to write at for both.
    let output = log.reopen()?;
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let (mut peak_kib, mut cpu) = (0, 0.0f64);
    loop {
        peak_kib = peak_kib.max(peak_memory_kib(child.id()));
        cpu = cpu.max(cpu_seconds(child.id()));
        if let Some(status) = child.try_wait()? {
            let wall = started.elapsed();
            let run = Run {
                wall,
                peak_kib,
                cpu_seconds: cpu,
                exit_code: status.code().unwrap_or(-1),
            };
            return Ok((run, std::fs::read_to_string(log.path()).unwrap_or_default()));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{command:?} took longer than {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Highest resident memory so far of a process, KiB; 0 when it is gone.
pub fn peak_memory_kib(pid: u32) -> u64 {
    status_field(pid, "VmHWM:").unwrap_or(0)
}

/// Processor time of a process so far, user and system, seconds; 0 when it is gone.
pub fn cpu_seconds(pid: u32) -> f64 {
    /// Ticks a second that Linux counts in for programs, on every architecture.
    const TICKS: f64 = 100.0;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0.0;
    };
    // The name in parentheses may hold anything; the fields behind it are numbers, these two the 12th and 13th.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return 0.0;
    };
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Highest peak over the children of a process whose command line contains `word`, KiB.
pub fn peak_of_children_kib(parent: u32, word: &str) -> u64 {
    children(parent, word)
        .into_iter()
        .map(peak_memory_kib)
        .max()
        .unwrap_or(0)
}

/// Memory that a process has at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident, KiB; what it shares with others counted in full.
    pub rss_kib: u64,
    /// Its proportional share, KiB: what it shares with others counted in parts.
    pub pss_kib: u64,
}

/// Memory of a process.
///
/// # Errors
/// The process is gone, or somebody else's.
pub fn memory(pid: u32) -> Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Ok(Memory {
        rss_kib: field("Rss:").context("no resident memory")?,
        pss_kib: field("Pss:").context("no proportional share")?,
    })
}

/// Sees to it that this process may have so many files open.
///
/// # Errors
/// The system's limit is lower.
pub fn allow_files(needed: u64) -> Result<()> {
    daemon::open_files::allow(needed).context("too few files may be open (ulimit -n)")
}

/// Children of a process whose command line contains `word`.
pub fn children(parent: u32, word: &str) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| status_field(pid, "PPid:") == Some(u64::from(parent)))
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(word))
        })
        .collect()
}

fn status_field(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
