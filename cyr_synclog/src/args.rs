//! Arguments of `cyr_synclog`, with Cyrus's letters and words.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

/// Notes in the logs of all channels that something is to be replicated.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cyr_synclog",
    version,
    override_usage = "cyr_synclog [-C FILE] [-u|-U|-v|-m|-M|-q|-n|-s|-b|-a|-c] VALUE [VALUE2]",
    after_help = "\
Names of mailboxes are internal ones: user.jane.Sent. Of several options the last one counts. Without an option VALUE is
a whole line of the log, such as 'MAILBOX user.jane'; a line that no reader would understand is refused. Does nothing
when `sync_log` is off.

Exit status:
  0   written to all channels, or `sync_log` is off
  64  wrong arguments
  65  VALUE is no line of the log
  74  a log cannot be written
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
    /// All of a user: USER
    #[arg(short = 'u', long, overrides_with_all = KINDS)]
    pub user: bool,
    /// A deleted user: UNUSER
    #[arg(short = 'U', long, overrides_with_all = KINDS)]
    pub unuser: bool,
    /// Scripts, subscriptions and seen states of a user: META
    #[arg(short = 'v', long, overrides_with_all = KINDS)]
    pub sieve: bool,
    /// A mailbox: MAILBOX
    #[arg(short = 'm', long, overrides_with_all = KINDS)]
    pub mailbox: bool,
    /// A deleted mailbox: UNMAILBOX
    #[arg(short = 'M', long, overrides_with_all = KINDS)]
    pub unmailbox: bool,
    /// A quota root: QUOTA
    #[arg(short = 'q', long, overrides_with_all = KINDS)]
    pub quota: bool,
    /// Annotations of a mailbox: ANNOTATION
    #[arg(short = 'n', long, overrides_with_all = KINDS)]
    pub annotation: bool,
    /// A seen state, VALUE a user and VALUE2 the unique id of a mailbox: SEEN
    #[arg(short = 's', long, overrides_with_all = KINDS)]
    pub seen: bool,
    /// A subscription, VALUE a user and VALUE2 a mailbox: SUB
    #[arg(short = 'b', long, overrides_with_all = KINDS)]
    pub subscription: bool,
    /// New messages of a mailbox, by its name or as a whole line
    #[arg(short = 'a', long, overrides_with_all = KINDS)]
    pub append: bool,
    /// The ACL of a mailbox, by its name or as a whole line
    #[arg(short = 'c', long, overrides_with_all = KINDS)]
    pub acl: bool,
    /// What, and with `-s` and `-b` of what
    #[arg(value_name = "VALUE", required = true, num_args = 1..=2)]
    pub values: Vec<OsString>,
}

/// The options of which the last one counts.
const KINDS: [&str; 11] = [
    "user",
    "unuser",
    "sieve",
    "mailbox",
    "unmailbox",
    "quota",
    "annotation",
    "seen",
    "subscription",
    "append",
    "acl",
];
