//! Makes a root file system with a version of Cyrus from Debian's packages, and removes it.

use super::Version;
use super::root::{Root, enter, needs_root, roots};
use crate::{Error, Result, process};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a root gets beside Debian's minimum.
const PACKAGES: [&str; 6] = [
    "cyrus-imapd",
    "cyrus-replication",
    "cyrus-common",
    "cyrus-admin",
    "sasl2-bin",
    "libsasl2-modules",
];
/// A slow mirror is no reason to give up; a hanging one is.
const STEP_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Makes the root of a version unless it is there. `say` is told what takes long.
///
/// It is made beside its place and moved there when it is whole, so a run that is broken off leaves nothing that looks
/// like a root.
///
/// # Errors
/// [`Error::Skipped`] where it cannot be made: not root, no debootstrap. [`Error::Process`] when a step fails.
pub fn install(version: Version, say: &dyn Fn(&str)) -> Result<Root> {
    let root = Root::of(version);
    if root.obstacle().is_none() {
        return Ok(root);
    }
    if let Some(reason) = needs_root() {
        return Err(Error::Skipped(reason));
    }
    if !Path::new("/usr/sbin/debootstrap").exists() {
        return Err(Error::Skipped(
            "debootstrap is not installed (apt-get install debootstrap)".to_owned(),
        ));
    }
    let place = roots();
    std::fs::create_dir_all(&place).map_err(Error::io(format!("creating {}", place.display())))?;
    let half = tempfile::Builder::new()
        .prefix(".making-")
        .tempdir_in(&place)
        .map_err(Error::io(format!("creating a folder in {}", place.display())))?;
    let folder = half.path().join("root");
    say(&format!(
        "Debian {} with Cyrus {version}: the base system",
        version.release()
    ));
    debootstrap(version, &folder)?;
    say(&format!(
        "Debian {} with Cyrus {version}: the packages",
        version.release()
    ));
    packages(&folder)?;
    std::fs::rename(&folder, root.path())
        .map_err(Error::io(format!("moving the root to {}", root.path().display())))?;
    match root.obstacle() {
        None => Ok(root),
        Some(reason) => Err(Error::Process(format!("the new root is of no use: {reason}"))),
    }
}

fn debootstrap(version: Version, folder: &Path) -> Result<()> {
    let mut command = Command::new("debootstrap");
    command
        .args(["--variant=minbase", version.release()])
        .arg(folder)
        // Nothing here means debootstrap's own choice.
        .arg(std::env::var_os("MAILTWIN_DEBIAN_MIRROR").unwrap_or_default());
    // An older debootstrap does not know the newest release by name.
    if !Path::new("/usr/share/debootstrap/scripts")
        .join(version.release())
        .exists()
    {
        command.arg("sid");
    }
    process::run(&mut command, STEP_LIMIT)?
        .success("debootstrap")
        .map(drop)
}

fn packages(folder: &Path) -> Result<()> {
    // Nothing that the packages bring may start by itself.
    let policy = folder.join("usr/sbin/policy-rc.d");
    std::fs::write(&policy, "#!/bin/sh\nexit 101\n").map_err(Error::io("writing policy-rc.d"))?;
    std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o755))
        .map_err(Error::io("making policy-rc.d executable"))?;
    let inside = |arguments: &[&str]| {
        let mut command = enter(folder);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut command, STEP_LIMIT)
    };
    // A mirror that is a snapshot has a list that ran out; its signature is checked all the same.
    inside(&[
        "apt-get",
        "-o",
        "Acquire::Check-Valid-Until=false",
        "update",
        "-qq",
    ])?
    .success("apt-get update")?;
    let mut wanted = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    wanted.extend(PACKAGES);
    inside(&wanted)?.success("apt-get install")?;
    inside(&["apt-get", "clean"])?.success("apt-get clean").map(drop)
}

/// Removes the root of a version; whether there was one. This system's own is never touched.
///
/// # Errors
/// When it cannot be removed, or something is mounted in it.
pub fn remove(version: Version) -> Result<bool> {
    let path = roots().join(version.name());
    if !path.exists() {
        return Ok(false);
    }
    let mounts = std::fs::read_to_string("/proc/mounts").map_err(Error::io("reading /proc/mounts"))?;
    let below = format!("{}/", path.display());
    if let Some(mount) = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .find(|mount| mount.starts_with(&below))
    {
        return Err(Error::Process(format!("{mount} is mounted; unmount it first")));
    }
    std::fs::remove_dir_all(&path).map_err(Error::io(format!("removing {}", path.display())))?;
    Ok(true)
}
