//! Comparing a user here and there, by asking only. [CS-SPLIT-60]

use protocol::Text;

use super::Ending;
use super::run::Run;

/// Something that is not the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Whose: a user id.
    pub user: Text,
    /// Internal name of the mailbox as it is here, or there when it is only there; what it is about otherwise (a quota
    /// root, a script).
    pub about: Text,
    /// Identity of the mailbox; empty for what is no mailbox.
    pub uniqueid: Text,
    /// The message, when it is about one.
    pub uid: Option<u32>,
    /// How it differs.
    pub how: Differs,
}

/// How something differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Differs {
    /// Only this side has it.
    OnlyHere,
    /// Only the replica has it.
    OnlyThere,
    /// Both have it, and these fields are not the same.
    Fields(Vec<FieldDiffers>),
}

/// A value that is not the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDiffers {
    /// Name of the value, as on the wire (`FLAGS`, `UIDVALIDITY`).
    pub field: &'static str,
    /// The value here.
    pub here: String,
    /// The value there.
    pub there: String,
}

impl Run {
    /// Compares these users, one after the other.
    pub(super) async fn compare_users(&mut self, users: Vec<Text>) -> Result<(), Ending> {
        self.count(|progress| progress.items_total = users.len() as u64);
        Ok(())
    }
}
