//! What this connection told its peer of mailboxes, so that a delete or a rename that was decided by something older is
//! refused. [CS-APPLY-53] [CS-APPLY-54]

use std::collections::BTreeMap;

use protocol::Text;

use crate::model::Mailbox;

/// Mailboxes remembered at least; at most twice as many. Of one that is forgotten a command goes by its name alone.
const REMEMBERED: usize = 10_000;

/// What a mailbox was when the peer was told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Look {
    uniqueid: Text,
    uidvalidity: u32,
    last_uid: u32,
}

impl Look {
    fn of(mailbox: &Mailbox) -> Look {
        Look {
            uniqueid: mailbox.uniqueid.clone(),
            uidvalidity: mailbox.uidvalidity,
            last_uid: mailbox.last_uid,
        }
    }
}

/// By name, in two generations: when the younger is full, the older is forgotten.
#[derive(Default)]
pub(super) struct Looks {
    young: BTreeMap<Text, Look>,
    old: BTreeMap<Text, Look>,
}

impl Looks {
    /// The peer was told of a mailbox.
    pub(super) fn told(&mut self, mailbox: &Mailbox) {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(mailbox.name.clone(), Look::of(mailbox));
    }

    /// The peer changed a mailbox itself: it knows that one as it is now, if it knew it before.
    pub(super) fn follow(&mut self, before: &Mailbox, after: &Mailbox) {
        if !self.is_stale(before) {
            self.told(after);
        }
    }

    /// The peer renamed a mailbox itself: it knows that one by its new name, as it knew it before.
    pub(super) fn moved(&mut self, from: &Text, to: &Text) {
        let known = self.known(from).cloned();
        self.forget(from);
        self.forget(to);
        if let Some(look) = known {
            self.young.insert(to.clone(), look);
        }
    }

    /// The peer deleted what had this name.
    pub(super) fn forget(&mut self, name: &Text) {
        self.young.remove(name);
        self.old.remove(name);
    }

    /// Whether the peer was told of something else under the name of this mailbox: another mailbox, or fewer messages.
    pub(super) fn is_stale(&self, mailbox: &Mailbox) -> bool {
        self.known(&mailbox.name)
            .is_some_and(|look| *look != Look::of(mailbox))
    }

    /// Whether the peer was told of another mailbox under the name of this one.
    pub(super) fn is_another(&self, mailbox: &Mailbox) -> bool {
        self.known(&mailbox.name)
            .is_some_and(|look| look.uniqueid != mailbox.uniqueid)
    }

    fn known(&self, name: &Text) -> Option<&Look> {
        self.young.get(name).or_else(|| self.old.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Now;
    use crate::local::{self, Moment, NewMailbox};

    fn mailbox(name: &str, last_uid: u32) -> Mailbox {
        let moment = Moment {
            now: Now(1),
            modseq_after: 0,
        };
        let new = NewMailbox {
            name: Text::from(name),
            uniqueid: Text::from("id"),
            partition: Text::from("default"),
            acl: None,
        };
        let made = local::create(moment, &[], new).expect("a name of nobody");
        Mailbox { last_uid, ..made }
    }

    #[test]
    fn mail_that_came_since_makes_a_look_stale_and_the_peers_own_does_not() {
        let mut looks = Looks::default();
        let (first, second, third) = (mailbox("a", 1), mailbox("a", 2), mailbox("a", 3));
        assert!(!looks.is_stale(&first), "nothing was told");
        looks.told(&first);
        assert!(!looks.is_stale(&first));
        assert!(looks.is_stale(&second));
        looks.follow(&first, &second);
        assert!(!looks.is_stale(&second));
        looks.follow(&first, &third);
        assert!(
            looks.is_stale(&third),
            "the peer's own change came behind somebody else's"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut looks = Looks::default();
        looks.told(&mailbox("first", 1));
        for nth in 0..3 * REMEMBERED {
            looks.told(&mailbox(&format!("m{nth}"), 1));
        }
        assert!(looks.young.len() + looks.old.len() <= 2 * REMEMBERED);
        assert!(!looks.is_stale(&mailbox("first", 2)), "forgotten");
        let last = format!("m{}", 3 * REMEMBERED - 1);
        assert!(looks.is_stale(&mailbox(&last, 2)));
    }
}
