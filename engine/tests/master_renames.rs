//! Renames against a replica that refuses nothing, while another connection renames as well. [CS-MASTER-69]

mod twin;

use std::collections::BTreeMap;

use engine::master::Ending;
use twin::mail::Mail;
use twin::pair::{self, master_config};
use twin::script::{Answer, Conversation, converse, say};

const BANNER: &str = "* SASL PLAIN\r\n* OK a.example.org Cyrus sync server 3.6.1\r\n";
const A: &str = "user.jane.a";
const B: &str = "user.jane.b";

/// A replica of mailboxes without mail: their unique ids, by name.
struct There {
    ids: BTreeMap<String, String>,
    renames: usize,
}

impl There {
    fn line(&self, mail: &Mail, name: &str) -> String {
        let Some(id) = self.ids.get(name) else {
            return String::new();
        };
        let ours = mail_of(mail, id);
        format!(
            "* MAILBOX %(UNIQUEID {id} MBOXNAME {name} SYNC_CRC 0 SYNC_CRC_ANNOT 12345678 LAST_UID 0 HIGHESTMODSEQ {} \
             RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY {} PARTITION NIL ACL NIL \
             OPTIONS P)\r\n",
            ours.highestmodseq, ours.uidvalidity
        )
    }

    fn swap(&mut self) {
        let (a, b) = (self.ids.remove(A), self.ids.remove(B));
        self.ids.extend(b.map(|id| (A.to_owned(), id)));
        self.ids.extend(a.map(|id| (B.to_owned(), id)));
    }

    fn rename(&mut self, from: &str, to: &str) -> Answer {
        self.renames += 1;
        if self.ids.contains_key(to) {
            return say("NO IMAP_MAILBOX_EXISTS Mailbox already exists");
        }
        match self.ids.remove(from) {
            Some(id) => {
                self.ids.insert(to.to_owned(), id);
                say("OK success")
            }
            None => say("NO IMAP_MAILBOX_NONEXISTENT Mailbox does not exist"),
        }
    }
}

fn mail_of(mail: &Mail, id: &str) -> engine::model::Mailbox {
    let mine = ["user.jane", A, B].map(|name| mail.mailbox(name));
    let mine = mine.into_iter().find(|mailbox| mailbox.uniqueid == *id);
    mine.expect("a mailbox of ours")
}

/// A run of a master that swapped `a` and `b`; right before each of its renames, `meanwhile` happens.
fn run(mut meanwhile: impl FnMut(&mut There, &str)) -> (Conversation, There, Mail) {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", A, B]);
    let id = |name: &str| mail.mailbox(name).uniqueid.to_string();
    let names = ["user.jane", A, B].map(str::to_owned);
    let mut there = There {
        ids: names.into_iter().map(|name| (name.clone(), id(&name))).collect(),
        renames: 0,
    };
    for (from, to) in [(A, "user.jane.c"), (B, A), ("user.jane.c", B)] {
        mail.rename(from, to);
    }
    let run = converse(
        master_config(pair::user("jane")),
        &mail.store,
        BANNER,
        |command| {
            let words: Vec<&str> = command
                .split([' ', '(', ')'])
                .filter(|word| !word.is_empty())
                .collect();
            match words.as_slice() {
                ["GET", "USER", ..] => {
                    let lines: String = there.ids.keys().map(|name| there.line(&mail, name)).collect();
                    say(&format!("{lines}OK success"))
                }
                ["GET", "MAILBOXES", names @ ..] => {
                    let lines: String = names.iter().map(|name| there.line(&mail, name)).collect();
                    say(&format!("{lines}OK success"))
                }
                ["GET", "UNIQUEIDS", ids @ ..] => {
                    let found = there.ids.iter().filter(|(_, id)| ids.contains(&id.as_str()));
                    let lines: String = found.map(|(name, _)| there.line(&mail, name)).collect();
                    say(&format!("{lines}OK success"))
                }
                ["APPLY", "RENAME", "%", "OLDMBOXNAME", from, "NEWMBOXNAME", to, ..] => {
                    meanwhile(&mut there, from);
                    there.rename(from, to)
                }
                _ => say("OK success"),
            }
        },
    );
    (run, there, mail)
}

fn is_right(there: &There, mail: &Mail) -> bool {
    let id = |name: &str| mail.mailbox(name).uniqueid.to_string();
    [A, B].iter().all(|name| there.ids.get(*name) == Some(&id(name)))
}

fn reason(run: &Conversation) -> String {
    assert_eq!(run.progress.ended, Some(Ending::SomeFailed), "{:?}", run.said);
    run.progress.failures[0].reason.clone()
}

#[test]
fn two_that_swapped_their_names_are_swapped() {
    let (run, there, mail) = run(|_, _| {});
    assert_eq!(run.progress.ended, Some(Ending::Done), "{:?}", run.progress);
    assert!(is_right(&there, &mail), "{:?}", there.ids);
    assert_eq!(there.renames, 3);
}

#[test]
fn a_swap_that_another_connection_made_first_is_not_undone() {
    let mut swapped = false;
    let (run, there, mail) = run(|there, _| {
        if !std::mem::replace(&mut swapped, true) {
            there.swap();
        }
    });
    assert_eq!(run.progress.ended, Some(Ending::Done), "{:?}", run.progress);
    assert!(is_right(&there, &mail), "{:?}", there.ids);
}

#[test]
fn a_run_does_not_swap_for_ever_against_another_connection() {
    let (run, there, _) = run(|there, from| {
        if from == A || from == B {
            let is_first = !there.ids.keys().any(|name| name.contains("-swap-"));
            if is_first {
                there.swap();
            }
        }
    });
    assert!(reason(&run).contains("meanwhile"), "{}", reason(&run));
    assert_eq!(there.renames, 12, "four rounds of three");
}

#[test]
fn a_mailbox_that_cannot_be_found_after_its_rename_fails() {
    let (run, there, mail) = run(|there, from| {
        if from == A {
            there.ids.remove(A);
        }
    });
    assert!(reason(&run).contains("meanwhile"), "{}", reason(&run));
    let id = mail.mailbox(A).uniqueid.to_string();
    assert_eq!(there.ids.get(A), Some(&id), "the other one is where it belongs");
}

#[test]
fn what_is_refused_for_another_reason_is_not_tried_again() {
    let (run, there, _) = run(|there, _| {
        // Somebody else's mailbox, which no run renames, is wherever one of ours has to go.
        for name in ["user.jane.a-mailtwin-swap-0", "user.jane.b-mailtwin-swap-0"] {
            there
                .ids
                .entry(name.to_owned())
                .or_insert_with(|| "m0001".to_owned());
        }
    });
    let refused = reason(&run);
    assert!(refused.contains("IMAP_MAILBOX_EXISTS"), "{refused}");
    assert!(there.renames <= 12, "{}", there.renames);
}
