//! Messages from the replica to our staging, for the full compare. [CS-MASTER-59]

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use protocol::command::{Command, Fetch, FileHead, Get};
use protocol::decode::ReplyEvent;
use protocol::response::{Data, StreamingData};
use protocol::{Guid, MailboxLine, Record};

use super::run::{Run, Tried, Trouble};
use super::wire::Sent;
use crate::model::Mailbox;
use crate::ticket::{Reply, Request, StagePart, StoreError};

/// Messages asked for ahead, and their bytes; one message may be larger.
const AHEAD_MESSAGES: usize = 64;
const AHEAD_BYTES: u64 = 16 << 20;
/// Bytes given to the store at once.
const STAGE_BYTES: usize = 256 << 10;

#[derive(Default)]
struct Staging {
    parts: Vec<StagePart>,
    bytes: usize,
    open: bool,
}

impl Run {
    /// Stages the messages of the replica's records that we do not have.
    pub(super) async fn fetch(
        &mut self,
        mailbox: &Mailbox,
        line: &MailboxLine,
        records: Vec<Record>,
    ) -> Tried<()> {
        if records.is_empty() {
            return Ok(());
        }
        let guids: BTreeSet<Guid> = records.iter().map(|record| record.guid).collect();
        let request = Request::Reserve {
            partition: mailbox.partition.clone(),
            mailboxes: vec![mailbox.name.clone()],
            guids: guids.into_iter().collect(),
        };
        let Reply::Missing(missing) = self.port.store(request).await? else {
            return Err(StoreError::Misuse {
                what: "an answer of another kind than asked for",
            }
            .into());
        };
        let mut missing: BTreeSet<Guid> = missing.into_iter().collect();
        let mut wanted: VecDeque<Record> = records
            .into_iter()
            .filter(|record| missing.remove(&record.guid))
            .collect();
        let mut asked: VecDeque<(Sent, Record)> = VecDeque::new();
        let mut ahead = 0;
        let mut staging = Staging::default();
        loop {
            while let Some(next) = wanted.front()
                && (asked.is_empty() || (asked.len() < AHEAD_MESSAGES && ahead + next.size <= AHEAD_BYTES))
            {
                ahead += next.size;
                let sent = self.ask_for(mailbox, line, next);
                // No wait for room here: these are few and short, and their answers are ours to read.
                asked.extend(wanted.pop_front().map(|record| (sent, record)));
            }
            let Some((sent, record)) = asked.pop_front() else {
                break;
            };
            ahead -= record.size;
            if let Err(why) = self.fetch_one(mailbox, sent, &record, &mut staging).await {
                self.wire.forget(sent);
                asked.into_iter().for_each(|(sent, _)| self.wire.forget(sent));
                return Err(why);
            }
        }
        self.stage(mailbox, &mut staging).await
    }

    fn ask_for(&mut self, mailbox: &Mailbox, line: &MailboxLine, record: &Record) -> Sent {
        let fetch = Fetch {
            mboxname: Some(mailbox.name.clone()),
            partition: Some(
                line.partition
                    .clone()
                    .flatten()
                    .unwrap_or_else(|| self.partition_of(mailbox)),
            ),
            uniqueid: Some(mailbox.uniqueid.clone()),
            guid: Some(record.guid),
            uid: Some(record.uid),
        };
        self.wire
            .send("GET FETCH", &mailbox.name, &Command::Get(Get::Fetch(fetch)))
    }

    async fn fetch_one(
        &mut self,
        mailbox: &Mailbox,
        sent: Sent,
        record: &Record,
        staging: &mut Staging,
    ) -> Tried<()> {
        self.wire.front(sent).await?;
        let mut got = false;
        let mut wrong = None;
        loop {
            match self.wire.streamed(sent).await? {
                Ok(ReplyEvent::Begin(StreamingData::Message(head))) => {
                    if head.guid == record.guid && head.size == record.size {
                        self.open(mailbox, head, staging);
                        got = true;
                    } else {
                        wrong = Some(format!("the replica sent another message for UID {}", record.uid));
                    }
                }
                Ok(ReplyEvent::FileData(data)) if staging.open => self.add(mailbox, data, staging).await?,
                Ok(ReplyEvent::FileEnd) if staging.open => {
                    staging.parts.push(StagePart::Close);
                    staging.open = false;
                }
                Ok(ReplyEvent::Data(Data::MessageNil)) => {
                    wrong = Some(format!("the replica's copy of UID {} is damaged", record.uid));
                }
                Ok(_) => {}
                Err(answer) => {
                    answer.result?;
                    break;
                }
            }
        }
        match wrong {
            None if got => Ok(()),
            None => Err(Trouble::Item(format!(
                "{}: the replica did not send UID {}",
                mailbox.name, record.uid
            ))),
            Some(reason) => Err(Trouble::Item(format!("{}: {reason}", mailbox.name))),
        }
    }

    fn open(&self, mailbox: &Mailbox, head: FileHead, staging: &mut Staging) {
        let partition = mailbox.partition.clone();
        staging.parts.push(StagePart::Open {
            partition,
            guid: head.guid,
            size: head.size,
        });
        staging.open = true;
    }

    async fn add(&mut self, mailbox: &Mailbox, data: Bytes, staging: &mut Staging) -> Tried<()> {
        staging.bytes += data.len();
        staging.parts.push(StagePart::Data(data));
        if staging.bytes >= STAGE_BYTES {
            self.stage(mailbox, staging).await
        } else {
            Ok(())
        }
    }

    async fn stage(&mut self, mailbox: &Mailbox, staging: &mut Staging) -> Tried<()> {
        staging.bytes = 0;
        let parts = std::mem::take(&mut staging.parts);
        if parts.is_empty() {
            return Ok(());
        }
        match self.port.store(Request::Stage(parts)).await? {
            Reply::Staged { refused } if refused.is_empty() => Ok(()),
            Reply::Staged { refused } => Err(Trouble::Item(format!(
                "{}: the replica sent {} messages whose bytes are not what their GUIDs say",
                mailbox.name,
                refused.len()
            ))),
            _ => Err(StoreError::Misuse {
                what: "an answer of another kind than staged",
            }
            .into()),
        }
    }
}
