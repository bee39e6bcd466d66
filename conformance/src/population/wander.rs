//! Random changes: what nobody thought of writing down.

use super::mail::plain;
use super::{DATE, activate_script, put_script};
use crate::cyrus::{ADMIN, Cyrus};
use crate::imap::{Imap, Value};
use crate::rng::Rng;
use crate::{Error, Result};

/// Makes `count` random changes, decided by `rng`, on a server that [`super::fill`] has filled. `round` keeps new names
/// apart from those of earlier rounds: names that change places are beyond what Cyrus 3.6 can replicate.
pub fn wander(cyrus: &Cyrus, round: u32, count: usize, rng: &mut Rng) -> Result<()> {
    let mut walk = Walk {
        cyrus,
        round,
        step: 0,
        user: ["alice", "bob"][rng.below(2)],
    };
    let mut imap = cyrus.imap(walk.user)?;
    for _ in 0..count {
        walk.step += 1;
        match walk.once(&mut imap, rng) {
            // Over quota, no such mailbox, no rights: then nothing has changed, which is fine.
            Ok(()) | Err(Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Walk<'a> {
    cyrus: &'a Cyrus,
    round: u32,
    step: u32,
    user: &'static str,
}

impl Walk<'_> {
    fn once(&self, imap: &mut Imap, rng: &mut Rng) -> Result<()> {
        let mailboxes = own_mailboxes(imap)?;
        let mailbox = mailboxes[rng.below(mailboxes.len())].as_str();
        let other = mailboxes[rng.below(mailboxes.len())].as_str();
        let fresh = format!("INBOX/walk {}.{}", self.round, self.step);
        match rng.below(16) {
            0 => imap.create(&fresh),
            1 => imap.create(&format!("{mailbox}/below")),
            2 if mailbox != "INBOX" => imap.rename(mailbox, &fresh),
            3 if mailbox != "INBOX" => imap.delete(mailbox),
            // The name comes back with another identity.
            4 if mailbox != "INBOX" => imap.delete(mailbox).and_then(|()| imap.create(mailbox)),
            5 => self.messages(imap, mailbox, rng),
            6 | 7 => self.flags(imap, mailbox, rng),
            8 => {
                imap.select(mailbox)?;
                imap.expunge(&uids(rng))
            }
            9 => {
                imap.select(mailbox)?;
                let verb = ["COPY", "MOVE"][rng.below(2)];
                imap.simple(&format!("UID {verb} {} \"{other}\"", uids(rng)))
                    .map(drop)
            }
            10 => {
                imap.select(mailbox)?;
                let attribute = ["value.shared", "value.priv"][rng.below(2)];
                imap.annotate(&uids(rng), "/comment", attribute, self.note(rng).as_deref())
            }
            11 => {
                let entry = [
                    "/shared/comment",
                    "/private/comment",
                    "/shared/vendor/example/walk",
                ][rng.below(3)];
                imap.set_metadata(mailbox, entry, self.note(rng).as_deref())
            }
            12 => imap.set_acl(
                mailbox,
                ["bob", "carol", "anyone"][rng.below(3)],
                ["lr", "lrswi", ""][rng.below(3)],
            ),
            13 if rng.below(2) == 0 => imap.subscribe(mailbox),
            13 => imap.unsubscribe(mailbox),
            14 => self.elsewhere(rng),
            _ => self.script(rng),
        }
    }

    fn messages(&self, imap: &mut Imap, mailbox: &str, rng: &mut Rng) -> Result<()> {
        for number in 0..1 + rng.below(4) {
            let flags = ["()", "(\\Seen)", "(\\Draft walk)"][rng.below(3)];
            let which = if rng.below(3) == 0 {
                4711
            } else {
                10_000 + self.round as usize * 100 + number
            };
            imap.append(mailbox, flags, DATE, &plain(which))?;
        }
        Ok(())
    }

    fn flags(&self, imap: &mut Imap, mailbox: &str, rng: &mut Rng) -> Result<()> {
        imap.select(mailbox)?;
        let word = format!("(walk{} \\Flagged)", rng.below(60));
        let flags = ["(\\Seen)", "(\\Answered \\Deleted)", word.as_str(), "()"][rng.below(4)];
        imap.store(
            &uids(rng),
            ["+FLAGS.SILENT", "-FLAGS.SILENT", "FLAGS.SILENT"][rng.below(3)],
            flags,
        )
    }

    fn note(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        let length = [0, 1, 20, 1024, 1500][rng.below(5)];
        (length > 0).then(|| rng.bytes(length, b"ab \\\"%{}()\r\n\0\xe9"))
    }

    /// Seen state of another user, or a quota.
    fn elsewhere(&self, rng: &mut Rng) -> Result<()> {
        if rng.below(2) == 0 {
            let mut bob = self.cyrus.imap("bob")?;
            bob.select(["shared/team", "user/alice/Projects"][rng.below(2)])?;
            return bob.store(
                &uids(rng),
                ["+FLAGS.SILENT", "-FLAGS.SILENT"][rng.below(2)],
                "(\\Seen)",
            );
        }
        let limit = 300_000 + rng.below(1000);
        self.cyrus
            .imap(ADMIN)?
            .set_quota(&format!("user/{}", self.user), &format!("(STORAGE {limit})"))
    }

    fn script(&self, rng: &mut Rng) -> Result<()> {
        let mut csync = self.cyrus.csync()?;
        let name = ["default", "vacation", "walk"][rng.below(3)];
        match rng.below(4) {
            0 => csync
                .run(format!("APPLY UNSIEVE %(USERID {} FILENAME {name}.script)", self.user).as_bytes())
                .map(drop),
            1 => activate_script(&mut csync, self.user, name),
            2 => csync
                .run(format!("APPLY UNACTIVATE_SIEVE %(USERID {})", self.user).as_bytes())
                .map(drop),
            _ => put_script(
                &mut csync,
                self.user,
                name,
                &format!("# {}.{}\r\nkeep;\r\n", self.round, self.step),
            ),
        }
    }
}

/// A sequence set among the first UIDs.
fn uids(rng: &mut Rng) -> String {
    let first = 1 + rng.below(30);
    format!("{first}:{},{}", first + rng.below(5), 1 + rng.below(60))
}

fn own_mailboxes(imap: &mut Imap) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for line in imap.simple("LIST \"\" \"INBOX*\"")?.values()? {
        if let [word, attributes, _, name] = line.as_slice() {
            let hidden = |value: &Value| value.text().eq_ignore_ascii_case("\\NonExistent");
            let usable = !name.text().ends_with("#sieve") && !attributes.members().iter().any(hidden);
            if word.text() == "LIST" && usable {
                names.push(name.text());
            }
        }
    }
    Ok(names)
}
