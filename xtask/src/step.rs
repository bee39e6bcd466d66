//! Running one command of a longer plan, with a headline before and a verdict after.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a step's command said.
pub struct Finished {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Everything it printed, both streams, line by line.
    pub output: String,
}

/// Runs a command, passing its output through as it comes, and keeps a copy.
///
/// Both streams are merged by a shell redirection, so that the copy has the lines in the order a person saw them.
pub fn run(title: &str, command: &str, environment: &[(&str, &str)]) -> Finished {
    println!("\n── {title}\n   {command}");
    let started = Instant::now();
    let mut shell = Command::new("sh");
    // What cargo says of xtask itself would have build scripts run again that look at it, and all that depends on them.
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if shown.starts_with("CARGO_PKG_") || shown.starts_with("CARGO_MANIFEST_") {
            shell.env_remove(&name);
        }
    }
    let child = shell
        .args(["-c", &format!("exec 2>&1; {command}")])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            println!("   cannot start it: {error}");
            return Finished {
                ok: false,
                output: String::new(),
            };
        }
    };
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            output.push_str(&line);
            output.push('\n');
        }
    }
    let ok = child.wait().is_ok_and(|status| status.success());
    println!(
        "   {} in {:.0} s",
        if ok { "done" } else { "FAILED" },
        started.elapsed().as_secs_f64()
    );
    Finished { ok, output }
}

/// Runs a command and keeps what it prints, both streams, to itself.
pub fn quietly(command: &str) -> Finished {
    let done = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .stdin(Stdio::null())
        .output();
    match done {
        Ok(done) => Finished {
            ok: done.status.success(),
            output: String::from_utf8_lossy(&done.stdout).into_owned(),
        },
        Err(error) => Finished {
            ok: false,
            output: format!("cannot start it: {error}"),
        },
    }
}

/// Whether a command exits with 0; prints nothing.
pub fn succeeds(command: &str) -> bool {
    Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
