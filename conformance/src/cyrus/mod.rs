//! A real Cyrus (the Debian packages) in a temporary directory, on loopback ports of its own.

pub mod command;
mod config;
mod install;
mod root;
mod version;

pub use self::install::{install, remove};
pub use self::root::{Root, roots};
pub use self::version::Version;

use crate::csync::Csync;
use crate::imap::Imap;
use crate::place::Place;
use crate::ports::Port;
use crate::process::{self, Daemon, Output};
use crate::{Error, Result};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The account that may replicate; it exists on every server that this crate sets up.
pub const ADMIN: &str = "repladmin";
/// The password of every account that this crate sets up. The servers listen on loopback only.
pub const PASSWORD: &str = "secret";

const MASTER: &str = "/usr/sbin/cyrmaster";
const TOOLS: &str = "/usr/lib/cyrus/bin";
/// Where cyrmaster finds the services that cyrus.conf names.
const SEARCH: &str = "/usr/lib/cyrus/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const START_LIMIT: Duration = Duration::from_secs(20);

/// How a server is set up. The defaults suit the replication tests.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Which Cyrus: 3.6 unless said otherwise.
    pub version: Version,
    /// Server name, also the SASL realm of the accounts.
    pub name: String,
    /// Accounts beside [`ADMIN`]; mailboxes are not created.
    pub accounts: Vec<String>,
    /// `conversations`: thread ids and XCONVMODSEQ.
    pub conversations: bool,
    /// `unixhierarchysep`: `/` between the levels of a name, so that dots may be part of it.
    pub unix_hierarchy_sep: bool,
    /// `altnamespace`: personal mailboxes beside INBOX instead of below it.
    pub alt_namespace: bool,
    /// Whether its files lie on a memory file system, see [`Place::create`].
    pub in_memory: bool,
    /// Whether mail is also taken by LMTP, on a loopback port, without a login.
    pub lmtp: bool,
    /// Programs that cyrmaster starts and starts again when they end (`DAEMON` of cyrus.conf): the name of the
    /// entry, the tool and its arguments after `-C`, such as `("rolling", "sync_client -r")`.
    pub daemons: Vec<(String, String)>,
    /// More services of cyrus.conf: the name of the entry, the program's whole path with its arguments after `-C FILE`, and
    /// where cyrmaster listens for it, see [`Setup::service`].
    pub services: Vec<(String, String, String)>,
    /// More lines for imapd.conf, as (key, value), in place of the usual line of that key. `{place}` in a value is the
    /// server's directory.
    pub extra: Vec<(String, String)>,
}

impl Setup {
    /// Defaults for a server called `name` with the given accounts.
    pub fn new(name: &str, accounts: &[&str]) -> Setup {
        Setup {
            version: Version::V3_6,
            name: name.to_owned(),
            accounts: accounts.iter().map(|&account| account.to_owned()).collect(),
            conversations: false,
            unix_hierarchy_sep: true,
            alt_namespace: false,
            in_memory: false,
            lmtp: false,
            daemons: Vec::new(),
            services: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Another version than 3.6.
    pub fn version(mut self, version: Version) -> Setup {
        self.version = version;
        self
    }

    /// Adds a line to imapd.conf.
    pub fn with(mut self, key: &str, value: &str) -> Setup {
        self.extra.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a service to cyrus.conf: `command` is a program's whole path, perhaps with arguments; `-C` and the server's
    /// imapd.conf are put behind the path. cyrmaster listens at `listen` for it, and starts it when somebody connects.
    pub fn service(mut self, name: &str, command: &str, listen: &str) -> Setup {
        self.services
            .push((name.to_owned(), command.to_owned(), listen.to_owned()));
        self
    }

    /// Adds rolling replication over `channels`, pairs of a name and the `HOST:PORT` that it leads to: every change is
    /// logged for each of them, and cyrmaster keeps a `sync_client -r -n NAME` running for each.
    pub fn rolling(mut self, channels: &[(&str, &str)]) -> Setup {
        self.extra.extend(channel_keys(channels));
        for (name, _) in channels {
            let arguments = format!("sync_client -r -n {name}");
            self.daemons.push((format!("rolling{name}"), arguments));
        }
        self
    }
}

/// The lines of imapd.conf that make a server log its changes for `channels`, pairs of a name and the `HOST:PORT` that
/// it leads to, and that tell a rolling client where to go. They are the same for Cyrus and for ours.
pub fn channel_keys(channels: &[(&str, &str)]) -> Vec<(String, String)> {
    let names: Vec<&str> = channels.iter().map(|(name, _)| *name).collect();
    let mut keys = vec![
        ("sync_log".to_owned(), "yes".to_owned()),
        ("sync_log_channels".to_owned(), names.join(" ")),
        // Else a client that cannot connect waits 15 seconds and longer.
        ("sync_reconnect_maxwait".to_owned(), "1s".to_owned()),
    ];
    for (name, address) in channels {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
        keys.push((format!("{name}_sync_host"), host.to_owned()));
        keys.push((format!("{name}_sync_port"), port.to_owned()));
    }
    keys
}

/// Why a run with real Cyrus 3.6 cannot happen here, `None` when it can.
pub fn obstacle() -> Option<String> {
    Root::of(Version::V3_6).obstacle()
}

/// For tests: whether real Cyrus can be used.
///
/// When it cannot, prints a line that begins with `SKIPPED`, adds it to the file named by
/// `MAILTWIN_SKIP_LOG` when that is set, and returns false; with `MAILTWIN_REQUIRE_CYRUS=1` it
/// panics instead, so that a machine that should have Cyrus cannot pass by skipping.
pub fn usable(test: &str) -> bool {
    let Some(reason) = obstacle() else { return true };
    skip(test, &reason, "MAILTWIN_REQUIRE_CYRUS");
    false
}

/// Records that `test` is skipped because of `reason`; panics when the variable `required` is `1`.
pub fn skip(test: &str, reason: &str, required: &str) {
    assert!(
        std::env::var(required).as_deref() != Ok("1"),
        "{test} must run here ({required}=1), but {reason}"
    );
    let line = format!("SKIPPED {test}, because {reason}\n");
    eprint!("{line}");
    if let Ok(path) = std::env::var("MAILTWIN_SKIP_LOG") {
        let written = std::fs::File::options().create(true).append(true).open(path);
        if let Ok(mut file) = written {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// A running Cyrus. Ended, and its directory removed, on drop.
#[derive(Debug)]
pub struct Cyrus {
    master: Daemon,
    root: Root,
    directory: PathBuf,
    /// What its own programs call the directory.
    inner: PathBuf,
    imap: Port,
    csync: Port,
    sieve: Port,
    lmtp: Port,
    setup: Setup,
    _place: Place,
}

impl Cyrus {
    /// Writes the configuration, starts cyrmaster and waits until its services answer.
    ///
    /// Errors: [`Error::Skipped`] when Cyrus cannot run here, others when it should but does not.
    pub fn start(setup: Setup) -> Result<Cyrus> {
        let root = Root::of(setup.version);
        if let Some(reason) = root.obstacle() {
            return Err(Error::Skipped(reason));
        }
        let place = if root.is_own() {
            Place::create("mailtwin-cyrus-", setup.in_memory)?
        } else {
            Place::below(&root.path().join("tmp"), "mailtwin-cyrus-")?
        };
        let directory = place.path().to_path_buf();
        let inner = root.inside(&directory)?;
        let (imap, csync, sieve) = (Port::reserve()?, Port::reserve()?, Port::reserve()?);
        let lmtp = Port::reserve()?;
        prepare(&root, &directory, &inner, &setup, [&imap, &csync, &sieve, &lmtp])?;
        let master = start_master(&root, &directory, &inner)?;
        let mut cyrus = Cyrus {
            master,
            root,
            directory,
            inner,
            imap,
            csync,
            sieve,
            lmtp,
            setup,
            _place: place,
        };
        cyrus.wait_until_ready()?;
        Ok(cyrus)
    }

    /// SIGKILL to all processes of this server, as when the machine's service manager loses patience.
    pub fn kill(&mut self) -> Result<()> {
        self.master.kill_group()
    }

    /// SIGTERM, as a service manager stops it. An error when it does not end within 15 seconds.
    pub fn stop(&mut self) -> Result<()> {
        let ended = self.master.terminate(Duration::from_secs(15));
        ended
            .map(drop)
            .ok_or_else(|| Error::Process("cyrmaster does not end on SIGTERM".into()))
    }

    /// Starts the server again after [`Cyrus::kill`] or [`Cyrus::stop`].
    pub fn restart(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            self.master = start_master(&self.root, &self.directory, &self.inner)?;
            match self.wait_until_ready() {
                // A process that was killed may not be gone yet and still hold a lock or the port.
                Err(_) if tries < 5 && self.master.ended().is_some() => tries += 1,
                result => return result,
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        loop {
            let imap = Imap::connect(&self.imap.address());
            let csync = imap.and_then(|_| Csync::tcp(&self.csync.address()));
            match csync {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= end || self.master.ended().is_some() => {
                    let log = std::fs::read_to_string(self.directory.join("master.log")).unwrap_or_default();
                    return Err(Error::Process(format!(
                        "cyrmaster does not answer: {error}\n{log}"
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The directory that holds everything of this server.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the server's own programs call its directory.
    pub fn inner(&self) -> &Path {
        &self.inner
    }

    /// The process id of cyrmaster; its services are its children.
    pub fn master_pid(&self) -> u32 {
        self.master.id()
    }

    /// How the server was set up.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// `127.0.0.1:PORT` of the IMAP service.
    pub fn imap_address(&self) -> String {
        self.imap.address()
    }

    /// `127.0.0.1:PORT` of the csync service.
    pub fn csync_address(&self) -> String {
        self.csync.address()
    }

    /// `127.0.0.1:PORT` of the ManageSieve service.
    pub fn sieve_address(&self) -> String {
        self.sieve.address()
    }

    /// `127.0.0.1:PORT` of the LMTP service; nobody listens there unless [`Setup::lmtp`] is set.
    pub fn lmtp_address(&self) -> String {
        self.lmtp.address()
    }

    /// The path of the csync service on a Unix socket.
    pub fn csync_socket(&self) -> PathBuf {
        self.directory.join("csync")
    }

    /// An IMAP connection, logged in as `account`.
    pub fn imap(&self, account: &str) -> Result<Imap> {
        let mut imap = Imap::connect(&self.imap.address())?;
        imap.login(account, PASSWORD)?;
        Ok(imap)
    }

    /// A csync connection, logged in as [`ADMIN`].
    pub fn csync(&self) -> Result<Csync> {
        let mut csync = Csync::tcp(&self.csync.address())?;
        csync.login(ADMIN, PASSWORD)?;
        Ok(csync)
    }

    /// Runs the stock `sync_client` with this server as the master. `target` is `HOST:PORT` or a path.
    pub fn sync_client(&self, target: &str, arguments: &[&str]) -> Result<Output> {
        let mut all = vec!["-S", target];
        all.extend_from_slice(arguments);
        self.tool("sync_client", &all)
    }

    /// The stock `sync_client` as a command that the caller starts and watches itself.
    pub fn sync_client_command(&self, target: &str, arguments: &[&str]) -> Command {
        let mut command = self.tool_command("sync_client");
        command.arg("-S").arg(target).args(arguments);
        command
    }

    /// Runs one of the tools of Cyrus (`cyr_expire`, `reconstruct`, `quota`, ...) on this server.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<Output> {
        process::run(self.tool_command(name).args(arguments), Duration::from_secs(120))
    }

    /// One of the tools with this server's imapd.conf, in which `lines` stand in place of those of the same key.
    pub fn with_settings(&self, name: &str, lines: &[String]) -> Result<Command> {
        let file = crate::settings::file(&self.directory, lines)?;
        let mut command = self.root.as_cyrus(&format!("{TOOLS}/{name}"));
        command.arg("-C").arg(self.inner.join(file));
        Ok(command)
    }

    fn tool_command(&self, name: &str) -> Command {
        self.command(&format!("{TOOLS}/{name}"))
    }

    /// Any program with this server's imapd.conf, under the user cyrus; one of its root, where it has one of its own.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.root.as_cyrus(program);
        command.arg("-C").arg(self.inner.join("imapd.conf"));
        command
    }
}

fn start_master(root: &Root, directory: &Path, inner: &Path) -> Result<Daemon> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("master.log"))
        .map_err(Error::io("opening the master's log"))?;
    let errors = log.try_clone().map_err(Error::io("duplicating the log handle"))?;
    let mut command = root.as_cyrus(MASTER);
    command
        .arg("-C")
        .arg(inner.join("imapd.conf"))
        .arg("-M")
        .arg(inner.join("cyrus.conf"))
        .arg("-p")
        .arg(inner.join("master.pid"))
        .arg("-D")
        .env("PATH", SEARCH)
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(errors));
    Daemon::start(&mut command)
}

fn prepare(root: &Root, directory: &Path, inner: &Path, setup: &Setup, ports: [&Port; 4]) -> Result<()> {
    let folders = [
        "db", "proc", "log", "socket", "msg", "sync", "quota", "user", "lock", "ptclient",
    ];
    for folder in folders
        .map(|name| format!("conf/{name}"))
        .iter()
        .map(String::as_str)
        .chain(["spool", "spool2", "archive", "archive2", "sieve"])
    {
        let path = directory.join(folder);
        std::fs::create_dir_all(&path).map_err(Error::io(format!("creating {}", path.display())))?;
    }
    let write = |name: &str, text: String| {
        std::fs::write(directory.join(name), text).map_err(Error::io(format!("writing {name}")))
    };
    write("imapd.conf", config::imapd_conf(inner, setup))?;
    write("cyrus.conf", config::cyrus_conf(inner, setup, ports))?;
    let mut chown = root.enter("chown");
    process::run(
        chown.args(["-R", "cyrus:mail"]).arg(inner),
        Duration::from_secs(20),
    )?
    .success("chown")?;
    for account in setup.accounts.iter().map(String::as_str).chain([ADMIN]) {
        set_password(root, inner, &setup.name, account)?;
    }
    Ok(())
}

fn set_password(root: &Root, inner: &Path, realm: &str, account: &str) -> Result<()> {
    let mut child = root
        .as_cyrus("/usr/sbin/saslpasswd2")
        .args(["-p", "-c", "-f"])
        .arg(inner.join("conf/sasldb2"))
        .args(["-u", realm, account])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("starting saslpasswd2"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(PASSWORD.as_bytes())
            .map_err(Error::io("writing to saslpasswd2"))?;
    }
    let status = child.wait().map_err(Error::io("waiting for saslpasswd2"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Process(format!("saslpasswd2 for {account}: {status}")))
    }
}
