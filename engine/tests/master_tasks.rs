//! Tasks against a replica that is there: names that moved, went, or came back mean what they mean now.

mod twin;

use std::collections::BTreeMap;

use engine::master::{Ending, TaskId, Work};
use engine::name::Scope;
use engine::ticket::Change;
use protocol::Text;
use twin::mail::Mail;
use twin::pair;
use twin::similar;

fn text(word: &str) -> Text {
    Text::from(word)
}

fn mailboxes(names: &[&str]) -> Work {
    Work::Mailboxes(names.iter().map(|name| text(name)).collect())
}

/// A user with mail on both sides.
fn pair_of(boxes: &[&str]) -> (Mail, Mail) {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(boxes);
    for name in boxes {
        master.append(name, &[&format!("to {name}\r\n")]);
    }
    run(vec![Work::User(text("u"))], &master, &replica);
    (master, replica)
}

/// Does the tasks; all have to succeed.
fn run(works: Vec<Work>, master: &Mail, replica: &Mail) -> pair::Outcome {
    let count = works.len();
    let outcome = pair::tasks(works, &master.store, &replica.store);
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    let results: BTreeMap<TaskId, _> = outcome.results.iter().map(|r| (r.id, &r.outcome)).collect();
    assert_eq!(results.len(), count, "one result a task");
    assert!(results.values().all(|outcome| outcome.is_ok()), "{results:?}");
    outcome
}

fn equal(master: &Mail, replica: &Mail) {
    let scope = Scope::User(text("u"));
    similar(&master.dump(&scope), &replica.dump(&scope));
}

#[test]
fn a_renamed_mailbox_is_renamed_and_not_sent_again() {
    for named in [
        vec![mailboxes(&["user.u.old", "user.u.new"])],
        vec![mailboxes(&["user.u.old"]), mailboxes(&["user.u.new"])],
        vec![mailboxes(&["user.u.new"]), mailboxes(&["user.u.old"])],
    ] {
        let (mut master, replica) = pair_of(&["user.u", "user.u.old"]);
        master.rename("user.u.old", "user.u.new");
        let outcome = run(named.clone(), &master, &replica);
        equal(&master, &replica);
        assert_eq!(outcome.progress.messages_sent, 0, "{named:?}");
        let renames = outcome.changing();
        let renames = renames.iter().filter(|line| line.starts_with("APPLY RENAME "));
        assert_eq!(renames.count(), 1, "{named:?}");
    }
}

#[test]
fn two_that_swapped_their_names_keep_their_mail() {
    let (mut master, replica) = pair_of(&["user.u", "user.u.a", "user.u.b"]);
    master.rename("user.u.a", "user.u.c");
    master.rename("user.u.b", "user.u.a");
    master.rename("user.u.c", "user.u.b");
    let outcome = run(
        vec![mailboxes(&["user.u.a", "user.u.b", "user.u.c"])],
        &master,
        &replica,
    );
    equal(&master, &replica);
    assert_eq!(outcome.progress.messages_sent, 0);
}

#[test]
fn a_deleted_name_is_deleted_and_a_reused_one_is_the_new_mailbox() {
    let (mut master, replica) = pair_of(&["user.u", "user.u.gone", "user.u.again"]);
    master.delete("user.u.gone");
    master.delete("user.u.again");
    master.create(&["user.u.again"]);
    master.append("user.u.again", &["a new life\r\n"]);
    let works = vec![
        Work::Unmailbox(text("user.u.gone")),
        Work::Unmailbox(text("user.u.again")),
        mailboxes(&["user.u.again"]),
    ];
    run(works, &master, &replica);
    equal(&master, &replica);
    assert_eq!(replica.records("user.u.again").len(), 1);
}

#[test]
fn a_deleted_user_goes_and_one_who_was_never_here_stays() {
    let (mut master, mut replica) = pair_of(&["user.u", "user.u.sub"]);
    replica.create(&["user.other"]);
    replica.append("user.other", &["theirs\r\n"]);
    let deleted_at = master.now;
    master.write(Scope::User(text("u")), vec![Change::RemoveUser { deleted_at }]);
    let works = vec![Work::Unuser(text("u")), Work::Unuser(text("other"))];
    run(works, &master, &replica);
    equal(&master, &replica);
    assert_eq!(
        replica.records("user.other").len(),
        1,
        "nobody here knows that it should go"
    );
}

#[test]
fn changes_behind_one_another_in_one_queue_end_equal() {
    let (mut master, replica) = pair_of(&["user.u", "user.u.a"]);
    master.append("user.u.a", &["more\r\n"]);
    master.rename("user.u.a", "user.u.b");
    master.create(&["user.u.a"]);
    master.append("user.u.a", &["another\r\n"]);
    master.expunge("user.u.b", 1);
    let works = vec![
        mailboxes(&["user.u.a"]),
        mailboxes(&["user.u.a", "user.u.b"]),
        mailboxes(&["user.u.b"]),
        Work::User(text("u")),
    ];
    let outcome = run(works, &master, &replica);
    equal(&master, &replica);
    let ids: Vec<u64> = outcome.results.iter().map(|result| result.id.0).collect();
    assert_eq!(ids, [0, 1, 2, 3], "one user's tasks are done in the order given");
}
