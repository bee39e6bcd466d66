//! mbox files and message files, through the real program.

mod common;

use common::Place;

#[test]
fn an_mbox_comes_in_with_flags_and_dates() {
    let place = Place::new();
    let mbox = "From jane@example.org Sun Sep  9 01:46:40 2001\nStatus: RO\nX-Status: F\nSubject: a\n\n>From me\n\n\
                From joe Sun Sep  9 03:46:41 2001 +0200\nX-Keywords: work\nSubject: b\n\nFrom now on\n";
    place.write("mail.mbox", mbox);
    let said = place
        .run(&["import", "jane", "INBOX", "mbox", "mail.mbox"])
        .fine();
    assert_eq!(
        said.err,
        "mailtwin: imported 2 messages (93 B) into 1 mailbox of jane\n"
    );
    let first = place.run(&["cat", "jane/INBOX", "1"]).fine().text();
    assert_eq!(
        first,
        "Status: RO\r\nX-Status: F\r\nSubject: a\r\n\r\nFrom me\r\n"
    );

    let _ = place.run(&["export", "jane", "out"]).fine();
    let mut names: Vec<String> = std::fs::read_dir(place.path("out/cur"))
        .expect("read")
        .map(|entry| entry.expect("read").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    let base = |time: u32, uid: u32, flags: &str| format!("{time}.M{uid:010}P0.mailtwin:2,{flags}");
    assert_eq!(names, [base(1_000_000_000, 1, "FS"), base(1_000_000_001, 2, "a")]);
    assert_eq!(
        std::fs::read_to_string(place.path("out/dovecot-keywords")).expect("read"),
        "0 work\n"
    );
}

#[test]
fn imports_append_always() {
    let place = Place::new();
    place.append("jane", "INBOX", "Subject: same\n\n");
    place.append("jane", "INBOX", "Subject: same\n\n");
    let listed = place.run(&["list", "jane", "--json"]).fine();
    let json: serde_json::Value = serde_json::from_slice(&listed.out).expect("JSON");
    assert_eq!((&json[0]["exists"], &json[0]["last_uid"]), (&2.into(), &2.into()));
}

#[test]
fn a_folder_of_message_files() {
    let place = Place::new();
    place.write("in/b.eml", "Subject: b\n\n");
    place.write("in/a.eml", "Subject: a\r\n\r\n");
    place.write("in/.hidden", "no mail");
    std::fs::create_dir(place.path("in/sub")).expect("made");
    let _ = place.run(&["import", "jane", "Box", "eml", "in"]).fine();
    assert_eq!(place.run(&["cat", "jane/Box", "1"]).text(), "Subject: a\r\n\r\n");
    assert_eq!(place.run(&["cat", "jane/Box", "2"]).text(), "Subject: b\r\n\r\n");
    assert_eq!(place.run(&["cat", "jane/Box", "3"]).code, 66);
}

#[test]
fn batches_make_no_difference() {
    let place = Place::new();
    let mbox: String = (0..2500)
        .map(|n| format!("From a Sun Sep  9 01:46:40 2001\nSubject: {n}\n\nbody {n}\n\n"))
        .collect();
    place.write("many.mbox", mbox);
    let _ = place
        .run(&["import", "jane", "INBOX", "mbox", "many.mbox"])
        .fine();
    assert_eq!(
        place.run(&["cat", "jane/INBOX", "2500"]).fine().text(),
        "Subject: 2499\r\n\r\nbody 2499\r\n"
    );
    let _ = place.run(&["verify"]).fine();
}

#[test]
fn a_large_message_passes_through() {
    let place = Place::new();
    let line = format!("{}\n", "0123456789".repeat(7));
    let text = format!("Subject: large\n\n{}", line.repeat(100_000));
    place.append("jane", "INBOX", &text);
    let out = place.run(&["cat", "jane/INBOX", "1"]).fine().out;
    assert_eq!(out, text.replace('\n', "\r\n").into_bytes());
    let _ = place.run(&["verify"]).fine();
}
