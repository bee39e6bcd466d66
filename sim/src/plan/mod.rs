//! What happens in a run, as plain data: made from a seed, saved, shrunk and read by people.

mod about;
mod dialect;
mod generate;
mod profile;
mod rare;
mod told;
mod wide;
mod widen;

pub use dialect::Dialect;
pub use generate::generate;
pub use profile::Profile;
pub use wide::Wide;

use serde::{Deserialize, Serialize};

/// A whole run. The same plan is the same run, to the byte of its trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Decides all that the steps leave open: how bytes are cut, how long anything takes.
    pub seed: u64,
    /// The profile that it was made with.
    pub profile: Profile,
    /// Servers; at most [`HOST_NAMES`] has names for.
    pub hosts: usize,
    /// Who replicates to whom.
    pub links: Vec<Link>,
    /// What each server is to its masters, by server; those behind the end are mailtwin.
    #[serde(default)]
    pub dialects: Vec<Dialect>,
    /// How smooth the world is.
    pub noise: Noise,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

impl Plan {
    /// What a server is to its masters.
    pub fn dialect(&self, host: usize) -> Dialect {
        self.dialects.get(host).copied().unwrap_or_default()
    }

    /// Whether a plan that was read from somewhere can be run.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.hosts == 0 || self.hosts > HOST_NAMES.len() {
            return Err(format!(
                "{} servers; there can be 1 to {}",
                self.hosts,
                HOST_NAMES.len()
            ));
        }
        let outside = |host: usize| host >= self.hosts;
        if self
            .links
            .iter()
            .any(|link| outside(link.from) || outside(link.to))
        {
            return Err("a link leads to a server that there is not".to_owned());
        }
        match self.steps.iter().position(|step| outside(step.host)) {
            Some(at) => Err(format!("step {at} is on a server that there is not")),
            None => Ok(()),
        }
    }
}

/// Names of hosts in traces and stories.
pub const HOST_NAMES: [&str; 4] = ["ares", "boreas", "chiron", "daphne"];
/// Names of users; few, so that they meet.
pub const USERS: [&str; 3] = ["hot", "cold", "ice"];
/// In place of a user: mailboxes of nobody.
pub const SHARED: usize = USERS.len();
/// Folder 0 is the INBOX; the others few, so that they are used again.
pub const FOLDERS: [&str; 5] = ["", "a", "b", "a.c", "d"];
/// Keywords, one of which looks like something else.
pub const KEYWORDS: [&str; 3] = ["work", "NIL", "later"];

/// One direction of replication.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// The master.
    pub from: usize,
    /// The replica.
    pub to: usize,
    /// Whether a log is followed; otherwise only [`What::Run`] replicates.
    pub rolling: bool,
}

/// How long things take and whether bytes arrive in pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Noise {
    /// Whether bytes arrive in pieces of random length.
    pub pieces: bool,
    /// Most milliseconds on the way.
    pub latency_ms_max: u64,
    /// Most milliseconds of a storage ticket.
    pub store_ms_max: u64,
}

/// Something that happens at a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// Where.
    pub host: usize,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum What {
    /// A reader or a delivery changes mail.
    Client(Deed),
    /// A run over a link begins.
    Run {
        /// Which link.
        link: usize,
        /// All users, or just this one.
        user: Option<usize>,
    },
    /// The process dies and comes back.
    Crash {
        /// Milliseconds until it is back.
        down_ms: u64,
        /// Whether its peers see the end of their connections, or silence.
        silent: bool,
    },
    /// The process dies at the n-th storage ticket from now.
    CrashAtTicket {
        /// Which; 0 is the next.
        nth: u64,
        /// At which moment of it.
        moment: Moment,
        /// Milliseconds until it is back.
        down_ms: u64,
    },
    /// A way is cut: its connections break, new ones are refused.
    Cut {
        /// Which link.
        link: usize,
        /// Milliseconds.
        for_ms: u64,
        /// Whether the ends see it, or silence.
        silent: bool,
    },
    /// The next connection over a way breaks after so many bytes.
    BreakAfter {
        /// Which link.
        link: usize,
        /// Bytes of both directions together.
        bytes: u64,
    },
    /// No room on the disk.
    DiskFull {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Storage fails now and then.
    IoErrors {
        /// Milliseconds.
        for_ms: u64,
        /// Once in so many tickets.
        one_in: u64,
    },
    /// The next message bytes read from the disk have a flipped bit.
    Corrupt,
    /// The clock jumps, forwards or backwards.
    ClockJump {
        /// Seconds.
        seconds: i64,
    },
    /// Something happens to the files of a log.
    Log {
        /// Whose: the link that it is for.
        link: usize,
        /// What.
        damage: Damage,
    },
    /// A backup of the store is made.
    Backup,
    /// The process is stopped and comes back with the last backup of its store, if there is one.
    Restore,
}

/// What happens to the files of a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Damage {
    /// Its second half is gone, from the middle of a line on: a disk's repair, an operator's hand. What it held is not
    /// replicated by itself any more; a run over all users is what is left.
    Cut,
    /// All files of the channel are gone.
    Lost,
    /// Every line is there twice, and those being worked on once more.
    Twice,
    /// The reader dies when it has renamed the log, before it has read it.
    Renamed,
    /// The reader dies when it has added a renamed log to its working file, before it has removed it.
    Added,
}

/// When within a storage ticket a process dies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Moment {
    /// Before anything of it.
    Before,
    /// Behind the note of what is about to be logged, before the commit. Other tickets: before.
    Intended,
    /// Behind the commit, before the log. Other tickets: after.
    Unlogged,
    /// When all is done but the answer.
    After,
    /// Behind the commit, in the middle of the first line of the log. Other tickets: after.
    Torn,
}

/// What a client does. What cannot be done (a name taken, nothing there) does nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are described by their variant's text")]
pub enum Deed {
    /// Messages arrive, by the numbers of their bodies.
    Append {
        user: usize,
        folder: usize,
        bodies: Vec<u32>,
        flags: u8,
    },
    /// The flags of the n-th live message are set; bits from 6 on are keywords.
    Flag {
        user: usize,
        folder: usize,
        nth: usize,
        flags: u16,
    },
    /// The n-th live message is expunged.
    Expunge {
        user: usize,
        folder: usize,
        nth: usize,
    },
    /// The n-th live message gets a note.
    Annotate {
        user: usize,
        folder: usize,
        nth: usize,
        value: u8,
    },
    Create {
        user: usize,
        folder: usize,
    },
    Rename {
        user: usize,
        from: usize,
        to: usize,
    },
    Delete {
        user: usize,
        folder: usize,
    },
    Subscribe {
        user: usize,
        folder: usize,
        on: bool,
    },
    /// Something else.
    Wide {
        user: usize,
        what: Wide,
    },
}

impl What {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            What::Client(deed) => deed.name(),
            What::Run { .. } => "run",
            What::Crash { silent: false, .. } => "crash",
            What::Crash { silent: true, .. } => "crash, silent",
            What::CrashAtTicket { moment, .. } => match moment {
                Moment::Before => "crash before a ticket",
                Moment::Intended => "crash before a commit",
                Moment::Unlogged => "crash between commit and log",
                Moment::After => "crash before an answer",
                Moment::Torn => "crash in a line of the log",
            },
            What::Cut { silent: false, .. } => "cut",
            What::Cut { silent: true, .. } => "cut, silent",
            What::BreakAfter { .. } => "break at a byte",
            What::DiskFull { .. } => "disk full",
            What::IoErrors { .. } => "I/O errors",
            What::Corrupt => "a bit read wrong",
            What::ClockJump { seconds } if *seconds < 0 => "clock back",
            What::ClockJump { .. } => "clock forward",
            What::Log { damage, .. } => match damage {
                Damage::Cut => "log cut",
                Damage::Lost => "log lost",
                Damage::Twice => "log twice",
                Damage::Renamed => "reader dies behind a renamed log",
                Damage::Added => "reader dies behind an added log",
            },
            What::Backup => "backup",
            What::Restore => "store of a backup",
        }
    }

    /// Whether it is a fault.
    pub fn is_fault(&self) -> bool {
        !matches!(self, What::Client(_) | What::Run { .. } | What::Backup)
    }
}

impl Deed {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Deed::Append { .. } => "append",
            Deed::Flag { .. } => "flag",
            Deed::Expunge { .. } => "expunge",
            Deed::Annotate { .. } => "annotate",
            Deed::Create { .. } => "create",
            Deed::Rename { .. } => "rename",
            Deed::Delete { .. } => "delete",
            Deed::Subscribe { .. } => "subscribe",
            Deed::Wide { what, .. } => what.name(),
        }
    }
}
