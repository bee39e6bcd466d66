//! Our own programs as child processes: `sync_server`, `sync_client`, `mailtwin`.
//!
//! They are started as an operator starts them, by their documented command lines, and judged by what
//! they answer, print and leave on disk.

use crate::csync::Csync;
use crate::cyrus::{self, ADMIN, PASSWORD};
use crate::place::Place;
use crate::ports::Port;
use crate::process::{self, Daemon, Output};
use crate::{Error, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(20);
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// The folder that holds our programs: `MAILTWIN_BIN_DIR`, else the one this executable was built into.
pub fn folder() -> Result<PathBuf> {
    if let Ok(folder) = std::env::var("MAILTWIN_BIN_DIR") {
        return Ok(PathBuf::from(folder));
    }
    let mut folder = std::env::current_exe().map_err(Error::io("asking for this executable's path"))?;
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    Ok(folder)
}

/// Why our programs cannot be started, `None` when they can.
pub fn obstacle() -> Option<String> {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(error) => return Some(error.to_string()),
    };
    let missing = ["sync_server", "sync_client", "mailtwin", "cyr_synclog"].map(|name| folder.join(name));
    let missing = missing.iter().find(|path| !path.exists())?;
    Some(format!(
        "{} is missing: run `cargo build -p server -p client -p cli -p cyr_synclog`",
        missing.display()
    ))
}

/// For tests: whether our programs can be used; else says so as [`cyrus::usable`] does, with
/// `MAILTWIN_REQUIRE_PROGRAMS=1` or `MAILTWIN_REQUIRE_CYRUS=1` turning the skip into a failure.
pub fn usable(test: &str) -> bool {
    let Some(reason) = obstacle() else { return true };
    let strict = std::env::var("MAILTWIN_REQUIRE_PROGRAMS").as_deref() == Ok("1");
    cyrus::skip(
        test,
        &reason,
        if strict {
            "MAILTWIN_REQUIRE_PROGRAMS"
        } else {
            "MAILTWIN_REQUIRE_CYRUS"
        },
    );
    false
}

/// Where `sync_server` listens.
#[derive(Debug)]
pub enum Listen {
    /// On a loopback port.
    Tcp(Port),
    /// On a Unix socket in the server's folder.
    Unix(PathBuf),
}

/// A store of ours with its configuration, and its `sync_server` while that runs.
#[derive(Debug)]
pub struct Twin {
    directory: PathBuf,
    listen: Listen,
    /// Whether it listens on a Unix socket as well.
    socket_too: bool,
    server: Option<Daemon>,
    /// The line that the server printed when it was ready.
    pub ready_line: String,
    _place: Place,
}

impl Twin {
    /// A new, empty store whose server will listen on a TCP port; `extra` are more lines of imapd.conf.
    pub fn tcp(name: &str, extra: &[&str]) -> Result<Twin> {
        Twin::create(name, false, extra)
    }

    /// A new, empty store whose server will listen on a Unix socket.
    pub fn unix(name: &str, extra: &[&str]) -> Result<Twin> {
        Twin::create(name, true, extra)
    }

    fn create(name: &str, unix: bool, extra: &[&str]) -> Result<Twin> {
        let own = Place::create("mailtwin-twin-", true)?;
        let directory = own.path().to_path_buf();
        let place = directory.display();
        let usual = format!(
            "configdirectory: {place}/conf
partition-default: {place}/spool
partition-second: {place}/spool2
defaultpartition: default
servername: {name}
admins: {ADMIN}
allowplaintext: yes
failedloginpause: 0
sync_authname: {ADMIN}
sync_password: {PASSWORD}
mailtwin_socket_mode: 0666
"
        );
        let key = |line: &str| line.split(':').next().map(str::to_owned);
        let mut conf = String::new();
        let kept = usual
            .lines()
            .filter(|&line| extra.iter().all(|more| key(more) != key(line)));
        for line in kept.chain(extra.iter().copied()) {
            conf.push_str(line);
            conf.push('\n');
        }
        std::fs::write(directory.join("imapd.conf"), conf).map_err(Error::io("writing imapd.conf"))?;
        std::fs::create_dir_all(directory.join("conf")).map_err(Error::io("creating conf"))?;
        let listen = if unix {
            Listen::Unix(directory.join("csync"))
        } else {
            Listen::Tcp(Port::reserve()?)
        };
        let twin = Twin {
            directory,
            listen,
            socket_too: false,
            server: None,
            ready_line: String::new(),
            _place: own,
        };
        twin.set_password()?;
        Ok(twin)
    }

    fn set_password(&self) -> Result<()> {
        let mut child = self
            .command("mailtwin")?
            .args(["passwd", ADMIN])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("starting mailtwin passwd"))?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{PASSWORD}").map_err(Error::io("writing to mailtwin passwd"))?;
        }
        let output = child
            .wait_with_output()
            .map_err(Error::io("waiting for mailtwin passwd"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Process(format!(
            "mailtwin passwd: {}\n{said}",
            output.status
        )))
    }

    /// Lets a server on a TCP port listen on [`Twin::socket`] as well, from its next start on.
    pub fn listen_on_socket_too(&mut self) {
        self.socket_too = true;
    }

    /// The path of its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("csync")
    }

    /// Everything's folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its imapd.conf.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("imapd.conf")
    }

    /// One of our programs with this store's configuration.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(folder()?.join(program));
        command.arg("-C").arg(self.configuration()).env_remove("RUST_LOG");
        Ok(command)
    }

    /// One of our programs with this store's configuration, in which `lines` stand in place of those of the same key.
    pub fn with_settings(&self, program: &str, lines: &[String]) -> Result<Command> {
        let file = crate::settings::file(&self.directory, lines)?;
        let mut command = Command::new(folder()?.join(program));
        command
            .arg("-C")
            .arg(self.directory.join(file))
            .env_remove("RUST_LOG");
        Ok(command)
    }

    /// What a client passes to `-S`: `127.0.0.1:PORT` or the socket's path.
    pub fn address(&self) -> String {
        match &self.listen {
            Listen::Tcp(port) => port.address(),
            Listen::Unix(path) => path.display().to_string(),
        }
    }

    /// Starts `sync_server` and waits for its ready line and for its banner.
    pub fn start(&mut self) -> Result<()> {
        let listen = match &self.listen {
            Listen::Tcp(port) => port.address(),
            Listen::Unix(path) => format!("unix:{}", path.display()),
        };
        let errors = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.server_log())
            .map_err(Error::io("opening the server's log"))?;
        let mut command = self.command("sync_server")?;
        command
            .args(["--listen", &listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::from(errors));
        if self.socket_too {
            command.args(["--listen", &format!("unix:{}", self.socket().display())]);
        }
        let mut server = Daemon::start(&mut command)?;
        let stdout = server.child().stdout.take();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let Some(stdout) = stdout else { return };
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            while matches!(reader.read_line(&mut line), Ok(count) if count > 0) {
                // Nobody may be waiting any more; the pipe is still emptied.
                let _ = sender.send(std::mem::take(&mut line));
            }
        });
        let ready = receiver.recv_timeout(START_LIMIT);
        self.server = Some(server);
        match ready {
            Ok(line) => self.ready_line = line,
            Err(_) => {
                return Err(Error::Process(format!(
                    "no ready line from sync_server\n{}",
                    self.log()
                )));
            }
        }
        self.wait_for_banner()
    }

    fn wait_for_banner(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            match self.connect() {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= end || !self.is_running() => {
                    return Err(Error::Process(format!(
                        "sync_server does not answer: {error}\n{}",
                        self.log()
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// The file that takes the server's standard error.
    pub fn server_log(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// What the server has said on standard error.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.server_log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The running server.
    pub fn server(&mut self) -> Option<&mut Daemon> {
        self.server.as_mut()
    }

    /// Whether the server runs.
    pub fn is_running(&mut self) -> bool {
        self.server
            .as_mut()
            .is_some_and(|server| server.ended().is_none())
    }

    /// SIGTERM; an error when the server does not end by itself with exit code 0 within 15 seconds.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        match server.terminate(Duration::from_secs(15)) {
            Some(status) if status.success() => Ok(()),
            ended => Err(Error::Process(format!(
                "sync_server on SIGTERM: {ended:?}\n{}",
                self.log()
            ))),
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |mut server| server.kill())
    }

    /// A connection without login.
    pub fn connect(&self) -> Result<Csync> {
        match &self.listen {
            Listen::Tcp(port) => Csync::tcp(&port.address()),
            Listen::Unix(path) => Csync::unix(path),
        }
    }

    /// A connection of the administrator.
    pub fn csync(&self) -> Result<Csync> {
        let mut csync = self.connect()?;
        if matches!(self.listen, Listen::Tcp(_)) {
            csync.login(ADMIN, PASSWORD)?;
        }
        Ok(csync)
    }

    /// Runs our `sync_client` with this store as the master.
    pub fn sync_client(&self, target: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command("sync_client")?;
        process::run(command.arg("-S").arg(target).args(arguments), RUN_LIMIT)
    }

    /// Our `sync_client` as a command that the caller starts and watches itself.
    pub fn sync_client_command(&self, target: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = self.command("sync_client")?;
        command.arg("-S").arg(target).args(arguments);
        Ok(command)
    }

    /// Runs `mailtwin COMMAND ...` on this store.
    pub fn mailtwin(&self, arguments: &[&str]) -> Result<Output> {
        process::run(self.command("mailtwin")?.args(arguments), RUN_LIMIT)
    }
}
