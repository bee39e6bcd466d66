//! Messages, their flags, and shared mailboxes.

use crate::chain::{Chain, Outcome, append, flags, open_folder};
use conformance::compare::{self, Scope};
use conformance::cyrus::{ADMIN, Setup};
use conformance::population::{DATE, mail};

/// Keywords of a mailbox as PERMANENTFLAGS tells them.
fn keywords(imap: &mut conformance::imap::Imap, mailbox: &str) -> Outcome<Vec<String>> {
    let answer = imap.select(mailbox)?;
    let line = answer
        .untagged
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .find(|line| line.contains("PERMANENTFLAGS"))
        .unwrap_or_default();
    let list = line.split(['(', ')']).nth(1).unwrap_or_default();
    let mut words: Vec<String> = list.split(' ').map(str::to_owned).collect();
    words.retain(|word| !word.starts_with('\\') && !word.is_empty());
    words.sort();
    Ok(words)
}

/// New messages; flags and keywords that come and go.
#[test]
fn messages_and_their_flags() -> Outcome {
    let Some(chain) = Chain::start("messages_and_flags", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &[])?;
    for (number, given) in ["(\\Flagged UserA)", "(UserB)", "(UserC)", "(UserD)"]
        .iter()
        .enumerate()
    {
        ann.append("INBOX", given, DATE, &mail::plain(number))?;
    }
    ann.select("INBOX")?;
    ann.store("1:4", "-FLAGS", "(UserC UserD)")?;
    chain.carry(&["-u", "ann"])?;
    chain.equal(&["ann"])?;
    let mut there = chain.far.imap("ann")?;
    let all = ["UserA", "UserB", "UserC", "UserD"];
    assert_eq!(keywords(&mut ann, "INBOX")?, all);
    // Masters before 3.12 do not tell them. [CS-VER-28]
    assert_eq!(keywords(&mut there, "INBOX")?, all[..2]);
    let seen = |imap: &mut _| -> Outcome<Vec<bool>> {
        let is_seen = |(_, flags): (String, Vec<String>)| flags.iter().any(|flag| flag == "\\Seen");
        Ok(flags(imap, "INBOX")?.into_iter().map(is_seen).collect())
    };
    assert_eq!(seen(&mut there)?, [false; 4]);

    for (change, expected) in [("+FLAGS", [false, true, false, false]), ("-FLAGS", [false; 4])] {
        ann.select("INBOX")?;
        ann.store("2", change, "(\\Seen)")?;
        ann.simple("UNSELECT")?;
        chain.carry(&["-u", "ann"])?;
        chain.equal(&["ann"])?;
        assert_eq!(seen(&mut chain.far.imap("ann")?)?, expected, "{change}");
    }
    chain.equal_next(&["ann"])
}

/// A replica that got a message and expunged it, while the master's modseq rose by annotations: no message is left on
/// either side, and a UID that only the replica has used. Both our sides take part.
#[test]
fn an_empty_mailbox_whose_replica_was_used() -> Outcome {
    let Some(chain) = Chain::start("replica_was_used", &["ann", "ben"], |setup| setup)? else {
        return Ok(());
    };
    for user in ["ann", "ben"] {
        let mut imap = chain.create(user, &[])?;
        chain.carry(&["-u", user])?;
        for _ in 0..2 {
            imap.set_metadata("INBOX", "/shared/comment", Some(b"foo"))?;
            imap.set_metadata("INBOX", "/shared/comment", None)?;
        }
    }
    chain.there(&["-u", "ann"])?.success("ann's changes into ours")?;
    let mut there = chain.far.imap("ann")?;
    append(&mut there, "INBOX", &[1])?;
    there.select("INBOX")?;
    there.expunge("1")?;
    drop(there);
    chain.on(&["-u", "ann"])?.success("our master, a used Cyrus")?;

    let letter = chain.twin.directory().join("letter");
    std::fs::write(&letter, mail::plain(2))?;
    let letter = letter.display().to_string();
    chain
        .twin
        .mailtwin(&["append", "ben/INBOX", &letter])?
        .success("append")?;
    chain
        .twin
        .mailtwin(&["expunge", "ben/INBOX", "1"])?
        .success("expunge")?;
    chain
        .there(&["-u", "ben"])?
        .success("a Cyrus master, a used replica of ours")?;
    chain.carry(&["-u", "ann", "ben"])?;
    for user in ["ann", "ben"] {
        assert!(flags(&mut chain.hand.imap(user)?, "INBOX")?.is_empty());
        assert!(flags(&mut chain.far.imap(user)?, "INBOX")?.is_empty());
        append(&mut chain.hand.imap(user)?, "INBOX", &[3])?;
    }
    chain.carry(&["-u", "ann", "ben"])?;
    for user in ["ann", "ben"] {
        let uids: Vec<String> = flags(&mut chain.far.imap(user)?, "INBOX")?
            .into_iter()
            .map(|(uid, _)| uid)
            .collect();
        assert_eq!(uids.len(), 1, "{user}: {uids:?}");
        assert_ne!(uids, ["1"], "{user}: the UID was another message's there");
    }
    chain.equal_next(&["ann", "ben"])
}

/// Shared mailboxes roll as well, with rights of a group; and the annotations of either Cyrus may lie anywhere.
#[test]
fn shared_mailboxes_roll() -> Outcome {
    let elsewhere = open_folder("mailtwin-annotations-")?;
    let path = elsewhere.path().display().to_string();
    let change = |setup: Setup| {
        let name = setup.name.clone();
        setup.with("annotation_db_path", &format!("{path}/{name}.db"))
    };
    let Some(chain) = Chain::start("shared_mailboxes_roll", &["ann"], change)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &[])?;
    let mut admin = chain.hand.imap(ADMIN)?;
    admin.create("shared/folder")?;
    admin.set_acl("shared/folder", "ann", "lrswipkxtecdn")?;
    // A group that the system knows: Cyrus asks it.
    admin.set_acl("shared/folder", "group:mail", "lrs")?;
    ann.set_metadata("INBOX", "/shared/comment", Some(b"kept elsewhere"))?;
    chain.roll()?;
    append(&mut ann, "shared/folder", &[1, 2, 3, 4])?;
    chain.roll()?;
    let scope = Scope::all(&["ann"]);
    let found = compare::servers(&chain.hand, &chain.far, &scope)?;
    compare::assert_equal("the two Cyrus servers", &found);
    let facts = compare::facts(&chain.far, &scope)?;
    let any = |text: &str| {
        facts
            .values()
            .any(|value| String::from_utf8_lossy(value).contains(text))
    };
    assert!(any("group:mail") && any("kept elsewhere"));
    assert!(elsewhere.path().join("cyrus-h.db").exists() && elsewhere.path().join("cyrus-f.db").exists());
    Ok(())
}
