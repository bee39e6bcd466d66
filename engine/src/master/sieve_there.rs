//! The scripts of a replica that keeps them as messages, read from its `#sieve` mailbox. [CS-MASTER-16]
//!
//! With SIEVE-MAILBOX enabled a replica lists no scripts. When ours came by the SIEVE commands and are no messages,
//! this listing is the only way to see which of the replica's scripts are gone here, or which is active.

use protocol::command::{Command, Fetch, Get};
use protocol::decode::ReplyEvent;
use protocol::response::{Code, Sieve, StreamingData};
use protocol::{Guid, MailboxLine, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};

use super::folders::is_sieve_box;
use super::run::{Run, Tried};
use super::sieve::split_message;
use crate::name::{inbox_of, is_deleted};
use crate::ticket::Select;

/// Bytes of a script's message that are read; a larger one counts as a script of another content.
const SCRIPT_BYTES_MAX: usize = 1 << 20;

impl Run {
    /// Whether the user's scripts are messages here.
    pub(super) async fn keeps_sieve_box(&mut self, user: &Text) -> Tried<bool> {
        let locals = self.local_mailboxes(Select::User(user.clone())).await?;
        Ok(locals
            .iter()
            .any(|mailbox| is_sieve_box(mailbox) && !is_deleted(&mailbox.name)))
    }

    /// What the replica would list without SIEVE-MAILBOX.
    pub(super) async fn scripts_there(&mut self, user: &Text) -> Tried<Vec<Sieve>> {
        let mut name = inbox_of(user).into_bytes();
        name.extend_from_slice(b".#sieve");
        let name = Text::from(name);
        let Some((line, records)) = self.live_records_of(&name).await? else {
            return Ok(Vec::new());
        };
        let mut scripts = Vec::new();
        for record in records {
            let Some(message) = self.message_there(&name, &line, &record).await? else {
                continue;
            };
            let Some((script, content)) = split_message(&message) else {
                continue;
            };
            let mut filename = script.into_bytes();
            filename.extend_from_slice(b".script");
            scripts.push(Sieve {
                userid: None,
                filename: Some(Text::from(filename)),
                last_update: Some(record.internaldate),
                guid: Some(Guid::from_bytes(Sha1::digest(&content).into())),
                isactive: record.flags.system.contains(SystemFlags::FLAGGED),
                content: None,
            });
        }
        Ok(scripts)
    }

    /// `None` when the replica has no such mailbox.
    async fn live_records_of(&mut self, name: &Text) -> Tried<Option<(Box<MailboxLine>, Vec<Record>)>> {
        let get = Command::Get(Get::FullMailbox(Some(name.clone())));
        let sent = self.wire.send("GET FULLMAILBOX", name, &get);
        self.wire.front(sent).await?;
        let (mut line, mut records) = (None, Vec::new());
        loop {
            match self.wire.streamed(sent).await? {
                Ok(ReplyEvent::Begin(StreamingData::Mailbox(begun))) => line = Some(begun),
                Ok(ReplyEvent::Record(record)) if !record.is_expunged() => records.push(record),
                Ok(_) => {}
                Err(answer) => {
                    return match answer.result {
                        Err(refusal) if refusal.code == Code::MailboxNonexistent => Ok(None),
                        Err(refusal) => Err(refusal.into()),
                        Ok(_) => Ok(line.map(|line| (line, records))),
                    };
                }
            }
        }
    }

    /// The bytes of a message of the replica, as many as are read at most; `None` when it cannot give them.
    async fn message_there(
        &mut self,
        name: &Text,
        line: &MailboxLine,
        record: &Record,
    ) -> Tried<Option<Vec<u8>>> {
        let fetch = Fetch {
            mboxname: Some(name.clone()),
            partition: line.partition.clone().flatten(),
            uniqueid: line.uniqueid.clone(),
            guid: Some(record.guid),
            uid: Some(record.uid),
        };
        let sent = self
            .wire
            .send("GET FETCH", name, &Command::Get(Get::Fetch(fetch)));
        self.wire.front(sent).await?;
        let mut message = None;
        loop {
            match self.wire.streamed(sent).await? {
                Ok(ReplyEvent::Begin(StreamingData::Message(_))) => message = Some(Vec::new()),
                Ok(ReplyEvent::FileData(data)) => {
                    if let Some(bytes) = &mut message {
                        let room = SCRIPT_BYTES_MAX.saturating_sub(bytes.len());
                        bytes.extend_from_slice(&data[..data.len().min(room)]);
                    }
                }
                Ok(_) => {}
                Err(answer) => {
                    answer.result?;
                    return Ok(message);
                }
            }
        }
    }
}
