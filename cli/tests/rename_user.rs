//! `rename --user`: everything is there under the new name, nothing under the old one, and the log says so.

mod common;

use common::Place;

fn place() -> Place {
    let place = Place::new();
    let conf = std::fs::read_to_string(place.path("mailtwin.conf")).expect("read");
    let dir = place.dir().display().to_string();
    place.write(
        "mailtwin.conf",
        format!("{conf}configdirectory: {dir}\nsync_log: yes\n"),
    );
    let _ = place
        .run(&["create", "user/jane.doe", "jane.doe/Sent", "jane.doe/Entwürfe"])
        .fine();
    for number in 0..3 {
        let text = format!("Subject: message {number}\n\ntext\n");
        let _ = place
            .run_with(&["append", "jane.doe/INBOX", "--flag", "\\Seen"], text.as_bytes())
            .fine();
        let _ = place
            .run_with(&["append", "jane.doe/Sent"], text.as_bytes())
            .fine();
    }
    let _ = place.run(&["expunge", "jane.doe/INBOX", "2"]).fine();
    let _ = place
        .run(&["annotate", "jane.doe/Sent", "/comment", "kept"])
        .fine();
    let _ = place.run(&["subscribe", "jane.doe", "Sent"]).fine();
    let _ = place.run(&["quota", "user/jane.doe", "--storage", "1000"]).fine();
    let _ = place
        .run_with(&["sieve", "put", "jane.doe", "main", "--activate"], b"keep;\n")
        .fine();
    place
}

/// Mailboxes with what IMAP sees of them, without ids and names of the user.
fn mailboxes(place: &Place, user: &str) -> serde_json::Value {
    let said = place.run(&["list", user, "--json"]).fine();
    let mut rows: serde_json::Value = serde_json::from_slice(&said.out).expect("JSON");
    for row in rows.as_array_mut().expect("rows") {
        let row = row.as_object_mut().expect("a row");
        row.remove("mailbox");
        row.remove("uniqueid");
    }
    rows
}

#[test]
fn everything_goes_over() {
    let place = place();
    let before = mailboxes(&place, "jane.doe");
    assert_eq!(before.as_array().map(Vec::len), Some(3));
    std::fs::remove_file(place.path("sync/log")).expect("a log");
    let said = place
        .run(&["rename", "--user", "jane.doe", "june@example.org"])
        .fine();
    assert!(
        said.err
            .contains("renamed jane.doe to june@example.org: 3 mailboxes with 5 messages"),
        "{}",
        said.err
    );

    assert_eq!(mailboxes(&place, "june@example.org"), before);
    assert_eq!(place.run(&["list", "jane.doe"]).code, 66);
    let _ = place.run(&["verify"]).fine();
    let text = |args: &[&str]| place.run(args).fine().text();
    assert!(text(&["cat", "june@example.org/Sent", "2"]).contains("message 1"));
    assert!(text(&["annotate", "june@example.org/Sent", "/comment"]).contains("kept"));
    assert_eq!(text(&["sieve", "get", "june@example.org", "main"]), "keep;\n");
    assert!(text(&["sieve", "list", "june@example.org", "--json"]).contains("\"active\": true"));
    assert!(text(&["quota", "example.org!user.june", "--json"]).contains("1000"));

    let log = std::fs::read_to_string(place.path("sync/log")).expect("a log");
    let line = |text: &str| log.lines().position(|line| line == text);
    let made = line("MAILBOX example.org!user.june").expect("the new INBOX");
    let gone = line("UNUSER jane.doe").expect("the old user");
    assert!(made < gone, "the new one is there before the old one goes: {log}");
    for wanted in [
        "MAILBOX example.org!user.june.Sent",
        "SUB june@example.org example.org!user.june.Sent",
        "META june@example.org",
        "QUOTA example.org!user.june",
    ] {
        assert!(line(wanted).is_some(), "{wanted}: {log}");
    }
}

#[test]
fn nobody_is_renamed_into_somebody() {
    let place = place();
    place.append("bob", "INBOX", "Subject: his\n\ntext\n");
    let said = place.run(&["rename", "--user", "jane.doe", "bob"]);
    assert_eq!(said.code, 73, "{}", said.err);
    assert!(said.err.contains("there is a user bob already"), "{}", said.err);
    assert_eq!(place.run(&["rename", "--user", "jane.doe", "jane.doe"]).code, 73);
    let said = place.run(&["rename", "--user", "nobody", "somebody"]);
    assert_eq!(said.code, 66, "{}", said.err);
    assert!(!place.path("store/users/somebody.db").exists());
    assert_eq!(mailboxes(&place, "jane.doe").as_array().map(Vec::len), Some(3));
    assert_eq!(mailboxes(&place, "bob").as_array().map(Vec::len), Some(1));

    // And back again: a name that was used before.
    let _ = place.run(&["rename", "--user", "jane.doe", "june"]).fine();
    let before = mailboxes(&place, "june");
    let _ = place.run(&["rename", "--user", "june", "jane.doe"]).fine();
    let after = mailboxes(&place, "jane.doe");
    let numbers = |rows: &serde_json::Value, key: &str| {
        let rows = rows.as_array().expect("rows");
        rows.iter()
            .map(|row| row[key].as_u64().unwrap_or(0))
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(&before, "exists"), numbers(&after, "exists"));
    let (old, new) = (numbers(&before, "uidvalidity"), numbers(&after, "uidvalidity"));
    assert!(
        old.iter().zip(&new).all(|(old, new)| new >= old),
        "{old:?} {new:?}"
    );
    let _ = place.run(&["verify"]).fine();
}
