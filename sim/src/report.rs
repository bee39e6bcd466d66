//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Names of the rules that the world itself watches over: what must come about, or never happens to a program. Those of
/// safety are the judge's.
pub const LIVENESS: [&str; 6] = [
    "a run ends",
    "nobody waits for ever",
    "logs are worked off",
    "a calm run succeeds",
    "a further run does nothing",
    "nothing panics",
];

/// Counts of a run, or of many.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Report {
    /// Things that happened in the world.
    pub events: u64,
    /// Storage tickets.
    pub tickets: u64,
    /// Those of each server, until faults were switched off.
    pub tickets_of: [u64; 4],
    /// Transactions committed.
    pub commits: u64,
    /// Changes of clients that were committed.
    pub changes: u64,
    /// Connections begun.
    pub connections: u64,
    /// Connections that did not come to their end.
    pub broken: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Stores replaced by an older one.
    pub restored: u64,
    /// Bytes on the wire.
    pub wire_bytes: u64,
    /// Simulated time.
    pub simulated_ms: u64,
    /// What was reached, by name: steps of plans, rules that masters told of.
    pub reached: BTreeMap<String, u64>,
    /// The broken rule, if any.
    pub finding: Option<Finding>,
}

/// What kind of rule was broken; decides the exit code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// Something that must never be.
    Safety,
    /// Something that must come about and did not.
    Liveness,
    /// The engine or a store panicked.
    Crash,
    /// The simulator itself does not understand.
    Harness,
}

impl Verdict {
    /// The exit code of a run that ends so.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Safety => 129,
            Verdict::Liveness => 128,
            Verdict::Crash => 127,
            Verdict::Harness => 126,
        }
    }
}

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Of which kind.
    pub verdict: Verdict,
    /// Its name.
    pub rule: String,
    /// What was seen.
    pub text: String,
    /// When.
    pub at_ms: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.verdict {
            Verdict::Safety => "safety",
            Verdict::Liveness => "liveness",
            Verdict::Crash => "crash",
            Verdict::Harness => "harness",
        };
        write!(f, "{kind}: {} [{}]: {}", self.rule, Clock(self.at_ms), self.text)
    }
}

/// Simulated time for people.
pub struct Clock(pub u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000, self.0 % 1_000)
    }
}

impl Report {
    /// Notes that something was reached.
    pub fn reached(&mut self, what: &str) {
        if let Some(count) = self.reached.get_mut(what) {
            *count += 1;
        } else {
            self.reached.insert(what.to_owned(), 1);
        }
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: Report) {
        self.events += other.events;
        self.tickets += other.tickets;
        self.commits += other.commits;
        self.changes += other.changes;
        self.connections += other.connections;
        self.broken += other.broken;
        self.crashes += other.crashes;
        self.restored += other.restored;
        self.wire_bytes += other.wire_bytes;
        self.simulated_ms += other.simulated_ms;
        for (what, count) in other.reached {
            *self.reached.entry(what).or_default() += count;
        }
    }
}
