//! The real program in a folder of its own.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder with a configuration and a store.
pub struct Place {
    dir: TempDir,
}

/// What the program said.
pub struct Said {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Said {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.out.clone()).expect("text")
    }

    /// Code, standard output and standard error in one, for snapshots.
    pub fn all(&self) -> String {
        let err = if self.err.is_empty() {
            String::new()
        } else {
            format!("--- stderr\n{}", self.err)
        };
        format!(
            "{}{err}--- exit {}",
            String::from_utf8_lossy(&self.out),
            self.code
        )
    }

    /// Fails the test when the program failed.
    pub fn fine(self) -> Said {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }
}

impl Place {
    /// With a configuration that names a store, which is not there yet.
    pub fn new() -> Place {
        let dir = TempDir::new().expect("a folder");
        let conf = format!("mailtwin_store: {}\n", dir.path().join("store").display());
        std::fs::write(dir.path().join("mailtwin.conf"), conf).expect("written");
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Runs `mailtwin` in the folder.
    pub fn run<S: AsRef<str>>(&self, args: &[S]) -> Said {
        self.run_with(args, b"")
    }

    /// The same with something on standard input.
    pub fn run_with<S: AsRef<str>>(&self, args: &[S], input: &[u8]) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mailtwin"))
            .args(if args.iter().any(|arg| arg.as_ref() == "-C") {
                &[][..]
            } else {
                &["-C", "mailtwin.conf"]
            })
            .args(args.iter().map(AsRef::as_ref))
            .current_dir(self.dir.path())
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let mut stdin = child.stdin.take().expect("piped");
        // A program that does not read its input closes it.
        let _ = stdin.write_all(input);
        drop(stdin);
        let output = child.wait_with_output().expect("ended");
        Said {
            code: output.status.code().expect("no signal"),
            out: output.stdout,
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Imports a message file into a mailbox.
    pub fn append(&self, user: &str, mailbox: &str, text: &str) {
        let file = self.write("one.eml", text);
        let _ = self
            .run(&["import", user, mailbox, "eml", &file.display().to_string()])
            .fine();
    }

    /// A connection to a user's database.
    pub fn database(&self, user: &str) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path(&format!("store/users/{user}.db"))).expect("opened")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// A snapshot setting that hides what differs from run to run.
pub fn filters(place: &Place) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&place.dir().display().to_string(), "DIR");
    // CRCs first: one in ten of them would pass for a time.
    settings.add_filter(r#""sync_crc(_annot)?": [1-9]\d*"#, r#""sync_crc$1": [crc]"#);
    settings.add_filter(r"\b17\d{8}\b|\b1[89]\d{8}\b", "[seconds]");
    settings.add_filter(r#""uniqueid": "[a-z0-9]{24}""#, r#""uniqueid": "[id]""#);
    settings
}
