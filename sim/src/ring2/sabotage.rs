//! What is done wrong on purpose, so that each rule of this ring is seen to be broken by a run.

use super::rules;

/// One thing that goes wrong in every program of a run. The rules do not know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Both sides wait for a silent peer much longer than they are set to.
    PatientPeers,
    /// Servers wait much longer for a login than they are set to.
    PatientLogins,
    /// Servers let connections go on much longer than their grace.
    LongGrace,
    /// Clients do not hear that they are to stop.
    DeafClients,
    /// A session of each connection is never let go.
    Leak,
    /// A stream has its reader woken on and on.
    Spin,
    /// A store panics.
    Panic,
    /// A replica's store says that a commit is done, and rolls back.
    LostCommits,
    /// Clients do nothing any more once it is calm.
    Sleepers,
}

impl Sabotage {
    /// Each with the rule that has to be broken by it.
    pub const ALL: [(Sabotage, &'static str); 9] = [
        (Sabotage::PatientPeers, rules::OUTLIVES),
        (Sabotage::PatientLogins, rules::STRANGERS),
        (Sabotage::LongGrace, rules::SERVER_STOPS),
        (Sabotage::DeafClients, rules::CLIENT_STOPS),
        (Sabotage::Leak, rules::LEFTOVERS),
        (Sabotage::Spin, rules::SPINS),
        (Sabotage::Panic, rules::PANICS),
        (Sabotage::LostCommits, "what was said to be done is there"),
        (Sabotage::Sleepers, rules::SETTLES),
    ];
}
