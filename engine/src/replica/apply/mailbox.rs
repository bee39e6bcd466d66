//! `APPLY MAILBOX`: makes a mailbox equal to what its line says.
//!
//! The rules are those of Cyrus in their order, with one difference: the command is one transaction, so whatever it is
//! refused for, it leaves nothing behind. Comparing and updating is one pass over the records as they stream in.

use protocol::{MailboxLine, Record, Text};

use super::super::fail::{Fail, Stop};
use super::super::get::sieve::mailbox_of;
use super::super::session::{Conn, Item};
use super::super::{line, mbtype};
use super::buried::Buried;
use super::delete::tombstone_of;
use super::header::{self, Keywords};
use super::writer::{RECORDS_AT_ONCE, Writer};
use crate::crc::SyncCrc;
use crate::model::{Mailbox, SieveScript, Tombstone};
use crate::name::{self, Scope, is_acceptable};
use crate::ticket::{Change, UidSelect};

/// Bytes of records compared and written at once, at most.
const BYTES_AT_ONCE: usize = 4 << 20;
/// Bytes of records kept when needed keys come behind them; no Cyrus sends its keys so.
const LATE_BYTES_MAX: usize = 16 << 20;
/// Records read at once when CRCs have to be computed anew.
const RECOUNT_RECORDS: u32 = 1000;

/// What came of a streaming command, unless the connection ended in it.
type Outcome = Result<Result<(), Fail>, Stop>;

/// Does the command whose line has begun.
pub(in super::super) async fn run(conn: &mut Conn, line: Box<MailboxLine>) -> Outcome {
    if missing(&line).is_some() {
        return run_late(conn, line).await;
    }
    if is_entry(&line) {
        return Ok(match conn.skip_line().await? {
            Some(malformed) => Err(Fail::Malformed(malformed)),
            None => put_entry(conn, &line).await,
        });
    }
    let mut update = match Update::begin(conn, line).await {
        Ok(update) => update,
        Err(fail) => return Ok(Err(conn.refuse_line(fail).await?)),
    };
    loop {
        let item = conn.item().await;
        let failed = match item {
            Ok(Item::Record(record)) => match update.take(conn, record).await {
                Ok(()) => continue,
                Err(fail) => Ok(fail),
            },
            Ok(Item::End(late)) => match update.finish(conn, *late).await {
                Ok(()) => return Ok(Ok(())),
                Err(fail) => return Ok(Err(fail)),
            },
            Ok(Item::Bad(malformed)) => {
                update.give_up().await;
                return Ok(Err(Fail::Malformed(malformed)));
            }
            Err(stop) => Err(stop),
        };
        update.give_up().await;
        return Ok(Err(conn.refuse_line(failed?).await?));
    }
}

/// Does a command whose needed keys did not all come before its records: those are kept until the line's end.
/// [CS-EXC-20]
async fn run_late(conn: &mut Conn, mut line: Box<MailboxLine>) -> Outcome {
    let mut records: Vec<Record> = Vec::new();
    let mut bytes = 0;
    let late = loop {
        match conn.item().await? {
            Item::Record(record) => {
                bytes += weight(&record);
                if bytes > LATE_BYTES_MAX {
                    let text = format!("{} must come before RECORD", missing(&line).unwrap_or("a key"));
                    return Ok(Err(conn.refuse_line(Fail::bad(text)).await?));
                }
                records.push(record);
            }
            Item::End(late) => break late,
            Item::Bad(malformed) => return Ok(Err(Fail::Malformed(malformed))),
        }
    };
    line::merge(&mut line, *late);
    Ok(run_whole(conn, line, records).await)
}

async fn run_whole(conn: &mut Conn, line: Box<MailboxLine>, records: Vec<Record>) -> Result<(), Fail> {
    if let Some(key) = missing(&line) {
        return Err(Fail::missing(key));
    }
    if is_entry(&line) {
        return put_entry(conn, &line).await;
    }
    let mut update = Update::begin(conn, line).await?;
    for record in records {
        if let Err(fail) = update.take(conn, record).await {
            update.give_up().await;
            return Err(fail);
        }
    }
    update.finish(conn, MailboxLine::default()).await
}

/// The first needed key that the line lacks.
fn missing(line: &MailboxLine) -> Option<&'static str> {
    header::missing_identity(line).or_else(|| {
        if is_entry(line) {
            None
        } else {
            header::missing_value(line)
        }
    })
}

/// Whether the line is of a name without records: a placeholder, or a remembered delete.
fn is_entry(line: &MailboxLine) -> bool {
    let mbtype = line.mboxtype.as_deref().unwrap_or_default();
    mbtype::is_placeholder(mbtype) || mbtype::is_tombstone(mbtype)
}

/// Bytes that a record takes in memory, about.
fn weight(record: &Record) -> usize {
    let keywords: usize = record.flags.keywords.iter().map(|name| name.len() + 24).sum();
    let annotations = record
        .annotations
        .iter()
        .map(|a| a.entry.len() + a.userid.len() + a.value.len() + 96);
    std::mem::size_of::<Record>() + keywords + annotations.sum::<usize>()
}

/// Writes a placeholder, or removes what the peer remembers as deleted. A mailbox of another identity, or with
/// records, gives way to neither: it is deleted by name. [CS-MBOX-13] [CS-EXC-8]
async fn put_entry(conn: &mut Conn, line: &MailboxLine) -> Result<(), Fail> {
    let mut entry = header::empty_mailbox(line);
    header::check_type(conn, &entry.mbtype)?;
    if !is_acceptable(&entry.name) {
        return Err(Fail::other(format!(
            "{} is no acceptable mailbox name",
            entry.name
        )));
    }
    conn.enter(&Scope::of(&entry.name)).await?;
    let there = conn.mailbox(&entry.name).await?;
    if let Some(there) = there.as_ref().filter(|there| !there.is_placeholder()) {
        let text = format!("{} is a mailbox; delete it with UNMAILBOX first", there.name);
        if there.uniqueid != entry.uniqueid {
            return Err(Fail::moved(text));
        }
        let any = UidSelect::From { uid: 1, limit: 1 };
        if !conn.records(&there.key(), any).await?.is_empty() {
            return Err(Fail::other(text));
        }
    }
    header::check_identity_free(conn, &entry.name, &entry.uniqueid).await?;
    if mbtype::is_tombstone(&entry.mbtype) {
        let Some(there) = there else { return Ok(()) };
        let tombstone = Some(tombstone_of(&there, conn.port.now().0));
        return conn
            .write(vec![Change::RemoveMailbox {
                uniqueid: there.uniqueid,
                tombstone,
            }])
            .await;
    }
    entry.foldermodseq = line.highestmodseq.unwrap_or(0);
    conn.write(vec![Change::PutMailbox(Box::new(entry))]).await
}

/// How a mailbox gives its name to another identity: what has no live message goes, what has some is kept as a deleted
/// mailbox. [CS-MBOX-18] [CS-SPLIT-42] [CS-EXC-27]
async fn give_way(conn: &Conn, there: Mailbox) -> Result<Change, Fail> {
    let now = conn.port.now().0;
    if !holds_mail(conn, &there).await? {
        // One that was never used was not deleted by anybody, or this server would delete it elsewhere in its turn, where
        // it may be what the name stands for by now. [CS-SPLIT-43]
        let tombstone = Tombstone {
            gave_way: there.last_uid == 0,
            ..tombstone_of(&there, now)
        };
        return Ok(Change::RemoveMailbox {
            uniqueid: there.uniqueid,
            tombstone: Some(tombstone),
        });
    }
    let mut time = now.clamp(0, i64::from(u32::MAX)) as u32;
    let mut kept = there;
    loop {
        let name = name::deleted_name(&kept.name, time);
        if conn.mailbox(&name).await?.is_none() {
            kept.name = name;
            return Ok(Change::PutMailbox(Box::new(kept)));
        }
        time = time.wrapping_add(1);
    }
}

/// Whether there is a live message. Only CRCs that are not those of nothing tell by themselves: the sum over several may be
/// that of none. [CS-CRC-11]
async fn holds_mail(conn: &Conn, mailbox: &Mailbox) -> Result<bool, Fail> {
    if mailbox.crc != SyncCrc::EMPTY {
        return Ok(true);
    }
    let mut is_found = false;
    show_records(conn, mailbox, |record| is_found |= !record.is_expunged()).await?;
    Ok(is_found)
}

/// Shows every record of a mailbox as it is stored.
async fn show_records(conn: &Conn, mailbox: &Mailbox, mut show: impl FnMut(&Record)) -> Result<(), Fail> {
    let key = mailbox.key();
    let mut next = Some(1);
    while let Some(uid) = next {
        let records = conn
            .records(
                &key,
                UidSelect::From {
                    uid,
                    limit: RECOUNT_RECORDS,
                },
            )
            .await?;
        records.iter().for_each(&mut show);
        next = records.last().and_then(|last| last.uid.checked_add(1));
    }
    Ok(())
}

/// Removals of the scripts that came by SIEVE commands, when this is the mailbox that holds the user's scripts from now
/// on: what it does not hold is gone at the peer. [CS-MBOX-51]
async fn superseded_scripts(conn: &Conn, new: &Mailbox, scope: &Scope) -> Result<Vec<Change>, Fail> {
    let Scope::User(user) = scope else {
        return Ok(Vec::new());
    };
    if !mbtype::is_sieve(&new.mbtype) || new.name != mailbox_of(user) {
        return Ok(Vec::new());
    }
    let scripts = conn.user_meta(user).await?.scripts;
    let removal = |script: SieveScript| Change::RemoveScript { name: script.name };
    Ok(scripts.into_iter().map(removal).collect())
}

/// The command as far as it has come.
struct Update {
    line: Box<MailboxLine>,
    /// The mailbox before the command; empty when the command creates it.
    stored: Mailbox,
    is_new: bool,
    force: bool,
    crc: SyncCrc,
    keywords: Keywords,
    latest_uid: u32,
    incoming: Vec<Record>,
    incoming_bytes: usize,
    buried: Buried,
    writer: Writer,
}

impl Update {
    /// The steps before the records. [CS-MBOX-15] [CS-MBOX-17] [CS-MBOX-38]
    async fn begin(conn: &mut Conn, line: Box<MailboxLine>) -> Result<Update, Fail> {
        let new = header::empty_mailbox(&line);
        header::check_type(conn, &new.mbtype)?;
        let scope = Scope::of(&new.name);
        if !conn.is_open(&scope) {
            // Refused before anything is opened, so that no database comes to be for a mailbox that does not.
            header::find_or_check(conn, &new).await?;
        }
        conn.enter(&scope).await?;
        let there = header::find_or_check(conn, &new).await?;
        let mut before = superseded_scripts(conn, &new, &scope).await?;
        let (stored, is_new) = match there {
            Some(there) if there.uniqueid == new.uniqueid => (there, false),
            Some(there) if conn.force || there.last_uid == 0 => {
                // Another identity under the same name, and nothing in it or the peer's word for it. [CS-MBOX-18]
                header::check_identity_free(conn, &new.name, &new.uniqueid).await?;
                before.push(give_way(conn, there).await?);
                (new, true)
            }
            Some(there) => {
                return Err(Fail::moved(format!(
                    "{} has the unique id {}",
                    there.name, there.uniqueid
                )));
            }
            None => (new, true),
        };
        header::check_values(&line, &stored, conn.force)?;
        let buried = if is_new {
            Buried::find(conn, &scope, &stored.uniqueid, line.last_uid.unwrap_or(0)).await?
        } else {
            Buried::default()
        };
        let mut keywords = Keywords::new(stored.userflags.clone());
        line.userflags
            .iter()
            .flatten()
            .for_each(|name| keywords.add(name));
        Ok(Update {
            crc: stored.crc,
            force: conn.force,
            latest_uid: 0,
            incoming: Vec::new(),
            incoming_bytes: 0,
            buried,
            writer: Writer::new(&stored, is_new, before),
            keywords,
            line,
            stored,
            is_new,
        })
    }

    /// Takes the next record, if it fits the line. [CS-EXC-7]
    async fn take(&mut self, conn: &mut Conn, record: Record) -> Result<(), Fail> {
        let uid = record.uid;
        let last_uid = self.line.last_uid.unwrap_or(0);
        let highestmodseq = self.line.highestmodseq.unwrap_or(0);
        if uid <= self.latest_uid {
            return Err(Fail::bad(format!(
                "UID {uid} comes after UID {}; records must ascend",
                self.latest_uid
            )));
        }
        if uid > last_uid {
            return Err(Fail::bad(format!("UID {uid} is above LAST_UID {last_uid}")));
        }
        if record.modseq > highestmodseq {
            let modseq = record.modseq;
            return Err(Fail::bad(format!(
                "UID {uid}: MODSEQ {modseq} is above HIGHESTMODSEQ {highestmodseq}"
            )));
        }
        if record.guid.is_null() && !record.is_expunged() {
            return Err(Fail::bad(format!("UID {uid} is live and has the null GUID")));
        }
        self.latest_uid = uid;
        self.incoming_bytes += weight(&record);
        self.incoming.push(record);
        if self.incoming.len() >= RECORDS_AT_ONCE || self.incoming_bytes >= BYTES_AT_ONCE {
            self.compare(conn).await?;
            self.writer.write(conn, &self.stored).await?;
        }
        Ok(())
    }

    /// Compares what has come in with what is there, and readies what changes. [CS-MBOX-30]
    async fn compare(&mut self, conn: &Conn) -> Result<(), Fail> {
        let incoming = std::mem::take(&mut self.incoming);
        self.incoming_bytes = 0;
        let old_uids: Vec<u32> = incoming
            .iter()
            .map(|record| record.uid)
            .filter(|&uid| uid <= self.stored.last_uid)
            .collect();
        let there = if old_uids.is_empty() {
            Vec::new()
        } else {
            conn.records(&self.stored.key(), UidSelect::List(old_uids))
                .await?
        };
        let mut there = there.into_iter().peekable();
        for sent in incoming {
            while there.next_if(|old| old.uid < sent.uid).is_some() {}
            let old = there.next_if(|old| old.uid == sent.uid);
            self.judge(sent, old)?;
        }
        Ok(())
    }

    /// One record against the one that is there. [CS-MBOX-25] [CS-MBOX-30] [CS-MBOX-31]
    fn judge(&mut self, mut sent: Record, old: Option<Record>) -> Result<(), Fail> {
        let uid = sent.uid;
        let Some(old) = old else {
            self.buried.compare(&sent);
            if uid > self.stored.last_uid {
                self.put(sent);
            } else if !sent.is_expunged() {
                return Err(Fail::checksum(format!(
                    "UID {uid} is live there and unknown here"
                )));
            }
            return Ok(());
        };
        if old.is_expunged() && sent.is_expunged() {
            return Ok(());
        }
        if old.guid != sent.guid {
            return Err(Fail::checksum(format!(
                "UID {uid} is message {} here, {} there",
                old.guid, sent.guid
            )));
        }
        if old.modseq > sent.modseq && !self.force {
            let text = format!("UID {uid} has MODSEQ {} here, {} there", old.modseq, sent.modseq);
            return Err(Fail::checksum(text));
        }
        if old.is_expunged() {
            return Err(Fail::checksum(format!(
                "UID {uid} is expunged here and live there"
            )));
        }
        // What a message is cannot change with its record.
        sent.size = old.size;
        if sent != old {
            self.crc.toggle(&old);
            self.put(sent);
        }
        Ok(())
    }

    fn put(&mut self, record: Record) {
        self.crc.toggle(&record);
        self.keywords.add_all(&record);
        self.writer.push(record);
    }

    /// The steps behind the records. [CS-MBOX-29] [CS-MBOX-35]
    async fn finish(mut self, conn: &mut Conn, late: MailboxLine) -> Result<(), Fail> {
        let ended = self.end(conn, late).await;
        if let Err(fail) = ended {
            self.give_up().await;
            return Err(fail);
        }
        let floor = match self.floor(conn).await {
            Ok(floor) => floor,
            Err(fail) => {
                self.give_up().await;
                return Err(fail);
            }
        };
        let mut end = self.stored.clone();
        header::overwrite(&mut end, &self.line);
        end.last_uid = end.last_uid.max(floor);
        // The peer takes a higher one over when it looks next. [CS-MASTER-23]
        end.uidvalidity = self.buried.uidvalidity(end.uidvalidity);
        end.userflags = self.keywords.into_names();
        end.crc = self.crc;
        if self.is_new {
            conn.looks.told(&end);
        } else {
            conn.looks.follow(&self.stored, &end);
        }
        self.writer.finish(conn, end).await
    }

    async fn end(&mut self, conn: &mut Conn, late: MailboxLine) -> Result<(), Fail> {
        if late != MailboxLine::default() {
            let mbtype = self.line.mboxtype.clone().unwrap_or_default();
            line::merge(&mut self.line, late);
            if self.line.mboxtype.as_ref().is_some_and(|late| *late != mbtype) {
                return Err(Fail::bad("MBOXTYPE must come before RECORD"));
            }
            header::check_values(&self.line, &self.stored, self.force)?;
            self.line
                .userflags
                .iter()
                .flatten()
                .for_each(|name| self.keywords.add(name));
        }
        self.compare(conn).await?;
        let sent = SyncCrc {
            basic: self.line.sync_crc.unwrap_or(0),
            annot: self.line.sync_crc_annot.unwrap_or(0),
        };
        if self.crc.agrees_with(sent) {
            return Ok(());
        }
        if !self.is_new {
            self.recount(conn).await?;
        }
        if self.crc.agrees_with(sent) {
            Ok(())
        } else {
            Err(disagree(&self.stored.name, self.crc, sent))
        }
    }

    /// Computes the CRCs from the records themselves: the kept ones may be what is wrong. [CS-CRC-10]
    async fn recount(&mut self, conn: &mut Conn) -> Result<(), Fail> {
        let mut crc = SyncCrc::EMPTY;
        self.each_record(conn, |record| crc.toggle(record)).await?;
        self.crc = crc;
        Ok(())
    }

    /// The UID below which LAST_UID cannot be, whatever was forced: a UID that is given out twice would name two messages.
    /// [CS-EXC-41]
    async fn floor(&mut self, conn: &mut Conn) -> Result<u32, Fail> {
        let mut floor = 0;
        if self.line.last_uid.is_some_and(|sent| sent < self.stored.last_uid) {
            self.each_record(conn, |record| floor = floor.max(record.uid))
                .await?;
        }
        Ok(floor)
    }

    /// Shows every record of the mailbox as it is by now.
    async fn each_record(&mut self, conn: &mut Conn, show: impl FnMut(&Record)) -> Result<(), Fail> {
        self.writer.write(conn, &self.stored).await?;
        self.writer.wait().await?;
        show_records(conn, &self.stored, show).await
    }

    /// Waits for what was already asked of the store, so that undoing comes behind it.
    async fn give_up(&mut self) {
        // The command has failed for a reason already; a second one adds nothing.
        let _ = self.writer.wait().await;
    }
}

fn disagree(name: &Text, here: SyncCrc, sent: SyncCrc) -> Fail {
    Fail::checksum(format!(
        "{name} would have the CRCs {} and {}, sent were {} and {}",
        here.basic, here.annot, sent.basic, sent.annot
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Annotation, Flags, Guid};

    #[test]
    fn what_a_record_weighs_grows_by_what_it_holds() {
        let mut record = Record {
            uid: 1,
            modseq: 1,
            last_updated: 0,
            flags: Flags::default(),
            internaldate: 0,
            size: 1,
            guid: Guid::NULL,
            annotations: Vec::new(),
        };
        let bare = weight(&record);
        record.flags.keywords = vec![Text::from("ten bytes!"), Text::from("$a")];
        assert_eq!(weight(&record), bare + 10 + 24 + 2 + 24);
        record.flags.keywords.clear();
        record.annotations.push(Annotation {
            entry: Text::from("/comment"),
            userid: Text::from("jane"),
            modseq: 0,
            value: Text::from("value"),
        });
        assert_eq!(weight(&record), bare + 8 + 4 + 5 + 96);
    }
}
