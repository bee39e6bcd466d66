//! Mail and changes that keep arriving at a Cyrus: by LMTP from one side, by IMAP from the other.

use super::lag::Ledger;
use crate::cyrus::{ADMIN, Cyrus, PASSWORD};
use crate::error::readable;
use crate::imap::Imap;
use crate::lmtp::Lmtp;
use crate::population::DATE;
use crate::rng::Rng;
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The folder that takes what comes by IMAP; INBOX takes what comes by LMTP.
const FOLDER: &str = "work";

/// Creates the users' mailboxes on `cyrus`, which has unixhierarchysep.
pub fn prepare(cyrus: &Cyrus, users: &[&str]) -> Result<()> {
    let mut admin = cyrus.imap(ADMIN)?;
    for user in users {
        admin.create(&format!("user/{user}"))?;
        cyrus.imap(user)?.create(&format!("INBOX/{FOLDER}"))?;
    }
    Ok(())
}

/// Wire names of the mailboxes in which mail of [`Traffic`] arrives.
pub fn mailboxes(users: &[&str]) -> Vec<String> {
    let both = |user: &&str| [inbox(user), format!("{}.{FOLDER}", inbox(user))];
    users.iter().flat_map(both).collect()
}

/// Wire name of a user's INBOX: a dot within a level is a circumflex.
pub(super) fn inbox(user: &str) -> String {
    format!("user.{}", user.replace('.', "^"))
}

/// What is to arrive.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Operations a second of each of the two sides.
    pub rate: u32,
    /// Decides everything else.
    pub seed: u64,
}

/// Two threads that change a Cyrus until they are told to end.
#[derive(Debug)]
pub struct Traffic {
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Traffic {
    /// Starts delivering to `users` of `cyrus`, whose mailboxes [`prepare`] has made. What arrives is noted in `ledger`.
    pub fn start(cyrus: &Cyrus, users: &[&str], ledger: &Ledger, plan: Plan) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let changes = Arc::new(AtomicU64::new(0));
        let users: Vec<String> = users.iter().map(|&user| user.to_owned()).collect();
        let side = |rng| Side {
            users: users.clone(),
            ledger: ledger.clone(),
            rng,
            pause: Duration::from_secs(1) / plan.rate.max(1),
            stop: Arc::clone(&stop),
            changes: Arc::clone(&changes),
        };
        let mut rng = Rng::new(plan.seed);
        let (outside, inside) = (side(Rng::new(rng.next_u64())), side(Rng::new(rng.next_u64())));
        let (lmtp, imap) = (cyrus.lmtp_address(), cyrus.imap_address());
        let threads = vec![
            thread::spawn(move || outside.deliver(&lmtp)),
            thread::spawn(move || inside.work(&imap)),
        ];
        Traffic {
            stop,
            changes,
            threads,
        }
    }

    /// Ends the traffic. Returns how many changes were made; an error when the server refused mail.
    pub fn end(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let joined = thread.join();
            joined.map_err(|_| Error::Process("a thread of the traffic panicked".into()))??;
        }
        Ok(self.changes.load(Ordering::SeqCst))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Side {
    users: Vec<String>,
    ledger: Ledger,
    rng: Rng,
    pause: Duration,
    stop: Arc<AtomicBool>,
    changes: Arc<AtomicU64>,
}

impl Side {
    fn goes_on(&self) -> bool {
        self.changes.fetch_add(1, Ordering::SeqCst);
        thread::sleep(self.pause);
        !self.stop.load(Ordering::SeqCst)
    }

    fn message(&mut self, subject: &str) -> Vec<u8> {
        let size = 200 + self.rng.below(8000);
        let body = self.rng.bytes(size, b"abcdefgh ijklmnop\t");
        format!(
            "From: a@example.org\r\nSubject: {subject}\r\n\r\n{}\r\n",
            readable(&body, size)
        )
        .into_bytes()
    }

    /// One to three recipients a message. Nobody else appends to an INBOX, so the UIDs are known.
    fn deliver(mut self, address: &str) -> Result<()> {
        let mut lmtp = Lmtp::connect(address)?;
        let mut uids = vec![0u32; self.users.len()];
        let mut number = 0;
        loop {
            number += 1;
            let message = self.message(&format!("delivery {number}"));
            let first = self.rng.below(self.users.len());
            let count = 1 + self.rng.below(3.min(self.users.len()));
            let chosen: Vec<usize> = (0..count).map(|step| (first + step) % self.users.len()).collect();
            let names: Vec<&str> = chosen.iter().map(|&user| self.users[user].as_str()).collect();
            lmtp.deliver(&names, &message)?;
            for user in chosen {
                uids[user] += 1;
                self.ledger.delivered(&inbox(&self.users[user]), uids[user], None);
            }
            if !self.goes_on() {
                return Ok(());
            }
        }
    }

    /// What people do with their mail.
    fn work(mut self, address: &str) -> Result<()> {
        let mut sessions = Vec::new();
        for user in &self.users {
            let mut imap = Imap::connect(address)?;
            imap.login(user, PASSWORD)?;
            sessions.push(imap);
        }
        let mut number = 0;
        loop {
            number += 1;
            let user = self.rng.below(sessions.len());
            match self.once(&mut sessions[user], user, number) {
                // No such message or mailbox any more: nothing has changed, which is fine.
                Ok(()) | Err(Error::Refused { .. }) => {}
                Err(error) => return Err(error),
            }
            if !self.goes_on() {
                return Ok(());
            }
        }
    }

    fn once(&mut self, imap: &mut Imap, user: usize, number: u32) -> Result<()> {
        let folder = format!("INBOX/{FOLDER}");
        let own = format!("INBOX/folder {}", number % 50);
        match self.rng.below(12) {
            0 => {
                imap.select("INBOX")?;
                imap.expunge(&format!("{}", 1 + self.rng.below(30)))
            }
            1 | 2 => {
                imap.select("INBOX")?;
                imap.store(
                    &format!("1:{}", 1 + self.rng.below(40)),
                    "+FLAGS.SILENT",
                    "(\\Seen done)",
                )
            }
            3 => {
                imap.select(&folder)?;
                let flags = ["(\\Flagged)", "($Junk)", "(\\Answered \\Draft)"][self.rng.below(3)];
                imap.store(&format!("{}:*", 1 + self.rng.below(20)), "-FLAGS.SILENT", flags)
            }
            4 => imap.create(&own).and_then(|()| imap.subscribe(&own)),
            5 => {
                imap.select("INBOX")?;
                imap.simple(&format!("UID COPY 1:3 \"INBOX/folder {}\"", self.rng.below(50)))
                    .map(drop)
            }
            6 => imap.delete(&format!("INBOX/folder {}", self.rng.below(50))),
            _ => {
                let message = self.message(&format!("append {number}"));
                let flags = ["()", "(\\Seen)", "(\\Flagged todo)"][self.rng.below(3)];
                let uid = imap.append(&folder, flags, DATE, &message)?;
                let mailbox = format!("{}.{FOLDER}", inbox(&self.users[user]));
                self.ledger.delivered(&mailbox, uid, None);
                Ok(())
            }
        }
    }
}
