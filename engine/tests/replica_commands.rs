//! Whole sessions, one a subject: what each command answers, results and codes.

mod support;

use engine::flow::Input;
use engine::{Replica, replica::ReplicaConfig};
use store::memory::MemoryStore;
use support::{Driver, config, file, guid, keys, mailbox, record, replica, transcript, upload};

fn guest(change: impl FnOnce(&mut ReplicaConfig)) -> Driver<Replica> {
    let mut config = config();
    config.trusted = false;
    change(&mut config);
    let mut driver = Driver::new(Replica::new(config), &MemoryStore::new());
    driver.settle();
    driver
}

fn inbox(name: &str, id: &str) -> String {
    mailbox(name, id, 0, 1, &[])
}

/// [CS-CONN-2] [CS-CONN-5]
#[test]
fn banner_of_a_guest_and_of_a_trusted_peer() {
    let mut driver = guest(|_| {});
    let mut text = driver.take();
    let mut driver = guest(|config| {
        config.mechanisms.clear();
        config.compress = false;
    });
    text.push_str(&driver.take());
    let mut driver = Driver::new(Replica::new(config()), &MemoryStore::new());
    driver.settle();
    text.push_str(&driver.take());
    insta::assert_snapshot!(text);
}

/// [CS-CONN-18] [CS-CONN-19] [CS-CONN-20] [CS-CONN-22] [CS-CONN-50] [CS-AUTH-1] [CS-AUTH-2] [CS-AUTH-4] [CS-AUTH-5] [CS-AUTH-6] [CS-APPLY-1] [CS-GET-1]
#[test]
fn before_and_after_authentication() {
    let mut driver = guest(|_| {});
    driver.take();
    let lines = [
        "NOOP",
        "noop x",
        "",
        "GET USER jane",
        "GET",
        &upload(&["body that is skipped"]),
        &inbox("user.jane", "id1"),
        "RESTORE MAILBOX %(MBOXNAME a RECORD ())",
        "C01 CAPABILITY",
        "STARTTLS",
        "RESTART",
        "AUTHENTICATE",
        "AUTHENTICATE NOSUCH",
        "AUTHENTICATE PLAIN bm9ib2R5",
        "AUTHENTICATE PLAIN",
        "*",
        "AUTHENTICATE PLAIN",
        "YWRtaW4=",
        "AUTHENTICATE PLAIN YWRtaW4=",
        "GET USER jane",
        "Q01 LOGOUT",
        "EXIT",
    ];
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

#[test]
fn final_data_of_a_mechanism_comes_before_the_ok() {
    let mut driver = guest(|_| {});
    driver.take();
    let lines = ["AUTHENTICATE PLAIN c2NyYW0=", "", "GET USER jane"];
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-CONN-24] [CS-AUTH-8]
#[test]
fn strangers_are_denied_everything() {
    let mut driver = guest(|_| {});
    driver.take();
    let lines = [
        "AUTHENTICATE PLAIN c3RyYW5nZXI=",
        "NOOP",
        "GET USER jane",
        &upload(&["x"]),
        &inbox("user.jane", "id1"),
        "AUTHENTICATE PLAIN YWRtaW4=",
        "GET",
        "EXIT",
    ];
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-CONN-28]
#[test]
fn a_guest_may_send_so_many_bytes_and_no_more() {
    let mut driver = guest(|config| config.unauthenticated_bytes_max = 100);
    driver.take();
    driver.feed(&[b'x'; 90]);
    driver.feed(b"\r\n");
    assert_eq!(driver.take(), "BAD IMAP_PROTOCOL_ERROR Unrecognized command\n");
    driver.feed(b"NOOP\r\nNOOP\r\n");
    assert_eq!(
        driver.take(),
        "* Fatal error: [TOOBIG] more than 100 bytes before authentication\n"
    );
    assert!(driver.closed);

    let mut driver = guest(|config| config.unauthenticated_bytes_max = 100);
    driver.take();
    driver.feed(b"AUTHENTICATE PLAIN YWRtaW4=\r\n");
    driver.take();
    driver.feed(format!("GET USER {}\r\n", "x".repeat(200)).as_bytes());
    assert_eq!(driver.take(), "OK success\n");
}

/// [CS-COMP-1] [CS-COMP-4]
#[test]
fn compression_starts_behind_its_ok() {
    let mut driver = guest(|_| {});
    driver.take();
    driver.feed(b"COMPRESS gzip\r\n");
    assert_eq!(driver.take(), "NO Unknown compression algorithm: gzip\n");
    driver.feed(b"COMPRESS Deflate\r\nNOOP\r\n");
    assert!(driver.deflated);
    assert_eq!(driver.take(), "OK Deflate active\nOK Noop completed\n");
    driver.feed(b"COMPRESS DEFLATE\r\n");
    assert_eq!(driver.take(), "NO Compression already active: DEFLATE\n");
    let mut driver = guest(|config| config.compress = false);
    driver.take();
    driver.feed(b"COMPRESS DEFLATE\r\n");
    assert_eq!(driver.take(), "BAD IMAP_PROTOCOL_ERROR Unrecognized command\n");
}

/// [CS-CONN-26]
#[test]
fn shutdown_between_commands_and_within_one() {
    let mut driver = replica(&MemoryStore::new());
    driver.input(Input::Shutdown);
    assert_eq!(driver.take(), "BYE shutting down\n");
    assert!(driver.closed);

    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let line = format!("{}\r\n", inbox("user.jane", "id1"));
    driver.feed(&line.as_bytes()[..line.len() - 4]);
    driver.input(Input::Shutdown);
    assert!(!driver.closed, "a command that is under way is finished");
    driver.feed(&line.as_bytes()[line.len() - 4..]);
    assert_eq!(driver.take(), "OK success\nBYE shutting down\n");
    assert!(driver.closed);

    let mut driver = replica(&store);
    let line = mailbox("user.jane", "id1", 5, 9, &[record(1, 2, "", "a")]);
    driver.feed(&line.as_bytes()[..line.len() - 1]);
    driver.input(Input::Shutdown);
    driver.input(Input::Eof);
    assert_eq!(driver.take(), "BYE shutting down\n");
    assert!(!support::state(&store, &["jane"]).contains("HIGHESTMODSEQ 9"));
}

/// [CS-GET-6] [CS-GET-8] [CS-GET-9] [CS-GET-10] [CS-GET-13] [CS-GET-18] [CS-GET-20] [CS-GET-25] [CS-GET-33]
#[test]
fn mailboxes_records_and_messages() {
    let mut driver = replica(&MemoryStore::new());
    let bodies = ["first\r\n", "second\r\n", "third \r\n"];
    let annotated = format!(
        "{} ANNOTATIONS (%(ENTRY /comment USERID \"\" MODSEQ 4 VALUE \"a note\")))",
        record(2, 4, "\\Seen $Junk", bodies[1]).trim_end_matches(')')
    );
    let records = [
        record(1, 3, "", bodies[0]),
        annotated,
        record(3, 5, "\\Expunged", bodies[2]),
    ];
    let fetch = |uid: u32, body: &str| {
        let guid = guid(body.as_bytes());
        format!("GET FETCH %(MBOXNAME user.jane PARTITION default UNIQUEID id1 GUID {guid} UID {uid})")
    };
    let lines = [
        "GET USER jane",
        "GET MAILBOXES (user.jane)",
        &upload(&bodies),
        &mailbox("user.jane", "id1", 3, 5, &records),
        &inbox("user.jane.Sent", "id2"),
        &inbox("user.jane.#sieve", "id3"),
        "GET USER jane",
        "GET MAILBOXES (user.jane.Sent nobody user.jane)",
        "GET UNIQUEIDS (id2 nobody id1)",
        "GET MAILBOXES user.jane",
        "GET FULLMAILBOX user.jane",
        "GET FULLMAILBOX user.jane.Sent",
        "GET FULLMAILBOX user.nobody",
        &fetch(1, bodies[0]),
        &fetch(1, bodies[1]),
        &fetch(9, bodies[0]),
        "GET FETCH %(MBOXNAME user.jane PARTITION default UNIQUEID id1 UID 1)",
        "GET FETCH %(MBOXNAME user.jane PARTITION default UNIQUEID other GUID 197a96a5c2596a1449abce1c9300cadab59f016d UID 1)",
        "GET NOSUCH x",
    ];
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-APPLY-7] [CS-APPLY-8] [CS-APPLY-9] [CS-APPLY-10] [CS-APPLY-11] [CS-APPLY-12] [CS-APPLY-13]
#[test]
fn reserve_and_upload() {
    let mut driver = replica(&MemoryStore::new());
    let (a, b) = ("one\r\n", "two\r\n");
    let reserve = |partition: &str, bodies: &[&str]| {
        let guids: Vec<String> = bodies.iter().map(|body| guid(body.as_bytes())).collect();
        format!(
            "APPLY RESERVE %(PARTITION {partition} MBOXNAME (user.jane nobody) GUID ({}))",
            guids.join(" ")
        )
    };
    let wrong = format!(
        "APPLY MESSAGE (%{{default {} 5}}\r\nWRONG %{{default {} 5}}\r\n{b})",
        guid(b"x"),
        guid(b.as_bytes())
    );
    let elsewhere = format!(
        "APPLY MESSAGE (%{{nowhere {} 5}}\r\n{a} {})",
        guid(a.as_bytes()),
        file(b)
    );
    let lines = [
        &reserve("default", &[a, b]),
        &upload(&[a]),
        &mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", a)]),
        &reserve("default", &[a, b]),
        &reserve("default", &[a]),
        &reserve("nowhere", &[b]),
        &reserve("nowhere", &[a]),
        "APPLY RESERVE %(PARTITION default MBOXNAME () GUID (0000000000000000000000000000000000000000))",
        "APPLY RESERVE %(PARTITION default MBOXNAME ())",
        "APPLY RESERVE %(PARTITION default MBOXNAME () GUID (abc))",
        "APPLY RESERVE %(PARTITION NIL MBOXNAME () GUID ())",
        &wrong,
        &elsewhere,
        "APPLY MESSAGE ()",
        &mailbox("user.jane", "id1", 2, 3, &[record(2, 3, "", b)]),
        "RESTART",
        &mailbox("user.jane", "id1", 3, 4, &[record(3, 4, "", "never sent")]),
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-EXC-5]
#[test]
fn a_wrong_message_is_not_kept() {
    let mut driver = replica(&MemoryStore::new());
    let line = format!("APPLY MESSAGE (%{{default {} 5}}\r\nWRONG)", guid(b"right"));
    let lines = [
        line.as_str(),
        &mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", "right")]),
    ];
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-APPLY-14] [CS-APPLY-15] [CS-EXC-13]
#[test]
fn expunge() {
    let mut driver = replica(&MemoryStore::new());
    let lines = [
        &upload(&["a", "b"]),
        &mailbox(
            "user.jane",
            "id1",
            2,
            5,
            &[record(1, 2, "", "a"), record(2, 3, "\\Seen", "b")],
        ),
        "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID id1 UID (1 77))",
        "GET FULLMAILBOX user.jane",
        "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID other UID (2))",
        "APPLY EXPUNGE %(MBOXNAME user.none UNIQUEID id1 UID (2))",
        "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID id1 UID ())",
        "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID id1)",
        "GET MAILBOXES (user.jane)",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-APPLY-16] [CS-APPLY-17] [CS-APPLY-18] [CS-APPLY-19] [CS-EXC-21]
#[test]
fn rename() {
    let mut driver = replica(&MemoryStore::new());
    let rename = |old: &str, new: &str, rest: &str| {
        format!("APPLY RENAME %(OLDMBOXNAME {old} NEWMBOXNAME {new} {rest})")
    };
    let lines = [
        &upload(&["a"]),
        &inbox("user.jane", "id1"),
        &inbox("user.joe", "id2"),
        &mailbox("user.jane.a", "id3", 1, 2, &[record(1, 2, "", "a")]),
        &inbox("user.jane.a.b", "id4"),
        &rename("user.jane.a", "user.jane.c", "PARTITION default UIDVALIDITY 77"),
        "GET MAILBOXES (user.jane.a user.jane.a.b user.jane.c)",
        &rename("user.jane.c", "user.jane.c", "PARTITION other"),
        &rename("user.jane.c", "user.jane.c", "PARTITION other"),
        &rename("user.jane.c", "user.jane.a.b", "PARTITION default"),
        &rename("user.jane.c", "user.jane.d", "PARTITION nowhere"),
        &rename("user.jane.none", "user.jane.d", "PARTITION default"),
        &rename("user.ghost", "user.ghost2", "PARTITION default"),
        &rename("user.jane", "user.joe", "PARTITION default"),
        &rename("user.jane.c", "user..bad", "PARTITION default"),
        &rename("user.jane.c", "user.jane.d", ""),
        "APPLY RENAME %(OLDMBOXNAME NIL NEWMBOXNAME x PARTITION default)",
        &rename("user.jane.c", "DELETED.user.jane.c.6B03E557", "PARTITION default"),
        &rename(
            "DELETED.user.jane.c.6B03E557",
            "user.joe.from jane",
            "PARTITION default",
        ),
        &rename(
            "DELETED.user.jane.c.6B03E557",
            "\"user.joe.from jane\"",
            "PARTITION default",
        ),
        "GET FULLMAILBOX \"user.joe.from jane\"",
        &rename("\"user.joe.from jane\"", "shared.news", "PARTITION default"),
        "GET USER jane",
        "GET USER joe",
        "GET FULLMAILBOX shared.news",
        "APPLY LOCAL_RENAME %(OLDMBOXNAME shared.news NEWMBOXNAME shared.olds PARTITION default)",
        "GET MAILBOXES (shared.news shared.olds)",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-APPLY-21] [CS-APPLY-23] [CS-EXC-14] [CS-EXC-17]
#[test]
fn deletes() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let lines = [
        &inbox("user.jane", "id1"),
        &inbox("user.jane.a", "id2"),
        &inbox("user.jane.a.b", "id3"),
        &inbox("DELETED.user.jane.x.6B03E557", "id4"),
        "APPLY UNMAILBOX user.jane.a",
        "APPLY UNMAILBOX user.jane.a",
        "APPLY UNMAILBOX NIL",
        "APPLY UNMAILBOX ()",
        "APPLY UNMAILBOX \"\"",
        "GET USER jane",
        "APPLY SUB %(MBOXNAME user.jane.a.b USERID jane)",
        "APPLY UNUSER jane",
        "APPLY UNUSER jane",
        "APPLY UNUSER \"\"",
        "APPLY UNUSER NIL",
        "APPLY LOCAL_UNUSER nobody",
        "APPLY LOCAL_UNMAILBOX user.jane",
        "GET USER jane",
        "GET META jane",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
    let mut session = store.session();
    let scope = engine::name::Scope::User("jane".into());
    let answer =
        engine::ticket::Session::execute(&mut session, engine::ticket::Request::Tombstones { scope });
    let engine::ticket::Reply::Tombstones(tombstones) = answer.expect("tombstones") else {
        panic!("tombstones")
    };
    let names: Vec<String> = tombstones.iter().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["user.jane", "user.jane.a", "user.jane.a.b"]);
    assert!(tombstones.iter().all(|t| t.deleted_at == support::NOW.0));
}

/// [CS-APPLY-24] [CS-APPLY-25] [CS-APPLY-36] [CS-APPLY-37] [CS-APPLY-38] [CS-GET-7] [CS-GET-11] [CS-GET-15] [CS-GET-16] [CS-GET-19] [CS-GET-28] [CS-GET-29] [CS-GET-30]
#[test]
fn per_user_data() {
    let mut driver = replica(&MemoryStore::new());
    let lines = [
        "APPLY SUB %(MBOXNAME user.jane.b USERID jane)",
        "APPLY SUB %(MBOXNAME user.jane.a USERID jane)",
        "APPLY SUB %(MBOXNAME user.jane.a USERID jane)",
        "APPLY UNSUB %(MBOXNAME user.jane.none USERID jane)",
        "APPLY UNSUB %(MBOXNAME user.jane.b USERID jane)",
        "APPLY SUB %(MBOXNAME NIL USERID NIL)",
        "APPLY SUB %(MBOXNAME a USERID \"\")",
        "APPLY SUB %(MBOXNAME a)",
        "APPLY SEEN %(USERID jane UNIQUEID id9 LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1:3,5)",
        "APPLY SEEN %(USERID jane UNIQUEID id8 LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS \"\")",
        "APPLY SEEN %(USERID jane UNIQUEID id9 LASTREAD 4 LASTUID 5 LASTCHANGE 6 SEENUIDS 1:9)",
        "APPLY SEEN %(USERID NIL UNIQUEID id9 LASTREAD 4 LASTUID 5 LASTCHANGE 6 SEENUIDS 1:9)",
        "APPLY SEEN %(USERID jane UNIQUEID id9 LASTREAD 4 LASTUID x LASTCHANGE 6 SEENUIDS 1:9)",
        "GET META jane",
        "GET USER jane",
        "GET META nobody",
        &inbox("user.jane", "id1"),
        "GET USER jane",
        "APPLY QUOTA %(ROOT user.jane LIMIT 100 MODSEQ 7)",
        "GET QUOTA user.jane",
        "APPLY QUOTA %(ROOT user.jane LIMIT 100 STORAGE 200 MESSAGE 4294967295 X-NUM-FOLDERS 5 MODSEQ 8)",
        "GET QUOTA user.jane",
        "APPLY QUOTA %(ROOT user.jane LIMIT 4294967295)",
        "GET USER jane",
        "APPLY QUOTA %(LIMIT 1)",
        "APPLY UNQUOTA user.jane",
        "APPLY UNQUOTA user.jane",
        "APPLY UNQUOTA ()",
        "GET QUOTA user.jane",
        "GET QUOTA \"\"",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-APPLY-26] [CS-APPLY-29] [CS-APPLY-30] [CS-APPLY-31] [CS-GET-14] [CS-GET-21] [CS-GET-31] [CS-GET-34] [CS-EXC-22]
#[test]
fn sieve_by_commands() {
    let mut driver = replica(&MemoryStore::new());
    let put = |name: &str, text: &str| {
        format!(
            "APPLY SIEVE %(USERID jane FILENAME {name} LAST_UPDATE 1600000000 CONTENT {{{}+}}\r\n{text})",
            text.len()
        )
    };
    let lines = [
        &put("main.script", "keep;\r\n"),
        &put("spare.script", "discard;\r\n"),
        &put("main.bc", "compiled"),
        "APPLY SIEVE %(USERID jane FILENAME x.script LAST_UPDATE 1600000000)",
        "APPLY ACTIVATE_SIEVE %(USERID jane FILENAME main.bc)",
        "APPLY ACTIVATE_SIEVE %(USERID jane FILENAME none.bc)",
        "APPLY ACTIVATE_SIEVE %(USERID jane FILENAME main.script)",
        "GET META jane",
        "GET FETCH_SIEVE %(USERID jane FILENAME main.script)",
        "GET FETCH_SIEVE %(USERID jane FILENAME none.script)",
        "GET FETCH_SIEVE %(USERID jane FILENAME x)",
        "GET FETCH_SIEVE %(USERID jane)",
        "APPLY UNACTIVATE_SIEVE %(USERID jane)",
        "APPLY UNSIEVE %(USERID jane FILENAME spare.bc)",
        "APPLY UNSIEVE %(USERID jane FILENAME spare.script)",
        "APPLY UNSIEVE %(USERID jane FILENAME spare.script)",
        "GET META jane",
        "APPLY CAPABILITIES (SIEVE-MAILBOX)",
        "GET META jane",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-APPLY-50] [CS-GET-17] [CS-MBOX-12] [CS-MBOX-50]
#[test]
fn sieve_as_messages_and_capabilities() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let main = "From: <jane@x>\r\nSubject: main\r\n\r\nkeep;\r\n";
    let spare = "From: <jane@x>\r\nSubject: spare\r\n\r\nstop;\r\n";
    let records = [record(1, 2, "\\Flagged", main), record(2, 3, "", spare)];
    let keys = keys("user.jane.#sieve", "id2", 2, 3);
    let sieve = format!(
        "APPLY MAILBOX %(MBOXTYPE f {keys} RECORD ({}))",
        records.join(" ")
    );
    let lines = [
        &upload(&[main, spare]),
        &inbox("user.jane", "id1"),
        &sieve,
        "APPLY CAPABILITIES ()",
        "APPLY CAPABILITIES (NIL)",
        "APPLY CAPABILITIES (Sieve-Mailbox NOSUCH)",
        "APPLY CAPABILITIES NIL",
        &sieve,
        "GET MAILBOXES (user.jane.#sieve)",
        "GET META jane",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    let mut text = transcript(&mut driver, &lines);
    text.push_str("--- a peer without SIEVE-MAILBOX\n");
    let mut driver = replica(&store);
    let lines = [
        "GET MAILBOXES (user.jane.#sieve)",
        "GET FULLMAILBOX user.jane.#sieve",
        "GET UNIQUEIDS (id2)",
        "GET USER jane",
        "GET FETCH_SIEVE %(USERID jane FILENAME spare.script)",
    ];
    text.push_str(&transcript(&mut driver, &lines));
    insta::assert_snapshot!(text);
}

/// [CS-APPLY-33] [CS-APPLY-34] [CS-APPLY-35] [CS-GET-12] [CS-GET-32] [CS-APPLY-3]
#[test]
fn annotations() {
    let mut driver = replica(&MemoryStore::new());
    let lines = [
        &inbox("user.jane", "id1"),
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY /comment USERID \"\" VALUE hello)",
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY /comment USERID jane VALUE mine)",
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY /a USERID \"\" VALUE {3+}\r\n\u{1}\u{2}\")",
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY /comment USERID \"\" VALUE changed)",
        "GET ANNOTATION user.jane",
        "GET MAILBOXES (user.jane)",
        "APPLY UNANNOTATION %(MBOXNAME user.jane ENTRY /comment USERID \"\")",
        "APPLY UNANNOTATION %(MBOXNAME user.jane ENTRY /comment USERID \"\")",
        "GET ANNOTATION user.jane",
        "APPLY ANNOTATION %(MBOXNAME \"\" ENTRY /motd USERID \"\" VALUE welcome)",
        "GET ANNOTATION \"\"",
        "APPLY UNANNOTATION %(MBOXNAME \"\" ENTRY /motd USERID \"\")",
        "GET ANNOTATION \"\"",
        "GET ANNOTATION user.none",
        "GET ANNOTATION ()",
        "APPLY ANNOTATION %(MBOXNAME user.none ENTRY /a USERID \"\" VALUE x)",
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY a USERID \"\" VALUE x)",
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY /a USERID NIL VALUE x)",
        "APPLY ANNOTATION %(MBOXNAME user.jane ENTRY /a USERID \"\")",
        "APPLY NOSUCH x",
        "RESTORE NOSUCH x",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// [CS-RESTORE-1] [CS-RESTORE-2] [CS-RESTORE-3] [CS-RESTORE-4]
#[test]
fn restore() {
    let mut driver = replica(&MemoryStore::new());
    let restore =
        |keys: &str, records: &[String]| format!("RESTORE MAILBOX %({keys} RECORD ({}))", records.join(" "));
    let note = "ANNOTATIONS (%(ENTRY /comment USERID \"\" MODSEQ 1 VALUE restored))";
    let lines = [
        &upload(&["a", "b", "c"]),
        &mailbox("user.jane", "id1", 5, 9, &[record(5, 8, "", "a")]),
        &restore(
            &format!("MBOXNAME user.jane UNIQUEID other UIDVALIDITY 5 {note}"),
            &[
                record(5, 1, "\\Seen", "b"),
                record(6, 99, "\\Expunged", "c"),
                record(7, 2, "$new", "c"),
            ],
        ),
        "GET FULLMAILBOX user.jane",
        &restore(
            &format!("MBOXNAME user.jane.kept UNIQUEID id7 HIGHESTMODSEQ 50 UIDVALIDITY 99 {note}"),
            &[
                record(10, 20, "", "a"),
                record(12, 60, "", "b"),
                record(11, 21, "", "c"),
            ],
        ),
        "GET FULLMAILBOX user.jane.kept",
        &restore(
            "MBOXNAME user.jane.fresh UNIQUEID id8 HIGHESTMODSEQ 50",
            &[record(10, 20, "", "a")],
        ),
        "GET FULLMAILBOX user.jane.fresh",
        &restore("MBOXNAME user.jane MBOXTYPE c", &[]),
        &restore(
            "MBOXNAME user.jane.#sieve MBOXTYPE f",
            &[record(1, 1, "", "never sent")],
        ),
        &restore("MBOXNAME user.jane", &[record(1, 1, "", "never sent")]),
        &restore("MBOXNAME user.ghost.below", &[]),
        "RESTORE MAILBOX %(MBOXNAME user.jane)",
        &restore("UNIQUEID x", &[]),
        "RESTORE LOCAL_MAILBOX %(MBOXNAME user.jane RECORD ())",
        "GET MAILBOXES (user.jane user.jane.#sieve)",
    ];
    let lines: Vec<&str> = lines.iter().map(|line| line.as_ref()).collect();
    insta::assert_snapshot!(transcript(&mut driver, &lines));
}

/// A delete goes by a name alone: what has changed since this connection was told of it is not what was meant.
/// [CS-APPLY-53] [CS-EXC-42]
#[test]
fn a_mailbox_that_has_changed_since_it_was_looked_at_is_not_deleted() {
    let store = MemoryStore::new();
    let (mut first, mut second) = (replica(&store), replica(&store));
    transcript(
        &mut first,
        &[&inbox("user.jane", "id1"), &inbox("user.jane.a", "id2")],
    );
    transcript(&mut second, &["GET USER jane"]);
    let arrives = [
        upload(&["new"]),
        mailbox("user.jane.a", "id2", 1, 2, &[record(1, 2, "()", "new")]),
    ];
    transcript(&mut first, &[&arrives[0], &arrives[1]]);
    let refused = "NO IMAP_SYNC_CHANGED user.jane.a has changed since you looked at it";
    let answered = transcript(&mut second, &["APPLY UNMAILBOX user.jane.a", "APPLY UNUSER jane"]);
    assert_eq!(answered.matches(refused).count(), 2, "{answered}");
    let looked = ["GET MAILBOXES (user.jane.a)", "APPLY UNMAILBOX user.jane.a"];
    let answered = transcript(&mut second, &looked);
    assert!(!answered.contains("NO "), "{answered}");
}

/// What a connection changes itself it knows. [CS-APPLY-53]
#[test]
fn ones_own_changes_are_no_reason_to_look_again() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let lines = [
        inbox("user.jane", "id1"),
        "GET USER jane".to_owned(),
        upload(&["new"]),
        mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "()", "new")]),
        "APPLY UNMAILBOX user.jane".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answered = transcript(&mut driver, &lines);
    assert!(!answered.contains("NO "), "{answered}");
}

/// A rename goes by a name alone, too. [CS-APPLY-54] [CS-EXC-42]
#[test]
fn a_mailbox_that_is_another_than_when_it_was_looked_at_is_not_renamed() {
    let store = MemoryStore::new();
    let (mut first, mut second) = (replica(&store), replica(&store));
    let rename = |from: &str, to: &str| {
        format!("APPLY RENAME %(OLDMBOXNAME {from} NEWMBOXNAME {to} PARTITION default)")
    };
    let swap = [
        rename("user.jane.a", "user.jane.c"),
        rename("user.jane.b", "user.jane.a"),
        rename("user.jane.c", "user.jane.b"),
    ];
    let swap: Vec<&str> = swap.iter().map(String::as_str).collect();
    let makes = [
        inbox("user.jane", "id1"),
        inbox("user.jane.a", "id2"),
        inbox("user.jane.b", "id3"),
    ];
    transcript(&mut first, &makes.each_ref().map(String::as_str));
    transcript(&mut second, &["GET USER jane"]);
    let answered = transcript(&mut first, &swap);
    assert!(!answered.contains("NO "), "{answered}");
    let answered = transcript(&mut second, &swap);
    let refused = "is another mailbox than when you looked at it";
    assert_eq!(answered.matches(refused).count(), 2, "{answered}");
    assert!(answered.contains("NO IMAP_MAILBOX_NONEXISTENT"), "{answered}");
    // It knows what it renamed itself, and what it made where it deleted.
    transcript(&mut second, &["GET USER jane"]);
    for _ in 0..2 {
        let answered = transcript(&mut second, &swap);
        assert!(!answered.contains("NO "), "{answered}");
    }
    let again = [
        "APPLY UNMAILBOX user.jane.a".to_owned(),
        inbox("user.jane.a", "id4"),
    ];
    let answered = transcript(&mut second, &again.each_ref().map(String::as_str));
    assert!(!answered.contains("NO "), "{answered}");
    let answered = transcript(&mut second, &swap);
    assert!(!answered.contains("NO "), "{answered}");
}

/// The UIDVALIDITY that a peer is told of a mailbox made anew under an identity that was deleted here.
fn uidvalidity_after(again: &[String]) -> String {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    let (one, two) = (record(1, 2, "()", "one"), record(2, 2, "()", "two"));
    let lines = [
        inbox("user.jane", "id1"),
        upload(&["one", "two", "other"]),
        mailbox("user.jane.a", "id2", 2, 2, &[one, two]),
        "APPLY UNMAILBOX user.jane.a".to_owned(),
    ];
    let lines = lines.iter().chain(again);
    let lines: Vec<&str> = lines
        .map(String::as_str)
        .chain(["GET MAILBOXES (user.jane.a)"])
        .collect();
    let answered = transcript(&mut driver, &lines);
    let said = answered.rsplit_once("UIDVALIDITY ").expect("it is there").1;
    said.split(' ').next().unwrap_or_default().to_owned()
}

/// [CS-MBOX-52]
#[test]
fn a_mailbox_that_comes_back_with_other_messages_has_another_uidvalidity() {
    let make = |last_uid: u32, records: &[String]| {
        let bodies = upload(&["one", "two", "other"]);
        [bodies, mailbox("user.jane.a", "id2", last_uid, 5, records)]
    };
    let (one, two) = (record(1, 2, "()", "one"), record(2, 2, "()", "two"));
    let same = uidvalidity_after(&make(2, &[one.clone(), two]));
    let fewer = uidvalidity_after(&make(1, std::slice::from_ref(&one)));
    let other = uidvalidity_after(&make(2, &[one, record(2, 5, "()", "other")]));
    let number = |text: &str| text.parse::<u32>().expect("a number");
    assert_eq!(number(&fewer), number(&same) + 1, "UID 2 will be given out again");
    assert_eq!(number(&other), number(&same) + 1, "UID 2 is another message");
    let higher = make(0, &[]).map(|line| line.replace("UIDVALIDITY 1000", "UIDVALIDITY 1001"));
    assert_eq!(
        uidvalidity_after(&higher),
        "1001",
        "nobody knows a UID under that one"
    );
}
