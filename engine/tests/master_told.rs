//! What carries no word of when it was so: told once more when it has changed meanwhile, and looked for where nothing was
//! told of it.

mod twin;

use engine::flow::Now;
use engine::local;
use engine::master::{Ending, Job, Work};
use engine::model::{Mailbox, QuotaLimits, ServerAnnotation, SieveScript};
use engine::name::Scope;
use engine::ticket::{Change, Request, Session};
use protocol::{Guid, Text};
use store::memory::MemoryStore;
use twin::mail::Mail;
use twin::pair;
use twin::script::{Answer, Conversation, agree, converse, say};

const BANNER: &str = "* SASL PLAIN\r\n* OK twin Cyrus sync server mailtwin sim\r\n";
const ROOT: &str = "shared.a";

fn commit(store: &MemoryStore, scope: Scope, changes: Vec<Change>) {
    let mut session = store.session();
    for request in [Request::Begin { scope }, Request::Write(changes), Request::Commit] {
        session.execute(request).expect("done");
    }
}

fn motd(value: &'static str) -> Change {
    Change::PutServerAnnotation(ServerAnnotation {
        entry: Text::from("/motd"),
        userid: Text::EMPTY,
        value: Text::from(value),
    })
}

fn quota(storage: u32) -> Change {
    Change::PutQuota(QuotaLimits {
        root: Text::from(ROOT),
        storage: Some(storage),
        ..QuotaLimits::default()
    })
}

fn ended(conversation: &Conversation) -> Vec<&str> {
    assert_eq!(
        conversation.progress.ended,
        Some(Ending::Done),
        "{:?}",
        conversation.said
    );
    conversation.said.iter().map(String::as_str).collect()
}

/// Runs over everything, while once, at the command that begins so, these changes are made here.
fn told_while(store: &MemoryStore, at: &str, mut changes: Vec<Change>) -> Conversation {
    let config = pair::master_config(Job::AllUsers { prefix: Text::EMPTY });
    converse(config, store, BANNER, |command| {
        if command.starts_with(at) && !changes.is_empty() {
            commit(store, Scope::Shared, std::mem::take(&mut changes));
        }
        agree(command)
    })
}

/// Of the commands that begin so, those that came.
fn these<'a>(said: &[&'a str], start: &str) -> Vec<&'a str> {
    let found = said.iter().filter(|line| line.starts_with(start));
    found.copied().collect()
}

/// [CS-MASTER-66]
#[test]
fn an_annotation_of_the_server_that_changes_while_it_is_told_is_told_again() {
    let store = MemoryStore::new();
    commit(&store, Scope::Shared, vec![motd("old")]);
    let conversation = told_while(&store, "GET ANNOTATION", vec![motd("new")]);
    let said = ended(&conversation);
    let told = these(&said, "APPLY ANNOTATION");
    assert_eq!(told.len(), 2, "{said:?}");
    assert!(
        told[0].ends_with("VALUE old)") && told[1].ends_with("VALUE new)"),
        "{told:?}"
    );
}

#[test]
fn a_quota_of_nobody_that_changes_while_it_is_told_is_told_again() {
    for (changes, last) in [
        (vec![quota(9)], "APPLY QUOTA %(ROOT shared.a LIMIT 9 STORAGE 9)"),
        (
            vec![Change::RemoveQuota {
                root: Text::from(ROOT),
            }],
            "GET QUOTA shared.a",
        ),
    ] {
        let store = MemoryStore::new();
        commit(&store, Scope::Shared, vec![quota(8)]);
        let conversation = told_while(&store, "APPLY QUOTA", changes);
        let said = ended(&conversation);
        let about: Vec<&str> = said.iter().filter(|line| line.contains(ROOT)).copied().collect();
        assert_eq!(about[1], "APPLY QUOTA %(ROOT shared.a LIMIT 8 STORAGE 8)");
        assert_eq!(about.last(), Some(&last));
    }
}

#[test]
fn what_stays_as_it_was_told_is_told_once() {
    let store = MemoryStore::new();
    commit(&store, Scope::Shared, vec![motd("old"), quota(8)]);
    let conversation = told_while(&store, "nothing", Vec::new());
    let said = ended(&conversation);
    assert_eq!(these(&said, "GET ANNOTATION").len(), 1);
    assert_eq!(these(&said, "APPLY ANNOTATION").len(), 1);
    assert_eq!(these(&said, "APPLY QUOTA").len(), 1);
}

/// A replica that has no mailbox of the user, and kept a subscription and a quota root of one of this name.
fn with_leftovers(command: &str) -> Answer {
    if command.starts_with("GET USER") {
        return Answer::Say("* QUOTA %(ROOT user.jane.x LIMIT 7)\r\nOK success\r\n".to_owned());
    }
    if command.starts_with("GET META") {
        return Answer::Say("* LSUB (user.jane.x)\r\nOK success\r\n".to_owned());
    }
    agree(command)
}

/// [CS-MASTER-68]
#[test]
fn what_a_removed_user_left_goes_when_one_of_the_name_is_back() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane"]);
    commit(&mail.store, twin::jane(), local::remove_user(Now(1_700_000_100)));
    mail.create(&["user.jane"]);
    let config = pair::master_config(pair::user("jane"));
    let conversation = converse(config, &mail.store, BANNER, with_leftovers);
    let said = ended(&conversation);
    let gone = these(&said, "APPLY UN");
    assert_eq!(
        gone,
        [
            "APPLY UNQUOTA user.jane.x",
            "APPLY UNSUB %(USERID jane MBOXNAME user.jane.x)"
        ]
    );
}

#[test]
fn of_a_new_user_the_replica_is_asked_once() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane"]);
    let config = pair::master_config(pair::user("jane"));
    let conversation = converse(config, &mail.store, BANNER, |command| {
        if command.starts_with("GET META") {
            return say("NO IMAP_MAILBOX_NONEXISTENT not asked for");
        }
        agree(command)
    });
    let said = ended(&conversation);
    assert!(these(&said, "GET META").is_empty(), "{said:?}");
}

fn script() -> Change {
    Change::PutScript(SieveScript {
        name: Text::from("away"),
        last_update: 1,
        guid: Guid::NULL,
        content: Text::from("keep;"),
    })
}

/// Does what a META line of jane's asks for; what the replica was told.
fn meta_line(master: &Mail, replica: &Mail) -> Vec<String> {
    let outcome = pair::tasks(
        vec![Work::Meta(Text::from("jane"))],
        &master.store,
        &replica.store,
    );
    assert!(outcome.results.iter().all(|result| result.outcome.is_ok()));
    outcome.changing()
}

#[test]
fn a_script_that_went_before_its_user_goes_there_too() {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(&["user.jane"]);
    commit(&replica.store, twin::jane(), vec![script()]);
    commit(
        &master.store,
        twin::jane(),
        local::remove_user(Now(1_700_000_100)),
    );
    assert_eq!(meta_line(&master, &replica), ["APPLY UNUSER jane"]);
    assert!(meta_line(&master, &replica).is_empty(), "nothing is left");
}

#[test]
fn a_script_of_one_who_never_was_here_stays_there() {
    let (master, replica) = (Mail::new("m"), Mail::new("r"));
    commit(&replica.store, twin::jane(), vec![script()]);
    assert!(meta_line(&master, &replica).is_empty());
}

/// What is said when, once, at the replica's first answer about identities, these changes are made to jane here.
fn named_while(mail: &mut Mail, changes: Vec<Change>) -> Vec<String> {
    let mut changes = Some(changes);
    let config = pair::master_config(pair::user("jane"));
    let store = mail.store.clone();
    let conversation = converse(config, &store, BANNER, |command| {
        if command.starts_with("GET UNIQUEIDS")
            && let Some(changes) = changes.take()
        {
            mail.write(twin::jane(), changes);
        }
        agree(command)
    });
    ended(&conversation);
    let said = conversation.said.into_iter();
    said.filter(|line| line.starts_with("GET USER") || line.starts_with("APPLY MAILBOX"))
        .map(|line| line.chars().take(16).collect())
        .collect()
}

#[test]
fn mailboxes_that_go_while_they_are_sent_are_looked_at_again() {
    let mut mail = Mail::new("m");
    mail.create(&["user.jane", "user.jane.a"]);
    let a = mail.mailbox("user.jane.a");
    let renamed = Mailbox {
        name: Text::from("user.jane.b"),
        ..a.clone()
    };
    let once = ["GET USER jane", "APPLY MAILBOX us", "APPLY MAILBOX us"];
    let twice = [once, once].concat();
    for (changes, wanted) in [
        (Vec::new(), &once[..]),
        (vec![Change::PutMailbox(Box::new(renamed))], &twice[..]),
        (local::remove_user(Now(1_700_000_100)), &twice[..4]),
    ] {
        assert_eq!(named_while(&mut mail, changes), wanted);
    }
}
