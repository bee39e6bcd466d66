//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::change::args::ChangeCommand;
use crate::status::args::{CheckArgs, QuarantineArgs, StatusArgs};

/// What an operator can do with a mailtwin store: look, verify, change, bring mail in and out, and watch replication.
///
/// Exit codes: 0 done; 1 verify found damage, compared sides differ, or a channel is not fine (status); 2 wrong command
/// line; 65 mail that cannot be read; 66 no such user, mailbox or message; 73 the target of an export exists; 74 the
/// store or a file failed; 75 in use or no connection, try again; 77 login refused; 78 wrong configuration.
#[derive(Debug, Parser)]
#[command(name = "mailtwin", version, max_term_width = 100)]
pub struct Arguments {
    /// Configuration in imapd.conf syntax.
    #[arg(
        short = 'C',
        value_name = "FILE",
        default_value = "/etc/imapd.conf",
        global = true
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows a master and a replica at work, on sample mail, in a temporary folder.
    Demo(DemoArgs),
    /// Sets the password of a user who may replicate; it is read from standard input.
    ///
    /// Stored are SCRAM-SHA-256 and SCRAM-SHA-1 verifiers, never the password. Name the user in `admins`.
    Passwd {
        /// Name to log in with.
        user: String,
    },
    /// Lists all users, or the mailboxes of one.
    List {
        /// Lists this user's mailboxes.
        user: Option<String>,
        /// Prints JSON, all values exact.
        #[arg(long)]
        json: bool,
    },
    /// Writes a message to standard output, byte for byte.
    Cat {
        /// USER/MAILBOX (jane/INBOX, jane/Sent), as administrators write it (user/jane/Sent), or an internal name
        /// (user.jane.Sent).
        mailbox: String,
        /// UID of the message.
        uid: u32,
    },
    /// Appends mail to a mailbox; makes the user and the mailbox when they are missing.
    ///
    /// Lines that end with LF alone get CRLF; a message whose first line ends with CRLF is taken as it is.
    Import(ImportArgs),
    /// Writes a user's mail as Maildir++, with flags, keywords and times.
    ///
    /// Messages are written byte for byte. In each folder dovecot-keywords names the keywords of the letters a to z in
    /// file names, mailtwin-keywords has those beyond the 26th (a line FILE TAB KEYWORD ... a message), dovecot-uidlist
    /// the UIDs; the file subscriptions names the subscribed mailboxes. Import reads all of them, UIDs for their order
    /// only. Deleted mailboxes are left out.
    Export(ExportArgs),
    /// Shows how replication stands: every channel with its state, lag, queue, quarantine and last error.
    ///
    /// Exit codes for monitoring: 0 all is fine; 1 a channel is behind, stopped or not connected, or holds changes in
    /// quarantine (the options set the thresholds); 78 wrong configuration.
    Status(StatusArgs),
    /// Lists, retries or drops changes that failed again and again.
    Quarantine(QuarantineArgs),
    /// Checks a configuration: every wrong line, the settings that count for each channel, places that must be writable,
    /// and whether each replica can be reached and logged in to.
    ///
    /// Exit codes: 0 it can work (there may be warnings); 78 it cannot.
    Check(CheckArgs),
    #[command(flatten)]
    #[allow(missing_docs, reason = "a flattened list has no words of its own")]
    Change(ChangeCommand),
    /// Compares mail here and on a replica, record by record, by asking only; neither side is changed.
    ///
    /// Without users everybody who has mail here is compared, and shared mailboxes with the server's annotations. The
    /// protocol lists a replica's mailboxes by user only: a user, or a shared mailbox, that this side never had is not
    /// seen unless the user is named.
    ///
    /// Prints a line a mailbox, then how they differ. Exit codes: 0 equal; 1 something differs; 66 a user is on neither side
    /// or could not be compared; 75 no connection to the replica; 77 the login was refused; 78 wrong configuration, or
    /// TLS cannot be had with it.
    Compare(CompareArgs),
    /// Checks everything stored: hashes every byte again, recomputes every CRC, follows every reference.
    Verify {
        /// Checks this user only.
        user: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Keeps the temporary folder and says how to look further.
    #[arg(long)]
    pub keep: bool,
    /// Works in this new or empty folder, and keeps it.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Changes the replica behind the replication's back before the comparison, so that it has to fail.
    #[arg(long, hide = true)]
    pub sabotage: bool,
}

/// Arguments of `compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Compares with the replica of this channel of the configuration; then no HOST is given.
    #[arg(short = 'n', long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Everybody who has mail here, and shared mailboxes; the same as naming nobody.
    #[arg(short = 'A', long)]
    pub all: bool,
    /// Shared mailboxes and the server's annotations, beside the users named.
    #[arg(long)]
    pub shared: bool,
    /// Prints JSON, all values exact.
    #[arg(long)]
    pub json: bool,
    /// The replica (HOST, HOST:PORT or /PATH of a Unix socket; IPv6 in brackets), then the users.
    #[arg(value_name = "HOST USER", required_unless_present = "channel", num_args = 1..)]
    pub names: Vec<String>,
}

/// Arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Whose mailbox.
    pub user: String,
    /// INBOX, INBOX/Sub, Sub, or an internal name of the user's (user.jane.Sub).
    pub mailbox: String,
    /// What PATH holds.
    pub format: Format,
    /// A Maildir (its Maildir++ folders become mailboxes below MAILBOX), an mbox file, a message file or a folder of
    /// message files.
    pub path: PathBuf,
}

/// What an import reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// A Maildir with its Maildir++ folders.
    Maildir,
    /// One mbox file.
    Mbox,
    /// One message file, or a folder of them.
    Eml,
}

/// Arguments of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Whose mail.
    pub user: String,
    /// A new or empty folder.
    pub dir: PathBuf,
    /// Ends lines with LF, as most programs that read Maildirs like it.
    #[arg(long)]
    pub lf: bool,
}
