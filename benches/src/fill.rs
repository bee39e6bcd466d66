//! Filling a mailtwin store without a network: what a master has before a run.

use anyhow::{Context, Result, bail};
use engine::crc::SyncCrc;
use engine::model::{Mailbox, MailboxKey};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StagePart, UidSelect};
use protocol::{Flags, Guid, MailboxOptions, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};

use crate::mail::{self, Sizes};

/// Messages written in one transaction.
const BATCH: u64 = 2_000;
/// A date for everything, seconds since the epoch.
pub const DATE: i64 = 1_790_000_000;

/// Adds `count` generated messages to a user's INBOX, making it when it is missing.
pub fn append(session: &mut dyn Session, user: &str, series: u64, count: u64, sizes: Sizes) -> Result<()> {
    let mut done = 0;
    while done < count {
        let n = BATCH.min(count - done);
        let first = done;
        append_batch(session, user, n, |i| mail::message(series, first + i, sizes))?;
        done += n;
    }
    Ok(())
}

/// Adds `count` messages in one transaction.
pub fn append_batch(
    session: &mut dyn Session,
    user: &str,
    count: u64,
    bytes_of: impl Fn(u64) -> Vec<u8>,
) -> Result<()> {
    let scope = Scope::User(Text::from(user));
    run(session, Request::Begin { scope })?;
    let mut mailbox = inbox(session, user)?;
    let mut records = Vec::new();
    for i in 0..count {
        let bytes = bytes_of(i);
        let guid = Guid::from_bytes(Sha1::digest(&bytes).into());
        mailbox.last_uid += 1;
        mailbox.highestmodseq += 1;
        let record = Record {
            uid: mailbox.last_uid,
            modseq: mailbox.highestmodseq,
            last_updated: DATE,
            flags: Flags::default(),
            internaldate: DATE,
            size: bytes.len() as u64,
            guid,
            annotations: Vec::new(),
        };
        mailbox.crc.toggle(&record);
        records.push(record);
        let partition = mailbox.partition.clone();
        let size = bytes.len() as u64;
        let parts = vec![
            StagePart::Open {
                partition,
                guid,
                size,
            },
            StagePart::Data(bytes.into()),
            StagePart::Close,
        ];
        run(session, Request::Stage(parts))?;
    }
    let (uniqueid, partition) = (mailbox.uniqueid.clone(), mailbox.partition.clone());
    let changes = vec![
        Change::PutMailbox(Box::new(mailbox)),
        Change::PutRecords {
            uniqueid,
            partition,
            records,
        },
    ];
    run(session, Request::Write(changes))?;
    run(session, Request::Commit)?;
    run(session, Request::ForgetStaged)?;
    Ok(())
}

/// Sets `\Flagged` on `count` messages spread evenly over a user's INBOX.
pub fn flag(session: &mut dyn Session, user: &str, count: u32) -> Result<()> {
    run(
        session,
        Request::Begin {
            scope: Scope::User(Text::from(user)),
        },
    )?;
    let mut mailbox = inbox(session, user)?;
    let step = (mailbox.last_uid / count).max(1);
    let uids = (1..=count)
        .map(|i| i * step)
        .filter(|&uid| uid <= mailbox.last_uid)
        .collect();
    let key: MailboxKey = mailbox.key();
    let Reply::Records(mut records) = run(
        session,
        Request::Records {
            mailbox: key,
            uids: UidSelect::List(uids),
        },
    )?
    else {
        bail!("the store answered something else");
    };
    for record in &mut records {
        mailbox.crc.toggle(record);
        mailbox.highestmodseq += 1;
        record.modseq = mailbox.highestmodseq;
        record.flags.system =
            SystemFlags::from_bits(record.flags.system.bits() ^ SystemFlags::FLAGGED.bits());
        mailbox.crc.toggle(record);
    }
    let (uniqueid, partition) = (mailbox.uniqueid.clone(), mailbox.partition.clone());
    let changes = vec![
        Change::PutRecords {
            uniqueid,
            partition,
            records,
        },
        Change::PutMailbox(Box::new(mailbox)),
    ];
    run(session, Request::Write(changes))?;
    run(session, Request::Commit)?;
    Ok(())
}

/// The user's INBOX as stored, or a new one that is not stored yet.
pub fn inbox(session: &mut dyn Session, user: &str) -> Result<Mailbox> {
    let name = engine::name::inbox_of(user.as_bytes());
    let Reply::Mailboxes(found) = run(session, Request::Mailboxes(Select::Names(vec![name.clone()])))? else {
        bail!("the store answered something else");
    };
    Ok(found
        .into_iter()
        .next()
        .unwrap_or_else(|| new_mailbox(name, user)))
}

fn new_mailbox(name: Text, user: &str) -> Mailbox {
    Mailbox {
        name,
        uniqueid: Text::from(format!("{:024x}", u64::from(crc(user)) | 0x1000_0000_0000)),
        jmapid: None,
        mbtype: Text::EMPTY,
        partition: Text::from("default"),
        acl: Text::from(format!("{user}\tlrswipkxtecdan\t")),
        options: MailboxOptions::default(),
        quotaroot: None,
        uidvalidity: DATE as u32,
        last_uid: 0,
        highestmodseq: 1,
        recentuid: 0,
        recenttime: 0,
        last_appenddate: DATE,
        pop3_last_login: 0,
        pop3_show_after: 0,
        xconvmodseq: None,
        raclmodseq: 0,
        createdmodseq: 1,
        foldermodseq: 1,
        deletedmodseq: 0,
        usergroups: None,
        compact_emailids: None,
        version: None,
        annotations: Vec::new(),
        userflags: Vec::new(),
        crc: SyncCrc::EMPTY,
    }
}

fn crc(user: &str) -> u32 {
    user.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn run(session: &mut dyn Session, request: Request) -> Result<Reply> {
    session
        .execute(request)
        .context("the store refused a benchmark's change")
}
