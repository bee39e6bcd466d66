//! Message bytes to the replica: what it has already, what it lacks, and sending that. [CS-MASTER-22]
//!
//! While one read's messages are sent the next read is with the store already, so that disk and network overlap; at
//! most two reads' bytes are held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use protocol::command::{Apply, Command, FileHead, Reserve, Streaming};
use protocol::decode::ReplyDecoder;
use protocol::response::Data;
use protocol::{Guid, Record, Text};
use sha1::{Digest, Sha1};

use super::ask::RecordReader;
use super::folders::Batch;
use super::run::{Run, Tried, Trouble};
use super::wire::Sent;
use crate::flow::{Port, StoreCall};
use crate::model::Mailbox;
use crate::name::Scope;
use crate::ticket::{Reply, Request, StoreError};

/// Files in one `APPLY MESSAGE`, as in Cyrus.
const BLOCK_FILES_MAX: usize = 1024;
/// Bytes after which an `APPLY MESSAGE` is ended.
const BLOCK_BYTES_MAX: u64 = 4 << 20;
/// GUIDs in one `APPLY RESERVE`, as in Cyrus.
const RESERVE_GUIDS_MAX: usize = 8192;
/// GUIDs asked for by RESERVE in one batch; messages beyond are uploaded without asking.
const RESERVE_ALL_MAX: usize = 16 * RESERVE_GUIDS_MAX;
/// Messages above this many bytes are read and sent piece by piece.
const WHOLE_BYTES_MAX: u64 = 1 << 20;
/// Bytes and messages read from the store at once.
const READ_BYTES: u64 = 2 << 20;
const READ_MESSAGES: usize = 512;
/// Piece of a large message.
const PIECE_BYTES: u32 = 256 << 10;
/// Messages up to this many bytes are copied next to their heads; larger ones go out as they are.
const COPY_BYTES_MAX: usize = 16 << 10;
/// Staged messages and bytes after which the replica is told to forget them at the next occasion.
const STAGED_MESSAGES_MAX: u64 = 65_536;
const STAGED_BYTES_MAX: u64 = 256 << 20;

/// What an item knows of the replica's staging, most of which it shares with the others of the connection.
pub(super) struct Uploads {
    port: Port<ReplyDecoder>,
    shared: Arc<Mutex<Staged>>,
    /// Whose messages to count on: 0 for everybody's, where lines are sent behind unanswered uploads anyway. Cyrus aborts
    /// at a message that is not there, so there an item counts on its own only, whose answers it has heard.
    owner: u64,
    /// Chosen for upload by this item, and not sent yet.
    claimed: BTreeSet<Guid>,
    block: Option<Block>,
    relies: bool,
}

#[derive(Default)]
struct Staged {
    guids: BTreeMap<(u64, Text), BTreeSet<Guid>>,
    doubts: BTreeMap<u64, u64>,
    messages: u64,
    bytes: u64,
    /// Items between choosing what to upload and the line that needs it.
    relying: usize,
}

struct Block {
    files: usize,
    bytes: u64,
}

impl Staged {
    fn is_full(&self) -> bool {
        self.messages >= STAGED_MESSAGES_MAX || self.bytes >= STAGED_BYTES_MAX
    }
}

impl Uploads {
    /// Nothing is staged yet.
    pub(super) fn new(port: Port<ReplyDecoder>) -> Self {
        Uploads {
            port,
            shared: Arc::default(),
            owner: 0,
            claimed: BTreeSet::new(),
            block: None,
            relies: false,
        }
    }

    /// For another item of the connection; `owner` is 0 where it may count on what the others sent.
    pub(super) fn for_item(&self, owner: u64) -> Self {
        Uploads {
            port: self.port.clone(),
            shared: Arc::clone(&self.shared),
            owner,
            claimed: BTreeSet::new(),
            block: None,
            relies: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Staged> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the replica has it staged on the partition.
    fn has(&self, partition: &Text, guid: &Guid) -> bool {
        self.lock()
            .guids
            .get(&(self.owner, partition.clone()))
            .is_some_and(|guids| guids.contains(guid))
    }

    /// Notes that the replica has it.
    fn add(&mut self, partition: &Text, guid: Guid) {
        let key = (self.owner, partition.clone());
        self.lock().guids.entry(key).or_default().insert(guid);
    }

    /// Whether it has to be uploaded, which this item then does.
    fn claim(&mut self, partition: &Text, guid: Guid) -> bool {
        !self.has(partition, &guid) && self.claimed.insert(guid)
    }

    /// Takes nothing for granted any more: an upload failed.
    pub(super) fn doubt(&mut self) {
        let owner = self.owner;
        let mut staged = self.lock();
        staged.guids.retain(|(whose, _), _| *whose != owner);
        *staged.doubts.entry(owner).or_default() += 1;
    }

    /// Something wrong is staged, which has to go at the next occasion.
    fn spoil(&mut self) {
        let mut staged = self.lock();
        staged.bytes = staged.bytes.max(STAGED_BYTES_MAX);
    }

    /// How often [`Uploads::doubt`] was called.
    pub(super) fn doubts(&self) -> u64 {
        self.lock().doubts.get(&self.owner).copied().unwrap_or(0)
    }

    /// Whether the replica should be told to forget.
    pub(super) fn is_full(&self) -> bool {
        self.lock().is_full()
    }

    /// Counts a message that was sent.
    fn sent(&mut self, bytes: u64) {
        let mut staged = self.lock();
        staged.messages += 1;
        staged.bytes = staged.bytes.saturating_add(bytes);
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        let mut staged = self.lock();
        if self.relies {
            staged.relying -= 1;
        }
        if self.owner > 0 {
            let owner = self.owner;
            staged.guids.retain(|(whose, _), _| *whose != owner);
            staged.doubts.remove(&owner);
        }
        drop(staged);
        self.port.moved();
    }
}

/// Where messages come from and go to.
pub(super) struct Source {
    pub(super) scope: Scope,
    pub(super) name: Text,
    pub(super) partition: Text,
    /// The replica has the messages of this and lower UIDs.
    pub(super) above_uid: u32,
}

struct Want {
    uid: u32,
    guid: Guid,
    size: u64,
}

struct Read {
    wants: Vec<Want>,
    whole: bool,
    call: StoreCall<ReplyDecoder>,
}

impl Run {
    /// The partition to name for a mailbox.
    pub(super) fn partition_of(&self, mailbox: &Mailbox) -> Text {
        self.config
            .dest_partition
            .clone()
            .unwrap_or_else(|| mailbox.partition.clone())
    }

    /// Asks the replica which of the batch's new messages it has in other mailboxes. [CS-MASTER-10]
    pub(super) async fn reserve(&mut self, batch: &Batch, todo: &[usize]) -> Tried<()> {
        let mut wanted: BTreeMap<Text, BTreeSet<Guid>> = BTreeMap::new();
        let mut total = 0;
        for &index in todo {
            let mailbox = &batch.locals[index];
            let (since, above) = batch.base_of(mailbox);
            if mailbox.last_uid <= above || total >= RESERVE_ALL_MAX {
                continue;
            }
            let partition = self.partition_of(mailbox);
            let uids = self.changed_uids(&mailbox.key(), since).await?;
            let new = &uids[uids.partition_point(|uid| *uid <= above)..];
            let mut reader =
                RecordReader::new(&mailbox.key(), &new[..new.len().min(RESERVE_ALL_MAX - total)]);
            let guids = wanted.entry(partition.clone()).or_default();
            while let Some(records) = reader.next(&self.port).await? {
                for record in records.iter().filter(|record| !record.is_expunged()) {
                    if !self.uploads.has(&partition, &record.guid) && guids.insert(record.guid) {
                        total += 1;
                    }
                }
            }
        }
        let mut asked = Vec::new();
        for (partition, guids) in wanted {
            let guids: Vec<Guid> = guids.into_iter().collect();
            for block in guids.chunks(RESERVE_GUIDS_MAX) {
                let reserve = Reserve {
                    partition: Some(partition.clone()),
                    mboxnames: Some(self.reserve_names(batch)),
                    guids: Some(block.to_vec()),
                };
                let sent = self.wire.send(
                    "APPLY RESERVE",
                    &Text::EMPTY,
                    &Command::Apply(Apply::Reserve(reserve)),
                );
                asked.push((sent, partition.clone(), block.to_vec()));
                self.wire.room().await?;
            }
        }
        for (sent, partition, guids) in asked {
            let answer = self.wire.answer(sent).await?;
            // A refusal costs only the upload of what might have been there.
            if answer.result.is_err() {
                continue;
            }
            let missing: BTreeSet<Guid> = answer
                .data
                .into_iter()
                .flat_map(|line| {
                    if let Data::Missing(guids) = line {
                        guids
                    } else {
                        Vec::new()
                    }
                })
                .collect();
            for guid in guids.into_iter().filter(|guid| !missing.contains(guid)) {
                self.uploads.add(&partition, guid);
            }
        }
        Ok(())
    }

    /// Cyrus searches the mailboxes that are named; our own replica searches all of their owner.
    fn reserve_names(&self, batch: &Batch) -> Vec<Text> {
        let most = if self.peer.is_mailtwin() { 1 } else { usize::MAX };
        batch
            .remotes
            .values()
            .filter(|line| {
                !line
                    .mboxtype
                    .as_ref()
                    .is_some_and(|letters| letters.contains(&b'i'))
            })
            .filter_map(|line| line.mboxname.clone())
            .take(most)
            .collect()
    }

    /// Uploads the messages of the reader's live records that the replica lacks, and keeps the records when asked
    /// to. Answers the commands sent.
    pub(super) async fn upload(
        &mut self,
        source: &Source,
        reader: &mut RecordReader,
        mut keep: Option<&mut Vec<Record>>,
    ) -> Tried<Vec<Sent>> {
        let mut sent = Vec::new();
        let result = self
            .upload_all(source, reader, &mut keep, VecDeque::new(), &mut sent)
            .await;
        self.end_upload(result, sent)
    }

    /// The same for records at hand.
    pub(super) async fn upload_held(&mut self, source: &Source, records: &[Record]) -> Tried<Vec<Sent>> {
        let mut wants = VecDeque::new();
        self.select(source, records, &mut wants);
        let mut sent = Vec::new();
        let result = self
            .upload_all(source, &mut RecordReader::empty(), &mut None, wants, &mut sent)
            .await;
        self.end_upload(result, sent)
    }

    fn end_upload(&mut self, result: Tried<()>, sent: Vec<Sent>) -> Tried<Vec<Sent>> {
        self.close_block();
        self.uploads.claimed.clear();
        match result {
            Ok(()) => Ok(sent),
            Err(why) => {
                self.uploads.doubt();
                sent.into_iter().for_each(|sent| self.wire.forget(sent));
                Err(why)
            }
        }
    }

    async fn upload_all(
        &mut self,
        source: &Source,
        reader: &mut RecordReader,
        keep: &mut Option<&mut Vec<Record>>,
        mut wants: VecDeque<Want>,
        sent: &mut Vec<Sent>,
    ) -> Tried<()> {
        let _place = self.uploading.take().await;
        let mut reads: VecDeque<Read> = VecDeque::new();
        loop {
            while reads.len() < 2 {
                while wants.is_empty() {
                    let Some(records) = reader.next(&self.port).await? else {
                        break;
                    };
                    self.select(source, &records, &mut wants);
                    if let Some(keep) = keep {
                        keep.extend(records);
                    }
                }
                let Some(read) = self.start_read(source, &mut wants) else {
                    break;
                };
                reads.push_back(read);
            }
            let Some(read) = reads.pop_front() else {
                return Ok(());
            };
            if read.whole {
                self.send_whole(source, read, &mut wants, sent).await?;
            } else {
                self.send_pieces(source, read, sent).await?;
            }
        }
    }

    fn select(&mut self, source: &Source, records: &[Record], wants: &mut VecDeque<Want>) {
        for record in records
            .iter()
            .filter(|record| !record.is_expunged() && record.uid > source.above_uid)
        {
            if self.uploads.claim(&source.partition, record.guid) {
                wants.push_back(Want {
                    uid: record.uid,
                    guid: record.guid,
                    size: record.size,
                });
            }
        }
    }

    fn start_read(&self, source: &Source, wants: &mut VecDeque<Want>) -> Option<Read> {
        let first = wants.pop_front()?;
        let scope = source.scope.clone();
        if first.size > WHOLE_BYTES_MAX {
            let call = self.read_piece(source, &first, 0);
            return Some(Read {
                wants: vec![first],
                whole: false,
                call,
            });
        }
        let mut bytes = first.size;
        let mut group = vec![first];
        while let Some(next) = wants.front()
            && group.len() < READ_MESSAGES
            && bytes.saturating_add(next.size) <= READ_BYTES
        {
            bytes = bytes.saturating_add(next.size);
            group.extend(wants.pop_front());
        }
        let guids = group.iter().map(|want| want.guid).collect();
        let call = self.port.store(Request::ReadMessages {
            scope,
            guids,
            bytes_max: READ_BYTES as u32,
        });
        Some(Read {
            wants: group,
            whole: true,
            call,
        })
    }

    async fn send_whole(
        &mut self,
        source: &Source,
        read: Read,
        wants: &mut VecDeque<Want>,
        sent: &mut Vec<Sent>,
    ) -> Tried<()> {
        let Reply::Messages(messages) = read.call.await? else {
            return Err(StoreError::Misuse {
                what: "an answer of another kind than messages",
            }
            .into());
        };
        if messages.is_empty() {
            return Err(StoreError::Misuse {
                what: "no messages where some were asked for",
            }
            .into());
        }
        let mut left = read.wants.into_iter();
        for message in messages {
            let Some(want) = left.next() else { break };
            let Some(bytes) = message else {
                return Err(lost(source, &want));
            };
            if bytes.len() as u64 != want.size {
                return Err(damaged(source, &want, bytes.len() as u64));
            }
            if let Some(hash) = self.hash_for_peer()
                && Guid::from_bytes(hash.chain_update(&bytes).finalize().into()) != want.guid
            {
                return Err(altered(source, &want));
            }
            self.open_file(source, &want, sent).await?;
            if bytes.len() <= COPY_BYTES_MAX {
                self.port.encode(|encoder| encoder.raw(&bytes));
            } else {
                self.port.send_bytes(bytes);
            }
            self.end_file(&source.partition, &want).await?;
        }
        for want in left.rev() {
            wants.push_front(want);
        }
        Ok(())
    }

    async fn send_pieces(&mut self, source: &Source, read: Read, sent: &mut Vec<Sent>) -> Tried<()> {
        let Some(want) = read.wants.into_iter().next() else {
            return Ok(());
        };
        let (size, first) = match piece(read.call.await) {
            Err(StoreError::NotFound { .. }) => return Err(lost(source, &want)),
            other => other?,
        };
        if size != want.size || first.is_empty() {
            return Err(damaged(source, &want, size));
        }
        self.open_file(source, &want, sent).await?;
        let mut hash = self.hash_for_peer();
        let mut offset = 0;
        let mut data = first;
        loop {
            offset += data.len() as u64;
            let ahead = (offset < want.size).then(|| self.read_piece(source, &want, offset));
            if let Some(hash) = &mut hash {
                hash.update(&data);
            }
            self.port.send_bytes(data);
            self.wire.room().await?;
            let Some(call) = ahead else { break };
            data = match piece(call.await) {
                Ok((_, data)) if !data.is_empty() && data.len() as u64 <= want.size - offset => data,
                Ok(_) => {
                    return self
                        .give_up_file(&want, offset, damaged(source, &want, offset))
                        .await;
                }
                Err(error) => return self.give_up_file(&want, offset, error.into()).await,
            };
        }
        self.end_file(&source.partition, &want).await?;
        if hash.is_some_and(|hash| Guid::from_bytes(hash.finalize().into()) != want.guid) {
            self.uploads.spoil();
            return Err(altered(source, &want));
        }
        Ok(())
    }

    fn read_piece(&self, source: &Source, want: &Want, offset: u64) -> StoreCall<ReplyDecoder> {
        self.port.store(Request::ReadMessage {
            scope: source.scope.clone(),
            guid: want.guid,
            offset,
            len_max: PIECE_BYTES,
        })
    }

    /// Our own replica verifies what it gets. Cyrus does so only when the message is named, and then aborts: it must
    /// never get to name a wrong one.
    fn hash_for_peer(&self) -> Option<Sha1> {
        (!self.peer.is_mailtwin()).then(Sha1::new)
    }

    /// Completes a file that cannot be read on with zeros, so that the connection stays in step, and has the replica
    /// forget it.
    async fn give_up_file(&mut self, want: &Want, sent: u64, why: Trouble) -> Tried<()> {
        let zeros = Bytes::from_static(&[0; 4096]);
        let mut left = want.size - sent;
        while left > 0 {
            let some = left.min(zeros.len() as u64);
            self.port.send_bytes(zeros.slice(..some as usize));
            left -= some;
            self.wire.room().await?;
        }
        self.uploads.spoil();
        Err(why)
    }

    async fn open_file(&mut self, source: &Source, want: &Want, sent: &mut Vec<Sent>) -> Tried<()> {
        let block_bytes = BLOCK_BYTES_MAX.min(self.config.pipeline_bytes_max / 4);
        if self
            .uploads
            .block
            .as_ref()
            .is_some_and(|b| b.files >= BLOCK_FILES_MAX || b.bytes >= block_bytes)
        {
            self.close_block();
        }
        if self.uploads.block.is_none() {
            let turn = self.wire.line().await;
            self.wire.bound(self.config.pipeline_bytes_max).await?;
            self.check_stop()?;
            sent.push(
                self.wire
                    .begin(turn, "APPLY MESSAGE", &source.name, &Streaming::Message),
            );
            self.uploads.block = Some(Block { files: 0, bytes: 0 });
        }
        let head = FileHead {
            partition: source.partition.clone(),
            guid: want.guid,
            size: want.size,
        };
        self.port.encode(|encoder| encoder.file(&head));
        self.wire.add_bytes(want.size);
        Ok(())
    }

    async fn end_file(&mut self, partition: &Text, want: &Want) -> Tried<()> {
        if let Some(block) = &mut self.uploads.block {
            block.files += 1;
            block.bytes = block.bytes.saturating_add(want.size);
        }
        self.uploads.sent(want.size);
        self.uploads.add(partition, want.guid);
        self.count(|progress| {
            progress.messages_sent += 1;
            progress.message_bytes_sent = progress.message_bytes_sent.saturating_add(want.size);
        });
        self.wire.room().await?;
        Ok(())
    }

    fn close_block(&mut self) {
        if self.uploads.block.take().is_some() {
            self.wire.end();
        }
    }

    /// Counts on what is staged from here on, until [`Run::restart_when_full`]; waits while the replica is to forget it.
    pub(super) async fn rely(&mut self) {
        if self.uploads.relies {
            return;
        }
        std::future::poll_fn(|_| {
            let (is_full, relying) = {
                let staged = self.uploads.lock();
                (staged.is_full(), staged.relying)
            };
            if is_full && relying > 0 {
                return Poll::Pending;
            }
            if is_full {
                self.restart();
            }
            self.uploads.lock().relying += 1;
            Poll::Ready(())
        })
        .await;
        self.uploads.relies = true;
    }

    /// Counts on nothing staged any more, and lets the replica forget it once it is much and nobody else does; only
    /// behind the lines that needed it.
    pub(super) fn restart_when_full(&mut self) {
        let is_free = {
            let mut staged = self.uploads.lock();
            if self.uploads.relies {
                staged.relying -= 1;
            }
            staged.relying == 0 && staged.is_full()
        };
        self.uploads.relies = false;
        if is_free {
            self.restart();
        }
        self.port.moved();
    }

    fn restart(&mut self) {
        let sent = self.wire.send("RESTART", &Text::EMPTY, &Command::Restart);
        self.wire.forget(sent);
        let mut staged = self.uploads.lock();
        staged.messages = 0;
        staged.bytes = 0;
        staged.guids.clear();
    }

    /// The bytes of one small message of ours; `None` when it is lost.
    pub(super) async fn read_small(&self, scope: &Scope, guid: Guid) -> Tried<Option<Bytes>> {
        let bytes_max = READ_BYTES as u32;
        let request = Request::ReadMessages {
            scope: scope.clone(),
            guids: vec![guid],
            bytes_max,
        };
        match self.port.store(request).await? {
            Reply::Messages(messages) => Ok(messages.into_iter().next().flatten()),
            _ => Err(StoreError::Misuse {
                what: "an answer of another kind than messages",
            }
            .into()),
        }
    }
}

fn lost(source: &Source, want: &Want) -> Trouble {
    Trouble::Item(format!(
        "{} UID {}: the message's bytes are missing here; run `mailtwin verify`",
        source.name, want.uid
    ))
}

fn altered(source: &Source, want: &Want) -> Trouble {
    Trouble::Item(format!(
        "{} UID {}: the message's bytes are not what its GUID {} says; run `mailtwin verify`",
        source.name, want.uid, want.guid
    ))
}

/// Size of the whole message and a piece of it.
fn piece(answer: Result<Reply, StoreError>) -> Result<(u64, Bytes), StoreError> {
    match answer? {
        Reply::Bytes { size, data } => Ok((size, data)),
        _ => Err(StoreError::Misuse {
            what: "an answer of another kind than bytes",
        }),
    }
}

fn damaged(source: &Source, want: &Want, found: u64) -> Trouble {
    Trouble::Item(format!(
        "{} UID {}: the message has {found} bytes here, its record says {}; run `mailtwin verify`",
        source.name, want.uid, want.size
    ))
}
