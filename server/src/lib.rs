//! The program `sync_server`: arguments, configuration, the store, and an orderly end.
#![forbid(unsafe_code)]

pub mod args;
mod counts;
mod credentials;
mod cyrus_master;
mod failure;
mod lifetime;
mod logging;
mod notify;
mod serve;
mod start;
mod supervisor;
mod syslog;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use net::config::{Service, Settings};

use crate::args::Args;
use crate::failure::Failure;
use crate::supervisor::Supervisor;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    // First of all: later the descriptors' numbers could be anybody's.
    let supervisor = Supervisor::find();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Without a terminal or a file to print to there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { failure::USAGE });
        }
    };
    match run(&args, supervisor.map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody listening on stderr changes nothing about the exit status.
            let _ = writeln!(std::io::stderr(), "sync_server: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &Args, supervisor: Result<Supervisor, Failure>) -> Result<(), Failure> {
    let known = supervisor.as_ref().ok();
    let service = known
        .and_then(Supervisor::service)
        .map_or(Service::SyncServer, Service::named);
    let settings = Settings::load(&args.config, service).map_err(Failure::from);
    let in_syslog = logging::start(args, known, settings.as_ref().ok());
    let ended = match (supervisor, settings) {
        (Ok(supervisor), Ok(settings)) => start::run(args, supervisor, &settings),
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    if in_syslog && let Err(error) = &ended {
        tracing::error!("{error}");
    }
    ended
}
