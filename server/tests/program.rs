//! The program as an operator starts and stops it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn command(folder: &Path, conf: &str) -> Command {
    let path = folder.join("imapd.conf");
    std::fs::write(&path, conf.replace("DIR", &folder.display().to_string())).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sync_server"));
    command
        .arg("-C")
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn start(mut command: Command) -> (Child, String) {
    let mut child = command.spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped"))
        .read_line(&mut line)
        .expect("a line");
    (child, line)
}

/// Sends a signal and gives exit code, the rest of stdout, and stderr.
fn end(child: Child, signal: Signal) -> (Option<i32>, String, String) {
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).expect("it runs");
    let started = Instant::now();
    let output = child.wait_with_output().expect("waited for");
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "it took {:?} to stop",
        started.elapsed()
    );
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fails(folder: &Path, conf: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command(folder, conf).args(arguments).output().expect("runs");
    assert_eq!(text(&stdout), "");
    (
        status.code(),
        text(&stderr).replace(&folder.display().to_string(), "DIR"),
    )
}

#[test]
fn it_says_when_it_is_ready_and_bye_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().expect("a folder");
        let conf = "configdirectory: DIR\nadmins: repl\nmailtwin_listen: 127.0.0.1:0 unix:DIR/socket\nservername: far\n";
        let (child, ready) = start(command(folder.path(), conf));
        let shown = ready.replace(&folder.path().display().to_string(), "DIR");
        let rest = shown
            .strip_prefix("sync_server ready on 127.0.0.1:")
            .expect(&shown);
        let (port, rest) = rest.split_once(',').expect("two addresses");
        assert_eq!(rest, " unix:DIR/socket (store DIR/mailtwin)\n");

        let mut idle =
            TcpStream::connect(("127.0.0.1", port.parse::<u16>().expect("a port"))).expect("connects");
        let mut local = UnixStream::connect(folder.path().join("socket")).expect("connects");
        local.write_all(b"GET USER nobody\r\n").expect("written");
        let mut lines = BufReader::new(local.try_clone().expect("cloned")).lines();
        let banner = lines.next().expect("a banner").expect("text");
        assert!(
            banner.starts_with("* OK far Cyrus sync server mailtwin "),
            "{banner}"
        );
        assert_eq!(lines.next().expect("an answer").expect("text"), "OK success");

        let (code, stdout, stderr) = end(child, signal);
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
        assert!(
            stderr.contains("no user of `admins` has a password here"),
            "{stderr}"
        );
        let mut said = String::new();
        idle.read_to_string(&mut said).expect("text");
        assert!(said.ends_with("BYE shutting down\r\n"), "{said}");
        assert_eq!(lines.next().expect("a line").expect("text"), "BYE shutting down");
        assert!(!folder.path().join("socket").exists());
    }
}

#[test]
fn it_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    let (code, said) = fails(dir, "admins: x\n", &[]);
    assert_eq!(code, Some(78));
    assert_eq!(
        said,
        "sync_server: DIR/imapd.conf: there is no place for the store; add `mailtwin_store: DIRectory` (or `configdirectory: \
         DIRectory`)\n"
            .replace("DIRectory", "DIRECTORY")
    );

    let (code, said) = fails(dir, "mailtwin_store: DIR/imapd.conf\n", &[]);
    assert_eq!(code, Some(74));
    assert!(
        said.contains("sync_server: the store cannot be used: DIR/imapd.conf"),
        "{said}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, said) = fails(dir, "mailtwin_store: DIR/s\n", &["--listen", &address]);
    assert_eq!(code, Some(69));
    assert_eq!(
        said,
        format!(
            "sync_server: cannot listen on {address}: another program does; stop it or choose another address\n"
        )
    );

    let (code, said) = fails(dir, "mailtwin_store: DIR/s\n", &["--listen", "2005"]);
    assert_eq!(code, Some(64));
    assert!(said.contains("write ADDRESS:PORT"), "{said}");
}

#[test]
fn without_admins_it_warns_and_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let conf = "mailtwin_store: DIR/s\nmailtwin_listen: 127.0.0.1:0\nsync_timout: 3\n";
    let (child, ready) = start(command(folder.path(), conf));
    assert!(ready.starts_with("sync_server ready on 127.0.0.1:"), "{ready}");
    let (code, _, stderr) = end(child, Signal::TERM);
    assert_eq!(code, Some(0));
    assert!(stderr.contains("`admins` is not set"), "{stderr}");
    assert!(
        stderr.contains("imapd.conf:3: neither Cyrus nor mailtwin knows the option `sync_timout`"),
        "{stderr}"
    );
}
