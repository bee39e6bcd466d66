//! What fuzzing found, each with the bytes that showed it.

mod support;

use store::memory::MemoryStore;
use support::replica;

/// Says each line and gives the final lines; data lines are left out.
fn answers(lines: &[&[u8]]) -> (String, support::Driver<engine::Replica>) {
    let mut driver = replica(&MemoryStore::new());
    let mut text = String::new();
    for line in lines {
        driver.feed(line);
        text.push_str(&driver.take());
    }
    (text, driver)
}

/// The SHA-1 is that of `abc`.
const UPLOAD: &[u8] = b"APPLY MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc)\r\n";
const INBOX_WITH_MAIL: &[u8] =
    b"APPLY MAILBOX %(UNIQUEID id1 MBOXNAME user.jane LAST_UID 7 HIGHESTMODSEQ 9 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE \
      0 POP3_LAST_LOGIN 0 UIDVALIDITY 3 PARTITION default ACL \"\" OPTIONS \"\" RECORD (%(UID 5 MODSEQ 8 LAST_UPDATED 1 FLAGS \
      () INTERNALDATE 1 SIZE 3 GUID a9993e364706816aba3e25717850c26c9cd0d89d)))\r\n";

/// A forced LAST_UID below a message that stays let the next message take that one's UID and place. [CS-EXC-41]
#[test]
fn a_forced_mailbox_does_not_fall_below_its_records() {
    let back: &[u8] =
        b"APPLY MAILBOX %(UNIQUEID id1 MBOXNAME user.jane LAST_UID 0 HIGHESTMODSEQ 1 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE \
          0 POP3_LAST_LOGIN 0 UIDVALIDITY 3 PARTITION default ACL \"\" OPTIONS \"\" RECORD ())\r\n";
    let (text, mut driver) = answers(&[UPLOAD, INBOX_WITH_MAIL, b"APPLY FORCE %()\r\n", back]);
    assert_eq!(text, "OK success\nOK success\nOK success\nOK success\n");
    driver.feed(b"GET FULLMAILBOX user.jane\r\n");
    let shown = driver.take();
    assert!(shown.contains(" LAST_UID 5 HIGHESTMODSEQ 1 "), "{shown}");
    assert!(shown.contains("%(UID 5 MODSEQ 8 "), "{shown}");
}

/// The modseq behind the last one there is made the process end. [CS-RESTORE-3]
#[test]
fn a_mailbox_without_a_modseq_left_takes_no_restore() {
    let last: &[u8] =
        b"APPLY MAILBOX %(UNIQUEID id1 MBOXNAME user.jane LAST_UID 0 HIGHESTMODSEQ 18446744073709551615 RECENTUID 0 RECENTTIME \
          0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY 3 PARTITION default ACL \"\" OPTIONS \"\" RECORD ())\r\n";
    let (text, _) = answers(&[last, b"RESTORE MAILBOX %(MBOXNAME user.jane RECORD ())\r\n"]);
    assert_eq!(text, "OK success\nNO user.jane has no modseq left to give\n");
}

/// A mailbox came to be that looked like a remembered delete, was said to be sent, and was not there. [CS-RESTORE-4]
#[test]
fn mail_is_restored_into_no_type_without_mail() {
    for mbtype in ["d", "i", "ci"] {
        let line = format!("RESTORE MAILBOX %(MBOXNAME user.jane MBOXTYPE {mbtype} RECORD ())\r\n");
        let (text, _) = answers(&[line.as_bytes()]);
        assert_eq!(
            text,
            format!("NO MBOXTYPE {mbtype} is of no mailbox that holds mail\n")
        );
    }
}

/// A GUID that is missing and named twice was counted for one that is there: the unknown partition was not seen. [CS-APPLY-8]
#[test]
fn a_reservation_on_an_unknown_partition_is_refused_however_often_what_is_missing_is_named() {
    let missing = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8";
    let reserve =
        |guids: &str| format!("APPLY RESERVE %(PARTITION nowhere MBOXNAME (user.jane) GUID ({guids}))\r\n");
    let here = "a9993e364706816aba3e25717850c26c9cd0d89d";
    for guids in [format!("{missing} {here}"), format!("{missing} {missing} {here}")] {
        let (text, _) = answers(&[UPLOAD, INBOX_WITH_MAIL, reserve(&guids).as_bytes()]);
        assert_eq!(
            text, "OK success\nOK success\nNO unknown partition nowhere\n",
            "{guids}"
        );
    }
    let (text, _) = answers(&[reserve(&format!("{missing} {missing}")).as_bytes()]);
    assert_eq!(text, format!("* MISSING ({missing} {missing})\nOK success\n"));
}

/// Bytes behind COMPRESS come again, inflated, and were counted twice against what a stranger may send. [CS-CONN-28]
#[test]
fn bytes_behind_compress_count_once() {
    let lines = "NOOP\r\n".repeat(400);
    let mut config = support::config();
    config.trusted = false;
    let mut driver = support::Driver::new(engine::Replica::new(config), &MemoryStore::new());
    driver.feed(format!("COMPRESS DEFLATE\r\n{lines}").as_bytes());
    let said = driver.take();
    assert!(!said.contains("TOOBIG"), "{said}");
}
