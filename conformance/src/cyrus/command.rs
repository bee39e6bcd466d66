//! `conformance cyrus`: sets servers up, keeps them running, takes them down.

use super::{ADMIN, Cyrus, PASSWORD, Setup, Version, install, remove, roots};
use crate::{Error, Result};
use std::sync::mpsc;

/// What is to be done with the versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Set up what is missing, run until interrupted.
    Run,
    /// Only set up what is missing.
    Install,
    /// Remove the roots.
    Remove,
}

/// Carries a wish out, for each of `versions`. Data goes to standard output, talk to standard error.
///
/// # Errors
/// [`Error::Skipped`] where Cyrus cannot run, with what to do; others when a step fails.
pub fn run(versions: &[Version], wish: Wish, lines: &[(String, String)]) -> Result<()> {
    let say = |text: &str| eprintln!("{text} ...");
    match wish {
        Wish::Remove => {
            for version in versions {
                let path = roots().join(version.name());
                let what = if remove(*version)? {
                    "removed"
                } else {
                    "there is none"
                };
                println!("{version}: {}: {what}", path.display());
            }
            Ok(())
        }
        Wish::Install => {
            for version in versions {
                let root = install(*version, &say)?;
                println!("{version}: {}", root.path().display());
            }
            Ok(())
        }
        Wish::Run => serve(versions, lines, &say),
    }
}

fn serve(versions: &[Version], lines: &[(String, String)], say: &dyn Fn(&str)) -> Result<()> {
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody waits any more when the first of them was enough.
        let _ = stop.send(());
    })
    .map_err(|error| Error::Process(format!("cannot wait for signals: {error}")))?;
    let mut servers = Vec::new();
    println!(
        "{:<6} {:<17} {:<17} {:<17} folder",
        "Cyrus", "csync", "imap", "sieve"
    );
    for version in versions {
        install(*version, say)?;
        let mut setup = Setup::new("cyrus.example", &["alice", "bob"]).version(*version);
        setup.extra.extend(lines.iter().cloned());
        let server = Cyrus::start(setup)?;
        println!(
            "{:<6} {:<17} {:<17} {:<17} {}",
            version.name(),
            server.csync_address(),
            server.imap_address(),
            server.sieve_address(),
            server.directory().display()
        );
        servers.push(server);
    }
    eprintln!("accounts {ADMIN} (may replicate), alice, bob; password {PASSWORD}; Ctrl-C ends all");
    // The sender lives as long as the process: this waits for a signal.
    let _ = stopped.recv();
    Ok(())
}
