//! `RESTORE MAILBOX`: brings messages back into a mailbox, beside what is in it. [CS-RESTORE-1]
//! [CS-RESTORE-2] [CS-RESTORE-4]

use protocol::{Annotation, MailboxLine, Record, Text};
use sha1::{Digest, Sha1};

use super::apply::header::{self, Keywords};
use super::apply::writer::{RECORDS_AT_ONCE, Writer};
use super::fail::{Fail, Stop};
use super::mbtype;
use super::session::{Conn, Item};
use crate::model::Mailbox;
use crate::name::Scope;

/// Partition of a mailbox that is created when none is named and none is configured.
const DEFAULT_PARTITION: &[u8] = b"default";
/// Letters of a unique id that is made here, as many as Cyrus makes.
const UNIQUEID_LETTERS: usize = 24;

/// Does the command whose line has begun.
pub(super) async fn run(conn: &mut Conn, line: Box<MailboxLine>) -> Result<Result<(), Fail>, Stop> {
    if mbtype::is_sieve(line.mboxtype.as_deref().unwrap_or_default()) && !conn.sieve_mailbox {
        // Taken and not kept, as Cyrus does: this peer's scripts travel by other commands.
        return Ok(conn
            .skip_line()
            .await?
            .map_or(Ok(()), |malformed| Err(Fail::Malformed(malformed))));
    }
    let mut restore = match Restore::begin(conn, &line).await {
        Ok(restore) => restore,
        Err(fail) => return Ok(Err(conn.refuse_line(fail).await?)),
    };
    loop {
        let failed = match conn.item().await {
            Ok(Item::Record(record)) => match restore.take(conn, record).await {
                Ok(()) => continue,
                Err(fail) => Ok(fail),
            },
            Ok(Item::End(late)) if late.uniqueid.is_none() && late.mboxname.is_none() => {
                return Ok(restore.finish(conn, late.annotations).await);
            }
            Ok(Item::End(_)) => {
                restore.give_up().await;
                return Ok(Err(Fail::bad("UNIQUEID and MBOXNAME must come before RECORD")));
            }
            Ok(Item::Bad(malformed)) => {
                restore.give_up().await;
                return Ok(Err(Fail::Malformed(malformed)));
            }
            Err(stop) => Err(stop),
        };
        restore.give_up().await;
        return Ok(Err(conn.refuse_line(failed?).await?));
    }
}

/// The command as far as it has come.
struct Restore {
    mailbox: Mailbox,
    /// Records keep UID and modseq: the mailbox is created with the identity it had.
    keeps: bool,
    /// Modseq of records that are numbered afresh.
    modseq: u64,
    now: i64,
    annotations: Vec<Annotation>,
    keywords: Keywords,
    count: usize,
    writer: Writer,
}

impl Restore {
    async fn begin(conn: &mut Conn, line: &MailboxLine) -> Result<Restore, Fail> {
        let name = line
            .mboxname
            .clone()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Fail::missing("MBOXNAME"))?;
        if !line.has_records {
            return Err(Fail::missing("RECORD"));
        }
        let mbtype = line.mboxtype.as_deref().unwrap_or_default();
        header::check_type(conn, mbtype)?;
        if mbtype::is_placeholder(mbtype) || mbtype::is_tombstone(mbtype) {
            return Err(Fail::other(format!(
                "MBOXTYPE {} is of no mailbox that holds mail",
                mbtype.escape_ascii()
            )));
        }
        let now = conn.port.now().0;
        let (new, keeps) = created(conn, line, now);
        let scope = Scope::of(&name);
        if !conn.is_open(&scope) {
            // As for APPLY MAILBOX: refused before a database comes to be for it.
            header::find_or_check(conn, &new).await?;
        }
        conn.enter(&scope).await?;
        let (mailbox, keeps, is_new) = match header::find_or_check(conn, &new).await? {
            Some(there) if !mbtype::is_same(line.mboxtype.as_deref().unwrap_or_default(), &there.mbtype) => {
                return Err(Fail::other(format!("{name} has the type {:?}", there.mbtype)));
            }
            Some(there) => (there, false, false),
            None => (new, keeps, true),
        };
        let modseq = mailbox.highestmodseq.checked_add(1);
        Ok(Restore {
            keeps,
            modseq: modseq.ok_or_else(|| Fail::other(format!("{name} has no modseq left to give")))?,
            now,
            annotations: line.annotations.clone().unwrap_or_default(),
            keywords: Keywords::new(mailbox.userflags.clone()),
            count: 0,
            writer: Writer::new(&mailbox, is_new, Vec::new()),
            mailbox,
        })
    }

    async fn take(&mut self, conn: &mut Conn, mut record: Record) -> Result<(), Fail> {
        if record.guid.is_null() && !record.is_expunged() {
            return Err(Fail::bad(format!(
                "UID {} is live and has the null GUID",
                record.uid
            )));
        }
        // A record that is numbered afresh and has no message would say nothing to anybody.
        if record.is_expunged() && !self.keeps {
            return Ok(());
        }
        if !self.keeps || record.uid <= self.mailbox.last_uid {
            record.uid = self
                .mailbox
                .last_uid
                .checked_add(1)
                .ok_or_else(|| Fail::other(format!("{} has no UID left to give", self.mailbox.name)))?;
        }
        if !self.keeps || record.modseq > self.mailbox.highestmodseq {
            record.modseq = self.modseq;
            record.last_updated = self.now;
            self.mailbox.highestmodseq = self.modseq;
        }
        self.mailbox.last_uid = record.uid;
        self.mailbox.last_appenddate = self.now;
        self.mailbox.crc.toggle(&record);
        self.keywords.add_all(&record);
        self.writer.push(record);
        self.count += 1;
        if self.count.is_multiple_of(RECORDS_AT_ONCE) {
            self.writer.write(conn, &self.mailbox).await?;
        }
        Ok(())
    }

    async fn finish(mut self, conn: &mut Conn, late: Option<Vec<Annotation>>) -> Result<(), Fail> {
        self.annotations.extend(late.unwrap_or_default());
        for annotation in self.annotations {
            let is_there = |a: &Annotation| a.entry == annotation.entry && a.userid == annotation.userid;
            if !self.mailbox.annotations.iter().any(is_there) {
                self.mailbox.annotations.push(annotation);
            }
        }
        self.mailbox.userflags = self.keywords.into_names();
        self.writer.finish(conn, self.mailbox).await
    }

    /// Waits for what was already asked of the store, so that undoing comes behind it.
    async fn give_up(&mut self) {
        // The command has failed for a reason already; a second one adds nothing.
        let _ = self.writer.wait().await;
    }
}

/// The mailbox to create, and whether it keeps the numbers it had: only when the line has all three of them. Else it
/// gets an identity made of its name and the time, and numbers of its own. [CS-RESTORE-3]
fn created(conn: &Conn, line: &MailboxLine, now: i64) -> (Mailbox, bool) {
    let mut mailbox = header::empty_mailbox(line);
    let keeps = line.uniqueid.as_ref().is_some_and(|id| !id.is_empty())
        && line.highestmodseq.is_some()
        && line.uidvalidity.is_some();
    header::overwrite(&mut mailbox, line);
    mailbox.last_uid = 0;
    if mailbox.partition.is_empty() {
        let first = conn.config.partitions.first().cloned();
        mailbox.partition = first.unwrap_or(Text::from_static(DEFAULT_PARTITION));
    }
    if !keeps {
        mailbox.uniqueid = uniqueid_of(&mailbox.name, now);
        mailbox.uidvalidity = u32::try_from(now).unwrap_or(1).max(1);
        mailbox.highestmodseq = 1;
        mailbox.createdmodseq = 1;
        mailbox.foldermodseq = 1;
    }
    mailbox.annotations.clear();
    (mailbox, keeps)
}

/// A unique id for a mailbox that is given none: the same name at the same second has the same.
fn uniqueid_of(name: &Text, now: i64) -> Text {
    let mut hasher = Sha1::new();
    hasher.update(name.as_bytes());
    hasher.update([0]);
    hasher.update(now.to_be_bytes());
    let digest: [u8; 20] = hasher.finalize().into();
    let hex = protocol::Guid::from_bytes(digest).to_hex();
    Text::copy_from(&hex[..UNIQUEID_LETTERS])
}
