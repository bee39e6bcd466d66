//! Adds the seldom changes to a plan, and to some the way back.
//!
//! They are drawn from a source of their own, so that the rest of a seed's plan is what it would be without them.

use super::{Deed, Dialect, FOLDERS, Link, Plan, Profile, SHARED, Step, What, Wide};
use crate::seeded::Seeded;

/// Kinds of [`Wide`], in the order of [`Widener::wide`].
const KINDS: usize = 12;

/// Adds to a plan what belongs to its profile.
pub(super) fn widen(plan: &mut Plan, users: usize, folders: usize) {
    if !matches!(plan.profile, Profile::Pair | Profile::Split | Profile::Backup) {
        return;
    }
    let mut seeded = Seeded::new(plan.seed ^ 0x5749_4445);
    if seeded.one_in(3) {
        return;
    }
    let mut weights = [0; KINDS];
    for weight in &mut weights {
        *weight = [0, 0, 1, 4][seeded.below(4)];
    }
    // The way back after a fail-over: changes of all kinds on both sides, then each becomes the other's master once.
    let failback = plan.profile == Profile::Split && seeded.one_in(3);
    // With a server before 3.6 what a user has beside mailboxes stays while there is a deleted mailbox. [CS-SPLIT-17]
    if plan.dialects.contains(&Dialect::Cyrus32) {
        weights[KINDS - 1] = 0;
    }
    if failback {
        // A mailbox that only the other side has of a user who is gone has nobody any more, and stays. [CS-SPLIT-16]
        weights[KINDS - 1] = 0;
        plan.links.push(Link {
            from: 1,
            to: 0,
            rolling: false,
        });
    }
    let most = [3, 10, 24][seeded.below(3)];
    let shared = seeded.one_in(4);
    let mut widener = Widener {
        weights,
        users,
        folders,
        shared,
        failback,
        split: plan.profile == Profile::Split,
    };
    let last_ms = plan.steps.last().map_or(0, |step| step.at_ms);
    for _ in 0..1 + seeded.below(most) {
        let near = seeded.below(plan.steps.len());
        let near_ms = plan.steps.get(near).map_or(last_ms, |step| step.at_ms);
        let at_ms = near_ms.max(5) + [0, 3, 900][seeded.below(3)];
        let (host, deed) = widener.deed(&mut seeded);
        plan.steps.push(Step {
            at_ms,
            host,
            what: What::Client(deed),
        });
    }
    plan.steps.sort_by_key(|step| step.at_ms);
}

struct Widener {
    weights: [usize; KINDS],
    users: usize,
    folders: usize,
    /// Whether there are mailboxes of nobody.
    shared: bool,
    failback: bool,
    split: bool,
}

impl Widener {
    fn deed(&mut self, seeded: &mut Seeded) -> (usize, Deed) {
        if self.shared && seeded.one_in(2) {
            return (0, self.of_nobody(seeded));
        }
        let user = seeded.below(self.users);
        let host = usize::from(self.split && seeded.one_in(3));
        if host == 1 && !self.failback {
            // A replica that nothing replicates from keeps what is its own to itself, so it gets notes only, which are merged.
            let (folder, value) = (seeded.below(self.folders), seeded.below(3) as u8);
            let special = false;
            let what = Wide::Note {
                folder,
                value,
                special,
            };
            return (host, Deed::Wide { user, what });
        }
        if self.failback && seeded.one_in(2) {
            return (host, self.of_names(user, seeded));
        }
        let what = self.wide(seeded);
        (host, Deed::Wide { user, what })
    }

    /// A change to a mailbox of nobody.
    fn of_nobody(&self, seeded: &mut Seeded) -> Deed {
        let (user, folder) = (SHARED, 1 + seeded.below(2));
        let nth = seeded.below(4);
        match seeded.below(8) {
            0 | 1 => Deed::Create { user, folder },
            2 => Deed::Flag {
                user,
                folder,
                nth,
                flags: seeded.below(512) as u16,
            },
            3 => Deed::Expunge { user, folder, nth },
            4 => Deed::Wide {
                user,
                what: Wide::Acl {
                    folder,
                    value: seeded.below(3) as u8,
                },
            },
            5 => Deed::Wide {
                user,
                what: Wide::Quota {
                    folder,
                    storage: Some(1_000 + seeded.below(3) as u32),
                },
            },
            6 => Deed::Wide {
                user,
                what: Wide::Server {
                    value: seeded.below(3) as u8,
                },
            },
            _ => Deed::Append {
                user,
                folder,
                bodies: vec![seeded.below(6) as u32, 2_000 + seeded.below(1_000) as u32],
                flags: seeded.below(64) as u8,
            },
        }
    }

    /// A change to the names of mailboxes.
    fn of_names(&self, user: usize, seeded: &mut Seeded) -> Deed {
        let folder = seeded.below(self.folders);
        match seeded.below(5) {
            0 | 1 => Deed::Create { user, folder },
            2 => Deed::Delete { user, folder },
            3 => Deed::Rename {
                user,
                from: folder,
                to: seeded.below(FOLDERS.len()),
            },
            _ => Deed::Append {
                user,
                folder,
                bodies: vec![3_000 + seeded.below(1_000) as u32],
                flags: 0,
            },
        }
    }

    fn wide(&self, seeded: &mut Seeded) -> Wide {
        let folder = seeded.below(self.folders);
        let value = seeded.below(4) as u8;
        match super::generate::weighted(&self.weights, seeded) {
            0 => Wide::Seen {
                folder,
                upto: seeded.below(5) as u32,
            },
            1 => Wide::Script {
                nth: seeded.below(3) as u8,
                value,
            },
            2 => Wide::Activate {
                nth: seeded.one_in(2).then(|| seeded.below(3) as u8),
            },
            3 => Wide::Quota {
                folder,
                storage: (value > 0).then(|| 500 * u32::from(value)),
            },
            4 => Wide::Acl { folder, value },
            5 => Wide::Note {
                folder,
                value,
                special: seeded.one_in(3),
            },
            6 | 7 => Wide::Copy {
                from: folder,
                nth: seeded.below(6),
                to: seeded.below(self.folders),
                moves: seeded.one_in(2),
            },
            8 => Wide::RenameInbox {
                to: seeded.below(FOLDERS.len()),
            },
            9 => Wide::Uidvalidity { folder },
            10 => Wide::Partition {
                folder,
                nth: seeded.below(2) as u8,
            },
            _ => Wide::RemoveUser,
        }
    }
}
