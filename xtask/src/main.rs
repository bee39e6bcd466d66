//! The project's own commands: `cargo xtask test` is what the gate runs.
#![forbid(unsafe_code)]

mod fuzz;
mod mutants;
mod package;
mod packages;
mod step;
mod tally;
mod test;
mod trace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test            install what the tests need, format, lint, document, run every test, and the runs against real Cyrus
  test --quick    the same without real Cyrus
  man [DIR]          write the manual pages of all programs (default: packaging/made/man)
  completions [DIR]  write completions for bash, zsh and fish (default: packaging/made/completions)
  trace              tie every rule of the spec to who cites it, and write docs/TRACE.md; fails on unknown ids
  trace --check      the same without writing
  fuzz [WISHES] [TARGET...]
                     fuzz targets (default: all): --minutes M or --seconds S each (default: one minute), --jobs N at a time,
                     --coverage, --replay the corpus, --seed it from the spec, --minimise it
  mutants WHAT       which changes of engine and store no test notices (mutants --help tells more)
  deb                build the Debian package (installs cargo-deb when it is missing)
";

fn main() -> ExitCode {
    if std::env::var_os(fuzz::WRAPS).is_some() {
        return fuzz::wrap(std::env::args_os().skip(1));
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(test::Cyrus::WhenPossible),
        ["test", "--quick"] => test::run(test::Cyrus::Never),
        ["man"] => package::man(None),
        ["man", folder] => package::man(Some(folder)),
        ["completions"] => package::completions(None),
        ["completions", folder] => package::completions(Some(folder)),
        ["trace"] => trace::run(false),
        ["trace", "--check"] => trace::run(true),
        ["fuzz", words @ ..] => fuzz::run(words),
        ["mutants", words @ ..] => mutants::main(words),
        ["deb"] => package::deb(),
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
