//! Mailboxes that were never used and gave their name to another one: nobody deleted them, and yet they go where they are
//! left over. [CS-SPLIT-43]

mod twin;

use engine::master::Ending;
use engine::ticket::Select;
use protocol::Text;
use twin::mail::{Mail, mailboxes};
use twin::pair;

const INBOX: &str = "user.jane";
const A: &str = "user.jane.a";
const B: &str = "user.jane.b";

/// Two servers with an INBOX, each of which made a mailbox of its own by the same name; and one behind the second.
fn two_and_one_behind(first: &'static str, second: &'static str) -> (Mail, Mail, Mail) {
    let mut one = Mail::new(first);
    one.create(&[INBOX]);
    let mut two = Mail::over(one.store.fork(), second);
    one.create(&[A]);
    two.create(&[A]);
    let three = Mail::over(two.store.fork(), "z");
    (one, two, three)
}

fn run(master: &Mail, replica: &Mail) {
    let outcome = pair::sync(pair::user("jane"), &master.store, &replica.store);
    let ended = outcome.progress.ended.clone();
    assert_eq!(ended, Some(Ending::Done), "{:?}", outcome.progress);
}

/// Names and unique ids.
fn shown(mail: &Mail) -> Vec<(String, String)> {
    let all = mailboxes(&mail.store, Select::User(Text::from("jane")));
    let shown = all.iter().map(|m| (m.name.to_string(), m.uniqueid.to_string()));
    shown.collect()
}

#[test]
fn it_goes_further_on_when_the_name_is_free_again() {
    // The second's gives way on the second's own server, as its unique id is the later one and as it is the earlier.
    for (first, second) in [("m", "r"), ("r", "m")] {
        let (mut one, two, three) = two_and_one_behind(first, second);
        run(&one, &two);
        assert_eq!(shown(&one), shown(&two));
        one.delete(A);
        run(&one, &two);
        run(&two, &three);
        assert_eq!(shown(&one), shown(&three), "deleted");

        let (mut one, two, three) = two_and_one_behind(first, second);
        run(&one, &two);
        one.rename(A, B);
        run(&one, &two);
        run(&two, &three);
        assert_eq!(shown(&one), shown(&three), "renamed");
    }
}

#[test]
fn it_goes_where_it_has_an_older_name() {
    for (first, second) in [("m", "r"), ("r", "m")] {
        let mut one = Mail::new(first);
        one.create(&[INBOX]);
        let mut two = Mail::over(one.store.fork(), second);
        two.create(&[A]);
        let three = Mail::over(two.store.fork(), "z");
        two.rename(A, B);
        one.create(&[B]);
        run(&one, &two);
        run(&two, &three);
        assert_eq!(shown(&one), shown(&three));
    }
}

#[test]
fn it_stays_where_it_is_used_or_has_another_name() {
    let (mut one, two, mut three) = two_and_one_behind("m", "r");
    let mut four = Mail::over(three.store.fork(), "y");
    three.append(A, &["mail"]);
    four.rename(A, B);
    run(&one, &two);
    one.delete(A);
    run(&one, &two);
    for server in [&three, &four] {
        let before = shown(server);
        run(&two, server);
        assert_eq!(shown(server), before);
    }
}

#[test]
fn what_has_its_name_by_now_goes_before_it() {
    let (mut one, two, three) = two_and_one_behind("m", "r");
    run(&one, &two);
    one.append(A, &["mail"]);
    run(&one, &two);
    run(&two, &three);
    assert_eq!(shown(&one), shown(&three));
    assert_eq!(three.records(A).len(), 1);
}
