//! The program `cyr_synclog`: notes in the logs of all channels that something is to be replicated. [CS-LOG-36]
#![forbid(unsafe_code)]

pub mod args;

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use net::config::{ConfigError, Service, Settings};
use protocol::Text;
use protocol::synclog::{Action, BadLine, parse_line};
use synclog::{LogError, Writer};

use crate::args::Args;

const USAGE: u8 = 64;
const DATA: u8 = 65;
const IO: u8 = 74;
const CONFIG: u8 = 78;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Usage(&'static str),
    #[error("{0}; without an option the argument is a line of the log, such as 'MAILBOX user.jane'")]
    Line(#[from] BadLine),
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Log(#[from] LogError),
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => USAGE,
            Failure::Line(_) | Failure::Log(LogError::Unprintable(_)) => DATA,
            Failure::Config(_) | Failure::Log(LogError::BadChannel { .. }) => CONFIG,
            Failure::Log(_) => IO,
        }
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Without a terminal or a file to print to there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { USAGE });
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let action = action(args)?;
    let settings = Settings::load(&args.config, Service::Mailtwin)?;
    for warning in &settings.warnings {
        tell(&warning.to_string());
    }
    let channels = settings.log.written_by(true);
    match Writer::for_channels(&settings.sync_dir, &channels)? {
        Some(writer) => Ok(writer.append(&[action])?),
        None => {
            tell("`sync_log` is off, so nothing is logged");
            Ok(())
        }
    }
}

/// What the arguments ask for.
fn action(args: &Args) -> Result<Action, Failure> {
    let mut values = args.values.iter().map(text);
    let first = values.next().unwrap_or_default();
    let second = values.next();
    if first.is_empty() {
        return Err(Failure::Usage("VALUE is empty"));
    }
    if args.seen || args.subscription {
        let other = second.filter(|other| !other.is_empty());
        let Some(other) = other else {
            return Err(Failure::Usage(
                "`-s` and `-b` take two values: a user, and a unique id or a mailbox",
            ));
        };
        return Ok(match args.seen {
            true => Action::Seen {
                user: first,
                uniqueid: other,
            },
            false => Action::Subscription {
                user: first,
                mailbox: other,
            },
        });
    }
    if second.is_some() {
        return Err(Failure::Usage(
            "only `-s` and `-b` take two values; write a value with blanks in quotes",
        ));
    }
    type Make = fn(Text) -> Action;
    let table = [
        (args.user, Action::User as Make),
        (args.unuser, Action::Unuser),
        (args.sieve, Action::Meta),
        (args.mailbox, Action::Mailbox),
        (args.unmailbox, Action::Unmailbox),
        (args.quota, Action::Quota),
        (args.annotation, Action::Annotation),
    ];
    if let Some((_, make)) = table.iter().find(|(chosen, _)| *chosen) {
        return Ok(make(first));
    }
    match parse_line(&first) {
        Ok(Some(action)) => Ok(action),
        Ok(None) => Err(Failure::Usage("VALUE is empty")),
        Err(_) if args.append || args.acl => Ok(Action::Mailbox(first)),
        Err(bad) => Err(bad.into()),
    }
}

fn text(value: &OsString) -> Text {
    Text::copy_from(value.as_bytes())
}

fn tell(what: &str) {
    // Nobody listening on stderr changes nothing.
    let _ = writeln!(std::io::stderr(), "cyr_synclog: {what}");
}
