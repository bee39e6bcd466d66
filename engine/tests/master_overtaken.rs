//! A run by hand beside a log: what was renamed or deleted here meanwhile, and what has a name there by now.
//! [CS-MASTER-71]

mod twin;

use std::cell::Cell;

use engine::master::{Ending, Job};
use engine::name::Scope;
use engine::ticket::Change;
use protocol::Text;
use twin::mail::Mail;
use twin::pair::{self, master_config};
use twin::script::{Answer, Conversation, converse, say};

const BANNER: &str = "* SASL PLAIN\r\n* OK a.example.org Cyrus sync server 3.6.1\r\n";

/// A replica's line of one of our mailboxes without mail.
fn line(mail: &Mail, uniqueid: &str, like: &str, name: &str) -> String {
    let ours = mail.mailbox(like);
    format!(
        "* MAILBOX %(UNIQUEID {uniqueid} MBOXNAME {name} SYNC_CRC 0 SYNC_CRC_ANNOT 12345678 LAST_UID 0 HIGHESTMODSEQ {} \
         RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY {} PARTITION NIL ACL NIL OPTIONS P)\r\n",
        ours.highestmodseq, ours.uidvalidity
    )
}

fn run(job: Job, mail: &mut Mail, mut answer: impl FnMut(&mut Mail, &str) -> Option<Answer>) -> Conversation {
    let store = mail.store.clone();
    let run = converse(master_config(job), &store, BANNER, |command| {
        answer(mail, command).unwrap_or_else(|| say("OK success"))
    });
    assert_eq!(run.progress.ended, Some(Ending::Done), "{:?}", run.progress);
    run
}

fn has(run: &Conversation, command: &str) -> bool {
    run.said.iter().any(|said| said == command)
}

#[test]
fn a_mailbox_that_was_deleted_while_its_user_was_synced_is_deleted_there() {
    let jobs = [
        pair::user("jane"),
        Job::Mailboxes(vec![Text::from("user.jane.a")]),
    ];
    for job in jobs {
        let mut mail = Mail::new("m");
        mail.create(&["user.jane", "user.jane.a"]);
        let inbox = line(&mail, "m0001", "user.jane", "user.jane");
        let sent = line(&mail, "m0002", "user.jane.a", "user.jane.a");
        let is_sent = Cell::new(false);
        let run = run(job, &mut mail, |mail, command| match command {
            "APPLY MAILBOX user.jane.a 0" => {
                is_sent.set(true);
                mail.delete("user.jane.a");
                None
            }
            "GET USER jane" if is_sent.get() => Some(say(&format!("{inbox}{sent}OK success"))),
            "GET MAILBOXES (user.jane.a)" if is_sent.get() => Some(say(&format!("{sent}OK success"))),
            _ => None,
        });
        assert!(has(&run, "APPLY UNMAILBOX user.jane.a"), "{:?}", run.said);
    }
}

#[test]
fn a_mailbox_of_nobody_that_was_renamed_while_it_was_sent_is_renamed_there() {
    let mut mail = Mail::new("m");
    mail.create(&["shared.a"]);
    let line = |name: &str| line(&mail, "m0001", "shared.a", name);
    let (sent, renamed) = (line("shared.a"), line("shared.b"));
    // Nothing, by its first name, by its second.
    let state = Cell::new(0);
    let run = run(
        Job::AllUsers { prefix: Text::EMPTY },
        &mut mail,
        |mail, command| match command {
            "APPLY MAILBOX shared.a 0" => {
                state.set(1);
                mail.rename("shared.a", "shared.b");
                None
            }
            _ if command.starts_with("APPLY RENAME") => {
                state.set(2);
                None
            }
            // Looked for by its identity.
            _ if command.starts_with("GET UNIQUEIDS") && state.get() == 1 => {
                Some(say(&format!("{sent}OK success")))
            }
            _ if command.starts_with("GET MAILBOXES") && state.get() == 2 => {
                Some(say(&format!("{renamed}OK success")))
            }
            _ => None,
        },
    );
    let renames = run
        .said
        .iter()
        .filter(|said| said.starts_with("APPLY RENAME %(OLDMBOXNAME shared.a NEWMBOXNAME shared.b "));
    assert_eq!(renames.count(), 1, "{:?}", run.said);
}

#[test]
fn a_user_in_whom_nothing_changed_meanwhile_is_done_once() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", "user.jane.a"]);
    let run = run(pair::user("jane"), &mut mail, |_, _| None);
    let looks = run.said.iter().filter(|said| *said == "GET USER jane");
    assert_eq!(looks.count(), 1, "{:?}", run.said);
}

/// Another connection made the mailbox of this name anew between two looks: to delete the former one by its name would
/// delete the new one.
#[test]
fn a_name_that_has_another_mailbox_by_now_is_not_deleted() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", "user.jane.a"]);
    let former = line(&mail, "m0002", "user.jane.a", "user.jane.a");
    mail.delete("user.jane.a");
    mail.create(&["user.jane.a"]);
    let present = line(&mail, "m0003", "user.jane.a", "user.jane.a");
    let run = run(
        Job::Mailboxes(vec![Text::from("user.jane.a")]),
        &mut mail,
        |_, command| match command {
            "GET MAILBOXES (user.jane.a)" => Some(say(&format!("{former}OK success"))),
            "GET UNIQUEIDS (m0003)" => Some(say(&format!("{present}OK success"))),
            _ => None,
        },
    );
    assert!(!has(&run, "APPLY UNMAILBOX user.jane.a"), "{:?}", run.said);
}

/// Another master of the store may have found no mailbox there yet, and told nothing of the partition.
#[test]
fn a_mailbox_that_was_moved_to_another_partition_while_it_was_sent_is_moved_there() {
    for job in [pair::user("jane"), Job::Mailboxes(vec![Text::from("user.jane")])] {
        let mut mail = Mail::new("m");
        mail.create(&["user.jane"]);
        let sent =
            line(&mail, "m0001", "user.jane", "user.jane").replace("PARTITION NIL", "PARTITION default");
        let is_sent = Cell::new(false);
        let run = run(job, &mut mail, |mail, command| match command {
            "APPLY MAILBOX user.jane 0" => {
                is_sent.set(true);
                let mut moved = mail.mailbox("user.jane");
                moved.partition = Text::from("second");
                mail.write(Scope::of(b"user.jane"), vec![Change::PutMailbox(Box::new(moved))]);
                None
            }
            "GET USER jane" | "GET MAILBOXES (user.jane)" if is_sent.get() => {
                Some(say(&format!("{sent}OK success")))
            }
            _ => None,
        });
        let moves = run.said.iter().filter(|said| {
            said.starts_with("APPLY RENAME %(OLDMBOXNAME user.jane NEWMBOXNAME user.jane PARTITION second ")
        });
        assert_ne!(moves.count(), 0, "{:?}", run.said);
    }
}

/// A mailbox that was moved to another partition before it was told of, and its run with the replica's answer once it was
/// sent.
fn run_with_made(mut change: impl FnMut(&mut Mail), there: &str) -> Conversation {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane"]);
    change(&mut mail);
    let made = line(&mail, "m0001", "user.jane", "user.jane").replace("PARTITION NIL", there);
    let state = Cell::new(0);
    run(
        Job::Mailboxes(vec![Text::from("user.jane")]),
        &mut mail,
        |_, command| match command {
            "APPLY MAILBOX user.jane 0" => {
                state.set(state.get().max(1));
                None
            }
            _ if command.starts_with("APPLY RENAME") => {
                state.set(2);
                None
            }
            "GET MAILBOXES (user.jane)" if state.get() == 1 => Some(say(&format!("{made}OK success"))),
            "GET MAILBOXES (user.jane)" if state.get() == 2 => {
                let moved = made.replace("PARTITION default", "PARTITION second");
                Some(say(&format!("{moved}OK success")))
            }
            _ => None,
        },
    )
}

fn to_second(mail: &mut Mail) {
    let mut moved = mail.mailbox("user.jane");
    moved.partition = Text::from("second");
    moved.highestmodseq += 1;
    moved.foldermodseq = moved.highestmodseq;
    mail.write(Scope::of(b"user.jane"), vec![Change::PutMailbox(Box::new(moved))]);
}

/// What a connection that broke sent last came behind the look of the next one. [CS-MASTER-74]
#[test]
fn a_mailbox_that_was_made_there_meanwhile_on_its_former_partition_is_moved() {
    let count = |run: &Conversation, start: &str| {
        let those = run.said.iter().filter(|said| said.starts_with(start));
        those.count()
    };
    let run = run_with_made(to_second, "PARTITION default");
    let renames = count(
        &run,
        "APPLY RENAME %(OLDMBOXNAME user.jane NEWMBOXNAME user.jane PARTITION second ",
    );
    assert_eq!(renames, 1, "{:?}", run.said);
    for (there, looks) in [("PARTITION second", 2), ("PARTITION NIL", 2)] {
        let run = run_with_made(to_second, there);
        assert_eq!(count(&run, "APPLY RENAME"), 0, "{:?}", run.said);
        assert_eq!(count(&run, "GET MAILBOXES"), looks, "{:?}", run.said);
    }
    // Nothing that could have come before it differs from what is here.
    let run = run_with_made(|_| {}, "PARTITION default");
    assert_eq!(count(&run, "GET MAILBOXES"), 1, "{:?}", run.said);
}
