//! What a Cyrus server notes down when something changes, for a rolling master to sync. [CS-LOG-9] to [CS-LOG-18]

mod parse;
mod print;

use crate::Text;

pub use parse::{BadLine, Lines, Reason, parse_line};
pub use print::Unprintable;

/// Longest argument, bytes; four times the longest name of a mailbox.
pub const ARGUMENT_BYTES_MAX: usize = 4096;

/// Longest line, bytes: two arguments of which every byte has a backslash, and the keyword.
pub const LINE_BYTES_MAX: usize = 4 * ARGUMENT_BYTES_MAX + 64;

/// One thing to sync, in the words of the log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// A mailbox changed (`MAILBOX`, `APPEND`). [CS-LOG-12]
    Mailbox(Text),
    /// Two mailboxes changed together: a copy or a move (`DOUBLEMAILBOX`). [CS-LOG-13]
    DoubleMailbox(Text, Text),
    /// A mailbox got another name (`RENAME`). [CS-LOG-13]
    Rename {
        /// Its name before.
        from: Text,
        /// Its name now.
        to: Text,
    },
    /// A mailbox was deleted for good (`UNMAILBOX`). [CS-LOG-14]
    Unmailbox(Text),
    /// A quota root changed (`QUOTA`). [CS-LOG-15]
    Quota(Text),
    /// Annotations of a mailbox, or of the server when the name is empty, changed (`ANNOTATION`). [CS-LOG-16]
    Annotation(Text),
    /// A reader's seen state changed (`SEEN`). [CS-LOG-17]
    Seen {
        /// Who read.
        user: Text,
        /// Identity of the mailbox.
        uniqueid: Text,
    },
    /// A user subscribed or unsubscribed (`SUB`, `UNSUB`). [CS-LOG-18]
    Subscription {
        /// Whose subscription.
        user: Text,
        /// Name of the mailbox.
        mailbox: Text,
    },
    /// A user's data beside mailboxes changed (`META`, `SIEVE`). [CS-LOG-11]
    Meta(Text),
    /// All of a user may have changed (`USER`). [CS-LOG-9]
    User(Text),
    /// A user was deleted (`UNUSER`). [CS-LOG-10]
    Unuser(Text),
}
