//! Real Cyrus servers as masters and replicas of a benchmark.

use anyhow::Result;
use conformance::cyrus::{Cyrus, Setup};

use crate::mail::{self, Sizes};

/// Starts a server with the given accounts.
pub fn start(name: &str, users: &[&str]) -> Result<Cyrus> {
    Ok(Cyrus::start(Setup::new(name, users))?)
}

/// Puts `count` generated messages into a user's INBOX through IMAP.
pub fn append(cyrus: &Cyrus, user: &str, series: u64, count: u64, sizes: Sizes) -> Result<()> {
    let mut admin = cyrus.imap(conformance::cyrus::ADMIN)?;
    // Refused when it exists already, which is as good.
    let _ = admin.create(&format!("user/{user}"));
    let mut imap = cyrus.imap(user)?;
    for n in 0..count {
        imap.append(
            "INBOX",
            "()",
            "02-Nov-2026 10:00:00 +0000",
            &mail::message(series, n, sizes),
        )?;
    }
    Ok(())
}

/// Sets or clears `\Flagged` on `count` messages spread evenly over a user's INBOX.
pub fn flag(cyrus: &Cyrus, user: &str, count: u64, of: u64) -> Result<()> {
    let mut imap = cyrus.imap(user)?;
    imap.select("INBOX")?;
    let step = (of / count).max(1);
    let set: Vec<String> = (1..=count).map(|i| (i * step).to_string()).collect();
    imap.store(&set.join(","), "+FLAGS.SILENT", "(\\Flagged)")?;
    Ok(())
}

/// Makes a user with an INBOX and so many folders that the administrator may write to.
pub fn make_user(cyrus: &Cyrus, user: &str, folders: usize) -> Result<()> {
    let mut admin = cyrus.imap(conformance::cyrus::ADMIN)?;
    let inbox = format!("user/{user}");
    admin.create(&inbox)?;
    admin.set_acl(&inbox, conformance::cyrus::ADMIN, "lrswipkxtecda")?;
    for n in 1..=folders {
        admin.create(&format!("{inbox}/f{n:05}"))?;
    }
    Ok(())
}

/// Appends one generated message to each of a user's mailboxes, the administrator being the writer.
pub fn append_to_each(cyrus: &Cyrus, user: &str, folders: usize, series: u64) -> Result<()> {
    let mut admin = cyrus.imap(conformance::cyrus::ADMIN)?;
    for n in 0..=folders {
        let name = match n {
            0 => format!("user/{user}"),
            _ => format!("user/{user}/f{n:05}"),
        };
        let bytes = mail::message(series, n as u64, Sizes::Tiny);
        admin.append(&name, "()", "02-Nov-2026 10:00:00 +0000", &bytes)?;
    }
    Ok(())
}
