//! Arguments of `sync_server`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use net::address::ListenAddress;

/// Keeps a verified replica of the mail that sync_client (Cyrus's or mailtwin's) sends.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sync_server",
    version,
    after_help = "\
Runs in the foreground and prints one line when it is ready: alone, as a service of Cyrus's master
(`syncserver cmd=\"/usr/lib/mailtwin/bin/sync_server -C /etc/imapd.conf\" listen=\"csync\"` in cyrus.conf), or under systemd with
sockets, readiness and watchdog. Passwords of the users in `admins` are set with `mailtwin passwd USER`.

Signals:
  SIGTERM, SIGINT   commands that run are finished or rolled back, and every peer is told BYE
  SIGHUP            no new connection is taken; it ends when those that there are have ended

Started by root it listens, reads its keys, and then becomes the user of `mailtwin_user`, else the owner of its store.

Exit status:
  0   ended by a signal, or as -U or -T say
  64  wrong arguments
  69  cannot listen on an address, or on what was handed over
  71  may not open enough files for `mailtwin_busy_connections`
  73  cannot write the pid file
  74  the store cannot be used
  77  cannot become the user as whom it should run, or that user may not use the store
  78  the configuration cannot be used"
)]
pub struct Args {
    /// Configuration file, in imapd.conf syntax
    #[arg(
        short = 'C',
        long = "config",
        value_name = "FILE",
        default_value = "/etc/imapd.conf"
    )]
    pub config: PathBuf,
    /// Where to listen, over the configuration's.
    #[arg(
        long,
        value_name = "ADDRESS",
        value_parser = ListenAddress::parse,
        help = "Where to listen, as often as wanted: ADDRESS:PORT, [IPV6]:PORT or unix:PATH; default is \
                `mailtwin_listen`, else 127.0.0.1:2005. Sockets that Cyrus's master or systemd hand over take its place"
    )]
    pub listen: Vec<ListenAddress>,
    /// Strength of a layer around the connections, such as a VPN, as SASL counts it: from 2 on passwords may pass in clear
    #[arg(
        short = 'p',
        long,
        value_name = "SSF",
        default_value = "0",
        hide_default_value = true
    )]
    pub external_ssf: u32,
    /// Started by Cyrus's master: ends after so many connections (0: after one); default is never
    #[arg(short = 'U', long, value_name = "COUNT")]
    pub max_uses: Option<u64>,
    /// Started by Cyrus's master: ends when nobody is connected any more for so long; default, and 0, is never
    #[arg(short = 'T', long, value_name = "SECONDS", value_parser = seconds)]
    pub reuse_timeout: Option<Duration>,
    /// Cyrus's: runs the debugger of `debug_command` first. Not done here; a warning is given
    #[arg(short = 'D')]
    pub debugger: bool,
    /// Cyrus's: one session on standard input and output. Refused here; connect to a Unix socket
    #[arg(short = 'X')]
    pub standard_input: bool,
    /// Cyrus's, without effect there and here
    #[arg(short = 'f')]
    pub no_effect: bool,
    /// Notes the process id here and holds the file while it runs; default is `mailtwin_pidfile`, else nowhere
    #[arg(long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Says more in the log: connections; twice: details
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("write a whole number of seconds".to_owned()),
    }
}
