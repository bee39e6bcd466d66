//! Where a version of Cyrus is installed: this system, or a root file system of its own.

use super::Version;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The file system that a Cyrus lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    version: Version,
    /// `/` for this system.
    path: PathBuf,
}

/// Where roots are kept: `MAILTWIN_ROOTS`, else a folder that outlives reboots.
pub fn roots() -> PathBuf {
    std::env::var_os("MAILTWIN_ROOTS").map_or_else(|| PathBuf::from("/var/tmp/mailtwin-roots"), PathBuf::from)
}

impl Root {
    /// The root of a version: this system's own when it has the packages of that version (3.6 on Debian 12), else one
    /// below [`roots`].
    pub fn of(version: Version) -> Root {
        let path = match version {
            Version::V3_6 if missing(Path::new("/")).is_none() => PathBuf::from("/"),
            _ => roots().join(version.name()),
        };
        Root { version, path }
    }

    /// Which Cyrus is in it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The folder that the programs in it see as `/`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is this system itself.
    pub fn is_own(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Why no Cyrus can be started from it, `None` when one can.
    pub fn obstacle(&self) -> Option<String> {
        if let Some(program) = missing(&self.path) {
            let version = self.version.name();
            return Some(if self.version == Version::V3_6 {
                format!(
                    "{program} is not installed (apt-get install cyrus-imapd cyrus-replication, or `conformance cyrus --version 3.6`)"
                )
            } else {
                format!(
                    "{program} is not there; `conformance cyrus --version {version} --install` makes the root"
                )
            });
        }
        if self.ids().is_none() {
            return Some("there is no user cyrus".to_owned());
        }
        needs_root()
    }

    /// User and group id of the user cyrus in it.
    pub(super) fn ids(&self) -> Option<(u32, u32)> {
        let passwd = std::fs::read_to_string(self.path.join("etc/passwd")).ok()?;
        let fields: Vec<&str> = passwd
            .lines()
            .find(|line| line.starts_with("cyrus:"))?
            .split(':')
            .collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    }

    /// `program` under the user cyrus, ended by the system when the starting thread ends: a killed test leaves no server
    /// behind.
    pub(super) fn as_cyrus(&self, program: &str) -> Command {
        let mut command = self.enter("setpriv");
        command.args([
            "--reuid=cyrus",
            "--regid=mail",
            "--clear-groups",
            "--pdeathsig=TERM",
            program,
        ]);
        command
    }

    /// `program` inside, as root.
    pub(super) fn enter(&self, program: &str) -> Command {
        if self.is_own() {
            return Command::new(program);
        }
        let mut command = enter(&self.path);
        command.arg(program);
        command
    }

    /// What programs inside call a path of this system.
    pub(super) fn inside(&self, path: &Path) -> Result<PathBuf> {
        let below = path.strip_prefix(&self.path);
        below
            .map(|below| Path::new("/").join(below))
            .map_err(|_| Error::Process(format!("{} is not below {}", path.display(), self.path.display())))
    }
}

/// The beginning of a command that runs what follows it in another root, as root.
///
/// It sees a /proc, which setpriv of Debian 11 and dpkg want, mounted in a name space of its own: nothing stays mounted.
pub(super) fn enter(root: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"")
        .arg(root);
    command
}

/// The first program of Cyrus that a root lacks.
fn missing(root: &Path) -> Option<String> {
    [
        "usr/sbin/cyrmaster",
        "usr/lib/cyrus/bin/imapd",
        "usr/lib/cyrus/bin/sync_server",
        "usr/sbin/saslpasswd2",
    ]
    .into_iter()
    .find(|program| !root.join(program).exists())
    .map(|program| format!("{}", root.join(program).display()))
}

/// Why this process cannot start servers under another user, `None` when it can.
pub(super) fn needs_root() -> Option<String> {
    let own = std::fs::metadata("/proc/self")
        .ok()
        .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta));
    (own != Some(0)).then(|| "starting Cyrus under its own user needs root".to_owned())
}
