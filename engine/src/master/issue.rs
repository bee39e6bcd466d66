//! One mailbox's update: its messages, then its line with the records that changed. [CS-MASTER-21]

use std::collections::VecDeque;

use protocol::command::Streaming;
use protocol::response::Code;
use protocol::{MailboxLine, Record, Text};

use super::Ending;
use super::ask::RecordReader;
use super::folders::{Batch, is_placeholder};
use super::heavy::{Alone, HEAVY_BYTES};
use super::lines::{crc_of, lower_line};
use super::run::{Run, Tried, Trouble};
use super::steps::{Cutter, Step};
use super::upload::Source;
use super::wire::{Refusal, Sent};
use crate::crc::SyncCrc;
use crate::model::{Mailbox, MailboxKey};

/// Records held in memory instead of being read a second time.
const ROWS_HELD_MAX: usize = 8192;
/// New messages from which a mailbox may be sent in steps.
const STEPPED_FROM: usize = 64;
/// Records, and bytes of their messages, of a mailbox that is sent without a pause for others.
const SPOKEN_RECORDS_MAX: usize = 256;
const SPOKEN_BYTES_MAX: u64 = 1 << 20;
/// Records encoded between two looks at the room in the output.
const ROWS_AT_ONCE: usize = 64;

/// A mailbox that is on its way.
pub(super) struct Issued {
    /// Which of the batch.
    pub(super) index: usize,
    since: bool,
    /// Commands sent and not yet looked at.
    pub(super) sent: VecDeque<Sent>,
    /// The first refusal seen.
    pub(super) refused: Option<Refusal>,
    /// The mailbox's unique id, and the replica's HIGHESTMODSEQ above which it is sent.
    pub(super) base: Option<(Text, u64)>,
    held: Option<HeldLine>,
}

/// A line that must not go before its uploads are answered.
struct HeldLine {
    line: MailboxLine,
    rows: Vec<Rows>,
    uploads: Vec<Sent>,
    doubts: u64,
}

/// Records of a line, in memory or to be read.
enum Rows {
    Held(Vec<Record>),
    Uids(Vec<u32>),
}

/// What is to be sent of a mailbox, in steps.
struct Plan {
    uids: Vec<u32>,
    held: Option<Vec<Record>>,
    steps: VecDeque<Step>,
    is_stepped: bool,
    /// How many of the UIDs are in earlier steps.
    done: usize,
    /// UIDs and modseqs that the replica has, but not in their present state.
    late: Vec<(u32, u64)>,
    since: Option<u64>,
    since_crcs: (Option<u32>, Option<u32>),
}

/// A difference that the CRC of a mailbox without a live message hides.
#[derive(Clone, Copy)]
enum Hidden {
    /// By its CRC the replica has no live message, and it gets none, though we have.
    NoneThere,
    /// We have none, and send nothing that would take the replica's own.
    NoneHere,
}

impl Plan {
    /// Adds the replica's records whose messages are here under another UID, as expunged, to the rows: one transaction there
    /// takes them away and brings the message under its new UID. False when the rows are not in memory, or too many for one
    /// line. [CS-MASTER-50]
    fn tell_moved(&mut self, moved: &[Record]) -> bool {
        let Some(held) = self.held.as_mut().filter(|_| !self.is_stepped) else {
            return moved.is_empty();
        };
        for gone in moved {
            match held.binary_search_by_key(&gone.uid, |record| record.uid) {
                Ok(at) if held[at].is_expunged() => {
                    let modseq = held[at].modseq.max(gone.modseq);
                    held[at] = Record {
                        modseq,
                        ..gone.clone()
                    };
                }
                Ok(_) => {}
                Err(at) => held.insert(at, gone.clone()),
            }
        }
        true
    }

    /// What the replica's CRC could not tell, for that of nothing matches any. [CS-SPLIT-35]
    fn hides_a_difference(&self, mailbox: &Mailbox, line: &MailboxLine) -> Option<Hidden> {
        let held = self.held.as_ref()?;
        let (ours, theirs) = (mailbox.crc, crc_of(line));
        if theirs == SyncCrc::EMPTY && ours.basic != 0 && held.iter().all(Record::is_expunged) {
            return Some(Hidden::NoneThere);
        }
        if ours == SyncCrc::EMPTY && theirs.basic != 0 && held.is_empty() {
            return Some(Hidden::NoneHere);
        }
        None
    }
}

impl Issued {
    fn new(index: usize, since: bool) -> Self {
        Issued {
            index,
            since,
            sent: VecDeque::new(),
            refused: None,
            base: None,
            held: None,
        }
    }

    /// Records in memory that wait to be sent.
    pub(super) fn held_records(&self) -> usize {
        let count = |rows: &Rows| {
            if let Rows::Held(records) = rows {
                records.len()
            } else {
                0
            }
        };
        self.held
            .as_ref()
            .map_or(0, |held| held.rows.iter().map(count).sum())
    }
}

impl Run {
    /// Sends what the replica lacks of a mailbox, without waiting for its last answer; to Cyrus all but the line,
    /// which [`Run::commit`] sends.
    pub(super) async fn issue(&mut self, batch: &Batch, index: usize, since: bool) -> Tried<Issued> {
        let mailbox = &batch.locals[index];
        self.count(|progress| progress.mailboxes_sent += 1);
        let mut issued = Issued::new(index, since);
        if mailbox.is_placeholder() {
            let line = self.placeholder_line(batch, mailbox)?;
            self.send_or_hold(mailbox, &mut issued, line, Vec::new(), u64::MAX, Vec::new())
                .await?;
            return Ok(issued);
        }
        let remote = batch
            .remotes
            .get(&mailbox.uniqueid)
            .filter(|line| !is_placeholder(line));
        let (above_modseq, above_uid) = batch.base_of(mailbox);
        issued.base = Some((mailbox.uniqueid.clone(), above_modseq));
        let source = Source {
            scope: mailbox.key().scope,
            name: mailbox.name.clone(),
            partition: self.partition_of(mailbox),
            above_uid,
        };
        let mut plan = self.plan(batch, mailbox, since).await?;
        if let Some(moved) = batch.moved.get(&mailbox.uniqueid)
            && !plan.tell_moved(moved)
        {
            let uids = moved.iter().map(|record| record.uid).collect();
            self.expunge_there(&mailbox.name, &mailbox.uniqueid, uids).await?;
        }
        issued.refused = self.hidden_difference(&plan, mailbox, remote).await?;
        if issued.refused.is_some() {
            return Ok(issued);
        }
        if plan.is_long() {
            // The others go on beside it.
            self.speaking = None;
        }
        while let Some(step) = plan.steps.pop_front() {
            self.check_stop()?;
            self.glance(&mut issued)?;
            if issued.refused.is_some() {
                break;
            }
            let rows = plan.rows_of(&step);
            let _alone = self.alone_with(&rows, above_uid).await;
            self.rely().await;
            let (rows, uploads) = self.upload_rows(&source, mailbox, rows).await?;
            let (line, rows, cap) = self.step_line(&mut plan, mailbox, remote, &step, rows).await?;
            self.send_or_hold(mailbox, &mut issued, line, rows, cap, uploads)
                .await?;
        }
        Ok(issued)
    }

    /// Refuses by ourselves what the replica would take though it is not the whole. The sum over live messages may be that of
    /// none by chance, so the replica is asked for its records. [CS-SPLIT-35]
    async fn hidden_difference(
        &mut self,
        plan: &Plan,
        mailbox: &Mailbox,
        remote: Option<&MailboxLine>,
    ) -> Tried<Option<Refusal>> {
        let Some(line) = remote else { return Ok(None) };
        let what = match plan.hides_a_difference(mailbox, line) {
            None => return Ok(None),
            Some(Hidden::NoneThere) if self.holds_mail(line).await? => return Ok(None),
            Some(Hidden::NoneThere) => "has no live message on the replica, and would get none",
            Some(Hidden::NoneHere) => "has live messages on the replica alone, and would keep them",
        };
        Ok(Some(Refusal {
            code: Code::SyncChecksum,
            text: format!("{} {what}", mailbox.name),
        }))
    }

    /// Waits until nothing else is under way, when a step is little more than a message that all would wait behind. A
    /// Cyrus gets a mailbox as a whole, and is not kept waiting for all the others with it.
    async fn alone_with(&self, rows: &Rows, above_uid: u32) -> Option<Alone> {
        let Rows::Held(records) = rows else { return None };
        if !self.peer.is_mailtwin() {
            return None;
        }
        let new = records
            .iter()
            .filter(|record| !record.is_expunged() && record.uid > above_uid);
        let (mut all, mut largest) = (0u64, 0);
        for record in new {
            all = all.saturating_add(record.size);
            largest = largest.max(record.size);
        }
        if largest >= HEAVY_BYTES && largest >= all / 2 {
            return Some(self.heavy.alone(all).await);
        }
        None
    }

    async fn send_or_hold(
        &mut self,
        mailbox: &Mailbox,
        issued: &mut Issued,
        line: MailboxLine,
        rows: Vec<Rows>,
        cap: u64,
        uploads: Vec<Sent>,
    ) -> Tried<()> {
        if self.peer.is_mailtwin() {
            issued.sent.extend(uploads);
            let sent = self.send_line(mailbox, line, rows, cap).await?;
            issued.sent.push_back(sent);
            self.restart_when_full();
        } else {
            issued.held = Some(HeldLine {
                line,
                rows,
                uploads,
                doubts: self.uploads.doubts(),
            });
        }
        Ok(())
    }

    /// Waits for the answers to the uploads of a line that was kept back.
    pub(super) async fn hear_uploads(&mut self, issued: &mut Issued) -> Tried<()> {
        let Some(held) = &mut issued.held else {
            return Ok(());
        };
        for sent in std::mem::take(&mut held.uploads) {
            if let Err(refusal) = self.wire.answer(sent).await?.result {
                self.uploads.doubt();
                issued.refused.get_or_insert(refusal);
            }
        }
        Ok(())
    }

    /// Sends the line that [`Run::issue`] kept back. Cyrus aborts at a live record whose message is not staged, so
    /// its word on the uploads comes first.
    pub(super) async fn commit(&mut self, batch: &Batch, mut issued: Issued) -> Tried<Issued> {
        while issued.held.is_some() {
            self.hear_uploads(&mut issued).await?;
            if let Some(refusal) = issued.refused {
                return Err(refusal.into());
            }
            let Some(held) = issued.held.take() else { break };
            if held.doubts == self.uploads.doubts() {
                let mailbox = &batch.locals[issued.index];
                let sent = self.send_line(mailbox, held.line, held.rows, u64::MAX).await?;
                issued.sent.push_back(sent);
            } else {
                // It may count on an upload for another mailbox that was refused meanwhile.
                issued = self.issue(batch, issued.index, issued.since).await?;
            }
        }
        Ok(issued)
    }

    /// Looks whether something of the mailbox is refused already.
    fn glance(&mut self, issued: &mut Issued) -> Tried<()> {
        while let Some(sent) = issued.sent.front().copied() {
            let Some(answer) = self.wire.answer_now(sent)? else {
                break;
            };
            issued.sent.pop_front();
            if let Err(refusal) = answer.result {
                self.uploads.doubt();
                issued.refused.get_or_insert(refusal);
            }
        }
        Ok(())
    }

    /// Finds what has changed, and for a peer that takes parts of a mailbox where to cut.
    async fn plan(&mut self, batch: &Batch, mailbox: &Mailbox, since: bool) -> Tried<Plan> {
        let (base_modseq, base_uid) = batch.base_of(mailbox);
        let uids = self.changed_uids(&mailbox.key(), base_modseq).await?;
        let mut held = None;
        if uids.len() <= ROWS_HELD_MAX {
            held = Some(self.read_records(&mailbox.key(), &uids).await?);
        }
        let crcs = batch
            .remotes
            .get(&mailbox.uniqueid)
            .map(|line| (line.sync_crc, line.sync_crc_annot));
        let old = uids.partition_point(|uid| *uid <= base_uid);
        let whole = Step {
            messages: uids.len() - old,
            last_uid: mailbox.last_uid,
            highestmodseq: mailbox.highestmodseq,
        };
        let (mut steps, mut late) = (vec![whole], Vec::new());
        if self.peer.is_mailtwin() && whole.messages >= STEPPED_FROM {
            let cutter = self.cut(mailbox, &uids, held.as_deref(), base_uid).await?;
            (steps, late) = cutter.finish(base_modseq, mailbox.last_uid, mailbox.highestmodseq);
        }
        Ok(Plan {
            done: old,
            held,
            is_stepped: steps.len() > 1,
            steps: steps.into(),
            late,
            since: (since && base_modseq > 0).then_some(base_modseq),
            since_crcs: crcs.unwrap_or_default(),
            uids,
        })
    }

    async fn cut(
        &mut self,
        mailbox: &Mailbox,
        uids: &[u32],
        held: Option<&[Record]>,
        base_uid: u32,
    ) -> Tried<Cutter> {
        let mut cutter = Cutter::new(base_uid, self.config.step_messages_max);
        match held {
            Some(records) => records.iter().for_each(|record| cutter.push(record)),
            None => {
                let mut reader = RecordReader::new(&mailbox.key(), uids);
                while let Some(records) = reader.next(&self.port).await? {
                    records.iter().for_each(|record| cutter.push(record));
                }
            }
        }
        Ok(cutter)
    }

    /// The line of a step, its records, and the modseq above which none is sent. [CS-MASTER-57]
    async fn step_line(
        &mut self,
        plan: &mut Plan,
        mailbox: &Mailbox,
        remote: Option<&MailboxLine>,
        step: &Step,
        rows: Rows,
    ) -> Tried<(MailboxLine, Vec<Rows>, u64)> {
        let mut line = self.mailbox_line(mailbox);
        // The replica counts conversations of its own, and takes no lower value than it has.
        let theirs = remote.and_then(|line| line.xconvmodseq).unwrap_or(0);
        line.xconvmodseq = line.xconvmodseq.map(|ours| ours.max(theirs));
        line.since_modseq = plan.since;
        // Only the state before the first step has CRCs that are known.
        let crcs = std::mem::take(&mut plan.since_crcs);
        if plan.since.is_some() {
            (line.since_crc, line.since_crc_annot) = crcs;
        }
        // A step counts on the one before it, which may be refused when this one is on its way: it would leave a hole.
        plan.since = Some(step.highestmodseq);
        if !plan.is_stepped {
            return Ok((line, vec![rows], u64::MAX));
        }
        // What was sent lowered, or is already there and changed, goes once its modseq is reached.
        let due = plan.take_due(step.highestmodseq);
        if plan.steps.is_empty() {
            return Ok((line, vec![due, rows], u64::MAX));
        }
        let lowered = self.rows_above(mailbox, &rows, step.highestmodseq).await?;
        plan.late.extend(lowered);
        lower_line(&mut line, step, remote);
        Ok((line, vec![due, rows], step.highestmodseq))
    }

    /// UIDs and modseqs of the rows that are sent lowered to `cap`.
    async fn rows_above(&mut self, mailbox: &Mailbox, rows: &Rows, cap: u64) -> Tried<Vec<(u32, u64)>> {
        let above = |records: &[Record]| -> Vec<(u32, u64)> {
            records
                .iter()
                .filter(|r| r.modseq > cap)
                .map(|r| (r.uid, r.modseq))
                .collect()
        };
        match rows {
            Rows::Held(records) => Ok(above(records)),
            Rows::Uids(uids) => {
                let mut found = Vec::new();
                let mut reader = RecordReader::new(&mailbox.key(), uids);
                while let Some(records) = reader.next(&self.port).await? {
                    found.extend(above(&records));
                }
                Ok(found)
            }
        }
    }

    /// All records of these UIDs; for few.
    pub(super) async fn read_records(&self, key: &MailboxKey, uids: &[u32]) -> Tried<Vec<Record>> {
        let mut reader = RecordReader::new(key, uids);
        let mut all = Vec::with_capacity(uids.len());
        while let Some(mut records) = reader.next(&self.port).await? {
            all.append(&mut records);
        }
        Ok(all)
    }

    /// Uploads the messages of the rows, and reads few rows into memory on the way.
    async fn upload_rows(
        &mut self,
        source: &Source,
        mailbox: &Mailbox,
        rows: Rows,
    ) -> Tried<(Rows, Vec<Sent>)> {
        match rows {
            Rows::Held(records) => {
                let sent = self.upload_held(source, &records).await?;
                Ok((Rows::Held(records), sent))
            }
            Rows::Uids(uids) => {
                let mut reader = RecordReader::new(&mailbox.key(), &uids);
                if uids.len() > ROWS_HELD_MAX {
                    let sent = self.upload(source, &mut reader, None).await?;
                    return Ok((Rows::Uids(uids), sent));
                }
                let mut records = Vec::with_capacity(uids.len());
                let sent = self.upload(source, &mut reader, Some(&mut records)).await?;
                Ok((Rows::Held(records), sent))
            }
        }
    }

    /// Sends a MAILBOX line with its records; modseqs above `cap` are sent as `cap`.
    async fn send_line(
        &mut self,
        mailbox: &Mailbox,
        line: MailboxLine,
        lists: Vec<Rows>,
        cap: u64,
    ) -> Tried<Sent> {
        let turn = self.wire.line().await;
        self.wire.bound(self.config.pipeline_bytes_max).await?;
        let begin = Streaming::Mailbox {
            line: Box::new(line),
            local: self.config.local_only,
        };
        let sent = self.wire.begin(turn, "APPLY MAILBOX", &mailbox.name, &begin);
        for rows in lists {
            match rows {
                Rows::Held(records) => self.send_records(records, cap).await?,
                Rows::Uids(uids) => {
                    let mut reader = RecordReader::new(&mailbox.key(), &uids);
                    while let Some(records) = self.next_or_tear(&mut reader).await? {
                        self.send_records(records, cap).await?;
                    }
                }
            }
        }
        self.wire.end();
        Ok(sent)
    }

    /// The next records of an open line. An incomplete list must not look like a complete one: when they cannot be
    /// read, the line stays open and the connection ends.
    async fn next_or_tear(&mut self, reader: &mut RecordReader) -> Tried<Option<Vec<Record>>> {
        match reader.next(&self.port).await {
            Ok(records) => Ok(records),
            Err(error) => Err(Trouble::Halt(Ending::Storage(error.to_string()))),
        }
    }

    async fn send_records(&mut self, mut records: Vec<Record>, cap: u64) -> Tried<()> {
        self.count(|progress| progress.records_sent += records.len() as u64);
        for some in records.chunks_mut(ROWS_AT_ONCE) {
            self.port.encode(|encoder| {
                for record in some {
                    record.modseq = record.modseq.min(cap);
                    encoder.record(record);
                }
            });
            self.wire.room().await?;
        }
        Ok(())
    }
}

/// Bytes of these messages; a replica may say anything of the size of its own.
fn bytes_of(records: &[Record]) -> u64 {
    let sizes = records.iter().map(|record| record.size);
    sizes.fold(0, u64::saturating_add)
}

impl Plan {
    /// Whether others should not wait until all of it is sent.
    fn is_long(&self) -> bool {
        self.held
            .as_deref()
            .is_none_or(|records| records.len() > SPOKEN_RECORDS_MAX || bytes_of(records) > SPOKEN_BYTES_MAX)
    }

    /// The rows of a step: all that changed when it is the only one, else the messages that are new.
    fn rows_of(&mut self, step: &Step) -> Rows {
        if !self.is_stepped {
            return match self.held.take() {
                Some(records) => Rows::Held(records),
                None => Rows::Uids(std::mem::take(&mut self.uids)),
            };
        }
        let end = (self.done + step.messages).min(self.uids.len());
        let new = &self.uids[self.done..end];
        self.done = end;
        match (&self.held, new) {
            (Some(records), [first, .., last]) => {
                let wanted = records
                    .iter()
                    .filter(|record| (*first..=*last).contains(&record.uid));
                Rows::Held(wanted.cloned().collect())
            }
            _ => Rows::Uids(new.to_vec()),
        }
    }

    /// Takes the late records whose modseq is reached.
    fn take_due(&mut self, modseq: u64) -> Rows {
        let (due, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(_, m)| *m <= modseq);
        self.late = rest;
        let mut uids: Vec<u32> = due.into_iter().map(|(uid, _)| uid).collect();
        uids.sort_unstable();
        Rows::Uids(uids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Flags, Guid};

    #[test]
    fn sizes_that_nobody_has_do_not_overflow() {
        let record = |size: u64| Record {
            uid: 1,
            modseq: 1,
            last_updated: 0,
            flags: Flags::default(),
            internaldate: 0,
            size,
            guid: Guid::NULL,
            annotations: Vec::new(),
        };
        assert_eq!(bytes_of(&[record(3), record(4)]), 7);
        assert_eq!(bytes_of(&[record(u64::MAX), record(1)]), u64::MAX);
    }
}
