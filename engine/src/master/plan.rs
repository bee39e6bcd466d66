//! Dry runs: what a run would do, found out by asking only. [CS-SPLIT-50]

use protocol::Text;

/// One thing that a run would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Whose: a user id; empty for mailboxes of nobody and the server.
    pub user: Text,
    /// Internal name of the mailbox, root of the quota, name of the script or entry of the annotation.
    pub about: Text,
    /// What.
    pub what: PlannedWhat,
}

/// What a run would do about something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlannedWhat {
    /// Creates the mailbox on the replica.
    CreateMailbox,
    /// Renames it on the replica.
    RenameMailbox {
        /// Its present internal name there.
        from: Text,
    },
    /// Moves it to another partition of the replica.
    MoveMailbox {
        /// The partition.
        partition: Text,
    },
    /// Deletes it on the replica.
    DeleteMailbox,
    /// Sends the mailbox's values and records.
    SendMailbox {
        /// Records.
        records: u64,
        /// Messages, at most: some may be found on the replica.
        messages: u64,
        /// Bytes of these.
        bytes: u64,
        /// Records whose flags or annotations change there.
        changed: u64,
        /// Messages expunged there.
        expunged: u64,
        /// Whether values of the mailbox itself differ (ACL, annotations, POP3, recent).
        header: bool,
    },
    /// Compares it in full and merges: the decisions say how; some records change here.
    MergeMailbox {
        /// Records that change or are added at the master.
        here: u64,
        /// Messages fetched from the replica, and their bytes.
        fetched: u64,
        /// Bytes of these.
        fetched_bytes: u64,
        /// Records expunged on the replica.
        expunged_there: u64,
    },
    /// Sets a quota root on the replica.
    PutQuota,
    /// Removes a quota root there.
    RemoveQuota,
    /// Subscribes there.
    Subscribe,
    /// Ends a subscription there.
    Unsubscribe,
    /// Sends a seen state of this mailbox (unique id).
    Seen,
    /// Sends a script.
    PutScript,
    /// Removes one there.
    RemoveScript,
    /// Makes a script the active one there.
    ActivateScript,
    /// Leaves no script active there.
    DeactivateScript,
    /// Sets an annotation of the server there.
    PutAnnotation,
    /// Removes one there.
    RemoveAnnotation,
    /// Removes what is left of a deleted user there.
    RemoveUser,
}

impl PlannedWhat {
    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            PlannedWhat::CreateMailbox => "create_mailbox",
            PlannedWhat::RenameMailbox { .. } => "rename_mailbox",
            PlannedWhat::MoveMailbox { .. } => "move_mailbox",
            PlannedWhat::DeleteMailbox => "delete_mailbox",
            PlannedWhat::SendMailbox { .. } => "send_mailbox",
            PlannedWhat::MergeMailbox { .. } => "merge_mailbox",
            PlannedWhat::PutQuota => "put_quota",
            PlannedWhat::RemoveQuota => "remove_quota",
            PlannedWhat::Subscribe => "subscribe",
            PlannedWhat::Unsubscribe => "unsubscribe",
            PlannedWhat::Seen => "seen",
            PlannedWhat::PutScript => "put_script",
            PlannedWhat::RemoveScript => "remove_script",
            PlannedWhat::ActivateScript => "activate_script",
            PlannedWhat::DeactivateScript => "deactivate_script",
            PlannedWhat::PutAnnotation => "put_annotation",
            PlannedWhat::RemoveAnnotation => "remove_annotation",
            PlannedWhat::RemoveUser => "remove_user",
        }
    }
}
