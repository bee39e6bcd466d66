//! The program with sockets that were handed over: by systemd, and by Cyrus's master.

mod starting;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use starting::Starting;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves one connection far enough to see that it is served; gives the connection.
fn talk<S: Read + Write>(stream: S) -> BufReader<S> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("* OK ") {
        line.clear();
        assert!(
            stream.read_line(&mut line).expect("a banner") > 0,
            "closed before the banner"
        );
    }
    stream
}

fn answered<S: Read + Write>(stream: &mut BufReader<S>, command: &str) -> String {
    stream.get_mut().write_all(command.as_bytes()).expect("written");
    let mut line = String::new();
    stream.read_line(&mut line).expect("an answer");
    line
}

fn tcp() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

/// What `NOTIFY_SOCKET` leads to.
fn manager(starting: &Starting) -> UnixDatagram {
    let socket = UnixDatagram::bind(starting.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket
}

/// Reads messages until one holds the text; gives all that was said.
fn told(socket: &UnixDatagram, text: &str) -> String {
    let mut said = String::new();
    while !said.contains(text) {
        let mut bytes = [0; 4096];
        let count = socket.recv(&mut bytes).expect("a message");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    said
}

/// [CS-SVC-15] [CS-SVC-16] [CS-SVC-17] [CS-SVC-22]
#[test]
fn systemd_hands_over_sockets_and_is_told() {
    let mut starting = Starting::new("admins: repl\nmailtwin_listen: 192.0.2.1:1\n");
    let (listener, address) = tcp();
    let path = starting.path("handed");
    let unix = UnixListener::bind(&path).expect("a socket");
    let manager = manager(&starting);
    let notify = starting.path("notify");
    starting
        .hand_over(3, listener.as_fd())
        .hand_over(4, unix.as_fd())
        .set("LISTEN_PID", "$$")
        .set("LISTEN_FDS", "2")
        .set("LISTEN_FDNAMES", "csync:local")
        .set("NOTIFY_SOCKET", &notify)
        .set("WATCHDOG_USEC", "90000");
    let server = starting.start();
    assert_eq!(
        server.ready,
        format!("sync_server ready on {address}, unix:{path} (store DIR/mailtwin)\n")
    );
    let said = told(&manager, "READY=1");
    assert!(
        said.contains(&format!("STATUS=sync_server ready on {address}, ")),
        "{said}"
    );
    talk(TcpStream::connect(&address).expect("connects"));
    let mut local = talk(UnixStream::connect(&path).expect("connects"));
    assert_eq!(answered(&mut local, "GET USER nobody\r\n"), "OK success\r\n");
    for _ in 0..3 {
        told(&manager, "WATCHDOG=1");
    }
    server.assert_close_on_exec();
    // Systemd goes on listening while the server ends.
    server.signal("TERM");
    let said = told(&manager, "STOPPING=1");
    assert!(!said.contains("READY=1"), "{said}");
    let (code, stderr) = server.wait();
    assert_eq!(code, Some(0), "{stderr}");
    // The sockets are systemd's: they stay, and hold whoever comes for the next server.
    TcpStream::connect(&address).expect("queued");
    UnixStream::connect(&path).expect("queued");
}

/// [CS-SVC-12] [CS-SVC-16]
#[test]
fn hangup_drains() {
    let mut starting = Starting::new("");
    let path = starting.path("handed");
    let unix = UnixListener::bind(&path).expect("a socket");
    starting
        .hand_over(3, unix.as_fd())
        .set("LISTEN_PID", "$$")
        .set("LISTEN_FDS", "1");
    let server = starting.start();
    let mut held = talk(UnixStream::connect(&path).expect("connects"));
    server.signal("HUP");
    server.wait_for_log("no new connection is taken");
    // Whoever comes now waits for the next server, and who is there goes on.
    let mut next = UnixStream::connect(&path).expect("queued");
    next.set_nonblocking(true).expect("set");
    assert_eq!(answered(&mut held, "GET USER nobody\r\n"), "OK success\r\n");
    let nothing = next.read(&mut [0; 64]).expect_err("nobody serves it");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(held);
    let (code, stderr) = server.wait();
    assert_eq!(code, Some(0), "{stderr}");

    // A drained server that is told to stop does so.
    let server = starting.start();
    next.set_nonblocking(false).expect("set");
    let mut next = talk(next);
    server.signal("HUP");
    server.wait_for_log("no new connection is taken");
    assert_eq!(answered(&mut next, "GET USER nobody\r\n"), "OK success\r\n");
    let (code, stderr) = server.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    let mut rest = String::new();
    next.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "BYE shutting down\r\n");
}

/// What is at descriptor 3, variables, and what is said.
type Case<'a> = (OwnedFd, &'a [(&'a str, &'a str)], &'a str);

/// [CS-SVC-15]
#[test]
fn what_is_wrong_with_a_hand_over_is_said() {
    let (listener, _) = tcp();
    let (pair, _other) = UnixStream::pair().expect("a pair");
    let datagrams = UnixDatagram::unbound().expect("a socket");
    let file = tempfile::tempfile().expect("a file");
    let cases: [Case; 7] = [
        (
            listener.try_clone().expect("one more").into(),
            &[("LISTEN_PID", "$$"), ("LISTEN_FDS", "one")],
            "LISTEN_FDS is `one`, which is no number of descriptors",
        ),
        (
            listener.try_clone().expect("one more").into(),
            &[("LISTEN_PID", "$$"), ("LISTEN_FDS", "1000000000")],
            "LISTEN_FDS promises 1000000000 descriptors, but number 4 cannot be used",
        ),
        (
            pair.try_clone().expect("one more").into(),
            &[
                ("LISTEN_PID", "$$"),
                ("LISTEN_FDS", "1"),
                ("LISTEN_FDNAMES", "csync"),
            ],
            "descriptor 3 (`csync`) was handed over, but it is no listening stream socket",
        ),
        (
            datagrams.into(),
            &[("LISTEN_PID", "$$"), ("LISTEN_FDS", "1")],
            "descriptor 3 was handed over, but it is no listening stream socket",
        ),
        (
            file.into(),
            &[("LISTEN_PID", "$$"), ("LISTEN_FDS", "1")],
            "hand over sockets only",
        ),
        (
            pair.into(),
            &[("CYRUS_SERVICE", "syncserver")],
            "CYRUS_SERVICE is set, so Cyrus's master should have started this program",
        ),
        (
            listener.into(),
            &[("CYRUS_SERVICE", ""), ("LISTEN_FDS", "1")],
            "CYRUS_SERVICE is set, so Cyrus's master should have started this program",
        ),
    ];
    for (descriptor, variables, expected) in cases {
        let mut starting = Starting::new("");
        starting.hand_over(3, descriptor.as_fd());
        for (key, value) in variables {
            starting.set(key, value);
        }
        let (code, stderr) = starting.fails();
        assert!(stderr.contains(expected), "{expected}: {stderr}");
        assert_eq!(code, Some(69), "{stderr}");
    }
}

/// [CS-SVC-15] [CS-SVC-16] [CS-SVC-17]
#[test]
fn what_is_meant_for_others_or_cannot_be_used_is_no_obstacle() {
    let variables: [&[(&str, &str)]; 3] = [
        &[("LISTEN_PID", "1"), ("LISTEN_FDS", "1")],
        &[
            ("NOTIFY_SOCKET", "/nonexistent/notify"),
            ("WATCHDOG_USEC", "soon"),
        ],
        &[("WATCHDOG_USEC", "0"), ("WATCHDOG_PID", "none")],
    ];
    for variables in variables {
        let mut starting = Starting::new("mailtwin_listen: 127.0.0.1:0\n");
        for (key, value) in variables {
            starting.set(key, value);
        }
        let server = starting.start();
        assert!(
            server.ready.starts_with("sync_server ready on 127.0.0.1:"),
            "{}",
            server.ready
        );
        let (code, stderr) = server.end("TERM");
        assert_eq!(code, Some(0), "{stderr}");
        let unheard = variables.iter().any(|(key, _)| *key == "NOTIFY_SOCKET");
        assert_eq!(stderr.contains("systemd cannot be told"), unheard, "{stderr}");
    }
}

/// [CS-SVC-3] [CS-SVC-4] [CS-SVC-8] [CS-SVC-14] [CS-SVC-21] [CS-SVC-22] [CS-SVC-6] [CS-EXC-38]
#[test]
fn cyrus_master_is_told_of_each_connection() {
    let (listener, address) = tcp();
    let (mut messages, pipe) = std::io::pipe().expect("a pipe");
    let mut starting = Starting::new("");
    starting
        .hand_over(3, pipe.as_fd())
        .hand_over(4, listener.as_fd())
        .set("CYRUS_SERVICE", "syncserver")
        .set("CYRUS_ID", "1")
        .arguments("-U 3 -T 3600 -f -D");
    let server = starting.start_silent();
    for _ in 0..2 {
        talk(TcpStream::connect(&address).expect("connects"));
        let mut message = [0; 8];
        messages.read_exact(&mut message).expect("a message");
        assert_eq!(message[..4], 4_i32.to_ne_bytes());
        assert_eq!(message[4..], server.id().to_ne_bytes());
    }
    server.assert_close_on_exec();
    assert!(
        server.log().contains("-D starts no debugger here"),
        "{}",
        server.log()
    );
    // The third is the last: another process has to be started for those who come now.
    let held = talk(TcpStream::connect(&address).expect("connects"));
    for kind in [4_i32, 2] {
        let mut message = [0; 8];
        messages.read_exact(&mut message).expect("a message");
        assert_eq!(message[..4], kind.to_ne_bytes());
    }
    drop(held);
    let (code, stderr) = server.wait();
    assert_eq!(code, Some(0), "{stderr}");

    // The next one ends when nobody reads its messages any more.
    starting.arguments("");
    let server = starting.start_silent();
    talk(TcpStream::connect(&address).expect("connects"));
    drop((messages, pipe));
    let (code, stderr) = server.wait();
    assert_eq!(code, Some(0), "{stderr}");
}

/// [CS-SVC-24]
#[test]
fn options_that_have_no_sense_here_are_said() {
    let mut starting = Starting::new("mailtwin_listen: 127.0.0.1:0\n");
    starting.arguments("-X");
    let (code, stderr) = starting.fails();
    assert_eq!(code, Some(64));
    assert!(
        stderr.contains("-X (one session on standard input) is not available"),
        "{stderr}"
    );
    starting.arguments("-U 1 -T 1");
    let server = starting.start();
    let (code, stderr) = server.end("TERM");
    assert_eq!(code, Some(0));
    assert!(stderr.contains("-U and -T are not used"), "{stderr}");
}
