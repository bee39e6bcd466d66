//! This program as `RUSTC_WRAPPER`: adds libFuzzer's counters to our own crates.

use std::ffi::{OsStr, OsString};
use std::process::{Command, ExitCode};

/// Set when this program stands in front of the compiler.
pub const WRAPS: &str = "MAILTWIN_FUZZ_COUNTERS";

/// Crates that get counters.
const COUNTED: [&str; 6] = ["protocol", "engine", "store", "synclog", "net", "bodies"];

/// What makes the compiler add them; all of it is stable.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Runs the compiler whose path and arguments these are.
pub fn wrap(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(compiler) = arguments.next() else {
        eprintln!("{WRAPS} is set, and no compiler is named");
        return ExitCode::from(64);
    };
    let arguments: Vec<OsString> = arguments.collect();
    let flags: &[&str] = if is_counted(&arguments) { &FLAGS } else { &[] };
    match Command::new(&compiler).args(&arguments).args(flags).status() {
        Ok(status) => u8::try_from(status.code().unwrap_or(1)).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("cannot start {}: {error}", compiler.display());
            ExitCode::FAILURE
        }
    }
}

fn is_counted(arguments: &[OsString]) -> bool {
    let name = arguments.windows(2).find(|pair| pair[0] == "--crate-name");
    name.is_some_and(|pair| COUNTED.iter().any(|counted| OsStr::new(counted) == pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_crates_are_counted() {
        let arguments = |name: &str| ["--crate-name", name, "src/lib.rs"].map(OsString::from);
        assert!(is_counted(&arguments("engine")));
        assert!(!is_counted(&arguments("tokio")));
        assert!(!is_counted(&[OsString::from("-vV")]));
    }
}
