//! What an operator sees of a running server: log lines for machines, metrics, the page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// `\0repl\0secret`, in base64.
const WRONG_LOGIN: &str = "AHJlcGwAc2VjcmV0";

struct Watched {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
    log: Receiver<String>,
    said: Vec<String>,
}

impl Watched {
    fn start(more: &str) -> Watched {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().display();
        let conf = format!(
            "configdirectory: {dir}\nadmins: repl\nmailtwin_listen: 127.0.0.1:0 unix:{dir}/socket\nservername: far\n\
             failedloginpause: 0\nmailtwin_user: root\n{more}"
        );
        std::fs::write(folder.path().join("imapd.conf"), conf).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sync_server"))
            .arg("-C")
            .arg(folder.path().join("imapd.conf"))
            .arg("-v")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let (say, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    return;
                }
            }
        });
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped"))
            .read_line(&mut ready)
            .expect("a line");
        let port = ready
            .split_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split(',').next())
            .and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| {
            panic!(
                "no address in {ready:?}; {:?}",
                log.try_iter().collect::<Vec<_>>()
            )
        });
        Watched {
            child,
            folder,
            port,
            log,
            said: Vec::new(),
        }
    }

    /// Waits for a line that contains this.
    fn line_with(&mut self, words: &str) -> String {
        if let Some(line) = self.said.iter().find(|line| line.contains(words)) {
            return line.clone();
        }
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("{words:?} was not logged: {:?}", self.said));
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Ends the server; gives all that it said.
    fn end(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
        assert!(self.child.wait().expect("waited for").success());
        self.said.extend(self.log.iter());
        self.said
    }
}

/// The final line that answers a command, and the lines before it.
fn ask(stream: &mut (impl Read + Write), command: &str) -> String {
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .expect("written");
    final_line(stream)
}

fn final_line(stream: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).expect("an answer");
        text.push(char::from(byte[0]));
        if byte[0] == b'\n' {
            let line = text.trim_end().lines().last().unwrap_or_default();
            if !line.starts_with("* ") || line.starts_with("* OK") {
                return line.to_owned();
            }
        }
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("written");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    text.split_once("\r\n\r\n").expect("a body").1.to_owned()
}

/// A failed login, and on the Unix socket some commands of which two are refused.
fn work(watched: &Watched) -> (TcpStream, UnixStream) {
    let mut guest = TcpStream::connect(("127.0.0.1", watched.port)).expect("connects");
    final_line(&mut guest);
    let refused = ask(&mut guest, &format!("AUTHENTICATE PLAIN {WRONG_LOGIN}"));
    assert_eq!(refused, "NO authentication failure");
    let mut local = UnixStream::connect(watched.folder.path().join("socket")).expect("connects");
    final_line(&mut local);
    assert_eq!(ask(&mut local, "GET USER nobody"), "OK success");
    let body = "Subject: x\r\n\r\nx\r\n";
    let guid = "6fd2e0f7ad8c1f3a2c0d6d2d5dbd0e1d1e3f4a5b";
    let sent = ask(
        &mut local,
        &format!("APPLY MESSAGE (%{{default {guid} {}}}\r\n{body})", body.len()),
    );
    assert!(sent.starts_with("NO IMAP_PROTOCOL_BAD_PARAMETERS"), "{sent}");
    let gone = ask(
        &mut local,
        "APPLY EXPUNGE %(MBOXNAME user.jane UNIQUEID x UID (1))",
    );
    assert!(gone.starts_with("NO IMAP_MAILBOX_NONEXISTENT"), "{gone}");
    (guest, local)
}

#[test]
fn log_lines_for_machines() {
    let mut watched = Watched::start("mailtwin_log_format: json\nmailtwin_unknown: 1\n");
    let peers = work(&watched);
    watched.line_with("IMAP_MAILBOX_NONEXISTENT");
    drop(peers);
    let port = watched.port;
    let lines = watched.end();
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for event in &events {
        for field in ["timestamp", "level", "message"] {
            assert!(event[field].is_string(), "{field}: {event}");
        }
    }
    let find = |message: &str, field: &str, value: &str| {
        let found = events
            .iter()
            .find(|event| event["message"] == message && event[field] == value);
        found.unwrap_or_else(|| panic!("{message} with {field} {value}: {lines:#?}"))
    };
    let refused = find("refused", "code", "IMAP_MAILBOX_NONEXISTENT");
    assert_eq!(refused["about"], "user.jane");
    assert_eq!(refused["command"], "apply");
    assert_eq!(refused["span"]["peer"], "the Unix socket");
    assert_eq!(refused["span"]["id"], 2);
    let login = find("a login attempt failed", "level", "INFO");
    assert_eq!(login["span"]["id"], 1);
    let peer = login["span"]["peer"].as_str().expect("a text");
    assert!(
        peer.starts_with("127.0.0.1:") && !peer.ends_with(&port.to_string()),
        "{peer}"
    );
    find("connected", "level", "INFO");
    assert!(
        events.iter().any(|event| event["level"] == "WARN"
            && event["message"]
                .as_str()
                .is_some_and(|text| text.contains("mailtwin_unknown"))),
        "{lines:#?}"
    );
    let all = lines.concat();
    assert!(!all.contains("secret") && !all.contains(WRONG_LOGIN), "{all}");
}

#[test]
fn log_lines_for_people() {
    let mut watched = Watched::start("");
    let peers = work(&watched);
    let line = watched.line_with("IMAP_MAILBOX_NONEXISTENT");
    assert!(
        line.contains("connection{id=2 peer=the Unix socket}: refused command=\"apply\""),
        "{line}"
    );
    drop(peers);
    watched.end();
}

/// Waits until the metrics have this line.
fn metrics_with(address: &str, line: &str) -> String {
    let began = Instant::now();
    loop {
        let text = get(address, "/metrics");
        if text.lines().any(|l| l == line) {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "{line} is not in\n{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn metrics_and_the_page() {
    let mut watched = Watched::start("mailtwin_server_metrics_listen: 127.0.0.1:0\n");
    let line = watched.line_with("metrics and status page on http://");
    let (_, rest) = line.split_once("http://").expect("an address");
    let address = rest.split('/').next().unwrap_or_default().to_owned();
    metrics_with(&address, "mailtwin_server_connections{state=\"open\"} 0");
    let peers = work(&watched);
    // Whoever idles is soon not at work any more, and still there.
    let text = metrics_with(&address, "mailtwin_server_connections{state=\"busy\"} 0");
    for line in [
        "mailtwin_server_connections{state=\"open\"} 2",
        "mailtwin_server_connections_total 2",
        "mailtwin_server_logins_total{mechanism=\"PLAIN\",outcome=\"refused\"} 1",
        "mailtwin_server_logins_total{mechanism=\"PLAIN\",outcome=\"accepted\"} 0",
        "mailtwin_server_commands_total{command=\"get\"} 1",
        "mailtwin_server_commands_total{command=\"message\"} 1",
        "mailtwin_server_commands_total{command=\"apply\"} 1",
        "mailtwin_server_commands_total{command=\"session\"} 1",
        "mailtwin_server_errors_total{code=\"IMAP_MAILBOX_NONEXISTENT\"} 1",
        "mailtwin_server_errors_total{code=\"IMAP_PROTOCOL_BAD_PARAMETERS\"} 1",
        "mailtwin_server_errors_total{code=\"NO\"} 1",
        "mailtwin_server_messages_total 0",
        "# TYPE mailtwin_server_turn_duration_seconds histogram",
        "# TYPE mailtwin_server_store_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    let number = |name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok())
            .unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    };
    assert!(number("mailtwin_server_received_bytes_total ") > 100, "{text}");
    assert!(number("mailtwin_server_sent_bytes_total ") > 100, "{text}");
    assert!(
        number("mailtwin_server_turn_duration_seconds_count ") >= 4,
        "{text}"
    );

    let status: Value = serde_json::from_str(&get(&address, "/status.json")).expect("JSON");
    assert_eq!(status["open"], 2);
    assert_eq!(status["logins"]["PLAIN"]["refused"], 1);
    assert_eq!(status["last_error"]["about"], "user.jane");
    let page = get(&address, "/");
    assert!(page.contains("The server is running"), "{page}");
    assert!(page.contains("<code>IMAP_MAILBOX_NONEXISTENT</code>"), "{page}");
    drop(peers);
    metrics_with(&address, "mailtwin_server_connections{state=\"open\"} 0");
    let all = watched.end().concat();
    assert!(!all.contains("secret") && !all.contains(WRONG_LOGIN), "{all}");
}
