//! `cargo xtask man`, `completions`, `deb`: what is handed to those who do not build from source.

use std::path::Path;
use std::process::ExitCode;

use crate::step;

/// Where pages and completions go that the package takes in, from the workspace's root; `packaging/Cargo.toml` names it too.
const FOLDER: &str = "packaging/made";

/// The programs of the package.
const PROGRAMS: &str = "-p server -p client -p cyr_synclog -p cli";

/// Writes manual pages, to `packaging/made/man` unless told otherwise.
pub fn man(folder: Option<&str>) -> ExitCode {
    steps(&[("manual pages", make("man", folder))])
}

/// Writes completions, to `packaging/made/completions` unless told otherwise.
pub fn completions(folder: Option<&str>) -> ExitCode {
    steps(&[("completions", make("completions", folder))])
}

/// Builds the Debian package; installs cargo-deb when it is not there.
pub fn deb() -> ExitCode {
    steps(&[
        (
            "cargo-deb, which builds Debian packages",
            "cargo deb --version || cargo install cargo-deb --locked".to_owned(),
        ),
        ("programs", format!("cargo build --release --locked {PROGRAMS}")),
        ("manual pages", make("man", None)),
        ("completions", make("completions", None)),
        ("package", "cargo deb --no-build --locked -p packaging".to_owned()),
    ])
}

/// One after the other from the workspace's root, up to the first that fails.
fn steps(steps: &[(&str, String)]) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (title, command) in steps {
        if !step::run(
            title,
            &format!("cd '{}' && {{ {command}; }}", root.display()),
            &[],
        )
        .ok
        {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The command that writes them; a folder of its own is emptied first, one that somebody chose is not.
fn make(what: &str, folder: Option<&str>) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match folder {
        Some(folder) => format!(
            "cargo run --quiet -p packaging -- {what} '{}'",
            here.join(folder).display()
        ),
        None => {
            format!("rm -rf {FOLDER}/{what} && cargo run --quiet -p packaging -- {what} {FOLDER}/{what}")
        }
    }
}
