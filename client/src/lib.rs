//! The program `sync_client`: arguments, configuration, one run, its counts and its exit status.
#![forbid(unsafe_code)]

pub mod args;
mod failure;
mod log;
mod names;
mod plan;
mod pool;
mod report;
mod rolling;
mod route;
mod run;
mod spread;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Without a terminal or a file to print to there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { failure::USAGE });
        }
    };
    match run::run(&args) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say(format_args!("sync_client: {error}\n"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Writes to stderr, with nothing in it that works on a terminal; nobody listening there is no reason to end.
fn say(text: std::fmt::Arguments<'_>) {
    let text = text.to_string();
    let _ = std::io::stderr().write_all(net::shown::tame(&text).as_bytes());
}
