//! What a master decided where both sides had changed, one value a decision, each with the rule that decided it.

use std::fmt;

use protocol::{Guid, Text};

use super::run::Run;

/// What was done, or in a dry run would be done, about one message or mailbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Internal name of the mailbox, as it is here, or on the replica when it is not here.
    pub mailbox: Text,
    /// Identity of the mailbox.
    pub uniqueid: Text,
    /// The message's UID; `None` when it is about the mailbox.
    pub uid: Option<u32>,
    /// The message.
    pub guid: Option<Guid>,
    /// Id of the rule in the spec, such as `CS-SPLIT-21`.
    pub rule: &'static str,
    /// What became of it.
    pub what: Deed,
}

/// What became of a message or mailbox.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// The master's flags and annotations stand, and go to the replica.
    OursStands,
    /// The replica's flags and annotations are taken over here.
    TheirsTaken,
    /// Expunged at the master, so it is expunged on the replica.
    ExpungeThere,
    /// Expunged on the replica, so it is expunged at the master.
    ExpungeHere,
    /// A leftover of a message expunged here long ago: expunged on the replica.
    ExpungeLeftover,
    /// Only the replica has it: comes to the master under the same UID.
    Adopt,
    /// Only the replica has it under this UID: comes to the master under a new one.
    CopyBack {
        /// The new UID.
        new_uid: u32,
    },
    /// The master's message changes its UID.
    Renumber {
        /// The new UID.
        new_uid: u32,
    },
    /// It was copied back before, by a run that did not come to its end; only the replica's old place goes.
    CopiedBefore,
    /// The mailbox was deleted at the master, and holds nothing that the master did not delete: deleted on the replica.
    DeleteMailbox,
    /// The mailbox was deleted at the master, and holds mail that the master never had: it comes back.
    ReviveMailbox,
    /// The mailbox is known on the replica only: it stays as it is there.
    LeaveMailbox,
    /// The mailbox has a name that belongs to another one: it makes way on the replica.
    MoveAside {
        /// Its new internal name.
        to: Text,
    },
    /// The mailbox is empty, and gives its name to another one.
    GiveWay,
    /// The two sides' INBOXes become one, under the replica's identity.
    JoinInbox {
        /// The identity it had at the master.
        former: Text,
    },
    /// Values of the mailbox that never go back are raised here to the replica's.
    RaiseHere,
}

impl Deed {
    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Deed::OursStands => "ours_stands",
            Deed::TheirsTaken => "theirs_taken",
            Deed::ExpungeThere => "expunge_there",
            Deed::ExpungeHere => "expunge_here",
            Deed::ExpungeLeftover => "expunge_leftover",
            Deed::Adopt => "adopt",
            Deed::CopyBack { .. } => "copy_back",
            Deed::Renumber { .. } => "renumber",
            Deed::CopiedBefore => "copied_before",
            Deed::DeleteMailbox => "delete_mailbox",
            Deed::ReviveMailbox => "revive_mailbox",
            Deed::LeaveMailbox => "leave_mailbox",
            Deed::MoveAside { .. } => "move_aside",
            Deed::GiveWay => "give_way",
            Deed::JoinInbox { .. } => "join_inbox",
            Deed::RaiseHere => "raise_here",
        }
    }

    /// The UID that the message has from now on, where it changes.
    pub fn new_uid(&self) -> Option<u32> {
        match self {
            Deed::CopyBack { new_uid } | Deed::Renumber { new_uid } => Some(*new_uid),
            _ => None,
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::OursStands => f.write_str("flags differ; those here are newer or as new and stand"),
            Deed::TheirsTaken => f.write_str("flags differ; the replica's are newer and are taken over here"),
            Deed::ExpungeThere => f.write_str("expunged here, so expunged on the replica"),
            Deed::ExpungeHere => f.write_str("expunged on the replica, so expunged here"),
            Deed::ExpungeLeftover => {
                f.write_str("a leftover on the replica of what was expunged here long ago; expunged there")
            }
            Deed::Adopt => f.write_str("only the replica has it; it comes here under its UID"),
            Deed::CopyBack { new_uid } => {
                write!(f, "only the replica has it under this UID; it comes here as UID {new_uid}")
            }
            Deed::Renumber { new_uid } => write!(
                f,
                "the replica knows this UID otherwise; the message here becomes UID {new_uid}"
            ),
            Deed::CopiedBefore => {
                f.write_str("already copied here by an interrupted run; only the old place on the replica goes")
            }
            Deed::DeleteMailbox => f.write_str("deleted here, and nothing new came into it on the replica; deleted there"),
            Deed::ReviveMailbox => f.write_str(
                "deleted here, but the replica holds mail in it that was never here; the mailbox comes back with that mail",
            ),
            Deed::LeaveMailbox => f.write_str("exists only on the replica; it is left as it is"),
            Deed::MoveAside { to } => write!(
                f,
                "has the name of another mailbox here and holds mail; renamed to {to} on the replica"
            ),
            Deed::GiveWay => f.write_str("has the name of another mailbox here and holds no mail; deleted on the replica"),
            Deed::JoinInbox { former } => write!(
                f,
                "both sides have an INBOX of their own; they are joined under the replica's unique id (here it was {former})"
            ),
            Deed::RaiseHere => f.write_str("UIDVALIDITY or modseqs raised here to the replica's"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mailbox)?;
        if let Some(uid) = self.uid {
            write!(f, " UID {uid}")?;
        }
        write!(f, ": {} [{}]", self.what, self.rule)
    }
}

impl Run {
    /// Tells what was decided.
    pub(super) fn decide(&self, decision: Decision) {
        self.count(|progress| progress.decisions.push(decision));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_says_what_and_why() {
        let decision = Decision {
            mailbox: Text::from("user.jane"),
            uniqueid: Text::from("u1"),
            uid: Some(5),
            guid: None,
            rule: "CS-MASTER-46",
            what: Deed::CopyBack { new_uid: 9 },
        };
        assert_eq!(
            decision.to_string(),
            "user.jane UID 5: only the replica has it under this UID; it comes here as UID 9 [CS-MASTER-46]"
        );
        assert_eq!(decision.what.word(), "copy_back");
        assert_eq!(decision.what.new_uid(), Some(9));
        assert_eq!(Deed::Renumber { new_uid: 8 }.new_uid(), Some(8));
        assert_eq!(Deed::Adopt.new_uid(), None);
    }
}
