//! Our own store as the master of a Cyrus that never saw any of it: the mail of `mailtwin demo`, then every command
//! that changes something, and a user made by nothing but those.

use crate::chain::{Outcome, flags};
use conformance::cyrus::{self, Cyrus, Setup};
use conformance::imap::Imap;
use conformance::population::mail;
use conformance::process::{self, Output};
use conformance::programs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What Cyrus makes by itself of the demonstration's mail.
const MADE: [&str; 4] = ["jane/Projects", "jane/Archive", "jane/#sieve", "omar/R&D"];

/// The master of the demonstration, and a Cyrus.
struct Own {
    folder: tempfile::TempDir,
    conf: PathBuf,
    far: Cyrus,
}

impl Own {
    fn start() -> Outcome<Option<Own>> {
        if !cyrus::usable("own_store") || !programs::usable("own_store") {
            return Ok(None);
        }
        let mut setup = Setup::new("cyrus-f", &["jane", "omar", "mia"]);
        setup.in_memory = true;
        let far = Cyrus::start(setup)?;
        let folder = tempfile::Builder::new().prefix("mailtwin-own-").tempdir()?;
        let mut demo = Command::new(programs::folder()?.join("mailtwin"));
        demo.current_dir(folder.path()).args(["demo", "--dir", "demo"]);
        process::run(&mut demo, LIMIT)?.success("the demonstration")?;
        let conf = folder.path().join("demo/master.conf");
        let mut text = std::fs::read_to_string(&conf)?;
        text.push_str(&format!(
            "sync_authname: {}\nsync_password: {}\nallowplaintext: yes\n",
            cyrus::ADMIN,
            cyrus::PASSWORD
        ));
        std::fs::write(&conf, text)?;
        Ok(Some(Own { folder, conf, far }))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Outcome<Output> {
        let mut command = Command::new(programs::folder()?.join(program));
        command
            .arg("-C")
            .arg(&self.conf)
            .args(arguments)
            .current_dir(self.folder.path());
        Ok(process::run(&mut command, LIMIT)?)
    }

    fn mailtwin(&self, arguments: &[&str]) -> Outcome<String> {
        Ok(self
            .run("mailtwin", arguments)?
            .success(&arguments.join(" "))?
            .text())
    }

    /// A run, then a second one, which has nothing to send; the answer is what the first one printed.
    fn replicate(&self, arguments: &[&str]) -> Outcome<String> {
        let there = self.far.csync_address();
        let arguments = [&["-S", &there], arguments].concat();
        let first = self.run("sync_client", &arguments)?.success("the first run")?;
        let second = self.run("sync_client", &arguments)?.success("the second run")?;
        assert!(
            second.text().contains("(0 sent), messages 0 (0 B)"),
            "{arguments:?}: {}",
            second.text()
        );
        // Not one command that changes anything.
        let third = [&["-v", "-v"], arguments.as_slice()].concat();
        let third = self.run("sync_client", &third)?.success("the third run")?.text();
        let is_change = |line: &&str| line.contains(">APPLY ") && !line.contains(">APPLY CAPABILITIES");
        assert_eq!(third.lines().find(is_change), None, "{arguments:?}");
        Ok(first.text())
    }

    /// Both sides are equal, record by record, but for what a Cyrus makes by itself: mailboxes above others that have
    /// none here ([CS-MBOX-37]), and the one that scripts are kept in.
    fn equal(&self, users: &[&str], made_there: &[&str]) -> Outcome {
        let there = self.far.csync_address();
        let said = self.run("mailtwin", &[&["compare", &there], users].concat())?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let mut others: Vec<&str> = said
            .lines()
            .skip(1)
            .filter(|line| !line.ends_with(" 0  equal") && !line.starts_with("equal: "))
            .map(str::trim)
            .collect();
        others.retain(|line| {
            let made = |name: &&str| line.starts_with(&format!("{name} ")) && line.ends_with("only there");
            !made_there.iter().any(made)
        });
        assert!(others.is_empty() && said.contains(" 0  equal"), "{said}");
        Ok(())
    }

    fn letter(&self, number: usize) -> Outcome<String> {
        let path = self.folder.path().join(format!("letter{number}"));
        std::fs::write(&path, mail::plain(number))?;
        Ok(path.display().to_string())
    }
}

/// Names that a user sees.
fn names(imap: &mut Imap, command: &str) -> Outcome<Vec<String>> {
    let answer = imap.simple(command)?;
    let mut names: Vec<String> = answer
        .values()?
        .iter()
        .filter_map(|line| Some(line.last()?.text()))
        .collect();
    names.sort();
    Ok(names)
}

fn uids(imap: &mut Imap, mailbox: &str) -> Outcome<Vec<String>> {
    Ok(flags(imap, mailbox)?.into_iter().map(|(uid, _)| uid).collect())
}

/// The bytes of a message as IMAP gives them.
fn fetched(imap: &mut Imap, mailbox: &str, uid: &str) -> Outcome<Vec<u8>> {
    imap.select(mailbox)?;
    let answer = imap.simple(&format!("UID FETCH {uid} (BODY.PEEK[])"))?;
    let line = answer
        .untagged
        .into_iter()
        .find(|line| line.windows(5).any(|word| word == b"FETCH"));
    Ok(line.ok_or("no such message")?)
}

fn contains(bytes: &[u8], what: impl AsRef<[u8]>) -> bool {
    let what = what.as_ref();
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn the_demonstrations_mail_goes_to_cyrus() -> Outcome {
    let Some(own) = Own::start()? else { return Ok(()) };
    let first = own.replicate(&["-A"])?;
    assert!(
        first.contains("messages 1") || first.contains("messages 2"),
        "{first}"
    );
    own.equal(&["jane", "omar"], &MADE)?;
    let mut jane = own.far.imap("jane")?;
    let listed = names(&mut jane, "LIST \"\" \"*\"")?;
    for name in [
        "INBOX",
        "INBOX/Projects/East Tower",
        "INBOX/Projects/Fog Horn",
        "INBOX/Entw&APw-rfe",
    ] {
        assert!(listed.contains(&name.to_owned()), "{name} in {listed:?}");
    }
    for (user, mailbox) in [("jane", "INBOX"), ("jane", "INBOX/Sent"), ("omar", "INBOX")] {
        let mut imap = own.far.imap(user)?;
        for uid in uids(&mut imap, mailbox)? {
            let ours = own.run(
                "mailtwin",
                &["cat", &format!("{user}/{}", mailbox.replace("INBOX/", "")), &uid],
            )?;
            let theirs = fetched(&mut imap, mailbox, &uid)?;
            assert!(contains(&theirs, &ours.stdout), "{user} {mailbox} {uid}");
        }
    }
    Ok(())
}

#[test]
fn changes_by_command_are_seen_in_cyrus() -> Outcome {
    let Some(own) = Own::start()? else { return Ok(()) };
    own.replicate(&["-A"])?;
    let mut jane = own.far.imap("jane")?;
    one_mailbox(&own, &mut jane)?;
    one_user(&own, &mut jane)?;
    all_users(&own)
}

/// A run for one mailbox brings what changed in it, and nothing else.
fn one_mailbox(own: &Own, jane: &mut Imap) -> Outcome {
    let before = uids(jane, "INBOX")?;
    let letter = own.letter(1)?;
    let uid = own.mailtwin(&[
        "append",
        "jane/INBOX",
        &letter,
        "--flag",
        "\\Flagged",
        "--flag",
        "Urgent",
    ])?;
    let uid = uid.trim();
    own.mailtwin(&["flag", "jane/INBOX", &before[0], "+\\Answered", "-\\Seen"])?;
    own.mailtwin(&["expunge", "jane/INBOX", &before[1]])?;
    own.mailtwin(&["annotate", "jane/INBOX", "/comment", "about all", "--uid", uid])?;
    own.mailtwin(&["create", "jane/not yet"])?;
    own.replicate(&["-m", "user/jane"])?;
    let now = flags(jane, "INBOX")?;
    let of = |wanted: &str| {
        now.iter()
            .find(|(uid, _)| uid == wanted)
            .map(|(_, flags)| flags.clone())
    };
    assert_eq!(of(uid), Some(vec!["Urgent".to_owned(), "\\Flagged".to_owned()]));
    assert!(of(&before[0]).is_some_and(|flags| flags.contains(&"\\Answered".to_owned())));
    assert_eq!(of(&before[1]), None);
    assert!(contains(
        &fetched(jane, "INBOX", uid)?,
        "This is the body of message 1."
    ));
    let note = jane.simple(&format!("UID FETCH {uid} (ANNOTATION (/comment value.shared))"))?;
    assert!(
        note.untagged.iter().any(|line| contains(line, "about all")),
        "{note:?}"
    );
    assert!(!names(jane, "LIST \"\" \"*\"")?.contains(&"INBOX/not yet".to_owned()));
    Ok(())
}

/// A run for the user brings everything.
fn one_user(own: &Own, jane: &mut Imap) -> Outcome {
    own.mailtwin(&["rename", "jane/Projects/East Tower", "jane/Plans"])?;
    own.mailtwin(&["delete", "jane/Sent"])?;
    own.mailtwin(&["subscribe", "jane", "Plans"])?;
    own.mailtwin(&["annotate", "jane/INBOX", "/comment", "my inbox"])?;
    own.mailtwin(&["quota", "user/jane", "--storage", "5000"])?;
    let script = own.folder.path().join("script");
    std::fs::write(
        &script,
        "require [\"fileinto\"];\r\nfileinto \"INBOX/Plans\";\r\n",
    )?;
    let script = script.display().to_string();
    own.mailtwin(&["sieve", "put", "jane", "plans", &script])?;
    own.mailtwin(&["sieve", "activate", "jane", "plans"])?;
    own.replicate(&["-u", "jane"])?;
    own.equal(&["jane"], &MADE)?;
    let listed = names(jane, "LIST \"\" \"*\"")?;
    assert!(
        listed.contains(&"INBOX/not yet".to_owned()) && listed.contains(&"INBOX/Plans".to_owned()),
        "{listed:?}"
    );
    assert!(
        !listed
            .iter()
            .any(|name| name.contains("Sent") || name.contains("East")),
        "{listed:?}"
    );
    assert!(names(jane, "LSUB \"\" \"*\"")?.contains(&"INBOX/Plans".to_owned()));
    let root = jane.simple("GETQUOTAROOT INBOX")?;
    assert!(
        root.untagged.iter().any(|line| contains(line, " 5000)")),
        "{root:?}"
    );
    let comment = jane.simple("GETMETADATA INBOX (/shared/comment)")?;
    assert!(
        comment.untagged.iter().any(|line| contains(line, "my inbox")),
        "{comment:?}"
    );
    let meta = own.far.csync()?.run(b"GET META jane")?;
    let is_active =
        |line: &conformance::csync::dlist::Value| line.text("FILENAME").as_deref() == Some("plans.bc");
    assert!(meta.all("SIEVE").any(is_active), "{meta:?}");
    Ok(())
}

/// A user who is new, and users who are gone.
fn all_users(own: &Own) -> Outcome {
    let letter = own.letter(1)?;
    own.mailtwin(&["create", "user/mia", "mia/Drafts"])?;
    own.mailtwin(&["append", "mia/Drafts", &letter])?;
    own.mailtwin(&["delete", "--user", "omar", "--now"])?;
    own.replicate(&["-A"])?;
    own.equal(&["jane", "mia"], &MADE)?;
    assert_eq!(uids(&mut own.far.imap("mia")?, "INBOX/Drafts")?, ["1"]);
    own.replicate(&["-u", "omar"])?;
    // The level that Cyrus made is its own, and was never ours to delete. [CS-SPLIT-16]
    assert_eq!(
        names(&mut own.far.imap("omar")?, "LIST \"\" \"*\"")?,
        ["INBOX/R&-D"]
    );
    own.mailtwin(&["delete", "--user", "mia", "--now"])?;
    own.replicate(&["-u", "mia"])?;
    assert!(names(&mut own.far.imap("mia")?, "LIST \"\" \"*\"")?.is_empty());
    Ok(())
}
