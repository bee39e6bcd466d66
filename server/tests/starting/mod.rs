//! Starts the program as Cyrus's master, systemd or root would: with descriptors at agreed numbers, variables, limits.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is to be started.
pub struct Starting {
    folder: tempfile::TempDir,
    handed: Vec<(i32, OwnedFd)>,
    variables: String,
    arguments: String,
    before: String,
}

/// A running server.
pub struct Started {
    child: Child,
    folder: String,
    /// The line on stdout; empty when it was not waited for.
    pub ready: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

#[allow(dead_code, reason = "not every test file needs all of it")]
impl Starting {
    /// A configuration file with these lines; `DIR` is the folder of the test.
    pub fn new(conf: &str) -> Starting {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().display().to_string();
        let text =
            format!("configdirectory: DIR/conf\nmailtwin_store: DIR/mailtwin\nservername: far\n{conf}");
        std::fs::write(folder.path().join("imapd.conf"), text.replace("DIR", &dir)).expect("a file");
        Starting {
            folder,
            handed: Vec::new(),
            variables: String::new(),
            arguments: String::new(),
            before: String::new(),
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The server will have a copy of this at that number.
    pub fn hand_over(&mut self, number: i32, descriptor: BorrowedFd<'_>) -> &mut Self {
        // Above all numbers that are handed over, so that the shell's redirections do not run over each other.
        let copy = fcntl_dupfd_cloexec(descriptor, 50).expect("a copy");
        fcntl_setfd(&copy, FdFlags::empty()).expect("to be inherited");
        self.handed.push((number, copy));
        self
    }

    /// A variable of the environment; `$$` is the server's process id.
    pub fn set(&mut self, key: &str, value: &str) -> &mut Self {
        self.variables.push_str(&format!("export {key}={value}\n"));
        self
    }

    pub fn arguments(&mut self, arguments: &str) -> &mut Self {
        arguments.clone_into(&mut self.arguments);
        self
    }

    /// Words before the program's name, such as `setpriv --reuid=65534`.
    pub fn before(&mut self, words: &str) -> &mut Self {
        words.clone_into(&mut self.before);
        self
    }

    /// A command of the shell that runs first, such as `ulimit -n 100`.
    pub fn first(&mut self, command: &str) -> &mut Self {
        self.variables.push_str(command);
        self.variables.push('\n');
        self
    }

    fn command(&self) -> Command {
        let mut script = self.variables.clone();
        for (number, descriptor) in &self.handed {
            let own = descriptor.as_raw_fd();
            script.push_str(&format!("exec {number}<&{own} {own}<&-\n"));
        }
        let program = env!("CARGO_BIN_EXE_sync_server");
        let (conf, before, arguments) = (self.path("imapd.conf"), &self.before, &self.arguments);
        script.push_str(&format!("exec {before} {program} -v -C {conf} {arguments}\n"));
        let mut command = Command::new("bash");
        command.arg("-c").arg(script);
        for key in [
            "LISTEN_FDS",
            "LISTEN_PID",
            "NOTIFY_SOCKET",
            "WATCHDOG_USEC",
            "CYRUS_SERVICE",
            "CYRUS_USER",
        ] {
            command.env_remove(key);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts it and waits for its line.
    pub fn start(&self) -> Started {
        let mut started = self.start_silent();
        let stdout = started.child.stdout.as_mut().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "no ready line: {}", started.log());
        started.ready = line
            .replace(&started.folder, "DIR")
            .replace("DIR/handed", &self.path("handed"));
        started
    }

    /// Starts it where it prints no line.
    pub fn start_silent(&self) -> Started {
        let mut child = self.command().spawn().expect("bash runs");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("piped");
        let own = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = own.lock().expect("no panic");
                log.push_str(&line);
                log.push('\n');
            }
        });
        Started {
            child,
            folder: self.folder.path().display().to_string(),
            ready: String::new(),
            log,
            reader: Some(reader),
        }
    }

    /// Starts it where it must end by itself without serving: the exit code and what it said.
    pub fn fails(&self) -> (Option<i32>, String) {
        let started = self.start_silent();
        let (code, said) = started.wait();
        (
            code,
            said.replace(&self.folder.path().display().to_string(), "DIR"),
        )
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

#[allow(dead_code, reason = "not every test file needs all of it")]
impl Started {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let signal = match name {
            "HUP" => Signal::HUP,
            "TERM" => Signal::TERM,
            other => panic!("{other}"),
        };
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    pub fn wait_for_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "it does not say `{text}`: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A line of `/proc/PID/status`, without its name, words separated by one space.
    pub fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:")));
        let words: Vec<&str> = line.expect("there").split_whitespace().collect();
        words.join(" ")
    }

    /// Every descriptor but the standard ones is closed when a program is executed.
    pub fn assert_close_on_exec(&self) {
        let entries = std::fs::read_dir(format!("/proc/{}/fdinfo", self.id())).expect("it runs");
        let mut seen = 0;
        for entry in entries.flatten() {
            let number: i32 = entry.file_name().to_string_lossy().parse().expect("a number");
            // One may be closed meanwhile.
            let Ok(text) = std::fs::read_to_string(entry.path()) else {
                continue;
            };
            let flags = text
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .expect("flags");
            let flags = u32::from_str_radix(flags.trim(), 8).expect("octal");
            // What the test's own surroundings left open is not the server's.
            if number > 4 && Path::new(&format!("/proc/self/fd/{number}")).exists() {
                continue;
            }
            if number > 2 {
                seen += 1;
                assert_ne!(flags & 0o2_000_000, 0, "descriptor {number}: {text}");
            }
        }
        assert!(seen > 2, "the check sees the descriptors");
    }

    /// Waits for its end: exit code and what it said.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        (status.code(), self.log())
    }

    /// Sends a signal and waits for the end.
    pub fn end(self, name: &str) -> (Option<i32>, String) {
        self.signal(name);
        self.wait()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
