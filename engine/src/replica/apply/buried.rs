//! A mailbox that comes back under an identity that was deleted here: whether its UIDs name other messages by now.
//! [CS-MBOX-52]

use std::collections::BTreeMap;

use protocol::{Guid, Record, Text};

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::name::Scope;
use crate::ticket::{Reply, Request, StoreError};

/// UIDs asked of the store at once.
const UIDS_AT_ONCE: u32 = 4096;
/// UIDs looked at one by one; a mailbox that held more counts as one whose UIDs name other messages.
const UIDS_MAX: usize = 65_536;

/// What the deleted mailbox held.
#[derive(Default)]
pub(super) struct Buried {
    held: BTreeMap<u32, Guid>,
    highest: u32,
    /// The UIDVALIDITY that it had; 0 when nobody remembers.
    uidvalidity: u32,
    /// Whether a UID that a reader may know here is, or will be, another message's.
    is_reused: bool,
}

impl Buried {
    /// What is known of a mailbox that is about to be made with this last UID; nothing when it was never deleted here.
    pub(super) async fn find(
        conn: &Conn,
        scope: &Scope,
        uniqueid: &Text,
        last_uid: u32,
    ) -> Result<Buried, Fail> {
        let mut buried = Buried::default();
        loop {
            let request = Request::Deleted {
                scope: scope.clone(),
                uniqueid: uniqueid.clone(),
                above_uid: buried.highest,
                limit: UIDS_AT_ONCE,
            };
            let Reply::Deleted(held) = conn.port.store(request).await? else {
                return Err(StoreError::Misuse {
                    what: "the answer does not fit the question",
                }
                .into());
            };
            let more = held.len() >= UIDS_AT_ONCE as usize;
            buried.highest = held.last().map_or(buried.highest, |(uid, _)| *uid);
            buried.held.extend(held);
            // Whoever sends it does not know of the UIDs above its last, and will give them out again.
            buried.is_reused |= buried.highest > last_uid || buried.held.len() > UIDS_MAX;
            if !more || buried.is_reused {
                break;
            }
        }
        // Also when it held nothing: it may have had a higher one since it was deleted for the first time.
        let tombstones = conn.tombstones(scope).await?;
        let tombstone = tombstones
            .into_iter()
            .find(|tombstone| tombstone.uniqueid == *uniqueid);
        buried.uidvalidity = tombstone.map_or(0, |tombstone| tombstone.uidvalidity);
        Ok(buried)
    }

    /// The UIDVALIDITY that it comes back with: never below the one that it had, and above it when its UIDs name other
    /// messages. One that is sent higher tells readers already, and another server that raised it did so for the same reason.
    pub(super) fn uidvalidity(&self, sent: u32) -> u32 {
        match self.uidvalidity {
            had if !self.is_reused => sent.max(had),
            0 => sent.saturating_add(1),
            had => sent.max(had.saturating_add(1)),
        }
    }

    /// A record of it comes in.
    pub(super) fn compare(&mut self, record: &Record) {
        let is_known = self.held.get(&record.uid) == Some(&record.guid);
        self.is_reused |= record.uid <= self.highest && !record.is_expunged() && !is_known;
    }
}
