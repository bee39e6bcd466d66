//! What clients did, wherever they did it.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{Guid, Text};

/// A message of a user; mailboxes and UIDs may change, this does not.
pub type Mail = (Text, Guid);

/// What clients added and removed, over all servers, as far as it was committed.
#[derive(Default, Debug)]
pub struct Ledger {
    /// Messages that a server showed before its store was replaced by an older one.
    pub rolled_back: BTreeSet<(usize, Mail)>,
    /// Every message that a client ever added.
    pub added: BTreeSet<Mail>,
    /// Every message of which a client ever removed a copy it saw, by an expunge or with its mailbox.
    pub removed: BTreeSet<Mail>,
    /// Messages that went away with a store that was replaced by an older one, and were nowhere else.
    pub forgiven: BTreeSet<Mail>,
    /// How many copies of each message clients added.
    pub copies: BTreeMap<Mail, u32>,
    /// Whether a server's clock jumped.
    pub clock_jumped: bool,
}

/// What one client transaction does to the ledger when it is committed.
#[derive(Clone, Default, Debug)]
pub struct Note {
    /// Messages added.
    pub added: Vec<Guid>,
    /// Messages of which a copy is removed.
    pub removed: Vec<Guid>,
    /// Those of them that are expunged; the others go with their mailbox.
    pub expunged: Vec<Guid>,
}

impl Ledger {
    /// A client's transaction is committed.
    pub fn take(&mut self, user: &Text, note: &Note) {
        for guid in &note.added {
            *self.copies.entry((user.clone(), *guid)).or_default() += 1;
        }
        self.added
            .extend(note.added.iter().map(|guid| (user.clone(), *guid)));
        self.removed
            .extend(note.removed.iter().map(|guid| (user.clone(), *guid)));
    }

    /// Whether a message may be missing.
    pub fn may_miss(&self, mail: &Mail) -> bool {
        self.removed.contains(mail) || self.forgiven.contains(mail)
    }
}
