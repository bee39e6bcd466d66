//! One of the two servers of a pair, whoever wrote it.

use crate::csync::Csync;
use crate::cyrus::{Cyrus, Setup, Version};
use crate::process::{Daemon, Output};
use crate::programs::Twin;
use crate::{Error, Result};
use std::fmt;
use std::process::Stdio;

/// The channel that both log for and roll on.
const CHANNEL: &str = "matrix";

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Cyrus of a version.
    Cyrus(Version),
    /// Ours.
    Mailtwin,
}

impl Subject {
    /// All of them.
    pub const ALL: [Subject; 5] = [
        Subject::Cyrus(Version::V3_2),
        Subject::Cyrus(Version::V3_6),
        Subject::Cyrus(Version::V3_10),
        Subject::Cyrus(Version::V3_12),
        Subject::Mailtwin,
    ];

    /// Such as `3.10` or `mailtwin`.
    pub const fn name(self) -> &'static str {
        match self {
            Subject::Cyrus(version) => version.name(),
            Subject::Mailtwin => "mailtwin",
        }
    }

    /// The subject with this name.
    pub fn named(name: &str) -> Option<Subject> {
        Subject::ALL.into_iter().find(|subject| subject.name() == name)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running server with a way to change its mail.
///
/// Ours has no IMAP. Its mail is changed with that of a Cyrus, its *hand*, which then replicates to it.
#[derive(Debug)]
pub struct Node {
    /// Where IMAP is: the server itself, or the hand of ours.
    pub imap: Cyrus,
    twin: Option<Twin>,
}

impl Node {
    /// Starts a server; `hand` is the version of the hand, should it need one.
    pub fn start(subject: Subject, role: &str, hand: Version, users: &[&str]) -> Result<Node> {
        let (version, twin) = match subject {
            Subject::Cyrus(version) => (version, None),
            Subject::Mailtwin => {
                let lines = [
                    "sync_log: yes".to_owned(),
                    format!("sync_log_channels: {CHANNEL}"),
                    "sync_log_chain: yes".to_owned(),
                ];
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                let mut twin = Twin::tcp(role, &lines)?;
                twin.start()?;
                (hand, Some(twin))
            }
        };
        let mut setup = Setup::new(role, users)
            .version(version)
            .with("sync_log", "yes")
            .with("sync_log_channels", CHANNEL);
        setup.in_memory = true;
        Ok(Node {
            imap: Cyrus::start(setup)?,
            twin,
        })
    }

    /// Where its csync listens.
    pub fn address(&self) -> String {
        self.twin
            .as_ref()
            .map_or_else(|| self.imap.csync_address(), Twin::address)
    }

    /// An administrator's connection.
    pub fn csync(&self) -> Result<Csync> {
        match &self.twin {
            Some(twin) => twin.csync(),
            None => self.imap.csync(),
        }
    }

    /// Brings what was changed by IMAP into the server, where that is another one.
    pub fn settle(&self, user: &str) -> Result<()> {
        let Some(twin) = &self.twin else { return Ok(()) };
        let run = self.imap.sync_client(&twin.address(), &["-u", user])?;
        run.success("from the hand to ours").map(drop)
    }

    /// Brings what `other` has into the hand, so that it can go on from there.
    pub fn learn(&self, other: &Node, user: &str) -> Result<()> {
        if self.twin.is_none() {
            return Ok(());
        }
        let run = other
            .imap
            .sync_client(&self.imap.csync_address(), &["-u", user])?;
        run.success("into the hand").map(drop)
    }

    /// Its own `sync_client`, to `target`.
    pub fn replicate(&self, target: &Node, user: &str) -> Result<Output> {
        let arguments = ["-v", "-u", user];
        match &self.twin {
            Some(twin) => twin.sync_client(&target.address(), &arguments),
            None => self.imap.sync_client(&target.address(), &arguments),
        }
    }

    /// Starts its own rolling client, to `target`.
    pub fn roll(&self, target: &Node) -> Result<Daemon> {
        let arguments = ["-R", "-n", CHANNEL];
        let mut command = match &self.twin {
            Some(twin) => twin.sync_client_command(&target.address(), &arguments)?,
            None => self.imap.sync_client_command(&target.address(), &arguments),
        };
        let folder = self.twin.as_ref().map_or(self.imap.directory(), Twin::directory);
        let log =
            std::fs::File::create(folder.join("rolling.log")).map_err(Error::io("creating rolling.log"))?;
        let copy = log.try_clone().map_err(Error::io("duplicating the log handle"))?;
        Daemon::start(command.stdout(Stdio::from(log)).stderr(Stdio::from(copy)))
    }

    /// What the rolling client said.
    pub fn rolling_log(&self) -> String {
        let folder = self.twin.as_ref().map_or(self.imap.directory(), Twin::directory);
        let bytes = std::fs::read(folder.join("rolling.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
