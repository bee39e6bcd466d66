//! The daemon under a service manager that wants to be told how it is, as systemd does with `Type=notify`.

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod twin;

use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use twin::{Master, Replica};

/// How long a message may take on a machine that has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(60);

fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).expect("a message in time");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn the_service_manager_is_told_of_readiness_life_and_the_end() {
    let replica = Replica::start();
    let mut master = Master::of(&replica);
    let path = master.path("notify");
    let socket = UnixDatagram::bind(&path).expect("binds");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut command = master.command(&["-R"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "2000000");
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    assert_eq!(next(&socket), "READY=1\n");
    assert!(
        master.path("sync/mailtwin-status.json").exists(),
        "it has its channel"
    );
    assert_eq!(next(&socket), "WATCHDOG=1\n");
    master.deliver("jane", "one");
    master.log(&["jane"]);
    master.wait_equal(&replica, &["jane"]);
    assert_eq!(next(&socket), "WATCHDOG=1\n", "at work as well");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    let last = loop {
        let said = next(&socket);
        if said != "WATCHDOG=1\n" {
            break said;
        }
    };
    assert!(last.ends_with("STOPPING=1\n"), "{last}");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}

#[test]
fn a_second_daemon_of_a_channel_never_says_that_it_is_ready() {
    let replica = Replica::start();
    let master = Master::of(&replica);
    let first = master.daemon(&[]);
    twin::wait("the first to have the channel", || {
        master.path("sync/mailtwin-status.json").exists()
    });
    let path = master.path("notify");
    let socket = UnixDatagram::bind(&path).expect("binds");
    socket.set_nonblocking(true).expect("set");
    let output = master
        .command(&["-R"])
        .env("NOTIFY_SOCKET", &path)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(75));
    assert!(socket.recv(&mut [0; 64]).is_err(), "nothing was said");
    first.signal(Signal::TERM);
    assert_eq!(first.end().0, Some(0));
}
