//! The rules of `APPLY MAILBOX` one by one: what is refused, with which code, and that nothing of it remains.

mod support;

use engine::Replica;
use store::memory::MemoryStore;
use support::{Driver, keys, mailbox, record, replica, state, upload};

/// A user with an INBOX of three records: 1 live, 2 live, 3 expunged; 4 and 5 were never here. HIGHESTMODSEQ 20.
fn setup() -> (MemoryStore, Driver<Replica>) {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    say(
        &mut driver,
        &upload(&["one", "two", "three", "four", "six"]),
        "OK success",
    );
    let records = [
        record(1, 10, "\\Seen", "one"),
        record(2, 11, "$Tag", "two"),
        record(3, 12, "\\Expunged", "three"),
    ];
    say(
        &mut driver,
        &mailbox("user.jane", "id1", 5, 20, &records),
        "OK success",
    );
    say(
        &mut driver,
        &mailbox("user.jane.a", "id2", 0, 20, &[]),
        "OK success",
    );
    (store, driver)
}

fn say(driver: &mut Driver<Replica>, line: &str, expected: &str) {
    driver.feed(format!("{line}\r\n").as_bytes());
    let answer = driver.take();
    assert!(
        answer.starts_with(expected),
        "{line}\n got {answer}want {expected}"
    );
    assert_eq!(answer.lines().count(), 1, "one line answers a command: {answer}");
}

/// The line is refused so, the connection goes on, and nothing has changed.
fn refused(line: &str, expected: &str) {
    refused_after(&[], line, expected);
}

fn refused_after(before: &[&str], line: &str, expected: &str) {
    let (store, mut driver) = setup();
    for line in before {
        say(&mut driver, line, "OK success");
    }
    let unchanged = state(&store, &["jane", "joe"]);
    say(&mut driver, line, expected);
    assert_eq!(state(&store, &["jane", "joe"]), unchanged, "{line}");
    say(&mut driver, "NOOP", "OK");
}

fn accepted(line: &str) -> String {
    let (store, mut driver) = setup();
    say(&mut driver, line, "OK success");
    state(&store, &["jane", "joe"])
}

/// A whole line, with `more` in front of the keys, whose first occurrence counts.
fn with(more: &str, records: &[String]) -> String {
    format!(
        "APPLY MAILBOX %({more} {} RECORD ({}))",
        keys("user.jane", "id1", 5, 20),
        records.join(" ")
    )
}

/// A line for INBOX with these LAST_UID, HIGHESTMODSEQ and records.
fn inbox(last_uid: u32, highestmodseq: u64, records: &[String]) -> String {
    mailbox("user.jane", "id1", last_uid, highestmodseq, records)
}

const BADP: &str = "NO IMAP_PROTOCOL_BAD_PARAMETERS ";
const CHECKSUM: &str = "NO IMAP_SYNC_CHECKSUM ";
const MOVED: &str = "NO IMAP_MAILBOX_MOVED ";
const CHANGED: &str = "NO IMAP_SYNC_CHANGED ";

/// [CS-MBOX-10] [CS-MBOX-14]
#[test]
fn every_needed_key_is_needed() {
    let all = format!("{} RECORD ()", keys("user.jane", "id1", 5, 20));
    let names = [
        "UNIQUEID",
        "MBOXNAME",
        "HIGHESTMODSEQ",
        "PARTITION",
        "LAST_UID",
        "RECENTUID",
        "RECENTTIME",
        "LAST_APPENDDATE",
        "POP3_LAST_LOGIN",
        "UIDVALIDITY",
        "ACL",
        "OPTIONS",
        "RECORD",
    ];
    for name in names {
        let missing = all.replacen(&format!("{name} "), &format!("NO_{name} "), 1);
        assert_ne!(missing, all);
        let expected = format!("{BADP}{name} ");
        refused(&format!("APPLY MAILBOX %({missing})"), &expected);
    }
    refused("APPLY MAILBOX %()", &format!("{BADP}UNIQUEID "));
    for (key, bad) in [
        ("LAST_UID", "x"),
        ("HIGHESTMODSEQ", "-1"),
        ("RECENTTIME", "()"),
        ("PARTITION", "NIL"),
    ] {
        let line = with(&format!("{key} {bad}"), &[]);
        let expected = format!("{BADP}{key} ");
        refused(&line, &expected);
    }
    refused(&with("UNIQUEID \"\"", &[]), &format!("{BADP}UNIQUEID "));
}

/// [CS-EXC-20]
#[test]
fn keys_may_come_behind_the_records() {
    let (store, mut driver) = setup();
    let line = format!(
        "APPLY MAILBOX %(RECORD ({}) {})",
        record(1, 21, "", "one"),
        keys("user.jane", "id1", 5, 21)
    );
    say(&mut driver, &line, "OK success");
    assert!(state(&store, &["jane"]).contains("(%(UID 1 MODSEQ 21 LAST_UPDATED 1700000000 FLAGS () "));
    // The first of two keys counts, also when the second comes behind the records.
    let line = format!(
        "APPLY MAILBOX %({} RECORD () LAST_UID 9 FOLDERMODSEQ 77)",
        keys("user.jane", "id1", 5, 21)
    );
    say(&mut driver, &line, "OK success");
    let state = state(&store, &["jane"]);
    assert!(
        state.contains("LAST_UID 5 ") && state.contains("FOLDERMODSEQ 77"),
        "{state}"
    );
    let keys = keys("user.jane", "id1", 5, 21);
    refused(&format!("APPLY MAILBOX %({keys} RECORD () SYNC_CRC 1)"), CHECKSUM);
    refused(
        &format!("APPLY MAILBOX %({keys} RECORD () SINCE_MODSEQ 1)"),
        CHANGED,
    );
    refused(&format!("APPLY MAILBOX %({keys} RECORD () MBOXTYPE c)"), BADP);
}

/// [CS-MBOX-11] [CS-MBOX-12] [CS-MBOX-20]
#[test]
fn types() {
    refused(&with("MBOXTYPE x", &[]), "NO MBOXTYPE has the unknown letter x");
    refused(&with("MBOXTYPE f", &[]), BADP);
    refused(&with("MBOXTYPE c", &[]), "NO user.jane has the type");
    accepted(&with("MBOXTYPE e", &[]));
    accepted(&with("MBOXTYPE l", &[]));
}

/// [CS-MBOX-9] [CS-MBOX-13] [CS-MBOX-38] [CS-MBOX-41] [CS-EXC-8] [CS-GET-26]
#[test]
fn placeholders() {
    let entry = |name: &str, id: &str, mbtype: &str| {
        format!(
            "APPLY MAILBOX %(UNIQUEID {id} MBOXNAME {name} MBOXTYPE {mbtype} HIGHESTMODSEQ 7 CREATEDMODSEQ 3)"
        )
    };
    let (store, mut driver) = setup();
    say(&mut driver, &entry("user.jane.p", "id7", "ei"), "OK success");
    insta::assert_snapshot!(
        state(&store, &["jane"])
            .lines()
            .filter(|line| line.contains("id7"))
            .collect::<String>()
    );
    // Again, under another identity, then as a mailbox, which stays one.
    say(&mut driver, &entry("user.jane.p", "id8", "i"), "OK success");
    assert!(!state(&store, &["jane"]).contains("id7"));
    say(
        &mut driver,
        &mailbox("user.jane.p", "id9", 0, 8, &[]),
        "OK success",
    );
    assert!(!state(&store, &["jane"]).contains("id8"));
    say(&mut driver, &entry("user.jane.p", "id8", "ei"), MOVED);
    say(&mut driver, &entry("user.jane.p", "id9", "ed"), "OK success");
    assert!(!state(&store, &["jane"]).contains("user.jane.p"));
    say(&mut driver, &entry("user.jane.q", "id9", "ed"), "OK success");
    refused(&entry("user.jane", "id1", "ed"), "NO user.jane is a mailbox");
    refused(&entry("user.jane", "id9", "ei"), MOVED);
    refused(&entry("user.jane.z", "id1", "ei"), MOVED);
    refused(&entry("user..z", "id11", "ei"), "NO user..z is no acceptable");
    refused(
        "APPLY MAILBOX %(UNIQUEID a MBOXNAME user.jane.z MBOXTYPE i)",
        BADP,
    );
}

/// [CS-MBOX-16] [CS-MBOX-17] [CS-MBOX-36] [CS-MBOX-37]
#[test]
fn creation() {
    refused(
        &mailbox("user.joe.sub", "id9", 0, 1, &[]),
        "NO user.joe.sub cannot be created: its user has no INBOX",
    );
    refused(
        &mailbox("user.jane..x", "id9", 0, 1, &[]),
        "NO user.jane..x is no acceptable mailbox name",
    );
    refused(&mailbox("user.jane.\u{e4}", "id9", 0, 1, &[]), "NO user.jane.");
    let nowhere = mailbox("user.joe", "id9", 0, 1, &[]).replace("PARTITION default", "PARTITION nowhere");
    refused(&nowhere, "NO unknown partition nowhere");
    refused(&mailbox("user.jane.b", "id2", 0, 1, &[]), MOVED);
    refused(&mailbox("user.joe", "id1", 0, 1, &[]), MOVED);
    // A partition matters only for a mailbox that is created.
    accepted(&inbox(5, 20, &[]).replace("PARTITION default", "PARTITION nowhere"));
    let made = accepted(&mailbox("user.jane.deep.er.x", "id9", 0, 1, &[]));
    assert!(
        !made.contains("MBOXNAME user.jane.deep.er "),
        "no parents are made: {made}"
    );
    accepted(&mailbox("DELETED.user.joe.x.6B03E557", "id9", 0, 1, &[]));
    accepted(&mailbox("shared.x", "id9", 0, 1, &[]));
}

/// [CS-MBOX-18] [CS-APPLY-49] [CS-EXC-6]
#[test]
fn another_identity() {
    refused(&mailbox("user.jane", "id9", 5, 20, &[]), MOVED);
    let replaced = accepted(&mailbox("user.jane.a", "id9", 0, 1, &[]));
    assert!(replaced.contains("UNIQUEID id9 MBOXNAME user.jane.a ") && !replaced.contains("id2"));
    refused(&mailbox("user.jane.a", "id1", 0, 1, &[]), MOVED);
    let (store, mut driver) = setup();
    say(&mut driver, "APPLY FORCE %()", "OK success");
    say(&mut driver, &mailbox("user.jane", "id9", 0, 1, &[]), "OK success");
    let state = state(&store, &["jane"]);
    assert!(state.contains("UNIQUEID id9 MBOXNAME user.jane "), "{state}");
    // What it held is kept. [CS-EXC-27]
    assert!(
        state.contains("UNIQUEID id1 MBOXNAME DELETED.user.jane."),
        "{state}"
    );
    assert!(state.contains("UID 1 "), "{state}");
    say(
        &mut driver,
        &mailbox("user.jane.a", "id7", 0, 1, &[]),
        "OK success",
    );
    let state = self::state(&store, &["jane"]);
    assert!(
        !state.contains("UNIQUEID id2 "),
        "nothing of an empty one is kept: {state}"
    );
    // The switch belongs to the connection that threw it.
    let mut other = replica(&store);
    say(&mut other, &mailbox("user.jane", "id9", 0, 0, &[]), CHECKSUM);
}

/// Four messages, and the CRC of none, by chance. [CS-CRC-11] [CS-EXC-27]
#[test]
fn messages_whose_crcs_are_those_of_nothing_are_kept_too() {
    let (store, mut driver) = setup();
    let texts = ["one", "two", "two", "one"];
    let numbered = (2u32..).zip(4u64..).zip(texts);
    let records: Vec<String> = numbered
        .map(|((uid, modseq), text)| record(uid, modseq, "", text))
        .collect();
    say(
        &mut driver,
        &mailbox("user.jane.b", "id3", 5, 20, &records),
        "OK success",
    );
    assert!(state(&store, &["jane"]).contains("MBOXNAME user.jane.b SYNC_CRC 0 "));
    say(&mut driver, "APPLY FORCE %()", "OK success");
    say(
        &mut driver,
        &mailbox("user.jane.b", "id9", 0, 1, &[]),
        "OK success",
    );
    let state = state(&store, &["jane"]);
    assert!(
        state.contains("UNIQUEID id3 MBOXNAME DELETED.user.jane.b."),
        "{state}"
    );
}

/// [CS-MBOX-19] [CS-CRC-9]
#[test]
fn since_has_to_match() {
    let (store, _) = setup();
    let state = state(&store, &["jane"]);
    let number = |key: &str| -> String {
        let rest = state.split(&format!("{key} ")).nth(1).expect("the key");
        rest.split(' ').next().expect("a number").to_owned()
    };
    let (crc, annot) = (number("SYNC_CRC"), number("SYNC_CRC_ANNOT"));
    accepted(&with(
        &format!("SINCE_MODSEQ 20 SINCE_CRC {crc} SINCE_CRC_ANNOT {annot}"),
        &[],
    ));
    accepted(&with("SINCE_MODSEQ 20", &[]));
    accepted(&with(
        &format!("SINCE_MODSEQ 20 SINCE_CRC 0 SINCE_CRC_ANNOT {annot}"),
        &[],
    ));
    refused(&with("SINCE_MODSEQ 19", &[]), CHANGED);
    refused(&with("SINCE_MODSEQ 21", &[]), CHANGED);
    refused(&with("SINCE_MODSEQ 20 SINCE_CRC 1", &[]), CHANGED);
    refused(&with("SINCE_MODSEQ 20 SINCE_CRC_ANNOT 1", &[]), CHANGED);
    refused_after(&["APPLY FORCE %()"], &with("SINCE_MODSEQ 19", &[]), CHANGED);
    let new = format!(
        "APPLY MAILBOX %(SINCE_MODSEQ 1 {} RECORD ())",
        keys("user.jane.new", "id9", 0, 1)
    );
    refused(&new, CHANGED);
}

/// [CS-MBOX-21] [CS-MBOX-22] [CS-MBOX-23] [CS-MBOX-24]
#[test]
fn values_never_go_back_without_force() {
    refused(&inbox(5, 19, &[]), CHECKSUM);
    refused(&inbox(4, 20, &[]), CHECKSUM);
    refused(&with("UIDVALIDITY 999", &[]), CHECKSUM);
    refused_after(
        &[&with("XCONVMODSEQ 9", &[])],
        &with("XCONVMODSEQ 8", &[]),
        CHECKSUM,
    );
    let (store, mut driver) = setup();
    say(&mut driver, "APPLY FORCE %()", "OK success");
    let records = [record(1, 2, "", "one")];
    let line = format!(
        "APPLY MAILBOX %(UIDVALIDITY 7 {} RECORD ({}))",
        keys("user.jane", "id1", 4, 3),
        records[0]
    );
    say(&mut driver, &line, "OK success");
    let state = state(&store, &["jane"]);
    assert!(
        state.contains("LAST_UID 4 HIGHESTMODSEQ 3 ") && state.contains("UIDVALIDITY 7 "),
        "{state}"
    );
    assert!(state.contains("%(UID 1 MODSEQ 2 "), "{state}");
}

/// [CS-MBOX-25] [CS-MBOX-30] [CS-MBOX-31]
#[test]
fn records_against_those_that_are_there() {
    // Both expunged: nothing happens, whatever else differs.
    let same = accepted(&inbox(5, 20, &[record(3, 20, "\\Expunged \\Seen", "other")]));
    assert!(same.contains("%(UID 3 MODSEQ 12 "));
    refused(&inbox(5, 20, &[record(1, 20, "", "other")]), CHECKSUM);
    refused(&inbox(5, 20, &[record(1, 9, "", "one")]), CHECKSUM);
    refused(&inbox(5, 20, &[record(3, 20, "", "three")]), CHECKSUM);
    refused_after(
        &["APPLY FORCE %()"],
        &inbox(5, 20, &[record(3, 20, "", "three")]),
        CHECKSUM,
    );
    refused_after(
        &["APPLY FORCE %()"],
        &inbox(5, 20, &[record(1, 20, "", "other")]),
        CHECKSUM,
    );
    // Unknown and not above LAST_UID.
    refused(&inbox(5, 20, &[record(4, 20, "", "four")]), CHECKSUM);
    let unknown = accepted(&inbox(5, 20, &[record(4, 20, "\\Expunged", "four")]));
    assert!(!unknown.contains("%(UID 4 "));
    // Updated, expunged, appended.
    let size = record(2, 20, "\\Flagged $New", "two").replace("SIZE 3", "SIZE 99");
    let changed = accepted(&inbox(
        6,
        20,
        &[record(1, 20, "\\Expunged", "one"), size, record(6, 20, "", "six")],
    ));
    insta::assert_snapshot!(
        changed
            .lines()
            .filter(|line| line.contains("RECORD (%("))
            .collect::<String>()
    );
}

/// [CS-MBOX-5] [CS-EXC-7]
#[test]
fn records_that_contradict_their_line() {
    let (one, two) = (record(1, 20, "", "one"), record(2, 20, "", "two"));
    refused(&inbox(5, 20, &[two.clone(), one.clone()]), BADP);
    refused(&inbox(5, 20, &[one.clone(), one.clone()]), BADP);
    refused(
        &inbox(5, 20, &[one.clone(), record(6, 20, "", "six")]),
        &format!("{BADP}UID 6 is above LAST_UID 5"),
    );
    refused(
        &inbox(5, 20, &[record(1, 21, "", "one")]),
        &format!("{BADP}UID 1: MODSEQ 21 is above HIGHESTMODSEQ 20"),
    );
    refused(&inbox(5, 20, &[record(0, 20, "", "one")]), BADP);
    let protocol_error = "NO IMAP_PROTOCOL_ERROR ";
    refused(&inbox(5, 20, &[one.replace("MODSEQ", "NOSEQ")]), protocol_error);
    refused(&inbox(5, 20, &["x".to_owned()]), protocol_error);
    let null = format!(
        "%(UID 6 MODSEQ 20 LAST_UPDATED 0 FLAGS () INTERNALDATE 0 SIZE 0 GUID {})",
        "0".repeat(40)
    );
    refused(
        &inbox(6, 20, std::slice::from_ref(&null)),
        &format!("{BADP}UID 6 is live and has the null GUID"),
    );
    accepted(&inbox(6, 20, &[null.replace("()", "(\\Expunged)")]));
}

/// [CS-MBOX-32] [CS-MBOX-33] [CS-EXC-2] [CS-EXC-4]
#[test]
fn a_message_that_is_not_here_refuses_the_whole_line() {
    let records = [
        record(1, 20, "\\Deleted", "one"),
        record(6, 20, "", "six"),
        record(7, 20, "", "seven"),
    ];
    refused(
        &inbox(7, 20, &records),
        &format!(
            "{BADP}UID 7: message {} was never uploaded",
            support::guid(b"seven")
        ),
    );
    let new = mailbox("user.joe", "id9", 1, 20, &[record(1, 20, "", "seven")]);
    refused(&new, BADP);
}

/// [CS-MBOX-35] [CS-EXC-2]
#[test]
fn crcs_decide_in_the_end() {
    refused(
        &with("SYNC_CRC 1", &[record(1, 20, "\\Deleted", "one")]),
        CHECKSUM,
    );
    refused(&with("SYNC_CRC_ANNOT 1", &[]), CHECKSUM);
    refused(
        &mailbox("user.joe", "id9", 0, 1, &[]).replace("%(", "%(SYNC_CRC_ANNOT 1 "),
        CHECKSUM,
    );
    accepted(&with("SYNC_CRC 0 SYNC_CRC_ANNOT 12345678", &[]));
}

/// [CS-CRC-10]
#[test]
fn crcs_kept_wrong_are_computed_anew() {
    let (store, mut driver) = setup();
    let right = state(&store, &["jane"]);
    let crc = right
        .split("SYNC_CRC ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("the CRC")
        .to_owned();
    // Spoil the kept CRC behind the replica's back.
    let mut session = store.session();
    use engine::name::Scope;
    use engine::ticket::{Change, Reply, Request, Select, Session};
    let scope = Scope::User("jane".into());
    let names = Select::Names(vec!["user.jane".into()]);
    let Ok(Reply::Mailboxes(mut found)) = session.execute(Request::Mailboxes(names)) else {
        panic!("the mailbox")
    };
    let mut spoiled = found.remove(0);
    spoiled.crc.basic ^= 1;
    session.execute(Request::Begin { scope }).expect("begin");
    session
        .execute(Request::Write(vec![Change::PutMailbox(Box::new(spoiled))]))
        .expect("write");
    session.execute(Request::Commit).expect("commit");
    assert_ne!(state(&store, &["jane"]), right);
    say(&mut driver, &with(&format!("SYNC_CRC {crc}"), &[]), "OK success");
    assert_eq!(state(&store, &["jane"]), right);
}

/// [CS-MBOX-26] [CS-MBOX-27] [CS-MBOX-28] [CS-MBOX-34] [CS-EXC-12] [CS-EXC-18]
#[test]
fn header_fields_afterwards() {
    let note = "ANNOTATIONS (%(ENTRY /comment USERID \"\" MODSEQ 1 VALUE x))";
    let full = format!(
        "APPLY MAILBOX %(UNIQUEID id1 MBOXNAME user.jane LAST_UID 6 HIGHESTMODSEQ 30 RECENTUID 3 RECENTTIME 4 \
         LAST_APPENDDATE 5 POP3_LAST_LOGIN 6 POP3_SHOW_AFTER 7 XCONVMODSEQ 8 RACLMODSEQ 9 USERGROUPS \"a\tb\" UIDVALIDITY 2000 \
         PARTITION other ACL \"jane\tlr\t\" OPTIONS PSDAX QUOTAROOT user.jane CREATEDMODSEQ 10 FOLDERMODSEQ 11 {note} \
         USERFLAGS (One tWo) RECORD ({}))",
        record(6, 30, "two Three", "six")
    );
    let (store, mut driver) = setup();
    say(&mut driver, &full, "OK success");
    let mut text = state(&store, &["jane"])
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    text.push_str("\n--- without the optional keys\n");
    say(
        &mut driver,
        &inbox(6, 31, &[]).replace("1000", "2000"),
        "OK success",
    );
    text.push_str(state(&store, &["jane"]).lines().next().unwrap_or_default());
    // A delayed delete: the master does not send XCONVMODSEQ for such a mailbox, so it is not shown.
    let with = keys("user.jane.a", "id2", 0, 20);
    say(
        &mut driver,
        &format!("APPLY MAILBOX %(XCONVMODSEQ 8 {with} RECORD ())"),
        "OK success",
    );
    assert_eq!(state(&store, &["jane"]).matches("XCONVMODSEQ").count(), 4);
    let gone =
        "APPLY RENAME %(OLDMBOXNAME user.jane.a NEWMBOXNAME DELETED.user.jane.a.6B03E557 PARTITION default)";
    say(&mut driver, gone, "OK success");
    assert_eq!(state(&store, &["jane"]).matches("XCONVMODSEQ").count(), 2);
    insta::assert_snapshot!(text);
}

#[test]
fn long_lists_go_through_in_batches() {
    let store = MemoryStore::new();
    let mut driver = replica(&store);
    say(&mut driver, &upload(&["body"]), "OK success");
    let records: Vec<String> = (1..=3000).map(|uid| record(uid, 5, "", "body")).collect();
    say(
        &mut driver,
        &mailbox("user.jane", "id1", 3000, 5, &records),
        "OK success",
    );
    let writes = driver.asked.iter().filter(|&&kind| kind == "Write").count();
    assert!((5..=8).contains(&writes), "{writes} writes");
    assert_eq!(driver.asked.iter().filter(|&&kind| kind == "Commit").count(), 1);
    // One that fails at its end leaves nothing, although most of it was written by then.
    let before = state(&store, &["jane"]);
    let mut records: Vec<String> = (1..=3000).map(|uid| record(uid, 6, "\\Seen", "body")).collect();
    records.push(record(3001, 6, "", "never sent"));
    say(&mut driver, &mailbox("user.jane", "id1", 3001, 6, &records), BADP);
    assert_eq!(state(&store, &["jane"]), before);
    records.pop();
    say(
        &mut driver,
        &mailbox("user.jane", "id1", 3001, 6, &records),
        "OK success",
    );
    let after = state(&store, &["jane"]);
    assert_eq!(after.matches("FLAGS (\\Seen)").count(), 3000);
}
