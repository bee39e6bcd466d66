//! What the master makes of answers: refusals, farewells, nonsense, silence.

mod twin;

use engine::master::{Compress, Ending, Job};
use proptest::prelude::*;
use protocol::{SystemFlags, Text};
use twin::mail::Mail;
use twin::pair::{self, master_config};
use twin::script::{Answer, agree, converse, say};

const BANNER: &str =
    "* SASL PLAIN\r\n* COMPRESS DEFLATE\r\n* SIEVE-MAILBOX\r\n* OK a.example.org Cyrus sync server 3.6.1\r\n";
const OLD_BANNER: &str = "* SASL PLAIN\r\n* OK a.example.org Cyrus sync server 3.2.6-Debian\r\n";

fn mail() -> Mail {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", "user.jane.Sent"]);
    mail.append("user.jane", &["one", "two"]);
    mail
}

/// The replica's line of a mailbox of ours that is equal but for the modseq.
fn line_of(mail: &Mail, name: &str, highestmodseq: u64, last_uid: u32) -> String {
    let m = mail.mailbox(name);
    format!(
        "* MAILBOX %(UNIQUEID {} MBOXNAME {name} SYNC_CRC 0 SYNC_CRC_ANNOT 0 LAST_UID {last_uid} HIGHESTMODSEQ \
         {highestmodseq} RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY {} PARTITION NIL \
         ACL NIL OPTIONS \"\")\r\n",
        m.uniqueid, m.uidvalidity
    )
}

fn lost(ended: &Option<Ending>) -> &str {
    match ended {
        Some(Ending::ConnectionLost(text)) => text,
        other => panic!("not a lost connection: {other:?}"),
    }
}

#[test]
fn the_usual_order() {
    let run = converse(master_config(pair::user("jane")), &mail().store, BANNER, agree);
    assert_eq!(run.progress.ended, Some(Ending::Done));
    assert_eq!(
        run.said,
        [
            "APPLY CAPABILITIES (SIEVE-MAILBOX)",
            "GET USER jane",
            "GET UNIQUEIDS (m0001 m0002)",
            "APPLY MESSAGE 2",
            "APPLY MAILBOX user.jane 2",
            "APPLY MAILBOX user.jane.Sent 0",
            "EXIT"
        ]
    );
    assert_eq!(run.progress.round_trips, 6, "{:?}", run.progress);
}

#[test]
fn an_old_cyrus_gets_no_capabilities() {
    let run = converse(
        master_config(pair::user("jane")),
        &mail().store,
        OLD_BANNER,
        agree,
    );
    assert_eq!(run.progress.ended, Some(Ending::Done));
    assert_eq!(run.said[0], "GET USER jane");
}

#[test]
fn every_refusal_of_a_mailbox_fails_that_mailbox_only() {
    let lines = [
        "NO IMAP_MAILBOX_LOCKED Mailbox locked",
        "NO IMAP_PROTOCOL_BAD_PARAMETERS",
        "NO Unknown error",
        "NO",
        "NO SOMETHING_NEW of tomorrow",
        "BAD IMAP_PROTOCOL_ERROR Failed to parse APPLY line",
        "BAD",
        "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox",
        "NO IMAP_MAILBOX_NOTSUPPORTED Operation is not supported on mailbox",
    ];
    for line in lines {
        let run = converse(
            master_config(pair::user("jane")),
            &mail().store,
            BANNER,
            |command| {
                if command.starts_with("APPLY MAILBOX user.jane ") {
                    say(line)
                } else {
                    agree(command)
                }
            },
        );
        assert_eq!(run.progress.ended, Some(Ending::SomeFailed), "{line}");
        assert!(
            run.said
                .iter()
                .any(|said| said == "APPLY MAILBOX user.jane.Sent 0"),
            "{line}: {:?}",
            run.said
        );
        assert_eq!(run.said.last().map(String::as_str), Some("EXIT"));
        let failure = &run.progress.failures[0];
        assert_eq!(failure.item, "jane");
        assert!(
            failure.reason.contains("APPLY MAILBOX user.jane"),
            "{}",
            failure.reason
        );
    }
}

#[test]
fn one_failing_user_does_not_stop_the_next() {
    let mut mail = mail();
    mail.create(&["user.kim"]);
    let job = Job::Users(vec![Text::from("jane"), Text::from("kim")]);
    let run = converse(master_config(job), &mail.store, BANNER, |command| {
        if command == "GET USER jane" {
            say("NO IMAP_MAILBOX_LOCKED Mailbox locked")
        } else {
            agree(command)
        }
    });
    assert_eq!(run.progress.ended, Some(Ending::SomeFailed));
    assert_eq!((run.progress.items_total, run.progress.items_done), (2, 2));
    assert_eq!(run.progress.failures.len(), 1);
    assert!(run.said.iter().any(|said| said == "APPLY MAILBOX user.kim 0"));
}

#[test]
fn a_refused_upload_keeps_the_line_back_from_cyrus() {
    let run = converse(
        master_config(pair::user("jane")),
        &mail().store,
        BANNER,
        |command| {
            if command.starts_with("APPLY MESSAGE") {
                say("BAD no room")
            } else {
                agree(command)
            }
        },
    );
    assert_eq!(run.progress.ended, Some(Ending::SomeFailed));
    assert!(
        !run.said
            .iter()
            .any(|said| said.starts_with("APPLY MAILBOX user.jane ")),
        "{:?}",
        run.said
    );
}

#[test]
fn changed_is_tried_again_with_fresh_state() {
    let mail = mail();
    let mut refused = 0;
    let run = converse(
        master_config(pair::user("jane")),
        &mail.store,
        BANNER,
        |command| match command {
            "GET USER jane" => Answer::Say(format!("{}OK success\r\n", line_of(&mail, "user.jane", 3, 1))),
            "GET MAILBOXES (user.jane)" => {
                Answer::Say(format!("{}OK success\r\n", line_of(&mail, "user.jane", 4, 2)))
            }
            _ if command.starts_with("APPLY MAILBOX user.jane since") && refused == 0 => {
                refused += 1;
                say("NO IMAP_SYNC_CHANGED Changed since last sync")
            }
            _ => agree(command),
        },
    );
    assert_eq!(run.progress.ended, Some(Ending::Done), "{:?}", run.progress);
    let tail: Vec<&str> = run
        .said
        .iter()
        .map(String::as_str)
        .skip_while(|s| !s.starts_with("GET MAILBOXES"))
        .collect();
    assert_eq!(
        tail,
        [
            "GET MAILBOXES (user.jane)",
            "APPLY MAILBOX user.jane since 0",
            "EXIT"
        ]
    );
}

#[test]
fn checksum_climbs_the_whole_ladder() {
    let mail = mail();
    let full = format!(
        "{} RECORD (%(UID 1 MODSEQ 2 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 3 GUID {})))\r\nOK success\r\n",
        line_of(&mail, "user.jane", 3, 1).trim_end().trim_end_matches(')'),
        String::from_utf8_lossy(&twin::mail::guid_of(b"one").to_hex())
    );
    let listed = format!("{}OK success\r\n", line_of(&mail, "user.jane", 3, 1));
    let run = converse(
        master_config(pair::user("jane")),
        &mail.store,
        BANNER,
        |command| match command {
            "GET USER jane" | "GET MAILBOXES (user.jane)" => Answer::Say(listed.clone()),
            "GET FULLMAILBOX user.jane" => Answer::Say(full.clone()),
            _ if command.starts_with("APPLY MAILBOX user.jane ") => {
                say("NO IMAP_SYNC_CHECKSUM Checksum Failure")
            }
            _ if command.starts_with("APPLY RESERVE") => say(&format!(
                "* MISSING ({})\r\nOK success",
                String::from_utf8_lossy(&twin::mail::guid_of(b"two").to_hex())
            )),
            _ => agree(command),
        },
    );
    assert_eq!(run.progress.ended, Some(Ending::SomeFailed));
    let kinds: Vec<&str> = run
        .said
        .iter()
        .filter(|s| s.contains("AILBOX"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        kinds,
        [
            "APPLY CAPABILITIES (SIEVE-MAILBOX)",
            "APPLY MAILBOX user.jane since 1",
            "APPLY MAILBOX user.jane.Sent 0",
            "GET MAILBOXES (user.jane)",
            "APPLY MAILBOX user.jane 1",
            "GET FULLMAILBOX user.jane",
            "GET MAILBOXES (user.jane)",
            "APPLY MAILBOX user.jane 2",
        ]
    );
    assert!(
        run.progress.failures[0].reason.contains("IMAP_SYNC_CHECKSUM"),
        "{:?}",
        run.progress.failures
    );
}

#[test]
fn a_message_the_replica_lost_fails_the_mailbox_and_changes_nothing_here() {
    let mail = mail();
    let before = mail.dump(&twin::jane());
    let full = format!(
        "{} RECORD (%(UID 9 MODSEQ 20 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 4 GUID {})))\r\nOK success\r\n",
        line_of(&mail, "user.jane", 20, 9)
            .trim_end()
            .trim_end_matches(')'),
        String::from_utf8_lossy(&twin::mail::guid_of(b"gone").to_hex())
    );
    for answer in [
        "* MESSAGE NIL\r\nOK success",
        "NO IMAP_MAILBOX_NONEXISTENT No Such Mailbox",
        "OK success",
    ] {
        let run = converse(
            master_config(pair::user("jane")),
            &mail.store,
            BANNER,
            |command| match command {
                "GET USER jane" => {
                    Answer::Say(format!("{}OK success\r\n", line_of(&mail, "user.jane", 20, 9)))
                }
                "GET FULLMAILBOX user.jane" => Answer::Say(full.clone()),
                _ if command.starts_with("GET FETCH ") => say(answer),
                _ => agree(command),
            },
        );
        assert_eq!(run.progress.ended, Some(Ending::SomeFailed), "{answer}");
        assert_eq!(mail.dump(&twin::jane()), before);
    }
}

/// A record came here under a UID above the mailbox's last, and no replica took the mailbox any more. [CS-MASTER-31]
#[test]
fn a_listing_that_contradicts_itself_fails_the_mailbox_and_changes_nothing_here() {
    let mail = mail();
    let before = mail.dump(&twin::jane());
    let guid = String::from_utf8_lossy(&twin::mail::guid_of(b"gone").to_hex()).into_owned();
    let record = |uid: u32| {
        format!("%(UID {uid} MODSEQ 20 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 4 GUID {guid})")
    };
    for (uids, why) in [
        ([9, 10], "the replica lists UID 10 above its LAST_UID 9"),
        ([9, 9], "the replica's UIDs are not ascending"),
    ] {
        let line = line_of(&mail, "user.jane", 20, 9);
        let open = line.trim_end().trim_end_matches(')');
        let full = format!(
            "{open} RECORD ({} {}))\r\nOK success\r\n",
            record(uids[0]),
            record(uids[1])
        );
        let listed = format!("{line}OK success\r\n");
        let run = converse(
            master_config(pair::user("jane")),
            &mail.store,
            BANNER,
            |command| match command {
                "GET USER jane" => Answer::Say(listed.clone()),
                "GET FULLMAILBOX user.jane" => Answer::Say(full.clone()),
                _ => agree(command),
            },
        );
        assert_eq!(run.progress.ended, Some(Ending::SomeFailed), "{why}");
        let reason = &run.progress.failures[0].reason;
        assert_eq!(*reason, format!("user.jane: {why}"));
        assert_eq!(mail.dump(&twin::jane()), before);
    }
}

#[test]
fn unexpected_data_lines_are_passed_over() {
    let run = converse(
        master_config(pair::user("jane")),
        &mail().store,
        BANNER,
        |command| match agree(command) {
            Answer::Say(text) => Answer::Say(format!("* WEATHER %(SKY blue)\r\n{text}")),
            other => other,
        },
    );
    assert_eq!(run.progress.ended, Some(Ending::Done));
}

#[test]
fn bye_and_nonsense_end_the_run() {
    let endings = [
        ("BYE shutting down\r\n", "said BYE: shutting down"),
        ("* Fatal error: out of memory\r\n", "out of memory"),
        ("HELLO there\r\n", "GET USER jane"),
        ("+ go ahead\r\n", "GET USER jane"),
        ("* MAILBOX %(UNIQUEID\r\n", "GET USER jane"),
    ];
    for (text, part) in endings {
        let run = converse(
            master_config(pair::user("jane")),
            &mail().store,
            BANNER,
            |command| {
                if command.starts_with("GET USER") {
                    Answer::Say(text.to_owned())
                } else {
                    agree(command)
                }
            },
        );
        let reason = lost(&run.progress.ended);
        assert!(reason.contains(part), "{text:?}: {reason}");
    }
}

#[test]
fn a_close_says_what_was_asked() {
    let run = converse(
        master_config(pair::user("jane")),
        &mail().store,
        BANNER,
        |command| {
            if command.starts_with("APPLY MAILBOX") {
                Answer::Close(String::new())
            } else {
                agree(command)
            }
        },
    );
    assert!(lost(&run.progress.ended).contains("APPLY MAILBOX user.jane"));
    let run = converse(
        master_config(pair::user("jane")),
        &mail().store,
        "* SASL PLAIN\r\n",
        agree,
    );
    assert!(lost(&run.progress.ended).contains("banner"));
}

#[test]
fn a_refused_login_is_told_apart() {
    let mut config = master_config(pair::user("jane"));
    config.authenticate = true;
    let run = converse(config.clone(), &mail().store, BANNER, |_| {
        say("NO authentication failure")
    });
    assert!(
        matches!(&run.progress.ended, Some(Ending::AuthenticationFailed(text)) if text.contains("authentication failure"))
    );
    let mut asked = 0;
    let run = converse(config, &mail().store, BANNER, |command| {
        asked += 1;
        match asked {
            1 => say("OK Success (no protection)"),
            _ => {
                assert_ne!(command, "AUTHENTICATE PLAIN AGEAYg==");
                agree(command)
            }
        }
    });
    assert_eq!(run.progress.ended, Some(Ending::Done));
}

#[test]
fn compression_is_asked_for_as_configured() {
    let run_with = |compress, banner: &str, reply: &'static str| {
        let mut config = master_config(pair::user("jane"));
        config.compress = compress;
        converse(config, &mail().store, banner, move |command| {
            if command.starts_with("COMPRESS") {
                say(reply)
            } else {
                agree(command)
            }
        })
    };
    let run = run_with(Compress::WhenOffered, OLD_BANNER, "");
    assert!(!run.said.iter().any(|said| said.starts_with("COMPRESS")));
    let run = run_with(Compress::WhenOffered, BANNER, "NO not today");
    assert_eq!(run.progress.ended, Some(Ending::Done));
    let run = run_with(Compress::Required, OLD_BANNER, "NO not today");
    assert_eq!(
        run.progress.ended,
        Some(Ending::CompressionUnavailable("not today".to_owned()))
    );
    assert_eq!(run.said, ["COMPRESS DEFLATE", "EXIT"]);
}

#[test]
fn a_connection_that_drops_anywhere_ends_the_run_and_no_more() {
    let master = mail();
    let whole = Mail::new("r");
    let length = pair::sync(pair::user("jane"), &master.store, &whole.store).heard;
    assert!(length > 100);
    for cut in 0..length {
        let replica = Mail::new("r");
        let wire = pair::Wire {
            cut_to_master: Some(cut),
            ..pair::Wire::default()
        };
        let config = master_config(pair::user("jane"));
        let outcome = pair::connect(config, &master.store, &replica.store, "mailtwin 0.1.0", wire);
        let ended = outcome.progress.ended;
        // By the time of EXIT everything has been answered.
        let farewell = "OK Finished\r\n".len();
        assert!(
            matches!(ended, Some(Ending::ConnectionLost(_)))
                || (ended == Some(Ending::Done) && cut + farewell >= length),
            "cut at {cut} of {length}: {ended:?}"
        );
        twin::sync_and_check(&master, &replica);
    }
}

#[test]
fn an_operator_who_stops_the_run_gets_a_clean_end_at_any_point() {
    let master = mail();
    let whole = Mail::new("r");
    let length = pair::sync(pair::user("jane"), &master.store, &whole.store).heard;
    let mut stopped = 0;
    for at in 0..length {
        let replica = Mail::new("r");
        let wire = pair::Wire {
            stop_after: Some(at),
            split: 7,
            ..pair::Wire::default()
        };
        let config = master_config(pair::user("jane"));
        let outcome = pair::connect(config, &master.store, &replica.store, "mailtwin 0.1.0", wire);
        let ended = outcome.progress.ended.clone();
        assert!(
            matches!(ended, Some(Ending::Stopped | Ending::Done)),
            "stop at {at}: {ended:?}"
        );
        stopped += u32::from(ended == Some(Ending::Stopped));
        if outcome.said.len() > 1 {
            assert_eq!(
                outcome.lines().last().map(String::as_str),
                Some("EXIT"),
                "stop at {at}"
            );
        }
        twin::sync_and_check(&master, &replica);
    }
    assert!(stopped > 10);
}

#[test]
fn a_reply_damaged_at_any_byte_never_makes_the_master_panic_or_hang() {
    let mut old = mail();
    old.flag("user.jane", 1, SystemFlags::SEEN, &["work"]);
    let mut newer = Mail::over(old.store.fork(), "r");
    newer.append("user.jane", &["theirs"]);
    newer.write(
        twin::jane(),
        engine::local::subscribe(Text::from("user.jane"), true),
    );
    old.append("user.jane", &["ours"]);
    let run = |flip| {
        let (master, replica) = (old.store.fork(), newer.store.fork());
        let wire = pair::Wire {
            flip,
            ..pair::Wire::default()
        };
        pair::connect(
            master_config(pair::user("jane")),
            &master,
            &replica,
            "mailtwin 0.1.0",
            wire,
        )
    };
    let whole = run(None);
    assert_eq!(whole.progress.ended, Some(Ending::Done));
    assert!(whole.heard > 1000, "a full compare is among it");
    let mut unharmed = 0;
    for at in 0..whole.heard {
        let mask = [0x01, 0x20, 0x80][at % 3];
        let ended = run(Some((at, mask))).progress.ended;
        unharmed += usize::from(matches!(ended, Some(Ending::Done)));
        assert!(ended.is_some(), "byte {at}, mask {mask}");
    }
    assert!(unharmed < whole.heard, "some damage has to be noticed");
}

proptest! {
    #[test]
    fn nonsense_ends_the_run(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6)) {
        let text: Vec<u8> = lines.join(&b"\r\n"[..]);
        let text = String::from_utf8_lossy(&text).into_owned();
        let run = converse(master_config(pair::user("jane")), &mail().store, BANNER, |command| {
            if command.starts_with("APPLY CAPABILITIES") { agree(command) } else { Answer::Close(text.clone()) }
        });
        prop_assert!(run.progress.ended.is_some());
    }
}
