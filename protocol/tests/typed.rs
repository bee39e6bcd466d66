//! A `MAILBOX` line of every key, as typed values.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod common;

use common::{commands, write_commands};
use protocol::command::Streaming;
use protocol::decode::CommandEvent;

const LINE: &[u8] =
    b"APPLY LOCAL_MAILBOX %(JMAPID j UNIQUEID lyj6hcfi8u3zykfxsg2ftyp1 MBOXNAME \"user.alice.a b\" \
    MBOXTYPE ei SYNC_CRC 1496559430 SYNC_CRC_ANNOT 789552896 LAST_UID 2 HIGHESTMODSEQ 18446744073709551615 \
    RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 1795416989 POP3_LAST_LOGIN 0 POP3_SHOW_AFTER -1 XCONVMODSEQ 9 \
    COMPACT_EMAILIDS 1 RACLMODSEQ 8 USERGROUPS \"a\tb\" VERSION 20 UIDVALIDITY 1795416984 PARTITION default \
    ACL \"alice\tlrswipkxtecdan\t\" OPTIONS PSDA QUOTAROOT user.alice CREATEDMODSEQ 1 FOLDERMODSEQ 4 \
    DELETEDMODSEQ 5 ANNOTATIONS (%(ENTRY /comment USERID \"\" MODSEQ 0 VALUE {7+}\r\n\xc3\xa9\r\n\0%\\)) \
    USERFLAGS ($NIL \"NIL\") SINCE_MODSEQ 4 SINCE_CRC 900271984 SINCE_CRC_ANNOT 1477559042 \
    RECORD (%(UID 2 MODSEQ 5 LAST_UPDATED 1795416989 FLAGS (\\Answered \\Seen $NIL \"NIL\") \
    INTERNALDATE 1577872800 SIZE 253 GUID bb1e5e4a3ba2bb389482b292f60b0d4bf3c9867e \
    ANNOTATIONS (%(ENTRY /vendor/cmu/cyrus-imapd/thrid USERID \"\" MODSEQ 0 VALUE 0123456789abcdef) \
    %(ENTRY /comment USERID alice MODSEQ 3 VALUE \"x y\"))) \
    %(UID 3 MODSEQ 5 LAST_UPDATED 1795416989 FLAGS () INTERNALDATE 1577872800 SIZE 0 \
    GUID 0000000000000000000000000000000000000000)))\r\n";

#[test]
fn every_key_of_a_mailbox() {
    let events = commands(LINE);
    insta::assert_debug_snapshot!(events);
    assert_eq!(
        write_commands(&events).escape_ascii().to_string(),
        LINE.escape_ascii().to_string()
    );
}

#[test]
fn only_the_mailbox_s_own_record_list_streams() {
    let events = commands(b"APPLY MAILBOX %(X-NEW %(RECORD (a b)) MBOXNAME c RECORD ())\r\n");
    match &events[..] {
        [
            CommandEvent::Begin(Streaming::Mailbox { line, local: false }),
            CommandEvent::End(_),
        ] => {
            assert_eq!(line.mboxname, Some("c".into()));
            assert!(line.has_records);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_in_place_of_the_list_is_a_list_of_one() {
    let input = b"APPLY MESSAGE %{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc\r\n";
    let twice = [&input[..], &input[..]].concat();
    let kinds: Vec<&str> = commands(&twice)
        .iter()
        .map(|event| match event {
            CommandEvent::Begin(Streaming::Message) => "begin",
            CommandEvent::File(_) => "file",
            CommandEvent::FileData(_) => "data",
            CommandEvent::FileEnd => "file end",
            CommandEvent::End(_) => "end",
            _ => "other",
        })
        .collect();
    let once = ["begin", "file", "data", "file end", "end"];
    assert_eq!(kinds, [once, once].concat());
}
