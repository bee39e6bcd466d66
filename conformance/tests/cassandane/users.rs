//! Users who are lost at a replica, or whose names others had.

use crate::chain::{Chain, Outcome, append, names, open_folder};
use conformance::cyrus::{ADMIN, Setup};
use std::path::PathBuf;

/// Both replicas lose a user behind their masters' backs; whatever is said about the user next repairs it.
#[test]
fn a_user_lost_there_comes_back() -> Outcome {
    let users = ["ann", "ben", "cleo", "dora", "emil"];
    let Some(chain) = Chain::start("a_user_lost_there", &users, |setup| setup)? else {
        return Ok(());
    };
    for user in users {
        let mut imap = chain.create(user, &["sub"])?;
        append(&mut imap, "INBOX/sub", &[1, 2])?;
    }
    chain.roll()?;
    chain.equal(&users)?;
    for user in users {
        chain.lose(user)?;
    }
    chain.forget_logs()?;

    // By name of the user; by the log; by a log that names one mailbox only; after a change of one mailbox; after a
    // new mailbox.
    chain.carry(&["-u", "ann"])?;
    chain.equal(&["ann"])?;
    chain.roll_lines("USER ben\n")?;
    chain.equal(&["ben"])?;
    chain.roll_lines("MAILBOX user.cleo.sub\n")?;
    chain.equal(&["cleo"])?;
    append(&mut chain.hand.imap("dora")?, "INBOX/sub", &[3])?;
    chain.roll()?;
    chain.equal(&["dora"])?;
    chain.hand.imap("emil")?.create("INBOX/new")?;
    chain.roll()?;
    chain.equal(&["emil"])?;
    chain.equal_next(&users)
}

/// A mailbox whose user is not there is refused by either replica, and nothing of it stays; the user's run repairs it.
#[test]
fn one_mailbox_of_a_user_who_is_not_there() -> Outcome {
    let Some(chain) = Chain::start("one_mailbox_alone", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &["sub"])?;
    append(&mut ann, "INBOX/sub", &[1])?;
    chain.carry(&["-u", "ann"])?;
    chain.lose("ann")?;
    let into_ours = chain.there(&["-m", "user/ann/sub"])?;
    assert!(!into_ours.status.success());
    assert!(chain.twin.csync()?.run(b"GET USER ann")?.data.is_empty());
    chain.there(&["-u", "ann"])?.success("the user into ours")?;
    let on = chain.on(&["-m", "user/ann/sub"])?;
    assert_eq!(on.status.code(), Some(1), "{}", on.text());
    assert!(on.text().contains("user.ann.sub"), "{}", on.text());
    assert!(chain.far_names("user/ann*")?.is_empty());
    chain.carry(&["-u", "ann"])?;
    chain.end(&["ann"])?;
    assert_eq!(chain.far_names("user/ann*")?.len(), 2);
    Ok(())
}

/// A user is renamed at one master; at another a new user has the old name and is replicated to the same replica. A run
/// for the renamed one, also with -O, leaves the new one alone.
#[test]
fn a_former_name_that_is_anothers_now() -> Outcome {
    let users = ["victim", "mover"];
    let Some(chain) = Chain::start("former_name", &users, |setup| setup)? else {
        return Ok(());
    };
    chain.create("victim", &["Trash"])?;
    chain.there(&["-u", "victim"])?.success("into ours")?;
    let mut admin = chain.hand.imap(ADMIN)?;
    admin.rename("user/victim", "user/mover")?;
    let path = chain.log().display().to_string();
    chain.there(&["-R", "-f", &path])?.success("renamed in ours")?;
    chain.forget_logs()?;
    let old = chain.twin.csync()?.run(b"GET USER victim")?;
    assert!(old.data.is_empty(), "{old:?}");

    // The other master is the far end's own IMAP.
    let mut there = chain.far.imap(ADMIN)?;
    there.create("user/victim")?;
    there.create("user/victim/Trash")?;
    let mut victim = chain.far.imap("victim")?;
    append(&mut victim, "INBOX", &[1, 2])?;
    append(&mut victim, "INBOX/Trash", &[3])?;
    for arguments in [["-o", "-O", "-u", "mover"].as_slice(), &["-u", "mover"], &["-A"]] {
        chain.on(arguments)?.success("the user who was renamed")?;
        assert_eq!(
            crate::chain::flags(&mut victim, "INBOX")?.len(),
            2,
            "{arguments:?}"
        );
        assert_eq!(
            crate::chain::flags(&mut victim, "INBOX/Trash")?.len(),
            1,
            "{arguments:?}"
        );
    }
    assert_eq!(names(&chain.far, "user/*")?.len(), 4);
    Ok(())
}

/// The same on one master: there and back again, a fresh user of that name, replicated and then forgotten by the master.
#[test]
fn a_former_name_that_was_anothers() -> Outcome {
    let users = ["victim", "mover"];
    let Some(chain) = Chain::start("was_anothers", &users, |setup| setup)? else {
        return Ok(());
    };
    let mut mover = chain.create("mover", &["Separate", "Trash"])?;
    append(&mut mover, "INBOX", &[1, 2])?;
    drop(mover);
    let mut admin = chain.hand.imap(ADMIN)?;
    admin.rename("user/mover", "user/victim")?;
    admin.rename("user/victim", "user/mover")?;
    let mut victim = chain.create("victim", &["Trash", "Own"])?;
    append(&mut victim, "INBOX", &[3, 4])?;
    append(&mut victim, "INBOX/Own", &[5])?;
    drop(victim);
    chain.carry(&["-u", "victim"])?;
    chain.equal(&["victim"])?;
    let reset = chain.hand.tool("sync_reset", &["-f", "victim"])?;
    reset.success("sync_reset")?;
    chain
        .twin
        .mailtwin(&["delete", "--user", "victim", "--now"])?
        .success("gone here as well")?;
    chain.there(&["-O", "-u", "mover"])?.success("the stock client")?;
    chain.on(&["-O", "-u", "mover"])?.success("ours")?;
    let mut victim = chain.far.imap("victim")?;
    assert_eq!(crate::chain::flags(&mut victim, "INBOX")?.len(), 2);
    assert_eq!(crate::chain::flags(&mut victim, "INBOX/Own")?.len(), 1);
    chain.end(&["mover"])
}

/// The stock client may keep a cache of what the replica confirmed, and rolls by it. Our replica lost users that the
/// cache knows, and refuses what does not fit, which makes the client ask again.
#[test]
fn a_stock_client_that_believes_its_cache() -> Outcome {
    let users = ["ann", "ben", "cleo"];
    let Some((chain, _folder, cache)) = with_cache("believes_its_cache", &users)? else {
        return Ok(());
    };
    for user in users {
        let mut imap = chain.create(user, &["sub"])?;
        append(&mut imap, "INBOX/sub", &[1, 2])?;
    }
    chain.roll()?;
    chain.equal(&users)?;
    assert!(cache.exists());
    for user in users {
        chain.lose(user)?;
    }
    chain.forget_logs()?;
    // A run by name does not read it; nor does a whole user of the log; a mailbox that is refused becomes its user.
    chain.carry(&["-u", "ann"])?;
    chain.roll_lines("USER ben\n")?;
    chain.hand.imap("cleo")?.create("INBOX/new")?;
    chain.roll_lines("MAILBOX user.cleo.new\n")?;
    chain.end(&users)
}

/// Its cache misses two renames of a user, as after a restore of an old one: it may fail once, and then goes on.
#[test]
fn a_stock_client_with_an_old_cache() -> Outcome {
    let Some((chain, folder, cache)) = with_cache("old_cache", &["ann", "dest", "third"])? else {
        return Ok(());
    };
    append(&mut chain.create("ann", &["sub"])?, "INBOX/sub", &[1])?;
    chain.roll()?;
    let aside = folder.path().join("aside");
    std::fs::rename(&cache, &aside)?;
    for (from, to) in [("user/ann", "user/dest"), ("user/dest", "user/third")] {
        chain.hand.imap(ADMIN)?.rename(from, to)?;
        chain.roll()?;
    }
    chain.equal(&["third"])?;
    std::fs::rename(&aside, &cache)?;
    let mut third = chain.hand.imap("third")?;
    third.select("INBOX/sub")?;
    third.simple("UID COPY 1:* INBOX")?;
    append(&mut third, "INBOX/sub", &[2])?;
    let log = chain.log().display().to_string();
    let tried: Vec<bool> = (0..3)
        .map(|_| Ok(chain.there(&["-R", "-f", &log])?.status.success()))
        .collect::<Outcome<_>>()?;
    assert!(tried.ends_with(&[true, true]), "{tried:?}");
    chain.on(&["-1", "-R"])?.success("and on")?;
    chain.end(&["third"])
}

/// Both Cyrus servers keep such a cache; the folder it lies in, and the hand's.
fn with_cache(test: &str, users: &[&str]) -> Outcome<Option<(Chain, tempfile::TempDir, PathBuf)>> {
    let folder = open_folder("mailtwin-cache-")?;
    let place = |name: &str| folder.path().join(format!("{name}.db"));
    let change = |setup: Setup| {
        let path = place(&setup.name).display().to_string();
        setup.with("sync_cache_db_path", &path)
    };
    let chain = Chain::start(test, users, change)?;
    let cache = place("cyrus-h");
    Ok(chain.map(|chain| (chain, folder, cache)))
}
