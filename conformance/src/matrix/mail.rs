//! The mail that the pairs are tried with: a user with some of everything, and changes of every kind.

use super::node::Node;
use crate::Result;
use crate::cyrus::ADMIN;
use crate::population::mail::plain;
use crate::population::{DATE, hex, put_script};
use sha1::{Digest, Sha1};

/// The GUID of message `number`.
pub fn guid(number: usize) -> String {
    hex(&Sha1::digest(plain(number)))
}

/// Messages that [`fill`] puts in, by number.
pub const FILLED: [usize; 6] = [1, 2, 3, 4, 11, 12];

/// A user with two mailboxes.
pub fn fill(node: &Node, user: &str) -> Result<()> {
    let mut admin = node.imap.imap(ADMIN)?;
    admin.create(&format!("user/{user}"))?;
    admin.set_quota(&format!("user/{user}"), "(STORAGE 100000)")?;
    let mut imap = node.imap.imap(user)?;
    imap.append("INBOX", "()", DATE, &plain(1))?;
    imap.append("INBOX", "(\\Seen \\Flagged)", DATE, &plain(2))?;
    imap.append("INBOX", "($Forwarded work)", DATE, &plain(3))?;
    imap.append("INBOX", "(\\Answered)", DATE, &plain(4))?;
    imap.append("INBOX", "()", DATE, &plain(5))?;
    imap.select("INBOX")?;
    imap.store("5", "+FLAGS", "(\\Deleted)")?;
    imap.expunge("5")?;
    imap.annotate("1", "/comment", "value.shared", Some(b"short"))?;
    imap.create("INBOX/a folder")?;
    imap.append("INBOX/a folder", "()", DATE, &plain(11))?;
    imap.append("INBOX/a folder", "(\\Draft)", DATE, &plain(12))?;
    imap.create("INBOX/to delete")?;
    imap.create("INBOX/to rename")?;
    imap.append("INBOX/to rename", "()", DATE, &plain(1))?;
    imap.subscribe("INBOX/a folder")?;
    imap.set_acl("INBOX/a folder", "anyone", "lr")?;
    imap.set_metadata("INBOX", "/private/comment", Some(b"mine"))?;
    put_script(&mut node.imap.csync()?, user, "default", "keep;\r\n")?;
    node.settle(user)
}

/// Values that go over the wire as literals: lines, quotes and bytes of eight bits.
pub fn literals(node: &Node, user: &str) -> Result<()> {
    let mut imap = node.imap.imap(user)?;
    imap.select("INBOX")?;
    imap.annotate("2", "/comment", "value.shared", Some(b"two\r\nlines \"quoted\""))?;
    imap.set_metadata("INBOX", "/shared/comment", Some("gr\u{fc}n".as_bytes()))?;
    node.settle(user)
}

/// Changes of every kind; new messages have numbers from `base` on.
pub fn change(node: &Node, user: &str, base: usize) -> Result<()> {
    let mut imap = node.imap.imap(user)?;
    imap.append("INBOX", "()", DATE, &plain(base))?;
    imap.append("INBOX/a folder", "(new)", DATE, &plain(base + 1))?;
    imap.select("INBOX")?;
    imap.store("1", "+FLAGS", "(\\Seen \\Flagged)")?;
    imap.store("3", "-FLAGS", "(work)")?;
    imap.annotate("1", "/comment", "value.shared", Some(b"changed"))?;
    imap.store("2", "+FLAGS", "(\\Deleted)")?;
    imap.expunge("2")?;
    imap.rename("INBOX/to rename", "INBOX/renamed")?;
    imap.create("INBOX/made")?;
    imap.append("INBOX/made", "()", DATE, &plain(base + 2))?;
    imap.unsubscribe("INBOX/a folder")?;
    imap.subscribe("INBOX/made")?;
    imap.delete("INBOX/to delete")?;
    let mut admin = node.imap.imap(ADMIN)?;
    admin.set_quota(&format!("user/{user}"), "(STORAGE 200000)")?;
    node.settle(user)
}

/// Another script; of its own because csync logs nothing on its way to a Cyrus, so that a rolling client cannot know.
pub fn change_script(node: &Node, user: &str) -> Result<()> {
    put_script(&mut node.imap.csync()?, user, "default", "discard;\r\n")?;
    node.settle(user)
}

/// Messages that are there after [`change`].
pub fn changed(base: usize) -> Vec<usize> {
    let kept = FILLED.into_iter().filter(|number| *number != 2);
    kept.chain(base..base + 3).collect()
}

/// What the master does while it cannot see the replica.
pub fn split_master(node: &Node, user: &str) -> Result<()> {
    let mut imap = node.imap.imap(user)?;
    imap.append("INBOX", "()", DATE, &plain(21))?;
    imap.select("INBOX")?;
    imap.store("1", "+FLAGS", "(\\Flagged)")?;
    imap.store("4", "+FLAGS", "(\\Deleted)")?;
    imap.expunge("4")?;
    imap.create("INBOX/ours")?;
    imap.append("INBOX/ours", "()", DATE, &plain(22))?;
    node.settle(user)
}

/// What the replica does meanwhile.
pub fn split_replica(node: &Node, user: &str) -> Result<()> {
    let mut imap = node.imap.imap(user)?;
    imap.append("INBOX", "(\\Seen)", DATE, &plain(23))?;
    imap.append("INBOX", "()", DATE, &plain(24))?;
    imap.select("INBOX")?;
    imap.store("3", "+FLAGS", "(\\Answered)")?;
    imap.create("INBOX/theirs")?;
    imap.append("INBOX/theirs", "()", DATE, &plain(25))?;
    node.settle(user)
}

/// Messages that nobody deleted in the split.
pub fn split_left() -> Vec<usize> {
    let kept = FILLED.into_iter().filter(|number| *number != 4);
    kept.chain(21..=25).collect()
}
