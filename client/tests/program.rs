//! The program as an operator starts it; what it replicates is tested where both programs are.

use std::path::Path;
use std::process::Command;

/// Exit code, stdout and stderr with the folder's name replaced by DIR.
fn run(folder: &Path, conf: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let shown = folder.display().to_string();
    std::fs::write(folder.join("imapd.conf"), conf.replace("DIR", &shown)).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sync_client"));
    let output = command
        .arg("-C")
        .arg(folder.join("imapd.conf"))
        .args(arguments)
        .output()
        .expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&shown, "DIR");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// [CS-EXC-40]
#[test]
fn wrong_use_is_told_with_its_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("store")).expect("a folder");
    let store = "mailtwin_store: DIR/store\n";
    for (conf, arguments, code, said) in [
        (store, &["-u"][..], 64, "-u needs a user id"),
        (store, &["-u", "-A"], 64, "exclude each other; give one of them"),
        (store, &["jane"], 64, "say what to do: one of -u"),
        (store, &["-A", "a", "b"], 64, "-A takes one prefix at most"),
        (
            store,
            &["-u", "-f", "/nowhere/names"],
            64,
            "cannot read /nowhere/names",
        ),
        (
            store,
            &["-u", "jane"],
            78,
            "no replica; give it with -S HOST, or set `sync_host: HOST`",
        ),
        ("", &["-u", "jane"], 78, "there is no place for the store"),
        (
            "mailtwin_store: DIR/nowhere\nsync_host: x\n",
            &["-u", "jane"],
            74,
            "there is no store in DIR/nowhere",
        ),
        (
            store,
            &["-S", "/nowhere/socket", "-u", "jane"],
            75,
            "cannot connect to /nowhere/socket: No such file",
        ),
        (
            store,
            &["-S", "127.0.0.1:23999", "-u", "jane"],
            75,
            "is the replication server running there?",
        ),
    ] {
        let (found, stdout, stderr) = run(folder.path(), conf, arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "", "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

#[test]
fn the_help_lists_options_and_exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, stdout, _) = run(folder.path(), "", &["--help"]);
    assert_eq!(code, Some(0));
    insta::assert_snapshot!(stdout);
}
