//! Arguments of `sync_client`, with the letters and names that Cyrus gives them.

use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Parser};

/// Makes a replica (Cyrus's or mailtwin's) equal to the mail in the store.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "sync_client",
    version,
    group = ArgGroup::new("mode").required(true).args(["userids", "mailboxes", "all_users"]),
    after_help = "\
Prints a line of counts when done; failures go to stderr with their reason. A second run sends only what differs.

Exit status:
  0   all that was asked for is equal
  1   some users or mailboxes could not be made equal
  64  wrong arguments
  69  compression is required (-z) and not to be had
  74  the store cannot be used
  75  no connection, or it was lost, or a signal stopped the run; try again
  77  the login was refused
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
    /// The replica, over the configuration's.
    #[arg(
        short = 'S',
        long,
        value_name = "HOST[:PORT]",
        help = "Replica: HOST, HOST:PORT, [IPV6]:PORT or /PATH of a Unix socket; default is `sync_host` with `sync_port`"
    )]
    pub server: Option<String>,
    /// Says on stderr what is done; twice: the protocol, without passwords and message bodies
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Fails unless the replica compresses
    #[arg(short = 'z', long)]
    pub require_compression: bool,
    /// Finds out what would be done, prints it, and changes neither side
    #[arg(long)]
    pub dry_run: bool,
    /// Prints on stdout one JSON object a line: decisions where both sides had changed, the plan of a dry run, notices,
    /// failures, a summary
    #[arg(long)]
    pub json: bool,
    /// Tries to connect once (as every run of this program does)
    #[arg(short = 'o', long)]
    pub connect_once: bool,
    /// Never changes this side nor repairs by comparing all; where both sides changed, the replica gives way
    #[arg(short = 'O', long)]
    pub no_copyback: bool,
    /// Does not wait for users that another program is writing to; they fail at once
    #[arg(short = 'N', long)]
    pub skip_locked: bool,
    /// Creates mailboxes on this partition of the replica instead of their own
    #[arg(short = 'p', long, value_name = "PARTITION")]
    pub dest_partition: Option<String>,
    /// Reads more names for -u or -m: one a line, `#` begins a comment; `-` is standard input
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "all_users")]
    pub input_file: Option<PathBuf>,
    /// Changes the named mailboxes of the replica only, not what depends on them
    #[arg(short = 'L', long)]
    pub local_only: bool,
    /// Replicates these users with all they have
    #[arg(short = 'u', long)]
    pub userids: bool,
    /// Replicates these mailboxes: `user/jane/Sent` or `user.jane.Sent`
    #[arg(short = 'm', long)]
    pub mailboxes: bool,
    /// Replicates all users (whose id begins with the one name given), then shared mailboxes
    #[arg(short = 'A', long)]
    pub all_users: bool,
    /// User ids for -u, mailbox names for -m, a prefix for -A
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}
