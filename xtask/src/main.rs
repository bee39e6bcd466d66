//! The project's own commands: `cargo xtask test` is what the gate runs.
#![forbid(unsafe_code)]

mod packages;
mod step;
mod tally;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test            install what the tests need, format, lint, document, run every test, and the runs against real Cyrus
  test --quick    the same without real Cyrus
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(test::Cyrus::WhenPossible),
        ["test", "--quick"] => test::run(test::Cyrus::Never),
        ["-h" | "--help" | "help"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(64)
        }
    }
}
