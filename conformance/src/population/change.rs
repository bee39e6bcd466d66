//! Changes of every kind on a filled server.

use super::mail::{common, plain};
use super::{DATE, activate_script, put_script};
use crate::Result;
use crate::csync::Csync;
use crate::cyrus::{ADMIN, Cyrus};
use crate::imap::Imap;

/// Changes what [`super::fill`] made: append, flag, keyword, expunge, copy, move, rename, delete,
/// create, subscribe, annotate, ACL, quota, seen, sieve.
///
/// Renaming or deleting a *shared* mailbox is left out on purpose: an all-users run of Cyrus 3.6 names
/// only the mailboxes that exist now, so a renamed shared mailbox meets its old self on the replica
/// (`IMAP_MAILBOX_MOVED`); see [`rename_shared`].
pub fn change(cyrus: &Cyrus) -> Result<()> {
    let mut alice = cyrus.imap("alice")?;
    messages(&mut alice)?;
    mailboxes(&mut alice)?;
    notes(&mut alice)?;
    alice.subscribe("INBOX/New one")?;
    alice.subscribe("INBOX/Archive")?;
    alice.unsubscribe("INBOX/Projects")?;
    others(cyrus)?;
    quota(&mut cyrus.imap(ADMIN)?)?;
    let mut csync = cyrus.csync()?;
    // At once, without the delay that IMAP deletes have. (Not one with children: Cyrus 3.6 does not
    // carry over that a mailbox has become a place holder.)
    csync.run(b"APPLY UNMAILBOX user.alice.deep.0.1.2.3.4.5.6.7.8.9.10")?;
    sieve(&mut csync)
}

/// Renames a shared mailbox and adds a message. Returns the old and the new name as `sync_client -m`
/// takes them: a run by mailbox that names both is what rolling replication would do.
pub fn rename_shared(cyrus: &Cyrus) -> Result<[&'static str; 2]> {
    let names = ["shared/team/Old stuff", "shared/Older stuff"];
    let mut admin = cyrus.imap(ADMIN)?;
    admin.rename(names[0], names[1])?;
    admin.append(names[1], "()", DATE, &plain(700))?;
    Ok(names)
}

fn messages(imap: &mut Imap) -> Result<()> {
    imap.append("INBOX", "(\\Seen added)", DATE, &plain(400))?;
    imap.append("INBOX", "()", DATE, &common())?;
    imap.append("INBOX/Empty", "(\\Flagged)", DATE, &plain(401))?;
    imap.select("INBOX")?;
    imap.store("1", "-FLAGS.SILENT", "(\\Seen)")?;
    imap.store("2", "+FLAGS.SILENT", "(\\Seen \\Flagged)")?;
    imap.store("7", "-FLAGS.SILENT", "(keyword0 keyword1 $Forwarded)")?;
    imap.store("8", "FLAGS.SILENT", "(brandnew)")?;
    imap.simple("UID EXPUNGE 5")?;
    imap.simple("UID COPY 1:2 \"INBOX/&ZeVnLIqe-\"")?;
    imap.simple("UID MOVE 3 \"INBOX/Archive\"")?;
    imap.select("INBOX/Projects")?;
    imap.expunge("30:35")?;
    imap.store("40:50", "+FLAGS.SILENT", "(\\Answered again)")?;
    imap.append("INBOX/Raw", "()", DATE, &plain(402)).map(drop)
}

fn mailboxes(imap: &mut Imap) -> Result<()> {
    imap.create("INBOX/New one")?;
    imap.append("INBOX/New one", "(\\Draft)", DATE, &plain(500))?;
    // The children follow.
    imap.rename("INBOX/ToRename", "INBOX/Renamed to this")?;
    // The old name gets a new identity.
    imap.create("INBOX/ToRename")?;
    imap.append("INBOX/ToRename", "()", DATE, &plain(501))?;
    imap.rename("INBOX/v1.2.release", "INBOX/deep/v1.3")?;
    imap.delete("INBOX/ToDelete/child")?;
    imap.delete("INBOX/ToDelete")?;
    imap.delete("INBOX/NIL")?;
    imap.create("INBOX/NIL")?;
    imap.set_acl("INBOX/Projects", "bob", "lrs")?;
    imap.set_acl("INBOX/Projects", "carol", "lr")?;
    imap.run(
        crate::imap::Command::new("DELETEACL")
            .string(b"INBOX/Projects")
            .raw("anyone"),
    )
    .map(drop)
}

fn notes(imap: &mut Imap) -> Result<()> {
    imap.select("INBOX")?;
    imap.annotate("1", "/comment", "value.shared", Some(b"changed"))?;
    imap.annotate("1", "/comment", "value.priv", None)?;
    imap.annotate("2", "/vendor/example/binary", "value.shared", Some(b"\xff\0\r\n"))?;
    imap.annotate("4", "/vendor/example/long", "value.shared", None)?;
    imap.annotate("9", "/vendor/example/new", "value.priv", Some(b"new"))?;
    imap.set_metadata("INBOX", "/shared/comment", Some(b"changed too"))?;
    imap.set_metadata("INBOX", "/private/comment", None)?;
    imap.set_metadata("INBOX/Archive", "/private/comment", Some(b"\xfe\xff"))
}

fn others(cyrus: &Cyrus) -> Result<()> {
    let mut bob = cyrus.imap("bob")?;
    bob.select("shared/team")?;
    bob.store("5:6", "+FLAGS.SILENT", "(\\Seen)")?;
    bob.store("1", "-FLAGS.SILENT", "(\\Seen)")?;
    bob.append("shared/team", "(\\Answered)", DATE, &plain(600))?;
    bob.unsubscribe("INBOX/Sent")?;
    let mut admin = cyrus.imap(ADMIN)?;
    admin.create("shared/new")?;
    admin.append("shared/new", "()", DATE, &plain(601))?;
    admin.set_acl("shared/new", "anyone", "lrsp")?;
    let note = "(%(ENTRY /comment USERID \"\" MODSEQ 0 VALUE \"the team's new mail\"))";
    super::replay::set(&mut cyrus.csync()?, "shared.team", &[("ANNOTATIONS", note)])?;
    let mut dave = cyrus.imap("dave.dots")?;
    dave.append("INBOX", "()", DATE, &plain(602)).map(drop)
}

fn quota(admin: &mut Imap) -> Result<()> {
    admin.set_quota("user/alice", "(STORAGE 200000 MESSAGE 6000)")?;
    admin.set_quota("user/carol", "(STORAGE 1)")
}

fn sieve(csync: &mut Csync) -> Result<()> {
    put_script(csync, "alice", "vacation", "discard;\r\n")?;
    activate_script(csync, "alice", "vacation")?;
    csync.run(b"APPLY UNSIEVE %(USERID alice FILENAME long.script)")?;
    put_script(csync, "dave.dots", "fresh", "keep;\r\n")?;
    activate_script(csync, "dave.dots", "fresh")
}
