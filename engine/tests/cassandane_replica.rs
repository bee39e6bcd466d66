//! What a replica has to take from a Cyrus master whose user was renamed, or whose scripts became messages.

mod support;

use store::memory::MemoryStore;
use support::{keys, mailbox, record, replica, transcript, upload};

fn inbox(name: &str, id: &str) -> String {
    mailbox(name, id, 0, 1, &[])
}

/// Asserts the last line of each answer and gives what the last command was answered.
fn say(lines: &[&str], store: &MemoryStore) -> String {
    let mut driver = replica(store);
    let text = transcript(&mut driver, lines);
    let last = text.rfind("C: ").map_or("", |at| &text[at..]);
    assert!(!text.contains("S: NO") && !text.contains("S: BAD"), "{text}");
    last.to_owned()
}

/// A rolling Cyrus master renames INBOX and what is below it, sends the new user, and removes the old one; neither
/// mail, nor what the new user is subscribed to, goes with the old name. [CS-EXC-33]
#[test]
fn a_user_is_renamed_and_the_old_name_removed() {
    let store = MemoryStore::new();
    let rename = |old: &str, new: &str| {
        format!("APPLY RENAME %(OLDMBOXNAME {old} NEWMBOXNAME {new} PARTITION default)")
    };
    let lines = [
        &upload(&["a", "b"]),
        &mailbox("user.jane", "id1", 1, 2, &[record(1, 2, "", "a")]),
        &mailbox("user.jane.sub", "id2", 1, 2, &[record(1, 2, "", "b")]),
        "APPLY SUB %(USERID jane MBOXNAME user.jane.sub)",
        &rename("user.jane", "user.mary"),
        &rename("user.jane.sub", "user.mary.sub"),
        "APPLY SUB %(USERID mary MBOXNAME user.mary.sub)",
        "APPLY UNUSER jane",
        "GET USER mary",
    ]
    .map(str::to_owned);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mary = say(&lines, &store);
    for part in [
        "UNIQUEID id1 MBOXNAME user.mary ",
        "UNIQUEID id2 MBOXNAME user.mary.sub ",
        "LSUB (user.mary.sub)",
    ] {
        assert!(mary.contains(part), "{part} in {mary}");
    }
    let jane = say(&["GET USER jane"], &store);
    assert!(!jane.contains("MAILBOX"), "{jane}");
    let full = say(&["GET FULLMAILBOX user.mary.sub"], &store);
    assert!(full.contains("UID 1"), "{full}");
}

/// Scripts that came by commands give way to the mailbox that holds them from then on. [CS-MBOX-51]
#[test]
fn scripts_become_messages() {
    let store = MemoryStore::new();
    let main = "From: <jane@x>\r\nSubject: main\r\n\r\nkeep;\r\n";
    let keys = keys("user.jane.#sieve", "id2", 1, 2);
    let script = |name: &str| {
        format!("APPLY SIEVE %(USERID jane FILENAME {name}.script LAST_UPDATE 1600000000 CONTENT \"stop;\")")
    };
    let lines = [
        inbox("user.jane", "id1"),
        inbox("user.bob", "id3"),
        script("main"),
        script("old"),
        script("old").replace("jane", "bob"),
        "APPLY ACTIVATE_SIEVE %(USERID jane FILENAME old.bc)".to_owned(),
        upload(&[main]),
        "APPLY CAPABILITIES (SIEVE-MAILBOX)".to_owned(),
        format!(
            "APPLY MAILBOX %(MBOXTYPE f {keys} RECORD ({}))",
            record(1, 2, "\\Flagged", main)
        ),
        "GET META jane".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert!(!say(&lines, &store).contains("SIEVE"), "all of them are messages");
    // A peer without the capability is shown what the messages say.
    let meta = say(&["GET META jane"], &store);
    assert!(meta.contains("main.script") && !meta.contains("old."), "{meta}");
    assert!(meta.contains("FILENAME main.bc"), "{meta}");
    assert!(
        say(&["GET META bob"], &store).contains("old.script"),
        "another user's stay"
    );
    // A mailbox that is refused leaves what it would have replaced.
    let refused = format!(
        "APPLY MAILBOX %(MBOXTYPE f {keys} RECORD ({}))",
        record(2, 2, "", main)
    );
    let mut driver = replica(&store);
    let script = script("late");
    let lines = [
        &script,
        "APPLY CAPABILITIES (SIEVE-MAILBOX)",
        &refused,
        "GET META jane",
    ];
    let text = transcript(&mut driver, &lines);
    assert!(
        text.contains("is above LAST_UID") && text.contains("FILENAME late.script"),
        "{text}"
    );
}
