//! Steps of a plan in words.

use std::fmt;

use super::{Deed, FOLDERS, HOST_NAMES, KEYWORDS, Link, Moment, SHARED, USERS, What, Wide};

fn user(user: usize) -> &'static str {
    if user == SHARED {
        return "in the shared mailboxes somebody";
    }
    USERS[user % USERS.len()]
}

fn folder(folder: usize) -> &'static str {
    match FOLDERS[folder % FOLDERS.len()] {
        "" => "INBOX",
        name => name,
    }
}

/// Names of flags by their bits.
fn flags(bits: u16) -> String {
    let system = protocol::SystemFlags::ALL
        .iter()
        .filter(|(flag, _)| *flag != protocol::SystemFlags::EXPUNGED)
        .filter(|(flag, _)| protocol::SystemFlags::from_bits((bits & 63) as u8).contains(*flag))
        .map(|(_, name)| name.trim_start_matches('\\').to_lowercase());
    let keywords = KEYWORDS.iter().enumerate();
    let keywords = keywords.filter(|(nth, _)| bits >> (6 + nth) & 1 == 1);
    let all: Vec<String> = system
        .chain(keywords.map(|(_, word)| (*word).to_owned()))
        .collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = user(self.user());
        match self {
            Deed::Append {
                folder: at,
                bodies,
                flags: bits,
                ..
            } => write!(
                f,
                "{who} gets messages {bodies:?} in {}, flags: {}",
                folder(*at),
                flags(u16::from(*bits))
            ),
            Deed::Flag {
                folder: at,
                nth,
                flags: bits,
                ..
            } => write!(
                f,
                "{who} sets flags of message no. {nth} in {}: {}",
                folder(*at),
                flags(*bits)
            ),
            Deed::Expunge { folder: at, nth, .. } => {
                write!(f, "{who} expunges message no. {nth} in {}", folder(*at))
            }
            Deed::Annotate {
                folder: at,
                nth,
                value,
                ..
            } => write!(
                f,
                "{who} writes note {value} at message no. {nth} in {}",
                folder(*at)
            ),
            Deed::Create { folder: at, .. } => write!(f, "{who} makes {}", folder(*at)),
            Deed::Rename { from, to, .. } => {
                write!(f, "{who} renames {} to {}", folder(*from), folder(*to))
            }
            Deed::Delete { folder: at, .. } => write!(f, "{who} deletes {}", folder(*at)),
            Deed::Subscribe { folder: at, on, .. } => {
                let verb = if *on { "subscribes to" } else { "unsubscribes from" };
                write!(f, "{who} {verb} {}", folder(*at))
            }
            Deed::Wide {
                what: Wide::Server { value },
                ..
            } => write!(f, "the server's note becomes {}", number(*value)),
            Deed::Wide { what, .. } => write!(f, "{who} {what}"),
        }
    }
}

/// 0 stands for nothing.
fn number(value: u8) -> String {
    if value == 0 {
        "none".to_owned()
    } else {
        format!("no. {value}")
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wide::Seen { folder: at, upto } => write!(f, "has read {} up to UID {upto}", folder(*at)),
            Wide::Script { nth, value } => write!(f, "makes script {nth} text {}", number(*value)),
            Wide::Activate { nth: Some(nth) } => write!(f, "activates script {nth}"),
            Wide::Activate { nth: None } => write!(f, "activates no script"),
            Wide::Quota {
                folder: at,
                storage: Some(limit),
            } => write!(f, "limits {} to {limit} KiB", folder(*at)),
            Wide::Quota { folder: at, .. } => write!(f, "removes the quota root of {}", folder(*at)),
            Wide::Acl { folder: at, value } => write!(f, "gives {} rights no. {value}", folder(*at)),
            Wide::Note {
                folder: at,
                value,
                special: false,
            } => write!(f, "makes the note of {} {}", folder(*at), number(*value)),
            Wide::Note {
                folder: at, value, ..
            } => {
                write!(f, "makes the special use of {} {}", folder(*at), number(*value))
            }
            Wide::Copy { from, nth, to, moves } => {
                let verb = if *moves { "moves" } else { "copies" };
                write!(
                    f,
                    "{verb} message no. {nth} of {} to {}",
                    folder(*from),
                    folder(*to)
                )
            }
            Wide::RenameInbox { to } => write!(f, "renames INBOX to {}, which empties it", folder(*to)),
            Wide::Uidvalidity { folder: at } => write!(f, "gives {} another UIDVALIDITY", folder(*at)),
            Wide::Partition { folder: at, nth } => {
                write!(f, "moves {} to another partition, no. {nth}", folder(*at))
            }
            Wide::Server { value } => write!(f, "sets the server's note to {}", number(*value)),
            Wide::RemoveUser => write!(f, "is removed with all mail"),
        }
    }
}

impl What {
    /// The step in words; `links` are those of its plan.
    pub fn told(&self, links: &[Link]) -> String {
        let way = |link: &usize| {
            links.get(*link).map_or_else(String::new, |link| {
                format!("{} → {}", HOST_NAMES[link.from], HOST_NAMES[link.to])
            })
        };
        match self {
            What::Client(deed) => deed.to_string(),
            What::Run { link, user: one } => {
                let whom = one.map_or("all users", user);
                format!("a run begins over {}: {whom}", way(link))
            }
            What::CrashAtTicket { nth, moment, down_ms } => {
                let when = match moment {
                    Moment::Before => "before it",
                    Moment::Intended => "before the commit",
                    Moment::Unlogged => "between commit and log",
                    Moment::Torn => "within the log line",
                    Moment::After => "before the answer",
                };
                format!("the process will die at its storage ticket no. {nth}, {when}, for {down_ms} ms")
            }
            What::Crash { down_ms, silent } => {
                let how = if *silent {
                    ", and its peers hear nothing"
                } else {
                    ""
                };
                format!("the process dies for {down_ms} ms{how}")
            }
            What::Cut { link, for_ms, silent } => {
                let how = if *silent { ", silently" } else { "" };
                format!("the way {} is cut for {for_ms} ms{how}", way(link))
            }
            What::BreakAfter { link, bytes } => {
                format!("the next connection {} breaks after {bytes} bytes", way(link))
            }
            What::DiskFull { for_ms } => format!("the disk is full for {for_ms} ms"),
            What::IoErrors { for_ms, one_in } => {
                format!("one storage ticket in {one_in} fails for {for_ms} ms")
            }
            What::ClockJump { seconds } => format!("the clock jumps by {seconds} s"),
            What::Log { link, .. } => format!("{} of {}", self.name(), way(link)),
            What::Corrupt | What::Backup | What::Restore => self.name().to_owned(),
        }
    }
}
