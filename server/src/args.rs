//! Arguments of `sync_server`.

use std::path::PathBuf;

use clap::{ArgAction, Parser};
use net::address::ListenAddress;

/// Keeps a verified replica of the mail that sync_client (Cyrus's or mailtwin's) sends.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sync_server",
    version,
    after_help = "\
Runs in the foreground and prints one line when it is ready. SIGTERM or SIGINT ends it: commands that run are finished
or rolled back, and every peer is told BYE. Passwords of the users in `admins` are set with `mailtwin passwd USER`.

Exit status:
  0   ended by SIGTERM or SIGINT
  64  wrong arguments
  69  cannot listen on an address
  74  the store cannot be used
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
                `mailtwin_listen`, else 127.0.0.1:2005"
    )]
    pub listen: Vec<ListenAddress>,
    /// Says more on stderr: connections; twice: details
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}
