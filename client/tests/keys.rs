//! Keys of the daemon by what they do: `docs/OPTIONS.md` names these tests. [CS-LOG-27]

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod twin;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::Signal;
use twin::{Master, Replica, show, wait};

/// A daemon that has looked at its log once.
fn daemon(master: &Master) -> twin::Daemon {
    let daemon = master.daemon(&[]);
    wait("the first look", || {
        master.path("sync/mailtwin-status.json").exists()
    });
    daemon
}

#[test]
fn the_log_is_looked_at_at_its_interval_or_when_it_is_written_to() {
    let replica = Replica::start();
    let conf = |wake: &str| {
        format!(
            "sync_host: {}\nsync_repeat_interval: 1h\nmailtwin_wake: {wake}\n",
            replica.socket().display()
        )
    };
    let mut master = Master::new(&conf("no"));
    let first = daemon(&master);
    master.deliver("jane", "one");
    master.log(&["jane"]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(
        master.read("sync/log"),
        "MAILBOX user.jane\n",
        "an hour has not passed"
    );
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));
    assert_eq!(show(&replica.store(), "jane"), "");

    master.configure(&conf("yes"));
    std::fs::remove_file(master.path("sync/mailtwin-status.json")).expect("removed");
    let second = daemon(&master);
    master.wait_equal(&replica, &["jane"]);
    master.deliver("jane", "two");
    master.log(&["jane"]);
    master.wait_equal(&replica, &["jane"]);
    second.signal(Signal::TERM);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn log_lines_are_json_when_that_is_asked_for() {
    let replica = Replica::start();
    let mut master = Master::new(&format!(
        "sync_host: {}\nmailtwin_log_format: json\n",
        replica.socket().display()
    ));
    let daemon = daemon(&master);
    master.deliver("jane", "one");
    master.log(&["jane"]);
    master.wait_equal(&replica, &["jane"]);
    daemon.signal(Signal::TERM);
    let (code, said) = daemon.end();
    assert_eq!(code, Some(0));
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert!(lines.len() >= 2, "{said}");
    assert!(lines.iter().all(|line| line.get("level").is_some()), "{said}");
}

#[test]
fn metrics_and_the_status_page_are_served_where_it_is_said() {
    let replica = Replica::start();
    // A free port now is very likely free in a moment; nobody else on this machine binds this address.
    let address = TcpListener::bind("127.0.0.83:0")
        .and_then(|free| free.local_addr())
        .expect("a free port");
    let mut master = Master::new(&format!(
        "sync_host: {}\nmailtwin_metrics_listen: {address}\n",
        replica.socket().display()
    ));
    let daemon = daemon(&master);
    master.deliver("jane", "one");
    master.log(&["jane"]);
    master.wait_equal(&replica, &["jane"]);
    let get = |path: &str| {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(address).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    wait("the change to be counted", || {
        get("/metrics")
            .is_some_and(|answer| answer.contains("mailtwin_channel_changes_total{channel=\"\"} 1"))
    });
    assert!(get("/").is_some_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains("<html")));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn names_are_written_with_dots_when_the_configuration_says_so() {
    let replica = Replica::start();
    let mut master = Master::new(&format!(
        "sync_host: {}\nunixhierarchysep: no\n",
        replica.socket().display()
    ));
    master.deliver("jane", "one");
    let (_, _, said) = master.run(&["-m", "user/jane"]);
    assert!(said.contains("user/jane does not exist here"), "{said}");
    assert_eq!(show(&replica.store(), "jane"), "");
    let (code, _, said) = master.run(&["-m", "user.jane"]);
    assert_eq!(code, Some(0), "{said}");
    master.wait_equal(&replica, &["jane"]);
}
