//! Arguments of the commands that watch replication.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};

/// Arguments of `status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// This channel only; `""` is the default channel.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Prints JSON, all values exact.
    #[arg(long)]
    pub json: bool,
    /// Prints again every so often, until interrupted; the exit code is of no use then.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Serves the status page and metrics of all channels on this address, until interrupted.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["watch", "json"])]
    pub listen: Option<SocketAddr>,
    /// Age of the oldest waiting change that is still fine, such as 90s, 5m or 1h30m.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub lag_max: Duration,
    /// Number of waiting changes that is still fine; default is any.
    #[arg(long, value_name = "NUMBER")]
    pub waiting_max: Option<u64>,
    /// Number of changes in quarantine that is still fine.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub quarantine_max: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    net::config::parse_duration(text, b's').map_err(|error| error.to_string())
}

/// Arguments of `quarantine`.
#[derive(Args, Debug)]
pub struct QuarantineArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: QuarantineCommand,
}

/// What can be done with changes in quarantine.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Lists them with the reason of the last failure.
    List {
        /// This channel only; `""` is the default channel. Default is all.
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tries changes again: soon when a daemon runs, else when one runs.
    Retry {
        /// The channel; default is the default channel.
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// As listed, such as 'MAILBOX user.jane'; default is all.
        change: Option<String>,
    },
    /// Forgets changes: the replica stays as it is until something else changes there. No daemon may run.
    Drop {
        /// The channel; default is the default channel.
        #[arg(long, value_name = "NAME")]
        channel: Option<String>,
        /// As listed, such as 'MAILBOX user.jane'.
        #[arg(required_unless_present = "all")]
        change: Option<String>,
        /// All of the channel.
        #[arg(long, conflicts_with = "change")]
        all: bool,
    },
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// This channel only; `""` is the default channel.
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Connects to no replica.
    #[arg(long)]
    pub offline: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}
