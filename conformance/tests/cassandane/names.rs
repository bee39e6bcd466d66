//! Renames, long names, names that begin alike, levels without a mailbox.

use crate::chain::{ALL_RIGHTS, Chain, Outcome, append};
use conformance::compare::Scope;
use conformance::cyrus::ADMIN;

/// Delayed deletion makes the longest name that IMAP allows longer still.
#[test]
fn the_longest_names_are_deleted() -> Outcome {
    let Some(chain) = Chain::start("longest_names", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    let levels = [
        "1 ".repeat(120),
        "2 ".repeat(50),
        "3 ".repeat(60),
        "end".to_owned(),
    ];
    let name = levels.each_ref().map(|level| level.trim_end()).join("/");
    let mut ann = chain.create("ann", &[&name])?;
    append(&mut ann, &format!("INBOX/{name}"), &[1])?;
    chain.roll()?;
    chain.equal(&["ann"])?;
    ann.delete(&format!("INBOX/{name}"))?;
    chain.roll()?;
    chain.end(&["ann"])
}

/// By the rolling clients, by name, and back again; what the user is subscribed to comes along, although the log says
/// that the user of the old name is gone.
#[test]
fn users_are_renamed_there_and_back() -> Outcome {
    let Some(chain) = Chain::start("users_are_renamed", &["ann", "dest", "third"], |setup| setup)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &["sub", "sub/below"])?;
    append(&mut ann, "INBOX/sub", &[1, 2])?;
    for name in ["INBOX", "INBOX/sub", "INBOX/sub/below"] {
        ann.subscribe(name)?;
    }
    drop(ann);
    chain.carry(&["-u", "ann"])?;
    chain.equal(&["ann"])?;

    let renamed = |user: &str| -> Outcome {
        chain.end(&[user])?;
        let subscribed = chain.far.imap(user)?.simple("LSUB \"\" \"*\"")?;
        assert_eq!(subscribed.untagged.len(), 3, "{subscribed:?}");
        let others = chain.far_names("user/*")?.len() - chain.far_names(&format!("user/{user}*"))?.len();
        assert_eq!(others, 0, "the old name is gone");
        Ok(())
    };
    let mut admin = chain.hand.imap(ADMIN)?;
    admin.rename("user/ann", "user/dest")?;
    chain.roll()?;
    renamed("dest")?;

    // Renamed twice before anybody looked: the log names a user who is gone already.
    admin.rename("user/dest", "user/third")?;
    admin.rename("user/third", "user/ann")?;
    append(&mut chain.hand.imap("ann")?, "INBOX/sub", &[3])?;
    chain.roll()?;
    renamed("ann")?;

    // A run for the new name alone: Cyrus up to 3.6 gives up, ours finds the mailboxes by identity.
    admin.rename("user/ann", "user/dest")?;
    assert!(!chain.there(&["-u", "dest"])?.status.success());
    let path = chain.log().display().to_string();
    chain
        .there(&["-R", "-f", &path])?
        .success("the stock client rolls")?;
    chain.on(&["-u", "dest"])?.success("ours, by name")?;
    chain.forget_logs()?;
    renamed("dest")
}

/// A level that lost its mailbox and stays for what is below it, then has one again, then moves with what is below.
#[test]
fn place_holders_become_mailboxes_and_move() -> Outcome {
    let Some(chain) = Chain::start("place_holders", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &["a/b"])?;
    append(&mut ann, "INBOX/a/b", &[1])?;
    chain.roll()?;
    chain.equal(&["ann"])?;
    for _ in 0..2 {
        chain.hand.csync()?.run(b"APPLY UNMAILBOX user.ann.a")?;
        let place = chain.hand.csync()?.run(b"GET MAILBOXES (user.ann.a)")?;
        let kind = place.all("MAILBOX").next().and_then(|line| line.text("MBOXTYPE"));
        assert!(
            kind.is_some_and(|kind| kind.contains('i')),
            "a place holder: {place:?}"
        );
        chain.roll()?;
        ann.create("INBOX/a")?;
        chain.roll()?;
        chain.equal(&["ann"])?;
    }
    chain.hand.csync()?.run(b"APPLY UNMAILBOX user.ann.a")?;
    ann.create("INBOX/a")?;
    ann.rename("INBOX/a", "INBOX/new")?;
    chain.carry(&["-A"])?;
    chain.end(&["ann"])?;
    assert!(chain.far_names("user/ann/new/b")?.len() == 1);
    assert!(chain.far_names("user/ann/a*")?.is_empty());
    Ok(())
}

/// The name of one user begins with that of another; one of them goes.
#[test]
fn users_whose_names_begin_alike() -> Outcome {
    let users = ["ua", "uab", "uabc"];
    let Some(chain) = Chain::start("names_begin_alike", &users, |setup| setup)? else {
        return Ok(());
    };
    for user in users {
        let mut imap = chain.create(user, &["hi", "no"])?;
        append(&mut imap, "INBOX/no", &[1])?;
        imap.delete("INBOX/hi")?;
    }
    for user in users {
        chain.carry(&["-u", user])?;
    }
    chain.equal(&users)?;
    let mut admin = chain.hand.imap(ADMIN)?;
    admin.set_acl("user/ua", ADMIN, ALL_RIGHTS)?;
    admin.delete("user/ua")?;
    drop(admin);
    for user in users {
        chain.there(&["-u", user])?;
        chain.on(&["-u", user])?;
    }
    chain.roll()?;
    chain.end(&["uab", "uabc"])?;
    assert!(chain.far_names("user/ua/*")?.is_empty());
    assert!(chain.far_names("user/ua")?.is_empty());
    Ok(())
}

/// The hand forgets a user without a trace, and a log names what the user had: without a tombstone nothing is deleted.
#[test]
fn what_is_forgotten_without_a_trace_stays_there() -> Outcome {
    let Some(chain) = Chain::start("forgotten", &["ben", "uab"], |setup| setup)? else {
        return Ok(());
    };
    chain.create("ben", &[])?;
    let mut uab = chain.create("uab", &["hi", "no"])?;
    append(&mut uab, "INBOX/no", &[1])?;
    uab.delete("INBOX/hi")?;
    drop(uab);
    chain.carry(&["-u", "uab", "ben"])?;
    let there = chain.twin.csync()?.run(b"GET USER uab")?.data.len();
    let reset = chain.hand.tool("sync_reset", &["-f", "uab"])?;
    reset.success("sync_reset")?;
    append(&mut chain.hand.imap("ben")?, "INBOX", &[2])?;
    chain.roll_lines(
        "UNMAILBOX user.uab.hi\nMAILBOX user.uab.hi\nUNMAILBOX user.uab.no\nMAILBOX user.uab.no\nMAILBOX user.ben\n",
    )?;
    chain.equal(&["ben"])?;
    assert_eq!(chain.twin.csync()?.run(b"GET USER uab")?.data.len(), there);
    // The same lines in the log of our store, which never heard of a delete either.
    std::fs::write(
        chain.own_log(),
        "UNMAILBOX user.gone.no\nMAILBOX user.gone.no\nUNUSER gone\n",
    )?;
    chain.hand.imap(ADMIN)?.create("user/other")?;
    chain.far.imap(ADMIN)?.create("user/gone")?;
    chain.far.imap(ADMIN)?.create("user/gone/no")?;
    chain.on(&["-v", "-1", "-R"])?;
    assert_eq!(
        chain.far_names("user/gone*")?.len(),
        2,
        "nobody said that it was deleted"
    );
    Ok(())
}

/// A mailbox that was renamed, and a run for its new name alone: refused by a Cyrus, since its identity has another
/// name there, and followed by ours, which looks by identity. The user's run, or a log that names the new name, settles it.
#[test]
fn a_run_for_the_new_name_alone() -> Outcome {
    let Some(chain) = Chain::start("new_name_alone", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &["src"])?;
    append(&mut ann, "INBOX/src", &[1])?;
    chain.carry(&["-u", "ann"])?;
    ann.rename("INBOX/src", "INBOX/dest")?;
    // From 3.6 on the stock client asks for former names too; whatever it did, the user's run makes it good.
    chain.there(&["-m", "user/ann/dest"])?;
    chain.there(&["-u", "ann"])?.success("the user")?;
    chain.equal_here(&Scope {
        shared: false,
        ..Scope::all(&["ann"])
    })?;
    chain.on(&["-m", "user/ann/dest"])?.success("ours, by identity")?;
    chain.forget_logs()?;
    chain.equal(&["ann"])?;

    ann.rename("INBOX/dest", "INBOX/foo")?;
    chain.roll_lines("MAILBOX user.ann.foo\n")?;
    chain.end(&["ann"])
}
