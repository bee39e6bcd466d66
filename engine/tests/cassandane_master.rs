//! What Cyrus's own test-suite asks of a master, where a stand-in for the replica shows it best.

mod twin;

use engine::master::Ending;
use protocol::Text;
use twin::mail::Mail;
use twin::pair::{self, master_config};
use twin::script::{Answer, agree, converse, say};

const ARCHIVE_BANNER: &str = "* SASL PLAIN\r\n* SIEVE-MAILBOX\r\n* REPLICATION-ARCHIVE\r\n* OK r.example.org Cyrus sync server 3.12.4\r\n";
const BANNER: &str = "* SASL PLAIN\r\n* SIEVE-MAILBOX\r\n* OK r.example.org Cyrus sync server 3.12.4\r\n";

fn mail() -> Mail {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane"]);
    mail.append("user.jane", &["one"]);
    mail
}

/// `-a` asks a replica that has an archive partition to stage there, and says so where there is none. [CS-APPLY-51]
#[test]
fn messages_are_staged_on_the_archive_where_there_is_one() {
    for (stage, banner, asked) in [
        (true, ARCHIVE_BANNER, true),
        (true, BANNER, false),
        (false, ARCHIVE_BANNER, false),
    ] {
        let mut config = master_config(pair::user("jane"));
        config.stage_to_archive = stage;
        let run = converse(config, &mail().store, banner, |command| {
            if command.starts_with("APPLY CAPABILITIES") {
                let names = command.trim_start_matches("APPLY CAPABILITIES ");
                return Answer::Say(format!("* ENABLED {names}\r\nOK success\r\n"));
            }
            agree(command)
        });
        assert_eq!(run.progress.ended, Some(Ending::Done), "{:?}", run.progress);
        let capabilities = run
            .said
            .iter()
            .find(|said| said.starts_with("APPLY CAPABILITIES"));
        let capabilities = capabilities.map(String::as_str).unwrap_or_default();
        assert_eq!(
            capabilities.contains("REPLICATION-ARCHIVE"),
            asked,
            "{:?}",
            run.said
        );
        let told = run
            .progress
            .notices
            .iter()
            .any(|notice| notice.contains("archive"));
        assert_eq!(told, stage && !asked, "{:?}", run.progress.notices);
    }
}

/// A replica whose mailboxes are of a version that it does not replicate refuses the question already; nothing is sent,
/// and the refusal is told. Once it is upgraded there, all goes.
#[test]
fn a_replica_too_old_for_a_user_is_told_of() {
    let mail = mail();
    let run = converse(
        master_config(pair::user("jane")),
        &mail.store,
        BANNER,
        |command| {
            if command == "GET USER jane" {
                say("NO IMAP_MAILBOX_NOTSUPPORTED Operation is not supported on mailbox")
            } else {
                agree(command)
            }
        },
    );
    assert_eq!(run.progress.ended, Some(Ending::SomeFailed));
    let failure = &run.progress.failures[0];
    assert_eq!(failure.item, "jane");
    assert!(
        failure.reason.contains("IMAP_MAILBOX_NOTSUPPORTED"),
        "{}",
        failure.reason
    );
    let sent = |said: &&String| said.starts_with("APPLY ") && !said.starts_with("APPLY CAPABILITIES");
    assert_eq!(run.said.iter().find(sent), None);
    let run = converse(master_config(pair::user("jane")), &mail.store, BANNER, agree);
    assert_eq!(run.progress.ended, Some(Ending::Done), "{:?}", run.progress);
}

/// The groups of a mailbox's owner (of masters from 3.12 on), and keywords that no message has any more, pass through
/// from one to the next.
#[test]
fn groups_and_unused_keywords_pass() {
    let mut master = mail();
    let mut mailbox = master.mailbox("user.jane");
    mailbox.usergroups = Some(Text::from("group:shared\tgroup:staff"));
    mailbox.userflags = vec![Text::from("UserA"), Text::from("UserB")];
    master.force(mailbox, &[], Vec::new());
    let replica = Mail::new("r");
    let outcome = twin::sync_and_check(&master, &replica);
    assert_eq!(outcome.progress.messages_sent, 1);
    let there = replica.mailbox("user.jane");
    assert_eq!(there.usergroups, Some(Text::from("group:shared\tgroup:staff")));
    assert_eq!(there.userflags, [Text::from("UserA"), Text::from("UserB")]);
}
