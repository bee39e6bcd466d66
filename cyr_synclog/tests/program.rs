//! The program as scripts call it. [CS-LOG-36]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn run(place: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cyr_synclog"))
        .arg("-C")
        .arg(place.join("imapd.conf"))
        .args(arguments)
        .output()
        .expect("started")
}

fn place(more: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a folder");
    let text = format!("configdirectory: {}\n{more}", place.path().display());
    fs::write(place.path().join("imapd.conf"), text).expect("written");
    place
}

#[test]
fn every_option_writes_its_line() {
    let place = place("sync_log: yes\n");
    let table: [(&[&str], &str); 24] = [
        (&["-u", "jane"], "USER jane"),
        (&["--user", "jane"], "USER jane"),
        (&["-U", "jane"], "UNUSER jane"),
        (&["--unuser", "jane"], "UNUSER jane"),
        (&["-v", "jane"], "META jane"),
        (&["--sieve", "jane"], "META jane"),
        (&["-m", "user.jane.a b"], "MAILBOX \"user.jane.a b\""),
        (&["--mailbox", "user.x"], "MAILBOX user.x"),
        (&["-M", "user.x"], "UNMAILBOX user.x"),
        (&["--unmailbox", "user.x"], "UNMAILBOX user.x"),
        (&["-q", "user.x"], "QUOTA user.x"),
        (&["--quota", "user.x"], "QUOTA user.x"),
        (&["-n", "user.x"], "ANNOTATION user.x"),
        (&["--annotation", "user.x"], "ANNOTATION user.x"),
        (&["-s", "jane", "id"], "SEEN jane id"),
        (&["--seen", "jane", "id"], "SEEN jane id"),
        (&["-b", "jane", "user.x"], "SUB jane user.x"),
        (&["--subscription", "jane", "user.x"], "SUB jane user.x"),
        (&["-a", "user.%s%d"], "MAILBOX user.%s%d"),
        (&["--append", "APPEND user.x"], "MAILBOX user.x"),
        (&["-c", "user.x"], "MAILBOX user.x"),
        (&["--acl", "user.x"], "MAILBOX user.x"),
        (&["RENAME user.x \"user.y z\""], "RENAME user.x \"user.y z\""),
        (&["-u", "-U", "-m", "user.x"], "MAILBOX user.x"),
    ];
    let mut expected = String::new();
    for (arguments, line) in table {
        let output = run(place.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        expected.push_str(line);
        expected.push('\n');
    }
    let log = fs::read_to_string(place.path().join("sync/log")).expect("a log");
    assert_eq!(log, expected);
}

#[test]
fn what_is_wrong_is_said_and_nothing_written() {
    let place = place("sync_log: yes\n");
    let table: [(&[&str], i32, &str); 8] = [
        (&[], 64, "required"),
        (&["-m", ""], 64, "VALUE is empty"),
        (&["-s", "jane"], 64, "two values"),
        (&["-b", "jane", ""], 64, "two values"),
        (&["-m", "user.a", "b"], 64, "only `-s` and `-b`"),
        (&["user.x"], 65, "unknown action"),
        (&["-m", "user.a\nMAILBOX user.b"], 65, "line end"),
        (&["--nonsense", "x"], 64, "unexpected argument"),
    ];
    for (arguments, code, words) in table {
        let output = run(place.path(), arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    assert!(!place.path().join("sync").exists());
    fs::remove_file(place.path().join("imapd.conf")).expect("removed");
    assert_eq!(run(place.path(), &["-u", "x"]).status.code(), Some(78));
}

#[test]
fn all_channels_or_none() {
    let place = place("sync_log: yes\nsync_log_channels: \"\" far\n");
    assert_eq!(run(place.path(), &["-u", "jane"]).status.code(), Some(0));
    for log in ["sync/log", "sync/far/log"] {
        assert_eq!(
            fs::read_to_string(place.path().join(log)).expect("a log"),
            "USER jane\n"
        );
    }
    let off = self::place("");
    let output = run(off.path(), &["-u", "jane"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`sync_log` is off"));
    assert!(!off.path().join("sync").exists());
}
