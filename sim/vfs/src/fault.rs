//! What can go wrong.

/// Something that is asked of the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// A file that is there is opened.
    Open,
    /// A file is made.
    Create,
    /// Bytes are read.
    Read,
    /// Bytes are written.
    Write,
    /// A file gets another length.
    Truncate,
    /// A file is made durable.
    Sync,
    /// A folder's names are made durable.
    SyncFolder,
    /// A file's length or identity is asked for.
    Look,
    /// A lock on a file is taken.
    Lock,
    /// Memory that connections share is mapped.
    Map,
    /// A file is removed.
    Remove,
    /// A file gets another name.
    Rename,
    /// A folder is made.
    MakeFolder,
    /// A folder is listed.
    List,
}

impl Operation {
    /// Whether it changes what is on the disk, or what of it is durable.
    pub fn changes(self) -> bool {
        !matches!(
            self,
            Operation::Open
                | Operation::Read
                | Operation::Look
                | Operation::Lock
                | Operation::Map
                | Operation::List
        )
    }

    /// Whether it needs room, and can fail for the want of it.
    pub fn needs_room(self) -> bool {
        matches!(
            self,
            Operation::Create
                | Operation::Write
                | Operation::Truncate
                | Operation::Sync
                | Operation::Map
                | Operation::Rename
                | Operation::MakeFolder
        )
    }
}

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Input/output error.
    Io,
    /// No room; operations that need none are done.
    Full,
    /// A read ends early, as at the end of the file; other operations are done.
    Short,
}

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// All of it: only the process dies, or the disk had been quick.
    Kept,
    /// Nothing.
    Lost,
    /// Any part in any order, writes torn at sectors of 512 bytes, new room filled with anything; from this seed.
    Torn(u64),
    /// All of it for now: the process dies, the disk has not written it yet, and a crash to come may lose it.
    Killed,
}

/// A moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// Within the n-th sync of a file or folder, from 0.
    Sync(u64),
    /// Behind the n-th operation that changes something, from 0.
    Change(u64),
}

/// What is to happen.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Plan {
    /// Nothing.
    #[default]
    Calm,
    /// A crash.
    Crash {
        /// When.
        at: Point,
        /// What is left.
        loss: Loss,
    },
    /// A failure.
    Fail {
        /// Of which operation, from 0.
        operation: u64,
        /// How.
        fault: Fault,
        /// Whether all that follow fail too.
        lasting: bool,
    },
}

/// Syncs that say they did what they did not; for canaries.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lies {
    /// Of files.
    pub files: bool,
    /// Of folders.
    pub folders: bool,
}
