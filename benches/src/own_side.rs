//! mailtwin's own programs, set up in a folder of their own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// The account that replicates, on every side.
pub const ADMIN: &str = conformance::cyrus::ADMIN;
/// Its password.
pub const PASSWORD: &str = conformance::cyrus::PASSWORD;

/// A folder with a configuration and a store.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// Writes the configuration and creates the account.
    pub fn new() -> Result<Place> {
        let folder = tempfile::Builder::new().prefix("mailtwin-bench-").tempdir()?;
        let at = folder.path().display();
        let text = format!(
            "configdirectory: {at}/conf\npartition-default: {at}/spool\ndefaultpartition: default\nadmins: {ADMIN}\n\
             servername: bench\nsync_authname: {ADMIN}\nsync_password: {PASSWORD}\nmailtwin_store: {at}/store\n"
        );
        std::fs::create_dir_all(folder.path().join("conf"))?;
        std::fs::write(folder.path().join("imapd.conf"), text)?;
        let place = Place { folder };
        let mut passwd = place.program("mailtwin")?;
        let mut child = passwd
            .args(["passwd", ADMIN])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        child
            .stdin
            .take()
            .context("a piped stdin")?
            .write_all(format!("{PASSWORD}\n").as_bytes())?;
        if !child.wait()?.success() {
            bail!("mailtwin passwd failed");
        }
        Ok(place)
    }

    /// Adds lines to the configuration.
    pub fn add(&self, lines: &str) -> Result<()> {
        let mut file = std::fs::File::options()
            .append(true)
            .open(self.folder.path().join("imapd.conf"))?;
        Ok(file.write_all(lines.as_bytes())?)
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Everything's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One of our programs with this place's configuration.
    pub fn program(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(binary(name)?);
        command.arg("-C").arg(self.folder.path().join("imapd.conf"));
        Ok(command)
    }

    /// Starts `sync_server` on a free port; returns it with its address.
    pub fn serve(&self) -> Result<(Serving, String)> {
        let mut command = self.program("sync_server")?;
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a piped stdout")?).read_line(&mut line)?;
        let serving = Serving(child);
        let address = line
            .split_whitespace()
            .find(|word| word.starts_with("127.0.0.1:"))
            .with_context(|| format!("sync_server did not say where it listens: {line:?}"))?;
        Ok((serving, address.trim_end_matches([',', ';']).to_owned()))
    }
}

/// A running `sync_server`; killed when dropped.
pub struct Serving(Child);

impl Serving {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Either may fail when the child has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program beside this one in the build's folder.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut folder = own.parent().context("a folder")?.to_path_buf();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    if !path.exists() {
        bail!(
            "{} is missing; run `cargo build --release -p server -p client -p cli` first",
            path.display()
        );
    }
    Ok(path)
}

/// Opens the store of a place.
pub fn open(place: &Place) -> Result<store::sqlite::SqliteStore> {
    store::sqlite::SqliteStore::open(place.store(), Default::default()).context("cannot open the store")
}
