//! Whom and what a change is about.

use super::{Deed, Wide};

impl Deed {
    /// Whose mail.
    pub(crate) fn user(&self) -> usize {
        match self {
            Deed::Append { user, .. }
            | Deed::Flag { user, .. }
            | Deed::Expunge { user, .. }
            | Deed::Annotate { user, .. }
            | Deed::Create { user, .. }
            | Deed::Rename { user, .. }
            | Deed::Delete { user, .. }
            | Deed::Subscribe { user, .. }
            | Deed::Wide { user, .. } => *user,
        }
    }

    /// Whether it names the folder of its user.
    pub(crate) fn names(&self, name: usize) -> bool {
        match self {
            Deed::Append { folder, .. }
            | Deed::Flag { folder, .. }
            | Deed::Expunge { folder, .. }
            | Deed::Annotate { folder, .. }
            | Deed::Create { folder, .. }
            | Deed::Delete { folder, .. }
            | Deed::Subscribe { folder, .. } => *folder == name,
            Deed::Rename { from, to, .. } => *from == name || *to == name,
            Deed::Wide { what, .. } => match what {
                Wide::Seen { folder, .. }
                | Wide::Quota { folder, .. }
                | Wide::Acl { folder, .. }
                | Wide::Note { folder, .. }
                | Wide::Uidvalidity { folder }
                | Wide::Partition { folder, .. } => *folder == name,
                Wide::Copy { from, to, .. } => *from == name || *to == name,
                Wide::RenameInbox { to } => *to == name,
                Wide::Script { .. } | Wide::Activate { .. } | Wide::Server { .. } | Wide::RemoveUser => false,
            },
        }
    }
}
