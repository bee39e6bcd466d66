//! A server of a rolling run, whoever wrote it, and the client that rolls from one of ours.

use crate::Result;
use crate::csync::Csync;
use crate::cyrus::{self, Cyrus};
use crate::process::Daemon;
use crate::programs::Twin;
use crate::{Error, process};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// A whole Cyrus.
    Cyrus(&'a Cyrus),
    /// Our `sync_server` over a store of ours.
    Twin(&'a Twin),
}

impl Side<'_> {
    /// A connection of the administrator.
    pub fn csync(self) -> Result<Csync> {
        match self {
            Side::Cyrus(cyrus) => cyrus.csync(),
            Side::Twin(twin) => twin.csync(),
        }
    }
}

/// A server that can be stopped, killed and started again on what it left on disk.
#[derive(Debug)]
pub enum Node {
    /// Our `sync_server` over a store of ours.
    Twin(Box<Twin>),
    /// A whole Cyrus.
    Cyrus(Box<Cyrus>),
}

impl Node {
    /// `HOST:PORT` of its csync service.
    pub fn address(&self) -> String {
        match self {
            Node::Twin(twin) => twin.address(),
            Node::Cyrus(cyrus) => cyrus.csync_address(),
        }
    }

    /// The server as one side of a comparison.
    pub fn side(&self) -> Side<'_> {
        match self {
            Node::Twin(twin) => Side::Twin(twin),
            Node::Cyrus(cyrus) => Side::Cyrus(cyrus),
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<()> {
        match self {
            Node::Twin(twin) => twin.stop(),
            // One that takes longer than a service manager waits is killed, which is what it would do then.
            Node::Cyrus(cyrus) => cyrus.stop().or_else(|_| cyrus.kill()),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        match self {
            Node::Twin(twin) => twin.kill(),
            Node::Cyrus(cyrus) => cyrus.kill(),
        }
    }

    /// Starts it again.
    pub fn start(&mut self) -> Result<()> {
        match self {
            Node::Twin(twin) => twin.start(),
            Node::Cyrus(cyrus) => cyrus.restart(),
        }
    }

    /// A last look: `mailtwin verify` on a store of ours. Cyrus has nothing like it.
    pub fn verify(&self) -> Result<()> {
        match self {
            Node::Twin(twin) => twin.mailtwin(&["verify"])?.success("mailtwin verify").map(drop),
            Node::Cyrus(_) => Ok(()),
        }
    }

    /// What it said on standard error.
    pub fn log(&self) -> String {
        match self {
            Node::Twin(twin) => twin.log(),
            Node::Cyrus(_) => String::new(),
        }
    }
}

/// Lines of a [`Twin`]'s imapd.conf for channels, pairs of a name and the `HOST:PORT` that it leads to; with `chain`
/// its server logs what it takes from its own master.
pub fn twin_channels(channels: &[(&str, &str)], chain: bool) -> Vec<String> {
    let mut lines: Vec<String> = cyrus::channel_keys(channels)
        .into_iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    if chain {
        lines.push("sync_log_chain: yes".to_owned());
    }
    lines
}

/// Our `sync_client -R` on one channel of a store of ours.
#[derive(Debug)]
pub struct Roller {
    channel: String,
    log: PathBuf,
    daemon: Option<Daemon>,
}

impl Roller {
    /// Starts rolling on `channel` of the store `twin`, with more arguments when `extra` has any.
    pub fn start(twin: &Twin, channel: &str, extra: &[&str]) -> Result<Roller> {
        let log = twin.directory().join(format!("rolling-{channel}.log"));
        let mut roller = Roller {
            channel: channel.to_owned(),
            log,
            daemon: None,
        };
        roller.again(twin, extra)?;
        Ok(roller)
    }

    /// Starts it again after it was stopped or killed.
    pub fn again(&mut self, twin: &Twin, extra: &[&str]) -> Result<()> {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(Error::io("opening the rolling client's log"))?;
        let copy = file
            .try_clone()
            .map_err(Error::io("duplicating the log handle"))?;
        let mut command = twin.command("sync_client")?;
        command
            .args(["-R", "-n", &self.channel])
            .args(extra)
            .stdout(Stdio::from(copy))
            .stderr(Stdio::from(file));
        self.daemon = Some(Daemon::start(&mut command)?);
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.take().map_or(Ok(()), |mut daemon| daemon.kill())
    }

    /// SIGTERM; an error when it does not end within 15 seconds.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        let ended = daemon.terminate(Duration::from_secs(15));
        let told = || Error::Process(format!("sync_client -R on SIGTERM does not end\n{}", self.log()));
        ended.map(drop).ok_or_else(told)
    }

    /// The status when it ended by itself, which it never should.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.daemon.as_mut().and_then(Daemon::ended)
    }

    /// What it said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// SIGKILL to the stock `sync_client` that cyrmaster keeps running for `channel`; cyrmaster starts it again.
/// Whether there was one at this moment.
pub fn kill_stock_client(master: &Cyrus, channel: &str) -> bool {
    let found = process::children(master.master_pid())
        .into_iter()
        .find(|(_, command)| {
            let words: Vec<&str> = command.split_whitespace().collect();
            words.iter().any(|word| word.ends_with("sync_client"))
                && words.windows(2).any(|pair| pair == ["-n", channel])
        });
    if let Some((id, _)) = &found {
        process::signal("KILL", *id);
    }
    found.is_some()
}
