//! What happens in a run over the network, as plain data.

use serde::{Deserialize, Serialize};

use crate::plan::{Deed, Link};

/// A whole run. The same plan is the same run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Always 2; tells these plans from those of the other ring.
    pub ring: u8,
    /// Decides all that the steps leave open.
    pub seed: u64,
    /// Machines with a store; all but the first are served to the network.
    pub hosts: usize,
    /// Who replicates to whom.
    pub links: Vec<Link>,
    /// Settings of the programs and the network.
    pub tuning: Tuning,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

/// Settings of the programs and the network that a seed chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tuning {
    /// Milliseconds between two looks of the network.
    pub tick_ms: u64,
    /// Most milliseconds on the way.
    pub latency_ms_max: u64,
    /// Whether machines take their turns in any order.
    pub any_order: bool,
    /// How fast a stream takes bytes, for each millisecond; 0 for no limit.
    pub bytes_per_ms: u64,
    /// How streams are cut.
    pub chop: Chop,
    /// Most milliseconds of a storage request.
    pub store_ms_max: u64,
    /// How long a silent peer is waited for, by both sides.
    pub peer_timeout_ms: u64,
    /// How long a peer may be connected without having logged in.
    pub login_timeout_ms: u64,
    /// How long connecting and each answer of a login may take.
    pub connect_timeout_ms: u64,
    /// How long connections go on after a server was told to stop.
    pub grace_ms: u64,
    /// Between two runs of a client.
    pub interval_ms: u64,
    /// Whether servers offer deflate.
    pub server_deflate: bool,
    /// Whether clients ask for it.
    pub client_deflate: bool,
    /// Connections of a server.
    pub connections_max: usize,
    /// Sessions that work at a time.
    pub busy_max: usize,
    /// Peers that have not logged in, in all.
    pub guests_max: usize,
    /// The same of one address.
    pub guests_each_max: usize,
    /// How long the answer to the first failed login waits.
    pub pause_ms: u64,
    /// Of masters.
    pub pipeline_bytes_max: u64,
    /// Of masters.
    pub step_messages_max: usize,
    /// Of masters.
    pub items_at_once: usize,
}

/// How streams are cut. Sizes are the most bytes of one read or write; 0 for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Chop {
    /// Of a read.
    pub read_bytes_max: usize,
    /// Of a write.
    pub write_bytes_max: usize,
    /// Once in so many calls the stream is not ready although it could be; 0 for never.
    pub pending_one_in: usize,
    /// Once in so many calls flushing takes some milliseconds; 0 for never.
    pub slow_flush_one_in: usize,
}

/// Something that happens at a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// An end of a way: a server, or the client of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Place {
    /// The server of this machine.
    Server(usize),
    /// The client of this link.
    Client(usize),
}

/// What can happen. Times are milliseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "fields are described by their variant's text")]
pub enum What {
    /// A reader or a delivery changes mail of the first machine.
    Deed(Deed),
    /// Nothing gets through over a link; what was under way is lost, and its connections are dead without a word.
    Partition { link: usize, for_ms: u64 },
    /// The same in one direction.
    Deafness {
        link: usize,
        to_server: bool,
        for_ms: u64,
    },
    /// Everything under way waits.
    Hold { link: usize, for_ms: u64 },
    /// Everything takes longer.
    Slow {
        link: usize,
        latency_ms_max: u64,
        for_ms: u64,
    },
    /// A process dies, with a word to its peers or silently, and is started again.
    Crash {
        place: Place,
        silent: bool,
        down_ms: u64,
    },
    /// A server is told to stop, perhaps to drain first, and is started again.
    Stop {
        host: usize,
        drain_ms: u64,
        down_ms: u64,
    },
    /// A client is told to stop, and is started again.
    Interrupt { link: usize, down_ms: u64 },
    /// Something is wrong with the next connection of a place, behind so many bytes.
    Trouble {
        place: Place,
        trouble: Trouble,
        bytes: u64,
    },
    /// Storage of a machine fails now and then.
    StoreErrors { host: usize, one_in: usize, for_ms: u64 },
    /// Storage of a machine is slow.
    StoreSlow { host: usize, ms: u64, for_ms: u64 },
    /// Somebody who means no good connects to a server.
    Stranger { host: usize, manner: Manner },
    /// The clock of a machine jumps.
    ClockJump { host: usize, seconds: i64 },
}

/// What is wrong with a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Trouble {
    /// It is reset.
    Reset,
    /// Nothing more is received.
    Deaf,
    /// What is sent is taken, and lost.
    Hole,
    /// Nothing more is taken.
    Stuck,
}

/// How a stranger behaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Manner {
    /// Says nothing.
    Silent,
    /// Says one byte after the other, and never a whole line.
    Dripping,
    /// Guesses passwords.
    Guessing,
    /// Sends bytes that are no protocol.
    Garbage,
    /// Hangs up at once.
    Knocking,
    /// Knows the password, asks much and reads nothing.
    Deaf,
}

impl Manner {
    /// All of them.
    pub const ALL: [Manner; 6] = [
        Manner::Silent,
        Manner::Dripping,
        Manner::Guessing,
        Manner::Garbage,
        Manner::Knocking,
        Manner::Deaf,
    ];
}

impl What {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            What::Deed(deed) => deed.name(),
            What::Partition { .. } => "partition",
            What::Deafness { .. } => "partition in one direction",
            What::Hold { .. } => "hold and release",
            What::Slow { .. } => "latency",
            What::Crash { silent: false, .. } => "crash",
            What::Crash { silent: true, .. } => "crash, silent",
            What::Stop { drain_ms: 0, .. } => "stop",
            What::Stop { .. } => "drain, then stop",
            What::Interrupt { .. } => "client interrupted",
            What::Trouble { trouble, .. } => match trouble {
                Trouble::Reset => "reset at a byte",
                Trouble::Deaf => "nothing received behind a byte",
                Trouble::Hole => "all lost behind a byte",
                Trouble::Stuck => "nothing taken behind a byte",
            },
            What::StoreErrors { .. } => "I/O errors",
            What::StoreSlow { .. } => "slow storage",
            What::Stranger { manner, .. } => match manner {
                Manner::Silent => "stranger: silent",
                Manner::Dripping => "stranger: dripping",
                Manner::Guessing => "stranger: guessing",
                Manner::Garbage => "stranger: garbage",
                Manner::Knocking => "stranger: knocking",
                Manner::Deaf => "stranger: deaf",
            },
            What::ClockJump { .. } => "clock jump",
        }
    }
}

impl Plan {
    /// Whether a plan that was read from somewhere can be run.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let has_host = |host: usize| host < self.hosts && host < crate::plan::HOST_NAMES.len();
        let is_server = |host: usize| host > 0 && has_host(host);
        let has_link = |link: usize| link < self.links.len();
        let has_place = |place: Place| match place {
            Place::Server(host) => is_server(host),
            Place::Client(link) => has_link(link),
        };
        if self.ring != 2 {
            return Err("no plan of ring 2".to_owned());
        }
        if self.tuning.tick_ms == 0 || !self.links.iter().all(|l| has_host(l.from) && is_server(l.to)) {
            return Err("a link leads to a server that there is not, or time does not pass".to_owned());
        }
        let wrong = self.steps.iter().position(|step| match step.what {
            What::Deed(_) => false,
            What::Partition { link, .. }
            | What::Deafness { link, .. }
            | What::Hold { link, .. }
            | What::Slow { link, .. }
            | What::Interrupt { link, .. } => !has_link(link),
            What::Crash { place, .. } | What::Trouble { place, .. } => !has_place(place),
            What::Stop { host, .. } | What::Stranger { host, .. } => !is_server(host),
            What::StoreErrors { host, .. } | What::StoreSlow { host, .. } | What::ClockJump { host, .. } => {
                !has_host(host)
            }
        });
        match wrong {
            Some(at) => Err(format!("step {at} is about something that there is not")),
            None => Ok(()),
        }
    }
}
