//! `mailtwin`: looks at a mail store, brings mail in and out, verifies it, and shows a demonstration.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(&cli::args::Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody listening on stderr changes nothing about the exit status.
            let _ = cli::output::note(&failure.to_string());
            ExitCode::from(failure.exit as u8)
        }
    }
}
