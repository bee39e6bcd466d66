//! How fast the SQLite store takes and gives mail: `cargo run --release -p store --example throughput -- [key=value]...`
//!
//! Keys, with their defaults: `messages=20000`, `mean=12600` (bytes, log-normal), `batch=1024` (messages a commit),
//! `page=`, `checkpoint=`, `background=`, `cache=` (the store's options), `dir=` (default: the temporary folder). Every commit is
//! durable before the next batch begins; the time includes hashing each message.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::crc::SyncCrc;
use engine::model::{Mailbox, MailboxKey};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Session, StagePart, UidSelect};
use protocol::{Annotation, Flags, Guid, MailboxOptions, Record, Text};
use sha1::{Digest, Sha1};
use store::sqlite::{Options, SqliteSession, SqliteStore};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured.
struct Plan {
    messages: u32,
    mean: f64,
    batch: u32,
    dir: Option<String>,
    options: Options,
}

fn plan() -> Outcome<Plan> {
    let mut plan = Plan {
        messages: 20_000,
        mean: 12_600.0,
        batch: 1024,
        dir: None,
        options: Options::default(),
    };
    for argument in std::env::args().skip(1) {
        let (key, value) = argument.split_once('=').ok_or("arguments are key=value")?;
        match key {
            "messages" => plan.messages = value.parse()?,
            "mean" => plan.mean = value.parse()?,
            "batch" => plan.batch = value.parse()?,
            "dir" => plan.dir = Some(value.to_owned()),
            "page" => plan.options.page_bytes = value.parse()?,
            "checkpoint" => plan.options.checkpoint_pages = value.parse()?,
            "background" => plan.options.checkpoint_bytes = value.parse()?,
            "cache" => plan.options.cache_bytes = value.parse()?,
            _ => return Err(format!("unknown key {key}").into()),
        }
    }
    Ok(plan)
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Log-normal with sigma 1.2, by the sum of twelve uniform numbers.
    fn size(&mut self, mean: f64) -> usize {
        let sigma = 1.2;
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        (mean.ln() - sigma * sigma / 2.0 + sigma * normal).exp() as usize
    }

    fn message(&mut self, mean: f64) -> Bytes {
        let size = self.size(mean).max(64);
        let mut data = Vec::with_capacity(size + 8);
        while data.len() < size {
            data.extend_from_slice(&self.next().to_le_bytes());
        }
        data.truncate(size);
        Bytes::from(data)
    }
}

fn mailbox(last_uid: u32) -> Mailbox {
    Mailbox {
        name: Text::from("user.bench"),
        uniqueid: Text::from("bench"),
        jmapid: None,
        mbtype: Text::EMPTY,
        partition: Text::from("default"),
        acl: Text::from("bench\tlrswipkxtecda\t"),
        options: MailboxOptions::default(),
        quotaroot: None,
        uidvalidity: 1,
        last_uid,
        highestmodseq: u64::from(last_uid),
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
        crc: SyncCrc::EMPTY,
    }
}

fn record(uid: u32, guid: Guid, size: u64) -> Record {
    let shared = |entry, value: String| Annotation {
        entry: Text::from_static(entry),
        userid: Text::EMPTY,
        modseq: 0,
        value: Text::from(value),
    };
    Record {
        uid,
        modseq: u64::from(uid),
        last_updated: 1_795_408_569,
        flags: Flags::default(),
        internaldate: 1_795_408_569,
        size,
        guid,
        annotations: vec![
            shared(
                Annotation::THRID,
                format!("{:016x}", u64::from(uid) * 0x9e37_79b9),
            ),
            shared(Annotation::SAVEDATE, "1795408569".to_owned()),
            shared(Annotation::CREATEDMODSEQ, uid.to_string()),
        ],
    }
}

fn scope() -> Scope {
    Scope::User(Text::from("bench"))
}

#[derive(Default)]
struct Written {
    bytes: u64,
    staging: Duration,
    storing: Duration,
    slowest: Duration,
    guids: Vec<Guid>,
}

fn write_batch(
    session: &mut SqliteSession,
    first: u32,
    batch: &[(Guid, Bytes)],
    done: &mut Written,
) -> Outcome<()> {
    let start = Instant::now();
    for (guid, data) in batch {
        session.execute(Request::Stage(vec![
            StagePart::Open {
                partition: Text::from_static(b"default"),
                guid: *guid,
                size: data.len() as u64,
            },
            StagePart::Data(data.clone()),
            StagePart::Close,
        ]))?;
    }
    done.staging += start.elapsed();
    let start = Instant::now();
    let records: Vec<Record> = (first..)
        .zip(batch)
        .map(|(uid, (guid, data))| record(uid, *guid, data.len() as u64))
        .collect();
    let last = first + batch.len() as u32 - 1;
    session.execute(Request::Begin { scope: scope() })?;
    let uniqueid = Text::from("bench");
    session.execute(Request::Write(vec![
        Change::PutMailbox(Box::new(mailbox(last))),
        Change::PutRecords {
            uniqueid,
            partition: Text::from("default"),
            records,
        },
    ]))?;
    session.execute(Request::Commit)?;
    session.execute(Request::ForgetStaged)?;
    let took = start.elapsed();
    done.storing += took;
    done.slowest = done.slowest.max(took);
    done.bytes += batch.iter().map(|(_, data)| data.len() as u64).sum::<u64>();
    done.guids.extend(batch.iter().map(|(guid, _)| *guid));
    Ok(())
}

fn write_all(session: &mut SqliteSession, plan: &Plan) -> Outcome<Written> {
    let mut numbers = Numbers(0x5eed);
    let mut done = Written::default();
    let mut uid = 1;
    while uid <= plan.messages {
        let count = plan.batch.min(plan.messages - uid + 1);
        let batch: Vec<(Guid, Bytes)> = (0..count)
            .map(|_| {
                let data = numbers.message(plan.mean);
                (Guid::from_bytes(Sha1::digest(&data).into()), data)
            })
            .collect();
        write_batch(session, uid, &batch, &mut done)?;
        uid += count;
    }
    Ok(done)
}

fn read_messages(session: &mut SqliteSession, guids: &[Guid]) -> Outcome<u64> {
    let mut bytes = 0;
    let mut rest = guids;
    while !rest.is_empty() {
        let guids = rest[..rest.len().min(256)].to_vec();
        match session.execute(Request::ReadMessages {
            scope: scope(),
            guids,
            bytes_max: 1024 * 1024,
        })? {
            Reply::Messages(messages) => {
                bytes += messages
                    .iter()
                    .flatten()
                    .map(|data| data.len() as u64)
                    .sum::<u64>();
                rest = &rest[messages.len()..];
            }
            other => return Err(format!("unexpected {other:?}").into()),
        }
    }
    Ok(bytes)
}

fn read_records(session: &mut SqliteSession) -> Outcome<usize> {
    let mailbox = MailboxKey {
        scope: scope(),
        uniqueid: Text::from("bench"),
    };
    let (mut uid, mut count) = (0, 0);
    loop {
        let uids = UidSelect::From { uid, limit: 1000 };
        let Reply::Records(records) = session.execute(Request::Records {
            mailbox: mailbox.clone(),
            uids,
        })?
        else {
            return Err("no records".into());
        };
        count += records.len();
        match records.last() {
            Some(last) => uid = last.uid + 1,
            None => return Ok(count),
        }
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

fn main() -> Outcome<()> {
    let plan = plan()?;
    let dir = match &plan.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let store = SqliteStore::open(dir.path(), plan.options.clone())?;
    let mut session = store.session();
    let mb = |bytes: u64, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();

    let written = write_all(&mut session, &plan)?;
    let total = written.staging + written.storing;
    println!(
        "write: {} messages, {:.0} MB, {:.2} s ({:.2} s staging and hashing, {:.2} s storing, slowest batch {:.0} ms): \
         {:.0} MB/s, {:.0} messages/s",
        plan.messages,
        written.bytes as f64 / 1e6,
        total.as_secs_f64(),
        written.staging.as_secs_f64(),
        written.storing.as_secs_f64(),
        written.slowest.as_secs_f64() * 1e3,
        mb(written.bytes, total),
        f64::from(plan.messages) / total.as_secs_f64(),
    );
    let start = Instant::now();
    let bytes = read_messages(&mut session, &written.guids)?;
    println!("read messages: {:.0} MB/s", mb(bytes, start.elapsed()));
    let start = Instant::now();
    let records = read_records(&mut session)?;
    println!(
        "read records: {:.0} a second",
        records as f64 / start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    drop(session);
    println!("close: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let size = std::fs::metadata(store.user_file(b"bench"))?.len();
    println!(
        "on disk: {:.0} MB, {:.1} % more than the messages",
        size as f64 / 1e6,
        (size as f64 / bytes as f64 - 1.0) * 100.0
    );
    println!("peak memory: {} MiB", peak_rss_mib());
    Ok(())
}
