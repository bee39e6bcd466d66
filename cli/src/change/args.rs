//! Arguments of the commands that change a store.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

/// Commands that change mail, mailboxes or what belongs to users. Where `sync_log` is on, each change is logged for
/// replication.
#[derive(Debug, Subcommand)]
pub enum ChangeCommand {
    /// Appends messages to a mailbox that exists; prints their UIDs.
    ///
    /// Lines that end with LF alone get CRLF; a message whose first line ends with CRLF is taken as it is.
    Append(AppendArgs),
    /// Sets and removes flags of messages.
    Flag(FlagArgs),
    /// Expunges messages. Their bytes stay until `mailtwin expire`.
    Expunge(ExpungeArgs),
    /// Creates mailboxes; a user's first one is the INBOX (user/jane).
    Create(CreateArgs),
    /// Renames a mailbox with all below it, or a user with everything.
    ///
    /// UIDs, UIDVALIDITY and the identity of a mailbox stay. It stays with its user, and an INBOX goes with its user only.
    ///
    /// With --user, mailboxes, seen states, subscriptions, scripts, quotas and rights of OLD become NEW's; UIDs and
    /// UIDVALIDITY stay. Replicas are told that NEW came to be and OLD is gone, and get the mail anew. What is below DELETED
    /// stays where it is. Logins, and mail that others send to OLD, are not mailtwin's to rename.
    Rename(RenameArgs),
    /// Deletes a mailbox, or a user with everything.
    ///
    /// A mailbox moves to the hierarchy DELETED, as with Cyrus's delayed deletion, and goes with `mailtwin expire`; with
    /// --now it goes at once. What lies below it stays unless --recursive is given.
    Delete(DeleteArgs),
    /// Subscribes a user to a mailbox, which need not exist.
    Subscribe(SubscribeArgs),
    /// Ends a subscription.
    Unsubscribe(SubscribeArgs),
    /// Shows, sets or removes annotations of a mailbox, of a message or of the server.
    Annotate(AnnotateArgs),
    /// Lists, stores, activates and deletes a user's sieve scripts.
    Sieve(SieveArgs),
    /// Shows or sets quota limits.
    Quota(QuotaArgs),
    /// Removes for good what was deleted long ago: mailboxes below DELETED, the bytes of expunged messages, what is
    /// remembered of mailboxes deleted for good.
    ///
    /// Never touches live mail. Records of expunged messages stay, without bytes, so that replicas still learn of them.
    /// DAYS has to be longer than any replica may be out of reach. Removed mailboxes are logged for replication, the rest
    /// is each server's own affair.
    Expire(ExpireArgs),
}

/// Arguments of `append`.
#[derive(Args, Debug)]
pub struct AppendArgs {
    /// USER/MAILBOX, user/USER/MAILBOX or an internal name.
    pub mailbox: String,
    /// Message files, one message each; `-` or none is standard input.
    pub files: Vec<PathBuf>,
    /// Flag of each message, \Seen or a keyword; may be repeated.
    #[arg(long = "flag", value_name = "FLAG")]
    pub flags: Vec<String>,
    /// Internal date, seconds since the epoch; default is the Date header, else now.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub date: Option<i64>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `flag`.
#[derive(Args, Debug)]
pub struct FlagArgs {
    /// USER/MAILBOX, user/USER/MAILBOX or an internal name.
    pub mailbox: String,
    /// UIDs as in IMAP: 1:5,9,20:*
    pub uids: String,
    /// +FLAG sets, -FLAG removes; \Seen, \Answered, \Flagged, \Deleted, \Draft or a keyword.
    #[arg(required = true, allow_hyphen_values = true, value_name = "+FLAG|-FLAG")]
    pub flags: Vec<String>,
}

/// Arguments of `expunge`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["uids", "deleted"]))]
pub struct ExpungeArgs {
    /// USER/MAILBOX, user/USER/MAILBOX or an internal name.
    pub mailbox: String,
    /// UIDs as in IMAP: 1:5,9,20:*
    pub uids: Option<String>,
    /// Those that have the flag \Deleted.
    #[arg(long)]
    pub deleted: bool,
    /// Says what would go, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// USER/MAILBOX, user/USER for an INBOX, or an internal name.
    #[arg(required = true)]
    pub mailboxes: Vec<String>,
    /// Partition; default is `defaultpartition`.
    #[arg(long)]
    pub partition: Option<String>,
}

/// Arguments of `rename`.
#[derive(Args, Debug)]
pub struct RenameArgs {
    /// FROM and TO are user ids, and the whole user is renamed.
    #[arg(long)]
    pub user: bool,
    /// Its name.
    pub from: String,
    /// Its new name.
    pub to: String,
}

/// Arguments of `delete`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).args(["mailbox", "user"]))]
pub struct DeleteArgs {
    /// USER/MAILBOX, user/USER/MAILBOX or an internal name.
    pub mailbox: Option<String>,
    /// The whole user: mailboxes, seen states, subscriptions, scripts, quotas. Needs --now.
    #[arg(long, value_name = "USER", requires = "now")]
    pub user: Option<String>,
    /// With all mailboxes below it.
    #[arg(long, conflicts_with = "user")]
    pub recursive: bool,
    /// For good and at once.
    #[arg(long)]
    pub now: bool,
}

/// Arguments of `subscribe` and `unsubscribe`.
#[derive(Args, Debug)]
pub struct SubscribeArgs {
    /// Who.
    pub user: String,
    /// INBOX/Sub or Sub of the user's own, or user/OTHER/Sub, or an internal name (user.other.Sub, shared.news).
    pub mailbox: String,
}

/// Arguments of `annotate`.
#[derive(Args, Debug)]
pub struct AnnotateArgs {
    /// USER/MAILBOX, user/USER/MAILBOX or an internal name; `""` is the server.
    pub mailbox: String,
    /// Entry, such as /comment; without it all are shown.
    pub entry: Option<String>,
    /// Its new value; without it the entry is shown.
    #[arg(requires = "entry", conflicts_with = "remove")]
    pub value: Option<String>,
    /// Removes the entry.
    #[arg(long, requires = "entry")]
    pub remove: bool,
    /// The private value of this user instead of the shared one.
    #[arg(long, value_name = "USER", default_value = "")]
    pub user: String,
    /// Of this message instead of the mailbox.
    #[arg(long)]
    pub uid: Option<u32>,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sieve`.
#[derive(Args, Debug)]
pub struct SieveArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SieveCommand,
}

/// What can be done with scripts.
#[derive(Debug, Subcommand)]
pub enum SieveCommand {
    /// Lists scripts.
    List {
        /// Whose.
        user: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Writes a script to standard output.
    Get {
        /// Whose.
        user: String,
        /// Its name.
        name: String,
    },
    /// Stores a script; it is not compiled here.
    Put {
        /// Whose.
        user: String,
        /// Its name.
        name: String,
        /// The file; `-` or none is standard input.
        file: Option<PathBuf>,
        /// Makes it the active one.
        #[arg(long)]
        activate: bool,
    },
    /// Makes a script the active one.
    Activate {
        /// Whose.
        user: String,
        /// Its name.
        name: String,
    },
    /// Leaves no script active.
    Deactivate {
        /// Whose.
        user: String,
    },
    /// Deletes a script.
    Delete {
        /// Whose.
        user: String,
        /// Its name.
        name: String,
    },
}

/// Arguments of `quota`.
#[derive(Args, Debug)]
pub struct QuotaArgs {
    /// Quota root: user/jane, or an internal name.
    pub root: String,
    /// KiB of mail, or `none`.
    #[arg(long, value_name = "KIB", value_parser = limit)]
    pub storage: Option<Limit>,
    /// Messages, or `none`.
    #[arg(long, value_name = "NUMBER", value_parser = limit)]
    pub messages: Option<Limit>,
    /// KiB of annotations, or `none`.
    #[arg(long, value_name = "KIB", value_parser = limit)]
    pub annotations: Option<Limit>,
    /// Mailboxes, or `none`.
    #[arg(long, value_name = "NUMBER", value_parser = limit)]
    pub mailboxes: Option<Limit>,
    /// Removes the quota root.
    #[arg(long, conflicts_with_all = ["storage", "messages", "annotations", "mailboxes"])]
    pub remove: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}

/// A limit as given; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit(pub Option<u32>);

fn limit(text: &str) -> Result<Limit, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Limit(None));
    }
    let number: u32 = text
        .parse()
        .map_err(|_| "write a number, or `none` for no limit".to_owned())?;
    Ok(Limit(Some(number)))
}

/// Arguments of `expire`.
#[derive(Args, Debug)]
pub struct ExpireArgs {
    /// Age from which things go, days.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// This user only; default is everybody, shared mailboxes too.
    #[arg(long)]
    pub user: Option<String>,
    /// Says what would go, and changes nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
}
