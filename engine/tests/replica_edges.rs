//! What a replica does at the edges of its rules for scripts and restores.

mod support;

use engine::Replica;
use store::memory::MemoryStore;
use support::{Driver, keys, mailbox, record, replica, transcript, upload};

fn meta(driver: &mut Driver<Replica>) -> String {
    driver.feed(b"GET META jane\r\n");
    driver.take()
}

fn put(name: &str) -> String {
    format!("APPLY SIEVE %(USERID jane FILENAME {name} LAST_UPDATE 1600000000 CONTENT {{7+}}\r\nkeep;\r\n)")
}

/// jane with an INBOX and two scripts, of which `main` is active.
fn with_scripts(store: &MemoryStore) -> Driver<Replica> {
    let mut driver = replica(store);
    let inbox = mailbox("user.jane", "id1", 0, 1, &[]);
    let (main, spare) = (put("main.script"), put("spare.script"));
    let active = "APPLY ACTIVATE_SIEVE %(USERID jane FILENAME main.bc)";
    let said = transcript(&mut driver, &[&inbox, &main, &spare, active]);
    assert_eq!(said.matches("S: OK").count(), 4, "{said}");
    driver
}

fn is_active(meta: &str, name: &str) -> bool {
    meta.lines()
        .any(|line| line.contains(&format!("FILENAME {name}.bc")) && line.contains("ISACTIVE 1"))
}

/// [CS-EXC-26]
#[test]
fn only_the_compiled_file_of_the_active_script_takes_its_activation_along() {
    let mut driver = with_scripts(&MemoryStore::new());
    let before = meta(&mut driver);
    assert!(is_active(&before, "main"), "{before}");
    transcript(&mut driver, &["APPLY UNSIEVE %(USERID jane FILENAME spare.bc)"]);
    assert_eq!(meta(&mut driver), before);
    transcript(&mut driver, &["APPLY UNSIEVE %(USERID jane FILENAME main.bc)"]);
    let after = meta(&mut driver);
    assert!(!is_active(&after, "main"), "{after}");
    assert!(after.contains("main.script"), "{after}");
}

#[test]
fn only_the_users_own_box_of_scripts_takes_the_place_of_scripts() {
    let script = "From: <jane@x>\r\nSubject: main\r\n\r\nkeep;\r\n";
    let sieve = |name: &str, id: &str, mbtype: &str| {
        let keys = keys(name, id, 1, 2);
        format!(
            "APPLY MAILBOX %(MBOXTYPE {mbtype} {keys} RECORD ({}))",
            record(1, 2, "", script)
        )
    };
    let mut driver = with_scripts(&MemoryStore::new());
    transcript(&mut driver, &["APPLY CAPABILITIES (SIEVE-MAILBOX)"]);
    let before = meta(&mut driver);
    assert!(before.contains("spare.script"), "{before}");
    let elsewhere = sieve("DELETED.user.jane.#sieve.5F000000", "id2", "f");
    let said = transcript(&mut driver, &[&upload(&[script]), &elsewhere]);
    assert_eq!(said.matches("S: OK").count(), 2, "{said}");
    assert_eq!(meta(&mut driver), before);
    let said = transcript(
        &mut driver,
        &[&upload(&[script]), &sieve("user.jane.#sieve", "id3", "f")],
    );
    assert_eq!(said.matches("S: OK").count(), 2, "{said}");
    assert!(!meta(&mut driver).contains("spare.script"));
}

#[test]
fn a_restored_record_without_a_message_has_to_be_expunged() {
    let nothing = "0000000000000000000000000000000000000000";
    let restored = |flags: &str| {
        let record = format!(
            "%(UID 5 MODSEQ 3 LAST_UPDATED 1700000000 FLAGS ({flags}) INTERNALDATE 1600000000 SIZE 0 GUID {nothing})"
        );
        let keys = "MBOXNAME user.jane.kept UNIQUEID id7 HIGHESTMODSEQ 50 UIDVALIDITY 99";
        let mut driver = with_scripts(&MemoryStore::new());
        transcript(
            &mut driver,
            &[&format!("RESTORE MAILBOX %({keys} RECORD ({record}))")],
        )
    };
    let live = restored("");
    assert!(live.contains("UID 5 is live and has the null GUID"), "{live}");
    let expunged = restored("\\Expunged");
    assert!(expunged.contains("S: OK"), "{expunged}");
}
