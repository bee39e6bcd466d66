//! Both sides got mail under the same UIDs: conformance/tests/split_brain.rs has the rest.

use crate::chain::{Chain, Outcome, append};
use conformance::csync::Csync;
use conformance::csync::dlist::Value;
use conformance::population::{hex, mail};
use sha1::{Digest, Sha1};

/// Users, and who of master and replica expunges the fifth message that it got by itself.
const CASES: [(&str, bool, bool); 4] = [
    ("neither", false, false),
    ("both", true, true),
    ("master", true, false),
    ("replica", false, true),
];

const USERS: [&str; 5] = ["neither", "both", "master", "replica", "boxes"];

fn guid(number: usize) -> String {
    hex(&Sha1::digest(mail::plain(number)))
}

/// UIDs and GUIDs of the live messages of a mailbox, and the mailbox's unique id.
fn live(mut csync: Csync, mailbox: &str) -> Outcome<(String, Vec<(u64, String)>)> {
    let answer = csync.run(format!("GET FULLMAILBOX {mailbox}").as_bytes())?;
    let full = answer.all("MAILBOX").next().ok_or("no such mailbox")?;
    let records = full.get("RECORD").map(Value::members).unwrap_or_default();
    let is_live = |record: &&Value| {
        let flags = record.get("FLAGS").map(Value::members).unwrap_or_default();
        !flags
            .iter()
            .any(|flag| flag.bytes().eq_ignore_ascii_case(b"\\Expunged"))
    };
    let pair = |record: &Value| Some((record.number("UID")?, record.text("GUID")?));
    let messages = records.iter().filter(is_live).filter_map(pair).collect();
    Ok((full.text("UNIQUEID").unwrap_or_default(), messages))
}

/// Both sides hold the same messages under the same UIDs: the four of before, and those that nobody expunged, each once.
fn settled(case: (&str, bool, bool), sides: [Csync; 2]) -> Outcome {
    let (user, mine_gone, theirs_gone) = case;
    let [ours, theirs] = sides.map(|csync| live(csync, &format!("user.{user}")));
    let (ours, theirs) = (ours?, theirs?);
    assert_eq!(ours, theirs, "{user}");
    let mut found: Vec<String> = ours.1.iter().map(|(_, guid)| guid.clone()).collect();
    found.sort();
    let mut expected: Vec<usize> = vec![1, 2, 3, 4];
    expected.extend((!mine_gone).then_some(5));
    expected.extend((!theirs_gone).then_some(6));
    let mut expected: Vec<String> = expected.into_iter().map(guid).collect();
    expected.sort();
    assert_eq!(found, expected, "{user}");
    // Nobody's UID 5 may mean two messages to those who have seen it.
    assert!(
        mine_gone == theirs_gone || ours.1.iter().all(|(uid, _)| *uid != 5),
        "{user}: {ours:?}"
    );
    Ok(())
}

fn common_past(test: &str) -> Outcome<Option<Chain>> {
    let Some(chain) = Chain::start(test, &USERS, |setup| setup)? else {
        return Ok(None);
    };
    for (user, ..) in CASES {
        append(&mut chain.create(user, &[])?, "INBOX", &[1, 2, 3, 4])?;
    }
    chain.create("boxes", &[])?;
    chain.carry(&["-A"])?;
    Ok(Some(chain))
}

/// What the hand does: gets message 5, and expunges it or not.
fn change_hand(chain: &Chain) -> Outcome {
    for (user, mine, _) in CASES {
        let mut imap = chain.hand.imap(user)?;
        append(&mut imap, "INBOX", &[5])?;
        imap.select("INBOX")?;
        if mine {
            imap.expunge("5")?;
        }
    }
    Ok(())
}

#[test]
fn our_master_and_a_cyrus_that_got_mail() -> Outcome {
    let Some(chain) = common_past("split_our_master")? else {
        return Ok(());
    };
    change_hand(&chain)?;
    chain.there(&["-A"])?.success("the hand's changes into ours")?;
    for (user, _, theirs) in CASES {
        let mut imap = chain.far.imap(user)?;
        append(&mut imap, "INBOX", &[6])?;
        imap.select("INBOX")?;
        if theirs {
            imap.expunge("5")?;
        }
    }
    for case in CASES {
        chain.on(&["-u", case.0])?.success(case.0)?;
        settled(case, [chain.twin.csync()?, chain.far.csync()?])?;
        let again = chain.on(&["-u", case.0])?.success("again")?;
        assert!(
            again.text().contains("(0 sent), messages 0 (0 B)"),
            "{}",
            again.text()
        );
    }
    chain.equal_next(&USERS)
}

#[test]
fn a_cyrus_master_and_our_replica_that_got_mail() -> Outcome {
    let Some(chain) = common_past("split_cyrus_master")? else {
        return Ok(());
    };
    change_hand(&chain)?;
    let letter = chain.twin.directory().join("letter");
    std::fs::write(&letter, mail::plain(6))?;
    let letter = letter.display().to_string();
    for (user, _, theirs) in CASES {
        let inbox = format!("{user}/INBOX");
        chain
            .twin
            .mailtwin(&["append", &inbox, &letter])?
            .success("append")?;
        if theirs {
            chain
                .twin
                .mailtwin(&["expunge", &inbox, "5"])?
                .success("expunge")?;
        }
    }
    for case in CASES {
        chain.there(&["-u", case.0])?.success(case.0)?;
        settled(case, [chain.hand.csync()?, chain.twin.csync()?])?;
    }
    chain.carry(&["-A"])?;
    for case in CASES {
        settled(case, [chain.hand.csync()?, chain.far.csync()?])?;
    }
    chain.equal_next(&USERS)
}

/// One name, two mailboxes: empty, emptied, and with mail on the replica's side; there a stock master gives up but for -O.
#[test]
fn a_name_that_was_made_twice() -> Outcome {
    let Some(chain) = common_past("made_twice")? else {
        return Ok(());
    };
    let letter = chain.twin.directory().join("letter");
    std::fs::write(&letter, mail::plain(6))?;
    let letter = letter.display().to_string();
    let ids = |mailbox: &str| -> Outcome<[String; 2]> {
        let name = format!("user.boxes.{mailbox}");
        Ok([
            live(chain.hand.csync()?, &name)?.0,
            live(chain.twin.csync()?, &name)?.0,
        ])
    };
    for (mailbox, is_used, has_mail) in [
        ("unused", false, false),
        ("used", true, false),
        ("mail", true, true),
    ] {
        let mut hand = chain.hand.imap("boxes")?;
        hand.create(&format!("INBOX/{mailbox}"))?;
        append(&mut hand, &format!("INBOX/{mailbox}"), &[5])?;
        let here = format!("boxes/{mailbox}");
        chain.twin.mailtwin(&["create", &here])?.success("create")?;
        if is_used {
            chain
                .twin
                .mailtwin(&["append", &here, &letter])?
                .success("append")?;
        }
        if is_used && !has_mail {
            chain
                .twin
                .mailtwin(&["expunge", &here, "1"])?
                .success("expunge")?;
        }
        let [hand, before] = ids(mailbox)?;
        assert_ne!(hand, before);
        let run = chain.there(&["-u", "boxes"])?;
        assert_eq!(run.status.success(), !is_used, "{mailbox}: {}", run.text());
        if is_used {
            assert_eq!(ids(mailbox)?[1], before, "{mailbox} is not touched");
            chain.there(&["-O", "-u", "boxes"])?.success("with -O")?;
        }
        let [hand, now] = ids(mailbox)?;
        assert_eq!(hand, now, "{mailbox}");
        let kept = chain.twin.mailtwin(&["list", "boxes", "--json"])?.text();
        assert_eq!(kept.contains("DELETED"), has_mail, "its mail is kept: {kept}");
    }
    chain.on(&["-u", "boxes"])?.success("and on")?;
    let there = live(chain.far.csync()?, "user.boxes.mail")?;
    assert_eq!(there, live(chain.hand.csync()?, "user.boxes.mail")?);
    chain.equal_next(&["boxes"])
}
