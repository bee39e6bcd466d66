//! The full compare: reads all the replica has of a mailbox, merges it with ours in one transaction here, and has the
//! replica expunge what moved. The update that follows makes both equal. [CS-MASTER-31] [CS-MASTER-32] [CS-MASTER-50]

use protocol::command::{Apply, Command, Get};
use protocol::decode::ReplyEvent;
use protocol::response::StreamingData;
use protocol::{MailboxLine, Record, SystemFlags, Text};

use super::ask::{RECORDS_AT_ONCE, RecordCursor};
use super::folders::Batch;
use super::merge_rules::{self, Sides, Verdict};
use super::run::{Run, Tried, Trouble};
use super::wire::Sent;
use crate::crc::SyncCrc;
use crate::model::{Mailbox, MailboxKey};
use crate::ticket::{Change, Request};

/// A message that gets a new UID, in the order in which UIDs are given out.
enum Move {
    /// The replica's comes here.
    CopyBack(Record),
    /// Ours changes its UID.
    Renumber(Record),
}

/// A merge under way.
struct Merge {
    before: Mailbox,
    after: Mailbox,
    sides: Sides,
    now: i64,
    cursor: RecordCursor,
    crc: SyncCrc,
    writes: Vec<Record>,
    /// Old places of renumbered messages: written last, so that no message is ever without a record.
    left_behind: Vec<Record>,
    rewritten: u64,
    moves: Vec<Move>,
    adopted: Vec<Record>,
    expunge_there: Vec<u32>,
    highest_seen: u32,
}

impl Merge {
    fn new(mailbox: Mailbox, line: &MailboxLine, now: i64) -> Tried<Self> {
        let (Some(their_last_uid), Some(their_highestmodseq), Some(their_uidvalidity)) =
            (line.last_uid, line.highestmodseq, line.uidvalidity)
        else {
            return Err(Trouble::Item(format!(
                "{}: the replica's full listing lacks required keys",
                mailbox.name
            )));
        };
        if line.uniqueid.as_ref().is_some_and(|id| *id != mailbox.uniqueid) {
            return Err(Trouble::Item(format!(
                "{}: the replica has another mailbox of that name",
                mailbox.name
            )));
        }
        let mut after = mailbox.clone();
        after.uidvalidity = after.uidvalidity.max(their_uidvalidity);
        after.foldermodseq = after.foldermodseq.max(line.foldermodseq.unwrap_or(0));
        after.xconvmodseq = after.xconvmodseq.max(after.xconvmodseq.and(line.xconvmodseq));
        if their_highestmodseq > after.highestmodseq {
            after.highestmodseq = their_highestmodseq;
            after.annotations = line.annotations.clone().unwrap_or_default();
        }
        after.last_uid = after.last_uid.max(their_last_uid);
        let sides = Sides {
            our_last_uid: mailbox.last_uid,
            our_deletedmodseq: mailbox.deletedmodseq,
            their_last_uid,
            their_highestmodseq,
        };
        Ok(Merge {
            cursor: RecordCursor::new(&mailbox.key()),
            before: mailbox,
            after,
            sides,
            now,
            crc: SyncCrc::EMPTY,
            writes: Vec::new(),
            left_behind: Vec::new(),
            rewritten: 0,
            moves: Vec::new(),
            adopted: Vec::new(),
            expunge_there: Vec::new(),
            highest_seen: 0,
        })
    }

    /// Writes a record with a new modseq.
    fn put(&mut self, record: Record) {
        let record = self.stamp(record);
        self.writes.push(record);
    }

    fn stamp(&mut self, mut record: Record) -> Record {
        self.after.highestmodseq += 1;
        record.modseq = self.after.highestmodseq;
        record.last_updated = self.now;
        for keyword in &record.flags.keywords {
            if !self
                .after
                .userflags
                .iter()
                .any(|known| known.eq_ignore_ascii_case(keyword))
            {
                self.after.userflags.push(keyword.clone());
            }
        }
        self.crc.toggle(&record);
        self.rewritten += 1;
        record
    }

    fn renumber(&mut self, ours: Record) {
        let mut tombstone = ours.clone();
        tombstone.flags.system = tombstone.flags.system.with(SystemFlags::EXPUNGED);
        let tombstone = self.stamp(tombstone);
        self.left_behind.push(tombstone);
        self.moves.push(Move::Renumber(ours));
    }

    fn copy_back(&mut self, theirs: Record) {
        self.expunge_there.push(theirs.uid);
        self.moves.push(Move::CopyBack(theirs));
    }

    fn carry_out(&mut self, verdict: Verdict, ours: Option<Record>, theirs: Option<Record>) {
        match (verdict, ours, theirs) {
            (Verdict::Keep, Some(ours), _) => self.crc.toggle(&ours),
            (Verdict::Rewrite(record), ..) => self.put(record),
            (Verdict::Renumber, Some(ours), _) => self.renumber(ours),
            (Verdict::Adopt, _, Some(theirs)) => self.adopted.push(theirs),
            (Verdict::CopyBack, _, Some(theirs)) => self.copy_back(theirs),
            (Verdict::Stale, _, Some(theirs)) => self.expunge_there.push(theirs.uid),
            (Verdict::Split, Some(ours), Some(theirs)) => {
                // The lower GUID gets the lower UID, so that both masters of a pair would decide alike.
                let ours_first = ours.guid < theirs.guid;
                let (mine, his) = (!ours.is_expunged(), !theirs.is_expunged());
                if mine && ours_first {
                    self.renumber(ours.clone());
                }
                if his {
                    self.copy_back(theirs);
                }
                if mine && !ours_first {
                    self.renumber(ours);
                }
            }
            (Verdict::Keep | Verdict::Split | Verdict::Renumber | Verdict::Adopt, ..) => {}
            (Verdict::CopyBack | Verdict::Stale, ..) => {}
        }
    }

    fn is_change(&self) -> bool {
        self.rewritten > 0 || self.after != self.before
    }
}

impl Run {
    /// Merges the replica's state of a mailbox into ours. Reads of the batch see the result.
    pub(super) async fn merge(&mut self, batch: &Batch, index: usize) -> Tried<()> {
        let key = batch.locals[index].key();
        self.end_read().await?;
        let merged = self.merge_in_transaction(&key).await;
        if let Err(halt @ Trouble::Halt(_)) = merged {
            return Err(halt);
        }
        self.begin_read(&batch.scope).await?;
        let (name, expunge) = merged?;
        if expunge.is_empty() {
            return Ok(());
        }
        let command = Apply::Expunge {
            mboxname: Some(name.clone()),
            uniqueid: Some(key.uniqueid),
            uids: Some(expunge),
        };
        let sent = self.wire.send("APPLY EXPUNGE", &name, &Command::Apply(command));
        if let Err(refusal) = self.wire.answer(sent).await?.result {
            self.notice(refusal.text);
        }
        Ok(())
    }

    async fn merge_in_transaction(&mut self, key: &MailboxKey) -> Tried<(Text, Vec<u32>)> {
        self.done(Request::Begin {
            scope: key.scope.clone(),
        })
        .await?;
        let merge = match self.merge_records(key).await {
            Ok(merge) => merge,
            Err(why) => return self.roll_back(why).await,
        };
        if merge.is_change() {
            self.done(Request::Commit).await?;
        } else {
            self.done(Request::Rollback).await?;
        }
        self.done(Request::ForgetStaged).await?;
        self.notice(format!(
            "{}: compared in full with the replica; {} records changed here, {} expunged there",
            merge.after.name,
            merge.rewritten,
            merge.expunge_there.len()
        ));
        Ok((merge.after.name, merge.expunge_there))
    }

    async fn merge_records(&mut self, key: &MailboxKey) -> Tried<Merge> {
        let Some(mailbox) = self.local_mailbox(key).await? else {
            return Err(Trouble::Item("the mailbox was deleted here meanwhile".to_owned()));
        };
        let name = mailbox.name.clone();
        let get = Command::Get(Get::FullMailbox(Some(name.clone())));
        let sent = self.wire.send("GET FULLMAILBOX", &name, &get);
        self.wire.front(sent).await?;
        let line = loop {
            match self.wire.streamed(sent).await? {
                Ok(ReplyEvent::Begin(StreamingData::Mailbox(line))) => break line,
                Ok(_) => {}
                Err(answer) => {
                    answer.result?;
                    return Err(Trouble::Item(format!("{name}: the replica gave no full listing")));
                }
            }
        };
        let begun = Merge::new(mailbox, &line, self.port.now().0);
        let mut merge = self.merge_stream(sent, begun).await?;
        self.merge_rest(&mut merge).await?;
        self.give_new_uids(&mut merge, &line).await?;
        merge.after.crc = merge.crc;
        if merge.is_change() {
            self.write(vec![Change::PutMailbox(Box::new(merge.after.clone()))])
                .await?;
        }
        Ok(merge)
    }

    /// Takes all of the replica's records; after an error the rest is read all the same, to stay in step.
    async fn merge_stream(&mut self, sent: Sent, begun: Tried<Merge>) -> Tried<Merge> {
        let mut state = begun;
        loop {
            match self.wire.streamed(sent).await? {
                Ok(ReplyEvent::Record(theirs)) => {
                    if let Ok(merge) = &mut state
                        && let Err(why) = self.meet(merge, theirs).await
                    {
                        state = Err(why);
                    }
                }
                Ok(_) => {}
                Err(answer) => {
                    answer.result?;
                    return state;
                }
            }
        }
    }

    async fn meet(&mut self, merge: &mut Merge, theirs: Record) -> Tried<()> {
        if theirs.uid <= merge.highest_seen {
            return Err(Trouble::Item(format!(
                "{}: the replica's UIDs are not ascending",
                merge.after.name
            )));
        }
        merge.highest_seen = theirs.uid;
        loop {
            let next = merge.cursor.peek(&self.port).await?.map(|ours| ours.uid);
            match next {
                Some(uid) if uid < theirs.uid => {
                    let Some(ours) = merge.cursor.take() else { continue };
                    let verdict = merge_rules::only_ours(&ours, true, &merge.sides);
                    merge.carry_out(verdict, Some(ours), None);
                }
                Some(uid) if uid == theirs.uid => {
                    let Some(ours) = merge.cursor.take() else { continue };
                    let verdict = merge_rules::both(&ours, &theirs);
                    merge.carry_out(verdict, Some(ours), Some(theirs));
                    break;
                }
                _ => {
                    let verdict = merge_rules::only_theirs(&theirs, &merge.sides);
                    merge.carry_out(verdict, None, Some(theirs));
                    break;
                }
            }
        }
        self.flush(merge, RECORDS_AT_ONCE).await
    }

    async fn merge_rest(&mut self, merge: &mut Merge) -> Tried<()> {
        while merge.cursor.peek(&self.port).await?.is_some() {
            if let Some(ours) = merge.cursor.take() {
                let verdict = merge_rules::only_ours(&ours, false, &merge.sides);
                merge.carry_out(verdict, Some(ours), None);
            }
            self.flush(merge, RECORDS_AT_ONCE).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, merge: &mut Merge, at: usize) -> Tried<()> {
        if merge.writes.len() >= at.max(1) {
            let records = std::mem::take(&mut merge.writes);
            let (uniqueid, partition) = (merge.after.uniqueid.clone(), merge.after.partition.clone());
            self.write(vec![Change::PutRecords {
                uniqueid,
                partition,
                records,
            }])
            .await?;
        }
        Ok(())
    }

    /// Fetches what comes from the replica, and writes it and what is renumbered.
    async fn give_new_uids(&mut self, merge: &mut Merge, line: &MailboxLine) -> Tried<()> {
        let adopted = std::mem::take(&mut merge.adopted);
        let moves = std::mem::take(&mut merge.moves);
        let copied = moves.iter().filter_map(|m| {
            if let Move::CopyBack(record) = m {
                Some(record)
            } else {
                None
            }
        });
        let wanted: Vec<Record> = adopted.iter().chain(copied).cloned().collect();
        self.fetch(&merge.after, line, wanted).await?;
        for record in adopted {
            merge.put(record);
            self.flush(merge, RECORDS_AT_ONCE).await?;
        }
        for Move::CopyBack(mut record) | Move::Renumber(mut record) in moves {
            let Some(uid) = merge.after.last_uid.checked_add(1) else {
                return Err(Trouble::Item(format!("{}: no UIDs are left", merge.after.name)));
            };
            merge.after.last_uid = uid;
            record.uid = uid;
            merge.put(record);
            self.flush(merge, RECORDS_AT_ONCE).await?;
        }
        let mut left_behind = std::mem::take(&mut merge.left_behind);
        merge.writes.append(&mut left_behind);
        self.flush(merge, 1).await
    }
}
