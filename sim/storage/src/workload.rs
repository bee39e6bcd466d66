//! What is done to a store: a list of steps that a seed chooses.

use sim_vfs::chance::Chance;

/// Sessions that a store has open at once.
pub const SESSIONS: usize = 3;
/// Owners of mail, by number; the last is nobody, whose mailboxes are shared.
pub const OWNERS: usize = 4;
/// Mailboxes of each.
pub const FOLDERS: usize = 3;

/// One change of a client, in one transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A mailbox is made.
    Create(usize),
    /// Messages of these sizes in bytes come into a mailbox.
    Append(usize, Vec<usize>),
    /// Flags of the n-th message.
    Flag(usize, usize, u8),
    /// The n-th message is expunged.
    Expunge(usize, usize),
    /// The n-th message gets a note.
    Annotate(usize, usize),
    /// A mailbox gets a note.
    Note(usize),
    /// A mailbox gets another name.
    Rename(usize, usize),
    /// A mailbox is deleted.
    Delete(usize),
    /// A subscription begins or ends.
    Subscribe(usize, bool),
    /// What was seen of a mailbox.
    Seen(usize),
    /// A limit is set.
    Quota(u32),
    /// A script is put, and made the active one.
    Script(usize),
    /// All of the user goes.
    RemoveUser,
}

/// One thing that is done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "session and owner are those of the step")]
pub enum Step {
    /// A deed, committed.
    Change {
        session: usize,
        owner: usize,
        deed: Deed,
    },
    /// A deed, rolled back.
    Undo {
        session: usize,
        owner: usize,
        deed: Deed,
    },
    /// Messages come in two parts, and the second is taken back to a savepoint.
    Halve {
        session: usize,
        owner: usize,
        folder: usize,
    },
    /// A mailbox goes to another owner.
    Move {
        session: usize,
        from: usize,
        to: usize,
        folder: usize,
    },
    /// Messages of one owner are put into a mailbox of another without being uploaded.
    Copy { session: usize, from: usize, to: usize },
    /// Old messages and tombstones are dropped.
    Expire { session: usize, owner: usize },
    /// A state is held for reading, until the session lets go of all.
    Hold { session: usize, owner: usize },
    /// All that is held is read again and let go.
    LetGo { session: usize },
    /// Users are listed, one is summed up, mailboxes are looked for by identity.
    Look { session: usize, owner: usize },
    /// The session gives up what it can.
    Rest { session: usize },
    /// The session ends, and begins again when it is needed.
    Close { session: usize },
    /// The log is copied into the database; wholly, and emptied, if that is wanted.
    Checkpoint { owner: usize, empty: bool },
    /// Somebody may log in, or may not any more.
    Login { name: u8, known: bool },
    /// The hints where mailboxes are made again.
    Relocate,
    /// The process ends in order and begins again.
    Restart,
    /// The process is killed and begins again; the machine goes on.
    Kill,
    /// All users go to the replica, if there is one.
    Replicate,
}

/// What a seed chooses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    /// Page size of new databases, in bytes.
    pub page_bytes: u32,
    /// Databases that a session keeps open.
    pub connections: usize,
    /// Pages in the log at which a commit copies them.
    pub checkpoint_pages: u32,
    /// What is done.
    pub steps: Vec<Step>,
}

/// The workload of a seed, with so many steps after the first few. With a replica some replicate.
pub fn generate(seed: u64, steps: usize, with_replica: bool) -> Workload {
    let mut chance = Chance::new(seed ^ 0x73_746f_7261_6765);
    let page_bytes = [512, 1024, 4096, 32_768][chance.below(4)];
    let checkpoint_pages = [6, 40, 1000][chance.below(3)];
    let connections = [1, 2, 5][chance.below(3)];
    let mut all = Vec::new();
    // Something to work with.
    for owner in [0, 1, 3] {
        let session = chance.below(SESSIONS);
        for deed in [Deed::Create(0), append(&mut chance, 0)] {
            all.push(Step::Change { session, owner, deed });
        }
    }
    while all.len() < steps + 6 {
        let step = step(&mut chance, with_replica);
        // What moves between users, and users that go, are for the rings that know replication.
        let is_simple = !matches!(
            step,
            Step::Move { .. }
                | Step::Change {
                    deed: Deed::RemoveUser,
                    ..
                }
        );
        if is_simple || !with_replica {
            all.push(step);
        }
    }
    if with_replica {
        all.push(Step::Replicate);
    }
    Workload {
        page_bytes,
        connections,
        checkpoint_pages,
        steps: all,
    }
}

fn step(chance: &mut Chance, with_replica: bool) -> Step {
    let (session, owner, folder) = (
        chance.below(SESSIONS),
        chance.below(OWNERS),
        chance.below(FOLDERS),
    );
    match chance.below(40) {
        0 => Step::Undo {
            session,
            owner,
            deed: append(chance, folder),
        },
        1 => Step::Halve {
            session,
            owner,
            folder,
        },
        2 | 3 => Step::Move {
            session,
            from: owner,
            to: (owner + 1 + chance.below(OWNERS - 1)) % OWNERS,
            folder,
        },
        4 | 5 => Step::Copy {
            session,
            from: owner,
            to: (owner + 1 + chance.below(OWNERS - 1)) % OWNERS,
        },
        6 => Step::Expire { session, owner },
        7 | 8 => Step::Hold { session, owner },
        9 | 10 => Step::LetGo { session },
        11 | 12 => Step::Look { session, owner },
        13 => Step::Rest { session },
        14 => Step::Close { session },
        15 | 16 => Step::Checkpoint {
            owner,
            empty: chance.one_in(3),
        },
        17 => Step::Login {
            name: chance.below(3) as u8,
            known: !chance.one_in(4),
        },
        18 if chance.one_in(2) => Step::Relocate,
        19 if chance.one_in(2) => Step::Restart,
        20 if chance.one_in(2) => Step::Kill,
        21..=23 if with_replica => Step::Replicate,
        _ => Step::Change {
            session,
            owner,
            deed: deed(chance, folder),
        },
    }
}

fn deed(chance: &mut Chance, folder: usize) -> Deed {
    let nth = chance.below(8);
    match chance.below(24) {
        0..=3 => Deed::Create(folder),
        4..=9 => append(chance, folder),
        10..=12 => Deed::Flag(folder, nth, chance.next_u64() as u8),
        13..=15 => Deed::Expunge(folder, nth),
        16 => Deed::Annotate(folder, nth),
        17 => Deed::Note(folder),
        18 => Deed::Rename(folder, chance.below(FOLDERS)),
        19 => Deed::Delete(folder),
        20 => Deed::Subscribe(folder, !chance.one_in(3)),
        21 => Deed::Seen(folder),
        22 => Deed::Quota(chance.below(5) as u32),
        _ if chance.one_in(4) => Deed::RemoveUser,
        _ => Deed::Script(folder),
    }
}

fn append(chance: &mut Chance, folder: usize) -> Deed {
    let sizes = (0..1 + chance.below(4)).map(|_| match chance.below(20) {
        0 => 0,
        // More than one piece of the store's.
        1 => 262_144 + chance.below(30_000),
        2..=4 => 5_000 + chance.below(20_000),
        _ => 1 + chance.below(1_500),
    });
    Deed::Append(folder, sizes.collect())
}
