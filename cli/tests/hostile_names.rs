//! A store whose names mean harm, as a hostile replica or an older program could have left them: no command writes
//! outside of where it was told to, and none lets a name work on the terminal.

mod common;
#[path = "../../store/tests/common/nasty.rs"]
mod nasty;
#[path = "../../store/tests/common/mod.rs"]
mod stored;

use std::path::Path;

use common::{Place, Said};
use engine::name::Scope;
use engine::ticket::Change;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::Text;
use store::sqlite::{Options, SqliteStore};
use stored::{Client, mailbox, record};

/// Fills the store: a mailbox of jane with a message for each name, with its partition, keyword and annotation called the
/// same.
fn fill(place: &Place, names: &[Vec<u8>]) {
    let store = SqliteStore::open(place.path("store"), Options::default()).expect("opens");
    let mut client = Client(Box::new(store.session()));
    let scope = Scope::User(Text::from("jane"));
    let mut changes = vec![Change::PutMailbox(Box::new(mailbox("user.jane", "inbox")))];
    for (number, name) in names.iter().enumerate() {
        let data = format!("Subject: {number}\r\n\r\n");
        client.stage(data.as_bytes());
        let uniqueid = Text::from([format!("u{number} ").as_bytes(), name].concat());
        let own = stored::mailbox("user.jane", "u");
        let mut record = record(1, 1, data.as_bytes());
        record.flags.keywords = vec![Text::from(name.clone())];
        changes.push(Change::PutMailbox(Box::new(engine::model::Mailbox {
            name: Text::from([b"user.jane.", &name[..]].concat()),
            uniqueid: uniqueid.clone(),
            partition: Text::from(name.clone()),
            ..own
        })));
        changes.push(Change::PutRecords {
            uniqueid,
            partition: Text::from("default"),
            records: vec![record],
        });
        changes.push(Change::Subscribe {
            mailbox: Text::from([b"user.jane.", &name[..]].concat()),
        });
    }
    client.transact(scope, changes);
}

fn assert_tame(said: &Said, what: &str) {
    let out = String::from_utf8_lossy(&said.out);
    for (stream, text) in [("stdout", &*out), ("stderr", &*said.err)] {
        assert!(nasty::is_showable(text), "{what}: {stream}: {text:?}");
    }
}

/// Each exported message is in a folder of the Maildir, one level below it, and nothing else is anywhere.
fn assert_inside(place: &Path, messages: usize) {
    let out = place.join("out");
    let mut found = 0;
    for path in nasty::below(place) {
        let Ok(inside) = path.strip_prefix(&out) else {
            let known = ["store", "mailtwin.conf", "out"].map(|name| place.join(name));
            assert!(
                known.iter().any(|known| path.starts_with(known)),
                "{}",
                path.display()
            );
            continue;
        };
        let text = inside.to_str().expect("text");
        assert!(nasty::is_showable(text) && !text.contains('\n'), "{text:?}");
        let parts: Vec<&str> = inside.iter().map(|part| part.to_str().expect("text")).collect();
        let in_folder = if parts.first().is_some_and(|part| part.starts_with('.')) {
            &parts[1..]
        } else {
            &parts[..]
        };
        match in_folder {
            ["cur", name] => {
                assert!(name.contains(".mailtwin:2,"), "{text}");
                found += 1;
            }
            [] | ["cur" | "new" | "tmp" | "maildirfolder" | "subscriptions"] => {}
            [own] if own.starts_with("dovecot-") || own.starts_with("mailtwin-") => {}
            _ => panic!("{text}"),
        }
    }
    assert_eq!(found, messages, "every message is there");
}

fn check(names: &[Vec<u8>]) {
    let place = Place::new();
    fill(&place, names);
    for arguments in [
        &["list"][..],
        &["list", "jane"],
        &["list", "jane", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["cat", "jane/\u{1b}[31m", "1"],
        &["cat", "user.jane.\u{1b}[31m\nx", "1"],
        &["list", "../\u{1b}[31m"],
        &["export", "../jane", "out2"],
        &["export", "/etc", "out2"],
    ] {
        assert_tame(&place.run(arguments), &arguments.join(" "));
    }
    let said = place.run(&["export", "jane", "out"]);
    assert_tame(&said, "export");
    let _ = said.fine();
    assert_inside(place.dir(), names.len());
}

/// [CS-NAME-9]
#[test]
fn every_name_that_did_harm_somewhere() {
    let names: Vec<Vec<u8>> = nasty::PARTS.iter().map(|part| part.as_bytes().to_vec()).collect();
    check(&names);
}

#[test]
fn names_that_only_look_alike() {
    let long = |last: u8| [vec![b'x'; 400], vec![last]].concat();
    let names = [
        b"Sent".to_vec(),
        b"sent".to_vec(),
        b"SENT".to_vec(),
        b"a/b".to_vec(),
        b"a&AC8-b".to_vec(),
        b"a..b".to_vec(),
        b"a...b".to_vec(),
        b"\xe9".to_vec(),
        b"&AOk-".to_vec(),
        long(b'1'),
        long(b'2'),
    ];
    check(&names);
}

#[test]
fn names_at_random() {
    let mut runner = TestRunner::new(Config {
        cases: 6,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    });
    // A `!` would end a domain, and the mailbox would be nobody's.
    let name = nasty::name().prop_filter("a domain", |name| !name.contains(&b'!'));
    let names = prop::collection::btree_set(name, 8..16);
    let outcome = runner.run(&names, |names| {
        check(&names.into_iter().collect::<Vec<_>>());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
