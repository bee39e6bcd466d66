//! What the SQLite store needs for very much mail: `cargo run --release -p store --example scale -- PART`, where PART is
//!
//! - `huge`: one message of 1 GiB is staged, stored, read back and verified in less than 64 MiB of resident memory;
//! - `staged`: 1,000,000 small messages are staged at once in less than 200 MiB;
//! - `delta`: finding and reading ten changed records of a mailbox of 1,000,000 costs what it costs in one of 1,000,
//!   within a factor of 2.
//!
//! Prints what was measured; ends with an error when a bound does not hold.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::crc::SyncCrc;
use engine::model::{Mailbox, MailboxKey};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Session, StagePart, UidSelect};
use protocol::{Flags, Guid, MailboxOptions, Record, Text};
use sha1::{Digest, Sha1};
use store::sqlite::{Options, SqliteSession, SqliteStore};
use store::verify::verify;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let store = SqliteStore::open(dir.path(), Options::default())?;
    match std::env::args().nth(1).as_deref() {
        Some("huge") => huge(&store),
        Some("staged") => staged(&store),
        Some("delta") => delta(&store),
        _ => Err("say which part: huge, staged or delta".into()),
    }
}

fn mailbox(name: &str, uniqueid: &str, last_uid: u32, crc: SyncCrc) -> Change {
    Change::PutMailbox(Box::new(Mailbox {
        name: Text::from(name),
        uniqueid: Text::from(uniqueid),
        jmapid: None,
        mbtype: Text::EMPTY,
        partition: Text::from("default"),
        acl: Text::EMPTY,
        options: MailboxOptions::default(),
        quotaroot: None,
        uidvalidity: 1,
        last_uid,
        highestmodseq: u64::from(last_uid) + 100,
        recentuid: 0,
        recenttime: 0,
        last_appenddate: 0,
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
        crc,
    }))
}

fn record(uid: u32, modseq: u64, guid: Guid, size: u64) -> Record {
    Record {
        uid,
        modseq,
        last_updated: 1_795_408_569,
        flags: Flags::default(),
        internaldate: 1_795_408_569,
        size,
        guid,
        annotations: Vec::new(),
    }
}

fn put(uniqueid: &str, records: Vec<Record>) -> Change {
    Change::PutRecords {
        uniqueid: Text::from(uniqueid),
        partition: Text::from("default"),
        records,
    }
}

fn scope() -> Scope {
    Scope::User(Text::from("scale"))
}

fn transact(session: &mut SqliteSession, changes: Vec<Change>) -> Outcome<()> {
    session.execute(Request::Begin { scope: scope() })?;
    session.execute(Request::Write(changes))?;
    session.execute(Request::Commit)?;
    Ok(())
}

fn open(guid: Guid, size: u64) -> StagePart {
    StagePart::Open {
        partition: Text::from_static(b"default"),
        guid,
        size,
    }
}

fn peak_rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn hold(what: &str, limit_mib: u64) -> Outcome<()> {
    let peak = peak_rss_mib();
    println!("{what}: peak memory {peak} MiB, allowed {limit_mib} MiB");
    if peak < limit_mib {
        Ok(())
    } else {
        Err(format!("{what} took {peak} MiB").into())
    }
}

/// The part of the huge message from an offset on; differs everywhere.
fn part_at(offset: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|at| (((offset + at) * 2_654_435_761) >> 13) as u8)
        .collect()
}

fn huge(store: &SqliteStore) -> Outcome<()> {
    const SIZE: u64 = 1 << 30;
    const PART: usize = 64 * 1024;
    let parts = || (0..SIZE).step_by(PART).map(|offset| part_at(offset, PART));
    let mut hasher = Sha1::new();
    parts().for_each(|part| hasher.update(part));
    let guid = Guid::from_bytes(hasher.finalize().into());

    let mut session = store.session();
    let start = Instant::now();
    session.execute(Request::Stage(vec![open(guid, SIZE)]))?;
    for part in parts() {
        session.execute(Request::Stage(vec![StagePart::Data(Bytes::from(part))]))?;
    }
    let Reply::Staged { refused } = session.execute(Request::Stage(vec![StagePart::Close]))? else {
        return Err("not staged".into());
    };
    if !refused.is_empty() {
        return Err("refused".into());
    }
    println!("staged in {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let record = record(1, 1, guid, SIZE);
    let mut crc = SyncCrc::EMPTY;
    crc.toggle(&record);
    transact(
        &mut session,
        vec![mailbox("user.scale", "u1", 1, crc), put("u1", vec![record])],
    )?;
    session.execute(Request::ForgetStaged)?;
    println!("stored in {:.1} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let mut offset = 0;
    while offset < SIZE {
        let request = Request::ReadMessage {
            scope: scope(),
            guid,
            offset,
            len_max: PART as u32,
        };
        let Reply::Bytes { data, .. } = session.execute(request)? else {
            return Err("no bytes".into());
        };
        if data[..] != part_at(offset, data.len()) || data.is_empty() {
            return Err(format!("wrong bytes at {offset}").into());
        }
        offset += data.len() as u64;
    }
    println!("read in {:.1} s", start.elapsed().as_secs_f64());
    drop(session);
    let totals = verify(store, None, &mut |_| {});
    if (totals.damages, totals.bytes) != (0, SIZE) {
        return Err(format!("{totals:?}").into());
    }
    hold("one message of 1 GiB", 64)
}

fn small_message(number: u32) -> (Guid, Bytes) {
    let data = format!("message {number:>8} ").repeat(20).into_bytes();
    (Guid::from_bytes(Sha1::digest(&data).into()), Bytes::from(data))
}

fn stage_small(session: &mut SqliteSession, numbers: std::ops::Range<u32>) -> Outcome<()> {
    for number in numbers {
        let (guid, data) = small_message(number);
        let parts = vec![
            open(guid, data.len() as u64),
            StagePart::Data(data),
            StagePart::Close,
        ];
        session.execute(Request::Stage(parts))?;
    }
    Ok(())
}

fn staged(store: &SqliteStore) -> Outcome<()> {
    const COUNT: u32 = 1_000_000;
    let mut session = store.session();
    let start = Instant::now();
    stage_small(&mut session, 0..COUNT)?;
    println!("staged in {:.1} s", start.elapsed().as_secs_f64());
    for number in [0, COUNT / 2, COUNT - 1] {
        let (guid, data) = small_message(number);
        let request = Request::ReadMessage {
            scope: scope(),
            guid,
            offset: 0,
            len_max: 1 << 20,
        };
        if !matches!(session.execute(request)?, Reply::Bytes { data: read, .. } if read == data) {
            return Err(format!("message {number} is not there").into());
        }
    }
    hold("1,000,000 staged messages", 200)
}

/// Fills a mailbox, in batches, with records of one message.
fn fill(session: &mut SqliteSession, uniqueid: &str, count: u32) -> Outcome<()> {
    let (guid, data) = small_message(1);
    stage_small(session, 1..2)?;
    let name = format!("user.scale.{uniqueid}");
    let mut uid = 1;
    while uid <= count {
        let last = (uid + 9_999).min(count);
        let records = (uid..=last)
            .map(|uid| record(uid, u64::from(uid), guid, data.len() as u64))
            .collect();
        transact(
            session,
            vec![
                mailbox(&name, uniqueid, last, SyncCrc::EMPTY),
                put(uniqueid, records),
            ],
        )?;
        uid = last + 1;
    }
    session.execute(Request::ForgetStaged)?;
    Ok(())
}

/// Ten changes in one transaction, then finding and reading them: median of 21 rounds of each.
fn ten_changes(session: &mut SqliteSession, uniqueid: &str, count: u32) -> Outcome<(Duration, Duration)> {
    let mailbox_key = MailboxKey {
        scope: scope(),
        uniqueid: Text::from(uniqueid),
    };
    let (guid, data) = small_message(1);
    let name = format!("user.scale.{uniqueid}");
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for round in 0..21u64 {
        let modseq = u64::from(count) + 1 + round;
        let spread = count / 10;
        let records = (0..10)
            .map(|n| record(1 + n * spread, modseq, guid, data.len() as u64))
            .collect();
        let start = Instant::now();
        transact(
            session,
            vec![
                mailbox(&name, uniqueid, count, SyncCrc::EMPTY),
                put(uniqueid, records),
            ],
        )?;
        writes.push(start.elapsed());
        let start = Instant::now();
        let changed = Request::ChangedUids {
            mailbox: mailbox_key.clone(),
            since_modseq: modseq - 1,
        };
        let Reply::Uids(uids) = session.execute(changed)? else {
            return Err("no UIDs".into());
        };
        let records = Request::Records {
            mailbox: mailbox_key.clone(),
            uids: UidSelect::List(uids),
        };
        let Reply::Records(records) = session.execute(records)? else {
            return Err("no records".into());
        };
        reads.push(start.elapsed());
        if records.len() != 10 || records.iter().any(|record| record.modseq != modseq) {
            return Err(format!("{} records changed", records.len()).into());
        }
    }
    writes.sort();
    reads.sort();
    Ok((writes[writes.len() / 2], reads[reads.len() / 2]))
}

fn delta(store: &SqliteStore) -> Outcome<()> {
    let mut session = store.session();
    let start = Instant::now();
    fill(&mut session, "large", 1_000_000)?;
    println!("1,000,000 records put in {:.1} s", start.elapsed().as_secs_f64());
    fill(&mut session, "small", 1_000)?;
    let (small_write, small_read) = ten_changes(&mut session, "small", 1_000)?;
    let (large_write, large_read) = ten_changes(&mut session, "large", 1_000_000)?;
    println!("ten changes in 1,000: written in {small_write:.0?}, found and read in {small_read:.0?}");
    println!("ten changes in 1,000,000: written in {large_write:.0?}, found and read in {large_read:.0?}");
    let start = Instant::now();
    transact(
        &mut session,
        vec![Change::RemoveMailbox {
            uniqueid: Text::from("large"),
            tombstone: None,
        }],
    )?;
    println!(
        "1,000,000 records removed in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    hold("a mailbox of 1,000,000", 128)?;
    if large_read > small_read * 2 || large_write > small_write * 2 {
        return Err("ten changes cost more in the large mailbox".into());
    }
    Ok(())
}
