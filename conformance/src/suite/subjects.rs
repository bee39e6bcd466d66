//! Servers that the suite starts itself, with everything that its scenarios need: TLS, two partitions, an account that is no
//! administrator, a Unix socket.

use super::client::play::Client;
use super::target::Target;
use crate::cyrus::{ADMIN, Cyrus, PASSWORD, Root, Setup, Version};
use crate::process;
use crate::programs::Twin;
use crate::{Error, Result};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The account that is no administrator.
const ORDINARY: &str = "plainuser";

/// How long a server may take to renew its processes.
const RENEW_LIMIT: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Our `sync_server`.
    Mailtwin,
    /// A Cyrus, from this machine's packages or from a root of its own.
    Cyrus(Version),
}

/// A server that runs until the value is dropped.
#[derive(Debug)]
pub struct Server {
    running: Running,
    target: Target,
    _keys: TempDir,
    /// The certificate and its key, by the names that the server knows them by.
    seen_keys: [PathBuf; 2],
}

#[derive(Debug)]
enum Running {
    Mailtwin(Twin),
    Cyrus(Cyrus),
}

impl Kind {
    /// `mailtwin`, `cyrus-3.6` and so on.
    pub fn named(name: &str) -> Option<Kind> {
        match name.strip_prefix("cyrus-") {
            Some(version) => Version::named(version).map(Kind::Cyrus),
            None => (name == "mailtwin").then_some(Kind::Mailtwin),
        }
    }

    /// The same the other way round.
    pub fn name(self) -> String {
        match self {
            Kind::Mailtwin => "mailtwin".to_owned(),
            Kind::Cyrus(version) => format!("cyrus-{version}"),
        }
    }
}

impl Server {
    /// Starts a server and reads its banner.
    ///
    /// # Errors
    /// [`Error::Skipped`] when this machine cannot run it.
    pub fn start(kind: Kind) -> Result<Server> {
        Server::start_with(kind, &[])
    }

    /// The same with the features [`features`] that it has, for the scenarios that need them.
    ///
    /// # Errors
    /// [`Error::Skipped`] when this machine cannot run it.
    pub fn start_with_features(kind: Kind) -> Result<Server> {
        Server::start_with(kind, features(kind))
    }

    fn start_with(kind: Kind, features: &[&str]) -> Result<Server> {
        let root = match kind {
            Kind::Cyrus(version) => Some(Root::of(version)).filter(|root| !root.is_own()),
            Kind::Mailtwin => None,
        };
        let place = root
            .as_ref()
            .map_or_else(std::env::temp_dir, |root| root.path().join("tmp"));
        let keys = keys(&place)?;
        let seen = root
            .as_ref()
            .and_then(|root| keys.path().strip_prefix(root.path()).ok());
        let [cert, key] = files(&seen.map_or(keys.path().to_owned(), |below| Path::new("/").join(below)));
        let lines = [
            ("tls_server_cert".to_owned(), cert.display().to_string()),
            ("tls_server_key".to_owned(), key.display().to_string()),
        ];
        let (running, mut target) = match kind {
            Kind::Mailtwin => mailtwin(&lines)?,
            Kind::Cyrus(version) => cyrus(version, &lines, features)?,
        };
        target.features = features.iter().map(|feature| (*feature).to_owned()).collect();
        target.partition2 = Some("second".to_owned());
        target.ordinary = Some(ORDINARY.to_owned());
        PASSWORD.clone_into(&mut target.ordinary_password);
        super::run::greet(&mut target)?;
        Ok(Server {
            running,
            target,
            _keys: keys,
            seen_keys: [cert, key],
        })
    }

    /// Where it is and what it has.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Ends the processes that serve connections, with what earlier connections left in them. Ours has none.
    pub fn renew(&self) {
        let Running::Cyrus(cyrus) = &self.running else {
            return;
        };
        let servers = || {
            let all = process::children(cyrus.master_pid()).into_iter();
            all.filter(|(_, line)| line.contains("sync_server"))
                .map(|(id, _)| id)
                .collect::<Vec<u32>>()
        };
        let old = servers();
        // Not SIGKILL: a service whose idle processes die is given up by its master after a few times.
        old.iter().for_each(|id| process::signal("TERM", *id));
        let end = Instant::now() + RENEW_LIMIT;
        while Instant::now() < end && servers().iter().any(|id| old.contains(id)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // A service that was given up comes back on SIGHUP; the next scenario tells if it does not.
        let is_there = |address: &String| {
            let mut target = self.target.clone();
            target.address.clone_from(address);
            super::run::greet(&mut target).is_ok()
        };
        let services = [Some(&self.target.address), self.target.socket.as_ref()];
        let all_there = || services.iter().flatten().all(|address| is_there(address));
        while Instant::now() < end && !all_there() {
            process::signal("HUP", cyrus.master_pid());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Whether the server still runs as it was started.
    ///
    /// # Errors
    /// What became of it, with its log.
    pub fn check(&mut self) -> Result<()> {
        let Running::Mailtwin(twin) = &mut self.running else {
            return Ok(());
        };
        let log = twin.log();
        if !twin.is_running() || log.contains("panicked") {
            return Err(Error::Process(format!(
                "sync_server did not survive the suite:\n{log}"
            )));
        }
        Ok(())
    }
}

/// The `sync_client` of the same software, with this server's store as the master.
impl Client for Server {
    fn command(&self, address: &str, arguments: &[String], settings: &[String]) -> Result<Command> {
        let mut command = match &self.running {
            Running::Mailtwin(twin) => twin.with_settings("sync_client", settings)?,
            Running::Cyrus(cyrus) => cyrus.with_settings("sync_client", settings)?,
        };
        command.arg("-S").arg(address).args(arguments);
        Ok(command)
    }

    fn keys(&self) -> Option<[PathBuf; 2]> {
        Some(self.seen_keys.clone())
    }

    fn channel(&self, channel: &str) -> Option<[PathBuf; 2]> {
        let [folder, seen] = match &self.running {
            Running::Mailtwin(twin) => [twin.directory(), twin.directory()],
            Running::Cyrus(cyrus) => [cyrus.directory(), cyrus.inner()],
        };
        Some([folder, seen].map(|folder| folder.join("conf/sync").join(channel)))
    }
}

fn mailtwin(lines: &[(String, String)]) -> Result<(Running, Target)> {
    let lines: Vec<String> = lines
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut twin = Twin::tcp("twin.example", &lines)?;
    twin.listen_on_socket_too();
    let mut child = twin
        .command("mailtwin")?
        .args(["passwd", ORDINARY])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Error::io("starting mailtwin passwd"))?;
    if let Some(mut stdin) = child.stdin.take() {
        writeln!(stdin, "{PASSWORD}").map_err(Error::io("writing to mailtwin passwd"))?;
    }
    let status = child.wait().map_err(Error::io("waiting for mailtwin passwd"))?;
    if !status.success() {
        return Err(Error::Process(format!("mailtwin passwd {ORDINARY}: {status}")));
    }
    twin.start()?;
    let mut target = Target::new(&twin.address(), ADMIN, PASSWORD);
    target.socket = Some(twin.socket().display().to_string());
    Ok((Running::Mailtwin(twin), target))
}

/// What a server can be started with beside the usual, for a run of its own: `conversations`, `reverse-acls`, `archive`.
/// mailtwin always keeps what belongs to the first two, and has no archive.
pub fn features(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Mailtwin => &["conversations", "reverse-acls"],
        Kind::Cyrus(version) if version >= Version::V3_10 => &["conversations", "reverse-acls", "archive"],
        Kind::Cyrus(_) => &["conversations", "reverse-acls"],
    }
}

fn cyrus(version: Version, lines: &[(String, String)], features: &[&str]) -> Result<(Running, Target)> {
    let mut setup = Setup::new("cyrus.example", &[ORDINARY]).version(version);
    setup.in_memory = true;
    setup.unix_hierarchy_sep = false;
    setup.extra = lines.to_vec();
    if version >= Version::V3_10 {
        setup.extra.push(("allowstarttls".to_owned(), "yes".to_owned()));
    }
    setup.conversations = features.contains(&"conversations");
    let mut extra = |key: &str, value: &str| setup.extra.push((key.to_owned(), value.to_owned()));
    if features.contains(&"reverse-acls") {
        extra("reverseacls", "yes");
    }
    if features.contains(&"archive") {
        extra("archive_enabled", "yes");
        extra("archivepartition-default", "{place}/archive");
        extra("archivepartition-second", "{place}/archive2");
    }
    let cyrus = Cyrus::start(setup)?;
    let mut target = Target::new(&cyrus.csync_address(), ADMIN, PASSWORD);
    target.socket = Some(cyrus.csync_socket().display().to_string());
    Ok((Running::Cyrus(cyrus), target))
}

/// A certificate and its key, which Cyrus's own user can read.
fn keys(place: &Path) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("mailtwin-keys-")
        .tempdir_in(place)
        .map_err(Error::io("creating a folder for keys"))?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .map_err(|error| Error::Process(format!("making a certificate: {error}")))?;
    let [cert, key] = files(folder.path());
    let texts = [(cert, made.cert.pem()), (key, made.signing_key.serialize_pem())];
    for (path, text) in texts {
        std::fs::write(&path, text).map_err(Error::io(format!("writing {}", path.display())))?;
        readable(&path, 0o644)?;
    }
    readable(folder.path(), 0o755)?;
    Ok(folder)
}

fn files(folder: &Path) -> [PathBuf; 2] {
    ["cert.pem", "key.pem"].map(|name| folder.join(name))
}

fn readable(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(Error::io(format!("opening {}", path.display())))
}
