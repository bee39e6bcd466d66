//! `list`, `cat`, `passwd`, `verify`, and what is said when something is wrong.

mod common;

use common::{Place, filters};

fn filled() -> Place {
    let place = Place::new();
    place.append(
        "jane",
        "INBOX",
        "Subject: one\nDate: Thu, 1 Jan 1970 00:00:01 +0000\n\nfirst\n",
    );
    place.append("jane", "INBOX", "Subject: two\n\nsecond\n");
    place.append("jane", "Entwürfe/v1.2", "Subject: draft\n\n");
    place.append(
        "omar",
        "inbox/Sub",
        &format!("Subject: big\n\n{}\n", "x".repeat(70).repeat(100)),
    );
    place
}

#[test]
fn lists() {
    let place = filled();
    filters(&place).bind(|| {
        insta::assert_snapshot!("list", place.run(&["list"]).all());
        insta::assert_snapshot!("list_user", place.run(&["list", "jane"]).all());
        insta::assert_snapshot!("list_user_json", place.run(&["list", "omar", "--json"]).all());
    });
    let users: serde_json::Value = serde_json::from_slice(&place.run(&["list", "--json"]).out).expect("JSON");
    assert_eq!(users[0]["user"], "jane");
    assert_eq!(users[0]["messages"], 3);
    assert_eq!(users[1]["bytes"], 7018);
}

#[test]
fn cat_gives_every_byte() {
    let place = filled();
    let raw = b"Subject: raw\r\n\r\nbare\nlf, \x00nul, \xe4 8 bit\r\n.\r\n";
    let file = place.write("raw.eml", raw);
    let _ = place
        .run(&["import", "jane", "Raw", "eml", &file.display().to_string()])
        .fine();
    assert_eq!(place.run(&["cat", "jane/Raw", "1"]).fine().out, raw);
    assert_eq!(place.run(&["cat", "user.jane.Raw", "1"]).fine().out, raw);
    assert_eq!(
        place.run(&["cat", "jane/INBOX", "2"]).fine().out,
        b"Subject: two\r\n\r\nsecond\r\n"
    );
}

#[test]
fn errors_say_what_to_do() {
    let empty = Place::new();
    let place = filled();
    let mut said = String::new();
    for (place, args) in [
        (&empty, &["list"][..]),
        (&place, &["list", "nobody"]),
        (&place, &["cat", "jane/Nowhere", "1"]),
        (&place, &["cat", "jane/INBOX", "7"]),
        (&place, &["cat", "jane//x", "1"]),
        (&place, &["verify", "nobody"]),
        (&place, &["export", "nobody", "out"]),
        (&place, &["export", "jane", "store"]),
        (&place, &["import", "ja/ne", "INBOX", "eml", "one.eml"]),
        (&place, &["import", "jane", "a!b", "eml", "one.eml"]),
        (&place, &["import", "jane", "INBOX", "eml", "missing.eml"]),
        (&place, &["import", "jane", "INBOX", "mbox", "one.eml"]),
        (&place, &["import", "jane", "INBOX", "maildir", "store"]),
        (&place, &["-C", "missing.conf", "list"]),
    ] {
        let output = place.run(args);
        assert!(output.out.is_empty(), "{args:?} printed data: {}", output.text());
        let err = output.err.replace(&place.dir().display().to_string(), "DIR");
        said.push_str(&format!(
            "$ mailtwin {}\n{err}exit {}\n\n",
            args.join(" "),
            output.code
        ));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn passwords_are_stored_as_verifiers_only() {
    let place = Place::new();
    let said = place.run_with(&["passwd", "twin"], b"correct horse\n").fine();
    assert!(said.out.is_empty());
    assert!(said.err.contains("`admins`"), "{}", said.err);
    let conf = std::fs::read_to_string(place.path("mailtwin.conf")).expect("read");
    place.write("mailtwin.conf", format!("{conf}admins: twin\n"));
    let said = place.run_with(&["passwd", "twin"], b"battery staple\r\n").fine();
    assert!(!said.err.contains("`admins`"), "{}", said.err);

    let shared = rusqlite::Connection::open(place.path("store/shared.db")).expect("opened");
    let mechanisms: Vec<String> = shared
        .prepare("SELECT mechanism FROM credential WHERE user = CAST('twin' AS BLOB) ORDER BY mechanism")
        .expect("the table")
        .query_map([], |row| row.get(0))
        .expect("rows")
        .map(|name| name.expect("text"))
        .collect();
    assert_eq!(mechanisms, ["SCRAM-SHA-1", "SCRAM-SHA-256"]);
    for file in ["shared.db", "shared.db-wal"] {
        let bytes = std::fs::read(place.path(&format!("store/{file}"))).unwrap_or_default();
        for secret in [&b"correct horse"[..], b"battery staple"] {
            assert!(
                !bytes.windows(secret.len()).any(|w| w == secret),
                "a password stands in {file}"
            );
        }
    }

    assert_eq!(place.run_with(&["passwd", "twin"], b"\n").code, 65);
    assert_eq!(place.run_with(&["passwd", "twin"], b"").code, 65);
    assert_eq!(place.run_with(&["passwd", ""], b"x\n").code, 65);
    assert_eq!(place.run::<&str>(&[]).code, 2);
}

#[test]
fn verify_is_content_with_a_sound_store() {
    let place = filled();
    filters(&place).bind(|| {
        insta::assert_snapshot!("verify", place.run(&["verify"]).all());
        insta::assert_snapshot!("verify_json", place.run(&["verify", "jane", "--json"]).all());
    });
}

#[test]
fn verify_names_planted_damage() {
    let flip = "UPDATE chunk SET data = CAST(replace(data, 'first', 'furst') AS BLOB)";
    let crc = "UPDATE mailbox SET crc_basic = crc_basic + 1 WHERE name = CAST('user.jane' AS BLOB)";
    let drop = "DELETE FROM message WHERE size = 24";
    let record = "UPDATE record SET size = 5 WHERE uid = 2";
    let damage = |sql: &str| {
        let place = filled();
        assert!(place.database("jane").execute(sql, []).expect("changed") > 0);
        let output = place.run(&["verify"]);
        assert_eq!(output.code, 1, "{sql}");
        let json: serde_json::Value =
            serde_json::from_slice(&place.run(&["verify", "--json"]).out).expect("JSON");
        assert_eq!(json["ok"], false);
        assert_eq!(place.run(&["verify", "omar"]).code, 0, "the others are sound");
        (place, output, json)
    };

    let (place, output, json) = damage(flip);
    assert!(output.text().contains("user.jane UID 1: "), "{}", output.text());
    assert_eq!(json["damages"][0]["mailbox"], "user.jane");
    assert_eq!(json["damages"][0]["uid"], 1);
    assert_eq!(
        place.run(&["cat", "jane/INBOX", "1"]).code,
        1,
        "nor does cat let it pass"
    );
    let exported = place.run(&["export", "jane", "out"]);
    assert_eq!(exported.code, 1, "nor export");
    assert!(
        exported.err.contains("left out message 1 of user.jane"),
        "{}",
        exported.err
    );
    assert!(
        exported.err.contains("exported 2 messages"),
        "the others are saved: {}",
        exported.err
    );

    let (place, output, _) = damage(crc);
    assert!(
        output.text().contains("user.jane: sync CRCs are"),
        "{}",
        output.text()
    );
    assert!(place.run(&["list", "jane"]).fine().text().contains("WRONG"));

    let (place, output, json) = damage(drop);
    assert!(
        place
            .run(&["export", "jane", "out"])
            .err
            .contains("left out message 2 of user.jane")
    );
    assert!(output.text().contains("user.jane UID 2: "), "{}", output.text());
    assert!(
        json["damages"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|d| d["uid"] == 2)
    );

    let (_, output, _) = damage(record);
    assert!(output.text().contains("user.jane UID 2: "), "{}", output.text());
}
