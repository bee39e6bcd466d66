//! The replica's full listing of a mailbox, record by record as it comes, side by side with ours. [CS-MASTER-31]

use std::collections::VecDeque;

use protocol::command::{Command, Get};
use protocol::decode::ReplyEvent;
use protocol::response::{Code, StreamingData};
use protocol::{Guid, MailboxLine, Record, Text};

use super::ask::{RECORDS_AT_ONCE, RecordCursor};
use super::run::{Run, Tried, Trouble};
use super::wire::Sent;
use crate::model::MailboxKey;
use crate::ticket::{Reply, Request, StoreError};

/// A listing under way. It has to be read to its end, or the connection is out of step.
pub(super) struct Listing {
    sent: Sent,
    name: Text,
    highest_uid: u32,
    ended: bool,
    /// The mailbox's values.
    pub(super) line: Box<MailboxLine>,
}

impl Listing {
    /// Why the next record cannot be one of this mailbox. One above the last UID would come here under a UID that the mailbox
    /// has still to give out. [CS-MASTER-31]
    fn contradiction(&self, record: &Record) -> Option<String> {
        let uid = record.uid;
        if uid <= self.highest_uid {
            return Some("the replica's UIDs are not ascending".to_owned());
        }
        let last_uid = self.line.last_uid.filter(|last_uid| uid > *last_uid)?;
        Some(format!(
            "the replica lists UID {uid} above its LAST_UID {last_uid}"
        ))
    }
}

/// One UID as the two sides have it; at least one of them does.
pub(super) struct Facing {
    pub(super) ours: Option<Record>,
    pub(super) theirs: Option<Record>,
    /// Whether the replica listed a UID above this one.
    pub(super) more_follow: bool,
}

/// Both sides' records by UID.
pub(super) struct SideBySide {
    listing: Listing,
    cursor: Option<RecordCursor>,
    theirs: Option<Record>,
}

impl Run {
    /// Asks for a full listing; `None` when the replica has no such mailbox.
    pub(super) async fn list_in_full(&mut self, name: &Text) -> Tried<Option<Listing>> {
        let get = Command::Get(Get::FullMailbox(Some(name.clone())));
        let sent = self.wire.send("GET FULLMAILBOX", name, &get);
        self.wire.front(sent).await?;
        loop {
            match self.wire.streamed(sent).await? {
                Ok(ReplyEvent::Begin(StreamingData::Mailbox(line))) => {
                    return Ok(Some(Listing {
                        sent,
                        name: name.clone(),
                        highest_uid: 0,
                        ended: false,
                        line,
                    }));
                }
                Ok(_) => {}
                Err(answer) => {
                    return match answer.result {
                        Err(refusal) if refusal.code != Code::MailboxNonexistent => Err(refusal.into()),
                        _ => Ok(None),
                    };
                }
            }
        }
    }

    /// The next record of a listing; `None` at its end.
    async fn next_listed(&mut self, listing: &mut Listing) -> Tried<Option<Record>> {
        while !listing.ended {
            match self.wire.streamed(listing.sent).await? {
                Ok(ReplyEvent::Record(record)) => {
                    if let Some(why) = listing.contradiction(&record) {
                        self.end_listing(listing).await?;
                        return Err(Trouble::Item(format!("{}: {why}", listing.name)));
                    }
                    listing.highest_uid = record.uid;
                    return Ok(Some(record));
                }
                Ok(_) => {}
                Err(answer) => {
                    listing.ended = true;
                    answer.result?;
                }
            }
        }
        Ok(None)
    }

    /// Reads what is left of a listing, to stay in step.
    async fn end_listing(&mut self, listing: &mut Listing) -> Tried<()> {
        while !listing.ended {
            if self.wire.streamed(listing.sent).await?.is_err() {
                listing.ended = true;
            }
        }
        Ok(())
    }

    /// Begins to walk through a listing and our records of the mailbox; without one of ours all is the replica's.
    pub(super) fn side_by_side(&self, listing: Listing, ours: Option<&MailboxKey>) -> SideBySide {
        SideBySide {
            listing,
            cursor: ours.map(RecordCursor::new),
            theirs: None,
        }
    }

    /// The next UID of either side; `None` at the end of both. After an error the listing is at its end.
    pub(super) async fn next_facing(&mut self, pair: &mut SideBySide) -> Tried<Option<Facing>> {
        if pair.theirs.is_none() {
            pair.theirs = self.next_listed(&mut pair.listing).await?;
        }
        let next = match &mut pair.cursor {
            None => None,
            Some(cursor) => match cursor.peek(&self.port).await {
                Ok(record) => record.map(|record| record.uid),
                Err(error) => {
                    self.end_listing(&mut pair.listing).await?;
                    return Err(error.into());
                }
            },
        };
        let their_uid = pair.theirs.as_ref().map(|record| record.uid);
        let takes_ours = next.is_some_and(|ours| their_uid.is_none_or(|theirs| ours <= theirs));
        let takes_theirs = their_uid.is_some_and(|theirs| next.is_none_or(|ours| theirs <= ours));
        if !takes_ours && !takes_theirs {
            return Ok(None);
        }
        let mut facing = Facing {
            ours: None,
            theirs: None,
            more_follow: false,
        };
        if takes_ours {
            facing.ours = pair.cursor.as_mut().and_then(RecordCursor::take);
        }
        if takes_theirs {
            facing.theirs = pair.theirs.take();
        }
        facing.more_follow = pair.theirs.is_some();
        Ok(Some(facing))
    }

    /// Leaves the walk where it is, in step with the replica.
    pub(super) async fn end_side_by_side(&mut self, mut pair: SideBySide) -> Tried<()> {
        self.end_listing(&mut pair.listing).await
    }
}

/// Walks through what a deleted mailbox held, in step with a listing of what the replica holds. [CS-SPLIT-12]
pub(super) struct DeletedCursor {
    mailbox: MailboxKey,
    above_uid: Option<u32>,
    held: VecDeque<(u32, Guid)>,
}

impl DeletedCursor {
    /// From the lowest UID on.
    pub(super) fn new(mailbox: MailboxKey) -> Self {
        DeletedCursor {
            mailbox,
            above_uid: Some(0),
            held: VecDeque::new(),
        }
    }
}

impl Run {
    /// Whether the deleted mailbox held this message under this UID; UIDs must be asked for in ascending order.
    pub(super) async fn was_ours(&self, cursor: &mut DeletedCursor, theirs: &Record) -> Tried<bool> {
        loop {
            while cursor.held.front().is_some_and(|(uid, _)| *uid < theirs.uid) {
                cursor.held.pop_front();
            }
            if let Some((uid, guid)) = cursor.held.front() {
                return Ok(*uid == theirs.uid && *guid == theirs.guid);
            }
            let Some(above_uid) = cursor.above_uid else {
                return Ok(false);
            };
            let request = Request::Deleted {
                scope: cursor.mailbox.scope.clone(),
                uniqueid: cursor.mailbox.uniqueid.clone(),
                above_uid: above_uid.max(theirs.uid.saturating_sub(1)),
                limit: RECORDS_AT_ONCE as u32,
            };
            let Reply::Deleted(held) = self.port.store(request).await? else {
                return Err(StoreError::Misuse {
                    what: "an answer of another kind than asked for",
                }
                .into());
            };
            cursor.above_uid = held
                .last()
                .map(|(uid, _)| *uid)
                .filter(|_| held.len() >= RECORDS_AT_ONCE);
            cursor.held = held.into();
        }
    }
}
