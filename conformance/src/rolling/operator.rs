//! An operator who changes a store of ours with `mailtwin`, over and over.

use super::lag::Ledger;
use super::node::Side;
use super::traffic::{Plan, inbox};
use crate::csync::dlist::string;
use crate::error::readable;
use crate::programs::Twin;
use crate::rng::Rng;
use crate::{Error, Result, process, programs};
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest that one command may take: it may have to wait for a lock.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Messages that must be somewhere at the end, by the hash of their bytes: whatever became of their UIDs. Clones share
/// them.
#[derive(Debug, Clone, Default)]
pub struct Promised(Arc<Mutex<BTreeSet<String>>>);

impl Promised {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn add(&self, message: &[u8]) {
        let guid: String = Sha1::digest(message)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.lock().insert(guid);
    }

    /// An error when one of them is not in `mailbox` of a server.
    pub fn check(&self, what: &str, side: Side<'_>, mailbox: &str) -> Result<()> {
        let promised = self.lock();
        if promised.is_empty() {
            return Ok(());
        }
        let command = [b"GET FULLMAILBOX ", string(mailbox.as_bytes()).as_slice()].concat();
        let answer = side.csync()?.run(&command)?;
        let mut there = BTreeSet::new();
        for record in answer
            .all("MAILBOX")
            .filter_map(|mailbox| mailbox.get("RECORD"))
            .flat_map(|records| records.members())
        {
            there.extend(record.text("GUID"));
        }
        let lost: Vec<&String> = promised.difference(&there).take(5).collect();
        if lost.is_empty() {
            return Ok(());
        }
        Err(Error::Process(format!("{what}: lost from {mailbox}: {lost:?}")))
    }
}

/// A thread that changes a store until it is told to end.
#[derive(Debug)]
pub struct Operator {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64>>>,
}

impl Operator {
    /// Starts changing the mail of `users` in the store of `twin`, which is number `server` of the ledger: of the first
    /// everything, of the second, whom others change as well, messages and flags of the INBOX.
    pub fn start(
        twin: &Twin,
        server: usize,
        users: [&str; 2],
        (ledger, promised): (&Ledger, &Promised),
        plan: Plan,
    ) -> Operator {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            conf: twin.configuration(),
            file: twin.directory().join(format!("operator-{}", users[0])),
            server,
            own: users[0].to_owned(),
            both: users[1].to_owned(),
            ledger: ledger.clone(),
            promised: promised.clone(),
            rng: Rng::new(plan.seed),
            pause: Duration::from_secs(1) / plan.rate.max(1),
        };
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || work.go_on(&told));
        Operator {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it. Returns how many changes it made; an error when one was refused that must not be.
    pub fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map_or(Ok(Ok(0)), JoinHandle::join);
        ended.map_err(|_| Error::Process("the operator's thread panicked".into()))?
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Work {
    conf: PathBuf,
    /// Where the next message is written for the command.
    file: PathBuf,
    server: usize,
    own: String,
    both: String,
    ledger: Ledger,
    promised: Promised,
    rng: Rng,
    pause: Duration,
}

impl Work {
    fn go_on(mut self, stop: &AtomicBool) -> Result<u64> {
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            self.once(number)?;
            thread::sleep(self.pause);
        }
        Ok(number)
    }

    fn mailtwin(&self, arguments: &[&str]) -> Result<process::Output> {
        let mut command = Command::new(programs::folder()?.join("mailtwin"));
        command.arg("-C").arg(&self.conf).env_remove("RUST_LOG");
        process::run(command.args(arguments), COMMAND_LIMIT)
    }

    /// A command that has to succeed.
    fn must(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .mailtwin(arguments)?
            .success(&format!("mailtwin {arguments:?}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A command that may find nothing to do: what it names may not be there.
    fn may(&self, arguments: &[&str]) -> Result<()> {
        self.mailtwin(arguments).map(drop)
    }

    fn append(&mut self, mailbox: &str, subject: &str) -> Result<(u32, Vec<u8>)> {
        let size = 200 + self.rng.below(8000);
        let body = self.rng.bytes(size, b"abcdefgh ijklmnop\t");
        let message = format!(
            "From: o@example.org\r\nSubject: {subject} at server {}\r\n\r\n{}\r\n",
            self.server,
            readable(&body, size)
        );
        std::fs::write(&self.file, &message).map_err(Error::io("writing a message"))?;
        let path = self.file.display().to_string();
        let said = self.must(&["append", mailbox, &path])?;
        let uid = said.trim().parse();
        let uid = uid.map_err(|_| Error::Unreadable(format!("mailtwin append said {said:?}")))?;
        Ok((uid, message.into_bytes()))
    }

    fn once(&mut self, number: u64) -> Result<()> {
        let (own, both) = (format!("user/{}", self.own), format!("user/{}", self.both));
        let uids = format!("{}:*", 1 + self.rng.below(30));
        let flag = ["+\\Seen", "-\\Seen", "+\\Flagged", "+todo", "-todo"][self.rng.below(5)];
        match self.rng.below(14) {
            0 | 1 => self.may(&["flag", &own, &uids, flag]),
            2 | 3 => self.may(&["flag", &both, &uids, flag]),
            4..=6 => {
                let (_, message) = self.append(&both, &format!("shared {number}"))?;
                self.promised.add(&message);
                Ok(())
            }
            7 => {
                let uid = (1 + self.rng.below(20)).to_string();
                self.may(&["expunge", &own, &uid])
            }
            8 => self.folder(&own, number),
            9 => self.meta(&own, number),
            _ => {
                let (uid, _) = self.append(&own, &format!("own {number}"))?;
                self.ledger.delivered(&inbox(&self.own), uid, Some(self.server));
                Ok(())
            }
        }
    }

    fn folder(&mut self, own: &str, number: u64) -> Result<()> {
        let old = format!("{own}/folder {}", self.rng.below(10));
        match self.rng.below(4) {
            0 => self.may(&["delete", &old]),
            1 => self.may(&["rename", &old, &format!("{own}/renamed {number}")]),
            _ => {
                self.may(&["create", &old])?;
                self.append(&old, &format!("in a folder {number}")).map(drop)
            }
        }
    }

    fn meta(&mut self, own: &str, number: u64) -> Result<()> {
        let folder = format!("INBOX/folder {}", self.rng.below(10));
        let value = number.to_string();
        match self.rng.below(5) {
            0 => self.may(&["subscribe", &self.own, &folder]),
            1 => self.may(&["unsubscribe", &self.own, &folder]),
            2 => self.must(&["annotate", own, "/comment", &value]).map(drop),
            3 => self
                .must(&["quota", own, "--storage", &(1_000_000 + number).to_string()])
                .map(drop),
            _ => {
                std::fs::write(&self.file, format!("# {number}\r\nkeep;\r\n"))
                    .map_err(Error::io("writing a script"))?;
                let path = self.file.display().to_string();
                self.must(&["sieve", "put", &self.own, "filter", &path, "--activate"])
                    .map(drop)
            }
        }
    }
}
