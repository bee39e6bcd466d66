//! Commands that change the store, as an administrator runs them.

mod common;

use common::{Place, Said, filters};
use serde_json::Value;

const MAIL: &str = "Subject: one\nDate: Thu, 1 Jan 1970 00:00:01 +0000\n\nfirst\n";

/// A place with a user.
fn place() -> Place {
    let place = Place::new();
    let _ = place
        .run(&["create", "user/jane", "jane/Sent", "user.jane.Sent.2026"])
        .fine();
    place
}

fn json(said: Said) -> Value {
    serde_json::from_slice(&said.fine().out).expect("JSON")
}

fn mailboxes(place: &Place, user: &str) -> Vec<String> {
    let rows = json(place.run(&["list", user, "--json"]));
    let names = rows.as_array().expect("a list").iter();
    names
        .map(|row| row["mailbox"].as_str().expect("a name").to_owned())
        .collect()
}

fn sound(place: &Place) {
    let _ = place.run(&["verify"]).fine();
}

#[test]
fn appending_flagging_and_expunging() {
    let place = place();
    let said = place.run_with(
        &["append", "jane/Sent", "--flag", "\\Seen", "--flag", "Work"],
        MAIL.as_bytes(),
    );
    assert_eq!(said.fine().text(), "1\n");
    let one = place.write("one.eml", MAIL).display().to_string();
    let two = place
        .write("two.eml", "Subject: two\r\n\r\nsecond\r\n")
        .display()
        .to_string();
    let told = json(place.run(&["append", "user/jane/Sent", &one, &two, "--date", "-5", "--json"]));
    assert_eq!((&told[0]["uid"], &told[1]["uid"]), (&2.into(), &3.into()));
    assert_eq!(
        place.run(&["cat", "jane/Sent", "3"]).fine().out,
        b"Subject: two\r\n\r\nsecond\r\n"
    );

    let said = place
        .run(&["flag", "jane/Sent", "2:*", "+\\Deleted", "+work", "-\\Seen"])
        .fine();
    assert!(said.err.ends_with("changed 2 of 2 messages\n"), "{}", said.err);
    let said = place.run(&["flag", "jane/Sent", "1:9", "+WORK"]).fine();
    assert!(
        said.err.ends_with("changed 0 of 3 messages\n"),
        "keywords have no case: {}",
        said.err
    );

    let said = place
        .run(&["expunge", "jane/Sent", "--deleted", "--dry-run"])
        .fine();
    assert!(said.err.contains("would expunge 2 messages"), "{}", said.err);
    assert_eq!(json(place.run(&["list", "jane", "--json"]))[1]["exists"], 3);
    let _ = place.run(&["expunge", "jane/Sent", "3"]).fine();
    let _ = place.run(&["expunge", "jane/Sent", "--deleted"]).fine();
    let row = json(place.run(&["list", "jane", "--json"]));
    assert_eq!((&row[1]["exists"], &row[1]["expunged"]), (&1.into(), &2.into()));
    sound(&place);
}

/// [CS-OPS-8]
#[test]
fn mailboxes_come_move_and_go() {
    let place = place();
    let _ = place.run(&["create", "jane/Entwürfe"]).fine();
    assert_eq!(
        mailboxes(&place, "jane"),
        [
            "user.jane",
            "user.jane.Entw&APw-rfe",
            "user.jane.Sent",
            "user.jane.Sent.2026"
        ]
    );
    let _ = place.run(&["rename", "jane/Sent", "jane/Gesendet"]).fine();
    let _ = place.run(&["delete", "jane/Gesendet"]).fine();
    let names = mailboxes(&place, "jane");
    assert_eq!(
        names[..3],
        ["user.jane", "user.jane.Entw&APw-rfe", "user.jane.Gesendet.2026"]
    );
    assert!(
        names[3].starts_with("DELETED.user.jane.Gesendet.") && names[3].len() == 35,
        "{names:?}"
    );
    let _ = place.run(&["create", "jane/Gesendet"]).fine();
    let _ = place
        .run(&["delete", "jane/Gesendet", "--recursive", "--now"])
        .fine();
    assert_eq!(mailboxes(&place, "jane").len(), 3);
    let _ = place.run(&["delete", &names[3], "--now"]).fine();
    assert_eq!(mailboxes(&place, "jane"), ["user.jane", "user.jane.Entw&APw-rfe"]);
    sound(&place);
    let _ = place.run(&["delete", "--user", "jane", "--now"]).fine();
    assert_eq!(place.run(&["list", "jane"]).code, 66);
}

#[test]
fn shared_mailboxes_too() {
    let place = Place::new();
    let _ = place.run(&["create", "shared.news", "shared.news.old"]).fine();
    let _ = place.run_with(&["append", "shared.news"], MAIL.as_bytes()).fine();
    let _ = place.run(&["rename", "shared.news.old", "shared.attic"]).fine();
    let _ = place.run(&["delete", "shared.attic"]).fine();
    assert_eq!(json(place.run(&["list", "--json"]))[0]["messages"], 1);
    sound(&place);
}

#[test]
fn what_belongs_to_a_user() {
    let place = place();
    let _ = place.run(&["subscribe", "jane", "Sent"]).fine();
    let _ = place.run(&["subscribe", "jane", "user/omar/Plans"]).fine();
    let _ = place.run(&["unsubscribe", "jane", "Sent"]).fine();
    let names: Vec<String> = {
        let database = place.database("jane");
        let mut statement = database
            .prepare("SELECT CAST(mailbox AS TEXT) FROM subscription")
            .expect("prepared");
        statement
            .query_map([], |row| row.get(0))
            .expect("asked")
            .map(|name| name.expect("a name"))
            .collect()
    };
    assert_eq!(names, ["user.omar.Plans"]);

    let script = b"require \"fileinto\";\r\nkeep;\r\n";
    let _ = place
        .run_with(&["sieve", "put", "jane", "Ferien", "--activate"], script)
        .fine();
    let _ = place
        .run_with(&["sieve", "put", "jane", "other"], b"discard;")
        .fine();
    assert_eq!(place.run(&["sieve", "get", "jane", "Ferien"]).fine().out, script);
    let listed = json(place.run(&["sieve", "list", "jane", "--json"]));
    assert_eq!(
        (&listed[0]["active"], &listed[1]["active"]),
        (&true.into(), &false.into())
    );
    let _ = place.run(&["sieve", "activate", "jane", "other"]).fine();
    let _ = place.run(&["sieve", "delete", "jane", "Ferien"]).fine();
    assert_eq!(
        place.run(&["sieve", "list", "jane"]).fine().text(),
        "other\t8 B\tactive\n"
    );
    let _ = place.run(&["sieve", "deactivate", "jane"]).fine();
    assert_eq!(
        place.run(&["sieve", "list", "jane"]).fine().text(),
        "other\t8 B\n"
    );

    let said = place
        .run(&["quota", "user/jane", "--storage", "1024", "--messages", "5"])
        .fine();
    assert_eq!(
        said.text(),
        "user.jane: storage 1024 KiB, messages 5, annotations none KiB, mailboxes none\n"
    );
    let quota = json(place.run(&["quota", "user/jane", "--messages", "none", "--json"]));
    assert_eq!(
        (&quota["storage_kib"], &quota["messages"]),
        (&1024.into(), &Value::Null)
    );
    let _ = place.run(&["quota", "user/jane", "--remove"]).fine();
    assert_eq!(place.run(&["quota", "user/jane"]).code, 66);
    sound(&place);
}

#[test]
fn annotations() {
    let place = place();
    let _ = place.run_with(&["append", "jane/INBOX"], MAIL.as_bytes()).fine();
    for args in [
        &["annotate", "user/jane", "/comment", "of the mailbox"][..],
        &[
            "annotate",
            "user/jane",
            "/comment",
            "jane's own",
            "--user",
            "jane",
        ],
        &[
            "annotate",
            "user/jane",
            "/altsubject",
            "of the message",
            "--uid",
            "1",
        ],
        &["annotate", "", "/motd", "of the server"],
    ] {
        let _ = place.run(args).fine();
    }
    assert_eq!(
        place.run(&["annotate", "user/jane"]).fine().text(),
        "/comment\tshared\tof the mailbox\n/comment\tjane\tjane's own\n"
    );
    assert_eq!(
        place.run(&["annotate", "", "/motd"]).fine().text(),
        "/motd\tshared\tof the server\n"
    );
    let said = place
        .run(&["annotate", "user/jane", "/altsubject", "--uid", "1"])
        .fine();
    assert_eq!(said.text(), "/altsubject\tshared\tof the message\n");
    let _ = place
        .run(&["annotate", "user/jane", "/comment", "--remove"])
        .fine();
    assert_eq!(place.run(&["annotate", "user/jane", "/comment"]).code, 66);
    assert_eq!(place.run(&["annotate", "user/jane", "comment", "x"]).code, 2);
    sound(&place);
}

#[test]
fn expiry_shows_first_and_never_touches_live_mail() {
    let place = place();
    let _ = place.run_with(&["append", "jane/INBOX"], MAIL.as_bytes()).fine();
    let _ = place
        .run_with(&["append", "jane/INBOX"], b"Subject: gone\n\nbody\n")
        .fine();
    let _ = place.run(&["expunge", "jane/INBOX", "2"]).fine();
    let _ = place.run(&["delete", "jane/Sent", "--recursive"]).fine();
    let nothing = json(place.run(&["expire", "--days", "1", "--json"]));
    assert_eq!(
        (
            &nothing["messages"],
            nothing["mailboxes"].as_array().map(Vec::len)
        ),
        (&0.into(), Some(0))
    );
    // Ten days pass.
    let database = place.database("jane");
    for sql in [
        "UPDATE record SET last_updated = last_updated - 864000 WHERE flags & 16",
        "UPDATE mailbox SET name = CAST('DELETED.user.jane.Sent.5F000000' AS BLOB) WHERE CAST(name AS TEXT) LIKE 'DELETED.user.jane.Sent.________'",
    ] {
        assert!(database.execute(sql, []).expect("done") > 0);
    }
    drop(database);
    for dry in [true, false] {
        let args = ["expire", "--days", "7", "--json", "--dry-run"];
        let gone = json(place.run(&args[..if dry { 5 } else { 4 }]));
        assert_eq!(gone["mailboxes"][0], "DELETED.user.jane.Sent.5F000000");
        assert_eq!(
            (&gone["messages"], &gone["expunged_records"], &gone["bytes"]),
            (&1.into(), &1.into(), &23.into())
        );
    }
    let gone = json(place.run(&["expire", "--days", "7", "--json"]));
    assert_eq!(
        (&gone["messages"], gone["mailboxes"].as_array().map(Vec::len)),
        (&0.into(), Some(0))
    );
    let _ = place.run(&["cat", "jane/INBOX", "1"]).fine();
    assert_eq!(
        json(place.run(&["list", "jane", "--json"]))[0]["expunged"],
        1,
        "the record stays"
    );
    sound(&place);
}

#[test]
fn mistakes_change_nothing_and_say_what_to_do() {
    let place = place();
    let nowhere = Place::new();
    let mut told = String::new();
    for (place, args) in [
        (&nowhere, &["append", "jane/INBOX"][..]),
        (&place, &["append", "joe/INBOX"]),
        (&place, &["append", "jane/INBOX"]),
        (&place, &["append", "jane/INBOX", "missing.eml"]),
        (&place, &["append", "jane/INBOX", "--flag", "\\Expunged"]),
        (&place, &["create", "joe/Sent"]),
        (&place, &["create", "jane/Sent"]),
        (&place, &["create", "jane//x"]),
        (&place, &["create", "user..x"]),
        (&place, &["rename", "jane/INBOX", "jane/x"]),
        (&place, &["rename", "jane/Sent", "joe/Sent"]),
        (&place, &["rename", "jane/Sent", "jane/Sent/2026"]),
        (&place, &["delete", "user/jane"]),
        (&place, &["delete", "jane/nothing"]),
        (&place, &["delete", "--user", "jane"]),
        (&place, &["flag", "jane/Sent", "1", "\\Seen"]),
        (&place, &["flag", "jane/Sent", "1", "+\\Nonsense"]),
        (&place, &["flag", "jane/Sent", "0", "+\\Seen"]),
        (&place, &["flag", "jane/Sent", "1:*", "+\\Seen"]),
        (&place, &["expunge", "jane/Sent"]),
        (&place, &["sieve", "put", "jane", "../x"]),
        (&place, &["sieve", "activate", "jane", "x"]),
        (&place, &["quota", "user/jane", "--storage", "much"]),
        (&place, &["subscribe", "joe", "Sent"]),
        (&place, &["expire", "--days", "0"]),
    ] {
        told.push_str(&format!(
            "$ mailtwin {}\n{}\n",
            args.join(" "),
            place.run(args).all()
        ));
    }
    filters(&place).bind(|| filters(&nowhere).bind(|| insta::assert_snapshot!(told)));
    assert!(
        !place.path("store/users/joe.db").exists(),
        "a mistyped user makes no database"
    );
    assert_eq!(
        mailboxes(&place, "jane"),
        ["user.jane", "user.jane.Sent", "user.jane.Sent.2026"]
    );
}

/// Each line that a command adds to the log of the default channel.
#[test]
fn changes_are_logged_for_replication() {
    let place = Place::new();
    let _ = place.write(
        "mailtwin.conf",
        "configdirectory: .\nsync_log: yes\nsync_log_channels: \"\" far\n",
    );
    let mail = place.write("one.eml", MAIL).display().to_string();
    let mut told = String::new();
    for args in [
        &["create", "user/jane", "jane/Sent"][..],
        &["create", "shared.news"],
        &["append", "jane/Sent", &mail],
        &["import", "jane", "Old mail", "eml", &mail],
        &["flag", "jane/Sent", "1", "+\\Seen"],
        &["flag", "jane/Sent", "1", "+\\Seen"],
        &["annotate", "jane/Sent", "/comment", "mine"],
        &["annotate", "", "/motd", "hello"],
        &["subscribe", "jane", "Sent"],
        &["quota", "user/jane", "--storage", "1000"],
        &["rename", "jane/Sent", "jane/Gesendet"],
        &["expunge", "jane/Gesendet", "1", "--dry-run"],
        &["expunge", "jane/Gesendet", "1"],
        &["expire", "--days", "1", "--dry-run"],
        &["delete", "jane/Gesendet"],
        &["delete", "jane/Old mail", "--now"],
        &["delete", "--user", "jane", "--now"],
    ] {
        let _ = place.run(args).fine();
        let log = std::fs::read_to_string(place.path("sync/log")).unwrap_or_default();
        let far = std::fs::read_to_string(place.path("sync/far/log")).unwrap_or_default();
        assert_eq!(log, far, "both channels are told the same");
        let _ = std::fs::remove_file(place.path("sync/log"));
        let _ = std::fs::remove_file(place.path("sync/far/log"));
        let args = args.join(" ").replace(&mail, "one.eml");
        told.push_str(&format!("$ mailtwin {args}\n{log}"));
    }
    let script = place.run_with(&["create", "user/omar"], b"");
    let _ = script.fine();
    let _ = place
        .run_with(&["sieve", "put", "omar", "x", "--activate"], b"keep;")
        .fine();
    told.push_str("$ mailtwin create user/omar; mailtwin sieve put omar x --activate\n");
    told.push_str(&std::fs::read_to_string(place.path("sync/log")).expect("logged"));
    let mut settings = filters(&place);
    settings.add_filter(r"\.[0-9A-F]{8}\b", ".[time]");
    settings.bind(|| insta::assert_snapshot!(told));
}
