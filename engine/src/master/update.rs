//! One mailbox to the replica: whether it differs, what has changed, and sending that. [CS-MASTER-7]

use std::collections::VecDeque;

use protocol::command::Streaming;
use protocol::{Annotation, MailboxLine, Record, Text};

use super::ask::RecordReader;
use super::folders::{Batch, is_placeholder};
use super::retry::Rung;
use super::run::{Run, Tried, Trouble};
use super::steps::{Cutter, STEP_MESSAGES_MAX, Step};
use super::upload::Source;
use super::wire::{Refusal, Sent};
use crate::crc::SyncCrc;
use crate::model::{Mailbox, MailboxKey};

/// Records held in memory instead of being read a second time.
const HELD_RECORDS_MAX: usize = STEP_MESSAGES_MAX;
/// New messages from which a mailbox may be sent in steps.
const STEPPED_FROM: usize = 64;
/// Mailboxes under way at most.
const MAILBOXES_MAX: usize = 64;

/// What the comparison found.
pub(super) struct Todo {
    /// Indexes of mailboxes that differ.
    pub(super) send: Vec<usize>,
    /// Indexes of mailboxes of which the replica has changes of its own.
    pub(super) merge: Vec<usize>,
}

/// A mailbox whose lines are on the way.
pub(super) struct Issued {
    index: usize,
    sent: VecDeque<Sent>,
    refused: Option<Refusal>,
}

/// Records of a line, in memory or to be read.
enum Rows {
    Held(Vec<Record>),
    Uids(Vec<u32>),
}

impl Run {
    /// Sorts the batch's mailboxes by what has to be done about them.
    pub(super) async fn compare(&mut self, batch: &mut Batch) -> Tried<Todo> {
        let mut todo = Todo {
            send: Vec::new(),
            merge: Vec::new(),
        };
        for index in 0..batch.locals.len() {
            let mailbox = &batch.locals[index];
            self.count(|progress| progress.mailboxes += 1);
            if batch.failed.contains_key(&mailbox.name) {
                continue;
            }
            let line = batch.remotes.get(&mailbox.uniqueid);
            if mailbox.is_placeholder() {
                if !placeholder_equal(mailbox, line) {
                    todo.send.push(index);
                }
                continue;
            }
            match line.filter(|line| !is_placeholder(line)) {
                Some(line) if is_equal(mailbox, line, &self.partition_of(mailbox)) => {}
                Some(line) if self.config.copyback && needs_merge(mailbox, line) => todo.merge.push(index),
                _ => todo.send.push(index),
            }
        }
        Ok(todo)
    }

    /// Sends all that differs; what is refused goes through the retry ladder once everything else is through.
    pub(super) async fn update_all(&mut self, batch: &mut Batch, todo: Todo) -> Tried<()> {
        let mut under_way: VecDeque<Issued> = VecDeque::new();
        let mut refused = Vec::new();
        for index in todo.send {
            self.check_stop()?;
            match self.issue(batch, index, true).await {
                Ok(issued) => under_way.push_back(issued),
                Err(Trouble::Item(reason)) => batch.fail(&batch.locals[index].name.clone(), reason),
                Err(halt) => return Err(halt),
            }
            if under_way.len() > MAILBOXES_MAX
                && let Some(issued) = under_way.pop_front()
            {
                self.settle_into(issued, &mut refused).await?;
            }
        }
        for issued in under_way {
            self.settle_into(issued, &mut refused).await?;
        }
        let merges = todo.merge.into_iter().map(|index| (index, Rung::Merge));
        for (index, rung) in refused.into_iter().chain(merges) {
            self.check_stop()?;
            match self.climb(batch, index, rung).await {
                Ok(()) => {}
                Err(Trouble::Item(reason)) => batch.fail(&batch.locals[index].name.clone(), reason),
                Err(halt) => return Err(halt),
            }
        }
        Ok(())
    }

    async fn settle_into(&mut self, issued: Issued, refused: &mut Vec<(usize, Rung)>) -> Tried<()> {
        let index = issued.index;
        if let Some(refusal) = self.settle(issued).await? {
            refused.push((index, Rung::Refused(refusal)));
        }
        Ok(())
    }

    /// Waits for a mailbox's answers; the first refusal counts.
    pub(super) async fn settle(&mut self, mut issued: Issued) -> Tried<Option<Refusal>> {
        while let Some(sent) = issued.sent.pop_front() {
            if let Err(refusal) = self.wire.answer(sent).await?.result {
                self.uploads.forget();
                issued.refused.get_or_insert(refusal);
            }
        }
        Ok(issued.refused)
    }

    /// Looks whether something of the mailbox is refused already.
    fn glance(&mut self, issued: &mut Issued) -> Tried<()> {
        while let Some(sent) = issued.sent.front().copied() {
            let Some(answer) = self.wire.answer_now(sent)? else {
                break;
            };
            issued.sent.pop_front();
            if let Err(refusal) = answer.result {
                issued.refused.get_or_insert(refusal);
            }
        }
        Ok(())
    }

    /// Sends what the replica lacks of a mailbox, without waiting for its last answer.
    pub(super) async fn issue(&mut self, batch: &Batch, index: usize, since: bool) -> Tried<Issued> {
        let mailbox = &batch.locals[index];
        let remote = batch
            .remotes
            .get(&mailbox.uniqueid)
            .filter(|line| !is_placeholder(line));
        self.count(|progress| progress.mailboxes_sent += 1);
        let mut issued = Issued {
            index,
            sent: VecDeque::new(),
            refused: None,
        };
        if mailbox.is_placeholder() {
            let line = self.placeholder_line(batch, mailbox)?;
            issued
                .sent
                .push_back(self.send_line(mailbox, line, Vec::new(), u64::MAX).await?);
            return Ok(issued);
        }
        let (base_modseq, base_uid) = batch.base_of(mailbox);
        let source = Source {
            scope: mailbox.key().scope,
            name: mailbox.name.clone(),
            partition: self.partition_of(mailbox),
            above_uid: base_uid,
        };
        let uids = self.changed_uids(&mailbox.key(), base_modseq).await?;
        let mut held = None;
        if uids.len() <= HELD_RECORDS_MAX {
            held = Some(self.read_records(&mailbox.key(), &uids).await?);
        }
        let (steps, mut late) = self
            .plan_steps(mailbox, &uids, held.as_deref(), base_modseq, base_uid)
            .await?;
        let mut start = uids.partition_point(|uid| *uid <= base_uid);
        let mut since_modseq = (since && base_modseq > 0).then_some(base_modseq);
        let crcs = remote
            .map(|line| (line.sync_crc, line.sync_crc_annot))
            .filter(|_| since_modseq.is_some());
        let last = steps.len() - 1;
        for (at, step) in steps.into_iter().enumerate() {
            if at > 0 {
                self.check_stop()?;
                self.glance(&mut issued)?;
                if issued.refused.is_some() {
                    break;
                }
            }
            let new = &uids[start..start + step.messages];
            start += step.messages;
            let rows = match &mut held {
                Some(records) if last == 0 => Rows::Held(std::mem::take(records)),
                Some(records) => {
                    let from = records.partition_point(|r| new.first().is_some_and(|uid| r.uid < *uid));
                    Rows::Held(records[from..from + new.len()].to_vec())
                }
                None => Rows::Uids(new.to_vec()),
            };
            let rows = self.upload_rows(&source, mailbox, rows, &mut issued).await?;
            let mut line = self.mailbox_line(mailbox);
            // The replica counts conversations of its own, and takes no lower value than it has.
            let theirs = remote.and_then(|r| r.xconvmodseq).unwrap_or(0);
            line.xconvmodseq = line.xconvmodseq.map(|ours| ours.max(theirs));
            let (mut lists, mut cap) = (vec![rows], u64::MAX);
            if last > 0 {
                // What was sent lowered, or is already there and changed, goes once its modseq is reached.
                let (due, rest) = late
                    .into_iter()
                    .partition(|(_, modseq)| *modseq <= step.highestmodseq);
                late = rest;
                lists.insert(0, Rows::Uids(due_uids(due)));
                if at < last {
                    cap = step.highestmodseq;
                    lower_line(&mut line, &step, remote);
                    late.extend(self.rows_above(mailbox, &lists[1], cap).await?);
                }
            }
            line.since_modseq = since_modseq;
            if let Some((basic, annot)) = crcs.filter(|_| at == 0) {
                line.since_crc = basic;
                line.since_crc_annot = annot;
            }
            since_modseq = since_modseq.map(|_| step.highestmodseq);
            issued
                .sent
                .push_back(self.send_line(mailbox, line, lists, cap).await?);
            self.restart_when_full();
        }
        Ok(issued)
    }

    /// Steps for a peer that takes parts of a mailbox, else one; and what of the replica's UIDs has changed.
    async fn plan_steps(
        &mut self,
        mailbox: &Mailbox,
        uids: &[u32],
        held: Option<&[Record]>,
        base_modseq: u64,
        base_uid: u32,
    ) -> Tried<(Vec<Step>, Vec<(u32, u64)>)> {
        let new = uids.len() - uids.partition_point(|uid| *uid <= base_uid);
        if !self.peer.is_mailtwin() || new < STEPPED_FROM {
            let whole = Step {
                messages: new,
                last_uid: mailbox.last_uid,
                highestmodseq: mailbox.highestmodseq,
            };
            return Ok((vec![whole], Vec::new()));
        }
        let mut cutter = Cutter::new(base_uid);
        match held {
            Some(records) => records.iter().for_each(|record| cutter.push(record)),
            None => {
                let mut reader = RecordReader::new(&mailbox.key(), uids);
                while let Some(records) = reader.next(&self.port).await? {
                    records.iter().for_each(|record| cutter.push(record));
                }
            }
        }
        Ok(cutter.finish(base_modseq, mailbox.last_uid, mailbox.highestmodseq))
    }

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
        issued: &mut Issued,
    ) -> Tried<Rows> {
        let (rows, blocks) = match rows {
            Rows::Held(records) => {
                let blocks = self.upload_held(source, &records).await?;
                (Rows::Held(records), blocks)
            }
            Rows::Uids(uids) => {
                let mut reader = RecordReader::new(&mailbox.key(), &uids);
                if uids.len() <= HELD_RECORDS_MAX {
                    let mut records = Vec::with_capacity(uids.len());
                    let blocks = self.upload(source, &mut reader, Some(&mut records)).await?;
                    (Rows::Held(records), blocks)
                } else {
                    let blocks = self.upload(source, &mut reader, None).await?;
                    (Rows::Uids(uids), blocks)
                }
            }
        };
        if self.peer.is_mailtwin() {
            issued.sent.extend(blocks);
            return Ok(rows);
        }
        // Cyrus aborts at a live record whose message is not staged, so its word on that comes first.
        for sent in blocks {
            if let Err(refusal) = self.wire.answer(sent).await?.result {
                self.uploads.forget();
                return Err(refusal.into());
            }
        }
        Ok(rows)
    }

    /// UIDs and modseqs of the rows that are sent lowered to `cap`.
    async fn rows_above(&mut self, mailbox: &Mailbox, rows: &Rows, cap: u64) -> Tried<Vec<(u32, u64)>> {
        let mut found = Vec::new();
        let mut look = |records: &[Record]| {
            found.extend(
                records
                    .iter()
                    .filter(|r| r.modseq > cap)
                    .map(|r| (r.uid, r.modseq)),
            );
        };
        match rows {
            Rows::Held(records) => look(records),
            Rows::Uids(uids) => {
                let mut reader = RecordReader::new(&mailbox.key(), uids);
                while let Some(records) = reader.next(&self.port).await? {
                    look(&records);
                }
            }
        }
        Ok(found)
    }

    /// Sends a MAILBOX line with its records; modseqs above `cap` are sent as `cap`.
    async fn send_line(
        &mut self,
        mailbox: &Mailbox,
        line: MailboxLine,
        lists: Vec<Rows>,
        cap: u64,
    ) -> Tried<Sent> {
        self.wire.bound(self.config.pipeline_bytes_max).await?;
        let begin = Streaming::Mailbox {
            line: Box::new(line),
            local: self.config.local_only,
        };
        let sent = self.wire.begin("APPLY MAILBOX", &mailbox.name, &begin);
        for rows in lists {
            match rows {
                Rows::Held(records) => self.send_records(records, cap).await?,
                Rows::Uids(uids) => {
                    let mut reader = RecordReader::new(&mailbox.key(), &uids);
                    loop {
                        match reader.next(&self.port).await {
                            Ok(Some(records)) => self.send_records(records, cap).await?,
                            Ok(None) => break,
                            Err(error) => {
                                // An incomplete list must not look like a complete one: the line stays open.
                                self.uploads.torn = true;
                                return Err(Trouble::Halt(super::Ending::Storage(error.to_string())));
                            }
                        }
                    }
                }
            }
        }
        self.port.encode(|encoder| encoder.end());
        Ok(sent)
    }

    async fn send_records(&mut self, records: Vec<Record>, cap: u64) -> Tried<()> {
        self.count(|progress| progress.records_sent += records.len() as u64);
        let mut records = records;
        for some in records.chunks_mut(64) {
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

    /// The full line of a mailbox as it is here. [CS-MBOX-1]
    fn mailbox_line(&self, mailbox: &Mailbox) -> MailboxLine {
        let some = |text: &Text| (!text.is_empty()).then(|| text.clone());
        MailboxLine {
            jmapid: mailbox.jmapid.clone(),
            uniqueid: Some(mailbox.uniqueid.clone()),
            mboxname: Some(mailbox.name.clone()),
            mboxtype: some(&mailbox.mbtype),
            sync_crc: Some(mailbox.crc.basic),
            sync_crc_annot: Some(mailbox.crc.annot),
            last_uid: Some(mailbox.last_uid),
            highestmodseq: Some(mailbox.highestmodseq),
            recentuid: Some(mailbox.recentuid),
            recenttime: Some(mailbox.recenttime),
            last_appenddate: Some(mailbox.last_appenddate),
            pop3_last_login: Some(mailbox.pop3_last_login),
            pop3_show_after: Some(mailbox.pop3_show_after),
            xconvmodseq: mailbox.xconvmodseq,
            compact_emailids: mailbox.compact_emailids,
            raclmodseq: (mailbox.raclmodseq > 0).then_some(mailbox.raclmodseq),
            usergroups: mailbox.usergroups.clone(),
            version: mailbox.version,
            uidvalidity: Some(mailbox.uidvalidity),
            partition: Some(Some(self.partition_of(mailbox))),
            acl: Some(Some(mailbox.acl.clone())),
            options: Some(mailbox.options),
            quotaroot: mailbox.quotaroot.clone(),
            createdmodseq: Some(mailbox.createdmodseq),
            foldermodseq: Some(mailbox.foldermodseq),
            deletedmodseq: (mailbox.deletedmodseq > 0).then_some(mailbox.deletedmodseq),
            annotations: (!mailbox.annotations.is_empty()).then(|| mailbox.annotations.clone()),
            userflags: (!mailbox.userflags.is_empty()).then(|| mailbox.userflags.clone()),
            has_records: true,
            ..MailboxLine::default()
        }
    }

    /// An intermediate's line; not where the replica has a real mailbox of that name or identity. [CS-MBOX-6]
    fn placeholder_line(&self, batch: &Batch, mailbox: &Mailbox) -> Tried<MailboxLine> {
        let in_the_way = batch.remotes.values().any(|line| {
            !is_placeholder(line)
                && (line.uniqueid.as_ref() == Some(&mailbox.uniqueid)
                    || line.mboxname.as_ref() == Some(&mailbox.name))
        });
        if in_the_way {
            return Err(Trouble::Item(format!(
                "{} has no messages of its own here, but is a mailbox on the replica; delete it there",
                mailbox.name
            )));
        }
        Ok(MailboxLine {
            uniqueid: Some(mailbox.uniqueid.clone()),
            mboxname: Some(mailbox.name.clone()),
            mboxtype: Some(mailbox.mbtype.clone()),
            highestmodseq: Some(mailbox.highestmodseq.max(mailbox.foldermodseq)),
            createdmodseq: Some(mailbox.createdmodseq),
            foldermodseq: Some(mailbox.foldermodseq),
            ..MailboxLine::default()
        })
    }
}

fn due_uids(due: Vec<(u32, u64)>) -> Vec<u32> {
    let mut uids: Vec<u32> = due.into_iter().map(|(uid, _)| uid).collect();
    uids.sort_unstable();
    uids
}

/// Turns a full line into that of a step before the last. [CS-MASTER-9]
fn lower_line(line: &mut MailboxLine, step: &Step, remote: Option<&MailboxLine>) {
    line.sync_crc = Some(0);
    line.sync_crc_annot = None;
    line.last_uid = Some(step.last_uid);
    line.highestmodseq = Some(step.highestmodseq);
    line.last_appenddate = Some(0);
    line.recentuid = Some(remote.and_then(|r| r.recentuid).unwrap_or(0));
    line.recenttime = Some(remote.and_then(|r| r.recenttime).unwrap_or(0));
    line.pop3_last_login = Some(remote.and_then(|r| r.pop3_last_login).unwrap_or(0));
    line.pop3_show_after = Some(remote.and_then(|r| r.pop3_show_after).unwrap_or(0));
    line.xconvmodseq = None;
    line.raclmodseq = None;
}

/// Whether the replica's intermediate is ours.
fn placeholder_equal(mailbox: &Mailbox, line: Option<&MailboxLine>) -> bool {
    line.is_some_and(|line| {
        is_placeholder(line)
            && line.mboxname.as_ref() == Some(&mailbox.name)
            && line
                .foldermodseq
                .is_none_or(|modseq| modseq == mailbox.foldermodseq)
    })
}

/// The replica's CRCs; an absent one is 0, which switches its check off.
pub(super) fn crc_of(line: &MailboxLine) -> SyncCrc {
    SyncCrc {
        basic: line.sync_crc.unwrap_or(0),
        annot: line.sync_crc_annot.unwrap_or(0),
    }
}

/// Whether nothing need be sent. [CS-MASTER-8]
fn is_equal(mailbox: &Mailbox, line: &MailboxLine, partition: &Text) -> bool {
    let letters = |text: Option<&Text>| -> Vec<u8> {
        let mut letters: Vec<u8> = text.map(|t| t.to_vec()).unwrap_or_default();
        letters.retain(|letter| *letter != b'e' && *letter != b'l');
        letters.sort_unstable();
        letters
    };
    let acl = line.acl.clone().flatten().unwrap_or_default();
    let both = |ours: u64, theirs: Option<u64>| ours == 0 || theirs.unwrap_or(0) == 0 || Some(ours) == theirs;
    line.mboxname.as_ref() == Some(&mailbox.name)
        && line.partition.clone().flatten().is_none_or(|p| p == *partition)
        && letters(line.mboxtype.as_ref()) == letters(Some(&mailbox.mbtype))
        && line.last_uid == Some(mailbox.last_uid)
        && line.highestmodseq == Some(mailbox.highestmodseq)
        && line.uidvalidity == Some(mailbox.uidvalidity)
        && line.recentuid == Some(mailbox.recentuid)
        && line.recenttime == Some(mailbox.recenttime)
        && line.pop3_last_login == Some(mailbox.pop3_last_login)
        && line.pop3_show_after.unwrap_or(0) == mailbox.pop3_show_after
        && line.options.unwrap_or_default() == mailbox.options
        && line
            .foldermodseq
            .is_none_or(|modseq| modseq == 0 || modseq == mailbox.foldermodseq)
        && acl == mailbox.acl
        && both(mailbox.raclmodseq, line.raclmodseq)
        && mailbox
            .xconvmodseq
            .is_none_or(|ours| line.xconvmodseq.is_none_or(|theirs| theirs >= ours))
        && same_annotations(
            &mailbox.annotations,
            line.annotations.as_deref().unwrap_or_default(),
        )
        && mailbox.crc.agrees_with(crc_of(line))
}

/// Whether two annotation lists say the same, in whatever order and with whatever modseqs.
pub(super) fn same_annotations(ours: &[Annotation], theirs: &[Annotation]) -> bool {
    let sorted = |list: &[Annotation]| {
        let mut keys: Vec<(Text, Text, Text)> = list
            .iter()
            .map(|a| (a.entry.clone(), a.userid.clone(), a.value.clone()))
            .collect();
        keys.sort();
        keys
    };
    ours.len() == theirs.len() && sorted(ours) == sorted(theirs)
}

/// Whether the replica has what no delta of ours can bring in line. [CS-MASTER-11]
fn needs_merge(mailbox: &Mailbox, line: &MailboxLine) -> bool {
    let theirs = line.highestmodseq.unwrap_or(0);
    theirs > mailbox.highestmodseq
        || line.last_uid.unwrap_or(0) > mailbox.last_uid
        || mailbox.deletedmodseq > theirs
        || (theirs == mailbox.highestmodseq
            && line.last_uid == Some(mailbox.last_uid)
            && !mailbox.crc.agrees_with(crc_of(line)))
}
